//! A group of the consumer protocol (KIP-848): the coordinator itself assigns, members are led to their targets one by one.
//!
//! Every change of what members want, or of the topics, raises the group's *epoch*; then a *target assignment* is computed
//! for that epoch; then each member is *reconciled*: it gives up what is not in its target, moves to the epoch, and gets what
//! others have given up. All of this is in the log, so a failover loses nothing but deadlines.
//!
//! Invariants, asserted by [`ConsumerGroup::check`]:
//! * A partition has at most one owner, at any epochs; what a member has still to give up is its own.
//! * `assignment_epoch <= epoch`, and no member is ahead of the target assignment.
//! * Targets are disjoint, and those of members.
//! * A member that must give nothing up waits for nothing but partitions of others.
//!
//! Sources: KIP-848, KIP-1082 (member ids of clients), KIP-1251 (commits at older epochs), Kafka 4.3's behaviour.
//! Deliberately absent: rack-aware assignment, client-side assignors, resolving regular expressions off the thread.

mod assignor;
mod classic_member;
mod commit;
mod describe;
mod downgrade;
mod heartbeat;
mod leave;
mod member;
mod reconcile;
mod regex;
mod target;
mod upgrade;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use highwater_wire::group_records::{
    ConsumerGroupMetadataKey, ConsumerGroupMetadataValue, ConsumerGroupRegularExpressionValue,
};
use highwater_wire::{ErrorCode, GroupRecord};
use rpds::RedBlackTreeMapSync as Map;

use super::draft::Draft;
use super::timers::GroupTimer;
use super::{GroupId, MemberId};
use crate::controller::Image;
use crate::ids::TopicId;

pub(super) use describe::{describe, describe_error};
pub(super) use heartbeat::{Heartbeat, decide_heartbeat, error_response as heartbeat_error};
pub(super) use leave::decide_timeout;
pub(super) use member::{ConsumerMember, MemberState};

/// Partitions, by topic.
pub(super) type Assignment = BTreeMap<TopicId, BTreeSet<i32>>;

/// A consumer group as the log says. Cheap to clone: a decision works on a copy.
#[derive(Clone, Debug, PartialEq)]
pub struct ConsumerGroup {
    /// How often what is wanted has changed.
    pub(super) epoch: i32,
    /// What the topics looked like then.
    metadata_hash: i64,
    /// The epoch that the targets are for.
    assignment_epoch: i32,
    members: Map<MemberId, Arc<ConsumerMember>>,
    targets: Map<MemberId, Arc<Assignment>>,
    static_members: Map<Arc<str>, MemberId>,
    /// Who owns each partition, or has still to give it up.
    owners: Map<(TopicId, i32), MemberId>,
    /// The topics that match each regular expression.
    resolved: Map<Arc<str>, Arc<BTreeSet<String>>>,
}

/// Where a group is. Kafka's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Empty,
    Assigning,
    Reconciling,
    Stable,
}

impl State {
    pub fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::Assigning => "Assigning",
            Self::Reconciling => "Reconciling",
            Self::Stable => "Stable",
        }
    }
}

/// The epoch of a group that nobody has joined. The first member brings it to 2, as in Kafka.
const FIRST_EPOCH: i32 = 1;

impl Default for ConsumerGroup {
    fn default() -> Self {
        Self {
            epoch: FIRST_EPOCH,
            metadata_hash: 0,
            assignment_epoch: 0,
            members: Map::new_sync(),
            targets: Map::new_sync(),
            static_members: Map::new_sync(),
            owners: Map::new_sync(),
            resolved: Map::new_sync(),
        }
    }
}

impl ConsumerGroup {
    pub fn members(&self) -> impl Iterator<Item = &Arc<ConsumerMember>> {
        self.members.values()
    }

    pub fn member_count(&self) -> usize {
        self.members.size()
    }

    pub fn state(&self) -> State {
        if self.members.is_empty() {
            State::Empty
        } else if self.epoch > self.assignment_epoch {
            State::Assigning
        } else if self.members().all(|member| member.is_reconciled_to(self.assignment_epoch)) {
            State::Stable
        } else {
            State::Reconciling
        }
    }

    /// A member, by its id.
    ///
    /// # Errors
    /// There is none.
    pub fn member(&self, id: &str) -> Result<&Arc<ConsumerMember>, ErrorCode> {
        self.members.get(id).ok_or(ErrorCode::UnknownMemberId)
    }

    fn static_member(&self, instance_id: &str) -> Option<&Arc<ConsumerMember>> {
        self.members.get(self.static_members.get(instance_id)?)
    }

    /// The member that a request says it comes from.
    ///
    /// # Errors
    /// There is no such member, or another one has taken over its static name.
    fn validate_member(&self, id: &str, instance_id: Option<&str>) -> Result<&Arc<ConsumerMember>, ErrorCode> {
        let Some(instance_id) = instance_id else { return self.member(id) };
        let member = self.static_member(instance_id).ok_or(ErrorCode::UnknownMemberId)?;
        if *member.id == *id { Ok(member) } else { Err(ErrorCode::FencedInstanceId) }
    }

    fn target(&self, id: &str) -> Arc<Assignment> {
        self.targets.get(id).cloned().unwrap_or_default()
    }

    /// The topics that a member wants, by name.
    fn wanted<'a>(&'a self, member: &'a ConsumerMember) -> impl Iterator<Item = &'a String> {
        let matching = member.regex.as_ref().and_then(|regex| self.resolved.get(regex));
        member.topics.iter().chain(matching.into_iter().flat_map(|topics| topics.iter()))
    }

    /// The topics that a member wants and that exist.
    fn wanted_ids(&self, member: &ConsumerMember, image: &Image) -> BTreeSet<TopicId> {
        self.wanted(member).filter_map(|name| Some(image.topic(name)?.id)).collect()
    }

    /// Whether a member reads the topic.
    pub fn is_subscribed_to(&self, topic: &str) -> bool {
        self.members().any(|member| self.wanted(member).any(|name| name == topic))
    }

    /// What there is to read, in a number that changes when it does.
    fn hash_topics(&self, image: &Image) -> i64 {
        let names: BTreeSet<&String> = self.members().flat_map(|member| self.wanted(member)).collect();
        let mut hash = Fnv::default();
        for topic in names.into_iter().filter_map(|name| image.topic(name)) {
            hash.write(topic.name.as_bytes());
            hash.write(&topic.id.0.to_be_bytes());
            hash.write(&topic.partition_count().to_be_bytes());
        }
        hash.finish()
    }

    /// Takes over a record of this group.
    pub fn apply(&mut self, record: &GroupRecord) {
        match record {
            GroupRecord::ConsumerGroupMetadata(_, Some(value)) => {
                (self.epoch, self.metadata_hash) = (value.epoch, value.metadata_hash);
            }
            GroupRecord::ConsumerGroupMemberMetadata(key, Some(value)) => {
                let member = self.known(&key.member_id).with_metadata(value);
                self.put(member);
            }
            GroupRecord::ConsumerGroupMemberMetadata(key, None) => self.take(&key.member_id),
            GroupRecord::ConsumerGroupCurrentMemberAssignment(key, value) => {
                if value.is_some() || self.members.contains_key(key.member_id.as_str()) {
                    let member = self.known(&key.member_id).with_assignment(value.as_ref());
                    self.put(member);
                }
            }
            GroupRecord::ConsumerGroupTargetAssignmentMetadata(_, value) => {
                self.assignment_epoch = value.as_ref().map_or(0, |value| value.assignment_epoch);
            }
            GroupRecord::ConsumerGroupTargetAssignmentMember(key, Some(value)) => {
                let target = member::assignment_from(&value.topic_partitions);
                self.targets.insert_mut(key.member_id.as_str().into(), Arc::new(target));
            }
            GroupRecord::ConsumerGroupTargetAssignmentMember(key, None) => {
                self.targets.remove_mut(key.member_id.as_str());
            }
            GroupRecord::ConsumerGroupRegularExpression(key, value) => {
                self.apply_regex(&key.regular_expression, value.as_ref());
            }
            // Removing a group is its owner's affair; the other kinds say nothing of consumer groups any more.
            GroupRecord::ConsumerGroupMetadata(_, None)
            | GroupRecord::ConsumerGroupPartitionMetadata(..)
            | GroupRecord::OffsetCommit(..)
            | GroupRecord::GroupMetadata(..) => {}
        }
    }

    fn apply_regex(&mut self, regex: &str, value: Option<&ConsumerGroupRegularExpressionValue>) {
        match value {
            Some(value) => self.resolved.insert_mut(regex.into(), Arc::new(value.topics.iter().cloned().collect())),
            None => drop(self.resolved.remove_mut(regex)),
        }
    }

    /// A member as it is known, or a new one.
    fn known(&self, id: &str) -> ConsumerMember {
        self.members.get(id).map_or_else(|| ConsumerMember::new(id), |member| ConsumerMember::clone(member))
    }

    fn put(&mut self, member: ConsumerMember) {
        self.take(&member.id);
        for partition in member.owned() {
            self.owners.insert_mut(partition, Arc::clone(&member.id));
        }
        if let Some(instance_id) = &member.instance_id {
            self.static_members.insert_mut(Arc::clone(instance_id), Arc::clone(&member.id));
        }
        self.members.insert_mut(Arc::clone(&member.id), Arc::new(member));
    }

    fn take(&mut self, id: &str) {
        let Some(member) = self.members.get(id).cloned() else { return };
        for partition in member.owned() {
            if self.owners.get(&partition) == Some(&member.id) {
                self.owners.remove_mut(&partition);
            }
        }
        if let Some(instance_id) = &member.instance_id
            && self.static_members.get(instance_id) == Some(&member.id)
        {
            self.static_members.remove_mut(instance_id);
        }
        self.members.remove_mut(id);
    }

    /// Asserts the invariants of the module's head.
    pub fn check(&self) {
        assert!(self.assignment_epoch <= self.epoch, "targets are for an epoch that has begun");
        let mut owned = BTreeMap::new();
        for member in self.members() {
            for partition in member.owned() {
                let other = owned.insert(partition, &member.id);
                assert!(other.is_none(), "{partition:?} belongs to {} and to {other:?}", member.id);
            }
            assert!(member.epoch <= self.assignment_epoch, "{} is not ahead of the targets", member.id);
            let is_revoking = member.state == MemberState::Unrevoked;
            assert_eq!(!member.revoking.is_empty(), is_revoking, "{} knows whether it must give up", member.id);
        }
        assert!(owned.into_iter().eq(self.owners.iter().map(|(partition, member)| (*partition, member))));
        for (instance_id, member) in &self.static_members {
            let instance = self.members.get(member).and_then(|member| member.instance_id.as_ref());
            assert_eq!(instance, Some(instance_id), "a static name leads to its member");
        }
        let mut targeted = BTreeSet::new();
        for (member, target) in &self.targets {
            assert!(self.members.contains_key(member), "{member} has a target, and is a member");
            let partitions = target.iter().flat_map(|(topic, indexes)| indexes.iter().map(move |index| (topic, index)));
            for partition in partitions {
                assert!(targeted.insert(partition), "{partition:?} is in one target");
            }
        }
    }
}

/// The FNV-1a hash of 64 bits: the same everywhere and for ever, since it is in the log.
struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Fnv {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn finish(self) -> i64 {
        self.0.cast_signed()
    }
}

/// A decision about one consumer group: a copy of it to which every record of the decision is applied at once.
pub(super) struct Consumer<'d, 'c> {
    draft: &'d mut Draft<'c>,
    id: GroupId,
    group: ConsumerGroup,
}

impl<'d, 'c> Consumer<'d, 'c> {
    pub fn new(draft: &'d mut Draft<'c>, id: GroupId, group: ConsumerGroup) -> Self {
        Self { draft, id, group }
    }

    fn record(&mut self, record: GroupRecord) {
        self.group.apply(&record);
        self.draft.record(record);
    }

    /// What is wanted has changed.
    fn bump_epoch(&mut self, reason: &str) {
        if self.group.member_count() > 0 {
            self.draft.rebalancing(&self.id, self.group.epoch, reason);
        }
        let key = ConsumerGroupMetadataKey { group_id: self.id.to_string() };
        let metadata_hash = self.group.hash_topics(self.draft.coordinator.image());
        let value = ConsumerGroupMetadataValue { epoch: self.group.epoch.saturating_add(1), metadata_hash };
        self.record(GroupRecord::ConsumerGroupMetadata(key, Some(value)));
    }

    fn cancel_timers(&mut self, member: &MemberId) {
        for timer in [GroupTimer::Session, GroupTimer::Revocation, GroupTimer::ClassicJoin, GroupTimer::ClassicSync] {
            self.draft.cancel_timer(&self.id, timer(Arc::clone(member)));
        }
    }
}
