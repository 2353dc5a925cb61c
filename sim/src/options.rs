//! What one seed draws: topology, timing, workload and faults. Printed when a run fails.

mod groups;

use std::time::Duration;

use highwater_wire::records::Compression;

use self::groups::GROUP_SESSION_MS_MIN;
pub use self::groups::{GroupOptions, GroupProtocol, MemberOptions};
use crate::clock::SimTime;
use crate::faults::{Death, Fault, draw_schedule};
use crate::rng::{Concern, Stream};

/// The options of one run.
#[derive(Clone, Debug)]
pub struct Options {
    /// The brokers.
    pub brokers: Vec<BrokerOptions>,
    /// The topics that exist from the start.
    pub topics: Vec<TopicOptions>,
    /// The smallest segments that hold every batch.
    pub segment_bytes_min: u64,
    /// Who writes.
    pub producers: Vec<ProducerOptions>,
    /// Who reads.
    pub consumers: Vec<ConsumerOptions>,
    /// Who reads together.
    pub groups: Vec<GroupOptions>,
    /// Whether somebody creates, alters and deletes topics all the time.
    pub admin: bool,
    /// Whether somebody sends bytes that are no requests.
    pub garbage: bool,
    /// How long bytes are under way.
    pub latency: Range,
    /// How often bytes arrive in several pieces.
    pub split_per_mille: u32,
    /// How long a shard takes to begin with what has arrived.
    pub scheduling: Range,
    /// How long a sync takes.
    pub sync: Range,
    /// How long a job takes.
    pub job: Range,
    /// What is broken when.
    pub faults: Vec<(SimTime, Fault)>,
    /// When everything is healed.
    pub heal_at: SimTime,
    /// How each broker ends between the two readings that judge it, after the heal.
    pub last_death: Death,
}

/// Durations to draw from, mostly the shorter ones.
#[derive(Clone, Copy, Debug)]
pub struct Range {
    /// The shortest.
    pub from: Duration,
    /// The longest.
    pub to: Duration,
}

/// One broker.
#[derive(Clone, Debug)]
pub struct BrokerOptions {
    /// How many shards own partitions.
    pub shards: u16,
    /// What its monotonic clock shows at the start.
    pub mono_at_start: u64,
    /// How fast its clocks run.
    pub drift_ppm: i32,
    /// How far its wall clock is off.
    pub wall_offset_ms: i64,
    /// Its configuration, beside what every broker needs.
    pub configs: Vec<(&'static str, String)>,
}

/// One topic.
#[derive(Clone, Debug)]
pub struct TopicOptions {
    /// Its name.
    pub name: String,
    /// How many partitions it has.
    pub partitions: i32,
    /// Its configuration.
    pub configs: Vec<(&'static str, String)>,
    /// Whether records count when they are written (`flush=page-cache`), not when they are synced.
    pub page_cache: bool,
    /// Whether retention may remove records.
    pub retention: bool,
    /// Whether somebody deletes records.
    pub delete_records: bool,
    /// Whether the broker sets the timestamps.
    pub log_append_time: bool,
    /// Whether only the newest record of each key stays.
    pub compact: bool,
}

/// One client that writes.
#[derive(Clone, Debug)]
pub struct ProducerOptions {
    /// Whether it has a producer id, and retries until it knows.
    pub idempotent: bool,
    /// Which `acks` it asks for.
    pub acks: i16,
    /// The version of Produce that it speaks.
    pub version: i16,
    /// How it compresses.
    pub compression: Compression,
    /// Records in one batch at most.
    pub records_max: u64,
    /// Bytes of one value at most.
    pub value_bytes_max: u64,
    /// Requests that it sends ahead of their answers.
    pub in_flight_max: usize,
    /// Batches that it sends in all.
    pub batches: u32,
    /// How long it thinks between two requests.
    pub think: Range,
    /// How long it waits for an answer.
    pub timeout: Duration,
    /// Whether it leaves a connection open when it loses patience, so that what is under way may still arrive.
    pub abandons: bool,
    /// How often a batch is one that must be refused.
    pub bad_per_mille: u32,
}

/// One client that reads.
#[derive(Clone, Debug)]
pub struct ConsumerOptions {
    /// The version of Fetch that it speaks.
    pub version: i16,
    /// Whether it uses a fetch session.
    pub session: bool,
    /// How long the broker may wait.
    pub wait_ms_max: i32,
    /// What the broker waits for.
    pub bytes_min: i32,
    /// What one answer may hold.
    pub bytes_max: i32,
    /// What one partition may add to it.
    pub partition_bytes_max: i32,
    /// How long it thinks between two requests.
    pub think: Range,
    /// How often it looks for a timestamp, or begins again somewhere, instead of reading on.
    pub seek_per_mille: u32,
}

/// When faults begin: the topics exist by then, mostly.
const FAULTS_FROM: SimTime = SimTime(300_000_000);

impl Options {
    /// What a seed means.
    pub fn draw(seed: u64) -> Self {
        let rng = &mut Stream::new(seed, Concern::Options, 0);
        let heal_at = SimTime(rng.between(2_000, 6_000) * 1_000_000);
        let count = rng.between(2, 4);
        let producers: Vec<_> = (0..count).map(|_| ProducerOptions::draw(heal_at, count, rng)).collect();
        let consumers = rng.between(1, 2);
        let segment_bytes_min = producers.iter().map(ProducerOptions::batch_bytes_max).max().unwrap_or(0).max(1024);
        let topics = rng.between(1, 3);
        let group_rng = &mut Stream::new(seed, Concern::Groups, 0);
        let options = Self {
            topics: (0..topics).map(|number| TopicOptions::draw(number, segment_bytes_min, rng)).collect(),
            brokers: vec![BrokerOptions::draw(rng, group_rng)],
            producers,
            segment_bytes_min,
            consumers: (0..consumers).map(|_| ConsumerOptions::draw(rng)).collect(),
            admin: rng.chance(600),
            garbage: rng.chance(200),
            latency: Range::draw((10, 1_000), 20, rng),
            split_per_mille: *rng.pick(&[0, 100, 500]),
            scheduling: Range::draw((1, 300), 10, rng),
            sync: Range::draw((50, 10_000), 10, rng),
            job: Range::draw((10, 10_000), 10, rng),
            faults: draw_schedule(FAULTS_FROM, heal_at, &mut Stream::new(seed, Concern::Faults, 0)),
            heal_at,
            last_death: *rng.pick(&[Death::Kill, Death::PowerLoss, Death::PowerLoss, Death::Stop]),
            groups: groups::draw(topics as usize, group_rng),
        };
        let rng = |concern, index| Stream::new(seed, concern, index);
        options
            .with_compaction(&mut rng(Concern::Options, 1))
            .with_consumer_groups(&mut rng(Concern::Groups, 1))
            .with_small_group_logs(&mut rng(Concern::Groups, 2))
    }

    /// Makes some topics compacted ones.
    fn with_compaction(mut self, rng: &mut Stream) -> Self {
        for topic in &mut self.topics {
            topic.compact = rng.chance(300);
            if !topic.compact {
                continue;
            }
            let policy = if topic.retention { "compact,delete" } else { "compact" };
            topic.configs.push(("cleanup.policy", policy.to_owned()));
            topic.configs.push(("min.cleanable.dirty.ratio", format!("0.{}", rng.below(10))));
            if rng.chance(300) {
                topic.configs.push(("min.compaction.lag.ms", rng.skewed(1, 500).to_string()));
            }
            if rng.chance(300) {
                topic.configs.push(("max.compaction.lag.ms", rng.skewed(500, 5000).to_string()));
            }
        }
        for broker in &mut self.brokers {
            broker.configs.push(("log.cleaner.backoff.ms", rng.skewed(1, 500).to_string()));
            broker.configs.push(("log.cleaner.io.buffer.size", rng.skewed(1, 512 * 1024).to_string()));
            if rng.chance(300) {
                broker.configs.push(("log.cleaner.dedupe.buffer.size", "0".to_owned()));
            }
            if rng.chance(300) {
                broker
                    .configs
                    .push(("log.cleaner.io.max.bytes.per.second", rng.skewed(10_000, 10_000_000).to_string()));
            }
        }
        self
    }
}

impl Range {
    /// Draws a range that begins between two numbers of microseconds and ends at most `factor` times later.
    fn draw((from, to): (u64, u64), factor: u64, rng: &mut Stream) -> Self {
        let first = rng.skewed(from, to);
        Self { from: Duration::from_micros(first), to: Duration::from_micros(first * rng.between(1, factor)) }
    }

    /// Draws a duration.
    pub fn pick(&self, rng: &mut Stream) -> Duration {
        Duration::from_nanos(rng.skewed(self.from.as_nanos() as u64, self.to.as_nanos() as u64))
    }
}

impl BrokerOptions {
    fn draw(rng: &mut Stream, group_rng: &mut Stream) -> Self {
        let mut configs = Vec::new();
        configs.push(("log.retention.check.interval.ms", rng.skewed(10, 5000).to_string()));
        if rng.chance(300) {
            configs.push(("queued.max.unsynced.bytes", rng.skewed(1 << 20, 8 << 20).to_string()));
        }
        if rng.chance(300) {
            configs.push(("max.incremental.fetch.session.cache.slots", rng.between(1, 4).to_string()));
        }
        configs.push(("group.min.session.timeout.ms", GROUP_SESSION_MS_MIN.to_string()));
        configs.push(("offsets.topic.num.partitions", group_rng.between(1, 3).to_string()));
        if group_rng.chance(300) {
            configs.push(("group.initial.rebalance.delay.ms", group_rng.skewed(1, 300).to_string()));
        }
        Self {
            shards: rng.between(1, 3) as u16,
            mono_at_start: rng.skewed(1, 1 << 50),
            drift_ppm: rng.between(0, 1000) as i32 - 500,
            wall_offset_ms: rng.between(0, 20_000) as i64 - 10_000,
            configs,
        }
    }
}

impl TopicOptions {
    fn draw(number: u64, segment_bytes_min: u64, rng: &mut Stream) -> Self {
        let mut topic = Self {
            name: format!("topic-{number}"),
            partitions: rng.between(1, 3) as i32,
            configs: vec![("internal.segment.bytes", segment_bytes(segment_bytes_min, rng))],
            page_cache: rng.chance(150),
            retention: rng.chance(150),
            delete_records: rng.chance(250),
            log_append_time: rng.chance(200),
            compact: false,
        };
        topic.draw_configs(rng);
        topic
    }

    fn draw_configs(&mut self, rng: &mut Stream) {
        if self.page_cache {
            self.configs.push(("flush", "page-cache".to_owned()));
        }
        if self.retention {
            self.configs.push(match rng.chance(500) {
                true => ("retention.bytes", rng.skewed(2048, 64 * 1024).to_string()),
                false => ("retention.ms", rng.skewed(100, 5000).to_string()),
            });
        }
        if self.log_append_time {
            self.configs.push(("message.timestamp.type", "LogAppendTime".to_owned()));
        }
        if rng.chance(200) {
            self.configs.push(("segment.ms", rng.skewed(100, 5000).to_string()));
        }
        if rng.chance(200) {
            self.configs.push(("index.interval.bytes", rng.skewed(64, 4096).to_string()));
        }
        if rng.chance(150) {
            let codec = rng.pick(&["gzip", "snappy", "lz4", "zstd", "uncompressed"]);
            self.configs.push(("compression.type", (*codec).to_owned()));
        }
    }
}

/// Draws the size of segments: small, so that they roll often.
pub fn segment_bytes(at_least: u64, rng: &mut Stream) -> String {
    rng.skewed(at_least, at_least.max(64 * 1024)).to_string()
}

/// The first version of Produce whose batches may be compressed with zstd (KIP-110).
pub const ZSTD_VERSION: i16 = 7;

impl ProducerOptions {
    /// More bytes than any of its batches has.
    fn batch_bytes_max(&self) -> u64 {
        const HEADER: u64 = 200;
        const BESIDE_VALUE: u64 = 150;
        HEADER + self.records_max * (self.value_bytes_max + BESIDE_VALUE)
    }

    fn draw(heal_at: SimTime, producers: u64, rng: &mut Stream) -> Self {
        let idempotent = rng.chance(600);
        let batches = rng.skewed(60, 500) / producers + 20;
        let think_us = heal_at.0 / 1000 / batches;
        let acks = if idempotent { -1 } else { *rng.pick(&[-1, -1, 1, 1, 0]) };
        let version = rng.between(3, 13) as i16;
        let compression = match rng.below(10) {
            0 => Compression::Gzip,
            1 => Compression::Snappy,
            2 => Compression::Lz4,
            3 => Compression::Zstd,
            _ => Compression::None,
        };
        Self {
            idempotent,
            acks,
            version: if compression == Compression::Zstd { version.max(ZSTD_VERSION) } else { version },
            compression,
            records_max: rng.skewed(1, 40),
            value_bytes_max: rng.skewed(16, 1500),
            in_flight_max: rng.between(1, 5) as usize,
            batches: batches as u32,
            think: Range { from: Duration::from_micros(think_us / 4), to: Duration::from_micros(think_us) },
            timeout: Duration::from_millis(rng.skewed(30, 3000)),
            abandons: rng.chance(500),
            bad_per_mille: if idempotent { 0 } else { *rng.pick(&[0, 20, 100]) },
        }
    }
}

impl ConsumerOptions {
    fn draw(rng: &mut Stream) -> Self {
        Self {
            version: rng.between(4, 18) as i16,
            session: rng.chance(500),
            wait_ms_max: rng.skewed(1, 1000) as i32,
            bytes_min: if rng.chance(700) { 1 } else { rng.skewed(1, 10_000) as i32 },
            bytes_max: rng.skewed(100, 1 << 20) as i32,
            partition_bytes_max: rng.skewed(100, 1 << 20) as i32,
            think: Range::draw((1_000, 50_000), 10, rng),
            seek_per_mille: *rng.pick(&[0, 20, 200]),
        }
    }
}
