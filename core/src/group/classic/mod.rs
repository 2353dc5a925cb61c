//! A group of the classic protocol: members join, the leader assigns, everybody fetches what it got.
//!
//! What this broker knows of the protocol inside is little: the members vote for one of the names that they all know, and
//! the leader's assignment is handed on as it is.
//!
//! Invariants, asserted by [`ClassicGroup::check`]:
//! * `Empty` has no members; all other states have a leader, which is a member.
//! * Members wait for a join only while `PreparingRebalance`, for a sync only while `CompletingRebalance`.
//! * Counts of protocols, waiting members and bytes are those of the members; static members lead to members.
//! * `Empty` and `Stable` are what the log says: [`ClassicGroup::to_value`] is the newest record.
//!
//! Sources: KIP-62, KIP-134 (initial delay), KIP-345 (static members), KIP-394 (member ids first), KIP-559, KIP-814.
//! Deliberately absent: cooperative rebalancing (KIP-429), which is the clients' own affair.

mod describe;
mod join;
mod leave;
mod member;
mod rebalance;
mod sync;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use highwater_wire::group_records::{GroupMetadataKey, GroupMetadataValue};
use highwater_wire::{ConsumerProtocolSubscription, ErrorCode, GroupRecord};
use rpds::{RedBlackTreeMapSync as Map, RedBlackTreeSetSync as Set};

use super::draft::Draft;
use super::{GroupId, MemberId};
use crate::time::WallMs;

pub(super) use join::Join;
pub(super) use member::{Member, Protocols};

/// The protocol type of consumers: the one whose insides are known.
pub(super) const CONSUMER_PROTOCOL_TYPE: &str = "consumer";

/// A classic group as it is now. Cheap to clone: a decision works on a copy.
#[derive(Clone, Debug, PartialEq)]
pub struct ClassicGroup {
    pub(super) state: State,
    pub(super) state_since: WallMs,
    pub(super) generation: i32,
    pub(super) protocol_type: Option<Arc<str>>,
    pub(super) protocol: Option<Arc<str>>,
    leader: Option<MemberId>,
    members: Map<MemberId, Arc<Member>>,
    static_members: Map<Arc<str>, MemberId>,
    /// Members that were given an id and have not come back with it.
    pending_join: Set<MemberId>,
    /// Members of the new generation that have not asked for their assignment.
    pending_sync: Set<MemberId>,
    awaiting_join: usize,
    protocol_counts: Map<Arc<str>, usize>,
    bytes: usize,
    /// What the members of the last generation want to read; none if that is not known.
    subscribed_topics: Option<Arc<BTreeSet<String>>>,
}

/// Where a group is in its cycle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// It has no members.
    Empty,
    /// It waits for all members to join; longer, if these are its first ones.
    PreparingRebalance(Option<Initial>),
    /// It waits for the leader's assignment.
    CompletingRebalance,
    /// Everybody has an assignment.
    Stable,
}

/// The first rebalance of an empty group, which waits a little for more members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Initial {
    /// The delay that runs now.
    delay: Duration,
    /// How much may be added to it.
    remaining: Duration,
    /// Whether somebody has joined since the delay began.
    has_new_member: bool,
}

impl State {
    /// Kafka's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::PreparingRebalance(_) => "PreparingRebalance",
            Self::CompletingRebalance => "CompletingRebalance",
            Self::Stable => "Stable",
        }
    }
}

impl ClassicGroup {
    /// A group that nobody has joined.
    pub fn new(now: WallMs) -> Self {
        Self {
            state: State::Empty,
            state_since: now,
            generation: 0,
            protocol_type: None,
            protocol: None,
            leader: None,
            members: Map::new_sync(),
            static_members: Map::new_sync(),
            pending_join: Set::new_sync(),
            pending_sync: Set::new_sync(),
            awaiting_join: 0,
            protocol_counts: Map::new_sync(),
            bytes: 0,
            subscribed_topics: None,
        }
    }

    /// The group that the log tells of.
    pub fn from_value(value: &GroupMetadataValue) -> Self {
        let mut group = Self::new(WallMs(value.current_state_timestamp));
        group.generation = value.generation;
        group.protocol_type = Some(value.protocol_type.as_str()).filter(|name| !name.is_empty()).map(Arc::from);
        group.protocol = value.protocol.as_deref().map(Arc::from);
        for member in &value.members {
            group.put(Member::from_value(member, value.protocol.as_deref().unwrap_or_default()));
        }
        if !group.members.is_empty() {
            group.state = State::Stable;
            let leader = value.leader.as_deref().filter(|leader| group.members.contains_key(*leader));
            group.leader = leader.map(Arc::from).or_else(|| group.members.keys().next().cloned());
        }
        group.subscribed_topics = group.read_subscriptions();
        group
    }

    /// The group that a consumer group of this epoch leaves behind.
    pub fn of_consumers(members: Vec<Member>, generation: i32, now: WallMs) -> Self {
        let mut group = Self { generation, protocol_type: Some(CONSUMER_PROTOCOL_TYPE.into()), ..Self::new(now) };
        group.leader = members.first().map(|member| Arc::clone(&member.id));
        members.into_iter().for_each(|member| group.put(member));
        group.protocol = group.select_protocol();
        group.subscribed_topics = group.read_subscriptions();
        group.state = State::Stable;
        group
    }

    /// What the log is to say.
    pub fn to_value(&self) -> GroupMetadataValue {
        let protocol = self.protocol.as_deref();
        GroupMetadataValue {
            protocol_type: self.protocol_type.as_deref().unwrap_or_default().to_owned(),
            generation: self.generation,
            protocol: protocol.map(str::to_owned),
            leader: self.leader.as_deref().map(str::to_owned),
            current_state_timestamp: self.state_since.0,
            members: self.members.values().map(|member| member.to_value(protocol.unwrap_or_default())).collect(),
        }
    }

    /// The members, by id.
    pub fn members(&self) -> impl Iterator<Item = &Arc<Member>> {
        self.members.values()
    }

    pub fn member_count(&self) -> usize {
        self.members.size()
    }

    pub fn member(&self, id: &str) -> Option<&Arc<Member>> {
        self.members.get(id)
    }

    pub fn is_leader(&self, id: &str) -> bool {
        self.leader.as_deref() == Some(id)
    }

    /// Whether its members are consumers.
    pub fn uses_consumer_protocol(&self) -> bool {
        self.protocol_type.as_deref() == Some(CONSUMER_PROTOCOL_TYPE)
    }

    /// Whether a member reads the topic, as far as that can be told.
    pub fn is_subscribed_to(&self, topic: &str) -> bool {
        match &self.subscribed_topics {
            Some(topics) => topics.contains(topic),
            None => self.uses_consumer_protocol(),
        }
    }

    /// Whether it is known what the members read.
    pub fn knows_subscriptions(&self) -> bool {
        self.subscribed_topics.is_some()
    }

    /// The member that a request says it comes from.
    ///
    /// # Errors
    /// There is no such member, or another one has taken over its static name.
    pub fn validate_member(&self, id: &str, instance_id: Option<&str>) -> Result<&Arc<Member>, ErrorCode> {
        if let Some(instance_id) = instance_id {
            let current = self.static_members.get(instance_id).ok_or(ErrorCode::UnknownMemberId)?;
            if **current != *id {
                return Err(ErrorCode::FencedInstanceId);
            }
        }
        self.members.get(id).ok_or(ErrorCode::UnknownMemberId)
    }

    /// Puts a member in, or in the place of its former self.
    fn put(&mut self, member: Member) {
        self.take(&member.id);
        for name in member.protocols.names() {
            let count = self.protocol_counts.get(name).copied().unwrap_or(0);
            self.protocol_counts.insert_mut(Arc::clone(name), count + 1);
        }
        self.awaiting_join += usize::from(member.join.is_some());
        self.bytes += member.protocols.bytes();
        if let Some(instance_id) = &member.instance_id {
            self.static_members.insert_mut(Arc::clone(instance_id), Arc::clone(&member.id));
        }
        self.members.insert_mut(Arc::clone(&member.id), Arc::new(member));
    }

    fn take(&mut self, id: &str) -> Option<Arc<Member>> {
        let member = Arc::clone(self.members.get(id)?);
        for name in member.protocols.names() {
            match self.protocol_counts.get(name).copied().unwrap_or(0) {
                0 | 1 => self.protocol_counts.remove_mut(name),
                count => {
                    self.protocol_counts.insert_mut(Arc::clone(name), count - 1);
                    true
                }
            };
        }
        self.awaiting_join -= usize::from(member.join.is_some());
        self.bytes -= member.protocols.bytes();
        if let Some(instance_id) = &member.instance_id {
            self.static_members.remove_mut(instance_id);
        }
        self.members.remove_mut(id);
        Some(member)
    }

    /// Takes a member out, or one that was about to join.
    fn remove(&mut self, id: &str) -> Option<Arc<Member>> {
        let member = self.take(id);
        if self.is_leader(id) {
            self.leader = self.members.keys().next().cloned();
        }
        self.pending_join.remove_mut(id);
        self.pending_sync.remove_mut(id);
        member
    }

    /// Changes a member.
    fn update(&mut self, id: &str, change: impl FnOnce(&mut Member)) {
        let mut member = Member::clone(self.members.get(id).expect("only members are updated"));
        change(&mut member);
        self.put(member);
    }

    fn move_to(&mut self, state: State, now: WallMs) {
        self.state = state;
        self.state_since = now;
    }

    /// Whether a member with these protocols could be in the group.
    fn supports(&self, protocol_type: &str, protocols: &Protocols) -> bool {
        if self.state == State::Empty {
            return !protocol_type.is_empty() && !protocols.is_empty();
        }
        // A group may have lost its last member while another one is about to join: then every protocol will do.
        let is_known_to_all =
            |name: &Arc<str>| self.protocol_counts.get(name).copied().unwrap_or(0) == self.members.size();
        self.protocol_type.as_deref() == Some(protocol_type) && protocols.names().any(is_known_to_all)
    }

    /// The protocol that most members like best among those that all of them know.
    fn select_protocol(&self) -> Option<Arc<str>> {
        let is_candidate = |name: &Arc<str>| self.protocol_counts.get(name) == Some(&self.members.size());
        let mut votes = BTreeMap::<&Arc<str>, usize>::new();
        for member in self.members.values() {
            if let Some(name) = member.protocols.names().find(|name| is_candidate(name)) {
                *votes.entry(name).or_default() += 1;
            }
        }
        votes.into_iter().max_by_key(|(_, count)| *count).map(|(name, _)| Arc::clone(name))
    }

    /// What the members want to read, if they are consumers that say so.
    fn read_subscriptions(&self) -> Option<Arc<BTreeSet<String>>> {
        if !self.uses_consumer_protocol() {
            return None;
        }
        let mut topics = BTreeSet::new();
        for member in self.members.values() {
            let metadata = member.protocols.metadata(self.protocol.as_deref()?)?;
            topics.extend(ConsumerProtocolSubscription::from_bytes(metadata).ok()?.topics);
        }
        Some(Arc::new(topics))
    }

    /// Whether nobody is in it or about to join.
    pub fn is_abandoned(&self) -> bool {
        self.state == State::Empty && self.pending_join.is_empty()
    }

    fn has_all_members_joined(&self) -> bool {
        self.members.size() == self.awaiting_join && self.pending_join.is_empty()
    }

    /// The longest that a member may take to join again.
    fn rebalance_timeout(&self) -> Duration {
        self.members.values().map(|member| member.rebalance_timeout).max().unwrap_or_default()
    }

    /// Asserts the invariants of the module's head, given what the log says.
    pub fn check(&self, recorded: &GroupMetadataValue) {
        let waits = |member: &&Arc<Member>| member.join.is_some();
        assert_eq!(self.awaiting_join, self.members.values().filter(waits).count(), "waiting members are counted");
        assert_eq!(self.bytes, self.members.values().map(|member| member.protocols.bytes()).sum(), "bytes are counted");
        assert!(self.leader.as_ref().is_none_or(|leader| self.members.contains_key(leader)), "the leader is a member");
        assert_eq!(self.leader.is_none(), self.members.is_empty(), "who has members has a leader");
        for (instance_id, member) in &self.static_members {
            let instance = self.members.get(member).and_then(|member| member.instance_id.as_ref());
            assert_eq!(instance, Some(instance_id), "a static name leads to its member");
        }
        for member in self.members.values() {
            let is_joining = matches!(self.state, State::PreparingRebalance(_));
            assert!(member.join.is_none() || is_joining, "a join waits for a rebalance that is being prepared");
            let is_syncing = self.state == State::CompletingRebalance;
            assert!(member.sync.is_none() || is_syncing, "a sync waits for an assignment that is to come");
        }
        assert!(self.pending_sync.iter().all(|id| self.members.contains_key(id)), "who is to sync is a member");
        assert!(!self.pending_join.iter().any(|id| self.members.contains_key(id)), "who is to join is none yet");
        match self.state {
            State::Empty => assert!(self.members.is_empty(), "an empty group has no members"),
            State::CompletingRebalance | State::Stable => assert!(!self.members.is_empty(), "a generation has members"),
            State::PreparingRebalance(_) => {}
        }
        if matches!(self.state, State::Empty | State::Stable) {
            assert_eq!(self.to_value(), *recorded, "what does not move is what the log says");
        }
    }
}

/// A decision about one classic group: a copy of it in the making, and where the decision is gathered.
pub(super) struct Classic<'d, 'c> {
    draft: &'d mut Draft<'c>,
    id: GroupId,
    group: ClassicGroup,
}

impl<'d, 'c> Classic<'d, 'c> {
    pub fn new(draft: &'d mut Draft<'c>, id: GroupId, group: ClassicGroup) -> Self {
        Self { draft, id, group }
    }

    /// Makes the changed group part of the decision.
    pub fn finish(self) {
        self.draft.set_classic(self.id, self.group);
    }

    /// Puts the group as it is now into the log.
    pub fn record(&mut self) {
        let key = GroupMetadataKey { group: self.id.to_string() };
        self.draft.record(GroupRecord::GroupMetadata(key, Some(self.group.to_value())));
    }

    /// Puts the group into the log as one that nobody leads: whoever loads it before its next generation begins a rebalance.
    pub fn record_unled(&mut self) {
        let key = GroupMetadataKey { group: self.id.to_string() };
        let value = GroupMetadataValue { leader: None, ..self.group.to_value() };
        self.draft.record(GroupRecord::GroupMetadata(key, Some(value)));
    }
}
