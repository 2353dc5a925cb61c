//! The log as its owner sees it: a script of calls on a disk in memory.

mod compaction;
mod produce;
mod recovery;
mod retention;
mod search;
mod truncation;

use bytes::{Bytes, BytesMut};
use highwater_wire::records::{BatchBuilder, BatchHeader, Batches, Compression, Record, records};

use super::*;

use crate::disk::memory::MemoryDisk;
use crate::limits::DECOMPRESSED_BATCH_BYTES_MAX;
use crate::time::WallMs;

const EPOCH: LeaderEpoch = LeaderEpoch(0);

fn now(ms: i64) -> Now {
    Now { wall: WallMs(ms), ..Now::default() }
}

fn dir() -> LogPath {
    LogPath::root().join("t-0")
}

fn record(timestamp: i64, value: &str) -> Record {
    Record { timestamp, key: Some("k".into()), value: Some(value.to_owned().into()), ..Record::default() }
}

fn batch(count: usize, timestamp: i64) -> Bytes {
    let mut builder = BatchBuilder::new(Compression::None);
    for at in 0..count {
        builder.push(&record(timestamp, &format!("value {at} at {timestamp}")));
    }
    builder.build()
}

fn produced(id: i64, epoch: i16, sequence: i32, count: usize) -> Bytes {
    let mut builder = BatchBuilder::new(Compression::None).producer(id, epoch, sequence);
    for at in 0..count {
        builder.push(&record(1000, &format!("{id} {epoch} {sequence} {at}")));
    }
    builder.build()
}

/// A log whose segments hold a few small batches.
fn small() -> LogConfig {
    LogConfig { segment_bytes: 600, index_interval_bytes: 200, ..LogConfig::default() }
}

fn append(log: &mut Log, disk: &mut MemoryDisk, records: &Bytes) -> Appended {
    let epoch = log.latest_epoch().unwrap_or(EPOCH);
    let appended = log.append_as_leader(disk, epoch, records, now(2000)).unwrap();
    log.check();
    appended
}

fn sync(log: &mut Log, disk: &MemoryDisk) {
    if let Some(dirty) = log.dirty(disk) {
        log.mark_synced(dirty.upto);
    }
    log.check();
}

fn resolve(read: &LogRead) -> Bytes {
    let mut bytes = BytesMut::new();
    for slice in &read.slices {
        let from = bytes.len();
        bytes.resize(from + usize::try_from(slice.len).unwrap(), 0);
        slice.bytes.read_exact_at(slice.pos, &mut bytes[from..]).unwrap();
    }
    assert_eq!(bytes.len() as u64, read.bytes);
    bytes.freeze()
}

fn headers(bytes: Bytes) -> Vec<BatchHeader> {
    let mut left = bytes.len();
    let headers: Vec<_> = Batches(bytes).map(|batch| batch.unwrap().0).inspect(|h| left -= h.size_in_bytes()).collect();
    assert_eq!(left, 0, "a read returns whole batches");
    headers
}

fn read_all(log: &Log, disk: &MemoryDisk) -> Bytes {
    resolve(&log.read(disk, log.start_offset(), log.end_offset(), u64::MAX, true).unwrap())
}

fn reopen(disk: &mut MemoryDisk, config: LogConfig, recovery_point: Offset) -> (Log, Recovery) {
    let (log, recovery) = Log::open(disk, dir(), config, recovery_point, now(3000)).unwrap();
    log.check();
    (log, recovery)
}

#[test]
fn what_is_appended_is_read_back_over_many_segments() {
    let mut disk = MemoryDisk::new();
    let mut log = Log::create(&mut disk, dir(), small()).unwrap();
    for at in 0..100 {
        let appended = append(&mut log, &mut disk, &batch(1 + at % 3, 1000));
        assert_eq!(appended.last_offset.0 - appended.base_offset.0, (at % 3) as i64);
        assert_eq!(Offset(appended.last_offset.0 + 1), log.end_offset());
    }
    assert!(log.segment_count() > 5);
    let all = read_all(&log, &disk);
    assert_eq!(all.len() as u64, log.size_bytes());
    let mut next = 0;
    for (header, bytes) in Batches(all.clone()).map(Result::unwrap) {
        assert_eq!(header.base_offset, next);
        assert_eq!(header.partition_leader_epoch, EPOCH.0);
        next = header.next_offset();
        assert_eq!(records(&bytes, DECOMPRESSED_BATCH_BYTES_MAX).unwrap().count() as i32, header.record_count);
    }
    for from in 0..next {
        for (end, bytes_max) in [(next, 300), (next, 1), (from + 7, 5000), (from + 1, 0), (next, u64::MAX)] {
            let end = end.min(next);
            let read = log.read(&disk, Offset(from), Offset(end), bytes_max, true).unwrap();
            let found = headers(resolve(&read));
            let whole = |h: &BatchHeader| h.next_offset() > from && h.next_offset() <= end;
            let expected: Vec<_> = headers(all.clone()).into_iter().filter(whole).collect();
            assert_eq!(found, expected[..found.len()], "from {from} to {end} in {bytes_max}");
            let fits = |count: usize| {
                expected[..count].iter().map(|h| h.size_in_bytes() as u64).fold(0, u64::saturating_add) <= bytes_max
            };
            assert!(found.len() == expected.len() || !fits(found.len() + 1), "more would have fitted");
            assert!(fits(found.len()) || found.len() == 1);
            assert_eq!(found.is_empty(), expected.is_empty(), "the first batch comes whatever its size");
            assert_eq!(log.bytes_between(Offset(from), Offset(end)) > 0, from < end);
        }
    }
}

#[test]
fn a_reopened_log_is_the_same_and_reads_only_past_its_checkpoint() {
    let mut disk = MemoryDisk::new();
    let mut log = Log::create(&mut disk, dir(), small()).unwrap();
    for at in 0..50 {
        append(&mut log, &mut disk, &produced(1, 0, at * 2, 2));
    }
    sync(&mut log, &disk);
    log.checkpoint(&mut disk, now(2000)).unwrap();
    let before = log.size_bytes();
    for at in 50..60 {
        append(&mut log, &mut disk, &produced(1, 0, at * 2, 2));
    }
    let (mut again, recovery) = reopen(&mut disk, small(), Offset(0));
    assert_eq!(recovery, Recovery { bytes_read: log.size_bytes() - before, ..Recovery::default() });
    assert_eq!(again.synced_offset(), Offset(100));
    assert_eq!(read_all(&again, &disk), read_all(&log, &disk));
    assert!(append(&mut again, &mut disk, &produced(1, 0, 118, 2)).duplicate);
    assert!(!append(&mut again, &mut disk, &produced(1, 0, 120, 2)).duplicate);
}
