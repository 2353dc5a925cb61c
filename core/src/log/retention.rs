//! Taking segments off the front of a log: by age, by size, because their records were deleted.
//!
//! A segment leaves the log at once and its files later: only when it is durable that the log starts behind it may a
//! missing file not be taken for damage.

use std::io;

use bytes::BufMut;

use super::small_file::{self, SmallFileError};
use super::{Log, Segment, names};
use crate::disk::Disk;
use crate::ids::Offset;
use crate::time::Now;

const TAG: [u8; 4] = *b"HWst";
const VERSION: u16 = 1;

/// A segment that is no longer part of its log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RemovedSegment {
    /// Its first offset.
    pub base_offset: Offset,
    /// Bytes of its batches.
    pub bytes: u64,
}

/// Why records cannot be deleted.
#[derive(Debug, thiserror::Error)]
pub enum DeleteRecordsError {
    /// The log does not reach there.
    #[error("the log ends at {end}")]
    OutOfRange {
        /// The log's end.
        end: Offset,
    },
    /// The disk failed.
    #[error("cannot delete records: {0}")]
    Io(#[from] io::Error),
}

/// A segment whose files are still there.
#[derive(Debug)]
pub(super) struct Removing {
    segment: Segment,
    /// The change of the directory that must be durable first.
    change: u64,
}

impl Removing {
    /// A segment whose files may go once `change` is durable.
    pub(super) fn new(segment: Segment, change: u64) -> Self {
        Self { segment, change }
    }

    pub(super) fn into_segment(self) -> Segment {
        self.segment
    }
}

impl Log {
    /// Lets go of the oldest segments that are too old, too many or deleted, as far as `high_watermark` covers them.
    /// A segment that is written to is closed first if it has to go.
    ///
    /// # Errors
    /// An I/O error. A full disk is none: what needs space waits.
    pub fn apply_retention(
        &mut self,
        disk: &mut impl Disk,
        now: Now,
        high_watermark: Offset,
    ) -> io::Result<Vec<RemovedSegment>> {
        self.purge(disk)?;
        match self.remove_expired(disk, now, high_watermark) {
            Err(error) if error.kind() == io::ErrorKind::StorageFull => Ok(Vec::new()),
            result => result,
        }
    }

    fn remove_expired(
        &mut self,
        disk: &mut impl Disk,
        now: Now,
        high_watermark: Offset,
    ) -> io::Result<Vec<RemovedSegment>> {
        let mut count = self.expired(now, high_watermark);
        if self.segments.values().take(count).any(|segment| segment.next > self.checkpointed) {
            self.checkpoint_now(disk)?;
        }
        // What producers did there must outlive the records: what no checkpoint covers yet, stays.
        let covered = self.segments.values().take_while(|segment| segment.next <= self.checkpointed).count();
        count = count.min(covered);
        if count == 0 { Ok(Vec::new()) } else { self.remove_oldest(disk, count) }
    }

    /// How many of the oldest segments have to go.
    fn expired(&self, now: Now, high_watermark: Offset) -> usize {
        let mut excess = match self.config.retention_bytes.filter(|_| self.config.delete) {
            Some(keep) => self.size_bytes().saturating_sub(keep),
            None => 0,
        };
        let mut count = 0;
        for segment in self.segments.values() {
            let oversize = excess > 0 && segment.size <= excess;
            let goes = oversize || segment.next <= self.start || self.is_too_old(segment, now);
            if segment.is_empty() || segment.next > high_watermark || !goes {
                break;
            }
            excess = excess.saturating_sub(segment.size);
            count += 1;
        }
        count
    }

    fn is_too_old(&self, segment: &Segment, now: Now) -> bool {
        let limit = self.config.retention_ms.filter(|_| self.config.delete && segment.max_timestamp >= 0);
        limit.is_some_and(|limit| now.wall.0.saturating_sub(segment.max_timestamp) > limit)
    }

    fn remove_oldest(&mut self, disk: &mut impl Disk, count: usize) -> io::Result<Vec<RemovedSegment>> {
        self.abandon_compaction(disk)?;
        if count == self.segments.len() {
            self.roll(disk)?;
        }
        let first_left = *self.segments.keys().nth(count).expect("the last segment stays");
        let change = self.move_start(disk, first_left.max(self.start))?;
        let kept = self.segments.split_off(&first_left);
        let removed = std::mem::replace(&mut self.segments, kept);
        let report = removed.values().map(|segment| RemovedSegment { base_offset: segment.base, bytes: segment.size });
        let report = report.collect();
        self.removing.extend(removed.into_values().map(|segment| Removing::new(segment, change)));
        Ok(report)
    }

    /// The log starts at `start` from now on. Returns the change that must be durable before files may go.
    pub(super) fn move_start(&mut self, disk: &mut impl Disk, start: Offset) -> io::Result<u64> {
        disk.replace(&self.dir.join(names::START), &start_to_bytes(start))?;
        self.start = start;
        // Noted at once: the start has moved even if the epochs find no room, and then counts as deleted.
        let change = self.durability.touch_directory();
        let mut epochs = self.epochs.clone();
        if epochs.truncate_start(start) {
            self.save_epochs(disk, epochs)?;
        }
        Ok(change)
    }

    /// Deletes the records below `offset`, which the next sync makes durable. Whole segments go with the next
    /// [`Self::apply_retention`]. An offset below the log's start changes nothing.
    ///
    /// # Errors
    /// `offset` lies beyond the log's end, or the disk fails or is full.
    pub fn delete_records_before(&mut self, disk: &mut impl Disk, offset: Offset) -> Result<(), DeleteRecordsError> {
        let end = self.end_offset();
        if offset > end {
            return Err(DeleteRecordsError::OutOfRange { end });
        }
        if offset > self.start {
            self.move_start(disk, offset)?;
        }
        Ok(())
    }

    /// Removes the files of segments that have left the log for good.
    pub(super) fn purge(&mut self, disk: &mut impl Disk) -> io::Result<()> {
        let durability = &self.durability;
        let (gone, waiting) = std::mem::take(&mut self.removing)
            .into_iter()
            .partition(|removing: &Removing| durability.is_change_synced(removing.change));
        self.removing = waiting;
        for Removing { segment, .. } in gone {
            self.remove_files(disk, segment)?;
        }
        Ok(())
    }

    /// Removes a segment's files.
    pub(super) fn remove_files(&mut self, disk: &mut impl Disk, segment: Segment) -> io::Result<()> {
        let (dir, base, generation) = (&self.dir, segment.base, segment.generation);
        segment.files().for_each(|file| self.durability.forget(file));
        segment.close(disk);
        for path in [names::log(dir, base, generation), names::index(dir, base, generation)] {
            remove_if_there(disk, &path)?;
        }
        // The state before this offset is still that of a segment that has taken this one's place.
        if !self.segments.contains_key(&base) {
            remove_if_there(disk, &names::snapshot(dir, base))?;
        }
        self.durability.touch_directory();
        Ok(())
    }
}

/// Removes a file, if it is there.
pub(super) fn remove_if_there(disk: &mut impl Disk, path: &crate::disk::LogPath) -> io::Result<()> {
    match disk.remove(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn start_to_bytes(start: Offset) -> Vec<u8> {
    let mut contents = Vec::new();
    contents.put_i64(start.0);
    small_file::frame(TAG, VERSION, &contents)
}

/// Reads the file that says where the log starts.
pub(super) fn start_from_bytes(bytes: &[u8]) -> Result<Offset, SmallFileError> {
    let mut contents = small_file::unframe(TAG, VERSION, bytes)?;
    let start = Offset(contents.i64()?);
    contents.end()?;
    Ok(start)
}
