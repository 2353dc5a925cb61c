//! The sparse index of one segment: by offset, by position and by timestamp.
//!
//! One entry for about every `index.interval.bytes` says where a batch starts, its base offset, and the largest timestamp
//! of the segment up to and including it. All three grow together, so one file answers all three questions.
//!
//! Invariants:
//! * An index may only point to places where to start looking: an entry carries its own checksum, and a look-up that
//!   meets a bad one, or a file that ends early, starts at the segment's first batch instead.
//! * The entries of the segment that is written to are in memory, all of them; of the others none is.

use std::collections::VecDeque;
use std::io;

use crate::disk::{Disk, LogPath, OpenMode};
use crate::ids::{FileId, Offset};

/// One entry of an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct IndexEntry {
    /// The batch's base offset, relative to the segment's.
    pub relative_offset: u32,
    /// Where the batch starts in the segment.
    pub position: u32,
    /// The largest timestamp in the segment up to the batch's end.
    pub max_timestamp: i64,
}

impl IndexEntry {
    const LEN: usize = 20;

    fn to_bytes(self, base: Offset) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        bytes[0..4].copy_from_slice(&self.relative_offset.to_be_bytes());
        bytes[4..8].copy_from_slice(&self.position.to_be_bytes());
        bytes[8..16].copy_from_slice(&self.max_timestamp.to_be_bytes());
        let checksum = Self::checksum(base, &bytes[..16]);
        bytes[16..20].copy_from_slice(&checksum.to_be_bytes());
        bytes
    }

    fn from_bytes(base: Offset, bytes: &[u8]) -> Option<Self> {
        let (relative_offset, rest) = bytes.split_first_chunk()?;
        let (position, rest) = rest.split_first_chunk()?;
        let (max_timestamp, rest) = rest.split_first_chunk()?;
        let (checksum, _) = rest.split_first_chunk()?;
        (u32::from_be_bytes(*checksum) == Self::checksum(base, &bytes[..16])).then(|| Self {
            relative_offset: u32::from_be_bytes(*relative_offset),
            position: u32::from_be_bytes(*position),
            max_timestamp: i64::from_be_bytes(*max_timestamp),
        })
    }

    /// Covers the segment's base offset too, so that an entry of another index does not pass.
    fn checksum(base: Offset, fields: &[u8]) -> u32 {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&base.0.to_be_bytes());
        hasher.update(fields);
        hasher.finalize()
    }
}

/// How many of the newest batches are remembered one by one: readers at the log's end need no disk to find their place.
const RECENT_BATCHES: usize = 64;

/// The index of one segment.
#[derive(Debug)]
pub(super) struct Index {
    base: Offset,
    /// The file, once something was written.
    file: Option<FileId>,
    /// How many entries the file has.
    written: usize,
    memory: Option<Memory>,
}

#[derive(Debug, Default)]
struct Memory {
    entries: Vec<IndexEntry>,
    /// The newest batches, whether or not they have an entry.
    recent: VecDeque<IndexEntry>,
}

impl Index {
    /// The index of an empty segment.
    pub fn new(base: Offset) -> Self {
        Self { base, file: None, written: 0, memory: Some(Memory::default()) }
    }

    /// The index of a closed segment, with `entries` entries in its file; none if it is missing or has another length.
    pub fn open_sealed(disk: &mut impl Disk, path: &LogPath, base: Offset, entries: usize) -> io::Result<Option<Self>> {
        let Some(file) = open_existing(disk, path)? else {
            return Ok((entries == 0).then_some(Self { base, file: None, written: 0, memory: None }));
        };
        if disk.len(file)? == (entries * IndexEntry::LEN) as u64 {
            return Ok(Some(Self { base, file: Some(file), written: entries, memory: None }));
        }
        disk.close(file);
        Ok(None)
    }

    /// The index of the segment that is written to, as of a moment at which it had `entries` entries; what the file has
    /// beyond is cut off. None if one of them is missing or damaged.
    pub fn open_active(disk: &mut impl Disk, path: &LogPath, base: Offset, entries: usize) -> io::Result<Option<Self>> {
        let Some(file) = open_existing(disk, path)? else {
            return Ok((entries == 0).then(|| Self::new(base)));
        };
        let len =
            entries.checked_mul(IndexEntry::LEN).filter(|&len| disk.len(file).is_ok_and(|have| len as u64 <= have));
        let Some(len) = len else {
            disk.close(file);
            return Ok(None);
        };
        let mut bytes = vec![0; len];
        let read = disk.read_at(file, 0, &mut bytes)?;
        let loaded: Option<Vec<_>> =
            bytes[..read].chunks(IndexEntry::LEN).map(|bytes| IndexEntry::from_bytes(base, bytes)).collect();
        let Some(loaded) = loaded.filter(|loaded| loaded.len() == entries) else {
            disk.close(file);
            return Ok(None);
        };
        disk.truncate(file, len as u64)?;
        let memory = Memory { entries: loaded, recent: VecDeque::new() };
        Ok(Some(Self { base, file: Some(file), written: entries, memory: Some(memory) }))
    }

    /// The file, for syncs and removal.
    pub fn file(&self) -> Option<FileId> {
        self.file
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.memory.as_ref().map_or(self.written, |memory| memory.entries.len())
    }

    /// Whether the entries are in memory, as they are while the segment is written to.
    pub fn is_active(&self) -> bool {
        self.memory.is_some()
    }

    /// Takes note of a batch at the end of the segment; it gets an entry of its own if the last one is `interval` bytes
    /// behind.
    pub fn note(&mut self, batch: IndexEntry, interval: u32) {
        let memory = self.memory.as_mut().expect("only the active segment grows");
        if memory.entries.last().is_none_or(|last| batch.position - last.position >= interval) {
            memory.entries.push(batch);
        }
        if memory.recent.len() == RECENT_BATCHES {
            memory.recent.pop_front();
        }
        memory.recent.push_back(batch);
    }

    /// Appends to the file what it does not have yet. True if that was anything.
    pub fn flush(&mut self, disk: &mut impl Disk, path: &LogPath) -> io::Result<bool> {
        let Some(memory) = &self.memory else { return Ok(false) };
        let fresh = &memory.entries[self.written..];
        if fresh.is_empty() {
            return Ok(false);
        }
        let file = match self.file {
            Some(file) => file,
            None => create(disk, path)?,
        };
        self.file = Some(file);
        let bytes: Vec<u8> = fresh.iter().flat_map(|entry| entry.to_bytes(self.base)).collect();
        disk.append(file, &[&bytes])?;
        self.written = memory.entries.len();
        Ok(true)
    }

    /// The segment is closed: everything goes to the file and leaves the memory. True if anything was written.
    pub fn seal(&mut self, disk: &mut impl Disk, path: &LogPath) -> io::Result<bool> {
        let written = self.flush(disk, path)?;
        self.memory = None;
        Ok(written)
    }

    /// The entry before the first one for which `passed` is false, which must not become true again.
    pub fn last_where(&self, disk: &impl Disk, passed: impl Fn(&IndexEntry) -> bool) -> io::Result<Option<IndexEntry>> {
        if let Some(memory) = &self.memory {
            let entries = if memory.recent.front().is_some_and(&passed) { None } else { Some(&memory.entries) };
            return Ok(match entries {
                Some(entries) => entries[..entries.partition_point(&passed)].last().copied(),
                None => memory.recent.iter().take_while(|entry| passed(entry)).last().copied(),
            });
        }
        let Some(file) = self.file else { return Ok(None) };
        let (mut low, mut high) = (0, self.written);
        let mut found = None;
        while low < high {
            let middle = low.midpoint(high);
            let Some(entry) = self.read_entry(disk, file, middle)? else { return Ok(None) };
            if passed(&entry) {
                (low, found) = (middle + 1, Some(entry));
            } else {
                high = middle;
            }
        }
        Ok(found)
    }

    fn read_entry(&self, disk: &impl Disk, file: FileId, at: usize) -> io::Result<Option<IndexEntry>> {
        let mut bytes = [0; IndexEntry::LEN];
        let read = disk.read_at(file, (at * IndexEntry::LEN) as u64, &mut bytes)?;
        Ok(IndexEntry::from_bytes(self.base, &bytes[..read]))
    }

    /// The entry at or before a relative offset and the one after it, as far as memory knows them.
    pub fn around(&self, relative_offset: u32) -> (Option<IndexEntry>, Option<IndexEntry>) {
        let Some(memory) = &self.memory else { return (None, None) };
        let dense = memory.recent.front().is_some_and(|first| first.relative_offset <= relative_offset);
        let passed = |entry: &IndexEntry| entry.relative_offset <= relative_offset;
        if dense {
            let at = memory.recent.partition_point(passed);
            return (at.checked_sub(1).and_then(|at| memory.recent.get(at)).copied(), memory.recent.get(at).copied());
        }
        let at = memory.entries.partition_point(passed);
        (at.checked_sub(1).and_then(|at| memory.entries.get(at)).copied(), memory.entries.get(at).copied())
    }

    /// Asserts the index's invariants for a segment of `size` bytes.
    pub fn check(&self, size: u64) {
        let Some(memory) = &self.memory else { return };
        assert!(self.written <= memory.entries.len(), "the file never has more than the memory");
        for run in [memory.entries.as_slice(), memory.recent.as_slices().0, memory.recent.as_slices().1] {
            let grows = |a: &IndexEntry, b: &IndexEntry| {
                a.position <= b.position && a.relative_offset <= b.relative_offset && a.max_timestamp <= b.max_timestamp
            };
            assert!(run.is_sorted_by(grows), "positions, offsets and the largest timestamp so far never fall");
            assert!(run.last().is_none_or(|last| u64::from(last.position) < size), "an entry points into the segment");
        }
    }
}

fn open_existing(disk: &mut impl Disk, path: &LogPath) -> io::Result<Option<FileId>> {
    match disk.open(path, OpenMode::Existing) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Creates the file, or empties what an earlier process left under its name.
fn create(disk: &mut impl Disk, path: &LogPath) -> io::Result<FileId> {
    if let Some(file) = open_existing(disk, path)? {
        disk.truncate(file, 0)?;
        return Ok(file);
    }
    disk.open(path, OpenMode::New)
}
