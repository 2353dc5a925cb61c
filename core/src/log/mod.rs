//! One partition's log on a [`Disk`]: segments of record batches, their indexes, and what follows from the batches.
//!
//! A log knows nothing of replication: its end is what was written, [`Log::synced_offset`] what is durable; what readers
//! may see is its owner's affair. It tells what a sync must cover ([`Log::dirty`]) and hears when that has happened
//! ([`Log::mark_synced`]).
//!
//! Files of a log's directory, `N` being an offset in 20 digits:
//! * `N.log`: batches as they came, the first one at `N` or, after a gap, behind it.
//! * `N.index`: where to find offsets and timestamps in it (`index`).
//! * `N.G.log`, `N.G.index`: the same, rewritten by compaction for the `G`th time; the checkpoint says which counts.
//! * `N.snapshot`: the producers' state before `N`.
//! * `checkpoint`, `leader-epoch-checkpoint`, `log-start-offset`: small files with a version and a checksum.
//!
//! Invariants, asserted by [`Log::check`]:
//! * `start <= synced <= end`, or `synced < start` where unsynced records were deleted.
//! * Segments follow one another without overlap, and the last one is written to.
//! * An append that fails for want of space leaves the log as it was.
//!
//! Sources: Kafka's log layout, KIP-98, KIP-101.
//! Deliberately absent: the index of aborted transactions.

mod append;
mod checkpoint;
mod compaction;
mod config;
mod durability;
mod index;
pub mod inspect;
mod leader_epochs;
mod names;
mod producers;
mod read;
mod recovery;
mod recovery_points;
mod retention;
mod scan;
mod search;
mod segment;
mod small_file;
mod truncation;
mod validate;

use std::collections::BTreeMap;
use std::io;

use crate::disk::{Disk, LogPath};
use crate::ids::{LeaderEpoch, Offset};
use crate::time::Now;

pub use append::Appended;
pub use compaction::{Cleanable, Compacted, CompactionLimits, CompactionProgress, CompactionStep, CompactionStepDone};
pub use config::{CompressionPolicy, LogConfig};
pub use durability::Dirty;
pub use read::{LogRead, ReadError};
pub use recovery::{OpenLogError, Recovery};
pub use recovery_points::{RecoveryPoints, RecoveryPointsError};
pub use retention::{DeleteRecordsError, RemovedSegment};
pub use search::{TimestampAndOffset, TimestampAnswer, TimestampSearch};
pub use validate::{AppendError, RecordError, Rejection};

use checkpoint::{Checkpoint, SegmentMark};
use compaction::Compaction;
use durability::Durability;
use leader_epochs::LeaderEpochs;
use producers::Producers;
use retention::Removing;
use segment::Segment;

/// One partition's log.
#[derive(Debug)]
pub struct Log {
    dir: LogPath,
    config: LogConfig,
    /// By their base offsets. Never empty.
    segments: BTreeMap<Offset, Segment>,
    start: Offset,
    epochs: LeaderEpochs,
    /// Whether the epochs' file says something else, about epochs without records.
    has_unsaved_epochs: bool,
    producers: Producers,
    durability: Durability,
    /// A checkpoint that may be written once what it covers is synced.
    prepared: Option<Checkpoint>,
    /// Up to where the checkpoint on the disk reaches.
    checkpointed: Offset,
    /// The change that wrote it.
    checkpoint_change: u64,
    /// The change that made the newest segment's file.
    rolled_at: u64,
    /// Compaction has been over everything below.
    cleaned: Offset,
    /// The compaction that is under way.
    compaction: Option<Compaction>,
    /// Whether a checkpoint is due even if nothing was appended.
    is_checkpoint_outdated: bool,
    /// Whether compaction has met damage.
    is_uncleanable: bool,
    /// Segments whose place rewritten ones have taken: the checkpoint on the disk still names their files.
    replaced: Vec<Segment>,
    /// The change that lowered the checkpoint for a truncation to come; until then there is no new one.
    lowered: Option<u64>,
    /// Segments that are out of the log, whose files stay until that is durable.
    removing: Vec<Removing>,
}

/// Why a leader cannot begin its epoch on a log: it has records of a later one.
#[derive(Debug, thiserror::Error)]
#[error(
    "{dir} has records of leader epoch {latest}, but the cluster has only come to epoch {epoch}: the log is damaged or \
     another cluster's; restore {dir} from a copy, or move it away to give up the partition's records"
)]
pub struct EpochAhead {
    /// The log's directory.
    pub dir: LogPath,
    /// The log's newest epoch.
    pub latest: LeaderEpoch,
    /// The leader's.
    pub epoch: LeaderEpoch,
}

impl Log {
    /// Makes an empty log at offset 0, and its directory. The directory's parent must exist.
    ///
    /// # Errors
    /// An I/O error; [`io::ErrorKind::AlreadyExists`] if there is a log.
    pub fn create(disk: &mut impl Disk, dir: LogPath, config: LogConfig) -> io::Result<Self> {
        disk.create_dir(&dir)?;
        let first = Segment::create(disk, &dir, Offset(0))?;
        let mut durability = Durability::new(Offset(0));
        durability.touch(first.file);
        let rolled_at = durability.touch_parent();
        Ok(Self {
            dir,
            config,
            segments: BTreeMap::from([(first.base, first)]),
            start: Offset(0),
            epochs: LeaderEpochs::default(),
            has_unsaved_epochs: false,
            producers: Producers::default(),
            durability,
            prepared: None,
            checkpointed: Offset(0),
            checkpoint_change: 0,
            rolled_at,
            cleaned: Offset(0),
            compaction: None,
            is_checkpoint_outdated: false,
            is_uncleanable: false,
            replaced: Vec::new(),
            lowered: None,
            removing: Vec::new(),
        })
    }

    /// The log's directory.
    pub fn dir(&self) -> &LogPath {
        &self.dir
    }

    /// The first offset that may be read.
    pub fn start_offset(&self) -> Offset {
        self.start
    }

    /// The offset of the next record.
    pub fn end_offset(&self) -> Offset {
        self.active().next
    }

    /// Everything below this is durable.
    pub fn synced_offset(&self) -> Offset {
        self.durability.synced()
    }

    /// Bytes of all batches.
    pub fn size_bytes(&self) -> u64 {
        self.segments.values().map(|segment| segment.size).sum()
    }

    /// How many segments there are.
    pub fn segment_count(&self) -> usize {
        self.segments.len()
    }

    /// How the log behaves.
    pub fn config(&self) -> &LogConfig {
        &self.config
    }

    /// Changes how the log behaves from now on.
    pub fn set_config(&mut self, config: LogConfig) {
        if config.compact && !self.config.compact {
            // Compaction relies on the checkpoint, which nobody may have synced since the log was opened.
            self.checkpoint_change = self.durability.touch_directory();
        }
        self.config = config;
    }

    /// Closes the log's files, whose pins stay readable.
    pub fn close(self, disk: &mut impl Disk) {
        let removing = self.removing.into_iter().map(Removing::into_segment).chain(self.replaced);
        let rewritten = self.compaction.and_then(Compaction::into_output);
        for segment in self.segments.into_values().chain(removing).chain(rewritten) {
            segment.close(disk);
        }
    }

    fn active(&self) -> &Segment {
        self.segments.last_key_value().expect("a log always has a segment").1
    }

    fn active_mut(&mut self) -> &mut Segment {
        self.segments.last_entry().expect("a log always has a segment").into_mut()
    }
}

/// Durability.
impl Log {
    /// What the next sync must cover, all that was done since the last call; none if that is nothing.
    ///
    /// Each answer must come back through [`Self::mark_synced`], in order.
    pub fn dirty(&mut self, disk: &impl Disk) -> Option<Dirty> {
        let end = self.end_offset();
        self.durability.submit(disk, &self.dir, end)
    }

    /// The sync for the oldest [`Dirty`] that is under way has ended; `upto` is what that said.
    ///
    /// # Panics
    /// If no sync is under way, or the oldest one said something else.
    pub fn mark_synced(&mut self, upto: Offset) {
        self.durability.mark_synced(upto);
    }

    /// Saves what recovery would otherwise have to read again, up to what is synced; the next sync makes it durable.
    ///
    /// To be called now and then, and before the last sync of a shutdown. While appends go on, a checkpoint takes two
    /// calls: one to prepare it, one to write it after what it covers has been synced.
    ///
    /// # Errors
    /// An I/O error. A full disk is none: the old checkpoint stays.
    pub fn checkpoint(&mut self, disk: &mut impl Disk, now: Now) -> io::Result<()> {
        self.purge(disk)?;
        self.producers.expire(now.wall, self.config.producer_id_expiration_ms);
        match self.checkpoint_now(disk) {
            Err(error) if error.kind() == io::ErrorKind::StorageFull => Ok(()),
            result => result,
        }
    }

    fn checkpoint_now(&mut self, disk: &mut impl Disk) -> io::Result<()> {
        self.publish_prepared(disk)?;
        let is_current = self.checkpointed == self.end_offset() && !self.is_checkpoint_outdated;
        if is_current || self.lowered.is_some() {
            return Ok(());
        }
        self.flush_active_index(disk)?;
        self.prepared = Some(Checkpoint {
            offset: self.end_offset(),
            cleaned: self.cleaned,
            segments: self.segments.values().map(SegmentMark::of).collect(),
            producers: self.producers.clone(),
        });
        self.publish_prepared(disk)
    }

    fn publish_prepared(&mut self, disk: &mut impl Disk) -> io::Result<()> {
        // A segment may be empty, and not durable, although all records are.
        let synced = Some(self.synced_offset()).filter(|_| self.durability.is_change_synced(self.rolled_at));
        let is_covered = |prepared: &mut Checkpoint| synced.is_some_and(|synced| prepared.offset <= synced);
        let Some(prepared) = self.prepared.take_if(is_covered) else { return Ok(()) };
        self.publish(disk, &prepared).map(drop)
    }

    /// Writes a checkpoint. Returns the change that must be durable before anything may rely on it.
    fn publish(&mut self, disk: &mut impl Disk, checkpoint: &Checkpoint) -> io::Result<u64> {
        disk.replace(&self.dir.join(names::CHECKPOINT), &checkpoint.to_bytes())?;
        let change = self.durability.touch_directory();
        self.checkpointed = checkpoint.offset;
        self.checkpoint_change = change;
        self.is_checkpoint_outdated = false;
        let replaced = std::mem::take(&mut self.replaced);
        self.removing.extend(replaced.into_iter().map(|segment| Removing::new(segment, change)));
        Ok(change)
    }
}

/// Leader epochs.
impl Log {
    /// A leader begins `epoch` where the log ends. The first record of the epoch makes that durable: opening many logs
    /// that nobody writes to costs no syncs.
    ///
    /// # Errors
    /// The log has records of a later epoch: a batch's epoch lies outside its checksum, so a damaged one shows itself only
    /// here. Recovery would take what this leader appends for an older leader's leftovers and cut it off.
    pub fn begin_epoch(&mut self, epoch: LeaderEpoch) -> Result<(), EpochAhead> {
        if let Some(latest) = self.latest_epoch().filter(|latest| *latest > epoch) {
            return Err(EpochAhead { dir: self.dir.clone(), latest, epoch });
        }
        self.has_unsaved_epochs |= self.epochs.assign(epoch, self.end_offset());
        Ok(())
    }

    /// A record of `epoch` is to be appended at `start`.
    fn assign_epoch_at(&mut self, disk: &mut impl Disk, epoch: LeaderEpoch, start: Offset) -> io::Result<()> {
        let is_known = self.latest_epoch().is_some_and(|latest| epoch <= latest);
        if is_known && !self.has_unsaved_epochs {
            return Ok(());
        }
        let mut epochs = self.epochs.clone();
        epochs.assign(epoch, start);
        self.save_epochs(disk, epochs)
    }

    fn save_epochs(&mut self, disk: &mut impl Disk, epochs: LeaderEpochs) -> io::Result<()> {
        disk.replace(&self.dir.join(names::LEADER_EPOCHS), &epochs.to_bytes())?;
        self.durability.touch_directory();
        self.epochs = epochs;
        self.has_unsaved_epochs = false;
        Ok(())
    }

    /// Where the records of `epoch` and all before it end, and the newest of these epochs that has records (KIP-101,
    /// KIP-279). None if the log knows no such epoch.
    pub fn end_offset_for_epoch(&self, epoch: LeaderEpoch) -> Option<(LeaderEpoch, Offset)> {
        self.epochs.end_offset(epoch, self.end_offset())
    }

    /// The newest epoch that the log knows.
    pub fn latest_epoch(&self) -> Option<LeaderEpoch> {
        self.epochs.latest()
    }

    /// The epoch of the record at `offset`.
    pub fn epoch_at(&self, offset: Offset) -> Option<LeaderEpoch> {
        self.epochs.epoch_at(offset)
    }

    /// Asserts the invariants.
    ///
    /// # Panics
    /// If one does not hold.
    pub fn check(&self) {
        let end = self.end_offset();
        assert!(self.start <= end, "a log does not start behind its end");
        assert!(self.checkpointed <= end, "a checkpoint covers what there is");
        assert!(self.cleaned <= end, "compaction has been over what there is");
        let mut previous_next = self.segments.keys().next().copied();
        for (base, segment) in &self.segments {
            assert_eq!(*base, segment.base, "segments are found by their base");
            assert!(previous_next.is_some_and(|next| next <= *base), "segments do not overlap");
            assert_eq!(segment.index.is_active(), *base == self.active().base, "only the last segment is written to");
            segment.check();
            previous_next = Some(segment.next);
        }
        assert!(self.segments.keys().next().is_some_and(|first| *first <= self.start), "the start is in a segment");
        self.epochs.check(end);
        self.producers.check(end);
        self.durability.check(end);
    }
}

#[cfg(test)]
mod tests;
