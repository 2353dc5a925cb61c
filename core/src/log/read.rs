//! Reading a log: where its batches lie, without looking into them.

use std::io;

use super::Log;
use super::segment::Segment;
use crate::disk::{Disk, FileSlice};
use crate::ids::Offset;

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
