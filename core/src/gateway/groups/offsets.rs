//! Committed offsets: topics are looked up in the metadata before the coordinator is asked.
//!
//! Sources: KIP-709 (several groups at once), KIP-516 (topic ids; versions 10 have nothing else).

use highwater_wire::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic, OffsetCommitResponse,
    OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use highwater_wire::offset_delete::{
    OffsetDeleteRequest, OffsetDeleteRequestPartition, OffsetDeleteRequestTopic, OffsetDeleteResponsePartition,
    OffsetDeleteResponseTopic,
};
use highwater_wire::offset_fetch::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopics, OffsetFetchResponse,
    OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions, OffsetFetchResponseTopic,
    OffsetFetchResponseTopics,
};
use highwater_wire::{AnyResponse, ErrorCode, Uuid};

use super::{Assemble, GroupsCall};
use crate::controller::{Image, Topic};
use crate::gateway::call::Context;
use crate::gateway::repeated::merged_rows;
use crate::group::{GroupCall, GroupResponse};
use crate::ids::{PartitionIndex, TopicId};

/// The first version of OffsetCommit and OffsetFetch that names topics by their ids.
const TOPIC_ID_VERSION: i16 = 10;

/// The first version of OffsetFetch that names several groups.
const SEVERAL_GROUPS_VERSION: i16 = 8;

/// The first version of OffsetFetch whose answer has an error of its own, besides those of its partitions.
const GROUP_ERROR_VERSION: i16 = 2;

/// The partitions that are not in the metadata, answered.
pub(super) struct Commit(Vec<OffsetCommitResponseTopic>);

/// For each group, the topics that are not in the metadata, answered.
pub(super) struct Fetch(Vec<Unknown>);

/// What was asked of one group in vain.
#[derive(Default)]
struct Unknown {
    topics: Vec<OffsetFetchResponseTopics>,
    /// What the answer of the first version must name, if the group as a whole fails.
    asked: Vec<(String, Vec<i32>)>,
}

/// The partitions that are not in the metadata, answered.
pub(super) struct Delete(Vec<OffsetDeleteResponseTopic>);

impl GroupsCall {
    /// Stores offsets of the partitions that exist.
    pub(in crate::gateway) fn commit(context: &mut Context<'_>, mut request: OffsetCommitRequest) -> Self {
        let by_id = context.version >= TOPIC_ID_VERSION;
        let mut refused = Vec::new();
        for topic in std::mem::take(&mut request.topics) {
            let found = match find_topic(context.image, by_id, &topic.name, topic.topic_id) {
                Ok(found) => found,
                Err(code) => {
                    refused.push(refuse_commit(topic, code));
                    continue;
                }
            };
            let exists = |one: &OffsetCommitRequestPartition| has_partition(found, one.partition_index);
            let (known, missing) = topic.partitions.into_iter().partition::<Vec<_>, _>(exists);
            let (name, topic_id) = (found.name.to_string(), Uuid(found.id.0));
            if !missing.is_empty() {
                let topic = OffsetCommitRequestTopic { name: name.clone(), topic_id, partitions: missing };
                refused.push(refuse_commit(topic, ErrorCode::UnknownTopicOrPartition));
            }
            if !known.is_empty() {
                request.topics.push(OffsetCommitRequestTopic { name, topic_id, partitions: known });
            }
        }
        let asks = usize::from(!request.topics.is_empty() || refused.is_empty());
        let mut call = Self::new(Assemble::Commit(Commit(refused)), asks);
        if asks > 0 {
            let group = request.group_id.clone();
            call.ask(context, &group, GroupCall::OffsetCommit { version: context.version, request });
        }
        call
    }

    /// Looks offsets up, for one group or several.
    pub(in crate::gateway) fn fetch(context: &mut Context<'_>, request: OffsetFetchRequest) -> Self {
        let groups = if context.version >= SEVERAL_GROUPS_VERSION { request.groups } else { vec![only_group(request)] };
        let mut asks = Vec::with_capacity(groups.len());
        let mut unknown = Vec::with_capacity(groups.len());
        for group in groups {
            let (ask, without) = resolve_group(context, group);
            asks.push(ask);
            unknown.push(without);
        }
        let mut call = Self::new(Assemble::Fetch(Fetch(unknown)), asks.len());
        for ask in asks {
            let group = ask.group_id.clone();
            call.ask(context, &group, GroupCall::OffsetFetch(ask));
        }
        call
    }

    /// Forgets offsets of the partitions that exist.
    pub(in crate::gateway) fn delete_offsets(context: &mut Context<'_>, mut request: OffsetDeleteRequest) -> Self {
        let mut refused = Vec::new();
        for OffsetDeleteRequestTopic { name, partitions } in std::mem::take(&mut request.topics) {
            let found = context.image.topic(&name);
            let exists = |one: &OffsetDeleteRequestPartition| {
                found.is_some_and(|topic| has_partition(topic, one.partition_index))
            };
            let (known, missing) = partitions.into_iter().partition::<Vec<_>, _>(exists);
            if !missing.is_empty() {
                refused.push(refuse_delete(OffsetDeleteRequestTopic { name: name.clone(), partitions: missing }));
            }
            if !known.is_empty() {
                request.topics.push(OffsetDeleteRequestTopic { name, partitions: known });
            }
        }
        // Even where nothing is left to delete: only its coordinator knows whether there is such a group.
        let mut call = Self::new(Assemble::Delete(Delete(refused)), 1);
        let group = request.group_id.clone();
        call.ask(context, &group, GroupCall::OffsetDelete(request));
        call
    }
}

impl Commit {
    /// The answer, from what the coordinator says of the other topics, if it was asked.
    pub(super) fn end(self, answer: Option<GroupResponse>) -> AnyResponse {
        let answered = match answer {
            None => Vec::new(),
            Some(GroupResponse::OffsetCommit(response)) => response.topics,
            Some(answer) => unreachable!("not an answer to what was asked: {answer:?}"),
        };
        if self.0.is_empty() {
            return OffsetCommitResponse { topics: answered, ..Default::default() }.into();
        }
        let rows = self.0.into_iter().chain(answered);
        let topic_of = |row: &OffsetCommitResponseTopic| (row.name.clone(), row.topic_id);
        let topics = merged_rows(rows, topic_of, |row| &mut row.partitions);
        OffsetCommitResponse { topics, ..Default::default() }.into()
    }
}

impl Fetch {
    /// The answer, from what each group's coordinator says.
    pub(super) fn end(self, answers: Vec<GroupResponse>, version: i16) -> AnyResponse {
        let groups = answers.into_iter().zip(self.0).map(|(answer, unknown)| {
            let GroupResponse::OffsetFetch(mut group) = answer else {
                unreachable!("not an answer to what was asked: {answer:?}")
            };
            if group.error_code == ErrorCode::None.code() {
                group.topics.extend(unknown.topics);
            } else if version < GROUP_ERROR_VERSION {
                group.topics = unknown.asked.into_iter().map(|topic| refuse_fetch(topic, group.error_code)).collect();
            }
            group
        });
        let mut groups: Vec<OffsetFetchResponseGroup> = groups.collect();
        if version >= SEVERAL_GROUPS_VERSION {
            return OffsetFetchResponse { groups, ..Default::default() }.into();
        }
        let group = groups.remove(0);
        let topics = group.topics.into_iter().map(old_topic).collect();
        OffsetFetchResponse { topics, error_code: group.error_code, ..Default::default() }.into()
    }
}

impl Delete {
    /// The answer, from what the coordinator says of the other topics.
    pub(super) fn end(self, answer: GroupResponse) -> AnyResponse {
        let GroupResponse::OffsetDelete(mut response) = answer else {
            unreachable!("not an answer to what was asked: {answer:?}")
        };
        if response.error_code == ErrorCode::None.code() && !self.0.is_empty() {
            let rows = self.0.into_iter().chain(response.topics);
            response.topics = merged_rows(rows, |row| row.name.clone(), |row| &mut row.partitions);
        }
        response.into()
    }
}

/// A topic, by the one of name and id that the version has.
fn find_topic<'a>(image: &'a Image, by_id: bool, name: &str, id: Uuid) -> Result<&'a Topic, ErrorCode> {
    if by_id {
        image.topic_by_id(TopicId(id.0)).ok_or(ErrorCode::UnknownTopicId)
    } else {
        image.topic(name).ok_or(ErrorCode::UnknownTopicOrPartition)
    }
}

fn has_partition(topic: &Topic, index: i32) -> bool {
    topic.partition(PartitionIndex(index)).is_some()
}

fn only_group(request: OffsetFetchRequest) -> OffsetFetchRequestGroup {
    let topics = request.topics.map(|topics| {
        let topics = topics.into_iter().map(|topic| OffsetFetchRequestTopics {
            name: topic.name,
            topic_id: Uuid::ZERO,
            partition_indexes: topic.partition_indexes,
        });
        topics.collect()
    });
    OffsetFetchRequestGroup { group_id: request.group_id, topics, ..Default::default() }
}

/// What to ask a group's coordinator, and the answer for topic ids that no topic has. A name that no topic has is asked
/// all the same: the group may have read the topic once.
fn resolve_group(context: &Context<'_>, mut group: OffsetFetchRequestGroup) -> (OffsetFetchRequestGroup, Unknown) {
    let by_id = context.version >= TOPIC_ID_VERSION;
    let mut unknown = Unknown::default();
    let Some(named) = group.topics.take() else { return (group, unknown) };
    let mut topics = Vec::with_capacity(named.len());
    for mut topic in named {
        match find_topic(context.image, by_id, &topic.name, topic.topic_id) {
            Ok(found) => (topic.name, topic.topic_id) = (found.name.to_string(), Uuid(found.id.0)),
            Err(code) if by_id => {
                unknown.topics.push(refused_topic(topic, code));
                continue;
            }
            Err(_) => {}
        }
        if context.version < GROUP_ERROR_VERSION {
            unknown.asked.push((topic.name.clone(), topic.partition_indexes.clone()));
        }
        topics.push(topic);
    }
    group.topics = Some(topics);
    (group, unknown)
}

fn refuse_commit(topic: OffsetCommitRequestTopic, code: ErrorCode) -> OffsetCommitResponseTopic {
    let partitions = topic.partitions.iter().map(|partition| OffsetCommitResponsePartition {
        partition_index: partition.partition_index,
        error_code: code.code(),
    });
    let partitions = partitions.collect();
    OffsetCommitResponseTopic { name: topic.name, topic_id: topic.topic_id, partitions }
}

fn refuse_delete(topic: OffsetDeleteRequestTopic) -> OffsetDeleteResponseTopic {
    let partitions = topic.partitions.iter().map(|partition| OffsetDeleteResponsePartition {
        partition_index: partition.partition_index,
        error_code: ErrorCode::UnknownTopicOrPartition.code(),
    });
    let partitions = partitions.collect();
    OffsetDeleteResponseTopic { name: topic.name, partitions }
}

fn refused_topic(topic: OffsetFetchRequestTopics, code: ErrorCode) -> OffsetFetchResponseTopics {
    let partitions = topic.partition_indexes.into_iter().map(|partition| refused_partition(partition, code.code()));
    let partitions = partitions.collect();
    OffsetFetchResponseTopics { name: topic.name, topic_id: topic.topic_id, partitions }
}

fn refuse_fetch((name, partitions): (String, Vec<i32>), error_code: i16) -> OffsetFetchResponseTopics {
    let partitions = partitions.into_iter().map(|partition| refused_partition(partition, error_code)).collect();
    OffsetFetchResponseTopics { name, partitions, ..Default::default() }
}

fn refused_partition(partition_index: i32, error_code: i16) -> OffsetFetchResponsePartitions {
    OffsetFetchResponsePartitions {
        partition_index,
        committed_offset: -1,
        metadata: Some(String::new()),
        error_code,
        ..Default::default()
    }
}

fn old_topic(topic: OffsetFetchResponseTopics) -> OffsetFetchResponseTopic {
    let partitions = topic.partitions.into_iter().map(|partition| OffsetFetchResponsePartition {
        partition_index: partition.partition_index,
        committed_offset: partition.committed_offset,
        committed_leader_epoch: partition.committed_leader_epoch,
        metadata: partition.metadata,
        error_code: partition.error_code,
    });
    let partitions = partitions.collect();
    OffsetFetchResponseTopic { name: topic.name, partitions }
}
