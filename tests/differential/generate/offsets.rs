//! Offsets of groups: committed, fetched, deleted.

use highwater_wire::Uuid;
use highwater_wire::offset_commit::{OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use highwater_wire::offset_delete::{OffsetDeleteRequest, OffsetDeleteRequestPartition, OffsetDeleteRequestTopic};
use highwater_wire::offset_fetch::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};

use super::Draw;

/// The first version of OffsetCommit and OffsetFetch that names topics by id.
const TOPIC_ID_VERSION: i16 = 10;

/// The first version of OffsetFetch that asks for several groups.
const GROUPS_VERSION: i16 = 8;

impl Draw<'_> {
    pub(super) fn offset_commit(&mut self) -> OffsetCommitRequest {
        let group_id = self.group_id();
        let group = self.group(&group_id);
        let topics = self.different_topic_names().into_iter().map(|name| self.committed_topic(name)).collect();
        let mut request = OffsetCommitRequest { group_id, topics, ..Default::default() };
        // From outside of the group, as administrators do it, or from a member.
        if self.dice.once_in(3) {
            return request;
        }
        let member = self.member(&group);
        request.generation_id_or_member_epoch = self.near(member.epoch.unwrap_or(group.generation));
        request.member_id = member.id;
        if self.version >= 7 {
            request.group_instance_id = member.instance;
        }
        request
    }

    fn committed_topic(&mut self, name: String) -> OffsetCommitRequestTopic {
        let mut indexes = self.partition_indexes(&name);
        indexes.dedup();
        let partitions = indexes.into_iter().map(|index| self.committed_partition(index)).collect();
        let (name, topic_id) = self.committed_name(name);
        OffsetCommitRequestTopic { name, topic_id, partitions }
    }

    fn committed_partition(&mut self, partition_index: i32) -> OffsetCommitRequestPartition {
        let committed_metadata = match self.dice.below(10) {
            0 => None,
            1 => Some("m".repeat(self.dice.pick(&[4096, 4097]))),
            2 => Some("é".to_owned()),
            _ => Some(String::new()),
        };
        OffsetCommitRequestPartition {
            partition_index,
            committed_offset: self.dice.pick(&[0, 1, 5, 1 << 40, -1, -2, i64::MAX]),
            committed_leader_epoch: if self.version >= 6 { self.dice.pick(&[-1, -1, 0, 7]) } else { -1 },
            committed_metadata,
        }
    }

    fn committed_name(&mut self, name: String) -> (String, Uuid) {
        if self.version < TOPIC_ID_VERSION {
            return (name, Uuid::ZERO);
        }
        let id = self.topic_id(&name);
        (String::new(), id)
    }

    pub(super) fn offset_fetch(&mut self) -> OffsetFetchRequest {
        let mut request = OffsetFetchRequest::default();
        if self.version >= 7 {
            request.require_stable = self.dice.once_in(4);
        }
        if self.version >= GROUPS_VERSION {
            let mut ids = self.group_ids();
            ids.sort();
            ids.dedup();
            request.groups = ids.into_iter().map(|id| self.fetched_group(id)).collect();
            return request;
        }
        request.group_id = self.group_id();
        let is_all = self.version >= 2 && self.dice.once_in(3);
        request.topics = (!is_all).then(|| {
            let names = self.different_topic_names().into_iter();
            let topic = |name: String| OffsetFetchRequestTopic { partition_indexes: self.fetched_indexes(&name), name };
            names.map(topic).collect()
        });
        request
    }

    fn fetched_group(&mut self, group_id: String) -> OffsetFetchRequestGroup {
        let group = self.group(&group_id);
        let mut wanted = OffsetFetchRequestGroup { group_id, ..Default::default() };
        wanted.topics = (!self.dice.once_in(3)).then(|| {
            let names = self.different_topic_names().into_iter();
            let topic = |name: String| {
                let partition_indexes = self.fetched_indexes(&name);
                let (name, topic_id) = self.committed_name(name);
                OffsetFetchRequestTopics { name, topic_id, partition_indexes }
            };
            names.map(topic).collect()
        });
        if self.version >= 9 && self.dice.once_in(3) {
            let member = self.member(&group);
            wanted.member_epoch = self.near(member.epoch.unwrap_or(group.generation));
            wanted.member_id = Some(member.id);
        }
        wanted
    }

    fn fetched_indexes(&mut self, topic: &str) -> Vec<i32> {
        let mut indexes = self.partition_indexes(topic);
        indexes.dedup();
        indexes
    }

    pub(super) fn offset_delete(&mut self) -> OffsetDeleteRequest {
        let group_id = self.group_id();
        let topics = self.different_topic_names().into_iter().map(|name| {
            let indexes = self.fetched_indexes(&name).into_iter();
            let partitions = indexes.map(|partition_index| OffsetDeleteRequestPartition { partition_index });
            OffsetDeleteRequestTopic { partitions: partitions.collect(), name }
        });
        OffsetDeleteRequest { group_id, topics: topics.collect() }
    }
}
