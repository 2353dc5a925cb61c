//! The first offset of each leader epoch.
//!
//! A replica that follows compares these with its leader's to find where their logs part.
//!
//! Invariants, asserted by [`LeaderEpochs::check`]:
//! * Offsets grow strictly with epochs: an epoch without records leaves no trace once the next one begins.
//!
//! Sources: KIP-101, KIP-279.

use std::collections::BTreeMap;

use bytes::BufMut;

use super::small_file::{self, SmallFileError};
use crate::ids::{LeaderEpoch, Offset};

const TAG: [u8; 4] = *b"HWle";
const VERSION: u16 = 1;
const ENTRY_LEN: usize = 12;

/// The leader epochs that a log has records of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct LeaderEpochs {
    starts: BTreeMap<LeaderEpoch, Offset>,
}

impl LeaderEpochs {
    /// The newest epoch.
    pub fn latest(&self) -> Option<LeaderEpoch> {
        self.starts.last_key_value().map(|(epoch, _)| *epoch)
    }

    /// `epoch` begins at `start`. False if it, or a newer one, is known already.
    pub fn assign(&mut self, epoch: LeaderEpoch, start: Offset) -> bool {
        if self.latest().is_some_and(|latest| epoch <= latest) {
            return false;
        }
        self.starts.retain(|_, known| *known < start);
        self.starts.insert(epoch, start);
        true
    }

    /// The log was cut to end at `end`. True if that took an epoch away.
    pub fn truncate_end(&mut self, end: Offset) -> bool {
        let before = self.starts.len();
        self.starts.retain(|_, start| *start < end);
        self.starts.len() < before
    }

    /// The log starts at `start` now. True if that changed anything.
    pub fn truncate_start(&mut self, start: Offset) -> bool {
        let below: Vec<_> = self.starts.iter().filter(|(_, known)| **known < start).map(|(epoch, _)| *epoch).collect();
        let Some((holder, gone)) = below.split_last() else { return false };
        for epoch in gone {
            self.starts.remove(epoch);
        }
        // The newest of them has the log's first record, or had the last one before the next epoch.
        let next_starts_there = self.starts.values().any(|known| *known == start);
        if next_starts_there {
            self.starts.remove(holder);
        } else {
            self.starts.insert(*holder, start);
        }
        true
    }

    /// Where the records of `epoch` and all before it end, with the newest epoch that has some: the answer to
    /// OffsetForLeaderEpoch. None if that cannot be known.
    pub fn end_offset(&self, epoch: LeaderEpoch, log_end: Offset) -> Option<(LeaderEpoch, Offset)> {
        let latest = self.latest()?;
        if epoch > latest {
            return None;
        }
        if epoch == latest {
            return Some((epoch, log_end));
        }
        let (_, next_start) = self.starts.range(epoch..).find(|(known, _)| **known > epoch)?;
        // An epoch older than everything here ends where the oldest one begins.
        let holder = self.starts.range(..=epoch).next_back().map_or(epoch, |(known, _)| *known);
        Some((holder, *next_start))
    }

    /// The epoch of the record at `offset`.
    pub fn epoch_at(&self, offset: Offset) -> Option<LeaderEpoch> {
        self.starts.iter().rev().find(|(_, start)| **start <= offset).map(|(epoch, _)| *epoch)
    }

    /// The contents of the file.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut contents = Vec::with_capacity(4 + self.starts.len() * ENTRY_LEN);
        contents.put_u32(u32::try_from(self.starts.len()).expect("epochs are 32-bit numbers"));
        for (epoch, start) in &self.starts {
            contents.put_i32(epoch.0);
            contents.put_i64(start.0);
        }
        small_file::frame(TAG, VERSION, &contents)
    }

    /// Reads the file.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SmallFileError> {
        let mut contents = small_file::unframe(TAG, VERSION, bytes)?;
        let mut epochs = Self::default();
        for _ in 0..contents.count(ENTRY_LEN)? {
            let (epoch, start) = (LeaderEpoch(contents.i32()?), Offset(contents.i64()?));
            if !epochs.assign(epoch, start) {
                return Err(SmallFileError::Damaged);
            }
        }
        contents.end()?;
        Ok(epochs)
    }

    /// Asserts the invariants for a log from `start` to `end`.
    pub fn check(&self, end: Offset) {
        assert!(self.starts.values().is_sorted_by(|a, b| a < b), "a later epoch starts at a later offset");
        assert!(self.starts.values().all(|start| *start <= end), "no epoch starts beyond the log's end");
    }
}
