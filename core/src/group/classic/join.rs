//! Joining a classic group.

use std::sync::Arc;

use highwater_wire::ErrorCode;
use highwater_wire::join_group::{JoinGroupRequest, JoinGroupResponse, JoinGroupResponseMember};

use super::rebalance::NEW_MEMBER_JOIN_TIMEOUT;
use super::{Classic, ClassicGroup, Member, Protocols, State};
use crate::group::request::{Client, GroupResponse, join_error, sync_error};
use crate::group::timers::GroupTimer;
use crate::group::{MemberId, member_id, millis};
use crate::limits::{CLASSIC_GROUP_BYTES_MAX, GROUP_PENDING_MEMBERS_MAX};
use crate::replicated::Origin;

/// From this version on, a member without an id gets one first and joins with it.
const MEMBER_ID_FIRST: i16 = 4;

/// From this version on, a leader can be told that the assignment stays.
const SKIP_ASSIGNMENT: i16 = 9;

/// A join, with what is decided by it.
pub(in crate::group) struct Join<'a> {
    pub origin: Origin,
    pub entropy: u128,
    pub client: &'a Client,
    pub version: i16,
    pub request: &'a JoinGroupRequest,
}

impl Join<'_> {
    /// Whether a new member gets an id before it joins.
    pub fn needs_id_first(&self) -> bool {
        self.version >= MEMBER_ID_FIRST
    }

    pub fn instance_id(&self) -> Option<&str> {
        self.request.group_instance_id.as_deref()
    }

    pub fn protocols(&self) -> Protocols {
        Protocols::new(&self.request.protocols)
    }

    fn reason(&self) -> &str {
        self.request.reason.as_deref().filter(|reason| !reason.is_empty()).unwrap_or("not provided")
    }

    /// What the request says of the member, which waits for its answer from now on.
    fn fill(&self, member: &mut Member) {
        member.protocols = self.protocols();
        member.session_timeout = millis(self.request.session_timeout_ms);
        member.rebalance_timeout = match self.version {
            0 => member.session_timeout,
            _ => millis(self.request.rebalance_timeout_ms),
        };
        member.join = Some(self.origin);
    }

    fn new_member(&self, id: MemberId) -> Member {
        let mut member = Member {
            id,
            instance_id: self.instance_id().map(Arc::from),
            client_id: self.client.id.as_str().into(),
            client_host: self.client.host.as_str().into(),
            rebalance_timeout: Default::default(),
            session_timeout: Default::default(),
            protocols: Protocols::new(&[]),
            assignment: Default::default(),
            join: None,
            sync: None,
            is_new: true,
        };
        self.fill(&mut member);
        member
    }
}

impl Classic<'_, '_> {
    /// Decides a join of a group that exists, or is made by it.
    pub fn join(&mut self, join: &Join<'_>) {
        if let Err(error) = self.try_join(join) {
            let member_id = match error {
                ErrorCode::GroupMaxSizeReached => "",
                _ => join.request.member_id.as_str(),
            };
            self.draft.reply(join.origin, GroupResponse::JoinGroup(join_error(member_id, error)));
        }
    }

    fn try_join(&mut self, join: &Join<'_>) -> Result<(), ErrorCode> {
        let id = join.request.member_id.as_str();
        self.accept(join)?;
        if !self.group.supports(&join.request.protocol_type, &join.protocols()) {
            return Err(ErrorCode::InconsistentGroupProtocol);
        }
        if id.is_empty() {
            return self.join_unknown(join);
        }
        if self.group.pending_join.contains(id) {
            self.group.pending_join.remove_mut(id);
            self.add_member(join, id.into());
            return Ok(());
        }
        self.group.validate_member(id, join.instance_id())?;
        self.join_again(join)
    }

    /// Whether there is room for the sender. One that must go is taken out, so that the rest can get on without it.
    fn accept(&mut self, join: &Join<'_>) -> Result<(), ErrorCode> {
        let (group, id, size_max) = (&self.group, join.request.member_id.as_str(), self.draft.config().max_size);
        let member = group.member(id);
        let has_room = match group.state {
            State::Empty => true,
            State::PreparingRebalance(_) => {
                member.is_some_and(|member| member.join.is_some()) || group.awaiting_join < size_max
            }
            State::CompletingRebalance | State::Stable => member.is_some() || group.members.size() < size_max,
        };
        let bytes = group.bytes - member.map_or(0, |member| member.protocols.bytes()) + join.protocols().bytes();
        if has_room && bytes <= CLASSIC_GROUP_BYTES_MAX {
            return Ok(());
        }
        if group.members.contains_key(id) || group.pending_join.contains(id) {
            self.remove_member(id);
            self.member_is_gone("a member was refused because the group is full");
        }
        Err(ErrorCode::GroupMaxSizeReached)
    }

    fn join_unknown(&mut self, join: &Join<'_>) -> Result<(), ErrorCode> {
        let id = member_id(join.instance_id().unwrap_or(&join.client.id), join.entropy);
        if let Some(instance_id) = join.instance_id() {
            match self.group.static_members.get(instance_id).cloned() {
                Some(replaced) => self.replace_static_member(join, &replaced, id),
                None => self.add_member(join, id),
            }
        } else if join.needs_id_first() {
            if self.group.pending_join.size() >= GROUP_PENDING_MEMBERS_MAX {
                return Err(ErrorCode::GroupMaxSizeReached);
            }
            let timeout = millis(join.request.session_timeout_ms);
            self.draft.set_timer(&self.id, GroupTimer::Session(MemberId::clone(&id)), timeout);
            let response = join_error(&id, ErrorCode::MemberIdRequired);
            self.draft.reply(join.origin, GroupResponse::JoinGroup(response));
            self.group.pending_join.insert_mut(id);
        } else {
            self.add_member(join, id);
        }
        Ok(())
    }

    fn add_member(&mut self, join: &Join<'_>, id: MemberId) {
        if self.group.members.is_empty() {
            self.group.protocol_type = Some(join.request.protocol_type.as_str().into());
            self.group.leader = Some(MemberId::clone(&id));
        }
        if let State::PreparingRebalance(Some(initial)) = &mut self.group.state {
            initial.has_new_member = true;
        }
        self.group.put(join.new_member(MemberId::clone(&id)));
        // Nobody hears of a client that gives up waiting for its first generation: it comes back as somebody else.
        self.draft.set_timer(&self.id, GroupTimer::Session(MemberId::clone(&id)), NEW_MEMBER_JOIN_TIMEOUT);
        self.rebalance(&format!("{id} joins; its reason: {}", join.reason()));
    }

    fn join_again(&mut self, join: &Join<'_>) -> Result<(), ErrorCode> {
        let id = join.request.member_id.as_str();
        let is_unchanged = self.group.member(id).is_some_and(|member| member.protocols == join.protocols());
        match self.group.state {
            State::PreparingRebalance(_) => self.update_member(join, "joins again"),
            // It may have missed the answer to its join.
            State::CompletingRebalance if is_unchanged => self.answer_with_generation(join),
            State::CompletingRebalance => self.update_member(join, "joins with other metadata"),
            // Topics may have changed, which only the leader looks after.
            State::Stable if self.group.is_leader(id) => self.update_member(join, "leads, and joins again"),
            State::Stable if is_unchanged => self.answer_with_generation(join),
            State::Stable => self.update_member(join, "joins with other metadata"),
            State::Empty => return Err(ErrorCode::UnknownMemberId),
        }
        Ok(())
    }

    fn update_member(&mut self, join: &Join<'_>, what: &str) {
        let id = join.request.member_id.as_str();
        self.answer_superseded(id, ErrorCode::RebalanceInProgress);
        self.group.update(id, |member| join.fill(member));
        self.rebalance(&format!("{id} {what}; its reason: {}", join.reason()));
    }

    fn answer_with_generation(&mut self, join: &Join<'_>) {
        let response = self.group.generation_response(&join.request.member_id);
        self.draft.reply(join.origin, GroupResponse::JoinGroup(response));
    }

    /// A static member comes back without its id: it takes the place of its former self.
    fn replace_static_member(&mut self, join: &Join<'_>, replaced: &str, id: MemberId) {
        let leader = self.group.leader.as_deref().unwrap_or_default().to_owned();
        self.answer_superseded(replaced, ErrorCode::FencedInstanceId);
        self.draft.cancel_timer(&self.id, GroupTimer::Session(replaced.into()));
        let mut member = Member::clone(&self.group.take(replaced).expect("a static name leads to its member"));
        member.id = MemberId::clone(&id);
        member.is_new = false;
        join.fill(&mut member);
        self.draft.set_timer(&self.id, GroupTimer::Session(MemberId::clone(&id)), member.session_timeout);
        self.group.put(member);
        if leader == replaced {
            self.group.leader = Some(MemberId::clone(&id));
        }
        self.group.pending_sync.remove_mut(replaced);
        match self.group.state {
            State::Stable if self.group.select_protocol() == self.group.protocol => {
                self.keep_assignment(join, &id, leader);
            }
            // The leader may be assigning to the former id.
            State::Stable | State::CompletingRebalance => {
                self.rebalance(&format!("{id} takes over a static member; its reason: {}", join.reason()));
            }
            State::PreparingRebalance(_) => self.maybe_complete_join(),
            State::Empty => unreachable!("an empty group has no static members"),
        }
    }

    /// Answers a static member that took over without a rebalance: its assignment is that of its former self.
    fn keep_assignment(&mut self, join: &Join<'_>, id: &MemberId, leader: String) {
        self.group.update(id, |member| member.join = None);
        self.record();
        let mut response = self.group.generation_response(id);
        if join.version >= SKIP_ASSIGNMENT {
            response.skip_assignment = self.group.is_leader(id);
        } else {
            // An older client that learns that it leads would assign: it is told of the leader that was.
            response.leader = leader;
            response.members.clear();
        }
        self.draft.reply(join.origin, GroupResponse::JoinGroup(response));
    }

    /// Answers the requests of a member that wait: something else has come in their place.
    pub(super) fn answer_superseded(&mut self, id: &str, error: ErrorCode) {
        let Some(member) = self.group.member(id).cloned() else { return };
        if let Some(origin) = member.join {
            self.draft.reply(origin, GroupResponse::JoinGroup(join_error(id, error)));
        }
        if let Some(origin) = member.sync {
            self.draft.reply(origin, GroupResponse::SyncGroup(sync_error(error)));
        }
        self.group.update(id, |member| (member.join, member.sync) = (None, None));
    }
}

impl ClassicGroup {
    /// What a member is told of the generation that it is in.
    pub(super) fn generation_response(&self, id: &str) -> JoinGroupResponse {
        let members = if self.is_leader(id) { self.members_for_leader() } else { Vec::new() };
        JoinGroupResponse {
            generation_id: self.generation,
            protocol_type: self.protocol_type.as_deref().map(str::to_owned),
            protocol_name: self.protocol.as_deref().map(str::to_owned),
            leader: self.leader.as_deref().unwrap_or_default().to_owned(),
            member_id: id.to_owned(),
            members,
            ..JoinGroupResponse::default()
        }
    }

    fn members_for_leader(&self) -> Vec<JoinGroupResponseMember> {
        let protocol = self.protocol.as_deref().unwrap_or_default();
        let members = self.members.values().map(|member| JoinGroupResponseMember {
            member_id: member.id.to_string(),
            group_instance_id: member.instance_id.as_deref().map(str::to_owned),
            metadata: member.protocols.metadata(protocol).cloned().unwrap_or_default(),
        });
        members.collect()
    }
}
