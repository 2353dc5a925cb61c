//! Cutting a log back to where it agrees with its leader's.
//!
//! Power loss may undo a cut that was not synced, and may equally undo what was written beside it. A cut below what is
//! known to be durable therefore has two steps: [`Log::prepare_truncation`] lowers what the log claims, and only when
//! that is synced, [`Log::truncate_to`] cuts. In between, a crash leaves a log that is merely too long.

use std::io;

use super::checkpoint::{Checkpoint, SegmentMark};
use super::names::Generation;
use super::producers::Producers;
use super::scan::Headers;
use super::{Log, Segment, names};
use crate::disk::{Disk, read_file};
use crate::ids::Offset;

/// Bytes of a snapshot that is worth reading.
const SNAPSHOT_BYTES_MAX: u64 = 256 * 1024 * 1024;

impl Log {
    /// Gives up the claim that what lies at `offset` and beyond is durable. Returns where the log will end, which is
    /// before `offset` where a batch contains it: the caller lowers the recovery point to there.
    ///
    /// # Errors
    /// An I/O error.
    pub fn prepare_truncation(&mut self, disk: &mut impl Disk, offset: Offset) -> io::Result<Offset> {
        self.prepared = None;
        self.abandon_compaction(disk)?;
        let end = self.end_if_cut(disk, offset)?;
        if self.checkpointed <= end {
            self.lowered.get_or_insert(0);
            return Ok(end);
        }
        let cut = self.segments.range(..=offset).next_back();
        let (base, generation) = cut.map_or((self.start, Generation::ORIGINAL), |(base, cut)| (*base, cut.generation));
        let before = self.segments.range(..base).map(|(_, segment)| SegmentMark::of(segment));
        let cut = SegmentMark::unread(base, generation);
        let segments = before.chain([cut]).collect();
        let producers = self.producers_before(disk, base)?;
        let checkpoint = Checkpoint { offset: base, cleaned: self.cleaned.min(base), segments, producers };
        self.lowered = Some(self.publish(disk, &checkpoint)?);
        Ok(end)
    }

    /// Where the last batch ends that lies wholly below `offset`.
    fn end_if_cut(&self, disk: &impl Disk, offset: Offset) -> io::Result<Offset> {
        let Some((_, segment)) = self.segments.range(..=offset).next_back() else { return Ok(self.start) };
        let mut headers = Headers::new(disk, segment.file, segment.size);
        let (mut position, mut end) = (0, segment.base);
        while let Some(header) = headers.at(position)?.filter(|header| header.next_offset() <= offset.0) {
            position += header.size_in_bytes() as u64;
            end = Offset(header.next_offset());
        }
        Ok(end)
    }

    /// Whether the log may be cut to end at `offset` now: nothing durable claims more.
    pub fn may_truncate_to(&self, offset: Offset) -> bool {
        self.checkpointed <= offset && self.lowered.is_none_or(|change| self.durability.is_change_synced(change))
    }

    /// Cuts the log so that it ends at `offset`, or before it where a batch contains it. What follows from the batches
    /// goes back with them.
    ///
    /// # Errors
    /// An I/O error.
    ///
    /// # Panics
    /// If [`Self::may_truncate_to`] does not hold.
    pub fn truncate_to(&mut self, disk: &mut impl Disk, offset: Offset) -> io::Result<()> {
        assert!(self.may_truncate_to(offset), "what claims to be durable is lowered before it is cut");
        (self.prepared, self.lowered) = (None, None);
        self.abandon_compaction(disk)?;
        if offset >= self.end_offset() {
            return Ok(());
        }
        let base = *self.segments.range(..=offset).next_back().expect("a log is not cut below its first segment").0;
        let cut_off = self.segments.split_off(&Offset(base.0 + 1));
        for (_, segment) in cut_off {
            self.remove_files(disk, segment)?;
        }
        self.cut_last(disk, offset)?;
        let end = self.end_offset();
        self.cleaned = self.cleaned.min(end);
        if self.start > end {
            // The batch that holds the start went as a whole.
            self.move_start(disk, end)?;
        }
        let mut epochs = self.epochs.clone();
        if epochs.truncate_end(end) {
            self.save_epochs(disk, epochs)?;
        }
        self.producers = self.producers_before(disk, end)?;
        self.durability.truncate(end);
        Ok(())
    }

    /// Cuts the last segment, which is written to from now on, and makes its index again.
    fn cut_last(&mut self, disk: &mut impl Disk, offset: Offset) -> io::Result<()> {
        let (dir, interval) = (self.dir.clone(), self.config.index_interval_bytes);
        let last = self.active_mut();
        let size = last.locate(disk, offset)?;
        disk.truncate(last.file, size)?;
        let mut cut = Segment::empty(last.base, last.generation, last.file);
        let mut headers = Headers::new(disk, cut.file, size);
        while cut.size < size {
            let header = headers.at(cut.size)?.ok_or(io::ErrorKind::InvalidData)?;
            cut.note(&header, interval);
        }
        if let Some(file) = last.index.file() {
            disk.close(file);
        }
        let stale = last.index.file();
        let file = cut.file;
        *last = cut;
        let (base, generation) = (self.active().base, self.active().generation);
        super::retention::remove_if_there(disk, &names::index(&dir, base, generation))?;
        if let Some(stale) = stale {
            self.durability.forget(stale);
        }
        self.durability.touch(file);
        self.durability.touch_directory();
        Ok(())
    }

    /// The producers' state before `offset`: the newest snapshot below it, and the batches since.
    fn producers_before(&self, disk: &mut impl Disk, offset: Offset) -> io::Result<Producers> {
        let mut producers = Producers::default();
        let mut from = self.start;
        for base in self.segments.range(..=offset).rev().map(|(base, _)| *base) {
            let bytes = read_file(disk, &names::snapshot(&self.dir, base), SNAPSHOT_BYTES_MAX)?;
            if let Some(snapshot) = bytes.and_then(|bytes| Producers::from_bytes(&bytes, base).ok()) {
                (producers, from) = (snapshot, base);
                break;
            }
        }
        let first = self.segments.range(..=from).next_back().map_or(from, |(base, _)| *base);
        for segment in self.segments.range(first..).map(|(_, segment)| segment) {
            let mut headers = Headers::new(disk, segment.file, segment.size);
            let mut position = 0;
            while let Some(header) = headers.at(position)?.filter(|header| header.next_offset() <= offset.0) {
                producers.update(&header);
                position += header.size_in_bytes() as u64;
            }
        }
        Ok(producers)
    }
}
