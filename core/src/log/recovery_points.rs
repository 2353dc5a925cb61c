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
        let known = read_journals(disk, &directory)?;
        let generation = 1 + known.values().map(|point: &Point| point.generation).max().unwrap_or(0);
        let (file, len) = open_journal(disk, &path)?;
        Ok(Self { path, generation, known, file, len, dirty: true, dirty_directory: true })
    }

    /// What the journals of all shards say, for whoever looks in from outside: nothing is changed.
    ///
    /// # Errors
    /// Damage in a journal, or an I/O error.
    pub fn read(disk: &mut impl Disk) -> Result<BTreeMap<PartitionId, Offset>, RecoveryPointsError> {
        let known = read_journals(disk, &LogPath::root().join(DIRECTORY))?;
        Ok(known.into_iter().map(|(partition, point)| (partition, point.offset)).collect())
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
        let point = |offset| Point { generation: self.generation, offset };
        let fresh = points.iter().map(|&(partition, offset)| (partition, point(offset)));
        let fresh: Vec<_> = fresh.filter(|(partition, point)| self.known.get(partition) != Some(point)).collect();
        if fresh.is_empty() {
            return Ok(());
        }
        let bytes: Vec<u8> = fresh.iter().flat_map(|(partition, point)| entry_to_bytes(*partition, *point)).collect();
        self.len = disk.append(self.file, &[&bytes])?;
        self.known.extend(fresh);
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

/// Reads the journals of all shards.
fn read_journals(
    disk: &mut impl Disk,
    directory: &LogPath,
) -> Result<BTreeMap<PartitionId, Point>, RecoveryPointsError> {
    let mut known = BTreeMap::new();
    for entry in disk.list(directory)?.iter().filter(|entry| entry.name.bytes().all(|c| c.is_ascii_digit())) {
        read_journal(disk, &directory.join(&entry.name), &mut known)?;
    }
    Ok(known)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::memory::MemoryDisk;

    fn partition(topic: u128, index: i32) -> PartitionId {
        PartitionId { topic: TopicId(topic), index: PartitionIndex(index) }
    }

    fn journal(shard: u16) -> LogPath {
        LogPath::root().join(DIRECTORY).join(&shard.to_string())
    }

    fn open(disk: &mut MemoryDisk, shard: u16) -> RecoveryPoints {
        RecoveryPoints::open(disk, ShardId(shard)).unwrap()
    }

    #[test]
    fn the_newest_start_of_the_broker_counts_whichever_shard_wrote_it() {
        let mut disk = MemoryDisk::new();
        let mut first = open(&mut disk, 1);
        first.record(&mut disk, &[(partition(7, 0), Offset(100)), (partition(7, 1), Offset(5))]).unwrap();
        first.record(&mut disk, &[(partition(7, 0), Offset(200))]).unwrap();
        let mut second = open(&mut disk, 2);
        assert_eq!(second.get(partition(7, 0)), Some(Offset(200)));
        second.record(&mut disk, &[(partition(7, 0), Offset(150))]).unwrap();
        let third = open(&mut disk, 1);
        assert_eq!(third.get(partition(7, 0)), Some(Offset(150)), "a truncation lowers a point");
        assert_eq!(third.get(partition(7, 1)), Some(Offset(5)));
        assert_eq!(third.get(partition(8, 0)), None);
    }

    #[test]
    fn a_journal_cut_or_flipped_anywhere_only_forgets() {
        let mut disk = MemoryDisk::new();
        let mut points = open(&mut disk, 1);
        for offset in 1..=5 {
            points.record(&mut disk, &[(partition(1, 0), Offset(offset))]).unwrap();
        }
        let len = disk.bytes(&journal(1)).unwrap().len();
        for at in HEADER.len()..len {
            let whole = i64::try_from((at - HEADER.len()) / ENTRY_LEN).unwrap();
            let mut cut = disk.clone();
            cut.bytes_mut(&journal(1)).unwrap().truncate(at);
            let mut points = open(&mut cut, 1);
            assert_eq!(points.get(partition(1, 0)), (whole > 0).then_some(Offset(whole)));
            points.record(&mut cut, &[(partition(1, 0), Offset(9))]).unwrap();
            assert_eq!(open(&mut cut, 1).get(partition(1, 0)), Some(Offset(9)), "what follows a torn end is read");
            let mut flipped = disk.clone();
            flipped.bytes_mut(&journal(1)).unwrap()[at] ^= 4;
            let expected = if whole == 4 { 4 } else { 5 };
            assert_eq!(open(&mut flipped, 1).get(partition(1, 0)), Some(Offset(expected)));
        }
        for at in 0..HEADER.len() {
            let mut flipped = disk.clone();
            flipped.bytes_mut(&journal(1)).unwrap()[at] ^= 4;
            assert!(matches!(RecoveryPoints::open(&mut flipped, ShardId(2)), Err(RecoveryPointsError::Damaged(_))));
        }
    }

    #[test]
    fn a_journal_that_has_grown_is_rewritten() {
        let mut disk = MemoryDisk::new();
        let mut points = open(&mut disk, 1);
        points.record(&mut disk, &[(partition(2, 0), Offset(1)), (partition(3, 0), Offset(1))]).unwrap();
        points.remove(partition(2, 0));
        let mut longest = 0;
        for offset in 0..60_000 {
            points.record(&mut disk, &[(partition(1, 0), Offset(offset))]).unwrap();
            points.record(&mut disk, &[(partition(1, 0), Offset(offset))]).unwrap();
            longest = longest.max(points.len);
        }
        assert!((JOURNAL_BYTES_MIN - 100..JOURNAL_BYTES_MIN + 100).contains(&longest), "{longest}");
        let (mut files, mut directories) = (Vec::new(), Vec::new());
        points.add_dirty(&disk, &mut files, &mut directories);
        assert_eq!((files.len(), directories.len()), (1, 2));
        let mut again = open(&mut disk, 1);
        assert_eq!(again.get(partition(1, 0)), Some(Offset(59_999)));
        assert_eq!([2, 3].map(|topic| again.get(partition(topic, 0))), [None, Some(Offset(1))]);
        again.retain(|partition| partition.topic == TopicId(1));
        assert_eq!(again.get(partition(3, 0)), None);
    }

    #[test]
    fn a_full_disk_keeps_the_older_points() {
        let mut disk = MemoryDisk::new();
        let mut points = open(&mut disk, 1);
        points.record(&mut disk, &[(partition(1, 0), Offset(1))]).unwrap();
        disk.set_capacity(0);
        let error = points.record(&mut disk, &[(partition(1, 0), Offset(2))]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert_eq!(open(&mut disk, 1).get(partition(1, 0)), Some(Offset(1)));
        disk.set_capacity(u64::MAX);
        points.record(&mut disk, &[(partition(1, 0), Offset(2))]).unwrap();
        assert_eq!(
            open(&mut disk, 1).get(partition(1, 0)),
            Some(Offset(2)),
            "the point is recorded when there is room"
        );
    }
}
