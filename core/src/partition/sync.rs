//! Group commit: one sync covers every batch that the shard accepted since the previous one.
//!
//! There is at most one sync in flight; whatever is accepted meanwhile shares the next. Each sync also writes down how
//! far the previous one reached (the recovery point), so that damage below that mark is never taken for a torn tail.
//!
//! A sync costs the same CPU time for a kilobyte as for a hundred, so bulk traffic gathers for a while before the next
//! one: where much was accepted while a sync ran, more is on its way. Whoever sends little or waits for each answer never
//! meets that rule, since nothing much has come by the time the sync ends. Shards meet on a grid of time, since a request
//! waits for the last of them.
//!
//! Invariants:
//! * Syncs end in the order in which they were asked for.
//! * A partition's synced offset moves only when a sync that was asked for later than its bytes were written has ended.

use std::collections::BTreeSet;

use crate::disk::LogPath;
use crate::disk::Pin;
use crate::ids::{Offset, PartitionId, ShardId, SyncToken, Ticket};
use crate::limits::{SYNC_BULK_BYTES, SYNC_GATHERED_BYTES_MAX, SYNC_INTERVAL_UNDER_BULK};
use crate::message::PartitionResponse;
use crate::outbox::SyncRequest;
use crate::time::Instant;

/// What of a shard is not durable yet, and what is on its way.
#[derive(Default)]
pub(super) struct SyncLane {
    dirty: BTreeSet<PartitionId>,
    directories: BTreeSet<LogPath>,
    answers: Vec<Answer>,
    in_flight: Option<InFlight>,
    next_token: SyncToken,
    /// Bytes accepted since the last sync was asked for.
    bytes: u64,
    /// When that was.
    asked_at: Instant,
    /// Whether much was accepted while it ran.
    is_bulk: bool,
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

    /// Takes note that a partition has accepted so many bytes.
    pub(super) fn mark_appended(&mut self, partition: PartitionId, bytes: u64) {
        self.mark_dirty(partition);
        self.bytes += bytes;
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

    /// From when on a sync should be asked for, if one should.
    pub(super) fn due(&self) -> Option<Instant> {
        if self.in_flight.is_some() || self.is_clean() {
            return None;
        }
        let gathers = self.is_bulk && self.bytes < SYNC_GATHERED_BYTES_MAX;
        let only_bytes_wait = self.directories.is_empty() && self.answers.is_empty();
        Some(if gathers && only_bytes_wait {
            self.asked_at.next_multiple_of(SYNC_INTERVAL_UNDER_BULK)
        } else {
            Instant(0)
        })
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
        now: Instant,
        files: Vec<Pin>,
        directories: Vec<LogPath>,
        reached: Vec<(PartitionId, Offset)>,
    ) -> SyncRequest {
        assert!(self.in_flight.is_none(), "one sync at a time");
        self.directories.extend(directories);
        (self.bytes, self.asked_at) = (0, now);
        let token = self.next_token;
        self.next_token = SyncToken(token.0 + 1);
        self.in_flight = Some(InFlight { token, reached, answers: std::mem::take(&mut self.answers) });
        SyncRequest { token, files, directories: std::mem::take(&mut self.directories).into_iter().collect() }
    }

    /// Takes the sync that has ended.
    pub(super) fn complete(&mut self, token: SyncToken) -> InFlight {
        let in_flight = self.in_flight.take().expect("a sync ends after it was asked for");
        assert_eq!(in_flight.token, token, "syncs end in order");
        self.is_bulk = self.bytes >= SYNC_BULK_BYTES;
        in_flight
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{PartitionIndex, TopicId};
    use crate::time::Instant;

    const PARTITION: PartitionId = PartitionId { topic: TopicId(1), index: PartitionIndex(0) };
    const SYNC_ENDS: u64 = 1_000_000;

    /// A lane whose first sync, asked for at `asked_at`, has ended; `bytes` were accepted while it ran.
    fn lane(asked_at: Instant, bytes: u64) -> SyncLane {
        let mut lane = SyncLane::default();
        lane.mark_appended(PARTITION, 1);
        assert_eq!(lane.due(), Some(Instant(0)), "the first bytes after a pause wait for nothing");
        submit(&mut lane, asked_at);
        if bytes > 0 {
            lane.mark_appended(PARTITION, bytes);
        }
        assert_eq!(lane.due(), None, "one sync at a time");
        lane.complete(SyncToken(0));
        lane
    }

    fn submit(lane: &mut SyncLane, now: Instant) {
        lane.take_dirty();
        lane.submit(now, Vec::new(), Vec::new(), Vec::new());
    }

    #[test]
    fn bulk_gathers_until_the_interval_is_over() {
        let interval = u64::try_from(SYNC_INTERVAL_UNDER_BULK.as_nanos()).unwrap();
        let asked_at = Instant(7 * interval + 5);
        assert_eq!(lane(asked_at, SYNC_BULK_BYTES).due(), Some(Instant(8 * interval)));
        assert_eq!(lane(asked_at, SYNC_BULK_BYTES - 1).due(), Some(Instant(0)), "little waits for nothing");
        assert_eq!(lane(asked_at, 0).due(), None);
        assert_eq!(lane(asked_at, SYNC_GATHERED_BYTES_MAX).due(), Some(Instant(0)), "enough was gathered");
    }

    #[test]
    fn bulk_ends_with_a_sync_during_which_little_came() {
        let mut lane = lane(Instant(0), SYNC_BULK_BYTES);
        submit(&mut lane, Instant(SYNC_ENDS));
        lane.complete(SyncToken(1));
        lane.mark_appended(PARTITION, SYNC_BULK_BYTES);
        assert_eq!(lane.due(), Some(Instant(0)));
    }

    #[test]
    fn a_new_name_or_an_answer_that_waits_ends_the_gathering() {
        let mut named = lane(Instant(0), SYNC_BULK_BYTES);
        named.mark_directory(LogPath::root());
        assert_eq!(named.due(), Some(Instant(0)));
        let mut answered = lane(Instant(0), SYNC_BULK_BYTES);
        answered.answer_after_sync((ShardId(1), Ticket(1), PartitionResponse::RecordsDeleted(Vec::new())));
        assert_eq!(answered.due(), Some(Instant(0)));
    }
}
