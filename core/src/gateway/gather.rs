//! One request, several shards: collects their answers into the request's own order.

use std::collections::BTreeMap;

use crate::ids::{PartitionId, ShardId, Ticket};

/// Outcomes that come back in parts.
///
/// Invariant: an outcome that is missing belongs to exactly one part that has not come back.
#[derive(Debug)]
pub(super) struct Gather<T> {
    outcomes: Vec<Option<T>>,
    parts: BTreeMap<Ticket, Vec<usize>>,
}

impl<T> Gather<T> {
    /// For `len` outcomes, all missing.
    pub(super) fn new(len: usize) -> Self {
        Self { outcomes: (0..len).map(|_| None).collect(), parts: BTreeMap::new() }
    }

    /// Knows an outcome without asking anybody.
    pub(super) fn set(&mut self, index: usize, outcome: T) {
        self.outcomes[index] = Some(outcome);
    }

    /// Expects the outcomes at `indexes` from the shard that `ticket` went to.
    pub(super) fn expect(&mut self, ticket: Ticket, indexes: Vec<usize>) {
        self.parts.insert(ticket, indexes);
    }

    /// Takes the outcomes of one part, in the order of its request.
    pub(super) fn place(&mut self, ticket: Ticket, outcomes: Vec<T>) {
        let indexes = self.parts.remove(&ticket).expect("a part comes back once");
        assert_eq!(indexes.len(), outcomes.len(), "a shard answers every partition that it was asked about");
        for (index, outcome) in indexes.into_iter().zip(outcomes) {
            self.outcomes[index] = Some(outcome);
        }
    }

    /// Whether no part is out.
    pub(super) fn is_complete(&self) -> bool {
        self.parts.is_empty()
    }

    /// All outcomes, in order.
    pub(super) fn finish(self) -> Vec<T> {
        let known = |outcome: Option<T>| outcome.expect("every outcome is set or came back with its part");
        self.outcomes.into_iter().map(known).collect()
    }
}

/// Sorts targets by the shard that owns their partition, remembering each one's place in the request.
pub(super) fn by_owner<T>(
    targets: impl IntoIterator<Item = (usize, PartitionId, T)>,
    shards: u16,
) -> BTreeMap<ShardId, (Vec<usize>, Vec<T>)> {
    let mut owners: BTreeMap<ShardId, (Vec<usize>, Vec<T>)> = BTreeMap::new();
    for (index, partition, target) in targets {
        let (indexes, owned) = owners.entry(ShardId::owner_of(partition, shards)).or_default();
        indexes.push(index);
        owned.push(target);
    }
    owners
}
