//! One partition's log on a [`Disk`](crate::Disk).

use std::io;

use crate::disk::FileSlice;

/// A look-up by timestamp in one sealed segment.
#[derive(Debug)]
pub struct TimestampSearch {
    /// The part of the segment to scan.
    pub slice: FileSlice,
    /// Milliseconds since the Unix epoch.
    pub timestamp: i64,
}

/// A record's timestamp and offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimestampAndOffset {
    /// Milliseconds since the Unix epoch.
    pub timestamp: i64,
    /// The record's offset.
    pub offset: crate::ids::Offset,
}

impl TimestampSearch {
    /// Finds the first record whose timestamp is at least the one asked for.
    ///
    /// # Errors
    /// An I/O error.
    pub fn run(self) -> io::Result<Option<TimestampAndOffset>> {
        Ok(None)
    }
}
