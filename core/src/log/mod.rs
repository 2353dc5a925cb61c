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

mod checkpoint;
mod compaction;
mod config;
mod durability;
mod index;
pub mod inspect;
mod leader_epochs;
mod names;
mod producers;
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

use bytes::Bytes;
use highwater_wire::records::{BatchHeader, Batches, verify_crc};

use crate::disk::{Disk, FileSlice, LogPath};
use crate::ids::{LeaderEpoch, Offset};
use crate::time::Now;

pub use compaction::{Cleanable, Compacted, CompactionLimits, CompactionProgress, CompactionStep, CompactionStepDone};
pub use config::{CompressionPolicy, LogConfig};
pub use durability::Dirty;
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
use validate::{Accepted, Origin, validate};

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

/// What came of an append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// The first record's offset.
    pub base_offset: Offset,
    /// The last record's offset.
    pub last_offset: Offset,
    /// The broker's time, where the topic says that it is the records' time.
    pub log_append_time: Option<i64>,
    /// Whether the batch was in the log already; the offsets are the ones it has there.
    pub duplicate: bool,
    /// Where the log starts.
    pub log_start_offset: Offset,
    /// The first offset of the segment that was opened for the batch.
    pub rolled: Option<Offset>,
}

/// Whole batches in a log's files.
#[derive(Clone, Debug, Default)]
pub struct LogRead {
    /// Where they lie, in order.
    pub slices: Vec<FileSlice>,
    /// Bytes of all slices.
    pub bytes: u64,
}

/// Why a read has no answer.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The log does not reach there.
    #[error("the log has the offsets from {start} to {end}")]
    OutOfRange {
        /// The log's start.
        start: Offset,
        /// The log's end.
        end: Offset,
    },
    /// The disk failed.
    #[error("cannot read the log: {0}")]
    Io(#[from] io::Error),
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

/// Appending.
impl Log {
    /// Appends what a producer sent, if it is exactly one good batch, as the leader in `epoch`.
    ///
    /// A repetition of one of its producer's last batches is not appended again: it gets the original's offsets.
    ///
    /// # Errors
    /// One of Kafka's error codes, a full disk, or a broken one.
    pub fn append_as_leader(
        &mut self,
        disk: &mut impl Disk,
        epoch: LeaderEpoch,
        records: &Bytes,
        now: Now,
    ) -> Result<Appended, AppendError> {
        self.append_batch(disk, epoch, records, now, Origin::Client)
    }

    /// Appends a batch that a machine of this broker made: it may be a marker or belong to a transaction.
    ///
    /// # Errors
    /// As [`Self::append_as_leader`].
    pub fn append_internal(
        &mut self,
        disk: &mut impl Disk,
        epoch: LeaderEpoch,
        records: &Bytes,
        now: Now,
    ) -> Result<Appended, AppendError> {
        self.append_batch(disk, epoch, records, now, Origin::Internal)
    }

    fn append_batch(
        &mut self,
        disk: &mut impl Disk,
        epoch: LeaderEpoch,
        records: &Bytes,
        now: Now,
        origin: Origin,
    ) -> Result<Appended, AppendError> {
        assert!(self.latest_epoch().is_none_or(|latest| latest <= epoch), "only the newest leader appends");
        let accepted = validate(&self.config, records, origin, epoch, self.end_offset(), now)?;
        let Accepted { header, body, log_append_time } = accepted;
        if origin == Origin::Client && header.has_producer_id() {
            if let Some(original) = self.producers.duplicate_of(&header) {
                return Ok(self.duplicate_appended(original));
            }
            self.producers.admit(&header)?;
        }
        let rolled = self.maybe_roll(disk, &header).map_err(AppendError::of_disk)?;
        self.assign_epoch_at(disk, epoch, self.end_offset()).map_err(AppendError::of_disk)?;
        self.write(disk, &header, &[&header.to_bytes(), &body]).map_err(AppendError::of_disk)?;
        Ok(Appended {
            base_offset: Offset(header.base_offset),
            last_offset: Offset(header.last_offset()),
            log_append_time,
            duplicate: false,
            log_start_offset: self.start,
            rolled,
        })
    }

    fn duplicate_appended(&self, original: producers::ProducerBatch) -> Appended {
        Appended {
            base_offset: original.base_offset,
            last_offset: original.last_offset,
            log_append_time: None,
            duplicate: true,
            log_start_offset: self.start,
            rolled: None,
        }
    }

    /// Appends batches as the leader has them, whose offsets and epochs are theirs.
    ///
    /// # Errors
    /// Bytes that are not batches, or batches that do not go on where the log ends; a full disk, or a broken one. The
    /// batches before the one at fault are appended.
    pub fn append_as_follower(&mut self, disk: &mut impl Disk, records: &Bytes) -> Result<Appended, AppendError> {
        let base_offset = self.end_offset();
        let mut rolled = None;
        for batch in Batches(records.clone()) {
            let (header, bytes) = batch.map_err(|error| AppendError::CorruptMessage(error.to_string()))?;
            verify_crc(&bytes).map_err(|error| AppendError::CorruptMessage(error.to_string()))?;
            if Offset(header.base_offset) < self.end_offset() || header.last_offset_delta < 0 {
                let (end, base) = (self.end_offset(), header.base_offset);
                let message = format!("a batch at offset {base} cannot follow a log that ends at {end}");
                return Err(AppendError::CorruptMessage(message));
            }
            rolled = self.maybe_roll(disk, &header).map_err(AppendError::of_disk)?.or(rolled);
            let epoch = LeaderEpoch(header.partition_leader_epoch);
            self.assign_epoch_at(disk, epoch, Offset(header.base_offset)).map_err(AppendError::of_disk)?;
            self.write(disk, &header, &[&bytes]).map_err(AppendError::of_disk)?;
        }
        Ok(Appended {
            base_offset,
            last_offset: Offset(self.end_offset().0 - 1),
            log_append_time: None,
            duplicate: false,
            log_start_offset: self.start,
            rolled,
        })
    }

    fn write(&mut self, disk: &mut impl Disk, header: &BatchHeader, parts: &[&[u8]]) -> io::Result<()> {
        let interval = self.config.index_interval_bytes;
        let segment = self.active_mut();
        let (file, len) = (segment.file, segment.size + header.size_in_bytes() as u64);
        let written = disk.append(file, parts)?;
        assert_eq!(written, len, "the file holds the segment's batches and nothing else");
        segment.note(header, interval);
        self.lowered = None;
        self.durability.touch(file);
        self.producers.update(header);
        Ok(())
    }

    /// Opens a new segment if the batch does not belong into the current one. Returns its base offset.
    fn maybe_roll(&mut self, disk: &mut impl Disk, header: &BatchHeader) -> io::Result<Option<Offset>> {
        let active = self.active();
        let size = active.size + header.size_in_bytes() as u64;
        let waited = active.first_timestamp.map_or(0, |first| header.max_timestamp.saturating_sub(first));
        let full = size > u64::from(self.config.segment_bytes)
            || waited > self.config.roll_ms()
            || active.relative(Offset(header.next_offset())).is_none();
        if active.is_empty() || !full {
            return Ok(None);
        }
        self.roll(disk).map(Some)
    }

    /// Closes the segment that is written to and opens the next one. Leaves the log as it was if there is no space.
    fn roll(&mut self, disk: &mut impl Disk) -> io::Result<Offset> {
        let base = self.end_offset();
        disk.replace(&names::snapshot(&self.dir, base), &self.producers.to_bytes(base))?;
        self.durability.touch_directory();
        self.flush_active_index(disk)?;
        let next = Segment::create(disk, &self.dir, base)?;
        self.durability.touch(next.file);
        self.rolled_at = self.durability.touch_directory();
        let dir = self.dir.clone();
        let nothing_left = !self.active_mut().seal_index(disk, &dir)?;
        assert!(nothing_left, "the index was flushed before");
        self.segments.insert(base, next);
        Ok(base)
    }

    fn flush_active_index(&mut self, disk: &mut impl Disk) -> io::Result<()> {
        let dir = self.dir.clone();
        if let Some(file) = self.active_mut().flush_index(disk, &dir)? {
            self.durability.touch(file);
            self.durability.touch_directory();
        }
        Ok(())
    }
}

/// Reading.
impl Log {
    /// Finds whole batches from the one that contains `from`, or follows it after a gap, up to `end`, in at most
    /// `bytes_max` bytes; with `at_least_one` the first batch may be larger.
    ///
    /// # Errors
    /// `from` lies outside of the log, or the disk fails.
    pub fn read(
        &self,
        disk: &impl Disk,
        from: Offset,
        end: Offset,
        bytes_max: u64,
        at_least_one: bool,
    ) -> Result<LogRead, ReadError> {
        if from < self.start || from > self.end_offset() {
            return Err(ReadError::OutOfRange { start: self.start, end: self.end_offset() });
        }
        let mut read = LogRead::default();
        let first = self.segments.range(..=from).next_back().map_or(from, |(base, _)| *base);
        for segment in self.segments.range(first..).map(|(_, segment)| segment) {
            if segment.base >= end || from >= end {
                break;
            }
            let begin = segment.locate(disk, from)?;
            let limit = segment.locate(disk, end)?;
            let taken =
                take_from(disk, segment, begin, limit, bytes_max - read.bytes, at_least_one && read.bytes == 0)?;
            if taken > begin {
                let len = taken - begin;
                read.slices.push(FileSlice { bytes: disk.pin(segment.file), pos: begin, len });
                read.bytes = read.bytes.saturating_add(len);
            }
            if taken < limit || read.bytes >= bytes_max {
                break;
            }
        }
        Ok(read)
    }

    /// About how many bytes a read from `from` up to `end` would find; never 0 if there is something.
    pub fn bytes_between(&self, from: Offset, end: Offset) -> u64 {
        let from = from.max(self.start);
        let first = self.segments.range(..=from).next_back().map_or(from, |(base, _)| *base);
        if from >= end || first >= end {
            return 0;
        }
        let estimates = self
            .segments
            .range(first..end)
            .map(|(_, segment)| segment.estimate(end).saturating_sub(segment.estimate(from)));
        estimates.sum::<u64>().max(u64::from(from < self.end_offset()))
    }
}

/// Where to stop taking batches of a segment: at `limit`, or after what fits into `budget`.
fn take_from(
    disk: &impl Disk,
    segment: &Segment,
    begin: u64,
    limit: u64,
    budget: u64,
    at_least_one: bool,
) -> io::Result<u64> {
    if limit.saturating_sub(begin) <= budget {
        return Ok(limit.max(begin));
    }
    let boundary = segment.last_boundary(disk, begin, begin + budget)?.min(limit);
    if boundary == begin && at_least_one {
        return segment.batch_end(disk, begin);
    }
    Ok(boundary)
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
        let mut epochs = self.epochs.clone();
        if epochs.assign(epoch, start) || self.has_unsaved_epochs {
            self.save_epochs(disk, epochs)?;
        }
        Ok(())
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
