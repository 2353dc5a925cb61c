//! ListOffsets, OffsetForLeaderEpoch and DeleteRecords: one question to each partition, the answers in the request's
//! order.

use highwater_wire::delete_records::{
    DeleteRecordsPartition, DeleteRecordsPartitionResult, DeleteRecordsRequest, DeleteRecordsResponse,
    DeleteRecordsTopicResult,
};
use highwater_wire::list_offsets::{
    ListOffsetsPartition, ListOffsetsPartitionResponse, ListOffsetsRequest, ListOffsetsResponse,
    ListOffsetsTopicResponse,
};
use highwater_wire::offset_for_leader_epoch::{
    EpochEndOffset, OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse, OffsetForLeaderTopicResult,
};
use highwater_wire::{AnyResponse, ErrorCode};

use super::call::Context;
use super::gather::{Gather, by_owner};
use super::repeated::merged;
use super::topics::TopicRef;
use crate::ids::{LeaderEpoch, Offset, PartitionId, Ticket};
use crate::message::{EpochEndTarget, ListOffsetsTarget, ListedOffset, PartitionRequest, PartitionResponse};

/// Partitions as a request names them, with one outcome for each.
struct Asked<T> {
    named: Vec<(String, Vec<i32>)>,
    gather: Gather<Result<T, ErrorCode>>,
}

/// A request of this module in progress.
pub(super) struct OffsetsCall(Kind);

enum Kind {
    List(Asked<ListedOffset>),
    EpochEnds(Asked<Option<(LeaderEpoch, Offset)>>),
    Delete(Asked<Offset>),
}

/// The first version of ListOffsets that answers each special timestamp: max (KIP-734), local (KIP-405), tiered
/// (KIP-1005), pending upload (KIP-1023).
const SPECIAL_TIMESTAMPS: [(i64, i16); 4] = [(-3, 7), (-4, 8), (-5, 9), (-6, 11)];

/// The lowest of the timestamps that every version knows; the latest is the other one below 0.
const EARLIEST_TIMESTAMP: i64 = -2;

/// The first version of ListOffsets that tells leader epochs (KIP-320).
const LEADER_EPOCH_VERSION: i16 = 4;

/// The first version of ListOffsets that knows OFFSET_NOT_AVAILABLE (KIP-207).
const OFFSET_NOT_AVAILABLE_VERSION: i16 = 5;

impl OffsetsCall {
    /// Asks for offsets by timestamp.
    pub(super) fn list(context: &mut Context<'_>, request: ListOffsetsRequest) -> Self {
        let (version, index_of) = (context.version, |partition: &ListOffsetsPartition| partition.partition_index);
        let topics = request.topics.into_iter().map(|topic| (topic.name, topic.partitions));
        let (topics, twice) = merged(topics, index_of);
        let asked = Asked::begin(
            context,
            topics.into_iter(),
            index_of,
            |name, partition| match is_known_timestamp(partition.timestamp, version) {
                _ if twice.contains(&(name.to_owned(), partition.partition_index)) => Err(ErrorCode::InvalidRequest),
                true => Ok(()),
                false => Err(ErrorCode::UnsupportedVersion),
            },
            |_, partition, wanted| {
                let current_leader_epoch = believed_epoch(wanted.current_leader_epoch);
                Ok(ListOffsetsTarget { partition, timestamp: wanted.timestamp, current_leader_epoch })
            },
            |targets| PartitionRequest::ListOffsets { targets },
        );
        Self(Kind::List(asked))
    }

    /// Asks where leader epochs end.
    pub(super) fn epoch_ends(context: &mut Context<'_>, request: OffsetForLeaderEpochRequest) -> Self {
        let topics = request.topics.into_iter().map(|topic| (topic.topic, topic.partitions));
        let target =
            |_: &Context<'_>, partition, wanted: highwater_wire::offset_for_leader_epoch::OffsetForLeaderPartition| {
                let leader_epoch = LeaderEpoch(wanted.leader_epoch);
                Ok(EpochEndTarget {
                    partition,
                    leader_epoch,
                    current_leader_epoch: believed_epoch(wanted.current_leader_epoch),
                })
            };
        let asked = Asked::begin(
            context,
            topics,
            |partition| partition.partition,
            |_, _| Ok(()),
            target,
            |targets| PartitionRequest::EpochEnds { targets },
        );
        Self(Kind::EpochEnds(asked))
    }

    /// Asks for the deletion of records.
    pub(super) fn delete(context: &mut Context<'_>, request: DeleteRecordsRequest) -> Self {
        let index_of = |partition: &DeleteRecordsPartition| partition.partition_index;
        let topics = request.topics.into_iter().map(|topic| (topic.name, topic.partitions));
        let (topics, _) = merged(topics, index_of);
        let target = |context: &Context<'_>, partition: PartitionId, wanted: DeleteRecordsPartition| {
            let topic = context.image.topic_by_id(partition.topic).ok_or(ErrorCode::UnknownTopicOrPartition)?;
            if topic.is_internal() {
                return Err(ErrorCode::InvalidTopicException);
            }
            // A topic of neither policy keeps its records for ever, unless it is told otherwise.
            let policy = topic.config.cleanup_policy;
            if policy.compact && !policy.delete {
                return Err(ErrorCode::PolicyViolation);
            }
            match wanted.offset {
                -1 => Ok((partition, None)),
                offset => Ok((partition, Some(Offset(offset)))),
            }
        };
        let asked = Asked::begin(
            context,
            topics.into_iter(),
            index_of,
            |_, _| Ok(()),
            target,
            |targets| PartitionRequest::DeleteRecords { targets },
        );
        Self(Kind::Delete(asked))
    }

    /// Takes the outcomes of one shard.
    pub(super) fn place(&mut self, ticket: Ticket, response: PartitionResponse) {
        match (&mut self.0, response) {
            (Kind::List(asked), PartitionResponse::OffsetsListed(outcomes)) => asked.gather.place(ticket, outcomes),
            (Kind::EpochEnds(asked), PartitionResponse::EpochEnds(outcomes)) => asked.gather.place(ticket, outcomes),
            (Kind::Delete(asked), PartitionResponse::RecordsDeleted(outcomes)) => asked.gather.place(ticket, outcomes),
            (_, response) => unreachable!("not an answer to what was asked: {response:?}"),
        }
    }

    /// Whether every shard has answered.
    pub(super) fn is_complete(&self) -> bool {
        match &self.0 {
            Kind::List(asked) => asked.gather.is_complete(),
            Kind::EpochEnds(asked) => asked.gather.is_complete(),
            Kind::Delete(asked) => asked.gather.is_complete(),
        }
    }

    /// The answer to a complete request.
    pub(super) fn end(self, version: i16) -> AnyResponse {
        match self.0 {
            Kind::List(asked) => {
                let topics = asked
                    .finish(|index, outcome| listed_row(index, outcome, version))
                    .map(|(name, partitions)| ListOffsetsTopicResponse { name, partitions });
                ListOffsetsResponse { topics: topics.collect(), ..Default::default() }.into()
            }
            Kind::EpochEnds(asked) => {
                let topics =
                    asked.finish(epoch_row).map(|(topic, partitions)| OffsetForLeaderTopicResult { topic, partitions });
                OffsetForLeaderEpochResponse { topics: topics.collect(), ..Default::default() }.into()
            }
            Kind::Delete(asked) => {
                let topics =
                    asked.finish(deleted_row).map(|(name, partitions)| DeleteRecordsTopicResult { name, partitions });
                DeleteRecordsResponse { topics: topics.collect(), ..Default::default() }.into()
            }
        }
    }
}

impl<T> Asked<T> {
    /// Sends each partition's question to its owner, unless `check` refuses it before anybody looks for the partition.
    fn begin<P, Q>(
        context: &mut Context<'_>,
        topics: impl Iterator<Item = (String, Vec<P>)>,
        index_of: impl Fn(&P) -> i32,
        check: impl Fn(&str, &P) -> Result<(), ErrorCode>,
        target: impl Fn(&Context<'_>, PartitionId, P) -> Result<Q, ErrorCode>,
        request: impl Fn(Vec<Q>) -> PartitionRequest,
    ) -> Self {
        let mut named = Vec::new();
        let mut targets = Vec::new();
        let mut refused = Vec::new();
        let mut row = 0;
        for (name, partitions) in topics {
            let reference = TopicRef::Name(name.clone());
            let mut indexes = Vec::with_capacity(partitions.len());
            for wanted in partitions {
                let index = index_of(&wanted);
                let found = check(&name, &wanted).and_then(|()| reference.partition(context.image, index));
                match found.and_then(|partition| Ok((partition, target(context, partition, wanted)?))) {
                    Ok((partition, target)) => targets.push((row, partition, target)),
                    Err(code) => refused.push((row, code)),
                }
                indexes.push(index);
                row += 1;
            }
            named.push((name, indexes));
        }
        let mut gather = Gather::new(row);
        for (row, code) in refused {
            gather.set(row, Err(code));
        }
        for (shard, (rows, targets)) in by_owner(targets, context.shards) {
            let ticket = context.ask(shard, request(targets));
            gather.expect(ticket, rows);
        }
        Self { named, gather }
    }

    /// The outcomes as rows, by topic.
    fn finish<R>(self, row: impl Fn(i32, Result<T, ErrorCode>) -> R) -> impl Iterator<Item = (String, Vec<R>)> {
        let mut outcomes = self.gather.finish().into_iter();
        self.named.into_iter().map(move |(name, indexes)| {
            let rows = indexes.into_iter().map(|index| row(index, outcomes.next().expect("one outcome for each")));
            (name, rows.collect())
        })
    }
}

/// Whether a timestamp means something in a version.
fn is_known_timestamp(timestamp: i64, version: i16) -> bool {
    let since = SPECIAL_TIMESTAMPS.iter().find(|(special, _)| *special == timestamp).map(|(_, since)| *since);
    since.map_or(timestamp >= EARLIEST_TIMESTAMP, |since| version >= since)
}

/// The leader's epoch as a client believes it to be, where −1 stands for "not known". What is below that was an epoch once,
/// as Kafka sees it, other than in a fetch.
fn believed_epoch(value: i32) -> Option<LeaderEpoch> {
    (value != -1).then_some(LeaderEpoch(value))
}

fn listed_row(
    partition_index: i32,
    outcome: Result<ListedOffset, ErrorCode>,
    version: i16,
) -> ListOffsetsPartitionResponse {
    let code = match outcome {
        Ok(_) => ErrorCode::None,
        Err(ErrorCode::OffsetNotAvailable) if version < OFFSET_NOT_AVAILABLE_VERSION => ErrorCode::LeaderNotAvailable,
        Err(code) => code,
    };
    let listed = outcome.unwrap_or(ListedOffset::NONE);
    let leader_epoch = listed.leader_epoch.filter(|_| version >= LEADER_EPOCH_VERSION);
    ListOffsetsPartitionResponse {
        partition_index,
        error_code: code.code(),
        timestamp: listed.timestamp,
        offset: listed.offset,
        leader_epoch: leader_epoch.map_or(-1, |epoch| epoch.0),
    }
}

fn epoch_row(partition: i32, outcome: Result<Option<(LeaderEpoch, Offset)>, ErrorCode>) -> EpochEndOffset {
    let code = outcome.err().unwrap_or(ErrorCode::None);
    let (leader_epoch, end_offset) = outcome.ok().flatten().map_or((-1, -1), |(epoch, offset)| (epoch.0, offset.0));
    EpochEndOffset { error_code: code.code(), partition, leader_epoch, end_offset }
}

fn deleted_row(partition_index: i32, outcome: Result<Offset, ErrorCode>) -> DeleteRecordsPartitionResult {
    let code = outcome.err().unwrap_or(ErrorCode::None);
    let low_watermark = outcome.map_or(-1, |offset| offset.0);
    DeleteRecordsPartitionResult { partition_index, low_watermark, error_code: code.code() }
}
