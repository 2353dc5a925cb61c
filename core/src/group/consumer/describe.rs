//! A consumer group as administrators see it.

use std::collections::BTreeSet;

use highwater_wire::consumer_group_describe::{Assignment as Described, DescribedGroup, Member, TopicPartitions};
use highwater_wire::{ErrorCode, Uuid};

use super::{Assignment, ConsumerGroup, ConsumerMember};
use crate::controller::Image;
use crate::group::GroupCoordinator;

/// Describes groups.
pub(in crate::group) fn describe(coordinator: &GroupCoordinator, ids: &[String]) -> Vec<DescribedGroup> {
    ids.iter().map(|id| describe_one(coordinator, id)).collect()
}

fn describe_one(coordinator: &GroupCoordinator, id: &str) -> DescribedGroup {
    let group = coordinator.group(id);
    let Some((group, consumer)) = group.and_then(|group| Some((group, group.consumer.as_ref()?))) else {
        return describe_error(id, ErrorCode::GroupIdNotFound);
    };
    DescribedGroup { last_rebalance: group.describe_rebalance(), ..consumer.describe(id, coordinator.image()) }
}

/// A group that is not described.
pub(in crate::group) fn describe_error(id: &str, error: ErrorCode) -> DescribedGroup {
    DescribedGroup {
        error_code: error.code(),
        error_message: Some(error.description().to_owned()),
        group_id: id.to_owned(),
        ..DescribedGroup::default()
    }
}

impl ConsumerGroup {
    fn describe(&self, id: &str, image: &Image) -> DescribedGroup {
        DescribedGroup {
            group_id: id.to_owned(),
            group_state: self.state().name().to_owned(),
            group_epoch: self.epoch,
            assignment_epoch: self.assignment_epoch,
            assignor_name: self.preferred_assignor().to_owned(),
            members: self.members().map(|member| self.describe_member(member, image)).collect(),
            ..DescribedGroup::default()
        }
    }

    fn describe_member(&self, member: &ConsumerMember, image: &Image) -> Member {
        let text = |text: &Option<std::sync::Arc<str>>| text.as_deref().map(str::to_owned);
        let owned = member.assigned.iter().map(|(topic, indexes)| (*topic, indexes.keys().copied().collect()));
        Member {
            member_id: member.id.to_string(),
            instance_id: text(&member.instance_id),
            rack_id: text(&member.rack_id),
            member_epoch: member.epoch,
            client_id: member.client_id.to_string(),
            client_host: member.client_host.to_string(),
            subscribed_topic_names: member.topics.iter().cloned().collect(),
            // Kafka has no null here, and Java's client wants none.
            subscribed_topic_regex: Some(text(&member.regex).unwrap_or_default()),
            assignment: describe_assignment(&owned.collect(), image),
            target_assignment: describe_assignment(&self.target(&member.id), image),
            member_type: i8::from(member.classic.is_none()),
        }
    }
}

/// Topics that are gone have no name to be told by.
fn describe_assignment(assignment: &Assignment, image: &Image) -> Described {
    let topic = |(topic, indexes): (&crate::ids::TopicId, &BTreeSet<i32>)| {
        Some(TopicPartitions {
            topic_id: Uuid(topic.0),
            topic_name: image.topic_by_id(*topic)?.name.to_string(),
            partitions: indexes.iter().copied().collect(),
        })
    };
    Described { topic_partitions: assignment.iter().filter_map(topic).collect() }
}
