//! A member of a consumer group.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use highwater_wire::Uuid;
use highwater_wire::group_records::{
    ClassicMemberMetadata, ClassicProtocol, ConsumerGroupCurrentMemberAssignmentValue,
    ConsumerGroupMemberMetadataValue, TopicPartition, TopicPartitions,
};

use super::Assignment;
use crate::group::classic::Protocols;
use crate::group::{MemberId, millis};
use crate::ids::TopicId;

/// The epoch of a static member that has left for now.
pub(super) const AWAY: i32 = -2;

/// Partitions, by topic, with the member's epoch when it got each.
pub(super) type Owned = BTreeMap<TopicId, BTreeMap<i32, i32>>;

/// A member, as the log says.
#[derive(Clone, Debug, PartialEq)]
pub struct ConsumerMember {
    pub id: MemberId,
    pub instance_id: Option<Arc<str>>,
    pub rack_id: Option<Arc<str>>,
    pub client_id: Arc<str>,
    pub client_host: Arc<str>,
    /// The topics it names.
    pub topics: Arc<BTreeSet<String>>,
    /// A regular expression that the topics match that it wants besides.
    pub regex: Option<Arc<str>>,
    pub rebalance_timeout_ms: i32,
    pub assignor: Option<Arc<str>>,
    /// What it said if it speaks the classic protocol.
    pub classic: Option<Arc<ClassicMetadata>>,
    pub epoch: i32,
    /// A member that missed an answer repeats itself with this epoch.
    pub previous_epoch: i32,
    pub state: MemberState,
    pub assigned: Arc<Owned>,
    /// What it must give up, and may still read.
    pub revoking: Arc<Owned>,
}

/// What a member that speaks the classic protocol said.
#[derive(Clone, Debug, PartialEq)]
pub struct ClassicMetadata {
    pub session_timeout: Duration,
    pub protocols: Protocols,
}

/// How far a member is on its way to its target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemberState {
    /// It owns what its target says.
    Stable,
    /// It must give partitions up.
    Unrevoked,
    /// It waits for partitions of others.
    Unreleased,
}

impl ConsumerMember {
    pub fn new(id: &str) -> Self {
        Self {
            id: id.into(),
            instance_id: None,
            rack_id: None,
            client_id: "".into(),
            client_host: "".into(),
            topics: Arc::default(),
            regex: None,
            rebalance_timeout_ms: -1,
            assignor: None,
            classic: None,
            epoch: 0,
            previous_epoch: 0,
            state: MemberState::Stable,
            assigned: Arc::default(),
            revoking: Arc::default(),
        }
    }

    pub fn is_reconciled_to(&self, epoch: i32) -> bool {
        self.state == MemberState::Stable && self.epoch == epoch
    }

    pub fn rebalance_timeout(&self) -> Duration {
        millis(self.rebalance_timeout_ms)
    }

    /// Every partition that nobody else may have.
    pub fn owned(&self) -> impl Iterator<Item = (TopicId, i32)> {
        let all = self.assigned.iter().chain(self.revoking.iter());
        all.flat_map(|(topic, partitions)| partitions.keys().map(move |index| (*topic, *index)))
    }

    /// Moves to an epoch and remembers the one before.
    pub fn move_to(&mut self, epoch: i32) {
        (self.previous_epoch, self.epoch) = (self.epoch, epoch);
    }

    /// The member with what a record says of itself.
    pub fn with_metadata(self, value: &ConsumerGroupMemberMetadataValue) -> Self {
        let text = |text: &Option<String>| text.as_deref().filter(|text| !text.is_empty()).map(Arc::from);
        let classic = value.classic_member_metadata.as_ref().map(|classic| {
            let protocols = classic.supported_protocols.iter();
            Arc::new(ClassicMetadata {
                session_timeout: millis(classic.session_timeout_ms),
                protocols: protocols.map(|one| (Arc::from(one.name.as_str()), one.metadata.clone())).collect(),
            })
        });
        Self {
            instance_id: text(&value.instance_id),
            rack_id: text(&value.rack_id),
            client_id: value.client_id.as_str().into(),
            client_host: value.client_host.as_str().into(),
            topics: Arc::new(value.subscribed_topic_names.iter().cloned().collect()),
            regex: text(&value.subscribed_topic_regex),
            rebalance_timeout_ms: value.rebalance_timeout_ms,
            assignor: text(&value.server_assignor),
            classic,
            ..self
        }
    }

    pub fn to_metadata(&self) -> ConsumerGroupMemberMetadataValue {
        let text = |text: &Option<Arc<str>>| text.as_deref().map(str::to_owned);
        let protocol = |(name, metadata): &(Arc<str>, bytes::Bytes)| ClassicProtocol {
            name: name.to_string(),
            metadata: metadata.clone(),
        };
        let classic = self.classic.as_ref().map(|classic| ClassicMemberMetadata {
            session_timeout_ms: i32::try_from(classic.session_timeout.as_millis()).expect("it came from an i32"),
            supported_protocols: classic.protocols.iter().map(protocol).collect(),
        });
        ConsumerGroupMemberMetadataValue {
            instance_id: text(&self.instance_id),
            rack_id: text(&self.rack_id),
            client_id: self.client_id.to_string(),
            client_host: self.client_host.to_string(),
            subscribed_topic_names: self.topics.iter().cloned().collect(),
            subscribed_topic_regex: text(&self.regex),
            rebalance_timeout_ms: self.rebalance_timeout_ms,
            server_assignor: text(&self.assignor),
            classic_member_metadata: classic,
        }
    }

    /// The member with what a record says it owns; without one, it owns nothing.
    pub fn with_assignment(self, value: Option<&ConsumerGroupCurrentMemberAssignmentValue>) -> Self {
        let Some(value) = value else {
            return Self {
                epoch: 0,
                previous_epoch: 0,
                state: MemberState::Stable,
                assigned: Arc::default(),
                revoking: Arc::default(),
                ..self
            };
        };
        let epoch = value.member_epoch;
        Self {
            epoch,
            previous_epoch: value.previous_member_epoch,
            state: match value.state {
                1 => MemberState::Unrevoked,
                2 => MemberState::Unreleased,
                _ => MemberState::Stable,
            },
            assigned: Arc::new(owned_from(&value.assigned_partitions, epoch)),
            revoking: Arc::new(owned_from(&value.partitions_pending_revocation, epoch)),
            ..self
        }
    }

    pub fn to_assignment(&self) -> ConsumerGroupCurrentMemberAssignmentValue {
        ConsumerGroupCurrentMemberAssignmentValue {
            member_epoch: self.epoch,
            previous_member_epoch: self.previous_epoch,
            state: match self.state {
                MemberState::Stable => 0,
                MemberState::Unrevoked => 1,
                MemberState::Unreleased => 2,
            },
            assigned_partitions: owned_to(&self.assigned),
            partitions_pending_revocation: owned_to(&self.revoking),
        }
    }
}

/// A record without epochs is older than they are: the member's own epoch is the least that they can be taken for.
fn owned_from(topics: &[TopicPartitions], epoch: i32) -> Owned {
    let mut owned = Owned::new();
    for topic in topics {
        let epochs = topic.assignment_epochs.as_deref().unwrap_or_default();
        let epochs = epochs.iter().copied().chain(std::iter::repeat(epoch));
        owned.entry(TopicId(topic.topic_id.0)).or_default().extend(topic.partitions.iter().copied().zip(epochs));
    }
    owned
}

fn owned_to(owned: &Owned) -> Vec<TopicPartitions> {
    let topic = |(topic, partitions): (&TopicId, &BTreeMap<i32, i32>)| TopicPartitions {
        topic_id: Uuid(topic.0),
        partitions: partitions.keys().copied().collect(),
        assignment_epochs: Some(partitions.values().copied().collect()),
    };
    owned.iter().map(topic).collect()
}

/// A target, as a record says it.
pub(super) fn assignment_from(topics: &[TopicPartition]) -> Assignment {
    let mut assignment = Assignment::new();
    for topic in topics {
        assignment.entry(TopicId(topic.topic_id.0)).or_default().extend(&topic.partitions);
    }
    assignment
}

/// A target, as a record says it.
pub(super) fn assignment_to(assignment: &Assignment) -> Vec<TopicPartition> {
    let topic = |(topic, partitions): (&TopicId, &BTreeSet<i32>)| TopicPartition {
        topic_id: Uuid(topic.0),
        partitions: partitions.iter().copied().collect(),
    };
    assignment.iter().map(topic).collect()
}
