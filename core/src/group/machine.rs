//! The coordinator as a machine over its log.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use highwater_wire::GroupRecord;
use highwater_wire::describe_groups::LastRebalance;
use highwater_wire::group_records::GroupMetadataValue;

use super::classic::{ClassicGroup, State};
use super::consumer::{ConsumerGroup, MemberState};
use super::draft::{Draft, Seen, Soft};
use super::event::Standing;
use super::offsets::Offsets;
use super::request::refusal_code;
use super::timers::{GroupTimer, Sweep, TimerKey, Timers};
use super::{GroupConfig, GroupEvent, GroupId, GroupRequest, GroupResponse, MemberTimes, dispatch};
use crate::controller::Image;
use crate::ids::Offset;
use crate::outbox::Reason;
use crate::replicated::{Decision, Origin, Refusal, StateMachine};
use crate::time::{Instant, Now, WallMs};

/// Decides about the groups of one partition of `__consumer_offsets`.
#[derive(Clone, Debug)]
pub struct GroupCoordinator {
    config: Arc<GroupConfig>,
    image: Arc<Image>,
    groups: BTreeMap<GroupId, Group>,
    timers: Timers,
    /// Where the search for offsets to remove goes on.
    swept_up_to: BTreeMap<Sweep, GroupId>,
    events: Vec<GroupEvent>,
    /// The groups that may stand differently since events were taken.
    touched: BTreeSet<GroupId>,
}

/// What is known of one group. A group of which nothing is known does not exist.
#[derive(Clone, Debug, Default)]
pub(super) struct Group {
    /// What the log says of its members.
    pub recorded: Option<Arc<GroupMetadataValue>>,
    /// What it has committed.
    pub offsets: Offsets,
    /// Its members now; none while the log is being applied, and in groups that only commit.
    pub classic: Option<ClassicGroup>,
    /// Its members, if it is one of the consumer protocol.
    pub consumer: Option<ConsumerGroup>,
    /// The metadata that it was last held against, if it is one of the consumer protocol.
    pub seen: Option<Seen>,
    /// The last rebalance that has begun here.
    pub last_rebalance: Option<Rebalance>,
    /// How it stood when that was told last.
    told: Option<Standing>,
}

/// Why and when a rebalance began.
#[derive(Clone, Debug)]
pub struct Rebalance {
    pub began: WallMs,
    pub reason: Box<str>,
}

impl Group {
    /// Its members; who only commits has none.
    pub fn classic(&self) -> ClassicGroup {
        self.classic.clone().unwrap_or_else(|| ClassicGroup::new(WallMs::default()))
    }

    /// Whether it has members.
    pub fn has_members(&self) -> bool {
        self.classic.as_ref().is_some_and(|classic| classic.state != State::Empty)
            || self.consumer.as_ref().is_some_and(|consumer| consumer.member_count() > 0)
    }

    /// Whether a member reads the topic, as far as that can be told.
    pub fn is_subscribed_to(&self, topic: &str) -> bool {
        match &self.consumer {
            Some(consumer) => consumer.is_subscribed_to(topic),
            None => self.classic.as_ref().is_some_and(|classic| classic.is_subscribed_to(topic)),
        }
    }

    /// The last rebalance, as it is described.
    pub fn describe_rebalance(&self) -> Option<LastRebalance> {
        let Rebalance { began, reason } = self.last_rebalance.as_ref()?;
        Some(LastRebalance { began_ms: began.0, reason: reason.to_string() })
    }

    /// Where it is; nowhere if it never had members.
    fn standing(&self) -> Option<Standing> {
        if let Some(consumer) = &self.consumer {
            let (state, members) = (consumer.state().name(), consumer.member_count());
            return Some(Standing { protocol: "consumer", state, generation: consumer.epoch, members });
        }
        let classic = self.classic.as_ref()?;
        let (state, members) = (classic.state.name(), classic.member_count());
        Some(Standing { protocol: "classic", state, generation: classic.generation, members })
    }

    fn is_nothing(&self) -> bool {
        self.recorded.is_none() && self.classic.is_none() && self.consumer.is_none() && self.offsets.is_empty()
    }
}

impl GroupCoordinator {
    /// A coordinator that knows nothing yet. It is ready once its log and then [`GroupRequest::Loaded`] have been
    /// handled.
    pub fn new(config: Arc<GroupConfig>, image: Arc<Image>) -> Self {
        Self {
            config,
            image,
            groups: BTreeMap::new(),
            timers: Timers::default(),
            swept_up_to: BTreeMap::new(),
            events: Vec::new(),
            touched: BTreeSet::new(),
        }
    }

    /// When [`GroupRequest::Timeout`] is due next, and for what.
    pub fn poll_timeout(&self) -> Option<(Instant, Reason)> {
        self.timers.poll_timeout()
    }

    /// What has happened since this was last asked. A decision that is not committed may be among it.
    pub fn take_events(&mut self) -> Vec<GroupEvent> {
        let mut events = std::mem::take(&mut self.events);
        for id in std::mem::take(&mut self.touched) {
            let Some(group) = self.groups.get_mut(&id) else { continue };
            let standing = group.standing();
            if group.told != standing {
                group.told = standing;
                events.extend(standing.map(|standing| GroupEvent::Changed { group: id, standing }));
            }
        }
        events
    }

    pub(super) fn config(&self) -> &GroupConfig {
        &self.config
    }

    pub(super) fn image(&self) -> &Image {
        &self.image
    }

    /// What members of a consumer group must keep to.
    pub(super) fn member_times(&self, group: &str) -> MemberTimes {
        self.image.member_times(group).unwrap_or(self.config.consumer.times)
    }

    pub(super) fn group(&self, id: &str) -> Option<&Group> {
        self.groups.get(id)
    }

    pub(super) fn groups(&self) -> &BTreeMap<GroupId, Group> {
        &self.groups
    }

    pub(super) fn timers(&self) -> &Timers {
        &self.timers
    }

    /// Where a sweep that is under way goes on.
    pub(super) fn swept_up_to(&self, sweep: Sweep) -> Option<&GroupId> {
        self.swept_up_to.get(&sweep)
    }

    /// Asserts the invariants of the module's head, but for the one about replaying. Slow: for tests and the simulator.
    pub fn check(&self) {
        self.timers.check();
        for (id, group) in &self.groups {
            assert!(!group.is_nothing(), "{id} is a group because something is known of it");
            if let Some(consumer) = &group.consumer {
                assert!(group.recorded.is_none() && group.classic.is_none(), "{id} is of one protocol");
                consumer.check();
                for member in consumer.members() {
                    let timer = TimerKey::Group(GroupId::clone(id), GroupTimer::Session(Arc::clone(&member.id)));
                    assert!(self.timers.deadline(&timer).is_some(), "{}'s session can end", member.id);
                }
            }
            let Some(classic) = &group.classic else { continue };
            classic.check(group.recorded.as_ref().expect("who can be joined is in the log"));
            for member in classic.members() {
                let timer = TimerKey::Group(GroupId::clone(id), GroupTimer::Session(Arc::clone(&member.id)));
                let is_waiting = member.join.is_some() || member.sync.is_some();
                assert!(is_waiting || self.timers.deadline(&timer).is_some(), "{}'s session can end", member.id);
            }
        }
        for key in self.timers.keys() {
            let TimerKey::Group(id, _) = key else { continue };
            let has_members = |group: &Group| group.classic.is_some() || group.consumer.is_some();
            assert!(self.group(id).is_some_and(has_members), "{id} exists, since it has a deadline");
        }
    }

    /// Asserts that both have the same durable state. Slow: for tests and the simulator.
    pub fn check_replayed(&self, replayed: &Self) {
        let durable = |(_, group): &(&GroupId, &Group)| {
            group.recorded.is_some() || group.consumer.is_some() || !group.offsets.is_empty()
        };
        let ours: Vec<_> = self.groups.iter().filter(durable).collect();
        let theirs: Vec<_> = replayed.groups.iter().filter(durable).collect();
        assert_eq!(ours.len(), theirs.len(), "the log tells of all groups and of no others");
        for ((id, group), (other_id, other)) in ours.into_iter().zip(theirs) {
            assert_eq!(id, other_id, "the log tells of all groups and of no others");
            assert_eq!(group.recorded, other.recorded, "the log says who is in {id}");
            assert_eq!(group.consumer, other.consumer, "the log says who is in {id}");
            assert_eq!(group.offsets, other.offsets, "the log says how far {id} has got");
        }
    }
}

impl StateMachine for GroupCoordinator {
    type Request = GroupRequest;
    type Response = GroupResponse;
    type Record = GroupRecord;
    type Soft = Soft;
    type View = ();

    fn decide(&self, now: Now, request: &GroupRequest) -> Decision<Self> {
        let mut draft = Draft::new(self, now);
        dispatch::decide(&mut draft, request);
        draft.into_decision()
    }

    fn refuse(&self, request: &GroupRequest, refusal: Refusal) -> Vec<(Origin, GroupResponse)> {
        match request {
            GroupRequest::Call { origin, call, .. } => {
                vec![(*origin, call.error_response(refusal_code(call, refusal)))]
            }
            GroupRequest::Timeout | GroupRequest::Image(_) | GroupRequest::Loaded => Vec::new(),
        }
    }

    fn apply(&mut self, _: Offset, record: &GroupRecord) {
        match record {
            GroupRecord::OffsetCommit(key, value) => {
                let group = self.groups.entry(key.group.as_str().into()).or_default();
                group.offsets.apply(key, value.as_ref());
                self.forget_nothing(&key.group);
            }
            GroupRecord::GroupMetadata(key, value) => self.apply_classic(&key.group, value.as_ref()),
            GroupRecord::ConsumerGroupMetadata(key, None) => self.forget_consumer(&key.group_id),
            GroupRecord::ConsumerGroupMetadata(key, value) => {
                self.apply_consumer(&key.group_id, record, value.is_some());
            }
            GroupRecord::ConsumerGroupMemberMetadata(key, value) => {
                self.apply_consumer(&key.group_id, record, value.is_some());
            }
            GroupRecord::ConsumerGroupTargetAssignmentMetadata(key, value) => {
                self.apply_consumer(&key.group_id, record, value.is_some());
            }
            GroupRecord::ConsumerGroupTargetAssignmentMember(key, value) => {
                self.apply_consumer(&key.group_id, record, value.is_some());
            }
            GroupRecord::ConsumerGroupCurrentMemberAssignment(key, value) => {
                self.apply_consumer(&key.group_id, record, value.is_some());
            }
            GroupRecord::ConsumerGroupRegularExpression(key, value) => {
                self.apply_consumer(&key.group_id, record, value.is_some());
            }
            // Kafka 4.0 and older kept what topics looked like; a hash in the group's own record says enough.
            GroupRecord::ConsumerGroupPartitionMetadata(..) => {}
        }
    }

    fn absorb(&mut self, soft: Soft) {
        match soft {
            Soft::Classic(id, classic) => {
                if let Some(group) = self.groups.get_mut(&id) {
                    group.classic = Some(*classic);
                    self.touched.insert(id);
                }
            }
            Soft::SetTimer(key, deadline) => self.timers.set(key, deadline),
            Soft::CancelTimer(key) => self.timers.cancel(&key),
            Soft::Image(image) => self.image = image,
            Soft::Loaded(now) => self.begin_sessions(now),
            Soft::SweptUpTo(sweep, Some(group)) => drop(self.swept_up_to.insert(sweep, group)),
            Soft::SweptUpTo(sweep, None) => drop(self.swept_up_to.remove(&sweep)),
            Soft::Seen(id, seen) => {
                if let Some(group) = self.groups.get_mut(&id) {
                    group.seen = Some(seen);
                }
            }
            Soft::Rebalanced(id, rebalance) => {
                if let Some(group) = self.groups.get_mut(&id) {
                    group.last_rebalance = Some(rebalance);
                }
            }
            Soft::Event(event) => self.events.push(event),
        }
    }

    fn view(&self) {}
}

impl GroupCoordinator {
    fn apply_classic(&mut self, id: &str, value: Option<&GroupMetadataValue>) {
        let group = self.groups.entry(id.into()).or_default();
        group.recorded = value.cloned().map(Arc::new);
        if value.is_none() {
            group.classic = None;
            self.timers.cancel_group(&id.into());
        }
        self.forget_nothing(id);
    }

    /// Takes over a record of a consumer group. A tombstone of one that is gone says nothing.
    fn apply_consumer(&mut self, id: &str, record: &GroupRecord, has_value: bool) {
        self.touched.insert(id.into());
        if has_value {
            let group = self.groups.entry(id.into()).or_default();
            group.consumer.get_or_insert_default().apply(record);
        } else if let Some(consumer) = self.groups.get_mut(id).and_then(|group| group.consumer.as_mut()) {
            consumer.apply(record);
        }
    }

    fn forget_consumer(&mut self, id: &str) {
        if let Some(group) = self.groups.get_mut(id) {
            (group.consumer, group.seen) = (None, None);
            self.timers.cancel_group(&id.into());
        }
        self.forget_nothing(id);
    }

    /// A group of which nothing is known any more does not exist.
    fn forget_nothing(&mut self, id: &str) {
        if self.groups.get(id).is_some_and(Group::is_nothing) {
            self.groups.remove(id);
        }
    }

    /// Everybody whom the log tells of has the time of a session to show up.
    fn begin_sessions(&mut self, now: Now) {
        let default = self.config.consumer.times;
        for (id, group) in &mut self.groups {
            let times = self.image.member_times(id).unwrap_or(default);
            for member in group.consumer.iter().flat_map(ConsumerGroup::members) {
                let classic = member.classic.as_ref();
                let session_timeout = classic.map_or(times.session_timeout, |classic| classic.session_timeout);
                let timer = GroupTimer::Session(Arc::clone(&member.id));
                self.timers.set(TimerKey::Group(GroupId::clone(id), timer), now.mono + session_timeout);
                if classic.is_none() && member.state == MemberState::Unrevoked {
                    let timer = GroupTimer::Revocation(Arc::clone(&member.id));
                    self.timers.set(TimerKey::Group(GroupId::clone(id), timer), now.mono + member.rebalance_timeout());
                }
            }
            let Some(recorded) = &group.recorded else { continue };
            let classic = ClassicGroup::from_value(recorded);
            for member in classic.members() {
                let timer = GroupTimer::Session(Arc::clone(&member.id));
                self.timers.set(TimerKey::Group(GroupId::clone(id), timer), now.mono + member.session_timeout);
            }
            group.classic = Some(classic);
            self.touched.insert(GroupId::clone(id));
        }
    }
}
