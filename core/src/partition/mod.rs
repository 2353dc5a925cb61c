//! The partitions that one shard leads.
//!
//! [`Partitions`] takes requests of gateways and the ends of syncs and jobs, and answers through the outbox. Everything
//! that must be durable before it is answered waits here.
//!
//! Invariants:
//! * A partition is either led, with its log open, or known to have failed to open for want of space.
//! * A leader that accepted bytes is in the sync lane until a sync has covered them.

mod adopt;
mod cleaner;
mod coordinators;
pub mod directory;
mod fetch;
mod leader;
mod offsets;
mod produce;
mod sync;

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use highwater_wire::ErrorCode;

pub use adopt::Assignment;
pub use cleaner::CleanerConfig;
pub use coordinators::GroupLoad;
pub use leader::{Counting, Leadership};

use crate::disk::{Disk, LogPath};
use crate::event::Event;
use crate::group::GroupConfig;
use crate::ids::{BrokerId, JobId, PartitionId, ShardId, SyncToken, Ticket};
use crate::limits;
use crate::log::{RecoveryPoints, RemovedSegment, TimestampAndOffset};
use crate::message::{PartitionRequest, PartitionResponse, ShardMessage};
use crate::outbox::{Halt, JobOutput, Outbox, Reason};
use crate::time::{Instant, Now};
use cleaner::Cleaner;
use coordinators::Coordinators;
use fetch::Watches;
use leader::Leader;
use offsets::Searches;
use produce::Produces;
use sync::SyncLane;

/// What does not change while a shard lives.
#[derive(Clone, Debug)]
pub struct PartitionsConfig {
    /// The shard.
    pub shard: ShardId,
    /// How many data shards there are.
    pub shards: u16,
    /// This broker.
    pub broker: BrokerId,
    /// How often old segments are looked for (`log.retention.check.interval.ms`).
    pub retention_check_interval: Duration,
    /// What group coordinators go by.
    pub groups: Arc<GroupConfig>,
    /// How logs are compacted.
    pub cleaner: CleanerConfig,
}

/// All partitions that a shard leads, on its disk.
pub struct Partitions<D: Disk> {
    config: PartitionsConfig,
    disk: D,
    leaders: BTreeMap<PartitionId, Leader>,
    unopened: BTreeMap<PartitionId, Assignment>,
    recovery_points: RecoveryPoints,
    lane: SyncLane,
    produces: Produces,
    watches: Watches,
    searches: Searches,
    coordinators: Coordinators,
    jobs: JobIds,
    cleaner: Cleaner,
    readiness: Readiness,
    disk_is_full: bool,
    retention_due: Instant,
    checkpoint_due: Instant,
}

/// Names for the jobs of a shard.
#[derive(Debug, Default)]
struct JobIds(JobId);

impl JobIds {
    fn issue(&mut self) -> JobId {
        let job = self.0;
        self.0 = JobId(job.0 + 1);
        job
    }
}

/// How far the shard is with starting or stopping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Readiness {
    /// No metadata yet.
    Waiting,
    /// Recovered, but what was recovered is not durable yet.
    Recovered,
    Ready,
    /// Stopping; so many syncs are still needed: one for the data, one for how far that reached.
    Stopping {
        syncs_left: u8,
    },
    Stopped,
}

impl<D: Disk> Partitions<D> {
    /// A shard's partitions, none of which is open before [`adopt`](Self::adopt). What they draw is a function of `seed`.
    ///
    /// # Errors
    /// The recovery points cannot be read.
    pub fn open(config: PartitionsConfig, mut disk: D, seed: [u8; 32], now: Now) -> Result<Self, Halt> {
        disk.create_dir(&LogPath::root().join(directory::PARTITIONS))
            .map_err(|error| halt_of("cannot create", directory::PARTITIONS, error))?;
        let recovery_points =
            RecoveryPoints::open(&mut disk, config.shard).map_err(|error| Halt::Damaged(error.to_string()))?;
        let mut lane = SyncLane::default();
        lane.mark_directory(LogPath::root());
        Ok(Self {
            disk,
            leaders: BTreeMap::new(),
            unopened: BTreeMap::new(),
            recovery_points,
            lane,
            produces: Produces::default(),
            watches: Watches::default(),
            searches: Searches::default(),
            coordinators: Coordinators::new(Arc::clone(&config.groups), seed),
            jobs: JobIds::default(),
            cleaner: Cleaner::new(now.mono + config.cleaner.backoff),
            readiness: Readiness::Waiting,
            disk_is_full: false,
            retention_due: now.mono + config.retention_check_interval,
            checkpoint_due: now.mono + limits::CHECKPOINT_INTERVAL,
            config,
        })
    }

    /// Takes a request of the gateway on `from`.
    pub fn handle_request(
        &mut self,
        now: Now,
        from: ShardId,
        ticket: Ticket,
        request: PartitionRequest,
        out: &mut Outbox,
    ) {
        let caller = (from, ticket);
        match request {
            PartitionRequest::Produce { acks, deadline, batches } => {
                self.handle_produce(now, caller, acks, deadline, &batches, out);
            }
            PartitionRequest::Probe { targets, watch } => self.handle_probe(caller, targets, watch, out),
            PartitionRequest::Unwatch => self.unwatch(caller),
            PartitionRequest::Read { targets } => self.handle_read(caller, &targets, out),
            PartitionRequest::ListOffsets { targets } => self.handle_list_offsets(caller, &targets, out),
            PartitionRequest::EpochEnds { targets } => {
                let ends = targets.iter().map(|target| self.epoch_end(target)).collect();
                answer(caller, PartitionResponse::EpochEnds(ends), out);
            }
            PartitionRequest::DeleteRecords { targets } => self.handle_delete_records(now, caller, &targets, out),
            PartitionRequest::DescribeLogDirs => {
                let sizes = self.leaders.iter().map(|(&id, leader)| (id, leader.log.size_bytes())).collect();
                answer(caller, PartitionResponse::LogDirs { sizes, space: self.disk.space().ok() }, out);
            }
        }
        self.answer_changed_watches(out);
    }

    /// Takes the end of a sync.
    pub fn handle_synced(&mut self, now: Now, token: SyncToken, result: io::Result<()>, out: &mut Outbox) {
        if let Err(error) = result {
            return out.halt(halt_of("cannot sync", "the data directory", error));
        }
        let done = self.lane.complete(token);
        for (id, offset) in done.reached {
            let Some(leader) = self.leaders.get_mut(&id) else { continue };
            leader.log.mark_synced(offset);
            self.note_progress(id, out);
        }
        for (shard, ticket, response) in done.answers {
            answer((shard, ticket), response, out);
        }
        self.compact_after_sync(now, out);
        self.maybe_become_ready(out);
        self.maybe_finish_stop(now, out);
        self.answer_changed_watches(out);
    }

    /// Takes what a job has found.
    pub fn handle_job(&mut self, now: Now, job: JobId, output: JobOutput, out: &mut Outbox) {
        match output {
            JobOutput::FoundTimestamp(found) => self.handle_found(job, found, out),
            JobOutput::Compacted(done) => self.handle_compaction_step(now, job, done, out),
            JobOutput::GroupsLoaded(loaded) => self.handle_loaded(now, job, loaded, out),
        }
    }

    fn handle_found(&mut self, job: JobId, found: io::Result<Option<TimestampAndOffset>>, out: &mut Outbox) {
        let found = match found {
            Ok(found) => found,
            Err(error) => return out.halt(halt_of("cannot read", "a segment", error)),
        };
        let leader = self.leaders.get(&self.searches.partition(job));
        let listed = leader.map_or(Err(ErrorCode::NotLeaderOrFollower), |leader| leader.visible(found));
        self.searches.complete(job, listed, out);
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due next. A shard with unsynced bytes is due at once,
    /// or soon where more is on its way.
    pub fn poll_timeout(&self) -> Option<(Instant, Reason)> {
        if self.readiness == Readiness::Stopped {
            return None;
        }
        let sync = self.lane.due().map(|due| (due, "sync"));
        let produce = self.produces.poll_timeout().map(|due| (due, "produce deadline"));
        let retention = Some((self.retention_due, "retention check"));
        let checkpoint = Some((self.checkpoint_due, "checkpoint"));
        let groups = self.coordinators.poll_timeout().filter(|_| !self.is_stopping());
        let cleaner = self.cleaner.poll_timeout().filter(|_| self.readiness == Readiness::Ready);
        [sync, produce, groups, retention, checkpoint, cleaner].into_iter().flatten().min()
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Now, out: &mut Outbox) {
        self.produces.handle_timeout(now.mono, out);
        if now.mono >= self.retention_due {
            self.retention_due = now.mono + self.config.retention_check_interval;
            self.retry_unopened(now, out);
            self.led().into_iter().for_each(|id| self.apply_retention(now, id, out));
        }
        if now.mono >= self.checkpoint_due {
            self.checkpoint_due = now.mono + limits::CHECKPOINT_INTERVAL;
            self.checkpoint_all(now, out);
        }
        self.run_coordinators(now, out);
        if self.readiness == Readiness::Ready {
            self.clean(now, out);
        }
        if self.lane.due().is_some_and(|due| due <= now.mono) {
            self.submit_sync(now, out);
        }
        self.answer_changed_watches(out);
    }

    /// Makes everything durable, including where recovery may begin, then halts with [`Halt::Stopped`].
    pub fn handle_stop(&mut self, now: Now, out: &mut Outbox) {
        self.stop_cleaning(out);
        self.readiness = Readiness::Stopping { syncs_left: 2 };
        self.stop_coordinators(out);
        self.maybe_finish_stop(now, out);
    }

    /// Asserts the invariants of everything in here.
    pub fn check(&self) {
        self.produces.check();
        self.coordinators.check(|id| self.leaders.contains_key(&id));
        for leader in self.leaders.values() {
            leader.check();
        }
    }

    /// The disk, for a driver that wants to look.
    pub fn disk(&self) -> &D {
        &self.disk
    }

    /// What is known of how far a log was synced.
    #[cfg(test)]
    pub(crate) fn recovery_point(&self, id: PartitionId) -> Option<crate::ids::Offset> {
        self.recovery_points.get(id)
    }

    /// The disk, for a test that wants to change what it can do.
    #[cfg(test)]
    pub(crate) fn disk_mut(&mut self) -> &mut D {
        &mut self.disk
    }

    /// The disk, for a test that starts another broker on it.
    #[cfg(test)]
    pub(crate) fn into_disk(self) -> D {
        self.disk
    }

    fn note_progress(&mut self, id: PartitionId, out: &mut Outbox) {
        let leader = self.leaders.get_mut(&id).expect("progress is noted on partitions that are led");
        let before = leader.high_watermark();
        let released = leader.handle_progress();
        if leader.high_watermark() != before {
            self.watches.mark_changed(&leader.watchers);
        }
        self.produces.release(released, out);
        self.release_group_answers(id, out);
    }

    fn note_disk_full(&mut self, partition: PartitionId, out: &mut Outbox) {
        if !std::mem::replace(&mut self.disk_is_full, true) {
            out.events.push(Event::DiskFull { partition });
        }
    }

    fn apply_retention(&mut self, now: Now, id: PartitionId, out: &mut Outbox) {
        let leader = self.leaders.get_mut(&id).expect("only partitions that are led are tidied");
        match leader.apply_retention(&mut self.disk, now) {
            Ok(removed) if removed.is_empty() => {}
            Ok(removed) => self.note_removed(id, removed, out),
            Err(error) => self.note_failure(id, "cannot remove old segments of", error, out),
        }
    }

    fn note_removed(&mut self, id: PartitionId, removed: Vec<RemovedSegment>, out: &mut Outbox) {
        self.lane.mark_dirty(id);
        for RemovedSegment { base_offset, bytes } in removed {
            out.events.push(Event::SegmentDeleted { partition: id, base_offset, bytes });
        }
    }

    fn checkpoint_all(&mut self, now: Now, out: &mut Outbox) {
        self.led().into_iter().for_each(|id| self.checkpoint(now, id, out));
    }

    fn led(&self) -> Vec<PartitionId> {
        self.leaders.keys().copied().collect()
    }

    fn checkpoint(&mut self, now: Now, id: PartitionId, out: &mut Outbox) {
        let leader = self.leaders.get_mut(&id).expect("only partitions that are led are checkpointed");
        match leader.checkpoint(&mut self.disk, now) {
            Ok(()) => self.lane.mark_dirty(id),
            Err(error) => self.note_failure(id, "cannot write the checkpoint of", error, out),
        }
    }

    /// A full disk is waited out; anything else the disk fails with stops the broker.
    fn note_failure(&mut self, id: PartitionId, action: &'static str, error: io::Error, out: &mut Outbox) {
        if error.kind() == io::ErrorKind::StorageFull {
            self.note_disk_full(id, out);
        } else {
            out.halt(halt_of(action, &format!("partition {id}"), error));
        }
    }

    fn submit_sync(&mut self, now: Now, out: &mut Outbox) {
        let mut files = Vec::new();
        let mut directories = Vec::new();
        let mut reached = Vec::new();
        let mut points = Vec::new();
        for id in self.lane.take_dirty() {
            let Some(leader) = self.leaders.get_mut(&id) else { continue };
            points.push((id, leader.log.synced_offset()));
            let Some(mut dirty) = leader.log.dirty(&self.disk) else { continue };
            files.append(&mut dirty.files);
            directories.append(&mut dirty.directories);
            reached.push((id, dirty.upto));
        }
        match self.recovery_points.record(&mut self.disk, &points) {
            // On a full disk the mark stays where it was: recovery trusts a little less, and nothing is lost.
            Err(error) if error.kind() != io::ErrorKind::StorageFull => {
                return out.halt(halt_of("cannot write", "the recovery points", error));
            }
            Ok(()) | Err(_) => self.recovery_points.add_dirty(&self.disk, &mut files, &mut directories),
        }
        out.syncs.push(self.lane.submit(now.mono, files, directories, reached));
    }

    fn maybe_become_ready(&mut self, out: &mut Outbox) {
        if self.readiness == Readiness::Recovered && self.lane.is_idle() {
            self.readiness = Readiness::Ready;
            out.events.push(Event::Ready);
        }
    }

    fn maybe_finish_stop(&mut self, now: Now, out: &mut Outbox) {
        let Readiness::Stopping { syncs_left } = self.readiness else { return };
        if !self.lane.is_idle() {
            return;
        }
        if syncs_left == 0 {
            self.readiness = Readiness::Stopped;
            return out.halt(Halt::Stopped);
        }
        self.readiness = Readiness::Stopping { syncs_left: syncs_left - 1 };
        self.checkpoint_all(now, out);
        self.lane.mark_directory(LogPath::root());
    }

    fn is_stopping(&self) -> bool {
        matches!(self.readiness, Readiness::Stopping { .. } | Readiness::Stopped)
    }

    /// Why a partition is not led here.
    fn absent(&self, id: PartitionId) -> ErrorCode {
        if self.unopened.contains_key(&id) { ErrorCode::KafkaStorageError } else { ErrorCode::NotLeaderOrFollower }
    }
}

fn answer(caller: (ShardId, Ticket), response: PartitionResponse, out: &mut Outbox) {
    let (shard, ticket) = caller;
    out.shards.push((shard, ShardMessage::PartitionResponse { ticket, response }));
}

fn halt_of(action: &'static str, path: &str, error: io::Error) -> Halt {
    Halt::Io { action, path: path.to_owned(), error }
}
