//! Reading batches out of a segment's file, one after the other.

use std::io;

use highwater_wire::records::{BatchError, BatchHeader, crc32c};

use crate::disk::Disk;
use crate::ids::FileId;
use crate::planted::{self, Bug};

/// Bytes that a walk over headers reads at once.
const HEADERS_CHUNK_BYTES: usize = 4096;

/// Bytes that a scan over whole batches reads at once, unless one batch is longer.
const SCAN_CHUNK_BYTES: usize = 1024 * 1024;

/// Reads headers at growing positions; neighbours share a read.
pub(super) struct Headers<'a, D> {
    disk: &'a D,
    file: FileId,
    /// Where the part of the file that counts ends.
    end: u64,
    chunk: Vec<u8>,
    chunk_at: u64,
}

impl<'a, D: Disk> Headers<'a, D> {
    pub fn new(disk: &'a D, file: FileId, end: u64) -> Self {
        Self { disk, file, end, chunk: Vec::new(), chunk_at: 0 }
    }

    /// The header at `position`; none if there is no whole batch, which in a file that was validated means that the
    /// position is wrong.
    pub fn at(&mut self, position: u64) -> io::Result<Option<BatchHeader>> {
        let header = BatchHeader::parse(self.bytes(position)?).ok();
        Ok(header.filter(|header| position.checked_add(header.size_in_bytes() as u64).is_some_and(|to| to <= self.end)))
    }

    fn bytes(&mut self, position: u64) -> io::Result<&[u8]> {
        let buffered = |chunk: &[u8], chunk_at: u64| {
            let from = usize::try_from(position.checked_sub(chunk_at)?).ok()?;
            (from + BatchHeader::LEN <= chunk.len()).then_some(from)
        };
        if let Some(from) = buffered(&self.chunk, self.chunk_at) {
            return Ok(&self.chunk[from..]);
        }
        let want = self.end.saturating_sub(position).min(HEADERS_CHUNK_BYTES as u64);
        self.chunk.resize(usize::try_from(want).expect("a chunk is small"), 0);
        self.chunk_at = position;
        let read = self.disk.read_at(self.file, position, &mut self.chunk)?;
        self.chunk.truncate(read);
        Ok(&self.chunk)
    }
}

/// What stands at a position of a file.
pub(super) enum Scanned {
    /// A whole batch whose checksum is right.
    Batch(BatchHeader),
    /// The file ends here.
    End,
    /// Something else.
    Bad(BatchError),
}

/// Reads and checks whole batches from a position on.
#[derive(Debug)]
pub(super) struct Scanner {
    file: FileId,
    position: u64,
    len: u64,
    buffer: Vec<u8>,
    taken: usize,
}

impl Scanner {
    pub fn new(disk: &impl Disk, file: FileId, position: u64) -> io::Result<Self> {
        Ok(Self { file, position, len: disk.len(file)?, buffer: Vec::new(), taken: 0 })
    }

    /// Where the next batch starts.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// The file's length.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// The next batch; the position stays where it is bad.
    pub fn next(&mut self, disk: &impl Disk) -> io::Result<Scanned> {
        if self.position >= self.len {
            return Ok(Scanned::End);
        }
        self.fill(disk, BatchHeader::LEN)?;
        let header = match BatchHeader::parse(self.available()) {
            Ok(header) => header,
            Err(error) => return Ok(Scanned::Bad(error)),
        };
        let need = header.size_in_bytes();
        if need as u64 > self.len - self.position {
            let have = usize::try_from(self.len - self.position).unwrap_or(usize::MAX);
            return Ok(Scanned::Bad(BatchError::Truncated { have, need }));
        }
        self.fill(disk, need)?;
        let Some(body) = self.available().get(BatchHeader::CHECKSUMMED_FROM..need) else {
            return Ok(Scanned::Bad(BatchError::Truncated { have: self.available().len(), need }));
        };
        let computed = crc32c(&[body]);
        if computed != header.crc && !planted::is(Bug::RecoveryWithoutChecksum) {
            return Ok(Scanned::Bad(BatchError::Checksum { stored: header.crc, computed }));
        }
        self.taken += need;
        self.position += need as u64;
        Ok(Scanned::Batch(header))
    }

    /// The bytes of the batch that was read last.
    pub fn batch(&self, header: &BatchHeader) -> &[u8] {
        &self.buffer[self.taken - header.size_in_bytes()..self.taken]
    }

    /// Takes back the batch that was read last, which starts at `position`.
    pub fn back_to(&mut self, position: u64) {
        let back = usize::try_from(self.position - position).expect("a batch was in memory");
        self.position = position;
        self.taken -= back;
    }

    fn available(&self) -> &[u8] {
        &self.buffer[self.taken..]
    }

    /// Has at least `need` bytes ready, or all that are left.
    fn fill(&mut self, disk: &impl Disk, need: usize) -> io::Result<()> {
        if self.available().len() >= need {
            return Ok(());
        }
        self.buffer.drain(..self.taken);
        self.taken = 0;
        let have = self.buffer.len();
        let left = usize::try_from(self.len - self.position).unwrap_or(usize::MAX);
        self.buffer.resize(need.max(SCAN_CHUNK_BYTES).min(left), 0);
        let read = disk.read_at(self.file, self.position + have as u64, &mut self.buffer[have..])?;
        self.buffer.truncate(have + read);
        Ok(())
    }
}
