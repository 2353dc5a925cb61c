//! The leader's side of one partition.
//!
//! Accepts batches, decides when they may be seen, and remembers who waits for that.
//!
//! Invariants, asserted by [`Leader::check`]:
//! * `log_start <= high_watermark <= log_end`.
//! * The high watermark never decreases within a leader epoch.
//! * Every parked batch waits for an offset above the one it waits on has reached.
//!
//! Sources: KIP-497 (maximal ISR), KIP-101 (leader epochs).
//! Deliberately absent: followers (the replica set is this broker), truncation (a leader never truncates).

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use highwater_wire::ErrorCode;

use super::fetch::WatchId;
use super::produce::ProduceId;
use crate::disk::Disk;
use crate::ids::{BrokerId, LeaderEpoch, Offset};
use crate::log::{AppendError, Appended, DeleteRecordsError, Log, RemovedSegment};
use crate::message::{Acks, Produced};
use crate::planted::{self, Bug};
use crate::time::{Now, WallMs};

/// When a replica's bytes count towards the high watermark.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Counting {
    /// When they are synced: `acks=all` survives losing power everywhere at once.
    #[default]
    Synced,
    /// When they are written, as in Kafka: losing power may lose them.
    Written,
}

/// What the controller says of a partition that this broker leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leadership {
    /// The topic's name.
    pub topic: Arc<str>,
    /// The term.
    pub leader_epoch: LeaderEpoch,
    /// The in-sync replica set.
    pub isr: BTreeSet<BrokerId>,
    /// How many members the ISR must have for `acks=all` (`min.insync.replicas`).
    pub isr_min: usize,
    /// When bytes count.
    pub counting: Counting,
}

/// A partition that this broker leads.
pub(super) struct Leader {
    pub(super) log: Log,
    pub(super) watchers: BTreeSet<WatchId>,
    leadership: Leadership,
    me: BrokerId,
    high_watermark: Offset,
    /// Where the log ended when this epoch began.
    epoch_start: Offset,
    /// Bytes appended since recovery was last given a later place to begin.
    bytes_since_checkpoint: u64,
    waiting_for_watermark: BTreeMap<Offset, Vec<Parked>>,
    waiting_for_own_copy: BTreeMap<Offset, Vec<Parked>>,
}

/// An accepted batch whose answer must wait.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parked {
    /// The request it belongs to.
    pub(super) produce: ProduceId,
    /// Which of the request's batches it is.
    pub(super) index: usize,
    /// What to answer.
    pub(super) produced: Produced,
}

/// A batch that was taken.
pub(super) struct Acceptance {
    /// What to answer at once; `None` if the answer is parked in the leader.
    pub(super) answer: Option<Produced>,
    /// The first offset of the segment that was opened for the batch.
    pub(super) rolled: Option<Offset>,
}

impl Leader {
    /// Takes the lead of a partition whose log is open.
    pub(super) fn new(log: Log, me: BrokerId, leadership: Leadership) -> Self {
        let mut leader = Self {
            high_watermark: log.start_offset(),
            epoch_start: log.end_offset(),
            log,
            watchers: BTreeSet::new(),
            leadership,
            me,
            bytes_since_checkpoint: 0,
            waiting_for_watermark: BTreeMap::new(),
            waiting_for_own_copy: BTreeMap::new(),
        };
        leader.advance_high_watermark();
        leader
    }

    /// The end of what consumers may see.
    pub(super) fn high_watermark(&self) -> Offset {
        self.high_watermark
    }

    /// Whether the high watermark covers all that earlier leaders may have shown (KIP-207).
    pub(super) fn is_caught_up(&self) -> bool {
        self.high_watermark >= self.epoch_start
    }

    /// What the controller said last.
    pub(super) fn leadership(&self) -> &Leadership {
        &self.leadership
    }

    /// Adopts what the controller says now. Batches parked in an older epoch are returned: they must be refused, since
    /// nobody knows what became of them.
    pub(super) fn adopt(&mut self, leadership: Leadership) -> Vec<Parked> {
        assert!(leadership.leader_epoch >= self.leadership.leader_epoch, "the controller never lowers a leader epoch");
        let new_epoch = leadership.leader_epoch > self.leadership.leader_epoch;
        self.leadership = leadership;
        if !new_epoch {
            return Vec::new();
        }
        self.epoch_start = self.log.end_offset();
        self.take_parked()
    }

    /// Gives up every parked batch.
    pub(super) fn take_parked(&mut self) -> Vec<Parked> {
        let on_watermark = std::mem::take(&mut self.waiting_for_watermark);
        let on_own_copy = std::mem::take(&mut self.waiting_for_own_copy);
        on_watermark.into_values().chain(on_own_copy.into_values()).flatten().collect()
    }

    /// Appends a batch and parks its answer until it may be given.
    pub(super) fn append(
        &mut self,
        disk: &mut impl Disk,
        batch: &Bytes,
        acks: Acks,
        caller: (ProduceId, usize),
        now: Now,
    ) -> Result<Acceptance, AppendRefusal> {
        if acks == Acks::All && self.leadership.isr.len() < self.leadership.isr_min {
            return Err(AppendRefusal::NotEnoughReplicas);
        }
        let appended = self.log.append_as_leader(disk, self.leadership.leader_epoch, batch, now)?;
        self.bytes_since_checkpoint += batch.len() as u64;
        let (produce, index) = caller;
        let parked = Parked { produce, index, produced: produced(&appended) };
        let is_parked = self.maybe_park(acks, appended.last_offset.advanced(1), parked);
        Ok(Acceptance { answer: (!is_parked).then_some(parked.produced), rolled: appended.rolled })
    }

    /// Appends a batch of this broker's own, which is committed once the high watermark has passed it.
    pub(super) fn append_internal(
        &mut self,
        disk: &mut impl Disk,
        batch: &Bytes,
        now: Now,
    ) -> Result<Appended, AppendRefusal> {
        if self.leadership.isr.len() < self.leadership.isr_min {
            return Err(AppendRefusal::NotEnoughReplicas);
        }
        let appended = self.log.append_internal(disk, self.leadership.leader_epoch, batch, now)?;
        self.bytes_since_checkpoint += batch.len() as u64;
        Ok(appended)
    }

    /// Parks an answer that must wait until `end` is reached.
    fn maybe_park(&mut self, acks: Acks, end: Offset, parked: Parked) -> bool {
        let counted = self.counted();
        let (reached, queue) = match acks {
            Acks::None => return false,
            Acks::Leader => (counted, &mut self.waiting_for_own_copy),
            Acks::All => (self.high_watermark, &mut self.waiting_for_watermark),
        };
        if end > reached {
            queue.entry(end).or_default().push(parked);
        }
        end > reached
    }

    /// Saves what recovery would otherwise have to read again.
    ///
    /// # Errors
    /// What the disk fails with.
    pub(super) fn checkpoint(&mut self, disk: &mut impl Disk, now: Now) -> io::Result<()> {
        self.bytes_since_checkpoint = 0;
        self.log.checkpoint(disk, now)
    }

    /// Bytes that a recovery would read, about.
    pub(super) fn bytes_since_checkpoint(&self) -> u64 {
        self.bytes_since_checkpoint
    }

    /// Takes note of how far this replica's bytes count now; returns the batches that may be answered.
    pub(super) fn handle_progress(&mut self) -> Vec<Parked> {
        self.advance_high_watermark();
        let counted = self.counted();
        let mut released = release(&mut self.waiting_for_own_copy, counted);
        released.append(&mut release(&mut self.waiting_for_watermark, self.high_watermark));
        released
    }

    /// Moves the high watermark to the lowest position that every member of the *maximal* ISR has reached.
    fn advance_high_watermark(&mut self) {
        let reached = self.leadership.isr.iter().map(|&replica| self.position_of(replica)).min();
        let Some(offset) = reached.filter(|&offset| offset > self.high_watermark) else { return };
        assert!(offset <= self.log.end_offset(), "a replica cannot be ahead of its leader's log");
        self.high_watermark = offset;
    }

    fn position_of(&self, replica: BrokerId) -> Offset {
        assert_eq!(replica, self.me, "the only replica is this broker");
        self.counted()
    }

    /// The end of what this broker's copy counts for.
    fn counted(&self) -> Offset {
        match self.leadership.counting {
            Counting::Synced if planted::is(Bug::AckBeforeSync) => self.log.end_offset(),
            Counting::Synced => self.log.synced_offset(),
            Counting::Written => self.log.end_offset(),
        }
    }

    /// Deletes the records below `offset`, or all that readers can see.
    ///
    /// # Errors
    /// `offset` is negative or lies beyond the high watermark, or the disk fails.
    pub(super) fn delete_records_before(
        &mut self,
        disk: &mut impl Disk,
        offset: Option<Offset>,
    ) -> Result<(), DeleteRecordsError> {
        let offset = offset.unwrap_or(self.high_watermark);
        if offset > self.high_watermark || offset < Offset(0) {
            return Err(DeleteRecordsError::OutOfRange { end: self.high_watermark });
        }
        self.log.delete_records_before(disk, offset)
    }

    /// Lets go of segments that are too old, too many or deleted.
    ///
    /// # Errors
    /// What the disk fails with.
    pub(super) fn apply_retention(&mut self, disk: &mut impl Disk, now: Now) -> io::Result<Vec<RemovedSegment>> {
        self.log.apply_retention(disk, now, self.high_watermark)
    }

    /// Compares the leader epoch that a client believes in with ours (KIP-320).
    pub(super) fn check_epoch(&self, believed: Option<LeaderEpoch>) -> Result<(), ErrorCode> {
        match believed {
            Some(epoch) if epoch < self.leadership.leader_epoch => Err(ErrorCode::FencedLeaderEpoch),
            Some(epoch) if epoch > self.leadership.leader_epoch => Err(ErrorCode::UnknownLeaderEpoch),
            _ => Ok(()),
        }
    }

    /// Asserts the invariants in the module's head.
    pub(super) fn check(&self) {
        self.log.check();
        assert!(self.log.start_offset() <= self.high_watermark, "readers start below the high watermark");
        assert!(self.high_watermark <= self.log.end_offset(), "nothing beyond the log's end can be seen");
        let lowest = |queue: &BTreeMap<Offset, Vec<Parked>>| queue.keys().next().copied();
        assert!(
            lowest(&self.waiting_for_watermark).is_none_or(|end| end > self.high_watermark),
            "released on progress"
        );
        assert!(lowest(&self.waiting_for_own_copy).is_none_or(|end| end > self.counted()), "released on progress");
    }
}

fn produced(appended: &Appended) -> Produced {
    Produced {
        base_offset: appended.base_offset,
        log_append_time: appended.log_append_time.map(WallMs),
        log_start_offset: appended.log_start_offset,
    }
}

/// Takes out all that waits for an end at or below `reached`.
fn release(queue: &mut BTreeMap<Offset, Vec<Parked>>, reached: Offset) -> Vec<Parked> {
    let still_parked = queue.split_off(&reached.advanced(1));
    std::mem::replace(queue, still_parked).into_values().flatten().collect()
}

/// Why a batch is not appended.
pub(super) enum AppendRefusal {
    /// The ISR is smaller than `min.insync.replicas`.
    NotEnoughReplicas,
    /// The log refuses it.
    Log(AppendError),
}

impl From<AppendError> for AppendRefusal {
    fn from(error: AppendError) -> Self {
        Self::Log(error)
    }
}
