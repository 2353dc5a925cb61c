use highwater_wire::describe_cluster::{DescribeClusterRequest, DescribeClusterResponse};

use super::*;
use crate::ids::BrokerId;

fn describe_cluster() -> AnyRequest {
    DescribeClusterRequest::default().into()
}

#[test]
fn a_call_to_the_controller_finds_it_first() {
    let mut script = Script::new(&config());
    assert_eq!(script.call(1, Target::Controller, describe_cluster()), ["connect 0 boot:9092"]);
    script.connected(0);
    assert_eq!(script.answer(0, api_versions()), ["send 0 Metadata v13"]);
    assert_eq!(script.answer(0, metadata(&[(7, "controller")], &[])), ["connect 1 controller:9092"]);
    script.connected(1);
    assert_eq!(script.answer(1, api_versions()), ["send 1 DescribeCluster v2"]);
    assert_eq!(script.answer(1, DescribeClusterResponse::default()), ["answered 1"]);
}

#[test]
fn a_call_that_was_sent_is_never_repeated() {
    let mut script = Script::with_topic(&config(), 1);
    assert_eq!(script.call(1, Target::Any, describe_cluster()), ["send 0 DescribeCluster v2"]);
    let lines = script.disconnected(0);
    assert_eq!(
        lines,
        ["unreachable boot:9092 reset", "unanswered 1 the request was sent but not answered: boot:9092: reset"]
    );
    assert_eq!(script.advance(60_000), [""; 0]);
}

#[test]
fn a_call_that_nobody_can_be_asked_fails_with_what_went_wrong_last() {
    let mut config = config();
    config.call_timeout = Duration::from_millis(50);
    let mut script = Script::new(&config);
    script.call(1, Target::Broker(BrokerId(1)), describe_cluster());
    script.disconnected(0);
    assert_eq!(script.advance(50), ["unanswered 1 no broker could be asked in time; boot:9092: reset"]);
}

#[test]
fn a_call_about_a_topic_that_is_not_there_fails_at_once_and_asks_again_the_next_time() {
    let mut script = Script::new(&config());
    let leader = || Target::Leader(TopicPartition::new("t", PartitionIndex(0)));
    script.call(1, leader(), describe_cluster());
    script.connected(0);
    script.answer(0, api_versions());
    let lines = script.answer(0, unknown_topic());
    assert!(lines.len() == 1 && lines[0].starts_with("unanswered 1 UNKNOWN_TOPIC_OR_PARTITION"), "{lines:?}");
    assert_eq!(script.call(2, leader(), describe_cluster()), ["send 0 Metadata v13"]);
}

#[test]
fn a_broker_that_does_not_serve_the_request_is_named_with_its_versions() {
    let mut script = Script::new(&config());
    script.call(1, Target::Any, describe_cluster());
    script.connected(0);
    let mut versions = api_versions();
    versions.api_keys.retain(|api| api.api_key != ApiKey::DescribeCluster as i16);
    let expected = "unanswered 1 the broker serves DescribeCluster in versions none, this client speaks 0 to 2";
    assert_eq!(script.answer(0, versions), [expected]);
}
