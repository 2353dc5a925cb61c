//! The classic protocol, as a member speaks it: join, lead if one must, fetch the assignment, stay, leave.

use std::time::Duration;

use highwater_wire::join_group::JoinGroupRequestProtocol;
use highwater_wire::leave_group::MemberIdentity;
use highwater_wire::sync_group::SyncGroupRequestAssignment;
use highwater_wire::{
    ErrorCode, HeartbeatRequest, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest, SyncGroupRequest,
    SyncGroupResponse,
};

use super::assigning::{Claim, by_claims, in_turn};
use super::requests::{assigned, assignment, claimed, error_code, subscription};
use super::target::Surplus;
use super::{Asked, Member, Phase};
use crate::client::Context;
use crate::oracle::{Generation, Place, Told};

/// What a member remembers between two generations.
#[derive(Debug, Default)]
pub struct Classic {
    /// The partitions that there were when it told the group of them.
    seen: Vec<Place>,
    /// The generation in which it was told what it owns.
    owning_since: i32,
    /// The group has begun another generation.
    pub must_rejoin: bool,
}

/// Heartbeats within one session.
const HEARTBEATS_PER_SESSION: u32 = 4;

/// The first version of a subscription that says what its member owns and since which generation.
const GENERATIONS_FROM: u64 = 2;

impl Member {
    pub(super) fn join(&mut self, context: &mut Context<'_>) {
        let version = self.version(0, 5, 9);
        // A static member that comes back is not listened to: only its next join can tell the group of new partitions.
        if !self.options.is_static || !self.member_id.is_empty() {
            self.classic.seen = context.oracle.places_of_group(self.group);
        }
        let topics = self.group_options.topics.iter().copied();
        let seen = self.classic.seen.len();
        let claim = self
            .group_options
            .is_cooperative
            .then(|| Claim { generation: self.classic.owning_since, places: self.holding.owned().clone() });
        let first = if claim.is_some() { GENERATIONS_FROM } else { 0 };
        let metadata = subscription(topics, seen, claim.as_ref(), self.rng.between(first, 3) as i16, context.oracle);
        let request = JoinGroupRequest {
            group_id: self.group_options.name.clone(),
            session_timeout_ms: self.group_options.session_timeout_ms,
            rebalance_timeout_ms: self.group_options.rebalance_timeout_ms,
            member_id: self.member_id.clone(),
            group_instance_id: self.instance_id(),
            protocol_type: "consumer".to_owned(),
            protocols: vec![JoinGroupRequestProtocol { name: self.protocol_name(), metadata }],
            reason: None,
        };
        let known = context.oracle.group(self.group).generation();
        self.coordinator.ask(request, version, Asked::Join(known), context);
    }

    fn protocol_name(&self) -> String {
        if self.group_options.is_cooperative { "cooperative-sticky" } else { "range" }.to_owned()
    }

    pub(super) fn joined(&mut self, known: Generation, response: JoinGroupResponse, context: &mut Context<'_>) {
        match error_code(response.error_code) {
            ErrorCode::None => {}
            ErrorCode::MemberIdRequired => {
                self.member_id = response.member_id;
                return self.ask_coordinator(context);
            }
            error => return self.failed("JoinGroup", error, context),
        }
        let grown = context.oracle.group(self.group).joined(self.number, response.generation_id, known);
        context.oracle.note(grown);
        self.epoch = response.generation_id;
        let leads = response.leader == response.member_id && !response.skip_assignment;
        let assignments = if leads { self.assign(&response, context) } else { Vec::new() };
        self.member_id = response.member_id;
        self.phase = Phase::Syncing(assignments);
        self.ask_coordinator(context);
    }

    /// Gives out every partition, or all that nobody has still to give up.
    fn assign(&mut self, response: &JoinGroupResponse, context: &mut Context<'_>) -> Vec<SyncGroupRequestAssignment> {
        let members = &response.members;
        let has_members = !members.is_empty();
        context.oracle.require(has_members, "Answers", || format!("a leader is not told whom it leads: {response:?}"));
        if !has_members {
            return Vec::new();
        }
        let places = context.oracle.places_of_group(self.group);
        let given = if self.group_options.is_cooperative {
            let claims = members.iter().map(|member| claimed(&member.metadata, context.oracle).unwrap_or_default());
            by_claims(&places, &claims.collect::<Vec<_>>())
        } else {
            in_turn(&places, members.len(), self.rng.index(members.len()))
        };
        let assignments = members.iter().zip(given).map(|(member, given)| SyncGroupRequestAssignment {
            member_id: member.member_id.clone(),
            assignment: assignment(given.into_iter(), context.oracle),
        });
        assignments.collect()
    }

    pub(super) fn sync(&mut self, assignments: Vec<SyncGroupRequestAssignment>, context: &mut Context<'_>) {
        let version = self.version(0, 3, 5);
        let request = SyncGroupRequest {
            group_id: self.group_options.name.clone(),
            generation_id: self.epoch,
            member_id: self.member_id.clone(),
            group_instance_id: self.instance_id(),
            protocol_type: Some("consumer".to_owned()),
            protocol_name: Some(self.protocol_name()),
            assignments,
        };
        let asked = context.oracle.group(self.group).tick();
        self.coordinator.ask(request, version, Asked::Sync(asked), context);
    }

    pub(super) fn synced(&mut self, asked: u64, response: &SyncGroupResponse, context: &mut Context<'_>) {
        match error_code(response.error_code) {
            ErrorCode::None => {}
            error => return self.failed("SyncGroup", error, context),
        }
        let Some(places) = assigned(&response.assignment, context.oracle) else {
            return context.oracle.require(false, "Answers", || format!("nobody assigns {:?}", response.assignment));
        };
        context
            .trace
            .tell(context.now, self.coordinator.name(), || format!("owns {places:?} in generation {}", self.epoch));
        let owner = self.instance_id().unwrap_or_else(|| self.member_id.clone());
        let told = Told { client: self.number, member_id: &self.member_id, epoch: self.epoch, places: &places };
        let synced = context.oracle.group(self.group).synced(told, &owner, asked);
        context.oracle.note(synced);
        if self.group_options.is_cooperative {
            self.turn_to(places, context);
        } else {
            self.take_over(places);
        }
        // In a generation that it has missed somebody else may have owned what it loses, and got further.
        let has_missed_one = self.epoch > self.classic.owning_since + 1;
        self.classic.must_rejoin = has_missed_one && self.lose_surplus();
        self.classic.owning_since = self.epoch;
        self.phase = Phase::Owning;
        self.ask_coordinator(context);
    }

    /// What a member does while nothing changes.
    pub(super) fn keep(&mut self, context: &mut Context<'_>) {
        match self.give_up_surplus(context) {
            Surplus::None => {}
            Surplus::Committing => return,
            Surplus::GivenUp => self.classic.must_rejoin = true,
        }
        if self.classic.must_rejoin || self.classic.seen != context.oracle.places_of_group(self.group) {
            let uncommitted = self.holding.uncommitted();
            if !uncommitted.is_empty() && self.rng.chance(700) {
                return self.commit(uncommitted, context);
            }
            if self.group_options.is_cooperative {
                self.phase = Phase::Joining;
            } else {
                self.give_up(Phase::Joining, context);
            }
            return self.join(context);
        }
        if self.heartbeat_at <= context.now {
            let session = Duration::from_millis(self.group_options.session_timeout_ms as u64);
            self.heartbeat_at = context.now + session / HEARTBEATS_PER_SESSION;
            return self.heartbeat(context);
        }
        self.tend_offsets(context);
    }

    fn heartbeat(&mut self, context: &mut Context<'_>) {
        let version = self.version(0, 3, 4);
        let request = HeartbeatRequest {
            group_id: self.group_options.name.clone(),
            generation_id: self.epoch,
            member_id: self.member_id.clone(),
            group_instance_id: self.instance_id(),
        };
        self.coordinator.ask(request, version, Asked::Heartbeat, context);
    }

    pub(super) fn leave(&mut self, context: &mut Context<'_>) {
        let version = self.version(0, 3, 5);
        let member_id = self.member_id.clone();
        let mut request = LeaveGroupRequest { group_id: self.group_options.name.clone(), ..Default::default() };
        if version < 3 {
            request.member_id = member_id;
        } else {
            let group_instance_id = self.instance_id();
            request.members = vec![MemberIdentity { member_id, group_instance_id, reason: None }];
        }
        self.coordinator.ask(request, version, Asked::Leave, context);
    }
}
