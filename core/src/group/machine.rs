//! The coordinator as a machine over its log.

use std::collections::BTreeMap;
use std::sync::Arc;

use highwater_wire::group_records::GroupMetadataValue;
use highwater_wire::heartbeat::{HeartbeatRequest, HeartbeatResponse};
use highwater_wire::join_group::JoinGroupRequest;
use highwater_wire::leave_group::{LeaveGroupRequest, LeaveGroupResponse};
use highwater_wire::sync_group::SyncGroupRequest;
use highwater_wire::{ErrorCode, GroupRecord};

use super::classic::{Classic, ClassicGroup, Join};
use super::draft::{Draft, Soft};
use super::offsets::{self, Offsets};
use super::request::{join_error, member_response, refusal_code, sync_error};
use super::timers::{GroupTimer, TimerKey, Timers};
use super::{Client, GroupCall, GroupConfig, GroupEvent, GroupId, GroupRequest, GroupResponse, groups, millis};
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
    sweep_from: Option<GroupId>,
    events: Vec<GroupEvent>,
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
}

impl Group {
    /// Its members; who only commits has none.
    pub fn classic(&self) -> ClassicGroup {
        self.classic.clone().unwrap_or_else(|| ClassicGroup::new(WallMs::default()))
    }

    fn is_nothing(&self) -> bool {
        self.recorded.is_none() && self.classic.is_none() && self.offsets.is_empty()
    }
}

impl GroupCoordinator {
    /// A coordinator that knows nothing yet. It is ready once its log and then [`GroupRequest::Loaded`] have been
    /// handled.
    pub fn new(config: Arc<GroupConfig>, image: Arc<Image>) -> Self {
        Self { config, image, groups: BTreeMap::new(), timers: Timers::default(), sweep_from: None, events: Vec::new() }
    }

    /// When [`GroupRequest::Timeout`] is due next, and for what.
    pub fn poll_timeout(&self) -> Option<(Instant, Reason)> {
        self.timers.poll_timeout()
    }

    /// What has happened since this was last asked. A decision that is not committed may be among it.
    pub fn take_events(&mut self) -> Vec<GroupEvent> {
        std::mem::take(&mut self.events)
    }

    pub(super) fn config(&self) -> &GroupConfig {
        &self.config
    }

    pub(super) fn image(&self) -> &Image {
        &self.image
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

    pub(super) fn sweep_from(&self) -> Option<&GroupId> {
        self.sweep_from.as_ref()
    }

    /// Asserts the invariants of the module's head, but for the one about replaying. Slow: for tests and the simulator.
    pub fn check(&self) {
        self.timers.check();
        for (id, group) in &self.groups {
            assert!(!group.is_nothing(), "{id} is a group because something is known of it");
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
            assert!(
                self.group(id).is_some_and(|group| group.classic.is_some()),
                "{id} exists, since it has a deadline"
            );
        }
    }

    /// Asserts that both have the same durable state. Slow: for tests and the simulator.
    pub fn check_replayed(&self, replayed: &Self) {
        let durable = |group: &(&GroupId, &Group)| group.1.recorded.is_some() || !group.1.offsets.is_empty();
        let ours: Vec<_> = self.groups.iter().filter(durable).collect();
        let theirs: Vec<_> = replayed.groups.iter().filter(durable).collect();
        assert_eq!(ours.len(), theirs.len(), "the log tells of all groups and of no others");
        for ((id, group), (other_id, other)) in ours.into_iter().zip(theirs) {
            assert_eq!(id, other_id, "the log tells of all groups and of no others");
            assert_eq!(group.recorded, other.recorded, "the log says who is in {id}");
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
        match request {
            GroupRequest::Call { origin, entropy, client, call } => {
                decide_call(&mut draft, *origin, *entropy, client, call);
            }
            GroupRequest::Timeout => decide_timeout(&mut draft),
            GroupRequest::Image(image) => offsets::adopt(&mut draft, image),
            GroupRequest::Loaded => {
                draft.soft(Soft::Loaded(now));
                let deadline = now.mono + self.config.offsets_retention_check_interval;
                draft.soft(Soft::SetTimer(TimerKey::Sweep, deadline));
            }
        }
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
            GroupRecord::ConsumerGroupMetadata(..)
            | GroupRecord::ConsumerGroupPartitionMetadata(..)
            | GroupRecord::ConsumerGroupMemberMetadata(..)
            | GroupRecord::ConsumerGroupTargetAssignmentMetadata(..)
            | GroupRecord::ConsumerGroupTargetAssignmentMember(..)
            | GroupRecord::ConsumerGroupCurrentMemberAssignment(..)
            | GroupRecord::ConsumerGroupRegularExpression(..) => {}
        }
    }

    fn absorb(&mut self, soft: Soft) {
        match soft {
            Soft::Classic(id, classic) => {
                if let Some(group) = self.groups.get_mut(&id) {
                    group.classic = Some(*classic);
                }
            }
            Soft::SetTimer(key, deadline) => self.timers.set(key, deadline),
            Soft::CancelTimer(key) => self.timers.cancel(&key),
            Soft::Image(image) => self.image = image,
            Soft::Loaded(now) => self.begin_sessions(now),
            Soft::SweptUpTo(group) => self.sweep_from = group,
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

    /// A group of which nothing is known any more does not exist.
    fn forget_nothing(&mut self, id: &str) {
        if self.groups.get(id).is_some_and(Group::is_nothing) {
            self.groups.remove(id);
        }
    }

    /// Everybody whom the log tells of has the time of a session to show up.
    fn begin_sessions(&mut self, now: Now) {
        for (id, group) in &mut self.groups {
            let Some(recorded) = &group.recorded else { continue };
            let classic = ClassicGroup::from_value(recorded);
            for member in classic.members() {
                let timer = GroupTimer::Session(Arc::clone(&member.id));
                self.timers.set(TimerKey::Group(GroupId::clone(id), timer), now.mono + member.session_timeout);
            }
            group.classic = Some(classic);
        }
    }
}

fn decide_call(draft: &mut Draft<'_>, origin: Origin, entropy: u128, client: &Client, call: &GroupCall) {
    let response = match call {
        GroupCall::JoinGroup { version, request } => {
            let join = Join { origin, entropy, client, version: *version, request };
            return decide_join(draft, &join);
        }
        GroupCall::SyncGroup(request) => return decide_sync(draft, origin, request),
        GroupCall::Heartbeat(request) => return decide_heartbeat(draft, origin, request),
        GroupCall::LeaveGroup(request) => return decide_leave(draft, origin, request),
        GroupCall::OffsetCommit { version, request } => {
            GroupResponse::OffsetCommit(offsets::decide_commit(draft, *version, request))
        }
        GroupCall::OffsetFetch(group) => GroupResponse::OffsetFetch(offsets::fetch(draft.coordinator, group)),
        GroupCall::OffsetDelete(request) => GroupResponse::OffsetDelete(offsets::decide_delete(draft, request)),
        GroupCall::DescribeGroups { version, groups: ids } => {
            GroupResponse::DescribeGroups(groups::describe(draft.coordinator, *version, ids))
        }
        GroupCall::ListGroups(request) => GroupResponse::ListGroups(Ok(groups::list(draft.coordinator, request))),
        GroupCall::DeleteGroups(ids) => GroupResponse::DeleteGroups(groups::decide_delete(draft, ids)),
    };
    draft.reply(origin, response);
}

/// A copy of the group's members to decide on, if it is one of the classic protocol.
fn classic<'d, 'c>(draft: &'d mut Draft<'c>, id: &str) -> Option<Classic<'d, 'c>> {
    let (id, group) = draft.coordinator.groups.get_key_value(id)?;
    let classic = group.classic.clone()?;
    Some(Classic::new(draft, GroupId::clone(id), classic))
}

fn decide_join(draft: &mut Draft<'_>, join: &Join<'_>) {
    if let Err(error) = check_join(draft.config(), join.request) {
        return refuse_join(draft, join, error);
    }
    let id = join.request.group_id.as_str();
    let mut classic = match classic(draft, id) {
        Some(classic) => classic,
        None if join.request.member_id.is_empty() => {
            let mut classic = Classic::new(draft, id.into(), ClassicGroup::new(draft.now.wall));
            classic.record();
            classic
        }
        None => return refuse_join(draft, join, ErrorCode::UnknownMemberId),
    };
    classic.join(join);
    classic.finish();
}

fn refuse_join(draft: &mut Draft<'_>, join: &Join<'_>, error: ErrorCode) {
    let response = join_error(&join.request.member_id, error);
    draft.reply(join.origin, GroupResponse::JoinGroup(response));
}

fn check_join(config: &GroupConfig, request: &JoinGroupRequest) -> Result<(), ErrorCode> {
    let session_timeout = millis(request.session_timeout_ms);
    if request.group_id.is_empty() {
        return Err(ErrorCode::InvalidGroupId);
    }
    if session_timeout < config.min_session_timeout || session_timeout > config.max_session_timeout {
        return Err(ErrorCode::InvalidSessionTimeout);
    }
    Ok(())
}

/// The error for a request that needs a member, where there is no group that could have one.
fn missing_group(id: &str) -> ErrorCode {
    if id.is_empty() { ErrorCode::InvalidGroupId } else { ErrorCode::UnknownMemberId }
}

fn decide_sync(draft: &mut Draft<'_>, origin: Origin, request: &SyncGroupRequest) {
    match classic(draft, &request.group_id) {
        Some(mut classic) => {
            classic.sync(origin, request);
            classic.finish();
        }
        None => {
            let response = sync_error(missing_group(&request.group_id));
            draft.reply(origin, GroupResponse::SyncGroup(response));
        }
    }
}

fn decide_heartbeat(draft: &mut Draft<'_>, origin: Origin, request: &HeartbeatRequest) {
    match classic(draft, &request.group_id) {
        Some(mut classic) => classic.heartbeat(origin, request),
        None => {
            let error_code = missing_group(&request.group_id).code();
            draft.reply(
                origin,
                GroupResponse::Heartbeat(HeartbeatResponse { error_code, ..HeartbeatResponse::default() }),
            );
        }
    }
}

fn decide_leave(draft: &mut Draft<'_>, origin: Origin, request: &LeaveGroupRequest) {
    if let Some(mut classic) = classic(draft, &request.group_id) {
        classic.leave(origin, request);
        return classic.finish();
    }
    let response = match missing_group(&request.group_id) {
        ErrorCode::UnknownMemberId => {
            let unknown = |identity| member_response(identity, Err(ErrorCode::UnknownMemberId));
            LeaveGroupResponse { members: request.members.iter().map(unknown).collect(), ..Default::default() }
        }
        error => LeaveGroupResponse { error_code: error.code(), ..Default::default() },
    };
    draft.reply(origin, GroupResponse::LeaveGroup(response));
}

/// Decides about the earliest deadline that has passed; the next one comes in a decision of its own.
fn decide_timeout(draft: &mut Draft<'_>) {
    let coordinator = draft.coordinator;
    let Some(key) = coordinator.timers.due(draft.now.mono) else { return };
    draft.soft(Soft::CancelTimer(key.clone()));
    match key {
        TimerKey::Sweep => offsets::decide_sweep(draft),
        TimerKey::Group(id, timer) => {
            let Some(mut classic) = classic(draft, id) else { return };
            match timer {
                GroupTimer::Join => classic.join_timed_out(),
                GroupTimer::Sync => classic.sync_timed_out(),
                GroupTimer::Session(member) => classic.session_timed_out(member),
            }
            classic.finish();
        }
    }
}
