//! Finding a record by its timestamp (ListOffsets).
//!
//! The indexes say where in which segment to start; reading the batches from there is a job, because it may be cold and
//! a batch may have to be decompressed.

use std::io;

use bytes::Bytes;
use highwater_wire::records::{BatchHeader, records};

use super::Log;
use crate::disk::{Disk, FileSlice};
use crate::ids::{LeaderEpoch, Offset};
use crate::limits::DECOMPRESSED_BATCH_BYTES_MAX;

/// A record's timestamp and offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimestampAndOffset {
    /// Milliseconds since the Unix epoch.
    pub timestamp: i64,
    /// The record's offset.
    pub offset: Offset,
    /// The epoch of the leader that appended the record.
    pub leader_epoch: LeaderEpoch,
}

/// What can be said about a timestamp at once.
#[derive(Debug)]
pub enum TimestampAnswer {
    /// No record is that new.
    NotFound,
    /// This job finds the record.
    Search(TimestampSearch),
}

/// A look-up by timestamp in a log's files.
#[derive(Debug)]
pub struct TimestampSearch {
    /// Where the record must be: in the first of these, unless it has been deleted there.
    slices: Vec<FileSlice>,
    timestamp: i64,
    start: Offset,
}

impl Log {
    /// Looks for the first record whose timestamp is at least `timestamp`.
    ///
    /// # Errors
    /// An I/O error.
    pub fn find_timestamp(&self, disk: &impl Disk, timestamp: i64) -> io::Result<TimestampAnswer> {
        let mut slices = Vec::new();
        for segment in self.segments.values().filter(|segment| segment.max_timestamp >= timestamp) {
            let pos = segment.locate_timestamp(disk, timestamp)?;
            slices.push(FileSlice { bytes: disk.pin(segment.file), pos, len: segment.size - pos });
            if segment.base >= self.start {
                break;
            }
        }
        if slices.is_empty() {
            return Ok(TimestampAnswer::NotFound);
        }
        Ok(TimestampAnswer::Search(TimestampSearch { slices, timestamp, start: self.start }))
    }

    /// Looks for the first record that has the log's largest timestamp.
    ///
    /// # Errors
    /// An I/O error.
    pub fn max_timestamp(&self, disk: &impl Disk) -> io::Result<TimestampAnswer> {
        match self.segments.values().map(|segment| segment.max_timestamp).max() {
            Some(max) if max >= 0 => self.find_timestamp(disk, max),
            _ => Ok(TimestampAnswer::NotFound),
        }
    }
}

impl TimestampSearch {
    /// Finds the first record whose timestamp is at least the one asked for.
    ///
    /// # Errors
    /// An I/O error, or [`io::ErrorKind::InvalidData`] where a file does not hold what it should.
    pub fn run(self) -> io::Result<Option<TimestampAndOffset>> {
        for slice in &self.slices {
            if let Some(found) = self.search(slice)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    fn search(&self, slice: &FileSlice) -> io::Result<Option<TimestampAndOffset>> {
        let (mut position, end) = (slice.pos, slice.pos + slice.len);
        while position < end {
            let mut front = [0; BatchHeader::LEN];
            slice.bytes.read_exact_at(position, &mut front)?;
            let header = BatchHeader::parse(&front).map_err(invalid)?;
            if header.max_timestamp >= self.timestamp && Offset(header.last_offset()) >= self.start {
                if header.size_in_bytes() as u64 > end - position {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                let mut batch = vec![0; header.size_in_bytes()];
                slice.bytes.read_exact_at(position, &mut batch)?;
                if let Some(found) = self.search_batch(&header, batch.into())? {
                    return Ok(Some(found));
                }
            }
            position += header.size_in_bytes() as u64;
        }
        Ok(None)
    }

    fn search_batch(&self, header: &BatchHeader, batch: Bytes) -> io::Result<Option<TimestampAndOffset>> {
        for record in records(&batch, DECOMPRESSED_BATCH_BYTES_MAX).map_err(invalid)? {
            let record = record.map_err(invalid)?;
            if record.timestamp >= self.timestamp && Offset(record.offset) >= self.start {
                return Ok(Some(TimestampAndOffset {
                    timestamp: record.timestamp,
                    offset: Offset(record.offset),
                    leader_epoch: LeaderEpoch(header.partition_leader_epoch),
                }));
            }
        }
        Ok(None)
    }
}

fn invalid(error: impl std::error::Error + Send + Sync + 'static) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}
