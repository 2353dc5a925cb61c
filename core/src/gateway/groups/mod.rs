//! Requests about groups: found, routed to the coordinators that know, gathered in the request's order.
//!
//! A group belongs to the partition of `__consumer_offsets` that its id hashes to, as in Kafka, and is coordinated by the
//! shard that leads it. One request becomes one question for each coordinator that it concerns.
//!
//! Sources: KIP-699 (several groups at once), KIP-709, KIP-848.

mod find;
mod listing;
mod membership;
mod offsets;

use highwater_wire::{AnyResponse, ErrorCode};

pub(super) use find::{FindCoordinatorCall, offsets_topic};

use super::call::Context;
use super::gather::Gather;
use crate::controller::{Image, OFFSETS_TOPIC};
use crate::group::{GroupCall, GroupResponse};
use crate::ids::{PartitionId, PartitionIndex, ShardId, Ticket};

/// A request in progress.
pub(super) struct GroupsCall {
    answers: Gather<GroupResponse>,
    asked: usize,
    assemble: Assemble,
}

/// How the coordinators' answers become the answer to the request.
enum Assemble {
    /// The only answer is the answer.
    Only,
    Leave,
    Commit(offsets::Commit),
    Fetch(offsets::Fetch),
    Delete(offsets::Delete),
    Describe(listing::Order),
    List,
    DeleteGroups(listing::Order),
    DescribeConsumers(listing::Order),
}

impl GroupsCall {
    fn new(assemble: Assemble, asks: usize) -> Self {
        Self { answers: Gather::new(asks), asked: 0, assemble }
    }

    /// Asks the coordinator of a group.
    fn ask(&mut self, context: &mut Context<'_>, group: &str, call: GroupCall) {
        let coordinator = coordinator_of(context, group);
        self.ask_at(context, coordinator, call);
    }

    /// Asks the coordinator in a partition, if it is here.
    fn ask_at(&mut self, context: &mut Context<'_>, at: Result<PartitionId, ErrorCode>, call: GroupCall) {
        let index = self.asked;
        self.asked += 1;
        match at {
            Ok(partition) => {
                let shard = ShardId::owner_of(partition, context.shards);
                let ticket = context.ask_group(shard, partition, call);
                self.answers.expect(ticket, vec![index]);
            }
            Err(code) => self.answers.set(index, call.error_response(code)),
        }
    }

    /// Takes the answer of one coordinator.
    pub(in crate::gateway) fn place(&mut self, ticket: Ticket, response: GroupResponse) {
        self.answers.place(ticket, vec![response]);
    }

    /// Whether every coordinator has answered.
    pub(in crate::gateway) fn is_complete(&self) -> bool {
        self.answers.is_complete()
    }

    /// The answer to a complete request.
    pub(in crate::gateway) fn end(self, context: &Context<'_>) -> AnyResponse {
        let version = context.version;
        let mut answers = self.answers.finish();
        match self.assemble {
            Assemble::Only => membership::only(answers.remove(0), version),
            Assemble::Leave => membership::leave(answers.remove(0), version),
            Assemble::Commit(commit) => commit.end(answers.pop()),
            Assemble::Fetch(fetch) => fetch.end(answers, version),
            Assemble::Delete(delete) => delete.end(answers.pop().expect("one coordinator was asked")),
            Assemble::Describe(order) => listing::described(&order, answers),
            Assemble::List => listing::listed(answers),
            Assemble::DeleteGroups(order) => listing::deleted(&order, answers),
            Assemble::DescribeConsumers(order) => listing::consumers_described(&order, answers),
        }
    }
}

/// The partition whose leader coordinates a group, if that is this broker.
fn coordinator_of(context: &Context<'_>, group: &str) -> Result<PartitionId, ErrorCode> {
    let partition = partition_of(context.image, group).ok_or(ErrorCode::NotCoordinator)?;
    let leader = context.image.partition(partition).and_then(|state| state.leader);
    if leader == Some(context.config.node_id) { Ok(partition) } else { Err(ErrorCode::NotCoordinator) }
}

/// The partition that a group belongs to; none before the topic is there.
fn partition_of(image: &Image, group: &str) -> Option<PartitionId> {
    let topic = image.topic(OFFSETS_TOPIC)?;
    let partitions = u32::try_from(topic.partition_count()).ok().filter(|count| *count > 0)?;
    let index = i32::try_from(java_hash(group) % partitions).expect("a topic has fewer partitions than 2^31");
    Some(PartitionId { topic: topic.id, index: PartitionIndex(index) })
}

/// The absolute value of Java's `String.hashCode`, as Kafka takes it.
fn java_hash(text: &str) -> u32 {
    let hash = text.encode_utf16().fold(0i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)));
    hash.checked_abs().unwrap_or(0).unsigned_abs()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_hash_as_in_java() {
        // What Java says of each: Utils.abs("…".hashCode()).
        for (text, hash) in [
            ("", 0),
            ("a", 97),
            ("console-consumer-77", 1_109_249_185),
            ("é水🌊", 35_334_137),
            ("polygenelubricants", 0),
        ] {
            assert_eq!(java_hash(text), hash, "{text}");
        }
    }
}
