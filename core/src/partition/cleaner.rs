//! Compaction of this shard's logs: one at a time, the one with most to gain first.
//!
//! A compaction is a chain of jobs and syncs with pauses in between, so that it takes no more than its share of the disk.
//! Whatever changes the log meanwhile ends it; it begins again later.
//!
//! Invariants:
//! * At most one job of a compaction is under way, also of one that was given up.
//!
//! Source: Kafka's log cleaner, whose configuration keys these are.
//! Deliberately absent: several compactions at once; each shard has one of its own.

use std::time::Duration;

use super::Partitions;
use crate::disk::Disk;
use crate::event::Event;
use crate::ids::{JobId, PartitionId};
use crate::log::{Cleanable, Compacted, CompactionLimits, CompactionProgress, CompactionStep, CompactionStepDone};
use crate::outbox::{Job, Outbox, Reason};
use crate::time::{Instant, Now};

/// How a shard compacts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CleanerConfig {
    /// How long to wait when there was nothing to compact (`log.cleaner.backoff.ms`).
    pub backoff: Duration,
    /// Bytes of the map from keys to offsets (`log.cleaner.dedupe.buffer.size`, this shard's share).
    pub dedupe_buffer_bytes: u64,
    /// About how many bytes one step reads (`log.cleaner.io.buffer.size`).
    pub io_buffer_bytes: u64,
    /// Bytes read and written in a second (`log.cleaner.io.max.bytes.per.second`).
    pub io_bytes_per_second_max: f64,
}

impl CleanerConfig {
    /// How long to wait after so many bytes.
    fn pause(&self, bytes: u64) -> Duration {
        Duration::try_from_secs_f64(bytes as f64 / self.io_bytes_per_second_max).unwrap_or(Duration::MAX)
    }
}

/// What of a shard is being compacted.
pub(super) struct Cleaner {
    running: Option<(PartitionId, Stage)>,
    /// When to look for something to compact.
    due: Instant,
}

enum Stage {
    /// A job is under way.
    Job(JobId),
    /// This step may be begun then.
    Pause(Instant, CompactionStep),
    /// What was written is being synced.
    Sync,
}

impl Cleaner {
    pub(super) fn new(due: Instant) -> Self {
        Self { running: None, due }
    }

    /// When [`Partitions::clean`] is due.
    pub(super) fn poll_timeout(&self) -> Option<(Instant, Reason)> {
        match &self.running {
            None => Some((self.due, "compaction check")),
            Some((_, Stage::Pause(until, _))) => Some((*until, "compaction")),
            Some((_, Stage::Job(_) | Stage::Sync)) => None,
        }
    }
}

impl<D: Disk> Partitions<D> {
    /// Begins to compact the log with most to gain, or goes on after a pause.
    pub(super) fn clean(&mut self, now: Now, out: &mut Outbox) {
        if self.cleaner.poll_timeout().is_none_or(|(due, _)| now.mono < due) {
            return;
        }
        match self.cleaner.running.take() {
            None => {
                self.cleaner.due = now.mono + self.config.cleaner.backoff;
                self.begin_compaction(now, out);
            }
            Some((id, Stage::Pause(_, step))) => self.submit_compaction_step(id, step, out),
            Some((_, Stage::Job(_) | Stage::Sync)) => unreachable!("neither is due at a time"),
        }
    }

    fn begin_compaction(&mut self, now: Now, out: &mut Outbox) {
        let mut best: Option<(PartitionId, Cleanable)> = None;
        for id in self.led() {
            let Some(found) = self.cleanable(now, id, out) else { continue };
            let gain = |cleanable: &Cleanable| (cleanable.is_overdue, cleanable.dirty_ratio());
            if best.as_ref().is_none_or(|(_, best)| gain(best) < gain(&found)) {
                best = Some((id, found));
            }
        }
        let Some((id, cleanable)) = best else { return };
        let CleanerConfig { dedupe_buffer_bytes, io_buffer_bytes, .. } = self.config.cleaner;
        let limits =
            CompactionLimits { map_bytes_max: dedupe_buffer_bytes, step_bytes: io_buffer_bytes, seed: id.topic.0 };
        let leader = self.leaders.get_mut(&id).expect("it was looked at");
        match leader.log.begin_compaction(&self.disk, &cleanable, limits, now) {
            Ok(()) => self.continue_compaction(now, id, None, out),
            Err(error) => self.note_failure(id, "cannot compact", error, out),
        }
    }

    /// What of a log is worth compacting, after what makes it so.
    fn cleanable(&mut self, now: Now, id: PartitionId, out: &mut Outbox) -> Option<Cleanable> {
        let leader = self.leaders.get_mut(&id)?;
        match leader.log.roll_for_compaction(&mut self.disk, now) {
            Ok(None) => {}
            Ok(Some(base_offset)) => {
                out.events.push(Event::SegmentRolled { partition: id, base_offset });
                self.lane.mark_dirty(id);
            }
            Err(error) => {
                self.note_failure(id, "cannot close a segment of", error, out);
                return None;
            }
        }
        if leader.log.awaits_checkpoint() {
            self.checkpoint(now, id, out);
        }
        let leader = &self.leaders[&id];
        let found = leader.log.cleanable(now, leader.high_watermark())?;
        let ratio_min = leader.log.config().min_cleanable_dirty_ratio;
        (found.is_overdue || found.dirty_ratio() >= ratio_min).then_some(found)
    }

    fn submit_compaction_step(&mut self, id: PartitionId, step: CompactionStep, out: &mut Outbox) {
        let job = self.jobs.issue();
        self.cleaner.running = Some((id, Stage::Job(job)));
        out.jobs.push((job, Job::Compact(step)));
    }

    /// Takes the end of a step.
    pub(super) fn handle_compaction_step(&mut self, now: Now, job: JobId, done: CompactionStepDone, out: &mut Outbox) {
        match self.cleaner.running {
            Some((id, Stage::Job(running))) if running == job => self.continue_compaction(now, id, Some(done), out),
            _ => {}
        }
    }

    /// A sync has ended.
    pub(super) fn compact_after_sync(&mut self, now: Now, out: &mut Outbox) {
        if let Some((id, Stage::Sync)) = self.cleaner.running {
            self.continue_compaction(now, id, None, out);
        }
    }

    fn continue_compaction(&mut self, now: Now, id: PartitionId, done: Option<CompactionStepDone>, out: &mut Outbox) {
        self.cleaner.running = None;
        let Some(leader) = self.leaders.get_mut(&id) else { return };
        let resume = now.mono + done.as_ref().map_or(Duration::ZERO, |done| self.config.cleaner.pause(done.bytes()));
        self.lane.mark_dirty(id);
        match leader.log.continue_compaction(&mut self.disk, done) {
            Ok(CompactionProgress::Step(step)) if resume > now.mono => {
                self.cleaner.running = Some((id, Stage::Pause(resume, step)));
            }
            Ok(CompactionProgress::Step(step)) => self.submit_compaction_step(id, step, out),
            Ok(CompactionProgress::Sync) => self.cleaner.running = Some((id, Stage::Sync)),
            Ok(CompactionProgress::Done(compacted)) => self.finish_compaction(now, id, compacted, out),
            Ok(CompactionProgress::Abandoned) => {}
            Ok(CompactionProgress::Damaged(reason)) => {
                let topic = leader.leadership().topic.to_string();
                out.events.push(Event::CompactionFailed { partition: id, topic, reason });
            }
            Err(error) => self.note_failure(id, "cannot compact", error, out),
        }
    }

    fn finish_compaction(&mut self, now: Now, id: PartitionId, compacted: Compacted, out: &mut Outbox) {
        let topic = self.leaders[&id].leadership().topic.to_string();
        out.events.push(Event::LogCompacted { partition: id, topic, compacted });
        // Now rather than with the next one in a minute: until then the old files take their room too.
        self.checkpoint(now, id, out);
        self.cleaner.due = now.mono;
    }

    /// Gives up what is being compacted.
    pub(super) fn stop_cleaning(&mut self, out: &mut Outbox) {
        let Some((id, _)) = self.cleaner.running.take() else { return };
        let Some(leader) = self.leaders.get_mut(&id) else { return };
        if let Err(error) = leader.log.abandon_compaction(&mut self.disk) {
            self.note_failure(id, "cannot stop compacting", error, out);
        }
    }
}
