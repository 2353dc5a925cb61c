//! One log on the simulated disk, driven at random through crashes: what was reported as synced is never lost, what is
//! there is what was written, and the log opens again whatever the crash left behind.
//!
//! `HIGHWATER_SEEDS=N` runs seeds 0 to N, `HIGHWATER_SEED=S` replays one.

#![allow(clippy::unwrap_used)]

use std::collections::{BTreeSet, VecDeque};

use bytes::{Bytes, BytesMut};
use highwater_core::ids::{LeaderEpoch, Offset, PartitionId, ShardId};
use highwater_core::log::{AppendError, Log, LogConfig, OpenLogError, RecoveryPoints, TimestampAnswer};
use highwater_core::time::{Now, WallMs};
use highwater_core::{Disk, disk::LogPath};
use highwater_sim::disk::{DiskFaults, SimDisk, SyncScope};
use highwater_sim::rng::{Concern, Stream};
use highwater_wire::records::{BatchBuilder, Batches, Compression, Record};

const SHARD: ShardId = ShardId(1);
const STEPS: usize = 300;

/// What the log must hold.
#[derive(Default)]
struct Model {
    /// Every batch that is in the log or was deleted from its front: its next offset and its bytes.
    batches: Vec<(i64, Bytes)>,
    /// Reported as synced.
    durable: i64,
    /// No higher start than this was asked for; no lower one than the durable one may come back.
    start: i64,
    durable_start: i64,
    epoch: i32,
    sequence: i32,
    timestamp: i64,
}

impl Model {
    fn end(&self) -> i64 {
        self.batches.last().map_or(0, |(next, _)| *next)
    }
}

struct Pending {
    scope: SyncScope,
    upto: Offset,
    start: i64,
}

struct World {
    rng: Stream,
    disk: SimDisk,
    log: Log,
    points: RecoveryPoints,
    model: Model,
    pending: VecDeque<Pending>,
    /// A truncation whose lower claims are durable.
    truncation: Option<Offset>,
    /// Every batch that was ever in the log.
    written: BTreeSet<Bytes>,
}

fn dir() -> LogPath {
    LogPath::root().join("t-0")
}

fn config() -> LogConfig {
    LogConfig { segment_bytes: 2000, index_interval_bytes: 300, retention_bytes: Some(9000), ..LogConfig::default() }
}

fn now() -> Now {
    Now { wall: WallMs(1_000_000), ..Now::default() }
}

impl World {
    fn new(seed: u64) -> Self {
        let mut disk = SimDisk::new(Stream::new(seed, Concern::Disk, 0));
        let points = RecoveryPoints::open(&mut disk, SHARD).unwrap();
        let log = Log::create(&mut disk, dir(), config()).unwrap();
        let rng = Stream::new(seed, Concern::Client, 0);
        Self {
            rng,
            disk,
            log,
            points,
            model: Model::default(),
            pending: VecDeque::new(),
            truncation: None,
            written: BTreeSet::new(),
        }
    }

    fn step(&mut self) {
        match self.rng.below(100) {
            0..45 => self.append(),
            45..60 => self.submit(),
            60..75 => self.complete(),
            75..80 => self.log.checkpoint(&mut self.disk, now()).unwrap(),
            80..84 => self.retain(),
            84..86 => self.delete(),
            86..88 => self.model.epoch += 1,
            88..91 => self.truncate(),
            91..93 => self.look_up(),
            93..96 => self.crash(false),
            _ => self.crash(true),
        }
        self.log.check();
    }

    fn append(&mut self) {
        if self.truncation.is_some() {
            return;
        }
        let codec = *self.rng.pick(&Compression::ALL);
        let count = self.rng.between(1, 4);
        let mut builder = BatchBuilder::new(codec).producer(1, 0, self.model.sequence);
        self.model.timestamp += self.rng.below(20) as i64 - 5;
        for at in 0..count {
            let value = vec![self.rng.bits() as u8; self.rng.skewed(0, 400) as usize];
            let timestamp = self.model.timestamp.max(0) + at as i64;
            builder.push(&Record { timestamp, value: Some(value.into()), ..Record::default() });
        }
        let records = builder.build();
        let full = self.rng.chance(50);
        self.disk.set_faults(DiskFaults { full_per_mille: if full { 300 } else { 0 }, ..DiskFaults::default() });
        let result = self.log.append_as_leader(&mut self.disk, LeaderEpoch(self.model.epoch), &records, now());
        self.disk.set_faults(DiskFaults::default());
        match result {
            Ok(appended) => {
                assert!(!appended.duplicate);
                assert_eq!(appended.base_offset.0, self.model.end());
                let stored = self.read(appended.base_offset, Offset(appended.last_offset.0 + 1));
                assert_eq!(stored[16..], records[16..], "the newest batch is read as it was sent");
                self.written.insert(stored.clone());
                self.model.batches.push((appended.last_offset.0 + 1, stored));
                self.model.sequence += count as i32;
            }
            Err(AppendError::Full) => assert!(full),
            Err(error) => panic!("{error}"),
        }
    }

    fn read(&self, from: Offset, end: Offset) -> Bytes {
        let read = self.log.read(&self.disk, from, end, u64::MAX, true).unwrap();
        let mut bytes = BytesMut::new();
        for slice in &read.slices {
            let at = bytes.len();
            bytes.resize(at + slice.len as usize, 0);
            slice.bytes.read_exact_at(slice.pos, &mut bytes[at..]).unwrap();
        }
        bytes.freeze()
    }

    fn submit(&mut self) {
        let Some(dirty) = self.log.dirty(&self.disk) else { return };
        let (mut files, mut directories) = (dirty.files, dirty.directories);
        let claim = self.truncation.map_or(self.log.synced_offset(), |to| to.min(self.log.synced_offset()));
        self.points.record(&mut self.disk, &[(PartitionId::default(), claim)]).unwrap();
        self.points.add_dirty(&self.disk, &mut files, &mut directories);
        let scope = self.disk.submit(&files, &directories);
        let start = self.log.start_offset().0;
        self.pending.push_back(Pending { scope, upto: dirty.upto, start });
    }

    fn complete(&mut self) {
        let Some(pending) = self.pending.pop_front() else { return };
        self.disk.complete(&pending.scope).unwrap();
        self.log.mark_synced(pending.upto);
        self.model.durable_start = pending.start;
        if self.truncation.is_none() {
            self.model.durable = self.log.synced_offset().0;
        }
    }

    fn retain(&mut self) {
        let high_watermark = self.log.synced_offset();
        if self.truncation.is_none() {
            self.log.apply_retention(&mut self.disk, now(), high_watermark).unwrap();
            self.model.start = self.log.start_offset().0;
        }
    }

    fn delete(&mut self) {
        let to = self.rng.between(self.model.start as u64, self.log.synced_offset().0.max(self.model.start) as u64);
        if self.truncation.is_none() {
            self.log.delete_records_before(&mut self.disk, Offset(to as i64)).unwrap();
            self.model.start = self.log.start_offset().0;
        }
    }

    /// As a follower whose leader lacks its last records: first the claims, then the cut.
    fn truncate(&mut self) {
        match self.truncation {
            None => {
                let low = self.model.start.max(self.model.end() - 20);
                let to = Offset(self.rng.between(low as u64, self.model.end() as u64) as i64);
                let to = self.log.prepare_truncation(&mut self.disk, to).unwrap();
                self.points
                    .record(&mut self.disk, &[(PartitionId::default(), to.min(self.log.synced_offset()))])
                    .unwrap();
                self.model.durable = self.model.durable.min(to.0);
                self.truncation = Some(to);
                self.flush();
            }
            Some(to) => {
                self.log.truncate_to(&mut self.disk, to).unwrap();
                self.model.epoch += 1;
                self.model.batches.retain(|(next, _)| *next <= to.0);
                assert_eq!(self.log.end_offset().0, self.model.end());
                self.model.durable = self.model.durable.min(self.model.end());
                self.truncation = None;
                self.model.start = self.log.start_offset().0;
                self.model.durable_start = self.model.durable_start.min(self.model.start);
                self.resume_producer();
            }
        }
    }

    /// Syncs all that there is, recovery points too.
    fn flush(&mut self) {
        while !self.pending.is_empty() {
            self.complete();
        }
        let (mut files, mut directories) = (Vec::new(), Vec::new());
        self.points.add_dirty(&self.disk, &mut files, &mut directories);
        let dirty = self.log.dirty(&self.disk);
        if let Some(dirty) = &dirty {
            files.extend(dirty.files.iter().cloned());
            directories.extend(dirty.directories.iter().cloned());
        }
        let scope = self.disk.submit(&files, &directories);
        self.disk.complete(&scope).unwrap();
        if let Some(dirty) = dirty {
            self.log.mark_synced(dirty.upto);
        }
        self.model.durable_start = self.log.start_offset().0;
    }

    /// The producer goes on where the log's last batch ends.
    fn resume_producer(&mut self) {
        let last = self.model.batches.last().map(|(_, bytes)| Batches(bytes.clone()).next().unwrap().unwrap().0);
        self.model.sequence = last.map_or(0, |header| header.last_sequence() + 1);
        if let Some((next, bytes)) = self.model.batches.last().filter(|(next, _)| *next > self.model.start) {
            let mut again = bytes.to_vec();
            again[..8].fill(0);
            let result = self.log.append_as_leader(&mut self.disk, LeaderEpoch(self.model.epoch), &again.into(), now());
            let appended = result.unwrap();
            assert!(appended.duplicate, "the last batch is known");
            assert_eq!(appended.last_offset.0 + 1, *next);
        }
    }

    fn look_up(&mut self) {
        let timestamp = self.model.timestamp.max(0) - self.rng.below(100) as i64;
        if let TimestampAnswer::Search(search) = self.log.find_timestamp(&self.disk, timestamp).unwrap() {
            let found = search.run().unwrap();
            assert!(found.is_none_or(|found| found.timestamp >= timestamp && found.offset >= self.log.start_offset()));
        }
    }

    /// Beyond what was synced a loss of power may leave any batches that were ever written there, also such as a cut
    /// had removed.
    fn adopt(&mut self, found: &Bytes, start: i64) {
        let settled = self.model.durable.max(start);
        self.model.batches.retain(|(next, _)| *next <= settled);
        let kept = held(&self.model.batches, start, settled);
        assert!(found.starts_with(&kept), "what was synced is there");
        for batch in Batches(found.slice(kept.len()..)) {
            let (header, bytes) = batch.unwrap();
            assert!(self.written.contains(&bytes), "nothing is there that was never written");
            self.model.batches.push((header.next_offset(), bytes));
        }
    }

    fn crash(&mut self, power: bool) {
        self.pending.clear();
        self.truncation = None;
        // A new incarnation resumes no epoch: that is how recovery tells a file that came back from what replaced it.
        self.model.epoch += 1;
        if power {
            self.disk.lose_power();
        } else {
            self.disk.kill();
        }
        self.points = RecoveryPoints::open(&mut self.disk, SHARD).unwrap();
        let point = self.points.get(PartitionId::default()).unwrap_or_default();
        let opened = match self.disk.list(&dir()) {
            Ok(_) => Log::open(&mut self.disk, dir(), config(), point, now()).map(|(log, _)| log),
            Err(_) => {
                assert_eq!(self.model.durable, 0);
                Log::create(&mut self.disk, dir(), config()).map_err(|error| OpenLogError::Io { dir: dir(), error })
            }
        };
        self.log =
            opened.unwrap_or_else(|error| panic!("power lost: {power}, durable {}: {error}", self.model.durable));
        let (start, end) = (self.log.start_offset().0, self.log.end_offset().0);
        assert!(end >= self.model.durable, "{} were synced, {end} are left", self.model.durable);
        assert!(self.log.synced_offset().0 <= end);
        let bounds = self.model.durable_start.min(end)..=self.model.start;
        assert!(bounds.contains(&start), "the log starts at {start}, which must be in {bounds:?}");
        assert!(power || end == self.model.end(), "a kill loses nothing");
        let found = self.read(Offset(start), Offset(end));
        if power {
            self.adopt(&found, start);
        }
        assert_eq!(self.model.end(), end, "the log ends with a whole batch");
        assert!(found == held(&self.model.batches, start, end), "what is there is what was written");
        self.model.start = start;
        self.resume_producer();
        // What survived may be lost to the next crash, unless it counts as synced already.
        self.model.durable = self.log.synced_offset().0;
        self.model.durable_start = self.model.durable_start.min(end);
    }
}

/// The bytes that a log of these batches holds between two offsets.
fn held(batches: &[(i64, Bytes)], start: i64, end: i64) -> Vec<u8> {
    let inside = batches.iter().filter(|(next, _)| *next > start && *next <= end);
    inside.flat_map(|(_, bytes)| bytes.to_vec()).collect()
}

fn run(seed: u64) {
    let mut world = World::new(seed);
    for _ in 0..STEPS {
        world.step();
    }
    world.crash(false);
}

#[test]
fn a_log_keeps_what_was_synced_through_every_crash() {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    if let Some(seed) = number("HIGHWATER_SEED") {
        return run(seed);
    }
    for seed in 0..number("HIGHWATER_SEEDS").unwrap_or(300) {
        if let Err(panic) = std::panic::catch_unwind(|| run(seed)) {
            eprintln!("replay with HIGHWATER_SEED={seed} cargo test -p highwater-sim --test log_under_power_loss");
            std::panic::resume_unwind(panic);
        }
    }
}
