//! How far the logs of a shard had been synced when the last sync ended.
//!
//! One journal a shard: each sync appends, for every log that the previous sync covered, how far that reached, and is
//! itself what makes the entries durable. An entry that is there was true when it was written, so what survives of a
//! torn journal is still right, only older: entries that are not whole are skipped.
//!
//! Directories do not name shards, so a partition may have entries in several journals: the newest one counts, by the
//! number of the start of the broker that wrote it, and then by its place.
//!
//! Invariants:
//! * An entry is durable only after what it speaks of.
//! * A journal holds no more than a few entries for each partition: it is rewritten when it has grown.

use std::collections::BTreeMap;
use std::io;

use crate::disk::{Disk, LogPath, OpenMode, Pin, read_file};
use crate::ids::{FileId, Offset, PartitionId, PartitionIndex, ShardId, TopicId};

const DIRECTORY: &str = "recovery-points";
const ENTRY_LEN: usize = 40;
const HEADER: [u8; 8] = *b"HWrp\0\0\0\x01";

/// Bytes from which on a journal is rewritten once most of it is out of date.
const JOURNAL_BYTES_MIN: u64 = 1024 * 1024;

/// Bytes of a journal that is worth reading.
const JOURNAL_BYTES_MAX: u64 = 1024 * 1024 * 1024;

/// Why the recovery points cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum RecoveryPointsError {
    /// A journal is not what it was.
    #[error("{0} is not a journal of recovery points; move it away to have damage in the logs taken for a torn end")]
    Damaged(LogPath),
    /// The disk failed.
    #[error("cannot read the recovery points: {0}")]
    Io(#[from] io::Error),
}

/// The recovery points of a shard's logs.
#[derive(Debug)]
pub struct RecoveryPoints {
    path: LogPath,
    /// The number of this start.
    generation: u64,
    known: BTreeMap<PartitionId, Point>,
    file: FileId,
    len: u64,
    dirty: bool,
    dirty_directory: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Point {
    generation: u64,
    offset: Offset,
}

impl RecoveryPoints {
    /// Reads the journals of all shards and goes on with this one's, which is made if it is not there.
    ///
    /// # Errors
    /// Damage in a journal, or an I/O error.
    pub fn open(disk: &mut impl Disk, shard: ShardId) -> Result<Self, RecoveryPointsError> {
        let directory = LogPath::root().join(DIRECTORY);
        disk.create_dir(&directory)?;
        let path = directory.join(&shard.to_string());
        let mut known = BTreeMap::new();
        for entry in disk.list(&directory)?.iter().filter(|entry| entry.name.bytes().all(|c| c.is_ascii_digit())) {
            read_journal(disk, &directory.join(&entry.name), &mut known)?;
        }
        let generation = 1 + known.values().map(|point: &Point| point.generation).max().unwrap_or(0);
        let (file, len) = open_journal(disk, &path)?;
        Ok(Self { path, generation, known, file, len, dirty: true, dirty_directory: true })
    }

    /// Up to where this partition's log was durable; none if that was never recorded.
    pub fn get(&self, partition: PartitionId) -> Option<Offset> {
        self.known.get(&partition).map(|point| point.offset)
    }

    /// Notes how far logs are durable, to be covered by the next sync. Lower than before is right after a truncation.
    ///
    /// # Errors
    /// An I/O error; a full disk leaves the older points.
    pub fn record(&mut self, disk: &mut impl Disk, points: &[(PartitionId, Offset)]) -> io::Result<()> {
        let mut bytes = Vec::with_capacity(points.len() * ENTRY_LEN);
        for &(partition, offset) in points {
            let point = Point { generation: self.generation, offset };
            if self.known.insert(partition, point) != Some(point) {
                bytes.extend_from_slice(&entry_to_bytes(partition, point));
            }
        }
        if bytes.is_empty() {
            return Ok(());
        }
        self.len = disk.append(self.file, &[&bytes])?;
        self.dirty = true;
        if self.len > JOURNAL_BYTES_MIN && self.len > 4 * (self.known.len() * ENTRY_LEN) as u64 {
            self.rewrite(disk)?;
        }
        Ok(())
    }

    /// Forgets a partition whose log is removed.
    pub fn remove(&mut self, partition: PartitionId) {
        self.known.remove(&partition);
    }

    /// Forgets all partitions but these; what is known of other shards' partitions would stay for ever otherwise.
    pub fn retain(&mut self, exists: impl Fn(PartitionId) -> bool) {
        self.known.retain(|partition, _| exists(*partition));
    }

    /// Adds what the next sync must cover.
    pub fn add_dirty(&mut self, disk: &impl Disk, files: &mut Vec<Pin>, directories: &mut Vec<LogPath>) {
        if std::mem::take(&mut self.dirty) {
            files.push(disk.pin(self.file));
        }
        if std::mem::take(&mut self.dirty_directory) {
            directories.extend(self.path.parent());
            directories.push(LogPath::root());
        }
    }

    fn rewrite(&mut self, disk: &mut impl Disk) -> io::Result<()> {
        let mut bytes = HEADER.to_vec();
        for (partition, point) in &self.known {
            bytes.extend_from_slice(&entry_to_bytes(*partition, *point));
        }
        disk.replace(&self.path, &bytes)?;
        disk.close(self.file);
        self.file = disk.open(&self.path, OpenMode::Existing)?;
        self.len = bytes.len() as u64;
        (self.dirty, self.dirty_directory) = (true, true);
        Ok(())
    }
}

fn entry_to_bytes(partition: PartitionId, point: Point) -> [u8; ENTRY_LEN] {
    let mut bytes = [0; ENTRY_LEN];
    bytes[0..16].copy_from_slice(&partition.topic.0.to_be_bytes());
    bytes[16..20].copy_from_slice(&partition.index.0.to_be_bytes());
    bytes[20..28].copy_from_slice(&point.offset.0.to_be_bytes());
    bytes[28..36].copy_from_slice(&point.generation.to_be_bytes());
    let checksum = crc32fast::hash(&bytes[..36]);
    bytes[36..40].copy_from_slice(&checksum.to_be_bytes());
    bytes
}

fn entry_from_bytes(bytes: &[u8]) -> Option<(PartitionId, Point)> {
    let (topic, rest) = bytes.split_first_chunk()?;
    let (index, rest) = rest.split_first_chunk()?;
    let (offset, rest) = rest.split_first_chunk()?;
    let (generation, rest) = rest.split_first_chunk()?;
    let (checksum, _) = rest.split_first_chunk()?;
    (u32::from_be_bytes(*checksum) == crc32fast::hash(&bytes[..36])).then(|| {
        let topic = TopicId(u128::from_be_bytes(*topic));
        let partition = PartitionId { topic, index: PartitionIndex(i32::from_be_bytes(*index)) };
        (partition, Point { generation: u64::from_be_bytes(*generation), offset: Offset(i64::from_be_bytes(*offset)) })
    })
}

/// Opens a shard's own journal and cuts off an entry that is not whole; makes one if there is none.
fn open_journal(disk: &mut impl Disk, path: &LogPath) -> io::Result<(FileId, u64)> {
    let file = match disk.open(path, OpenMode::Existing) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            disk.replace(path, &HEADER)?;
            disk.open(path, OpenMode::Existing)?
        }
        opened => opened?,
    };
    let len = disk.len(file)?;
    let whole = len - (len - HEADER.len() as u64) % ENTRY_LEN as u64;
    if whole < len {
        disk.truncate(file, whole)?;
    }
    Ok((file, whole))
}

/// Reads the good entries of one journal into `known`.
fn read_journal(
    disk: &mut impl Disk,
    path: &LogPath,
    known: &mut BTreeMap<PartitionId, Point>,
) -> Result<(), RecoveryPointsError> {
    let Some(bytes) = read_file(disk, path, JOURNAL_BYTES_MAX)? else { return Ok(()) };
    let entries = bytes.strip_prefix(&HEADER).ok_or_else(|| RecoveryPointsError::Damaged(path.clone()))?;
    for (partition, point) in entries.chunks(ENTRY_LEN).filter_map(entry_from_bytes) {
        let newest = known.entry(partition).or_insert(point);
        if point.generation >= newest.generation {
            *newest = point;
        }
    }
    Ok(())
}
