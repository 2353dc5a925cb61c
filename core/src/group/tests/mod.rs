//! Golden traces: a script of steps, and what each of them brings about.
//!
//! A line that starts with `>` is a step, the lines below it are the answers that leave in it, whoever they are for. After
//! every step the coordinator is checked, and a new one that applies the same log must come to the same durable state.

mod consumer_groups;
mod failover;
mod joining;
mod migration;
mod offsets;
mod random;
mod rebalancing;
mod render;
mod reporting;
mod script;
mod static_members;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use highwater_wire::GroupRecord;

use super::*;
use crate::config::BrokerConfig;
use crate::controller::Image;
use crate::controller::record::{
    ConfigOwner, ConfigRecord, Id, PartitionRecord, Record, RemoveTopicRecord, TopicRecord,
};
use crate::ids::{Offset, ShardId, Ticket, TopicId};
use crate::replicated::{LogRecord, Origin, StateMachine};
use crate::time::{Instant, Now, WallMs};

/// A coordinator whose decisions are committed at once, and everything around it.
pub(super) struct World {
    pub coordinator: GroupCoordinator,
    /// What another broker knows, which has applied the same log and nothing else.
    replayed: GroupCoordinator,
    pub image: Image,
    pub log: Vec<GroupRecord>,
    pub now: Now,
    asked: u64,
    /// What left, and to which request.
    pub answers: Vec<(u64, GroupResponse)>,
}

impl World {
    pub fn new(config: GroupConfig) -> Self {
        let config = Arc::new(config);
        let image = Image::new(Arc::new(BrokerConfig::default()));
        let now = Now { mono: Instant(1_000_000_000), wall: WallMs(1_700_000_000_000) };
        let coordinator = GroupCoordinator::new(Arc::clone(&config), Arc::new(image.clone()));
        let replayed = coordinator.clone();
        let mut world = Self { coordinator, replayed, image, log: Vec::new(), now, asked: 0, answers: Vec::new() };
        world.handle(&GroupRequest::Loaded);
        world
    }

    /// Asks as `client`, and says which request that was.
    pub fn ask(&mut self, client: &str, call: GroupCall) -> u64 {
        self.asked += 1;
        let origin = Origin { shard: ShardId(1), ticket: Ticket(self.asked) };
        let client = Client { id: client.to_owned(), host: "/127.0.0.1".to_owned() };
        self.handle(&GroupRequest::Call { origin, entropy: self.asked.into(), client, call: call.into() });
        self.run_timers();
        self.asked
    }

    pub fn handle(&mut self, request: &GroupRequest) {
        let decision = self.coordinator.decide(self.now, request);
        for record in decision.records {
            let (key, value) = record.to_key_value();
            let record = GroupRecord::from_key_value(key, value).unwrap().unwrap();
            let offset = Offset(i64::try_from(self.log.len()).unwrap());
            self.coordinator.apply(offset, &record);
            self.replayed.apply(offset, &record);
            self.log.push(record);
        }
        decision.soft.into_iter().for_each(|soft| self.coordinator.absorb(soft));
        self.answers.extend(decision.replies.into_iter().map(|(to, response)| (to.ticket.0, response)));
        self.coordinator.check();
        self.coordinator.check_replayed(&self.replayed);
    }

    /// Another broker takes the partition over.
    pub fn fail_over(&mut self) {
        self.fail_over_to(GroupConfig::clone(self.coordinator.config()));
    }

    /// A broker that is configured differently takes the partition over.
    pub fn fail_over_to(&mut self, config: GroupConfig) {
        self.coordinator = GroupCoordinator::new(Arc::new(config), Arc::new(self.image.clone()));
        for (offset, record) in (0..).zip(&self.log) {
            self.coordinator.apply(Offset(offset), record);
        }
        self.replayed = self.coordinator.clone();
        self.handle(&GroupRequest::Loaded);
    }

    /// Lets time pass, from one deadline to the next.
    pub fn wait(&mut self, duration: Duration) {
        let end = self.now.mono + duration;
        while let Some((deadline, _)) = self.coordinator.poll_timeout().filter(|(deadline, _)| *deadline <= end) {
            self.move_clock(deadline.max(self.now.mono));
            self.handle(&GroupRequest::Timeout);
        }
        self.move_clock(end);
    }

    /// Does what is due at once.
    pub fn run_timers(&mut self) {
        self.wait(Duration::ZERO);
    }

    fn move_clock(&mut self, to: Instant) {
        let passed = i64::try_from(to.since(self.now.mono).as_millis()).unwrap();
        self.now = Now { mono: to, wall: WallMs(self.now.wall.0 + passed) };
    }

    pub fn create_topic(&mut self, name: &str, partitions: i32) -> TopicId {
        let id = TopicId(u128::try_from(self.image.offset().0 + 100).unwrap());
        let mut records = vec![Record::Topic(TopicRecord { topic_id: Id::new(id.0), name: name.to_owned() })];
        records.extend((0..partitions).map(|index| {
            Record::Partition(PartitionRecord {
                topic_id: Id::new(id.0),
                index,
                replicas: vec![1],
                isr: vec![1],
                leader: 1,
                leader_epoch: 0,
                partition_epoch: 0,
            })
        }));
        self.change_image(&records);
        id
    }

    pub fn delete_topic(&mut self, name: &str) {
        let id = self.image.topic(name).unwrap().id;
        self.change_image(&[Record::RemoveTopic(RemoveTopicRecord { topic_id: id.into() })]);
    }

    /// Sets keys of a group, as in `consumer.session.timeout.ms=50000`.
    pub fn configure(&mut self, group: &str, settings: &[&str]) {
        let record = |setting: &&str| {
            let (key, value) = setting.split_once('=').unwrap();
            let (owner, value) = (Some(ConfigOwner::Group(group.to_owned())), Some(value.to_owned()));
            Record::Config(ConfigRecord { owner, key: key.to_owned(), value })
        };
        self.change_image(&settings.iter().map(record).collect::<Vec<_>>());
    }

    fn change_image(&mut self, records: &[Record]) {
        for record in records {
            self.image.apply(self.image.offset().advanced(1), record);
        }
        self.handle(&GroupRequest::Image(Arc::new(self.image.clone())));
    }
}

/// The topics that every script may use.
const TOPICS: [(&str, i32); 2] = [("orders", 4), ("events", 2)];

/// Runs a script with Kafka's defaults, and compares what it brings about with what it says.
#[track_caller]
pub(super) fn check_trace(script: &str) {
    check_trace_with(GroupConfig::default(), script);
}

/// Runs a script, and compares what it brings about with what it says.
#[track_caller]
pub(super) fn check_trace_with(config: GroupConfig, script: &str) {
    let mut world = World::new(config);
    for (name, partitions) in TOPICS {
        world.create_topic(name, partitions);
    }
    let mut runner = script::Runner { world, clients: BTreeMap::new(), asked: BTreeMap::new(), names: BTreeMap::new() };
    let lines: Vec<&str> = script.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let mut actual = Vec::new();
    for step in lines.iter().filter_map(|line| line.strip_prefix("> ")) {
        actual.push(format!("> {step}"));
        actual.extend(runner.run(step));
    }
    assert_eq!(actual.join("\n"), lines.join("\n"), "\n--- what happened:\n{}\n", actual.join("\n"));
}
