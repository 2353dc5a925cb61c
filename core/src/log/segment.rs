//! One segment of a log: a file of batches and its index.

use std::io;

use highwater_wire::records::BatchHeader;

use super::index::{Index, IndexEntry};
use super::names::{self, Generation};
use super::scan::Headers;
use crate::disk::{Disk, LogPath, OpenMode};
use crate::ids::{FileId, Offset};

/// One segment.
#[derive(Debug)]
pub(super) struct Segment {
    /// Its first offset, which names its files.
    pub base: Offset,
    /// How often it was rewritten, which names them too.
    pub generation: Generation,
    /// The offset after its last batch; the base if it has none.
    pub next: Offset,
    /// The file of batches.
    pub file: FileId,
    /// Bytes of whole batches in the file.
    pub size: u64,
    /// The largest timestamp of a record, -1 if there is none.
    pub max_timestamp: i64,
    /// The largest timestamp of the first batch: `segment.ms` counts from it.
    pub first_timestamp: Option<i64>,
    /// The index.
    pub index: Index,
}

impl Segment {
    /// Makes the empty segment that begins at `base`.
    pub fn create(disk: &mut impl Disk, dir: &LogPath, base: Offset) -> io::Result<Self> {
        Self::create_rewritten(disk, dir, base, Generation::ORIGINAL)
    }

    /// Makes the empty segment that will take the place of others.
    pub fn create_rewritten(
        disk: &mut impl Disk,
        dir: &LogPath,
        base: Offset,
        generation: Generation,
    ) -> io::Result<Self> {
        let file = disk.open(&names::log(dir, base, generation), OpenMode::New)?;
        Ok(Self::empty(base, generation, file))
    }

    /// A segment of which nothing was read yet.
    pub fn empty(base: Offset, generation: Generation, file: FileId) -> Self {
        let index = Index::new(base);
        Self { base, generation, next: base, file, size: 0, max_timestamp: -1, first_timestamp: None, index }
    }

    /// The file of its batches.
    pub fn path(&self, dir: &LogPath) -> LogPath {
        names::log(dir, self.base, self.generation)
    }

    /// Its open files.
    pub fn files(&self) -> impl Iterator<Item = FileId> + use<> {
        [Some(self.file), self.index.file()].into_iter().flatten()
    }

    /// Closes its files, whose pins stay readable.
    pub fn close(self, disk: &mut impl Disk) {
        self.files().for_each(|file| disk.close(file));
    }

    /// Whether it has no batch.
    pub fn is_empty(&self) -> bool {
        self.size == 0
    }

    /// Takes note of a batch that was appended to the file.
    pub fn note(&mut self, header: &BatchHeader, index_interval_bytes: u32) {
        // A batch that compaction has emptied has no record with its timestamp.
        if header.record_count > 0 {
            self.max_timestamp = self.max_timestamp.max(header.max_timestamp);
        }
        self.first_timestamp.get_or_insert(header.max_timestamp);
        self.index.note(
            IndexEntry {
                relative_offset: self
                    .relative(Offset(header.base_offset))
                    .expect("the log rolls before offsets overflow"),
                position: u32::try_from(self.size).expect("the log rolls before positions overflow"),
                max_timestamp: self.max_timestamp,
            },
            index_interval_bytes,
        );
        self.size += header.size_in_bytes() as u64;
        self.next = Offset(header.next_offset());
    }

    /// An offset relative to the base, if the segment can hold it.
    pub fn relative(&self, offset: Offset) -> Option<u32> {
        let relative = offset.0.checked_sub(self.base.0)?;
        i32::try_from(relative).ok().and_then(|relative| u32::try_from(relative).ok())
    }

    /// Where the first batch starts whose records are not all below `offset`: the batch that holds it, or the next one
    /// after a gap. The segment's size if there is none.
    pub fn locate(&self, disk: &impl Disk, offset: Offset) -> io::Result<u64> {
        if offset >= self.next {
            return Ok(self.size);
        }
        let Some(relative) = self.relative(offset) else { return Ok(0) };
        let hint = self.index.last_where(disk, |entry| entry.relative_offset <= relative)?;
        let mut headers = Headers::new(disk, self.file, self.size);
        let mut position = self.verified(&mut headers, hint)?;
        while let Some(header) = headers.at(position)? {
            if Offset(header.next_offset()) > offset {
                break;
            }
            position += header.size_in_bytes() as u64;
        }
        Ok(position)
    }

    /// The last place at or before `limit` where a batch ends, walking from the batch that starts at `from`.
    pub fn last_boundary(&self, disk: &impl Disk, from: u64, limit: u64) -> io::Result<u64> {
        let hint = self.index.last_where(disk, |entry| u64::from(entry.position) <= limit)?;
        let mut headers = Headers::new(disk, self.file, self.size);
        let mut position = self.verified(&mut headers, hint)?.max(from);
        while let Some(header) = headers.at(position)? {
            let end = position + header.size_in_bytes() as u64;
            if end > limit {
                break;
            }
            position = end;
        }
        Ok(position)
    }

    /// Where the batch at `position` ends.
    pub fn batch_end(&self, disk: &impl Disk, position: u64) -> io::Result<u64> {
        let header = Headers::new(disk, self.file, self.size).at(position)?;
        let header =
            header.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "no batch where one must start"))?;
        Ok(position + header.size_in_bytes() as u64)
    }

    /// From where a record with a timestamp of at least `timestamp` may come first.
    pub fn locate_timestamp(&self, disk: &impl Disk, timestamp: i64) -> io::Result<u64> {
        let hint = self.index.last_where(disk, |entry| entry.max_timestamp < timestamp)?;
        let mut headers = Headers::new(disk, self.file, self.size);
        self.verified(&mut headers, hint)
    }

    /// The hint's position if a batch with its offset does start there, else the segment's start.
    fn verified<D: Disk>(&self, headers: &mut Headers<'_, D>, hint: Option<IndexEntry>) -> io::Result<u64> {
        let Some(hint) = hint else { return Ok(0) };
        let position = u64::from(hint.position);
        let starts_there = headers
            .at(position)?
            .is_some_and(|header| self.relative(Offset(header.base_offset)) == Some(hint.relative_offset));
        Ok(if starts_there { position } else { 0 })
    }

    /// About where `offset` lies, without looking at the disk: exact for the newest batches, interpolated elsewhere.
    pub fn estimate(&self, offset: Offset) -> u64 {
        if offset >= self.next {
            return self.size;
        }
        let Some(relative) = self.relative(offset) else { return 0 };
        let (before, after) = self.index.around(relative);
        let (low_offset, low) = before.map_or((0, 0), |entry| (entry.relative_offset, u64::from(entry.position)));
        let end = self.relative(self.next).unwrap_or(u32::MAX);
        let (high_offset, high) =
            after.map_or((end, self.size), |entry| (entry.relative_offset, u64::from(entry.position)));
        let span = u64::from(high_offset.saturating_sub(low_offset)).max(1);
        low + (high - low) * u64::from(relative - low_offset) / span
    }

    /// Writes the rest of the index to its file. Returns the file if that was anything.
    pub fn flush_index(&mut self, disk: &mut impl Disk, dir: &LogPath) -> io::Result<Option<FileId>> {
        let written = self.index.flush(disk, &names::index(dir, self.base, self.generation))?;
        Ok(self.index.file().filter(|_| written))
    }

    /// Closes the segment: its index goes to its file and leaves the memory. True if anything was written.
    pub fn seal_index(&mut self, disk: &mut impl Disk, dir: &LogPath) -> io::Result<bool> {
        self.index.seal(disk, &names::index(dir, self.base, self.generation))
    }

    /// Asserts the segment's invariants.
    pub fn check(&self) {
        assert!(self.base <= self.next, "a segment does not end before it begins");
        assert!(!self.is_empty() || self.base == self.next, "an empty segment covers no offsets");
        assert!(self.relative(self.next).is_some(), "offsets fit the index");
        self.index.check(self.size);
    }
}
