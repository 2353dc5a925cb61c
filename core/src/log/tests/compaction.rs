//! What compaction leaves, and what a crash leaves of compaction.

use std::collections::BTreeMap;

use highwater_wire::records::ControlType;
use proptest::prelude::*;

use super::*;

const BEGIN: i64 = 5000;
/// How many keys random logs have; a record's timestamp is so many milliseconds late at most.
const KEYS: i64 = 12;
const LIMITS: CompactionLimits = CompactionLimits { map_bytes_max: 1 << 20, step_bytes: 0, seed: 7 };

fn compacted() -> LogConfig {
    LogConfig { compact: true, delete: false, delete_retention_ms: 1000, ..small() }
}

fn keyed(timestamp: i64, key: &str, value: Option<&str>) -> Record {
    let value = value.map(|value| value.to_owned().into());
    Record { timestamp, key: Some(key.to_owned().into()), value, ..Record::default() }
}

fn put(log: &mut Log, disk: &mut MemoryDisk, records: &[(&str, Option<&str>)]) {
    let mut builder = BatchBuilder::new(Compression::None);
    records.iter().for_each(|(key, value)| builder.push(&keyed(1000, key, *value)));
    append(log, disk, &builder.build());
}

/// Makes everything durable and lets the checkpoint name it.
fn settle(log: &mut Log, disk: &mut MemoryDisk) {
    for _ in 0..3 {
        sync(log, disk);
        log.checkpoint(disk, now(2000)).unwrap();
    }
    sync(log, disk);
}

/// Compacts at most `steps` steps far. None if there was nothing to do, or it was not finished.
fn compact(log: &mut Log, disk: &mut MemoryDisk, at: Now, limits: CompactionLimits, steps: usize) -> Option<Compacted> {
    let cleanable = log.cleanable(at, log.synced_offset())?;
    log.begin_compaction(disk, &cleanable, limits, at).unwrap();
    let mut done = None;
    for _ in 0..steps {
        match log.continue_compaction(disk, done.take()).unwrap() {
            CompactionProgress::Step(step) => done = Some(step.run()),
            CompactionProgress::Sync => sync(log, disk),
            CompactionProgress::Done(compacted) => {
                log.check();
                return Some(compacted);
            }
            other => panic!("{other:?}"),
        }
        log.check();
    }
    None
}

fn compact_all(log: &mut Log, disk: &mut MemoryDisk, at: i64) -> Compacted {
    settle(log, disk);
    compact(log, disk, now(at), LIMITS, usize::MAX).expect("there is something to compact")
}

/// All records that a reader gets.
fn read_records(log: &Log, disk: &MemoryDisk) -> Vec<Record> {
    let batches = Batches(read_all(log, disk)).map(|batch| batch.unwrap().1);
    batches.flat_map(|batch| records(&batch, DECOMPRESSED_BATCH_BYTES_MAX).unwrap().map(Result::unwrap)).collect()
}

fn closed_records(log: &Log, disk: &MemoryDisk) -> Vec<Record> {
    let active = log.active().base.0;
    read_records(log, disk).into_iter().filter(|record| record.offset < active).collect()
}

#[test]
fn closed_segments_hold_one_record_for_each_key() {
    let mut disk = MemoryDisk::new();
    let mut log = Log::create(&mut disk, dir(), compacted()).unwrap();
    let keys: Vec<String> = (0..10).map(|key| format!("key {key}")).collect();
    for round in 0..30 {
        let value = format!("value {round}");
        keys.iter().for_each(|key| put(&mut log, &mut disk, &[(key.as_str(), Some(value.as_str()))]));
    }
    let segments = log.segment_count();
    let report = compact_all(&mut log, &mut disk, 2000);
    assert_eq!(report.cleaned_offset, log.active().base);
    assert!(report.segments_before > segments as u64 / 2, "a segment that loses nothing stays");
    assert!(report.bytes_after < report.bytes_before / 8, "{report:?}");
    let closed = closed_records(&log, &disk);
    let mut found: Vec<_> = closed.iter().map(|record| record.key.clone().unwrap()).collect();
    found.sort();
    assert_eq!(found, keys.iter().map(|key| Bytes::from(key.clone())).collect::<Vec<_>>());
    let newest = log.active().base.0 - 10;
    assert!(closed.iter().all(|record| record.offset >= newest));
    assert!(log.cleanable(now(3000), log.end_offset()).is_none(), "nothing is dirty");
    (0..10).for_each(|_| put(&mut log, &mut disk, &[("key 0", Some("a value that fills a segment"))]));
    let report = compact_all(&mut log, &mut disk, 3000);
    assert!(report.segments_after * 5 < report.segments_before, "small neighbours become one: {report:?}");
    assert_eq!(closed_records(&log, &disk).len(), 10);
}

#[test]
fn only_closed_stable_durable_and_old_enough_segments_are_compacted() {
    let mut disk = MemoryDisk::new();
    let config = LogConfig { min_compaction_lag_ms: 500, max_compaction_lag_ms: 900, ..compacted() };
    let mut log = Log::create(&mut disk, dir(), config).unwrap();
    (0..40).for_each(|_| put(&mut log, &mut disk, &[("a", Some("1"))]));
    let end = log.end_offset();
    assert!(log.cleanable(now(2000), end).is_none(), "no checkpoint names the segments");
    assert!(log.awaits_checkpoint());
    settle(&mut log, &mut disk);
    assert!(!log.awaits_checkpoint());
    let until = |log: &Log, at, stable| log.cleanable(now(at), stable).map(|found| found.until);
    assert_eq!(until(&log, 1500, end), Some(log.active().base));
    assert_eq!(until(&log, 1499, end), None, "the records are not old enough");
    let second = *log.segments.keys().nth(1).unwrap();
    assert_eq!(until(&log, 1500, second), Some(second));
    assert_eq!(until(&log, 1500, Offset(second.0 - 1)), None, "the high watermark is in the first segment");
    assert!(!log.cleanable(now(1900), end).unwrap().is_overdue);
    assert!(log.cleanable(now(1901), end).unwrap().is_overdue);
    let base = log.roll_for_compaction(&mut disk, now(1900)).unwrap();
    assert_eq!((base, log.roll_for_compaction(&mut disk, now(1901)).unwrap()), (None, Some(end)));
}

#[test]
fn a_tombstone_goes_after_its_horizon_and_takes_older_records_with_it() {
    let mut disk = MemoryDisk::new();
    let mut log = Log::create(&mut disk, dir(), compacted()).unwrap();
    put(&mut log, &mut disk, &[("gone", Some("1")), ("kept", Some("1"))]);
    put(&mut log, &mut disk, &[("gone", None)]);
    let fill = |log: &mut Log, disk: &mut MemoryDisk| {
        (0..20).for_each(|_| put(log, disk, &[("filler", Some("a value that fills a segment"))]));
    };
    let gone = |log: &Log, disk: &MemoryDisk| {
        let all = read_records(log, disk).into_iter().filter(|record| record.key.as_deref() == Some(b"gone"));
        all.map(|record| (record.offset, record.value.is_some(), record.timestamp)).collect::<Vec<_>>()
    };
    fill(&mut log, &mut disk);
    compact_all(&mut log, &mut disk, 5000);
    assert_eq!(gone(&log, &disk), [(2, false, 1000)], "the horizon counts from the first compaction");
    fill(&mut log, &mut disk);
    compact_all(&mut log, &mut disk, 5999);
    assert_eq!(gone(&log, &disk), [(2, false, 1000)]);
    fill(&mut log, &mut disk);
    compact_all(&mut log, &mut disk, 6000);
    assert_eq!(gone(&log, &disk), []);
    assert!(read_records(&log, &disk).iter().any(|record| record.key.as_deref() == Some(b"kept")));
}

#[test]
fn readers_get_on_where_the_last_records_of_a_segment_are_gone() {
    let mut disk = MemoryDisk::new();
    let mut log = Log::create(&mut disk, dir(), compacted()).unwrap();
    put(&mut log, &mut disk, &[("a", Some("1"))]);
    (0..10).for_each(|_| put(&mut log, &mut disk, &[("gone", None)]));
    log.roll(&mut disk).unwrap();
    for at in [5000, 9000] {
        compact_all(&mut log, &mut disk, at);
        // Only tombstones follow, so a second compaction takes the last one, too.
        log.cleaned = Offset(0);
    }
    assert_eq!(read_records(&log, &disk).len(), 1);
    assert_eq!(log.segment_count(), 2);
    assert!(log.active().is_empty());
    let last = headers(read_all(&log, &disk)).pop().unwrap();
    assert_eq!((last.record_count, Offset(last.next_offset())), (0, log.end_offset()));
    for from in 1..11 {
        let read = log.read(&disk, Offset(from), log.end_offset(), 1, true).unwrap();
        assert_eq!(headers(resolve(&read)), [last]);
        assert!(log.bytes_between(Offset(from), log.end_offset()) > 0);
    }
}

#[test]
fn what_a_producer_did_last_outlives_its_records() {
    let mut disk = MemoryDisk::new();
    let mut log = Log::create(&mut disk, dir(), compacted()).unwrap();
    append(&mut log, &mut disk, &produced(5, 0, 0, 2));
    append(&mut log, &mut disk, &produced(5, 0, 2, 2));
    (0..20).for_each(|_| put(&mut log, &mut disk, &[("k", Some("a value that fills a segment"))]));
    compact_all(&mut log, &mut disk, 5000);
    let batches = headers(read_all(&log, &disk));
    assert_eq!((batches[0].base_offset, batches[0].last_sequence(), batches[0].record_count), (2, 3, 0));
    // As a follower would learn it, from the batches alone.
    let mut from_scratch = producers::Producers::default();
    batches.iter().for_each(|header| from_scratch.update(header));
    let header = BatchHeader::parse(&produced(5, 0, 4, 1)).unwrap();
    from_scratch.admit(&header).unwrap();
}

#[test]
fn a_marker_stays_as_long_as_its_records_and_then_until_its_horizon() {
    let mut disk = MemoryDisk::new();
    let mut log = Log::create(&mut disk, dir(), compacted()).unwrap();
    let mut data = BatchBuilder::new(Compression::None).producer(5, 0, 0).transactional();
    data.push(&keyed(1000, "a", Some("in a transaction")));
    let mut marker = BatchBuilder::new(Compression::None).producer(5, 0, -1).transactional().control();
    marker.push(&Record::marker(ControlType::Commit, 0, 1000));
    for batch in [data.build(), marker.build()] {
        log.append_internal(&mut disk, EPOCH, &batch, now(2000)).unwrap();
    }
    // A later batch of the producer takes the sequence over.
    let mut later = BatchBuilder::new(Compression::None).producer(5, 0, 1);
    later.push(&keyed(1000, "b", Some("1")));
    append(&mut log, &mut disk, &later.build());
    let markers = |log: &Log, disk: &MemoryDisk| {
        headers(read_all(log, disk)).into_iter().filter(BatchHeader::is_control).map(|h| h.delete_horizon()).collect()
    };
    let fill = |log: &mut Log, disk: &mut MemoryDisk, key| {
        (0..20).for_each(|_| put(log, disk, &[(key, Some("a value that fills a segment"))]));
    };
    let mut expect = |log: &mut Log, key, at, expected: &[Option<i64>]| {
        fill(log, &mut disk, key);
        compact_all(log, &mut disk, at);
        let found: Vec<_> = markers(log, &disk);
        assert_eq!(found, expected, "at {at}");
    };
    expect(&mut log, "filler", 5000, &[None]);
    expect(&mut log, "filler", 90_000, &[None]);
    expect(&mut log, "a", 100_000, &[Some(101_000)]);
    expect(&mut log, "a", 100_999, &[Some(101_000)]);
    expect(&mut log, "a", 101_000, &[]);
}

#[test]
fn more_keys_than_memory_take_several_rounds() {
    let mut disk = MemoryDisk::new();
    let mut log = Log::create(&mut disk, dir(), compacted()).unwrap();
    for at in 0..600 {
        put(&mut log, &mut disk, &[(format!("key {}", at % 200).as_str(), Some(at.to_string().as_str()))]);
    }
    let limits = CompactionLimits { map_bytes_max: 0, ..LIMITS };
    let (mut rounds, mut cleaned) = (0, Offset(0));
    settle(&mut log, &mut disk);
    while let Some(report) = compact(&mut log, &mut disk, now(2000), limits, usize::MAX) {
        assert!(report.cleaned_offset > cleaned, "every round gets on");
        (rounds, cleaned) = (rounds + 1, report.cleaned_offset);
        settle(&mut log, &mut disk);
    }
    assert!(rounds > 4, "{rounds} rounds");
    let closed = closed_records(&log, &disk);
    let keys: std::collections::BTreeSet<_> = closed.iter().map(|record| record.key.clone()).collect();
    assert_eq!((closed.len(), keys.len()), (200, 200));
}

#[test]
fn whatever_changes_the_log_ends_a_compaction_without_a_trace() {
    let fill = |log: &mut Log, disk: &mut MemoryDisk| {
        (0..40).for_each(|_| put(log, disk, &[("a", Some("a value that fills a segment"))]));
        settle(log, disk);
    };
    type Change = fn(&mut Log, &mut MemoryDisk);
    let changes: [(&str, Change); 4] = [
        ("truncation", |log, disk| {
            let end = log.end_offset();
            log.prepare_truncation(disk, end).unwrap();
            sync(log, disk);
            log.truncate_to(disk, end).unwrap();
        }),
        ("deletion", |log, disk| {
            log.delete_records_before(disk, Offset(20)).unwrap();
            assert!(!log.apply_retention(disk, now(2000), log.synced_offset()).unwrap().is_empty());
        }),
        ("another policy", |log, _| log.set_config(LogConfig { compact: false, ..compacted() })),
        ("a full disk", |_, disk| disk.set_capacity(0)),
    ];
    for (name, change) in changes {
        for steps in 1..40 {
            let mut disk = MemoryDisk::new();
            let mut log = Log::create(&mut disk, dir(), compacted()).unwrap();
            fill(&mut log, &mut disk);
            let cleanable = log.cleanable(now(2000), log.end_offset()).unwrap();
            log.begin_compaction(&disk, &cleanable, LIMITS, now(2000)).unwrap();
            let mut done = None;
            let mut finished = false;
            for _ in 0..steps {
                match log.continue_compaction(&mut disk, done.take()).unwrap() {
                    CompactionProgress::Step(step) => done = Some(step.run()),
                    CompactionProgress::Sync => sync(&mut log, &disk),
                    CompactionProgress::Done(_) => finished = true,
                    CompactionProgress::Abandoned if finished => {}
                    other => panic!("{other:?}"),
                }
            }
            change(&mut log, &mut disk);
            while let CompactionProgress::Step(step) = log.continue_compaction(&mut disk, done.take()).unwrap() {
                done = Some(step.run());
            }
            disk.set_capacity(u64::MAX);
            sync(&mut log, &disk);
            log.abandon_compaction(&mut disk).unwrap();
            assert!(!log.is_compacting(), "{name} after {steps} steps");
            log.check();
            let newest = read_records(&log, &disk).pop().unwrap();
            assert_eq!(newest.offset, 39, "{name} after {steps} steps");
            settle(&mut log, &mut disk);
            let files = disk.list(&dir()).unwrap();
            let logs = files.iter().filter(|entry| matches!(names::parse(&entry.name), names::Kind::Log(..)));
            assert_eq!(logs.count(), log.segment_count(), "{name} after {steps} steps leaves {files:?}");
        }
    }
}

#[test]
fn damage_ends_compaction_for_good_and_changes_nothing() {
    let mut disk = MemoryDisk::new();
    let mut log = Log::create(&mut disk, dir(), compacted()).unwrap();
    (0..40).for_each(|_| put(&mut log, &mut disk, &[("a", Some("a value that fills a segment"))]));
    settle(&mut log, &mut disk);
    let path = log.segments[&Offset(0)].path(&dir());
    *disk.bytes_mut(&path).unwrap().last_mut().unwrap() ^= 1;
    let before = read_all(&log, &disk);
    let cleanable = log.cleanable(now(2000), log.end_offset()).unwrap();
    log.begin_compaction(&disk, &cleanable, LIMITS, now(2000)).unwrap();
    let mut done = None;
    let reason = loop {
        match log.continue_compaction(&mut disk, done.take()).unwrap() {
            CompactionProgress::Step(step) => done = Some(step.run()),
            CompactionProgress::Damaged(reason) => break reason,
            other => panic!("{other:?}"),
        }
    };
    assert!(reason.contains("checksum"), "{reason}");
    assert!(log.cleanable(now(2000), log.end_offset()).is_none());
    assert_eq!(read_all(&log, &disk), before);
}

#[test]
fn without_its_checkpoint_a_rewritten_log_is_refused() {
    let mut disk = MemoryDisk::new();
    let mut log = Log::create(&mut disk, dir(), compacted()).unwrap();
    (0..40).for_each(|_| put(&mut log, &mut disk, &[("a", Some("a value that fills a segment"))]));
    compact_all(&mut log, &mut disk, 2000);
    settle(&mut log, &mut disk);
    drop(log);
    disk.remove(&dir().join(names::CHECKPOINT)).unwrap();
    let error = Log::open(&mut disk, dir(), compacted(), Offset(0), now(3000)).unwrap_err();
    assert!(error.to_string().contains("the log's checkpoint, which says so, is missing"), "{error}");
}

/// What happens to a compacted log.
#[derive(Clone, Debug)]
enum Op {
    Append {
        codec: Compression,
        producer: bool,
        records: Vec<(u8, bool)>,
    },
    Settle,
    /// A compaction that gets so many steps far.
    Compact {
        steps: usize,
        small_map: bool,
    },
    Wait {
        ms: i64,
    },
    /// The process dies; the page cache stays.
    Crash,
}

fn any_op() -> impl Strategy<Value = Op> {
    let records = proptest::collection::vec((0..KEYS as u8, proptest::bool::weighted(0.8)), 1..5);
    let codec = proptest::sample::select(vec![Compression::None, Compression::Lz4]);
    prop_oneof![
        12 => (codec, any::<bool>(), records).prop_map(|(codec, producer, records)| Op::Append { codec, producer, records }),
        3 => Just(Op::Settle),
        3 => (prop_oneof![1..60_usize, Just(usize::MAX)], any::<bool>())
            .prop_map(|(steps, small_map)| Op::Compact { steps, small_map }),
        1 => (1..3000_i64).prop_map(|ms| Op::Wait { ms }),
        1 => Just(Op::Crash),
    ]
}

struct World {
    disk: MemoryDisk,
    log: Log,
    at: i64,
    sequence: i32,
    /// Every record that was ever appended, by its offset.
    model: BTreeMap<i64, Record>,
}

impl World {
    fn new() -> Self {
        let mut disk = MemoryDisk::new();
        let log = Log::create(&mut disk, dir(), compacted()).unwrap();
        Self { disk, log, at: BEGIN, sequence: 0, model: BTreeMap::new() }
    }

    fn apply(&mut self, op: &Op) {
        let limits =
            |small_map: bool| CompactionLimits { map_bytes_max: if small_map { 0 } else { 1 << 16 }, ..LIMITS };
        match op {
            Op::Append { codec, producer, records } => self.append(*codec, *producer, records),
            Op::Settle => settle(&mut self.log, &mut self.disk),
            Op::Compact { steps, small_map } => {
                compact(&mut self.log, &mut self.disk, now(self.at), limits(*small_map), *steps);
                self.log.abandon_compaction(&mut self.disk).unwrap();
            }
            Op::Wait { ms } => self.at += ms,
            Op::Crash => {
                let end = self.log.end_offset();
                self.log = reopen(&mut self.disk, compacted(), self.log.synced_offset()).0;
                assert_eq!(self.log.end_offset(), end);
            }
        }
        self.log.check();
        self.check();
    }

    fn append(&mut self, codec: Compression, producer: bool, records: &[(u8, bool)]) {
        let mut builder = BatchBuilder::new(codec);
        if producer {
            builder = builder.producer(1, 0, self.sequence);
            self.sequence += records.len() as i32;
        }
        let base = self.log.end_offset().0;
        for (at, (key, has_value)) in records.iter().enumerate() {
            let offset = base + at as i64;
            let value = has_value.then(|| format!("value at {offset}"));
            let record = keyed(self.at + i64::from(*key), &format!("key {key}"), value.as_deref());
            builder.push(&record);
            self.model.insert(offset, Record { offset, ..record });
        }
        assert_eq!(append(&mut self.log, &mut self.disk, &builder.build()).base_offset.0, base);
    }

    fn check(&self) {
        let found = read_records(&self.log, &self.disk);
        assert!(found.is_sorted_by_key(|record| record.offset));
        let mut seen: BTreeMap<Bytes, &Record> = BTreeMap::new();
        for record in &found {
            assert_eq!(Some(record), self.model.get(&record.offset), "a record keeps its offset, time and contents");
            seen.insert(record.key.clone().unwrap(), record);
        }
        let newest: BTreeMap<_, _> = self.model.values().map(|record| (record.key.clone().unwrap(), record)).collect();
        for (key, newest) in newest {
            let expired = newest.value.is_none() && self.at >= newest.timestamp - KEYS + 1000;
            match seen.get(&key) {
                Some(last) => assert_eq!(*last, newest, "a reader sees the newest record of a key last"),
                None => assert!(expired, "{newest:?} is gone"),
            }
        }
        self.check_navigation(&found);
    }

    fn check_navigation(&self, found: &[Record]) {
        let end = self.log.end_offset();
        let mut next = 0;
        while next < end.0 {
            let read = self.log.read(&self.disk, Offset(next), end, 1, true).unwrap();
            let [header] = &headers(resolve(&read))[..] else { panic!("a reader at {next} of {end} gets one batch") };
            assert!(header.next_offset() > next, "a reader gets on");
            next = header.next_offset();
        }
        assert_eq!(next, end.0, "a reader reaches the end");
        for timestamp in [0, BEGIN, self.at] {
            let expected = found.iter().find(|record| record.timestamp >= timestamp).map(|record| record.offset);
            let answer = match self.log.find_timestamp(&self.disk, timestamp).unwrap() {
                TimestampAnswer::NotFound => None,
                TimestampAnswer::Search(search) => search.run().unwrap().map(|found| found.offset.0),
            };
            assert_eq!(answer, expected, "the first record from {timestamp} on");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn the_newest_record_of_every_key_survives_compaction_and_crashes(
        ops in proptest::collection::vec(any_op(), 1..60),
    ) {
        let mut world = World::new();
        ops.iter().for_each(|op| world.apply(op));
    }
}
