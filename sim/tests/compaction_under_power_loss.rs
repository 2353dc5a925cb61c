//! One compacted log on the simulated disk, driven at random through crashes at every step of its compactions: of every
//! key the newest record that was synced survives, what is read is what was written, and readers reach the end.
//!
//! `HIGHWATER_SEEDS=N` runs seeds 0 to N, `HIGHWATER_SEED=S` replays one.

#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::{Bytes, BytesMut};
use highwater_core::ids::{LeaderEpoch, Offset, PartitionId, ShardId};
use highwater_core::log::{
    AppendError, CompactionLimits, CompactionProgress, CompactionStepDone, Log, LogConfig, OpenLogError, RecoveryPoints,
};
use highwater_core::time::{Now, WallMs};
use highwater_core::{Disk, disk::LogPath};
use highwater_sim::disk::{DiskFaults, SimDisk, SyncScope};
use highwater_sim::rng::{Concern, Stream};
use highwater_wire::records::{BatchBuilder, Batches, Compression, Record, records};

const SHARD: ShardId = ShardId(1);
const STEPS: usize = 300;
const KEYS: u64 = 8;
const DELETE_RETENTION_MS: i64 = 300;

struct World {
    rng: Stream,
    disk: SimDisk,
    log: Log,
    points: RecoveryPoints,
    pending: VecDeque<(SyncScope, Offset)>,
    step_done: Option<CompactionStepDone>,
    at: i64,
    epoch: i32,
    /// Every record that the log has held since its last loss, by its offset, and when it was appended.
    held: BTreeMap<i64, (Record, i64)>,
    /// Every record that ever was at an offset.
    written: BTreeSet<(i64, Option<Bytes>, Option<Bytes>)>,
    /// Reported as synced.
    durable: i64,
    compactions: u64,
}

fn dir() -> LogPath {
    LogPath::root().join("t-0")
}

fn config() -> LogConfig {
    LogConfig {
        segment_bytes: 1200,
        index_interval_bytes: 300,
        compact: true,
        delete: false,
        delete_retention_ms: DELETE_RETENTION_MS,
        ..LogConfig::default()
    }
}

impl World {
    fn new(seed: u64) -> Self {
        let mut disk = SimDisk::new(Stream::new(seed, Concern::Disk, 0));
        let points = RecoveryPoints::open(&mut disk, SHARD).unwrap();
        let log = Log::create(&mut disk, dir(), config()).unwrap();
        Self {
            rng: Stream::new(seed, Concern::Client, 0),
            disk,
            log,
            points,
            pending: VecDeque::new(),
            step_done: None,
            at: 1_000_000,
            epoch: 0,
            held: BTreeMap::new(),
            written: BTreeSet::new(),
            durable: 0,
            compactions: 0,
        }
    }

    fn now(&self) -> Now {
        Now { wall: WallMs(self.at), ..Now::default() }
    }

    fn step(&mut self) {
        let now = self.now();
        match self.rng.below(100) {
            0..35 => self.append(),
            35..50 => self.submit(),
            50..65 => self.complete(),
            65..72 => self.log.checkpoint(&mut self.disk, now).unwrap(),
            72..92 => {
                (0..self.rng.between(1, 20)).for_each(|_| self.compact());
                self.check();
            }
            92..97 => self.at += self.rng.below(400) as i64,
            97 => self.crash(false),
            _ => self.crash(true),
        }
        self.log.check();
    }

    fn append(&mut self) {
        let codec = *self.rng.pick(&[Compression::None, Compression::Lz4]);
        let mut builder = BatchBuilder::new(codec);
        let base = self.log.end_offset().0;
        let mut records = Vec::new();
        for at in 0..self.rng.between(1, 4) as i64 {
            let key = Some(format!("key {}", self.rng.below(KEYS)).into());
            let value = self.rng.chance(800).then(|| Bytes::from(vec![self.rng.bits() as u8; 60]));
            let record = Record { offset: base + at, timestamp: self.at, key, value, headers: Vec::new() };
            builder.push(&record);
            records.push(record);
        }
        let full = self.rng.chance(30);
        self.disk.set_faults(DiskFaults { full_per_mille: if full { 300 } else { 0 }, ..DiskFaults::default() });
        let (epoch, now) = (LeaderEpoch(self.epoch), self.now());
        let result = self.log.append_as_leader(&mut self.disk, epoch, &builder.build(), now);
        self.disk.set_faults(DiskFaults::default());
        match result {
            Ok(appended) => assert_eq!(appended.base_offset.0, base),
            Err(AppendError::Full) if full => return,
            Err(error) => panic!("{error}"),
        }
        for record in records {
            self.written.insert((record.offset, record.key.clone(), record.value.clone()));
            self.held.insert(record.offset, (record, self.at));
        }
    }

    fn submit(&mut self) {
        let Some(dirty) = self.log.dirty(&self.disk) else { return };
        let (mut files, mut directories) = (dirty.files, dirty.directories);
        self.points.record(&mut self.disk, &[(PartitionId::default(), self.log.synced_offset())]).unwrap();
        self.points.add_dirty(&self.disk, &mut files, &mut directories);
        self.pending.push_back((self.disk.submit(&files, &directories), dirty.upto));
    }

    fn complete(&mut self) {
        let Some((scope, upto)) = self.pending.pop_front() else { return };
        self.disk.complete(&scope).unwrap();
        self.log.mark_synced(upto);
        self.durable = self.log.synced_offset().0;
    }

    /// One step of a compaction, or the beginning of one.
    fn compact(&mut self) {
        let now = self.now();
        if !self.log.is_compacting() {
            self.step_done = None;
            let Some(cleanable) = self.log.cleanable(now, self.log.synced_offset()) else { return };
            let map_bytes_max = if self.rng.chance(300) { 0 } else { 1 << 16 };
            let limits = CompactionLimits { map_bytes_max, step_bytes: 0, seed: 7 };
            self.log.begin_compaction(&self.disk, &cleanable, limits, now).unwrap();
        }
        let full = self.rng.chance(20);
        self.disk.set_faults(DiskFaults { full_per_mille: if full { 300 } else { 0 }, ..DiskFaults::default() });
        let progress = self.log.continue_compaction(&mut self.disk, self.step_done.take()).unwrap();
        self.disk.set_faults(DiskFaults::default());
        match progress {
            CompactionProgress::Step(step) => self.step_done = Some(step.run()),
            CompactionProgress::Sync => {
                self.submit();
                self.complete();
            }
            CompactionProgress::Done(_) => self.compactions += 1,
            CompactionProgress::Abandoned => assert!(full, "nothing but a full disk is in the way"),
            CompactionProgress::Damaged(reason) => panic!("{reason}"),
        }
    }

    fn read(&self) -> Vec<Record> {
        let (from, end) = (self.log.start_offset(), self.log.end_offset());
        let read = self.log.read(&self.disk, from, end, u64::MAX, true).unwrap();
        let mut bytes = BytesMut::new();
        for slice in &read.slices {
            let at = bytes.len();
            bytes.resize(at + slice.len as usize, 0);
            slice.bytes.read_exact_at(slice.pos, &mut bytes[at..]).unwrap();
        }
        let (mut found, mut next) = (Vec::new(), 0);
        for (header, batch) in Batches(bytes.freeze()).map(Result::unwrap) {
            assert!(header.base_offset >= next, "batches follow one another");
            found.extend(records(&batch, 1 << 20).unwrap().map(Result::unwrap));
            next = header.next_offset();
        }
        assert_eq!(next, end.0, "a reader reaches the end");
        found
    }

    /// What is read is what was written, and of every key the newest record is there.
    fn check(&self) {
        let found = self.read();
        let mut last = BTreeMap::new();
        for record in &found {
            let (held, _) = self.held.get(&record.offset).unwrap_or_else(|| panic!("{record:?} was never written"));
            assert_eq!(record, held, "a record keeps its offset, time and contents");
            last.insert(record.key.clone(), record);
        }
        let newest: BTreeMap<_, _> = self.held.values().map(|held| (held.0.key.clone(), held)).collect();
        for (key, (newest, appended_at)) in newest {
            match last.get(&key) {
                Some(last) => assert_eq!(*last, newest, "the newest record of a key is read last"),
                None => {
                    let may_be_gone = newest.value.is_none() && self.at >= appended_at + DELETE_RETENTION_MS;
                    assert!(may_be_gone, "the newest record of a key is gone: {newest:?}");
                }
            }
        }
    }

    fn crash(&mut self, power: bool) {
        self.pending.clear();
        self.step_done = None;
        // A new incarnation resumes no epoch: that is how recovery tells a file that came back from what replaced it.
        self.epoch += 1;
        let end = self.log.end_offset().0;
        if power {
            self.disk.lose_power();
        } else {
            self.disk.kill();
        }
        self.points = RecoveryPoints::open(&mut self.disk, SHARD).unwrap();
        let point = self.points.get(PartitionId::default()).unwrap_or_default();
        let now = self.now();
        let opened = match self.disk.list(&dir()) {
            Ok(_) => Log::open(&mut self.disk, dir(), config(), point, now).map(|(log, _)| log),
            Err(_) => {
                assert_eq!(self.durable, 0);
                Log::create(&mut self.disk, dir(), config()).map_err(|error| OpenLogError::Io { dir: dir(), error })
            }
        };
        self.log = opened.unwrap_or_else(|error| panic!("power lost: {power}, durable {}: {error}", self.durable));
        assert!(self.log.end_offset().0 >= self.durable, "what was synced is there");
        assert!(power || self.log.end_offset().0 == end, "a kill loses nothing");
        if power {
            self.adopt();
        }
        self.check();
        self.durable = self.log.synced_offset().0;
    }

    /// Beyond what was synced a loss of power may leave anything that was ever written there.
    fn adopt(&mut self) {
        self.held.split_off(&self.durable);
        for record in self.read().into_iter().filter(|record| record.offset >= self.durable) {
            let identity = (record.offset, record.key.clone(), record.value.clone());
            assert!(self.written.contains(&identity), "{record:?} was never written");
            self.held.insert(record.offset, (record, self.at));
        }
    }
}

fn run(seed: u64) -> u64 {
    let mut world = World::new(seed);
    for _ in 0..STEPS {
        world.step();
    }
    world.crash(false);
    world.compactions
}

#[test]
fn the_newest_record_of_every_key_survives_every_crash() {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    if let Some(seed) = number("HIGHWATER_SEED") {
        run(seed);
        return;
    }
    let mut compactions = 0;
    let seeds = number("HIGHWATER_SEEDS").unwrap_or(100);
    for seed in 0..seeds {
        compactions += std::panic::catch_unwind(|| run(seed)).unwrap_or_else(|panic| {
            eprintln!(
                "replay with HIGHWATER_SEED={seed} cargo test -p highwater-sim --test compaction_under_power_loss"
            );
            std::panic::resume_unwind(panic);
        });
    }
    assert!(compactions > seeds, "{compactions} compactions came to their end in {seeds} runs");
}
