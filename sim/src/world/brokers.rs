//! The processes' half of the world: the loop of every driver, carried out event by event.

use std::time::Duration;

use highwater_core::Input;
use highwater_core::controller::OFFSETS_TOPIC;
use highwater_core::event::Event as CoreEvent;
use highwater_core::group::GroupEvent;
use highwater_core::ids::ShardId;
use highwater_core::outbox::{Halt, Outbox, SyncRequest};

use super::{Event, Inside, OnConnection, World};
use crate::boot::boot;
use crate::broker::Process;
use crate::clock::SimTime;
use crate::faults::{Death, FaultClass};
use crate::options::GroupProtocol;
use crate::oracle::{GroupHistory, Violation};

/// How long after its start a broker that must die again does so at most.
const DIES_AGAIN_WITHIN: Duration = Duration::from_millis(20);

/// How long a supervisor waits before it starts a broker again, unless a fault says otherwise.
pub const RESTART_AFTER: Duration = Duration::from_millis(20);

impl World {
    /// A process starts on a machine.
    pub(super) fn start(&mut self, index: usize) {
        let now = self.queue.now();
        self.trace.event(now, "start", index as u64);
        if self.brokers[index].process.is_some() {
            return;
        }
        let broker = &mut self.brokers[index];
        broker.life += 1;
        let faults_at_start = broker.disk.faults_fired();
        let booted = boot(broker, now);
        let fired = broker.disk.faults_fired() != faults_at_start;
        match booted {
            Ok(machines) => {
                let process = Process::new(machines, faults_at_start);
                let shards = process.shard_ids();
                self.brokers[index].process = Some(process);
                self.trace.tell(now, format!("broker {}", index + 1), || "starts".to_owned());
                shards.for_each(|shard| self.wake(index, shard));
                self.maybe_die_again(index);
            }
            Err(error) => {
                self.trace.tell(now, format!("broker {}", index + 1), || format!("cannot start: {error}"));
                let excused = fired || self.brokers[index].disk_faults.room.is_some();
                self.oracle.require(excused, "Starts", || format!("a broker on a sound disk cannot start: {error}"));
                self.end_process(index, Death::Kill);
            }
        }
    }

    fn maybe_die_again(&mut self, index: usize) {
        let broker = &mut self.brokers[index];
        let (times, Some(death)) = broker.dies_again else { return };
        if times == 0 {
            return;
        }
        broker.dies_again = (times - 1, Some(death));
        let within = self.fault_rng.skewed(1_000, DIES_AGAIN_WITHIN.as_nanos() as u64);
        let at = self.queue.now() + Duration::from_nanos(within);
        self.queue.schedule(at, Event::Die { broker: index, life: self.brokers[index].life, death });
    }

    pub(super) fn inside(&mut self, broker: usize, shard: ShardId, what: Inside) {
        match what {
            Inside::Run => self.run_shard(broker, shard),
            Inside::Message { from, message } => self.push_input(broker, shard, Input::Shard(from, message)),
            Inside::SyncEnds => self.sync_ends(broker, shard),
            Inside::JobEnds { job, work } => {
                self.push_input(broker, shard, Input::JobDone { job, output: work.run() });
            }
        }
    }

    /// Puts something into a shard's inbox.
    pub(super) fn push_input(&mut self, broker: usize, shard: ShardId, input: Input) {
        let Some(process) = &mut self.brokers[broker].process else { return };
        process.shard(shard).inbox.push_back(input);
        self.wake(broker, shard);
    }

    /// Lets a shard run soon.
    fn wake(&mut self, broker: usize, shard: ShardId) {
        let delay = self.options.scheduling.pick(&mut self.process_rng);
        self.wake_at(broker, shard, self.queue.now() + delay);
    }

    fn wake_at(&mut self, index: usize, shard: ShardId, at: SimTime) {
        let broker = &mut self.brokers[index];
        let at = at.max(broker.stalled_until);
        let Some(process) = &mut broker.process else { return };
        let hosted = process.shard(shard);
        if at < hosted.next_run {
            hosted.next_run = at;
            let life = broker.life;
            self.queue.schedule(at, Event::Inside { broker: index, life, shard, what: Inside::Run });
        }
    }

    /// One turn of a shard's loop: a batch of inputs, everything that is due, then the outbox once.
    fn run_shard(&mut self, index: usize, shard: ShardId) {
        let at = self.queue.now();
        let inputs_max = if self.process_rng.chance(100) { 1 } else { usize::MAX };
        let broker = &mut self.brokers[index];
        let now = broker.now(at);
        let Some(process) = &mut broker.process else { return };
        let hosted = process.shard(shard);
        if hosted.next_run != at {
            return;
        }
        hosted.next_run = SimTime::NEVER;
        let Some(calls) = hosted.run(now, inputs_max) else {
            let due = hosted.machine.poll_timeout();
            let witness = format!("shard {shard} is due for {due:?} however often it is told");
            return self.violate(Violation { property: "Progress", witness });
        };
        hosted.machine.check();
        let outbox = std::mem::take(&mut hosted.outbox);
        let more = !hosted.inbox.is_empty();
        let due = hosted.machine.poll_timeout().map(|(due, _)| broker.clock.reaches(due));
        self.trace.event(at, "run", u64::from(shard.0));
        self.trace.number(calls as u64);
        if more {
            self.wake(index, shard);
        }
        if let Some(due) = due {
            self.wake_at(index, shard, due);
        }
        self.deliver(index, shard, outbox);
    }

    /// Carries out what a shard wants, and gives the outbox back.
    fn deliver(&mut self, index: usize, shard: ShardId, mut outbox: Outbox) {
        for event in outbox.events.drain(..) {
            self.core_event(index, shard, &event);
        }
        for (to, message) in outbox.shards.drain(..) {
            let at = self.queue.now() + self.options.scheduling.pick(&mut self.process_rng);
            let life = self.brokers[index].life;
            let Some(process) = &mut self.brokers[index].process else { break };
            let at = process.arrival(shard, to, at);
            let what = Inside::Message { from: shard, message };
            self.queue.schedule(at, Event::Inside { broker: index, life, shard: to, what });
        }
        for (connection, reply) in outbox.replies.drain(..) {
            self.reply(connection, reply);
        }
        for request in outbox.syncs.drain(..) {
            self.submit_sync(index, shard, &request);
        }
        for (job, work) in outbox.jobs.drain(..) {
            let at = self.queue.now() + self.options.job.pick(&mut self.process_rng);
            let life = self.brokers[index].life;
            self.queue.schedule(at, Event::Inside { broker: index, life, shard, what: Inside::JobEnds { job, work } });
        }
        for (connection, flow) in outbox.flow.drain(..) {
            self.flow(connection, &flow);
        }
        let halt = outbox.halt.take();
        if let Some(process) = &mut self.brokers[index].process {
            process.shard(shard).outbox = outbox;
        }
        if let Some(halt) = halt {
            self.halted(index, shard, &halt);
        }
    }

    fn submit_sync(&mut self, index: usize, shard: ShardId, request: &SyncRequest) {
        let broker = &mut self.brokers[index];
        self.trace.event(self.queue.now(), "sync", request.token.0);
        let Some(process) = &mut broker.process else { return };
        if process.shard(shard).submit(&broker.disk, request) {
            self.begin_sync(index, shard);
        }
    }

    fn begin_sync(&mut self, index: usize, shard: ShardId) {
        let broker = &self.brokers[index];
        let at = self.queue.now() + self.options.sync.pick(&mut self.process_rng) * broker.sync_slowness;
        let life = broker.life;
        self.queue.schedule(at, Event::Inside { broker: index, life, shard, what: Inside::SyncEnds });
    }

    fn sync_ends(&mut self, index: usize, shard: ShardId) {
        let broker = &mut self.brokers[index];
        let Some(process) = &mut broker.process else { return };
        let lane = &mut process.shard(shard).lane;
        let (token, scope) = lane.pop_front().expect("a sync that ends has begun");
        let next = !lane.is_empty();
        let result = broker.disk.complete(&scope);
        self.trace.event(self.queue.now(), if result.is_ok() { "synced" } else { "sync failed" }, token.0);
        self.push_input(index, shard, Input::Synced { token, result });
        if next {
            self.begin_sync(index, shard);
        }
    }

    fn core_event(&mut self, index: usize, shard: ShardId, event: &CoreEvent) {
        let at = self.queue.now();
        let name = format!("broker {}/{shard}", index + 1);
        self.trace.tell(at, name, || format!("{event:?}"));
        let Some(process) = &mut self.brokers[index].process else { return };
        match event {
            CoreEvent::Ready => process.ready += 1,
            CoreEvent::LogRecovered { bytes_truncated, .. } if *bytes_truncated > 0 => {
                self.outcome.branch("torn tail cut off");
            }
            CoreEvent::SegmentRolled { .. } => self.outcome.branch("segment rolled"),
            CoreEvent::SegmentDeleted { .. } => self.outcome.branch("segment deleted"),
            CoreEvent::LogCompacted { topic, .. } if topic == OFFSETS_TOPIC => {
                self.outcome.branch("log of groups compacted");
            }
            CoreEvent::LogCompacted { .. } => self.outcome.branch("log compacted"),
            CoreEvent::CompactionFailed { .. } => self.outcome.branch("compaction met damage"),
            CoreEvent::DiskFull { .. } => self.outcome.branch("disk found full"),
            CoreEvent::DiskHasRoom => self.outcome.branch("disk has room again"),
            CoreEvent::ConnectionClosed { .. } => self.outcome.branch("connection closed by the broker"),
            CoreEvent::StrayDirectory { .. } => self.outcome.branch("stray directory"),
            CoreEvent::CoordinatorLoaded { .. } => self.outcome.branch("group coordinator loaded"),
            CoreEvent::Group(event) => self.group_event(event),
            CoreEvent::ClusterFounded { .. } | CoreEvent::LogRecovered { .. } | CoreEvent::BecameLeader { .. } => {}
        }
    }

    fn group_event(&mut self, event: &GroupEvent) {
        match event {
            GroupEvent::Rebalancing { group, .. } => {
                let protocol = self.oracle.group_named(group).map(|group| group.protocol);
                self.outcome.branch(match protocol {
                    Some(GroupProtocol::Consumer) => "consumer group rebalances",
                    Some(GroupProtocol::Mixed) => "mixed group rebalances",
                    Some(GroupProtocol::Classic) | None => "classic group rebalances",
                });
            }
            GroupEvent::Changed { standing, .. } => match standing.state {
                "Stable" => self.outcome.branch("group is stable"),
                "Empty" => self.outcome.branch("group is empty"),
                _ => {}
            },
            GroupEvent::Committed { .. } => {}
            GroupEvent::MemberRemoved { group, member, .. } => {
                self.outcome.branch("member is gone");
                let group = self.oracle.group_named(group);
                group.into_iter().for_each(|group| group.member_removed(member));
            }
            GroupEvent::Removed { group } => {
                self.outcome.branch("group removed");
                self.oracle.group_named(group).into_iter().for_each(GroupHistory::removed);
            }
        }
    }

    /// A shard wants its broker to stop: a fault, the end of a stop, or a bug.
    fn halted(&mut self, index: usize, shard: ShardId, halt: &Halt) {
        let at = self.queue.now();
        self.trace.event(at, "halt", index as u64);
        self.trace.tell(at, format!("broker {}/{shard}", index + 1), || format!("halts: {halt}"));
        let broker = &mut self.brokers[index];
        let Some(process) = &mut broker.process else { return };
        if matches!(halt, Halt::Stopped) {
            process.stopped += 1;
            if process.stopped == process.shard_ids().count() {
                self.end_process(index, Death::Stop);
            }
            return;
        }
        let excused = match halt {
            Halt::Stopped => true,
            Halt::Damaged(_) => false,
            Halt::Io { .. } => broker.disk.faults_fired() != process.faults_at_start,
        };
        self.oracle.require(excused, "NoHalt", || format!("shard {shard} of a broker on a sound disk halts: {halt}"));
        self.outcome.branch("halted on a fault");
        self.end_process(index, Death::Kill);
    }

    /// A process dies, or is asked to stop.
    pub(super) fn die(&mut self, index: usize, death: Death) {
        let now = self.queue.now();
        self.trace.event(now, "die", death as u64);
        if death == Death::Stop {
            self.outcome.fault(FaultClass::Stop);
            self.trace.tell(now, format!("broker {}", index + 1), || "is asked to stop".to_owned());
            let Some(process) = &self.brokers[index].process else { return };
            return process.shard_ids().for_each(|shard| self.push_input(index, shard, Input::Stop));
        }
        self.outcome.fault(if death == Death::Kill { FaultClass::Kill } else { FaultClass::PowerLoss });
        self.end_process(index, death);
    }

    /// The process is gone, and with it its connections and what it had open. It comes back after a while.
    pub(super) fn end_process(&mut self, index: usize, death: Death) {
        let now = self.queue.now();
        self.oracle.coordinators_died();
        let broker = &mut self.brokers[index];
        broker.process = None;
        let unsynced = broker.disk.unsynced_bytes();
        let lost = match death {
            Death::PowerLoss => {
                broker.disk.lose_power();
                true
            }
            Death::Kill | Death::Stop => broker.disk.kill(),
        };
        if lost {
            self.oracle.power_lost();
        }
        self.trace
            .tell(now, format!("broker {}", index + 1), || format!("is gone ({death:?}), {unsynced} bytes unsynced"));
        let down = std::mem::replace(&mut self.brokers[index].down, RESTART_AFTER);
        self.queue.schedule(now + down, Event::Start { broker: index });
        for id in self.network.of_broker(index) {
            if self.network.find(id).is_some_and(|connection| connection.accepted.take().is_some()) {
                self.say(id, OnConnection::ClosedByBroker);
            }
        }
        self.maybe_over();
    }

    /// A machine that stalls runs nothing: what was about to run runs later.
    pub(super) fn put_off(&mut self, index: usize) {
        let until = self.brokers[index].stalled_until;
        let Some(process) = &mut self.brokers[index].process else { return };
        for shard in process.shard_ids() {
            let hosted = self.brokers[index].process.as_mut().expect("nothing ends here").shard(shard);
            if hosted.next_run < until {
                hosted.next_run = SimTime::NEVER;
                self.wake_at(index, shard, until);
            }
        }
    }
}
