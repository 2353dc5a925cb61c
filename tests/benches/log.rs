//! What one partition's log costs on the real file system: appending, finding records, and opening a log of 1 GB after a
//! crash, with a checkpoint (the ordinary case) and without one.
//!
//! Syncs are left out: they cost what the disk costs.

use std::hint::black_box;
use std::path::Path;

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use highwater::disk::{DirectoryDisk, FileIds};
use highwater_core::Now;
use highwater_core::disk::{Disk, LogPath};
use highwater_core::ids::{LeaderEpoch, Offset};
use highwater_core::log::{Log, LogConfig};
use highwater_core::time::{Instant, WallMs};
use highwater_wire::records::{BatchBuilder, Compression, Record};

const RECORD_BYTES: usize = 1000;
const RECORDS_PER_BATCH: i64 = 64;
const GIGABYTE: u64 = 1_000_000_000;

fn now() -> Now {
    Now { mono: Instant(1), wall: WallMs(1_000_000) }
}

fn batch() -> Bytes {
    let mut builder = BatchBuilder::new(Compression::None);
    let value = Some(Bytes::from(vec![b'x'; RECORD_BYTES]));
    for offset in 0..RECORDS_PER_BATCH {
        let value = value.clone();
        builder.push(&Record { offset, timestamp: 1_000_000, key: None, value, headers: Vec::new() });
    }
    builder.build()
}

fn path() -> LogPath {
    LogPath::root().join("log")
}

fn disk(root: &Path) -> DirectoryDisk {
    DirectoryDisk::new(root.to_owned(), FileIds::default())
}

fn create(root: &Path) -> (DirectoryDisk, Log) {
    let mut disk = disk(root);
    let log = Log::create(&mut disk, path(), LogConfig::default()).expect("a new directory takes a log");
    (disk, log)
}

fn append(log: &mut Log, disk: &mut DirectoryDisk, batch: &Bytes) {
    log.append_as_leader(disk, LeaderEpoch(0), batch, now()).expect("a good batch is taken");
}

/// Takes everything for synced, which it is as far as other processes of this machine are concerned.
fn settle(log: &mut Log, disk: &impl Disk) {
    if let Some(dirty) = log.dirty(disk) {
        log.mark_synced(dirty.upto);
    }
}

fn bench_append(criterion: &mut Criterion) {
    let batch = batch();
    let mut group = criterion.benchmark_group("log");
    group.throughput(Throughput::Bytes(batch.len() as u64));
    group.bench_function("append 64 records of 1 kB", |bencher| {
        let mut root = tempfile::tempdir().expect("a temporary directory");
        let (mut disk, mut log) = create(root.path());
        bencher.iter(|| {
            if log.size_bytes() > GIGABYTE {
                root = tempfile::tempdir().expect("a temporary directory");
                (disk, log) = create(root.path());
            }
            append(&mut log, &mut disk, &batch);
        });
    });
    group.finish();
}

fn bench_fetch(criterion: &mut Criterion) {
    let root = tempfile::tempdir().expect("a temporary directory");
    let (mut disk, mut log) = create(root.path());
    let batch = batch();
    for _ in 0..1000 {
        append(&mut log, &mut disk, &batch);
    }
    let end = log.end_offset();
    let mut offsets = (0..end.0).step_by(7919).cycle();
    criterion.bench_function("log/fetch 1 MiB at any offset", |bencher| {
        bencher.iter(|| {
            let from = Offset(offsets.next().expect("it never ends"));
            black_box(log.read(&disk, from, end, 1 << 20, true).expect("the offset is there"))
        });
    });
}

fn bench_recovery(criterion: &mut Criterion) {
    let root = tempfile::tempdir().expect("a temporary directory");
    let (mut disk, mut log) = create(root.path());
    let batch = batch();
    while log.size_bytes() < GIGABYTE {
        append(&mut log, &mut disk, &batch);
    }
    settle(&mut log, &disk);
    log.checkpoint(&mut disk, now()).expect("there is room for a checkpoint");
    let end = log.end_offset();
    drop((disk, log));

    let mut group = criterion.benchmark_group("recovery of 1 GB");
    group.sample_size(10);
    group.bench_function("from a checkpoint", |bencher| bencher.iter(|| recover(root.path(), end)));
    group.bench_function("without a checkpoint", |bencher| {
        bencher.iter(|| {
            std::fs::remove_file(root.path().join("log/checkpoint")).ok();
            recover(root.path(), end)
        });
    });
    group.finish();
}

fn recover(root: &Path, end: Offset) {
    let mut disk = disk(root);
    let (log, recovery) =
        Log::open(&mut disk, path(), LogConfig::default(), Offset(0), now()).expect("the log is sound");
    assert_eq!(log.end_offset(), end, "recovery finds every record");
    black_box(recovery);
}

criterion_group!(benches, bench_append, bench_fetch, bench_recovery);
criterion_main!(benches);
