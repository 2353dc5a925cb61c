//! Computes what everybody is to own.

use std::collections::BTreeMap;

use highwater_wire::GroupRecord;
use highwater_wire::group_records::{
    ConsumerGroupTargetAssignmentMemberKey, ConsumerGroupTargetAssignmentMemberValue,
    ConsumerGroupTargetAssignmentMetadataKey, ConsumerGroupTargetAssignmentMetadataValue,
};

use super::assignor::{self, Input, Subscriber};
use super::member::assignment_to;
use super::{Assignment, Consumer, ConsumerGroup};
use crate::controller::Image;
use crate::group::MemberId;

impl Consumer<'_, '_> {
    /// Computes targets for the group's epoch, unless they are there.
    pub(super) fn update_targets(&mut self) {
        if self.group.epoch <= self.group.assignment_epoch {
            return;
        }
        let targets = self.group.compute_targets(self.draft.coordinator.image());
        for (member, target) in targets {
            if *self.group.target(&member) != target {
                self.record_target(&member, &target);
            }
        }
        self.record_target_epoch(self.group.epoch);
    }

    pub(super) fn record_target(&mut self, member: &MemberId, target: &Assignment) {
        let key =
            ConsumerGroupTargetAssignmentMemberKey { group_id: self.id.to_string(), member_id: member.to_string() };
        let value = ConsumerGroupTargetAssignmentMemberValue { topic_partitions: assignment_to(target) };
        self.record(GroupRecord::ConsumerGroupTargetAssignmentMember(key, Some(value)));
    }

    pub(super) fn record_target_epoch(&mut self, assignment_epoch: i32) {
        let key = ConsumerGroupTargetAssignmentMetadataKey { group_id: self.id.to_string() };
        let assignment_timestamp = self.draft.now.wall.0;
        let value = ConsumerGroupTargetAssignmentMetadataValue { assignment_epoch, assignment_timestamp };
        self.record(GroupRecord::ConsumerGroupTargetAssignmentMetadata(key, Some(value)));
    }
}

impl ConsumerGroup {
    /// The assignor that most members ask for.
    pub(super) fn preferred_assignor(&self) -> &str {
        let mut votes = BTreeMap::<&str, usize>::new();
        for name in self.members().filter_map(|member| member.assignor.as_deref()) {
            *votes.entry(name).or_default() += 1;
        }
        votes.into_iter().max_by_key(|(_, count)| *count).map_or(assignor::DEFAULT, |(name, _)| name)
    }

    fn compute_targets(&self, image: &Image) -> BTreeMap<MemberId, Assignment> {
        let mut partition_counts = BTreeMap::new();
        let subscribers = self.members().map(|member| {
            let topics = self.wanted_ids(member, image);
            partition_counts.extend(topics.iter().filter_map(|topic| {
                let count = image.topic_by_id(*topic)?.partition_count();
                Some((*topic, i32::try_from(count).expect("partitions are numbered by an i32")))
            }));
            let target = self.target(&member.id);
            Subscriber { id: member.id.clone(), instance_id: member.instance_id.clone(), topics, target }
        });
        let subscribers = subscribers.collect();
        assignor::assign(self.preferred_assignor(), &Input { subscribers, partition_counts })
    }
}
