//! Committing offsets, and forgetting them on request.

use highwater_wire::group_records::{OffsetCommitKey, OffsetCommitValue};
use highwater_wire::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic, OffsetCommitResponse,
    OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use highwater_wire::offset_delete::{
    OffsetDeleteRequest, OffsetDeleteRequestTopic, OffsetDeleteResponse, OffsetDeleteResponsePartition,
    OffsetDeleteResponseTopic,
};
use highwater_wire::{ErrorCode, GroupRecord};

use super::{committed, remove};
use crate::group::classic::{ClassicGroup, State};
use crate::group::draft::Draft;
use crate::group::machine::Group;
use crate::group::timers::GroupTimer;
use crate::time::WallMs;

/// From this version on, a commit to a group that does not exist says so.
const MISSING_GROUP_HAS_A_CODE: i16 = 9;

/// Decides an OffsetCommit request: who may not commit commits nothing, what is too long fails by itself.
pub(in crate::group) fn decide_commit(
    draft: &mut Draft<'_>,
    version: i16,
    request: &OffsetCommitRequest,
) -> OffsetCommitResponse {
    match validate_commit(draft, version, request) {
        Ok(()) => respond(request, |topic, partition| commit_one(draft, request, topic, partition)),
        Err(error) => commit_error(request, error),
    }
}

/// Answers every partition with the same error.
pub(in crate::group) fn commit_error(request: &OffsetCommitRequest, error: ErrorCode) -> OffsetCommitResponse {
    respond(request, |_, _| error)
}

fn respond(
    request: &OffsetCommitRequest,
    mut outcome: impl FnMut(&OffsetCommitRequestTopic, &OffsetCommitRequestPartition) -> ErrorCode,
) -> OffsetCommitResponse {
    let mut respond_topic = |topic: &OffsetCommitRequestTopic| {
        let partitions = topic.partitions.iter().map(|partition| OffsetCommitResponsePartition {
            partition_index: partition.partition_index,
            error_code: outcome(topic, partition).code(),
        });
        let partitions = partitions.collect();
        OffsetCommitResponseTopic { name: topic.name.clone(), topic_id: topic.topic_id, partitions }
    };
    let topics = request.topics.iter().map(&mut respond_topic).collect();
    OffsetCommitResponse { topics, ..OffsetCommitResponse::default() }
}

fn validate_commit(draft: &mut Draft<'_>, version: i16, request: &OffsetCommitRequest) -> Result<(), ErrorCode> {
    let coordinator = draft.coordinator;
    let Some((id, group)) = coordinator.groups().get_key_value(request.group_id.as_str()) else {
        return match request.generation_id_or_member_epoch {
            ..0 => Ok(()),
            _ if version >= MISSING_GROUP_HAS_A_CODE => Err(ErrorCode::GroupIdNotFound),
            _ => Err(ErrorCode::IllegalGeneration),
        };
    };
    if let Some(consumer) = &group.consumer {
        return consumer.validate_commit(version, request);
    }
    let classic = group.classic();
    validate_classic_commit(&classic, request)?;
    if matches!(classic.state, State::Stable | State::PreparingRebalance(_))
        && let Some(member) = classic.member(&request.member_id)
    {
        draft.set_timer(id, GroupTimer::Session(member.id.clone()), member.session_timeout);
    }
    Ok(())
}

fn validate_classic_commit(group: &ClassicGroup, request: &OffsetCommitRequest) -> Result<(), ErrorCode> {
    let generation = request.generation_id_or_member_epoch;
    let is_anonymous = generation < 0 && request.member_id.is_empty() && request.group_instance_id.is_none();
    match group.state {
        // Administrators, and consumers that assign partitions by themselves.
        State::Empty if generation < 0 => return Ok(()),
        State::PreparingRebalance(_) | State::CompletingRebalance | State::Stable if is_anonymous => {
            return Err(ErrorCode::UnknownMemberId);
        }
        _ => {}
    }
    group.validate_member(&request.member_id, request.group_instance_id.as_deref())?;
    if generation != group.generation {
        return Err(ErrorCode::IllegalGeneration);
    }
    match group.state {
        State::CompletingRebalance => Err(ErrorCode::RebalanceInProgress),
        State::Empty | State::PreparingRebalance(_) | State::Stable => Ok(()),
    }
}

fn commit_one(
    draft: &mut Draft<'_>,
    request: &OffsetCommitRequest,
    topic: &OffsetCommitRequestTopic,
    partition: &OffsetCommitRequestPartition,
) -> ErrorCode {
    let metadata = partition.committed_metadata.as_deref().unwrap_or_default();
    // Kafka's limit counts as Java does.
    if metadata.encode_utf16().count() > draft.config().offset_metadata_max_bytes {
        return ErrorCode::OffsetMetadataTooLarge;
    }
    let WallMs(now) = draft.now.wall;
    let key = OffsetCommitKey {
        group: request.group_id.clone(),
        topic: topic.name.clone(),
        partition: partition.partition_index,
    };
    let value = OffsetCommitValue {
        offset: partition.committed_offset,
        leader_epoch: partition.committed_leader_epoch,
        metadata: metadata.to_owned(),
        commit_timestamp: now,
        expire_timestamp: match request.retention_time_ms {
            -1 => -1,
            retention => now.saturating_add(retention),
        },
        topic_id: topic.topic_id,
    };
    draft.event(committed(&request.group_id, &topic.name, partition.partition_index, partition.committed_offset));
    draft.record(GroupRecord::OffsetCommit(key, Some(value)));
    ErrorCode::None
}

/// Decides an OffsetDelete request.
pub(in crate::group) fn decide_delete(draft: &mut Draft<'_>, request: &OffsetDeleteRequest) -> OffsetDeleteResponse {
    let coordinator = draft.coordinator;
    let group = match coordinator.group(&request.group_id) {
        _ if request.group_id.is_empty() => Err(ErrorCode::InvalidGroupId),
        None => Err(ErrorCode::GroupIdNotFound),
        Some(group) if group.classic.as_ref().is_some_and(is_busy) => Err(ErrorCode::NonEmptyGroup),
        Some(group) => Ok(group),
    };
    match group {
        Ok(group) => {
            let topics = request.topics.iter().map(|topic| delete_topic(draft, request, group, topic)).collect();
            OffsetDeleteResponse { topics, ..OffsetDeleteResponse::default() }
        }
        Err(error) => OffsetDeleteResponse { error_code: error.code(), ..OffsetDeleteResponse::default() },
    }
}

/// Whether it has members of which it cannot be told what they read.
fn is_busy(group: &ClassicGroup) -> bool {
    group.state != State::Empty && !group.uses_consumer_protocol()
}

fn delete_topic(
    draft: &mut Draft<'_>,
    request: &OffsetDeleteRequest,
    group: &Group,
    topic: &OffsetDeleteRequestTopic,
) -> OffsetDeleteResponseTopic {
    let is_read = group.is_subscribed_to(&topic.name);
    let error = if is_read { ErrorCode::GroupSubscribedToTopic } else { ErrorCode::None };
    let mut partitions = Vec::with_capacity(topic.partitions.len());
    for partition in &topic.partitions {
        let partition_index = partition.partition_index;
        if !is_read && group.offsets.get(&topic.name, partition_index).is_some() {
            remove(draft, &request.group_id, &topic.name, partition_index);
        }
        partitions.push(OffsetDeleteResponsePartition { partition_index, error_code: error.code() });
    }
    OffsetDeleteResponseTopic { name: topic.name.clone(), partitions }
}
