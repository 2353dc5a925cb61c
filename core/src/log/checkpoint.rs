//! What recovery need not read again.
//!
//! A checkpoint says: up to this offset everything was synced and valid, and this is what following the log up to there
//! had led to. It is written only once that is so; a log that has it reads only what came later.

use bytes::BufMut;

use super::names::{self, Generation};
use super::producers::Producers;
use super::segment::Segment;
use super::small_file::{self, SmallFileError};
use crate::disk::LogPath;
use crate::ids::Offset;

const TAG: [u8; 4] = *b"HWcp";
const VERSION: u16 = 2;

/// Before compaction: no segment was rewritten, and nothing was cleaned.
const VERSION_WITHOUT_COMPACTION: u16 = 1;

/// A checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Checkpoint {
    /// Everything below was synced.
    pub offset: Offset,
    /// Compaction has been over everything below.
    pub cleaned: Offset,
    /// The segments, in order; the last one was written to.
    pub segments: Vec<SegmentMark>,
    /// The producers' state before the offset.
    pub producers: Producers,
}

/// What a checkpoint remembers of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SegmentMark {
    pub base: Offset,
    pub generation: Generation,
    pub next: Offset,
    pub size: u64,
    pub max_timestamp: i64,
    pub first_timestamp: Option<i64>,
    /// How many entries the file of the index had.
    pub index_entries: usize,
}

impl SegmentMark {
    const LEN: usize = 49;

    /// The file of its batches.
    pub fn path(&self, dir: &LogPath) -> LogPath {
        names::log(dir, self.base, self.generation)
    }

    /// A segment that is to be read from its start.
    pub fn unread(base: Offset, generation: Generation) -> Self {
        let (next, size, max_timestamp, first_timestamp, index_entries) = (base, 0, -1, None, 0);
        Self { base, generation, next, size, max_timestamp, first_timestamp, index_entries }
    }

    /// What there is to remember of a segment whose index is flushed.
    pub fn of(segment: &Segment) -> Self {
        Self {
            base: segment.base,
            generation: segment.generation,
            next: segment.next,
            size: segment.size,
            max_timestamp: segment.max_timestamp,
            first_timestamp: segment.first_timestamp,
            index_entries: segment.index.len(),
        }
    }
}

impl Checkpoint {
    /// Whether a segment's file is part of the log: the others were removed and came back, or were replaced by compaction,
    /// or are what it had begun.
    pub fn counts(&self, file: (Offset, Generation)) -> bool {
        let is_later = file.0 >= self.offset && file.1 == Generation::ORIGINAL;
        is_later || self.segments.iter().any(|mark| (mark.base, mark.generation) == file)
    }

    /// The contents of the file.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut contents = Vec::new();
        contents.put_i64(self.offset.0);
        contents.put_i64(self.cleaned.0);
        contents.put_u32(u32::try_from(self.segments.len()).expect("fewer segments than 2^32"));
        for mark in &self.segments {
            contents.put_i64(mark.base.0);
            contents.put_u32(mark.generation.0);
            contents.put_i64(mark.next.0);
            contents.put_u64(mark.size);
            contents.put_i64(mark.max_timestamp);
            contents.put_u8(u8::from(mark.first_timestamp.is_some()));
            contents.put_i64(mark.first_timestamp.unwrap_or(0));
            contents.put_u32(u32::try_from(mark.index_entries).expect("positions have 32 bits"));
        }
        self.producers.put(&mut contents);
        small_file::frame(TAG, VERSION, &contents)
    }

    /// Reads the file.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SmallFileError> {
        let (version, mut contents) = small_file::unframe_any(TAG, VERSION, bytes)?;
        let is_old = version == VERSION_WITHOUT_COMPACTION;
        let offset = Offset(contents.i64()?);
        let cleaned = if is_old { Offset(0) } else { Offset(contents.i64()?) };
        let mark_len = if is_old { SegmentMark::LEN - size_of::<Generation>() } else { SegmentMark::LEN };
        let mut segments = Vec::new();
        for _ in 0..contents.count(mark_len)? {
            let base = Offset(contents.i64()?);
            let generation = if is_old { Generation::ORIGINAL } else { Generation(contents.u32()?) };
            let next = Offset(contents.i64()?);
            let (size, max_timestamp) = (contents.u64()?, contents.i64()?);
            let (has_first, first) = (contents.u8()? == 1, contents.i64()?);
            let index_entries = usize::try_from(contents.u32()?).map_err(|_| SmallFileError::Damaged)?;
            let first_timestamp = has_first.then_some(first);
            let mark = SegmentMark { base, generation, next, size, max_timestamp, first_timestamp, index_entries };
            segments.push(mark);
        }
        let producers = Producers::take(&mut contents)?;
        contents.end()?;
        Ok(Self { offset, cleaned, segments, producers })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_from_before_compaction_is_read() {
        let mark = |base, generation| SegmentMark {
            base: Offset(base),
            generation: Generation(generation),
            next: Offset(base + 10),
            size: 700,
            max_timestamp: 5,
            first_timestamp: Some(3),
            index_entries: 2,
        };
        let (offset, producers) = (Offset(20), Producers::default());
        let segments = vec![mark(0, 4), mark(10, 0)];
        let checkpoint = Checkpoint { offset, cleaned: Offset(10), segments, producers: producers.clone() };
        assert_eq!(Checkpoint::from_bytes(&checkpoint.to_bytes()), Ok(checkpoint.clone()));
        let mut contents = Vec::new();
        contents.put_i64(20);
        contents.put_u32(2);
        for base in [0, 10] {
            contents.put_i64(base);
            contents.put_i64(base + 10);
            contents.put_u64(700);
            contents.put_i64(5);
            contents.put_u8(1);
            contents.put_i64(3);
            contents.put_u32(2);
        }
        producers.put(&mut contents);
        let old = small_file::frame(TAG, VERSION_WITHOUT_COMPACTION, &contents);
        let expected = Checkpoint { offset, cleaned: Offset(0), segments: vec![mark(0, 0), mark(10, 0)], producers };
        assert_eq!(Checkpoint::from_bytes(&old), Ok(expected));
        let newer = small_file::frame(TAG, VERSION + 1, &contents);
        assert_eq!(Checkpoint::from_bytes(&newer), Err(SmallFileError::Version(VERSION + 1)));
    }
}
