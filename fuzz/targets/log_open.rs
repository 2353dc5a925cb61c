//! A log's directory as a crash, a bad disk or a stranger left it: opening it says what is damaged or succeeds; then it
//! holds whole batches only, takes another record, and opens again as it was.

#![no_main]

use std::sync::LazyLock;

use arbitrary::Arbitrary;
use bytes::Bytes;
use highwater_core::disk::memory::MemoryDisk;
use highwater_core::disk::{Disk, LogPath};
use highwater_core::ids::{LeaderEpoch, Offset};
use highwater_core::log::{CompactionLimits, CompactionProgress, Log, LogConfig};
use highwater_core::time::{Now, WallMs};
use highwater_wire::records::{BatchBuilder, Batches, Compression, Record, verify_crc};
use libfuzzer_sys::fuzz_target;

/// What happened to one of the files.
#[derive(Arbitrary, Debug)]
enum Damage {
    Set { file: u8, at: u16, byte: u8 },
    Cut { file: u8, to: u16 },
    Extend { file: u8, bytes: Vec<u8> },
    Swap { file: u8, bytes: Vec<u8> },
    Remove { file: u8 },
    Duplicate { file: u8, other: u8 },
}

#[derive(Arbitrary, Debug)]
struct Story {
    batches: u8,
    checkpoint: bool,
    /// How many steps of a compaction there were.
    compaction: u8,
    recovery_point: u8,
    damages: Vec<Damage>,
}

const NOW: Now = Now { mono: highwater_core::time::Instant(0), wall: WallMs(1_700_000_000_000) };

fn directory() -> LogPath {
    LogPath::root().join("log")
}

fn config() -> LogConfig {
    LogConfig { segment_bytes: 600, index_interval_bytes: 100, compact: true, delete: false, ..LogConfig::default() }
}

/// Made once: compression would take most of the time.
static BATCHES: LazyLock<Vec<Bytes>> = LazyLock::new(|| (0..BATCHES_MAX).map(batch).collect());
const BATCHES_MAX: i32 = 24;

fn batch(number: i32) -> Bytes {
    let codecs = [Compression::None, Compression::Lz4, Compression::Gzip];
    let mut builder = BatchBuilder::new(codecs[number as usize % codecs.len()]);
    if number % 2 == 0 {
        builder = builder.producer(7, 0, number / 2 * 2);
    }
    for _ in 0..2 {
        let value = Some(Bytes::from(vec![number as u8; 50]));
        let key = Some(Bytes::from(vec![number as u8 % 4]));
        builder.push(&Record { timestamp: NOW.wall.0 + i64::from(number), key, value, ..Record::default() });
    }
    builder.build()
}

fn damage(disk: &mut MemoryDisk, damage: &Damage) {
    let Ok(entries) = disk.list(&directory()) else { return };
    if entries.is_empty() {
        return;
    }
    let path = |file: &u8| directory().join(&entries[usize::from(*file) % entries.len()].name);
    match damage {
        Damage::Set { file, at, byte } => {
            let bytes = disk.bytes_mut(&path(file)).expect("it is a file");
            if !bytes.is_empty() {
                let at = usize::from(*at) % bytes.len();
                bytes[at] = *byte;
            }
        }
        Damage::Cut { file, to } => disk.bytes_mut(&path(file)).expect("it is a file").truncate(usize::from(*to)),
        Damage::Extend { file, bytes } => disk.bytes_mut(&path(file)).expect("it is a file").extend(bytes),
        Damage::Swap { file, bytes } => disk.put(&path(file), bytes.clone()),
        Damage::Remove { file } => disk.remove(&path(file)).expect("it is there"),
        Damage::Duplicate { file, other } => {
            let bytes = disk.bytes(&path(other)).expect("it is a file").to_vec();
            disk.put(&path(file), bytes);
        }
    }
}

fn sync(log: &mut Log, disk: &MemoryDisk) {
    if let Some(dirty) = log.dirty(disk) {
        log.mark_synced(dirty.upto);
    }
}

/// Compacts so many steps far, as if the process died then.
fn compact(log: &mut Log, disk: &mut MemoryDisk, steps: u8) {
    let Some(cleanable) = log.cleanable(NOW, log.end_offset()).filter(|_| steps > 0) else { return };
    let limits = CompactionLimits { map_bytes_max: 0, step_bytes: 0, seed: 0 };
    log.begin_compaction(disk, &cleanable, limits, NOW).expect("a disk in memory does not fail");
    let mut done = None;
    for _ in 0..steps {
        match log.continue_compaction(disk, done.take()).expect("a disk in memory does not fail") {
            CompactionProgress::Step(step) => done = Some(step.run()),
            CompactionProgress::Sync => sync(log, disk),
            CompactionProgress::Done(_) => return log.checkpoint(disk, NOW).expect("a disk in memory does not fail"),
            other => panic!("nothing is in the way of compaction: {other:?}"),
        }
    }
}

/// Reads everything and expects whole batches of rising offsets.
fn check(log: &Log, disk: &MemoryDisk) {
    log.check();
    let found = log.read(disk, log.start_offset(), log.end_offset(), u64::MAX, true).expect("a disk in memory does not fail");
    let mut bytes = Vec::new();
    for slice in &found.slices {
        let mut part = vec![0; usize::try_from(slice.len).expect("small")];
        slice.bytes.read_exact_at(slice.pos, &mut part).expect("a slice lies in its file");
        bytes.extend(part);
    }
    let (len, mut taken, mut next) = (bytes.len(), 0, 0);
    for read in Batches(bytes.into()) {
        let (header, batch) = read.expect("a log holds batches");
        verify_crc(&batch).expect("a batch that was read on opening is whole");
        assert!(header.base_offset >= next, "offsets rise");
        (next, taken) = (header.next_offset(), taken + batch.len());
    }
    assert_eq!(taken, len, "a log holds whole batches only");
}

fuzz_target!(|story: Story| {
    let mut disk = MemoryDisk::new();
    let mut log = Log::create(&mut disk, directory(), config()).expect("an empty disk takes a log");
    let count = usize::from(story.batches) % BATCHES.len();
    for (batch, epoch) in BATCHES[..count].iter().zip(0..) {
        log.append_as_leader(&mut disk, LeaderEpoch(epoch / 8), batch, NOW).expect("a good batch is taken");
    }
    let end = log.end_offset();
    if story.checkpoint {
        sync(&mut log, &disk);
        log.checkpoint(&mut disk, NOW).expect("a disk in memory does not fail");
        sync(&mut log, &disk);
        compact(&mut log, &mut disk, story.compaction);
    }
    drop(log);
    for one in story.damages.iter().take(8) {
        damage(&mut disk, one);
    }
    let point = Offset(i64::from(story.recovery_point) % (end.0 + 1));
    let Ok((mut log, _)) = Log::open(&mut disk, directory(), config(), point, NOW) else { return };
    if !story.checkpoint && point == Offset(0) {
        check(&log, &disk);
    }
    let epoch = LeaderEpoch(99);
    if log.begin_epoch(epoch).is_err() {
        return;
    }
    log.append_as_leader(&mut disk, epoch, &BATCHES[1], NOW).expect("an open log takes a record");
    let (start, end) = (log.start_offset(), log.end_offset());
    drop(log);
    let (log, _) = Log::open(&mut disk, directory(), config(), Offset(0), NOW).expect("what was opened once opens again");
    assert_eq!((start, end), (log.start_offset(), log.end_offset()), "opening again finds the same");
});
