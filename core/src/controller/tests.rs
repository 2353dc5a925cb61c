//! What the controller decides, as tables of requests and outcomes.

use std::collections::BTreeMap;
use std::sync::Arc;

use highwater_wire::create_partitions::{CreatePartitionsAssignment, CreatePartitionsRequest, CreatePartitionsTopic};
use highwater_wire::create_topics::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig, CreatableTopicResult, CreateTopicsRequest,
};
use highwater_wire::delete_topics::{DeleteTopicState, DeleteTopicsRequest};
use highwater_wire::{ErrorCode, Uuid, alter_configs, incremental_alter_configs};

use super::*;
use crate::Now;
use crate::config::BrokerConfig;
use crate::ids::{Incarnation, LeaderEpoch, Offset, PartitionEpoch, PartitionIndex, ShardId, Ticket};
use crate::replicated::{LogRecord, Origin, Refusal, StateMachine};

/// A controller whose decisions are applied at once, as if each were committed at the moment it is made.
struct Harness {
    controller: Controller,
    log: Vec<record::Record>,
    asked: u64,
}

impl Harness {
    fn new(pairs: &[(&str, &str)]) -> Self {
        let config = BrokerConfig::from_pairs(pairs.iter().map(|(key, value)| (*key, *value, "the test"))).unwrap();
        let mut harness = Self { controller: Controller::new(Arc::new(config)), log: Vec::new(), asked: 0 };
        harness.decide(&Request::Found { cluster_id: "cluster".into() });
        harness.register(1, 1);
        harness
    }

    fn register(&mut self, broker: i32, incarnation: u128) {
        let config = BrokerConfig::from_pairs([("node.id", broker.to_string().as_str(), "the test")]).unwrap();
        self.decide(&Request::Register(Registration::new(&config, Incarnation(incarnation), 77)));
    }

    fn decide(&mut self, request: &Request) -> Vec<(Origin, ControllerResponse)> {
        let decision = self.controller.decide(Now::default(), request);
        for record in decision.records {
            let offset = Offset(i64::try_from(self.log.len()).unwrap());
            self.controller.apply(offset, &record);
            self.log.push(record);
        }
        self.controller.image().check();
        decision.replies
    }

    fn ask(&mut self, request: ControllerRequest) -> ControllerResponse {
        self.asked += 1;
        let origin = Origin { shard: ShardId(1), ticket: Ticket(self.asked) };
        let replies = self.decide(&Request::Ask { origin, entropy: u128::from(self.asked), request });
        let [(to, response)] = <[_; 1]>::try_from(replies).unwrap();
        assert_eq!(to, origin);
        response
    }

    fn create(&mut self, topics: Vec<CreatableTopic>, validate_only: bool) -> Vec<CreatableTopicResult> {
        let request = CreateTopicsRequest { topics, validate_only, ..CreateTopicsRequest::default() };
        match self.ask(ControllerRequest::CreateTopics(request)) {
            ControllerResponse::CreateTopics(response) => response.topics,
            other => panic!("{other:?}"),
        }
    }

    fn create_one(&mut self, topic: CreatableTopic) -> (ErrorCode, String) {
        let results = self.create(vec![topic], false);
        outcome(results[0].error_code, results[0].error_message.as_deref())
    }

    fn add_partitions(&mut self, name: &str, count: i32, assigned: Option<&[&[i32]]>) -> (ErrorCode, String) {
        let assign = |brokers: &&[i32]| CreatePartitionsAssignment { broker_ids: brokers.to_vec() };
        let assignments = assigned.map(|assigned| assigned.iter().map(assign).collect());
        let topics = vec![CreatePartitionsTopic { name: name.into(), count, assignments }];
        let request = CreatePartitionsRequest { topics, ..CreatePartitionsRequest::default() };
        match self.ask(ControllerRequest::CreatePartitions(request)) {
            ControllerResponse::CreatePartitions(response) => {
                outcome(response.results[0].error_code, response.results[0].error_message.as_deref())
            }
            other => panic!("{other:?}"),
        }
    }

    fn delete(&mut self, topics: Vec<DeleteTopicState>) -> Vec<(ErrorCode, String)> {
        let request = DeleteTopicsRequest { topics, ..DeleteTopicsRequest::default() };
        match self.ask(ControllerRequest::DeleteTopics(request)) {
            ControllerResponse::DeleteTopics(response) => {
                response.responses.iter().map(|one| outcome(one.error_code, one.error_message.as_deref())).collect()
            }
            other => panic!("{other:?}"),
        }
    }

    fn change(&mut self, kind: i8, name: &str, changes: &[(i8, &str, Option<&str>)]) -> (ErrorCode, String) {
        let change = |(operation, key, value): &(i8, &str, Option<&str>)| incremental_alter_configs::AlterableConfig {
            name: (*key).into(),
            config_operation: *operation,
            value: value.map(str::to_owned),
        };
        let resource = incremental_alter_configs::AlterConfigsResource {
            resource_type: kind,
            resource_name: name.into(),
            configs: changes.iter().map(change).collect(),
        };
        let request = IncrementalAlterConfigsRequest { resources: vec![resource], validate_only: false };
        match self.ask(ControllerRequest::IncrementalAlterConfigs(request)) {
            ControllerResponse::IncrementalAlterConfigs(response) => {
                outcome(response.responses[0].error_code, response.responses[0].error_message.as_deref())
            }
            other => panic!("{other:?}"),
        }
    }

    fn replace(&mut self, kind: i8, name: &str, configs: &[(&str, Option<&str>)]) -> (ErrorCode, String) {
        let config = |(key, value): &(&str, Option<&str>)| alter_configs::AlterableConfig {
            name: (*key).into(),
            value: value.map(str::to_owned),
        };
        let resource = alter_configs::AlterConfigsResource {
            resource_type: kind,
            resource_name: name.into(),
            configs: configs.iter().map(config).collect(),
        };
        let request = AlterConfigsRequest { resources: vec![resource], validate_only: false };
        match self.ask(ControllerRequest::AlterConfigs(request)) {
            ControllerResponse::AlterConfigs(response) => {
                outcome(response.responses[0].error_code, response.responses[0].error_message.as_deref())
            }
            other => panic!("{other:?}"),
        }
    }

    fn image(&self) -> &Image {
        self.controller.image()
    }

    fn topic_configs(&self, name: &str) -> String {
        let configs = &self.image().topic(name).unwrap().configs;
        configs.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(" ")
    }
}

fn outcome(code: i16, message: Option<&str>) -> (ErrorCode, String) {
    (ErrorCode::try_from(code).unwrap(), message.unwrap_or_default().to_owned())
}

fn ok() -> (ErrorCode, String) {
    (ErrorCode::None, String::new())
}

fn topic(name: &str, partitions: i32, replication_factor: i16) -> CreatableTopic {
    CreatableTopic { name: name.into(), num_partitions: partitions, replication_factor, ..CreatableTopic::default() }
}

fn configured(name: &str, configs: &[(&str, Option<&str>)]) -> CreatableTopic {
    let config = |(key, value): &(&str, Option<&str>)| CreatableTopicConfig {
        name: (*key).into(),
        value: value.map(str::to_owned),
    };
    CreatableTopic { configs: configs.iter().map(config).collect(), ..topic(name, 1, 1) }
}

fn assigned(name: &str, assignments: &[(i32, &[i32])]) -> CreatableTopic {
    let assignment = |(index, brokers): &(i32, &[i32])| CreatableReplicaAssignment {
        partition_index: *index,
        broker_ids: brokers.to_vec(),
    };
    CreatableTopic { assignments: assignments.iter().map(assignment).collect(), ..topic(name, -1, -1) }
}

fn by_name(name: &str) -> DeleteTopicState {
    DeleteTopicState { name: Some(name.into()), topic_id: Uuid::ZERO }
}

fn by_id(topic_id: Uuid) -> DeleteTopicState {
    DeleteTopicState { name: None, topic_id }
}

const TOPIC: i8 = 2;
const BROKER: i8 = 4;
const GROUP: i8 = 32;
const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;

#[test]
fn a_topic_is_created_with_defaults_or_as_asked() {
    let mut harness = Harness::new(&[("num.partitions", "3")]);
    let results =
        harness.create(vec![topic("defaults", -1, -1), configured("own", &[("retention.ms", Some("5"))])], false);
    assert_eq!((results[0].num_partitions, results[0].replication_factor), (3, 1));
    assert_ne!(results[0].topic_id, results[1].topic_id);
    let retention = results[1].configs.as_ref().unwrap().iter().find(|config| config.name == "retention.ms").unwrap();
    assert_eq!((retention.value.as_deref(), retention.config_source), (Some("5"), 1));

    let own = harness.image().topic("own").unwrap();
    assert_eq!(own.config.retention_ms, Some(5));
    let partition = own.partition(PartitionIndex(0)).unwrap();
    assert_eq!(partition.leader, Some(BrokerId(1)));
    assert_eq!(partition.leader_epoch, LeaderEpoch(0));
}

#[test]
fn bad_topics_are_refused() {
    let mut harness = Harness::new(&[]);
    assert_eq!(harness.create_one(topic("a.b", 1, 1)), ok());
    let mut check = |topic: CreatableTopic, code, message: &str| {
        let name = topic.name.clone();
        assert_eq!(harness.create_one(topic), (code, message.to_owned()), "{name}");
    };
    use ErrorCode::*;
    check(topic("", 1, 1), InvalidTopicException, "a topic's name must not be empty");
    check(topic("..", 1, 1), InvalidTopicException, "a topic must not be named \"..\"");
    check(
        topic("a/b", 1, 1),
        InvalidTopicException,
        "\"a/b\" holds something other than letters of ASCII, digits, '.', '_' and '-'",
    );
    check(
        topic(&"x".repeat(250), 1, 1),
        InvalidTopicException,
        "a topic's name must not be longer than 249 bytes; this one has 250",
    );
    check(topic("a_b", 1, 1), InvalidTopicException, "a_b differs from the topic a.b in '.' and '_' only");
    check(topic("a.b", 1, 1), TopicAlreadyExists, "there is a topic a.b already");
    check(topic("__cluster_metadata", 1, 1), InvalidRequest, "the metadata log is no topic that clients create");
    check(topic("t", 0, 1), InvalidPartitions, "there must be at least one partition, or -1 for the default");
    check(topic("t", -2, 1), InvalidPartitions, "there must be at least one partition, or -1 for the default");
    check(topic("t", 10_001, 1), PolicyViolation, "the request creates too many partitions at once");
    check(topic("t", i32::MAX, 1), PolicyViolation, "the request creates too many partitions at once");
    check(topic("t", 1, 0), InvalidReplicationFactor, "there must be at least one replica, or -1 for the default");
    check(topic("t", 1, 3), InvalidReplicationFactor, "there are 1 brokers, too few for 3 replicas");
}

#[test]
fn bad_assignments_are_refused() {
    let mut harness = Harness::new(&[]);
    let mut check = |topic: CreatableTopic, code, message: &str| {
        assert_eq!(harness.create_one(topic), (code, message.to_owned()));
    };
    use ErrorCode::*;
    check(
        CreatableTopic { num_partitions: 1, ..assigned("t", &[(0, &[1])]) },
        InvalidRequest,
        "where replicas are assigned by hand, the numbers of partitions and replicas must be -1",
    );
    let gap = "partitions must be numbered from 0 without a gap";
    check(assigned("t", &[(0, &[1]), (2, &[1])]), InvalidReplicaAssignment, gap);
    check(assigned("t", &[(-1, &[1])]), InvalidReplicaAssignment, gap);
    check(assigned("t", &[(0, &[1]), (0, &[1])]), InvalidReplicaAssignment, gap);
    check(assigned("t", &[(0, &[])]), InvalidReplicaAssignment, "the assignment has no replica");
    check(
        assigned("t", &[(0, &[7])]),
        InvalidReplicaAssignment,
        "the assignment names broker 7, which is not registered",
    );
    check(assigned("t", &[(0, &[1, 1])]), InvalidReplicaAssignment, "the assignment names broker 1 twice");
    check(assigned("t", &[(1, &[1]), (0, &[1])]), ErrorCode::None, "");
}

#[test]
fn bad_topic_configurations_are_refused() {
    let mut harness = Harness::new(&[]);
    let mut check = |configs: &[(&str, Option<&str>)], message: &str| {
        let expected = (ErrorCode::InvalidConfig, message.to_owned());
        assert_eq!(harness.create_one(configured("t", configs)), expected);
    };
    check(&[("retention.sm", Some("1"))], "unknown key retention.sm: did you mean retention.ms?");
    check(&[("segment.bytes", Some("14"))], "invalid value \"14\" for segment.bytes: it must be at least 1048576");
    check(&[("retention.ms", None)], "retention.ms has no value; leave the key out for its default");
    check(
        &[("remote.storage.enable", Some("true"))],
        "invalid value \"true\" for remote.storage.enable: it is not supported: Highwater only has \"false\"",
    );
    check(
        &[("min.compaction.lag.ms", Some("10")), ("max.compaction.lag.ms", Some("5"))],
        "min.compaction.lag.ms and max.compaction.lag.ms contradict each other: \
         the minimum must not be larger than the maximum",
    );
}

#[test]
fn topics_of_one_request_see_each_other() {
    let mut harness = Harness::new(&[]);
    let wanted = ["twice", "twice", "a.b", "a_b", "fine"].map(|name| topic(name, 1, 1)).to_vec();
    let codes: Vec<_> = harness.create(wanted, false).iter().map(|one| (one.name.clone(), one.error_code)).collect();
    let code = ErrorCode::code;
    let expected = [
        ("twice".to_owned(), code(ErrorCode::InvalidRequest)),
        ("a.b".to_owned(), 0),
        ("a_b".to_owned(), code(ErrorCode::InvalidTopicException)),
        ("fine".to_owned(), 0),
    ];
    assert_eq!(codes, expected);
}

#[test]
fn one_request_creates_a_bounded_number_of_partitions() {
    let mut harness = Harness::new(&[]);
    let results = harness.create(vec![topic("a", 6000, 1), topic("", 6000, 1), topic("c", 4000, 1)], false);
    let codes: Vec<_> = results.iter().map(|one| one.error_code).collect();
    assert_eq!(codes, [ErrorCode::PolicyViolation.code(); 3]);
    assert_eq!(harness.create_one(topic("a", 6000, 1)), ok());
}

/// The differential test found both: Kafka looks at a topic's values before its replicas, and at the last of two.
#[test]
fn a_new_topics_values_are_checked_before_its_replicas_as_they_stand_last() {
    let mut harness = Harness::new(&[]);
    let bad = CreatableTopic { replication_factor: -2, ..configured("bad", &[("retention.ms", Some("x"))]) };
    assert_eq!(harness.create_one(bad).0, ErrorCode::InvalidConfig);
    let twice = configured("t", &[("retention.ms", Some("x")), ("retention.ms", Some("5"))]);
    assert_eq!(harness.create_one(twice), ok());
    assert_eq!(harness.topic_configs("t"), "retention.ms=5");
}

/// The differential test found it: Kafka tells what is wrong with a change before it looks for the topic.
#[test]
fn a_change_is_checked_before_its_topic() {
    let mut harness = Harness::new(&[]);
    let mut code = |name: &str, operation, value| harness.change(TOPIC, name, &[(operation, "retention.ms", value)]).0;
    assert_eq!(code("none", SET, Some("x")), ErrorCode::InvalidConfig);
    assert_eq!(code("none", SET, Option::None), ErrorCode::InvalidRequest);
    assert_eq!(code("no/name", SET, Some("x")), ErrorCode::InvalidTopicException);
    assert_eq!(code("none", SET, Some("5")), ErrorCode::UnknownTopicOrPartition);
}

#[test]
fn validation_changes_nothing() {
    let mut harness = Harness::new(&[]);
    let before = harness.log.len();
    let results = harness.create(vec![topic("t", 3, 1)], true);
    assert_eq!((results[0].error_code, results[0].num_partitions), (0, 3));
    assert_eq!(harness.log.len(), before);
    assert!(harness.image().topic("t").is_none());
}

#[test]
fn a_topic_created_again_has_another_id_and_none_of_its_configuration() {
    let mut harness = Harness::new(&[]);
    assert_eq!(harness.create_one(configured("t", &[("retention.ms", Some("5"))])), ok());
    let first = harness.image().topic("t").unwrap().id;
    assert_eq!(harness.delete(vec![by_name("t")]), [ok()]);
    assert!(harness.image().topic_by_id(first).is_none());
    assert_eq!(harness.create_one(topic("t", 1, 1)), ok());
    assert_ne!(harness.image().topic("t").unwrap().id, first);
    assert_eq!(harness.topic_configs("t"), "");
}

#[test]
fn bad_deletions_are_refused() {
    let mut harness = Harness::new(&[]);
    assert_eq!(harness.create_one(topic("t", 1, 1)), ok());
    let id = Uuid(harness.image().topic("t").unwrap().id.0);
    let codes = |outcomes: Vec<(ErrorCode, String)>| outcomes.into_iter().map(|(code, _)| code).collect::<Vec<_>>();
    let wanted = vec![
        by_name("none"),
        by_id(Uuid(5)),
        by_id(Uuid::ZERO),
        DeleteTopicState { name: Some("t".into()), topic_id: id },
        by_name("twice"),
        by_name("twice"),
    ];
    use ErrorCode::*;
    let expected = [UnknownTopicOrPartition, UnknownTopicId, InvalidRequest, InvalidRequest, InvalidRequest];
    assert_eq!(codes(harness.delete(wanted)), expected);
    let with_refused =
        vec![DeleteTopicState { name: Some("u".into()), topic_id: Uuid(5) }, by_name("u"), by_id(Uuid(5))];
    assert_eq!(codes(harness.delete(with_refused)), [InvalidRequest, UnknownTopicOrPartition, UnknownTopicId]);
    let both = vec![by_name("t"), by_id(id)];
    assert_eq!(codes(harness.delete(both)), [None, UnknownTopicId]);

    let mut harness = Harness::new(&[("delete.topic.enable", "false")]);
    assert_eq!(codes(harness.delete(vec![by_name("t")])), [TopicDeletionDisabled]);
}

#[test]
fn partitions_are_added_but_never_taken_away() {
    let mut harness = Harness::new(&[]);
    assert_eq!(harness.create_one(topic("t", 2, 1)), ok());
    let mut check = |name: &str, count, assigned: Option<&[&[i32]]>, code, message: &str| {
        assert_eq!(harness.add_partitions(name, count, assigned), (code, message.to_owned()));
    };
    use ErrorCode::*;
    check("t", 2, Option::None, InvalidPartitions, "t has 2 partitions already; 2 would not be more");
    check("t", -1, Option::None, InvalidPartitions, "t has 2 partitions already; -1 would not be more");
    check("t", i32::MAX, Option::None, PolicyViolation, "the request creates too many partitions at once");
    check("t", 4, Some(&[&[1]]), InvalidReplicaAssignment, "2 partitions are to be added, but 1 are assigned");
    check("t", 3, Some(&[&[9]]), InvalidReplicaAssignment, "the assignment names broker 9, which is not registered");
    check("t", 3, Some(&[&[1]]), ErrorCode::None, "");
    check("t", 4, Option::None, ErrorCode::None, "");
    assert_eq!(harness.add_partitions("none", 3, Option::None).0, UnknownTopicOrPartition);
    assert_eq!(harness.image().topic("t").unwrap().partition_count(), 4);
}

#[test]
fn a_topics_configuration_changes_key_by_key() {
    let mut harness = Harness::new(&[]);
    assert_eq!(harness.create_one(topic("t", 1, 1)), ok());
    let mut check = |changes: &[(i8, &str, Option<&str>)], code, message: &str, after: &str| {
        assert_eq!(harness.change(TOPIC, "t", changes), (code, message.to_owned()));
        assert_eq!(harness.topic_configs("t"), after);
    };
    use ErrorCode::*;
    check(&[(SET, "retention.ms", Some("5"))], None, "", "retention.ms=5");
    check(&[(SET, "retention.ms", Option::None)], InvalidRequest, "retention.ms has no value", "retention.ms=5");
    check(
        &[(SET, "retention.ms", Some("x"))],
        InvalidConfig,
        "invalid value \"x\" for retention.ms: it must be a whole number",
        "retention.ms=5",
    );
    check(&[(SET, "nope.nope", Some("x"))], InvalidConfig, "unknown key nope.nope", "retention.ms=5");
    check(
        &[(SET, "flush.ms", Some("1")), (SET, "flush.ms", Some("2"))],
        InvalidRequest,
        "the request names flush.ms twice",
        "retention.ms=5",
    );
    check(&[(9, "retention.ms", Some("1"))], InvalidRequest, "there is no operation 9", "retention.ms=5");
    check(&[(DELETE, "retention.ms", Option::None), (DELETE, "nope", Option::None)], None, "", "");
    check(&[(APPEND, "cleanup.policy", Some("compact"))], None, "", "cleanup.policy=delete,compact");
    check(&[(APPEND, "cleanup.policy", Some("compact"))], None, "", "cleanup.policy=delete,compact");
    check(&[(SUBTRACT, "cleanup.policy", Some("delete"))], None, "", "cleanup.policy=compact");
    check(
        &[(APPEND, "retention.ms", Some("1"))],
        InvalidConfig,
        "retention.ms is not a list, so nothing can be added or taken away",
        "cleanup.policy=compact",
    );
}

#[test]
fn a_topics_configuration_is_replaced_as_a_whole() {
    let mut harness = Harness::new(&[]);
    assert_eq!(harness.create_one(configured("t", &[("retention.ms", Some("5"))])), ok());
    assert_eq!(harness.replace(TOPIC, "t", &[("flush", Some("page-cache"))]), ok());
    assert_eq!(harness.topic_configs("t"), "flush=page-cache");
    let (code, _) = harness.replace(TOPIC, "t", &[("flush", Option::None)]);
    assert_eq!(code, ErrorCode::InvalidRequest);
    assert_eq!(harness.replace(TOPIC, "t", &[]), ok());
    assert_eq!(harness.topic_configs("t"), "");
}

#[test]
fn resources_that_do_not_exist_are_refused() {
    let mut harness = Harness::new(&[]);
    let mut check = |kind, name: &str, key: &str, code, message: &str| {
        assert_eq!(harness.change(kind, name, &[(SET, key, Some("1"))]), (code, message.to_owned()));
    };
    use ErrorCode::*;
    check(TOPIC, "none", "retention.ms", UnknownTopicOrPartition, "there is no topic none");
    check(TOPIC, "", "retention.ms", InvalidRequest, "a topic's configuration needs the topic's name");
    check(BROKER, "x", "log.retention.ms", InvalidRequest, "\"x\" is not a broker's id");
    check(BROKER, "7", "log.retention.ms", InvalidRequest, "there is no broker 7");
    check(16, "m", "interval.ms", InvalidRequest, "resources of type 16 have no configuration here");
    check(BROKER, "1", "no.such.key", InvalidConfig, "unknown key no.such.key");
    check(
        BROKER,
        "1",
        "log.flush",
        InvalidRequest,
        "invalid value \"1\" for log.flush: it must be one of sync, page-cache",
    );
    check(BROKER, "1", "num.partitions", InvalidRequest, "num.partitions can change only when the broker starts");
}

#[test]
fn a_brokers_configuration_reaches_its_topics() {
    let mut harness = Harness::new(&[("log.retention.hours", "1")]);
    assert_eq!(harness.create_one(topic("t", 1, 1)), ok());
    assert_eq!(harness.create_one(configured("own", &[("retention.ms", Some("5"))])), ok());
    let mut check = |broker: &str, change: (i8, &str, Option<&str>), expected: u64| {
        assert_eq!(harness.change(BROKER, broker, &[change]), ok());
        assert_eq!(harness.image().topic("t").unwrap().config.retention_ms, Some(expected));
        assert_eq!(harness.image().topic("own").unwrap().config.retention_ms, Some(5));
    };
    check("", (SET, "log.retention.ms", Some("70")), 70);
    check("1", (SET, "log.retention.ms", Some("60")), 60);
    check("1", (DELETE, "log.retention.ms", Option::None), 70);
    check("", (DELETE, "log.retention.ms", Option::None), 3_600_000);
}

#[test]
fn a_groups_configuration_is_its_own_whether_it_exists_or_not() {
    let mut harness = Harness::new(&[("group.consumer.heartbeat.interval.ms", "7000")]);
    let times = |harness: &Harness| {
        let times = harness.image().member_times("g")?;
        Some((times.session_timeout.as_millis(), times.heartbeat_interval.as_millis()))
    };
    assert_eq!(times(&harness), Option::None);
    assert_eq!(harness.change(GROUP, "g", &[(SET, "consumer.session.timeout.ms", Some("50000"))]), ok());
    assert_eq!(times(&harness), Some((50_000, 7000)));
    assert_eq!(harness.replace(GROUP, "g", &[("consumer.heartbeat.interval.ms", Some("8000"))]), ok());
    assert_eq!(times(&harness), Some((45_000, 8000)));
    assert_eq!(harness.change(GROUP, "g", &[(DELETE, "consumer.heartbeat.interval.ms", Option::None)]), ok());
    assert_eq!(times(&harness), Option::None);
    assert_eq!(harness.change(GROUP, "g", &[(DELETE, "no.such.key", Option::None)]), ok());

    let mut check = |name: &str, change: (i8, &str, Option<&str>), code, message: &str| {
        assert_eq!(harness.change(GROUP, name, &[change]), (code, message.to_owned()));
    };
    use ErrorCode::*;
    let session = "consumer.session.timeout.ms";
    check("", (SET, session, Some("50000")), InvalidRequest, "a group's configuration needs the group's id");
    check("g", (SET, session, Option::None), InvalidRequest, "consumer.session.timeout.ms has no value");
    check("g", (SET, "share.isolation.level", Some("1")), InvalidConfig, "unknown key share.isolation.level");
    check(
        "g",
        (APPEND, session, Some("1")),
        InvalidConfig,
        "consumer.session.timeout.ms is not a list, so nothing can be added or taken away",
    );
    check(
        "g",
        (SET, session, Some("60001")),
        InvalidConfig,
        "invalid value \"60001\" for consumer.session.timeout.ms: it must be between 45000 and 60000, the broker's \
         group.consumer.min.session.timeout.ms and group.consumer.max.session.timeout.ms",
    );
}

#[test]
fn a_new_incarnation_resumes_no_epoch() {
    let mut harness = Harness::new(&[]);
    harness.register(2, 1);
    assert_eq!(harness.create_one(assigned("t", &[(0, &[1]), (1, &[2])])), ok());
    harness.register(1, 2);
    let epochs: Vec<_> =
        harness.image().topic("t").unwrap().partitions().map(|(_, p)| (p.leader_epoch, p.partition_epoch)).collect();
    assert_eq!(epochs, [(LeaderEpoch(1), PartitionEpoch(1)), (LeaderEpoch(0), PartitionEpoch(0))]);
    assert_eq!(harness.image().broker(BrokerId(1)).unwrap().incarnation, Incarnation(2));
}

#[test]
fn replicas_spread_over_the_brokers() {
    let mut harness = Harness::new(&[]);
    harness.register(2, 1);
    harness.register(3, 1);
    assert_eq!(harness.create_one(topic("t", 9, 2)), ok());
    let mut leaders = BTreeMap::new();
    let mut replicas = BTreeMap::new();
    for (_, partition) in harness.image().topic("t").unwrap().partitions() {
        *leaders.entry(partition.leader.unwrap()).or_insert(0) += 1;
        assert_ne!(partition.replicas[0], partition.replicas[1]);
        for broker in &partition.replicas {
            *replicas.entry(*broker).or_insert(0) += 1;
        }
    }
    assert_eq!(leaders.into_values().collect::<Vec<_>>(), [3, 3, 3]);
    assert_eq!(replicas.into_values().collect::<Vec<_>>(), [6, 6, 6]);
}

#[test]
fn producer_ids_are_handed_out_once() {
    let mut harness = Harness::new(&[]);
    let mut block = |broker| match harness.ask(ControllerRequest::AllocateProducerIds { broker: BrokerId(broker) }) {
        ControllerResponse::AllocateProducerIds(result) => result.map(|block| (block.first.0, block.len)),
        other => panic!("{other:?}"),
    };
    assert_eq!(block(1), Ok((0, 1000)));
    assert_eq!(block(1), Ok((1000, 1000)));
    assert_eq!(block(2), Err(ErrorCode::BrokerIdNotRegistered));
}

#[test]
fn every_request_can_be_refused_as_a_whole() {
    let harness = Harness::new(&[]);
    let origin = Origin { shard: ShardId(1), ticket: Ticket(1) };
    let request = CreateTopicsRequest { topics: vec![topic("t", 1, 1)], ..CreateTopicsRequest::default() };
    let ask = Request::Ask { origin, entropy: 0, request: ControllerRequest::CreateTopics(request) };
    let refused = harness.controller.refuse(&ask, Refusal::DiskFull);
    let [(_, ControllerResponse::CreateTopics(response))] = refused.as_slice() else { panic!("{refused:?}") };
    assert_eq!(response.topics[0].error_code, ErrorCode::KafkaStorageError.code());
    assert_eq!(response.topics[0].error_message.as_deref(), Some("the disk is full"));
}

#[test]
fn a_snapshot_and_the_log_give_the_same_image() {
    let mut harness = Harness::new(&[]);
    harness.register(2, 9);
    assert_eq!(harness.create_one(configured("t", &[("retention.ms", Some("5"))])), ok());
    assert_eq!(harness.create_one(topic("gone", 4, 2)), ok());
    assert_eq!(harness.change(BROKER, "", &[(SET, "log.retention.ms", Some("70"))]), ok());
    assert_eq!(harness.change(BROKER, "2", &[(SET, "log.retention.ms", Some("71"))]), ok());
    assert_eq!(harness.change(GROUP, "g", &[(SET, "consumer.session.timeout.ms", Some("50000"))]), ok());
    assert_eq!(harness.delete(vec![by_name("gone")]), [ok()]);
    harness.ask(ControllerRequest::AllocateProducerIds { broker: BrokerId(1) });

    let config = Arc::clone(harness.image().broker_config());
    let snapshot = harness.image().to_records();
    let restored = Image::from_snapshot(Arc::clone(&config), harness.image().offset(), &snapshot);
    assert_eq!(&restored, harness.image());

    let mut replayed = Image::new(config);
    for (offset, record) in harness.log.iter().enumerate() {
        let (key, value) = record.to_key_value();
        let record = record::Record::from_key_value(key, value).unwrap().unwrap();
        replayed.apply(Offset(i64::try_from(offset).unwrap()), &record);
    }
    assert_eq!(&replayed, harness.image());
}
