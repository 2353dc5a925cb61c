//! The classic protocol, as a member speaks it: join, lead if one must, fetch the assignment, stay, leave.

use std::time::Duration;

use highwater_wire::join_group::JoinGroupRequestProtocol;
use highwater_wire::leave_group::MemberIdentity;
use highwater_wire::sync_group::SyncGroupRequestAssignment;
use highwater_wire::{
    ErrorCode, HeartbeatRequest, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest, SyncGroupRequest,
    SyncGroupResponse,
};

use super::requests::{assigned, assignment, error_code, subscription};
use super::{Asked, Member, Phase};
use crate::client::Context;
use crate::oracle::{Generation, Place, Told};

/// What a member remembers between two generations.
#[derive(Debug, Default)]
pub struct Classic {
    /// The partitions that there were when it told the group of them.
    seen: Vec<Place>,
    /// The group has begun another generation.
    pub must_rejoin: bool,
}

/// Heartbeats within one session.
const HEARTBEATS_PER_SESSION: u32 = 4;

impl Member {
    pub(super) fn join(&mut self, context: &mut Context<'_>) {
        let version = self.version(0, 5, 9);
        // A static member that comes back is not listened to: only its next join can tell the group of new partitions.
        if !self.options.is_static || !self.member_id.is_empty() {
            self.classic.seen = context.oracle.places_of_group(self.group);
        }
        let topics = self.group_options.topics.iter().copied();
        let seen = self.classic.seen.len();
        let metadata = subscription(topics, seen, self.rng.between(0, 3) as i16, context.oracle);
        let request = JoinGroupRequest {
            group_id: self.group_options.name.clone(),
            session_timeout_ms: self.group_options.session_timeout_ms,
            rebalance_timeout_ms: self.group_options.rebalance_timeout_ms,
            member_id: self.member_id.clone(),
            group_instance_id: self.instance_id(),
            protocol_type: "consumer".to_owned(),
            protocols: vec![JoinGroupRequestProtocol { name: "range".to_owned(), metadata }],
            reason: None,
        };
        let known = context.oracle.group(self.group).generation();
        self.coordinator.ask(request, version, Asked::Join(known), context);
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

    /// Gives out every partition, beginning with a different member each time.
    fn assign(&mut self, response: &JoinGroupResponse, context: &mut Context<'_>) -> Vec<SyncGroupRequestAssignment> {
        let count = response.members.len();
        let has_members = count > 0;
        context.oracle.require(has_members, "Answers", || format!("a leader is not told whom it leads: {response:?}"));
        if !has_members {
            return Vec::new();
        }
        let places = context.oracle.places_of_group(self.group);
        let shift = self.rng.index(count);
        let of = |index: usize| {
            let mine = places.iter().enumerate().filter(move |(at, _)| (at + shift) % count == index);
            mine.map(|(_, place)| *place)
        };
        let members = response.members.iter().enumerate().map(|(index, member)| SyncGroupRequestAssignment {
            member_id: member.member_id.clone(),
            assignment: assignment(of(index), context.oracle),
        });
        members.collect()
    }

    pub(super) fn sync(&mut self, assignments: Vec<SyncGroupRequestAssignment>, context: &mut Context<'_>) {
        let version = self.version(0, 3, 5);
        let request = SyncGroupRequest {
            group_id: self.group_options.name.clone(),
            generation_id: self.epoch,
            member_id: self.member_id.clone(),
            group_instance_id: self.instance_id(),
            protocol_type: Some("consumer".to_owned()),
            protocol_name: Some("range".to_owned()),
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
        self.take_over(&places);
        self.classic.must_rejoin = false;
        self.phase = Phase::Owning;
        self.ask_coordinator(context);
    }

    /// What a member does while nothing changes.
    pub(super) fn keep(&mut self, context: &mut Context<'_>) {
        if self.classic.must_rejoin || self.classic.seen != context.oracle.places_of_group(self.group) {
            let uncommitted = self.holding.uncommitted();
            if !uncommitted.is_empty() && self.rng.chance(700) {
                return self.commit(uncommitted, context);
            }
            self.give_up(Phase::Joining, context);
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
