//! Looking offsets up.

use highwater_wire::offset_fetch::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopics, OffsetFetchResponseGroup, OffsetFetchResponsePartitions,
    OffsetFetchResponseTopics,
};
use highwater_wire::{ErrorCode, Uuid};

use super::{Committed, Offsets};
use crate::controller::Image;
use crate::group::GroupCoordinator;

/// What a group has committed. A group that does not exist has committed nothing.
pub(in crate::group) fn fetch(
    coordinator: &GroupCoordinator,
    request: &OffsetFetchRequestGroup,
) -> OffsetFetchResponseGroup {
    let none = Offsets::default();
    let group = coordinator.group(&request.group_id);
    if let Some(consumer) = group.and_then(|group| group.consumer.as_ref())
        && let Err(error) = consumer.validate_fetch(request)
    {
        return fetch_error(request, error);
    }
    let offsets = group.map_or(&none, |group| &group.offsets);
    let topics = match &request.topics {
        Some(topics) => topics.iter().map(|topic| fetch_topic(offsets, coordinator.image(), topic)).collect(),
        None => fetch_all(offsets, coordinator.image()),
    };
    OffsetFetchResponseGroup { group_id: request.group_id.clone(), topics, error_code: 0 }
}

/// Answers with nothing but an error.
pub(in crate::group) fn fetch_error(request: &OffsetFetchRequestGroup, error: ErrorCode) -> OffsetFetchResponseGroup {
    OffsetFetchResponseGroup { group_id: request.group_id.clone(), topics: Vec::new(), error_code: error.code() }
}

fn fetch_topic(offsets: &Offsets, image: &Image, topic: &OffsetFetchRequestTopics) -> OffsetFetchResponseTopics {
    let partitions = topic.partition_indexes.iter().map(|partition| {
        let committed = offsets.get(&topic.name, *partition);
        respond(*partition, committed.filter(|committed| committed.is_current(&topic.name, image)))
    });
    let partitions = partitions.collect();
    OffsetFetchResponseTopics { name: topic.name.clone(), topic_id: topic.topic_id, partitions }
}

fn fetch_all(offsets: &Offsets, image: &Image) -> Vec<OffsetFetchResponseTopics> {
    let mut topics = Vec::new();
    for (name, partitions) in &offsets.0 {
        let current = partitions.iter().filter(|(_, committed)| committed.is_current(name, image));
        let partitions: Vec<_> = current.map(|(partition, committed)| respond(*partition, Some(committed))).collect();
        if !partitions.is_empty() {
            let topic_id = image.topic(name).map_or(Uuid::ZERO, |topic| Uuid(topic.id.0));
            topics.push(OffsetFetchResponseTopics { name: name.to_string(), topic_id, partitions });
        }
    }
    topics
}

fn respond(partition_index: i32, committed: Option<&Committed>) -> OffsetFetchResponsePartitions {
    OffsetFetchResponsePartitions {
        partition_index,
        committed_offset: committed.map_or(-1, |committed| committed.offset),
        committed_leader_epoch: committed.map_or(-1, |committed| committed.leader_epoch),
        metadata: Some(committed.map(|committed| committed.metadata.to_string()).unwrap_or_default()),
        error_code: ErrorCode::None.code(),
    }
}
