//! Appending to a log: a producer's batch, a machine's, or a leader's.

use std::io;

use bytes::Bytes;
use highwater_wire::records::{BatchHeader, Batches, verify_crc};

use super::producers::ProducerBatch;
use super::segment::Segment;
use super::validate::{Accepted, AppendError, Origin, validate};
use super::{Log, names};
use crate::disk::Disk;
use crate::ids::{LeaderEpoch, Offset};
use crate::time::Now;

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

    fn duplicate_appended(&self, original: ProducerBatch) -> Appended {
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
    pub(super) fn roll(&mut self, disk: &mut impl Disk) -> io::Result<Offset> {
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

    pub(super) fn flush_active_index(&mut self, disk: &mut impl Disk) -> io::Result<()> {
        let dir = self.dir.clone();
        if let Some(file) = self.active_mut().flush_index(disk, &dir)? {
            self.durability.touch(file);
            self.durability.touch_directory();
        }
        Ok(())
    }
}
