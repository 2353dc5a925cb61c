//! Group commit: one sync covers every batch that the shard accepted since the previous one.
//!
//! There is at most one sync in flight; whatever is accepted meanwhile shares the next. Each sync also writes down how
//! far the previous one reached (the recovery point), so that damage below that mark is never taken for a torn tail.
//!
//! Invariants:
//! * Syncs end in the order in which they were asked for.
//! * A partition's synced offset moves only when a sync that was asked for later than its bytes were written has ended.

use std::collections::BTreeSet;

use crate::disk::LogPath;
use crate::disk::Pin;
use crate::ids::{Offset, PartitionId, ShardId, SyncToken, Ticket};
use crate::message::PartitionResponse;
use crate::outbox::SyncRequest;

/// What of a shard is not durable yet, and what is on its way.
#[derive(Default)]
pub(super) struct SyncLane {
    dirty: BTreeSet<PartitionId>,
    directories: BTreeSet<LogPath>,
    answers: Vec<Answer>,
    in_flight: Option<InFlight>,
    next_token: SyncToken,
}

/// A sync that was asked for.
pub(super) struct InFlight {
    token: SyncToken,
    /// How far it reaches in each partition.
    pub(super) reached: Vec<(PartitionId, Offset)>,
    /// Answers that waited for it.
    pub(super) answers: Vec<Answer>,
}

/// An answer that waits until what was done for it is durable.
pub(super) type Answer = (ShardId, Ticket, PartitionResponse);

impl SyncLane {
    /// Takes note that a partition has something to sync.
    pub(super) fn mark_dirty(&mut self, partition: PartitionId) {
        self.dirty.insert(partition);
    }

    /// Takes note that a directory's entries have changed.
    pub(super) fn mark_directory(&mut self, directory: LogPath) {
        self.directories.insert(directory);
    }

    /// Forgets a partition that is gone.
    pub(super) fn forget(&mut self, partition: PartitionId) {
        self.dirty.remove(&partition);
    }

    /// Gives `answer` once everything done so far is durable.
    pub(super) fn answer_after_sync(&mut self, answer: Answer) {
        self.answers.push(answer);
    }

    /// Whether a sync should be asked for now.
    pub(super) fn is_due(&self) -> bool {
        self.in_flight.is_none() && !self.is_clean()
    }

    /// Whether nothing waits for a sync, in flight or not.
    pub(super) fn is_idle(&self) -> bool {
        self.in_flight.is_none() && self.is_clean()
    }

    fn is_clean(&self) -> bool {
        self.dirty.is_empty() && self.directories.is_empty() && self.answers.is_empty()
    }

    /// The partitions that the next sync must cover.
    pub(super) fn take_dirty(&mut self) -> BTreeSet<PartitionId> {
        std::mem::take(&mut self.dirty)
    }

    /// Asks for a sync of `files`, and of all directories that were marked.
    pub(super) fn submit(
        &mut self,
        files: Vec<Pin>,
        directories: Vec<LogPath>,
        reached: Vec<(PartitionId, Offset)>,
    ) -> SyncRequest {
        assert!(self.in_flight.is_none(), "one sync at a time");
        self.directories.extend(directories);
        let token = self.next_token;
        self.next_token = SyncToken(token.0 + 1);
        self.in_flight = Some(InFlight { token, reached, answers: std::mem::take(&mut self.answers) });
        SyncRequest { token, files, directories: std::mem::take(&mut self.directories).into_iter().collect() }
    }

    /// Takes the sync that has ended.
    pub(super) fn complete(&mut self, token: SyncToken) -> InFlight {
        let in_flight = self.in_flight.take().expect("a sync ends after it was asked for");
        assert_eq!(in_flight.token, token, "syncs end in order");
        in_flight
    }
}
