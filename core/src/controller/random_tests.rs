//! Random requests: whatever is decided, the log alone gives the same image, and a cut log gives an earlier one.

use std::sync::Arc;

use highwater_wire::create_partitions::{CreatePartitionsRequest, CreatePartitionsTopic};
use highwater_wire::create_topics::{CreatableTopic, CreatableTopicConfig, CreateTopicsRequest};
use highwater_wire::delete_topics::{DeleteTopicState, DeleteTopicsRequest};
use highwater_wire::incremental_alter_configs::{AlterConfigsResource, AlterableConfig};
use proptest::prelude::*;

use super::*;
use crate::Now;
use crate::config::BrokerConfig;
use crate::disk::memory::MemoryDisk;
use crate::disk::{Disk, LogPath, OpenMode};
use crate::ids::{Incarnation, Offset, ShardId, Ticket};
use crate::replicated::{Host, Origin, StateMachine};

/// One step: an operation on one of a few topics or brokers.
#[derive(Clone, Debug)]
enum Step {
    Create { topic: u8, partitions: i32, key: u8 },
    Delete { topic: u8 },
    Grow { topic: u8, count: i32 },
    Alter { resource: u8, key: u8, operation: i8 },
    Allocate,
    Register { broker: u8 },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0..6u8, -1..4i32, 0..6u8).prop_map(|(topic, partitions, key)| Step::Create { topic, partitions, key }),
        (0..6u8).prop_map(|topic| Step::Delete { topic }),
        (0..6u8, 0..6i32).prop_map(|(topic, count)| Step::Grow { topic, count }),
        (0..11u8, 0..8u8, -1..4i8).prop_map(|(resource, key, operation)| Step::Alter { resource, key, operation }),
        Just(Step::Allocate),
        (1..4u8).prop_map(|broker| Step::Register { broker }),
    ]
}

/// Names of which some collide.
fn topic_name(topic: u8) -> String {
    ["a", "b.c", "b_c", "d", "e!", "__consumer_offsets"][usize::from(topic)].to_owned()
}

fn setting(key: u8) -> (String, String) {
    let (key, value) = [
        ("retention.ms", "1000"),
        ("cleanup.policy", "compact"),
        ("segment.bytes", "1"),
        ("no.such.key", "1"),
        ("log.retention.ms", "5"),
        ("max.compaction.lag.ms", "7"),
        ("consumer.session.timeout.ms", "50000"),
        ("consumer.heartbeat.interval.ms", "6000"),
    ][usize::from(key)];
    (key.to_owned(), value.to_owned())
}

fn request(step: &Step, number: u64) -> Request {
    let request = match *step {
        Step::Create { topic, partitions, key } => {
            let (name, value) = setting(key);
            let configs = vec![CreatableTopicConfig { name, value: Some(value) }];
            let topic = CreatableTopic {
                name: topic_name(topic),
                num_partitions: partitions,
                replication_factor: 1,
                configs: if key % 2 == 0 { configs } else { Vec::new() },
                ..Default::default()
            };
            ControllerRequest::CreateTopics(CreateTopicsRequest { topics: vec![topic], ..Default::default() })
        }
        Step::Delete { topic } => {
            let topics = vec![DeleteTopicState { name: Some(topic_name(topic)), ..Default::default() }];
            ControllerRequest::DeleteTopics(DeleteTopicsRequest { topics, ..Default::default() })
        }
        Step::Grow { topic, count } => {
            let topics = vec![CreatePartitionsTopic { name: topic_name(topic), count, assignments: None }];
            ControllerRequest::CreatePartitions(CreatePartitionsRequest { topics, ..Default::default() })
        }
        Step::Alter { resource, key, operation } => {
            let (name, value) = setting(key);
            let (resource_type, resource_name) = match resource {
                0..6 => (2, topic_name(resource)),
                6 => (4, String::new()),
                7 | 8 => (4, (resource - 6).to_string()),
                group => (32, format!("group {group}")),
            };
            let configs = vec![AlterableConfig { name, config_operation: operation, value: Some(value) }];
            let resources = vec![AlterConfigsResource { resource_type, resource_name, configs }];
            let request = IncrementalAlterConfigsRequest { resources, validate_only: false };
            ControllerRequest::IncrementalAlterConfigs(request)
        }
        Step::Allocate => ControllerRequest::AllocateProducerIds { broker: BrokerId(1) },
        Step::Register { broker } => return register(broker.into(), number.into()),
    };
    let origin = Origin { shard: ShardId(1), ticket: Ticket(number) };
    Request::Ask { origin, entropy: number.into(), request }
}

fn register(broker: i32, incarnation: u128) -> Request {
    let config = BrokerConfig { node_id: BrokerId(broker), ..BrokerConfig::default() };
    Request::Register(Registration::new(&config, Incarnation(incarnation), 1))
}

fn open(disk: &mut MemoryDisk) -> Host<Controller> {
    let controller = Controller::new(Arc::new(BrokerConfig::default()));
    Host::open(disk, LogPath::root().join("log"), controller, Offset(0), Now::default()).unwrap().0
}

/// A controller that has only founded its cluster: what is left of a log whose second decision was cut off.
fn founded() -> Image {
    let mut controller = Controller::new(Arc::new(BrokerConfig::default()));
    let decision = controller.decide(Now::default(), &Request::Found { cluster_id: "c".into() });
    for (offset, record) in (0..).zip(&decision.records) {
        controller.apply(Offset(offset), record);
    }
    Image::clone(controller.image())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_log_alone_gives_the_image_and_a_cut_log_an_earlier_one(
        steps in prop::collection::vec(step(), 1..40),
        cut in 0..4000u64,
    ) {
        let mut disk = MemoryDisk::new();
        let mut host = open(&mut disk);
        host.handle(&mut disk, Now::default(), &Request::Found { cluster_id: "c".into() }).unwrap();
        host.handle(&mut disk, Now::default(), &register(1, 1)).unwrap();
        let empty = Image::new(Arc::new(BrokerConfig::default()));
        let mut history = vec![empty, founded(), Image::clone(host.machine().image())];
        for (number, step) in (2..).zip(&steps) {
            host.handle(&mut disk, Now::default(), &request(step, number)).unwrap();
            let image = host.machine().image();
            image.check();
            let config = Arc::clone(image.broker_config());
            let restored = Image::from_snapshot(config, image.offset(), &image.to_records());
            prop_assert!(restored == **image, "{:?}", image.to_records());
            history.push(Image::clone(image));
        }
        prop_assert!(**open(&mut disk).machine().image() == history[history.len() - 1]);

        let path = LogPath::root().join("log").join("00000000000000000000.log");
        let file = disk.open(&path, OpenMode::Existing).unwrap();
        let len = disk.len(file).unwrap();
        disk.truncate(file, len.saturating_sub(cut)).unwrap();
        let host = open(&mut disk);
        let recovered = host.machine().image();
        prop_assert!(history.contains(recovered), "{:?}", recovered.to_records());
    }
}
