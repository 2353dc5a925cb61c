//! One simulated machine: a disk and clocks that outlive processes, and the process that runs on it now.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use highwater_core::config::BrokerConfig;
use highwater_core::ids::{ShardId, SyncToken};
use highwater_core::outbox::{Machine, Outbox, SyncRequest};
use highwater_core::{Input, Now};

use crate::clock::{BrokerClock, SimTime};
use crate::disk::{DiskFaults, SimDisk, SyncScope};
use crate::faults::Death;
use crate::options::BrokerOptions;
use crate::rng::{Concern, Stream};

/// A machine of the core that can say whether its invariants hold.
pub trait BrokerMachine: Machine {
    /// Asserts every invariant.
    fn check(&self);
}

/// One broker's machine, whether a process runs on it or not.
#[derive(Debug)]
pub struct Broker {
    /// Its configuration.
    pub config: Arc<BrokerConfig>,
    /// How many shards own partitions.
    pub shards: u16,
    /// Its file system.
    pub disk: SimDisk,
    /// What is wrong with the file system now.
    pub disk_faults: DiskFaults,
    /// Its clocks.
    pub clock: BrokerClock,
    /// What runs on it.
    pub process: Option<Process>,
    /// How often a process was started: events of an earlier life concern nobody.
    pub life: u64,
    /// How many times longer syncs take now.
    pub sync_slowness: u32,
    /// Nothing runs before this.
    pub stalled_until: SimTime,
    /// How long the machine stays down when its process ends.
    pub down: Duration,
    /// Deaths that follow soon after the next starts.
    pub dies_again: (u8, Option<Death>),
    /// What cores are seeded with.
    pub seeds: Stream,
}

/// One life of a broker.
pub struct Process {
    /// The controller's shard, then those that own partitions.
    hosted: Vec<Hosted>,
    /// When the last message from one shard reaches another: nothing overtakes it.
    arrivals: BTreeMap<(ShardId, ShardId), SimTime>,
    /// How many shards have said that they are ready.
    pub ready: usize,
    /// How many shards have stopped on request.
    pub stopped: usize,
    /// I/O errors and refusals that the disk had answered with when the process began.
    pub faults_at_start: (u64, u64),
}

/// One shard, its inbox and its sync lane.
pub struct Hosted {
    /// The core's half.
    pub machine: Box<dyn BrokerMachine>,
    /// What has arrived.
    pub inbox: VecDeque<Input>,
    /// Where the machine's effects are collected.
    pub outbox: Outbox,
    /// When the shard runs next.
    pub next_run: SimTime,
    /// Syncs in progress, in order; the first is being carried out.
    pub lane: VecDeque<(SyncToken, SyncScope)>,
}

impl Broker {
    /// A machine with an empty disk.
    pub fn new(seed: u64, index: usize, options: &BrokerOptions) -> Self {
        let number = index as u64;
        let node_id = (index + 1).to_string();
        let base = [("node.id", node_id.as_str()), ("auto.create.topics.enable", "false")];
        let drawn = options.configs.iter().map(|(key, value)| (*key, value.as_str()));
        let pairs = base.into_iter().chain(drawn).map(|(key, value)| (key, value, "drawn"));
        let config = BrokerConfig::from_pairs(pairs).expect("drawn options are valid");
        Self {
            config: Arc::new(config),
            shards: options.shards,
            disk: SimDisk::new(Stream::new(seed, Concern::Disk, number)),
            disk_faults: DiskFaults::default(),
            clock: BrokerClock {
                mono_at_start: options.mono_at_start,
                drift_ppm: options.drift_ppm,
                wall_offset_ms: options.wall_offset_ms,
            },
            process: None,
            life: 0,
            sync_slowness: 1,
            stalled_until: SimTime::default(),
            down: Duration::ZERO,
            dies_again: (0, None),
            seeds: Stream::new(seed, Concern::Core, number),
        }
    }

    /// What its clocks show.
    pub fn now(&self, at: SimTime) -> Now {
        self.clock.now(at)
    }

    /// Whether every shard serves.
    pub fn is_ready(&self) -> bool {
        self.process.as_ref().is_some_and(|process| process.ready >= usize::from(self.shards))
    }

    /// Sets what is wrong with the file system.
    pub fn set_disk_faults(&mut self, faults: DiskFaults) {
        self.disk_faults = faults;
        self.disk.set_faults(faults);
    }
}

impl Process {
    /// A process of these machines, the controller's first.
    pub fn new(machines: Vec<Box<dyn BrokerMachine>>, faults_at_start: (u64, u64)) -> Self {
        Self {
            hosted: machines.into_iter().map(Hosted::new).collect(),
            arrivals: BTreeMap::new(),
            ready: 0,
            stopped: 0,
            faults_at_start,
        }
    }

    /// A shard of the process.
    pub fn shard(&mut self, id: ShardId) -> &mut Hosted {
        &mut self.hosted[usize::from(id.0)]
    }

    /// The ids of all shards.
    pub fn shard_ids(&self) -> impl Iterator<Item = ShardId> + use<> {
        (0..self.hosted.len() as u16).map(ShardId)
    }

    /// When a message that takes until `at` arrives, given those before it.
    pub fn arrival(&mut self, from: ShardId, to: ShardId, at: SimTime) -> SimTime {
        let last = self.arrivals.entry((from, to)).or_default();
        *last = at.max(*last);
        *last
    }
}

impl std::fmt::Debug for Process {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "a process of {} shards", self.hosted.len())
    }
}

impl Hosted {
    fn new(machine: Box<dyn BrokerMachine>) -> Self {
        Self {
            machine,
            inbox: VecDeque::new(),
            outbox: Outbox::default(),
            next_run: SimTime::NEVER,
            lane: VecDeque::new(),
        }
    }

    /// Puts a sync at the lane's end; returns whether it begins at once.
    pub fn submit(&mut self, disk: &SimDisk, request: &SyncRequest) -> bool {
        self.lane.push_back((request.token, disk.submit(&request.files, &request.directories)));
        self.lane.len() == 1
    }

    /// Handles up to `inputs_max` inputs, then all that is due, and nothing more after a halt; returns how many calls
    /// that took, or `None` if it would never end.
    pub fn run(&mut self, now: Now, inputs_max: usize) -> Option<usize> {
        let mut inputs = 0;
        while inputs < inputs_max
            && self.outbox.halt.is_none()
            && let Some(input) = self.inbox.pop_front()
        {
            self.machine.handle(now, input, &mut self.outbox);
            inputs += 1;
        }
        for timeouts in 0..TIMEOUTS_MAX {
            let due = self.machine.poll_timeout().is_some_and(|(at, _)| at <= now.mono);
            if !due || self.outbox.halt.is_some() {
                return Some(inputs + timeouts);
            }
            self.machine.handle(now, Input::Timeout, &mut self.outbox);
        }
        None
    }
}

/// Time-outs that may be due at one time: more means that handling them does not make them go away.
const TIMEOUTS_MAX: usize = 1000;
