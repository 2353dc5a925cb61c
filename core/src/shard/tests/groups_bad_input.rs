//! Requests about groups that ask for too much, or come from who may not ask.

use highwater_wire::consumer_group_heartbeat::ConsumerGroupHeartbeatRequest;
use highwater_wire::heartbeat::HeartbeatRequest;
use highwater_wire::offset_commit::{OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use highwater_wire::offset_delete::{OffsetDeleteRequest, OffsetDeleteRequestPartition, OffsetDeleteRequestTopic};
use highwater_wire::sync_group::{SyncGroupRequest, SyncGroupRequestAssignment};

use super::groups::{commit, committed, fetched, join_alone, world};
use super::*;

/// The error of each partition, as the last answer to a commit has them.
fn commit_rows(world: &mut World) -> Vec<(String, Vec<(i32, ErrorCode)>)> {
    let Some(AnyResponse::OffsetCommit(response)) = world.answers.pop() else { panic!("no answer") };
    let code = |code| ErrorCode::try_from(code).unwrap();
    let rows = response.topics.into_iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|row| (row.partition_index, code(row.error_code)));
        (topic.name, partitions.collect())
    });
    rows.collect()
}

fn sync(world: &mut World, member_id: &str, assignment: Bytes) -> ErrorCode {
    let assignments = vec![SyncGroupRequestAssignment { member_id: member_id.to_owned(), assignment }];
    let (group_id, member_id) = ("g".to_owned(), member_id.to_owned());
    world.send(SyncGroupRequest { group_id, generation_id: 1, member_id, assignments, ..Default::default() }, 3);
    world.sync_all();
    match world.answers.pop() {
        Some(AnyResponse::SyncGroup(response)) => ErrorCode::try_from(response.error_code).unwrap(),
        other => panic!("not an answer to a sync: {other:?}"),
    }
}

/// As in Kafka: any offset may be committed, but only of partitions that exist.
#[test]
fn offsets_out_of_range_are_kept_and_partitions_that_do_not_exist_refused() {
    let mut world = world();
    let partition = |partition_index, committed_offset| OffsetCommitRequestPartition {
        partition_index,
        committed_offset,
        ..Default::default()
    };
    let mut request = commit("g", 0);
    request.topics[0].partitions =
        vec![partition(0, i64::MAX), partition(2, 5), partition(-1, 5), partition(1, -5), partition(i32::MAX, 5)];
    request.topics.push(OffsetCommitRequestTopic { name: "none".into(), ..request.topics[0].clone() });
    world.send(request, 5);
    world.sync_all();
    let unknown = ErrorCode::UnknownTopicOrPartition;
    let missing = vec![(2, unknown), (-1, unknown), (i32::MAX, unknown)];
    let mut first = missing.clone();
    first.extend([(0, ErrorCode::None), (1, ErrorCode::None)]);
    let all = [(0, unknown), (2, unknown), (-1, unknown), (1, unknown), (i32::MAX, unknown)].to_vec();
    assert_eq!(commit_rows(&mut world), [("t".to_owned(), first), ("none".to_owned(), all)]);
    assert_eq!(fetched(&mut world, "g"), Ok(i64::MAX));

    let partitions = [0, 7].map(|partition_index| OffsetDeleteRequestPartition { partition_index }).into();
    let topics = vec![OffsetDeleteRequestTopic { name: "t".to_owned(), partitions }];
    world.send(OffsetDeleteRequest { group_id: "g".to_owned(), topics }, 0);
    world.sync_all();
    let Some(AnyResponse::OffsetDelete(response)) = world.answers.pop() else { panic!("no answer") };
    let rows: Vec<_> = response.topics[0].partitions.iter().map(|row| (row.partition_index, row.error_code)).collect();
    assert_eq!((response.topics.len(), rows), (1, vec![(7, unknown.code()), (0, 0)]));
    assert_eq!(fetched(&mut world, "g"), Ok(-1));
}

#[test]
fn commits_of_fenced_and_unknown_members_and_of_stale_generations_change_nothing() {
    let mut world = world();
    let member = join_alone(&mut world, "g");
    assert_eq!(sync(&mut world, &member, Bytes::new()), ErrorCode::None);
    let mut check = |member_id: &str, instance: Option<&str>, generation: i32, expected: ErrorCode| {
        let request = OffsetCommitRequest {
            member_id: member_id.to_owned(),
            group_instance_id: instance.map(str::to_owned),
            generation_id_or_member_epoch: generation,
            ..commit("g", 9)
        };
        world.send(request, 7);
        world.sync_all();
        assert_eq!(committed(&mut world), Some(expected), "{member_id:?} {instance:?} {generation}");
    };
    check("stranger", None, 1, ErrorCode::UnknownMemberId);
    check("", None, -1, ErrorCode::UnknownMemberId);
    check(&member, Some("no such name"), 1, ErrorCode::UnknownMemberId);
    check(&member, None, 0, ErrorCode::IllegalGeneration);
    check(&member, None, 2, ErrorCode::IllegalGeneration);
    check(&member, None, i32::MIN, ErrorCode::IllegalGeneration);
    assert_eq!(fetched(&mut world, "g"), Ok(-1), "nothing was committed");
}

#[test]
fn a_group_id_of_32_kb_is_one_like_any_other() {
    let mut world = world();
    let group = "g".repeat(i16::MAX as usize);
    let member = join_alone(&mut world, &group);
    world.send(commit(&group, 3), 5);
    world.sync_all();
    assert_eq!(committed(&mut world), Some(ErrorCode::UnknownMemberId), "the group has a member");
    let request =
        HeartbeatRequest { group_id: group.clone(), generation_id: 1, member_id: member, ..Default::default() };
    world.send(request, 3);
    world.sync_all();
    let Some(AnyResponse::Heartbeat(response)) = world.answers.pop() else { panic!("no answer") };
    assert_eq!(response.error_code, 0);
    let other = format!("{}h", &group[1..]);
    world.send(commit(&other, 3), 5);
    world.sync_all();
    assert_eq!(committed(&mut world), Some(ErrorCode::None));
    let mut world = world.restart();
    assert_eq!(fetched(&mut world, &other), Ok(3));
}

/// The record would hold more than a batch may: the sender is told, and the group can go on with less.
#[test]
fn an_assignment_of_100_mb_is_refused_and_a_smaller_one_is_not() {
    let mut world = world();
    let member = join_alone(&mut world, "g");
    let huge = Bytes::from(vec![7; 100_000_000]);
    assert_eq!(sync(&mut world, &member, huge), ErrorCode::UnknownServerError);
    assert_eq!(sync(&mut world, &member, Bytes::from_static(b"little")), ErrorCode::None);
}

#[test]
fn a_regular_expression_that_blows_up_is_refused() {
    let mut world = world();
    for regex in [r"(\w{1000}){1000}", "((((a*)*)*)*)*{999}{999}", &"(".repeat(30_000), &"a|".repeat(16_000)] {
        let request = ConsumerGroupHeartbeatRequest {
            group_id: "g".to_owned(),
            member_id: "m".to_owned(),
            rebalance_timeout_ms: 1000,
            subscribed_topic_regex: Some(regex.to_owned()),
            topic_partitions: Some(Vec::new()),
            ..Default::default()
        };
        world.send(request, 1);
        world.sync_all();
        let Some(AnyResponse::ConsumerGroupHeartbeat(response)) = world.answers.pop() else { panic!("no answer") };
        assert_eq!(response.error_code, ErrorCode::InvalidRegularExpression.code(), "{regex:.30}");
    }
}
