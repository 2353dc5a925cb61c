//! Group coordinators in their shard: when they begin, what their answers wait for, how they end.

use highwater_wire::delete_groups::DeleteGroupsRequest;
use highwater_wire::describe_groups::DescribeGroupsRequest;
use highwater_wire::find_coordinator::{FindCoordinatorRequest, FindCoordinatorResponse};
use highwater_wire::join_group::{JoinGroupRequest, JoinGroupRequestProtocol};
use highwater_wire::leave_group::LeaveGroupRequest;
use highwater_wire::list_groups::ListGroupsRequest;
use highwater_wire::offset_commit::{OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use highwater_wire::offset_delete::{OffsetDeleteRequest, OffsetDeleteRequestPartition, OffsetDeleteRequestTopic};
use highwater_wire::offset_fetch::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use highwater_wire::sync_group::SyncGroupRequest;
use highwater_wire::{ErrorCode, Uuid};

use super::*;
use crate::controller::OFFSETS_TOPIC;
use crate::ids::PartitionId;

/// A broker with a topic `t`, whose coordinators have begun.
pub(super) fn world() -> World {
    let mut world = World::new();
    find(&mut world, "g");
    world.sync_all();
    world
}

/// The same, in which group `g` has committed 7.
fn world_with_commit() -> World {
    let mut world = world();
    world.send(commit("g", 7), 5);
    world.sync_all();
    assert_eq!(committed(&mut world), Some(ErrorCode::None));
    world
}

fn find(world: &mut World, group: &str) -> FindCoordinatorResponse {
    world.send(FindCoordinatorRequest { key: group.to_owned(), ..Default::default() }, 2);
    match world.answers.pop() {
        Some(AnyResponse::FindCoordinator(response)) => response,
        other => panic!("not an answer to FindCoordinator: {other:?}"),
    }
}

/// A commit by somebody who is in no group.
pub(super) fn commit(group: &str, offset: i64) -> OffsetCommitRequest {
    let partition = OffsetCommitRequestPartition { committed_offset: offset, ..Default::default() };
    let topic = OffsetCommitRequestTopic { name: "t".to_owned(), partitions: vec![partition], ..Default::default() };
    OffsetCommitRequest { group_id: group.to_owned(), topics: vec![topic], ..Default::default() }
}

/// The error of the commit that was answered last, if one was.
pub(super) fn committed(world: &mut World) -> Option<ErrorCode> {
    match world.answers.pop()? {
        AnyResponse::OffsetCommit(response) => {
            Some(ErrorCode::try_from(response.topics[0].partitions[0].error_code).unwrap())
        }
        other => panic!("not an answer to a commit: {other:?}"),
    }
}

/// What a group has committed of the first partition of `t`, or why that is not told.
pub(super) fn fetched(world: &mut World, group: &str) -> Result<i64, ErrorCode> {
    let topic = OffsetFetchRequestTopics { name: "t".to_owned(), partition_indexes: vec![0], ..Default::default() };
    let wanted =
        OffsetFetchRequestGroup { group_id: group.to_owned(), topics: Some(vec![topic]), ..Default::default() };
    world.send(OffsetFetchRequest { groups: vec![wanted], ..Default::default() }, 8);
    let Some(AnyResponse::OffsetFetch(response)) = world.answers.pop() else { panic!("no answer") };
    match ErrorCode::try_from(response.groups[0].error_code).unwrap() {
        ErrorCode::None => Ok(response.groups[0].topics[0].partitions[0].committed_offset),
        code => Err(code),
    }
}

fn join(group: &str, member_id: &str) -> JoinGroupRequest {
    JoinGroupRequest {
        group_id: group.to_owned(),
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: 60_000,
        member_id: member_id.to_owned(),
        protocol_type: "consumer".to_owned(),
        protocols: vec![JoinGroupRequestProtocol { name: "range".to_owned(), metadata: Bytes::new() }],
        ..Default::default()
    }
}

/// Joins a group alone, by the last version that needs no id first, and says the member's id.
pub(super) fn join_alone(world: &mut World, group: &str) -> String {
    world.send(join(group, ""), 3);
    world.sync_all();
    match world.answers.pop() {
        Some(AnyResponse::JoinGroup(response)) => {
            assert_eq!(response.error_code, 0, "{response:?}");
            response.member_id
        }
        other => panic!("not an answer to a join: {other:?}"),
    }
}

/// The broker registers anew, so that its partitions have a new leader epoch.
fn begin_epoch(world: &mut World, incarnation: u128) {
    let config = Arc::clone(&world.shard.config);
    world.controller_decides(Request::Register(Registration::new(&config, Incarnation(incarnation), 1)));
    world.publish();
}

/// Runs the jobs that were held back.
fn run_held_jobs(world: &mut World) {
    for (job, work) in world.held_jobs.take().unwrap() {
        world.handle(Input::JobDone { job, output: work.run() });
    }
    world.sync_all();
}

#[test]
fn the_first_group_that_is_looked_for_has_the_topic_made() {
    let mut world = World::new();
    let found = find(&mut world, "g");
    assert_eq!((found.error_code, found.node_id, found.port), (0, 1, 9092));
    let topic = world.controller.image().topic(OFFSETS_TOPIC).unwrap();
    assert_eq!((topic.partition_count(), topic.is_internal()), (16, true));
    assert!(topic.config.cleanup_policy.compact && !topic.config.cleanup_policy.delete);
}

#[test]
fn before_the_topic_is_made_there_is_no_coordinator() {
    let mut world = World::new();
    world.send(commit("g", 7), 5);
    assert_eq!(committed(&mut world), Some(ErrorCode::NotCoordinator));
    world.send(ListGroupsRequest::default(), 4);
    let Some(AnyResponse::ListGroups(response)) = world.answers.pop() else { panic!("no answer") };
    assert_eq!((response.error_code, response.groups.len()), (0, 0));
}

#[test]
fn a_commit_is_answered_after_its_sync_and_so_is_what_saw_it() {
    let mut world = world();
    world.send(commit("g", 7), 5);
    assert_eq!(committed(&mut world), None, "nothing is durable yet");
    let topic = OffsetFetchRequestTopic { name: "t".to_owned(), partition_indexes: vec![0] };
    world.send(OffsetFetchRequest { group_id: "g".to_owned(), topics: Some(vec![topic]), ..Default::default() }, 5);
    assert!(world.answers.is_empty(), "the answer would tell of a commit that may be lost");
    world.sync_all();
    let Some(AnyResponse::OffsetFetch(response)) = world.answers.pop() else { panic!("no answer") };
    assert_eq!(response.topics[0].partitions[0].committed_offset, 7);
    assert_eq!(committed(&mut world), Some(ErrorCode::None));
}

#[test]
fn what_was_committed_is_there_after_a_restart() {
    let mut world = world_with_commit().restart();
    assert_eq!(fetched(&mut world, "g"), Ok(7));
    assert_eq!(fetched(&mut world, "other"), Ok(-1));
}

/// The first segment of the partition that group `g` belongs to: 103, its hash, modulo 16.
fn segment_of_g(world: &World) -> LogPath {
    let topic = world.controller.image().topic(OFFSETS_TOPIC).unwrap().id;
    let partition = PartitionId { topic, index: PartitionIndex(7) };
    directory::path_of(OFFSETS_TOPIC, partition).join("00000000000000000000.log")
}

/// A log taken over from Kafka: a record of a share group and a tombstone of a streams group ended the broker.
#[test]
fn records_of_kinds_that_are_not_known_are_skipped_and_counted() {
    let world = world_with_commit();
    let mut foreign = BatchBuilder::new(Compression::None).base_offset(1);
    for (offset, kind, value) in [(1, 11, Some(Bytes::from_static(b"\0\0?"))), (2, 20, None)] {
        let key = Some(Bytes::copy_from_slice(&[0, kind, b'?']));
        foreign.push(&Record { offset, timestamp: 1_000_000, key, value, headers: Vec::new() });
    }
    let segment = segment_of_g(&world);
    let mut world = world.restart_on(|disk| {
        let log = disk.bytes_mut(&segment).unwrap();
        let (mut batch, epoch) = (foreign.build().to_vec(), log[12..16].to_vec());
        batch[12..16].copy_from_slice(&epoch);
        log.extend(batch);
    });
    assert_eq!(fetched(&mut world, "g"), Ok(7));
    let loaded =
        |event: &&Event| matches!(event, Event::CoordinatorLoaded { skipped: 2, log_end_offset: Offset(3), .. });
    assert_eq!(world.events.iter().filter(loaded).count(), 1);
    world.send(commit("g", 8), 5);
    world.sync_all();
    assert_eq!(committed(&mut world), Some(ErrorCode::None));
}

/// Seed 151 of the simulator's groups: an epoch that began on a full disk had no coordinator, however much room there was
/// later.
#[test]
fn a_coordinator_begins_on_a_full_disk_and_writes_when_there_is_room() {
    let mut world = world_with_commit().restart_on(|disk| disk.set_capacity(disk.used()));
    assert_eq!(fetched(&mut world, "g"), Ok(7), "what is there can be read");
    world.send(commit("g", 8), 5);
    assert_eq!(committed(&mut world), Some(ErrorCode::NotCoordinator));
    world.shard.partitions.disk_mut().set_capacity(u64::MAX);
    world.advance(Duration::from_secs(60));
    world.send(commit("g", 9), 5);
    world.sync_all();
    assert_eq!(committed(&mut world), Some(ErrorCode::None));
    assert_eq!(fetched(&mut world, "g"), Ok(9));
}

#[test]
fn a_coordinator_that_reads_its_log_tells_clients_to_come_back() {
    let mut world = world_with_commit();
    world.held_jobs = Some(Vec::new());
    begin_epoch(&mut world, 99);
    assert_eq!(fetched(&mut world, "g"), Err(ErrorCode::CoordinatorLoadInProgress));
    world.send(commit("g", 8), 5);
    assert_eq!(committed(&mut world), Some(ErrorCode::CoordinatorLoadInProgress));
    world.send(ListGroupsRequest::default(), 4);
    let Some(AnyResponse::ListGroups(response)) = world.answers.pop() else { panic!("no answer") };
    assert_eq!(response.error_code, ErrorCode::CoordinatorLoadInProgress.code());
    run_held_jobs(&mut world);
    assert_eq!(fetched(&mut world, "g"), Ok(7));
}

#[test]
fn a_part_of_the_log_that_comes_after_the_epoch_is_of_no_interest() {
    let mut world = world_with_commit();
    world.held_jobs = Some(Vec::new());
    begin_epoch(&mut world, 99);
    begin_epoch(&mut world, 100);
    assert_eq!(world.held_jobs.as_ref().unwrap().len(), 2, "each epoch reads for itself");
    run_held_jobs(&mut world);
    assert_eq!(fetched(&mut world, "g"), Ok(7));
}

#[test]
fn a_new_epoch_answers_what_waits_for_members_and_what_waits_for_its_sync() {
    let mut world = world();
    let first = join_alone(&mut world, "g");
    world.send(join("g", ""), 3);
    world.send(commit("h", 7), 5);
    assert!(world.answers.is_empty(), "one waits for {first}, the other for its sync");
    begin_epoch(&mut world, 99);
    assert_eq!(committed(&mut world), Some(ErrorCode::NotCoordinator));
    let Some(AnyResponse::JoinGroup(second)) = world.answers.pop() else { panic!("no answer") };
    assert_eq!(second.error_code, ErrorCode::NotCoordinator.code());
}

#[test]
fn a_member_outlives_its_connection_until_its_session_ends() {
    let mut world = world();
    let first = join_alone(&mut world, "g");
    // The second waits for the first, and goes away.
    world.send(join("g", ""), 3);
    world.asked.clear();
    world.handle(Input::Connection(CLIENT, ConnectionInput::Closed));
    let peer = IpAddr::V4(Ipv4Addr::LOCALHOST);
    world.handle(Input::Connection(CLIENT, ConnectionInput::Opened { listener: 0, peer }));
    let members = |world: &mut World| {
        world.send(DescribeGroupsRequest { groups: vec!["g".to_owned()], ..Default::default() }, 5);
        let Some(AnyResponse::DescribeGroups(response)) = world.answers.pop() else { panic!("no answer") };
        (response.groups[0].group_state.clone(), response.groups[0].members.len())
    };
    assert_eq!(members(&mut world), ("PreparingRebalance".to_owned(), 2));
    world.send(LeaveGroupRequest { group_id: "g".to_owned(), member_id: first, ..Default::default() }, 2);
    world.sync_all();
    let Some(AnyResponse::LeaveGroup(left)) = world.answers.pop() else { panic!("no answer") };
    assert_eq!(left.error_code, 0);
    world.advance(Duration::from_secs(61));
    world.sync_all();
    assert_eq!(members(&mut world), ("Empty".to_owned(), 0));
}

#[test]
fn groups_of_several_coordinators_are_answered_in_the_order_of_the_request() {
    let mut world = world();
    let names: Vec<String> = (0..20).map(|n| format!("group-{}", n * 7 % 20)).collect();
    for name in &names {
        world.send(commit(name, 1), 5);
    }
    world.sync_all();
    world.answers.clear();
    world.send(DescribeGroupsRequest { groups: names.clone(), include_authorized_operations: true }, 5);
    let Some(AnyResponse::DescribeGroups(response)) = world.answers.pop() else { panic!("no answer") };
    let described: Vec<_> = response.groups.iter().map(|group| group.group_id.clone()).collect();
    assert_eq!(described, names);
    world.send(ListGroupsRequest::default(), 4);
    let Some(AnyResponse::ListGroups(response)) = world.answers.pop() else { panic!("no answer") };
    assert_eq!(response.groups.len(), names.len());
    world.send(DeleteGroupsRequest { groups_names: [&names[..], &["none".to_owned()]].concat() }, 2);
    world.sync_all();
    let Some(AnyResponse::DeleteGroups(response)) = world.answers.pop() else { panic!("no answer") };
    let codes: Vec<_> = response.results.iter().map(|result| result.error_code).collect();
    assert_eq!(codes[..20], [0; 20]);
    assert_eq!(codes[20], ErrorCode::GroupIdNotFound.code());
}

#[test]
fn commits_name_topics_by_id_from_version_10_on() {
    let mut world = world();
    let id = world.controller.image().topic("t").unwrap().id;
    let mut request = commit("g", 7);
    let topic = OffsetCommitRequestTopic { topic_id: Uuid(id.0), name: String::new(), ..request.topics.remove(0) };
    let unknown = OffsetCommitRequestTopic { topic_id: Uuid(77), ..topic.clone() };
    request.topics = vec![unknown, topic];
    world.send(request, 10);
    world.sync_all();
    let Some(AnyResponse::OffsetCommit(response)) = world.answers.pop() else { panic!("no answer") };
    let rows: Vec<_> = response.topics.iter().map(|topic| (topic.topic_id, topic.partitions[0].error_code)).collect();
    assert_eq!(rows, [(Uuid(77), ErrorCode::UnknownTopicId.code()), (Uuid(id.0), 0)]);
    assert_eq!(fetched(&mut world, "g"), Ok(7));
}

#[test]
fn a_stop_answers_who_waits_for_members() {
    let mut world = world();
    join_alone(&mut world, "g");
    world.send(join("g", ""), 3);
    world.handle(Input::Stop);
    world.sync_all();
    let Some(AnyResponse::JoinGroup(response)) = world.answers.pop() else { panic!("no answer") };
    assert_eq!(response.error_code, ErrorCode::NotCoordinator.code());
    assert!(matches!(world.halt, Some(Halt::Stopped)));
}

/// The differential test found it: a group that does not exist is told before topics that do not exist either.
#[test]
fn deleting_offsets_of_nothing_tells_whether_the_group_exists() {
    let mut world = world();
    let partitions = vec![OffsetDeleteRequestPartition::default()];
    let topics = vec![OffsetDeleteRequestTopic { name: "none".to_owned(), partitions }];
    world.send(OffsetDeleteRequest { group_id: "none".to_owned(), topics }, 0);
    let Some(AnyResponse::OffsetDelete(response)) = world.answers.pop() else { panic!("no answer") };
    assert_eq!((response.error_code, response.topics.len()), (ErrorCode::GroupIdNotFound.code(), 0));
}

/// The differential test found it: from version 5 on, a member that leaves its protocol out agrees with no group.
#[test]
fn a_sync_must_name_its_protocol_from_version_5_on() {
    let mut world = world();
    world.send(join("g", ""), 2);
    world.sync_all();
    let Some(AnyResponse::JoinGroup(joined)) = world.answers.pop() else { panic!("no answer") };
    let sync = SyncGroupRequest {
        group_id: "g".to_owned(),
        generation_id: joined.generation_id,
        member_id: joined.member_id,
        ..Default::default()
    };
    for (version, expected) in [(5, ErrorCode::InconsistentGroupProtocol), (4, ErrorCode::None)] {
        world.send(sync.clone(), version);
        world.sync_all();
        let Some(AnyResponse::SyncGroup(response)) = world.answers.pop() else { panic!("no answer") };
        assert_eq!(response.error_code, expected.code(), "version {version}");
    }
}
