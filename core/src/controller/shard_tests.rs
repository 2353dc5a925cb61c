//! The controller's shard, driven by hand: what leaves when, and what a restart finds.

use highwater_wire::ErrorCode;
use highwater_wire::create_topics::{CreatableTopic, CreateTopicsRequest};

use super::*;
use crate::disk::memory::MemoryDisk;
use crate::disk::{Disk, LogPath};
use crate::ids::{BrokerId, Incarnation, LeaderEpoch, PartitionIndex, ShardId, SyncToken, Ticket};
use crate::message::ShardMessage;
use crate::outbox::{Halt, Input, Machine, Outbox};
use crate::time::{Instant, Now};
use std::sync::Arc;

use crate::config::BrokerConfig;

const SHARDS: u16 = 2;

/// A shard and a driver that does what it is told to, one step at a time.
struct Driver {
    shard: ControllerShard<MemoryDisk>,
    out: Outbox,
    /// Syncs that were asked for and have not ended.
    syncs: Vec<SyncToken>,
    /// What the data shards got, in order.
    images: Vec<(ShardId, Arc<Image>)>,
    responses: Vec<(ShardId, Ticket, ControllerResponse)>,
}

impl Driver {
    fn open(disk: &MemoryDisk, seed: u8) -> Self {
        Self::try_open(disk, seed, &[]).unwrap()
    }

    fn try_open(disk: &MemoryDisk, seed: u8, pairs: &[(&str, &str)]) -> Result<Self, Halt> {
        let config = BrokerConfig::from_pairs(pairs.iter().map(|(key, value)| (*key, *value, "the test"))).unwrap();
        let shard = ControllerShard::open(Arc::new(config), disk.clone(), [seed; 32], Now::default(), SHARDS)?;
        Ok(Self { shard, out: Outbox::default(), syncs: vec![], images: vec![], responses: vec![] })
    }

    fn input(&mut self, input: Input) {
        self.shard.handle(Now::default(), input, &mut self.out);
        while self.shard.poll_timeout().is_some_and(|(at, _)| at <= Instant::default()) {
            self.shard.handle(Now::default(), Input::Timeout, &mut self.out);
        }
        self.shard.check();
        self.syncs.extend(self.out.syncs.drain(..).map(|sync| sync.token));
        for (to, message) in self.out.shards.drain(..) {
            match message {
                ShardMessage::Image(image) => self.images.push((to, image)),
                ShardMessage::ControllerResponse { ticket, response } => self.responses.push((to, ticket, response)),
                other => panic!("{other:?}"),
            }
        }
    }

    fn begin(&mut self) {
        self.input(Input::Timeout);
    }

    fn end_sync(&mut self) {
        let token = self.syncs.remove(0);
        self.input(Input::Synced { token, result: Ok(()) });
    }

    /// The data shards adopt all they got.
    fn adopt(&mut self) {
        for (shard, image) in std::mem::take(&mut self.images) {
            self.input(Input::Shard(shard, ShardMessage::ImageAdopted { offset: image.offset() }));
        }
    }

    fn settle(&mut self) {
        self.begin();
        while !self.syncs.is_empty() {
            self.end_sync();
        }
        self.adopt();
    }

    fn create(&mut self, ticket: u64, name: &str) {
        let topic =
            CreatableTopic { name: name.into(), num_partitions: 1, replication_factor: 1, ..Default::default() };
        let request = CreateTopicsRequest { topics: vec![topic], ..Default::default() };
        let request = ControllerRequest::CreateTopics(request);
        self.input(Input::Shard(ShardId(1), ShardMessage::ControllerRequest { ticket: Ticket(ticket), request }));
    }

    fn created(&mut self) -> Vec<(u64, ErrorCode)> {
        let code = |(_, ticket, response): (ShardId, Ticket, ControllerResponse)| match response {
            ControllerResponse::CreateTopics(response) => {
                (ticket.0, ErrorCode::try_from(response.topics[0].error_code).unwrap())
            }
            other => panic!("{other:?}"),
        };
        std::mem::take(&mut self.responses).into_iter().map(code).collect()
    }

    fn disk(self) -> MemoryDisk {
        self.shard.into_disk()
    }
}

#[test]
fn an_empty_directory_becomes_a_cluster_that_is_seen_only_once_it_is_durable() {
    let mut driver = Driver::open(&MemoryDisk::new(), 1);
    driver.begin();
    assert!(driver.images.is_empty(), "nothing is seen before the sync");
    driver.end_sync();
    assert_eq!(driver.images.len(), usize::from(SHARDS));
    let (_, image) = &driver.images[0];
    assert_eq!(image.cluster_id().len(), 22);
    assert_eq!(image.brokers().map(|broker| broker.id).collect::<Vec<_>>(), [BrokerId(1)]);
}

#[test]
fn an_answer_waits_for_its_commit_and_for_every_shard() {
    let mut driver = Driver::open(&MemoryDisk::new(), 1);
    driver.settle();
    driver.create(7, "t");
    assert_eq!((driver.syncs.len(), driver.images.len(), driver.responses.len()), (1, 0, 0));
    driver.end_sync();
    assert_eq!((driver.images.len(), driver.responses.len()), (2, 0));

    let images = std::mem::take(&mut driver.images);
    let adopted = |shard, image: &Image| Input::Shard(shard, ShardMessage::ImageAdopted { offset: image.offset() });
    driver.input(adopted(ShardId(1), &images[0].1));
    assert_eq!(driver.responses.len(), 0, "the other shard does not know the topic yet");
    driver.input(adopted(ShardId(2), &images[1].1));
    assert_eq!(driver.created(), [(7, ErrorCode::None)]);
}

#[test]
fn an_answer_that_saw_an_uncommitted_decision_waits_for_it() {
    let mut driver = Driver::open(&MemoryDisk::new(), 1);
    driver.settle();
    driver.create(1, "t");
    driver.create(2, "t");
    assert_eq!(driver.responses.len(), 0, "that the topic exists must not be told before it does");
    driver.settle();
    assert_eq!(driver.created(), [(1, ErrorCode::None), (2, ErrorCode::TopicAlreadyExists)]);
}

#[test]
fn one_sync_covers_all_that_came_meanwhile() {
    let mut driver = Driver::open(&MemoryDisk::new(), 1);
    driver.settle();
    driver.create(1, "a");
    driver.create(2, "b");
    driver.create(3, "c");
    assert_eq!(driver.syncs.len(), 1);
    driver.end_sync();
    driver.adopt();
    assert_eq!(driver.created(), [(1, ErrorCode::None)]);
    assert_eq!(driver.syncs.len(), 1);
    driver.end_sync();
    driver.adopt();
    assert_eq!(driver.created(), [(2, ErrorCode::None), (3, ErrorCode::None)]);
}

#[test]
fn a_restart_finds_the_cluster_and_resumes_no_epoch() {
    let mut driver = Driver::open(&MemoryDisk::new(), 1);
    driver.settle();
    driver.create(1, "t");
    driver.settle();
    let before = Arc::clone(driver.shard.image().unwrap());
    let disk = driver.disk();

    let mut driver = Driver::open(&disk, 2);
    driver.begin();
    assert!(driver.images.is_empty(), "the old image must not be adopted: its epochs are over");
    driver.settle();
    let after = driver.shard.image().unwrap();
    assert_eq!(after.cluster_id(), before.cluster_id());
    assert_eq!(after.topic("t").unwrap().id, before.topic("t").unwrap().id);
    let partition = after.topic("t").unwrap().partition(PartitionIndex(0)).unwrap();
    assert_eq!(partition.leader_epoch, LeaderEpoch(1));
    let incarnation = |image: &Image| image.broker(BrokerId(1)).map(|broker| broker.incarnation);
    assert_ne!(incarnation(after), incarnation(&before));
    assert_ne!(incarnation(after), Some(Incarnation(0)));
}

#[test]
fn a_decision_that_was_lost_before_its_commit_never_was() {
    let mut driver = Driver::open(&MemoryDisk::new(), 1);
    driver.settle();
    driver.create(1, "kept");
    driver.settle();
    let log = LogPath::root().join("cluster-metadata").join("00000000000000000000.log");
    driver.create(2, "lost");
    assert_eq!(driver.created(), [(1, ErrorCode::None)]);
    let mut disk = driver.disk();
    let bytes = disk.bytes_mut(&log).unwrap();
    bytes.truncate(bytes.len() - 1);

    let mut driver = Driver::open(&disk, 2);
    driver.settle();
    let names: Vec<_> = driver.shard.image().unwrap().topics().map(|topic| topic.name.to_string()).collect();
    assert_eq!(names, ["kept"]);
}

#[test]
fn stopping_answers_what_was_accepted_refuses_the_rest_and_checkpoints() {
    let mut driver = Driver::open(&MemoryDisk::new(), 1);
    driver.settle();
    driver.create(1, "t");
    driver.input(Input::Stop);
    driver.create(2, "u");
    assert_eq!(driver.created(), [(2, ErrorCode::NotController)]);
    assert!(driver.out.halt.is_none());
    driver.settle();
    driver.settle();
    assert_eq!(driver.created(), [(1, ErrorCode::None)]);
    assert!(matches!(driver.out.halt, Some(Halt::Stopped)), "{:?}", driver.out.halt);
    let disk = driver.disk();
    assert!(disk.bytes(&LogPath::root().join("cluster-metadata").join("checkpoint")).is_some());
}

#[test]
fn a_full_disk_refuses_decisions_until_there_is_room() {
    let mut driver = Driver::open(&MemoryDisk::new(), 1);
    driver.settle();
    let used = driver.shard.disk_mut().used();
    driver.shard.disk_mut().set_capacity(used);
    driver.create(1, "t");
    assert_eq!(driver.created(), [(1, ErrorCode::KafkaStorageError)]);
    driver.shard.disk_mut().set_capacity(u64::MAX);
    driver.create(2, "t");
    driver.settle();
    assert_eq!(driver.created(), [(2, ErrorCode::None)]);
}

#[test]
fn a_full_disk_keeps_a_broker_from_starting() {
    let mut refused = 0;
    for capacity in 0.. {
        let mut disk = MemoryDisk::new();
        disk.set_capacity(capacity);
        match Driver::try_open(&disk, 1, &[]) {
            Ok(_) => break,
            Err(halt) => assert!(matches!(halt, Halt::Io { .. }), "{halt}"),
        }
        refused += 1;
    }
    assert!(refused > 100, "a log, an identity and a journal need more than {refused} bytes");
}

#[test]
fn a_failed_sync_halts_the_broker() {
    let mut driver = Driver::open(&MemoryDisk::new(), 1);
    driver.begin();
    let token = driver.syncs.remove(0);
    driver.input(Input::Synced { token, result: Err(std::io::ErrorKind::Other.into()) });
    assert!(matches!(driver.out.halt, Some(Halt::Io { action: "cannot sync", .. })));
    assert!(driver.images.is_empty());
}

#[test]
fn identity_and_log_are_made_again_from_each_other() {
    let mut driver = Driver::open(&MemoryDisk::new(), 1);
    driver.settle();
    let cluster = driver.shard.image().unwrap().cluster_id().to_owned();
    let directory = driver.shard.image().unwrap().brokers().next().unwrap().directory_id;
    let disk = driver.disk();

    let mut without_identity = disk.clone();
    without_identity.remove(&LogPath::root().join("highwater.meta")).unwrap();
    let mut driver = Driver::open(&without_identity, 2);
    driver.settle();
    assert_eq!(driver.shard.image().unwrap().cluster_id(), cluster);
    assert_eq!(driver.shard.image().unwrap().brokers().next().unwrap().directory_id, directory);

    // As power loss leaves a directory whose first sync never ended.
    let mut only_identity = MemoryDisk::new();
    let bytes = disk.bytes(&LogPath::root().join("highwater.meta")).unwrap().to_vec();
    only_identity.replace(&LogPath::root().join("highwater.meta"), &bytes).unwrap();
    let mut driver = Driver::open(&only_identity, 3);
    driver.settle();
    assert_eq!(driver.shard.image().unwrap().cluster_id(), cluster);
}

#[test]
fn a_directory_of_another_node_or_cluster_is_refused() {
    let mut driver = Driver::open(&MemoryDisk::new(), 1);
    driver.settle();
    let disk = driver.disk();
    let refused = |pairs: &[(&str, &str)]| Driver::try_open(&disk, 2, pairs).err().map(|halt| halt.to_string());
    assert_eq!(
        refused(&[("node.id", "2")]).as_deref(),
        Some("the data directory belongs to node.id 1, not 2; use its node.id or another directory"),
    );
    let other = refused(&[("cluster.id", "AAAAAAAAAAAAAAAAAAAAAQ")]).unwrap();
    assert!(other.ends_with("not AAAAAAAAAAAAAAAAAAAAAQ; use its cluster.id or another directory"), "{other}");
    assert_eq!(refused(&[]), None);
}

#[test]
fn a_log_that_lost_what_was_synced_is_damage() {
    let mut driver = Driver::open(&MemoryDisk::new(), 1);
    driver.settle();
    driver.create(1, "t");
    driver.settle();
    driver.create(2, "u");
    driver.settle();
    let mut disk = driver.disk();
    let log = LogPath::root().join("cluster-metadata").join("00000000000000000000.log");
    disk.bytes_mut(&log).unwrap()[70] ^= 1;
    let halt = Driver::try_open(&disk, 2, &[]).err().expect("the log is damaged");
    let Halt::Damaged(message) = halt else { panic!("{halt}") };
    assert!(message.contains("cluster-metadata/00000000000000000000.log"), "{message}");
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let run = || {
        let mut driver = Driver::open(&MemoryDisk::new(), 9);
        driver.settle();
        driver.create(1, "t");
        driver.settle();
        let disk = driver.disk();
        disk.bytes(&LogPath::root().join("cluster-metadata").join("00000000000000000000.log")).unwrap().to_vec()
    };
    assert_eq!(run(), run());
    assert!(!run().is_empty());
}
