//! Looking into a log's files from outside, without changing them.
//!
//! [`SegmentReader`] goes through one segment's batches, [`verify`] through a whole log, with the same judgement as
//! recovery: what is wrong below the offset up to which everything was synced is damage, what is wrong above it is the
//! torn end of a crash, which the next start cuts off.
//!
//! Deliberately absent: indexes and producer snapshots. They can be made again from the batches, and recovery does so.

use std::io;

use bytes::Bytes;
use highwater_wire::records::{BatchHeader, walk};

use super::checkpoint::Checkpoint;
use super::names::{self, Generation, Kind};
use super::recovery::{OpenLogError, read_small};
use super::scan::{Scanned, Scanner};
use crate::disk::{Disk, LogPath, OpenMode};
use crate::ids::{FileId, Offset};
use crate::limits::DECOMPRESSED_BATCH_BYTES_MAX;

/// Reads one segment file from its start.
#[derive(Debug)]
pub struct SegmentReader {
    path: LogPath,
    file: FileId,
    scanner: Scanner,
    base: Offset,
    next: Offset,
}

/// What a segment reader finds next.
#[derive(Debug)]
pub enum Found {
    /// A whole batch whose checksum and records are right.
    Batch(FoundBatch),
    /// The file ends here.
    End,
    /// Something that is not the next batch. Nothing after it can be read.
    Bad(Finding),
}

/// A batch in a segment file.
#[derive(Debug)]
pub struct FoundBatch {
    /// Where it begins in the file.
    pub position: u64,
    /// Its header.
    pub header: BatchHeader,
    /// All of it.
    pub bytes: Bytes,
}

/// A place in a log that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The file.
    pub file: LogPath,
    /// Where in it.
    pub position: u64,
    /// The first offset that cannot be read.
    pub offset: Offset,
    /// Bytes from there to the file's end.
    pub bytes: u64,
    /// What is wrong.
    pub reason: String,
    /// Whether a crash explains it, so that the next start cuts it off and nothing acknowledged is lost.
    pub torn: bool,
}

/// What [`verify`] has read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// Segment files.
    pub segments: u64,
    /// Whole batches.
    pub batches: u64,
    /// Their records, as their headers count them.
    pub records: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The offset after the last one.
    pub end_offset: Offset,
    /// What is wrong, in the order of offsets.
    pub findings: Vec<Finding>,
}

impl SegmentReader {
    /// Opens a segment file, `N.log`.
    ///
    /// # Errors
    /// The file is not called as segments are, or an I/O error.
    pub fn open(disk: &mut impl Disk, path: &LogPath) -> io::Result<Self> {
        let Kind::Log(base, _) = names::parse(path.name()) else {
            let reason = format!("{path} is not a segment: those are called by 20 digits and `.log`");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, reason));
        };
        let file = disk.open(path, OpenMode::Existing)?;
        Ok(Self { path: path.clone(), file, scanner: Scanner::new(disk, file, 0)?, base, next: base })
    }

    /// Takes the next batch.
    ///
    /// # Errors
    /// An I/O error.
    pub fn next(&mut self, disk: &impl Disk) -> io::Result<Found> {
        let position = self.scanner.position();
        let header = match self.scanner.next(disk)? {
            Scanned::Batch(header) => header,
            Scanned::End => return Ok(Found::End),
            Scanned::Bad(error) => return Ok(Found::Bad(self.finding(position, error.to_string()))),
        };
        if header.base_offset < self.next.0 {
            let reason = format!("a batch at offset {} stands where offset {} is due", header.base_offset, self.next);
            return Ok(Found::Bad(self.finding(position, reason)));
        }
        // As in recovery: an index could not name it, and base offsets are outside the checksum.
        if header.next_offset().saturating_sub(self.base.0) > i64::from(u32::MAX) {
            let reason = format!("a batch at offset {} is too far from its segment's start", header.base_offset);
            return Ok(Found::Bad(self.finding(position, reason)));
        }
        let bytes = Bytes::copy_from_slice(self.scanner.batch(&header));
        if let Err(error) = walk(&bytes, DECOMPRESSED_BATCH_BYTES_MAX, |_| {}) {
            return Ok(Found::Bad(self.finding(position, error.to_string())));
        }
        self.next = Offset(header.next_offset());
        Ok(Found::Batch(FoundBatch { position, header, bytes }))
    }

    /// Closes the file.
    pub fn close(self, disk: &mut impl Disk) {
        disk.close(self.file);
    }

    fn finding(&self, position: u64, reason: String) -> Finding {
        let bytes = self.scanner.len() - position;
        Finding { file: self.path.clone(), position, offset: self.next, bytes, reason, torn: false }
    }
}

/// The segment files of the log in `dir`, in the order of their offsets. Where compaction has rewritten segments and the
/// old files are still there, or new ones are not finished, the checkpoint says which count; without one all are listed.
///
/// # Errors
/// An I/O error.
pub fn segment_files(disk: &mut impl Disk, dir: &LogPath) -> io::Result<Vec<LogPath>> {
    let checkpoint = match read_small(disk, dir, names::CHECKPOINT, Checkpoint::from_bytes) {
        Ok(checkpoint) => checkpoint,
        Err(OpenLogError::Io { error, .. }) => return Err(error),
        Err(OpenLogError::Damaged { .. }) => None,
    };
    let mut files: Vec<(Offset, Generation)> = Vec::new();
    for entry in disk.list(dir)? {
        if let Kind::Log(base, generation) = names::parse(&entry.name) {
            files.push((base, generation));
        }
    }
    files.sort_unstable();
    if let Some(checkpoint) = checkpoint {
        files.retain(|file| checkpoint.counts(*file));
    }
    Ok(files.into_iter().map(|(base, generation)| names::log(dir, base, generation)).collect())
}

/// Reads a whole log. `recovery_point` says up to where it was synced, in addition to what its checkpoint says;
/// `progress` hears of the bytes of each batch.
///
/// # Errors
/// A small file that is damaged, or an I/O error.
pub fn verify(
    disk: &mut impl Disk,
    dir: &LogPath,
    recovery_point: Offset,
    mut progress: impl FnMut(u64),
) -> Result<Verified, OpenLogError> {
    let checkpoint = read_small(disk, dir, names::CHECKPOINT, Checkpoint::from_bytes)?;
    let synced = checkpoint.map_or(recovery_point, |checkpoint| checkpoint.offset.max(recovery_point));
    let io = |error| OpenLogError::Io { dir: dir.clone(), error };
    let mut verified = Verified::default();
    for path in segment_files(disk, dir).map_err(io)? {
        let mut segment = SegmentReader::open(disk, &path).map_err(io)?;
        verified.follow_on(&segment, synced);
        verified.read(disk, &mut segment, synced, &mut progress).map_err(io)?;
        segment.close(disk);
    }
    if verified.end_offset < synced && verified.findings.is_empty() {
        let reason = format!("the log ends before offset {synced}, up to which it was synced");
        let offset = verified.end_offset;
        verified.findings.push(Finding { file: dir.clone(), position: 0, offset, bytes: 0, reason, torn: false });
    }
    Ok(verified)
}

impl Verified {
    /// Counts a batch that comes after those that were counted before.
    pub fn count(&mut self, batch: &FoundBatch) {
        self.batches += 1;
        self.records += u64::try_from(batch.header.record_count).unwrap_or(0);
        self.bytes += batch.bytes.len() as u64;
        self.end_offset = Offset(batch.header.next_offset());
    }

    /// A segment begins where the one before it ends.
    fn follow_on(&mut self, segment: &SegmentReader, synced: Offset) {
        if self.segments > 0 && self.findings.is_empty() && segment.next != self.end_offset {
            let reason = format!("it does not begin at offset {}, where the segment before it ends", self.end_offset);
            let torn = self.end_offset >= synced;
            self.findings.push(Finding { offset: self.end_offset, torn, ..segment.finding(0, reason) });
        }
        self.segments += 1;
        self.end_offset = segment.next;
    }

    fn read(
        &mut self,
        disk: &impl Disk,
        segment: &mut SegmentReader,
        synced: Offset,
        progress: &mut impl FnMut(u64),
    ) -> io::Result<()> {
        loop {
            match segment.next(disk)? {
                Found::Batch(batch) => {
                    self.count(&batch);
                    progress(batch.bytes.len() as u64);
                }
                Found::End => return Ok(()),
                Found::Bad(finding) => {
                    self.findings.push(Finding { torn: finding.offset >= synced, ..finding });
                    return Ok(());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use highwater_wire::records::{BatchBuilder, Compression, Record};

    use super::super::{Log, LogConfig};
    use super::*;
    use crate::disk::memory::MemoryDisk;
    use crate::ids::LeaderEpoch;
    use crate::time::Now;

    fn dir() -> LogPath {
        LogPath::root().join("t-0")
    }

    /// A log of `batches` batches of two records, several to a segment.
    fn written(batches: usize) -> MemoryDisk {
        let mut disk = MemoryDisk::new();
        let config = LogConfig { segment_bytes: 400, ..LogConfig::default() };
        let mut log = Log::create(&mut disk, dir(), config).unwrap();
        for number in 0..batches {
            let mut builder = BatchBuilder::new(Compression::None);
            for _ in 0..2 {
                builder.push(&Record { value: Some(format!("value {number}").into()), ..Record::default() });
            }
            log.append_as_leader(&mut disk, LeaderEpoch(0), &builder.build(), Now::default()).unwrap();
        }
        disk
    }

    fn verified(disk: &mut MemoryDisk, synced: i64) -> Verified {
        verify(disk, &dir(), Offset(synced), |_| {}).unwrap()
    }

    fn last_segment(disk: &mut MemoryDisk) -> LogPath {
        segment_files(disk, &dir()).unwrap().pop().unwrap()
    }

    #[test]
    fn a_whole_log_is_counted_and_nothing_is_found() {
        let mut disk = written(10);
        let mut seen = 0;
        let verified = verify(&mut disk, &dir(), Offset(20), |bytes| seen += bytes).unwrap();
        assert!(verified.segments > 1);
        assert_eq!((verified.batches, verified.records, verified.end_offset), (10, 20, Offset(20)));
        assert_eq!(verified.findings, []);
        assert_eq!(seen, verified.bytes);
    }

    #[test]
    fn a_torn_end_above_the_recovery_point_is_no_damage() {
        let mut disk = written(10);
        let last = last_segment(&mut disk);
        let bytes = disk.bytes_mut(&last).unwrap();
        bytes.truncate(bytes.len() - 1);
        let findings = verified(&mut disk, 18).findings;
        assert!(findings.len() == 1 && findings[0].torn && findings[0].offset == Offset(18), "{findings:?}");
        let findings = verified(&mut disk, 19).findings;
        assert!(findings.len() == 1 && !findings[0].torn && findings[0].file == last, "{findings:?}");
    }

    #[test]
    fn every_flipped_bit_that_the_checksum_or_the_length_covers_is_found() {
        let mut pristine = written(10);
        let path = last_segment(&mut pristine);
        let batch_len = BatchHeader::parse(pristine.bytes(&path).unwrap()).unwrap().size_in_bytes();
        for at in 0..pristine.bytes(&path).unwrap().len() {
            pristine.bytes_mut(&path).unwrap()[at] ^= 0x10;
            let findings = verified(&mut pristine, 20).findings;
            assert!(!findings.is_empty() || is_brokers_own(at % batch_len), "byte {at}");
            pristine.bytes_mut(&path).unwrap()[at] ^= 0x10;
        }
    }

    /// The base offset and the leader epoch: the broker writes them, so they lie outside the checksum. Only a base
    /// offset that is far off shows.
    fn is_brokers_own(position_in_batch: usize) -> bool {
        matches!(position_in_batch, 4..8 | 12..16)
    }

    #[test]
    fn a_missing_segment_is_found() {
        let mut disk = written(10);
        let second = segment_files(&mut disk, &dir()).unwrap().remove(1);
        disk.remove(&second).unwrap();
        let findings = verified(&mut disk, 20).findings;
        assert!(findings.len() == 1 && findings[0].reason.contains("does not begin"), "{findings:?}");
    }

    #[test]
    fn a_log_that_ends_too_early_is_found() {
        let mut disk = written(4);
        let findings = verified(&mut disk, 9).findings;
        assert!(findings.len() == 1 && findings[0].offset == Offset(8), "{findings:?}");
    }

    #[test]
    fn other_files_are_no_segments() {
        let mut disk = written(1);
        let error = SegmentReader::open(&mut disk, &dir().join("checkpoint")).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }
}
