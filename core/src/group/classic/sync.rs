//! Handing out a classic group's assignment, and keeping its members.

use std::collections::BTreeMap;

use bytes::Bytes;
use highwater_wire::ErrorCode;
use highwater_wire::heartbeat::{HeartbeatRequest, HeartbeatResponse};
use highwater_wire::sync_group::{SyncGroupRequest, SyncGroupResponse};

use super::{Classic, ClassicGroup, State};
use crate::group::MemberId;
use crate::group::request::{GroupResponse, sync_error};
use crate::group::timers::GroupTimer;
use crate::replicated::Origin;

impl Classic<'_, '_> {
    /// Decides a sync.
    pub fn sync(&mut self, origin: Origin, request: &SyncGroupRequest) {
        let id = request.member_id.as_str();
        match self.group.validate_sync(request).map(|()| self.group.state) {
            Err(error) => self.draft.reply(origin, GroupResponse::SyncGroup(sync_error(error))),
            Ok(State::Empty) => unreachable!("an empty group has no member that could sync"),
            Ok(State::PreparingRebalance(_)) => {
                let response = sync_error(ErrorCode::RebalanceInProgress);
                self.draft.reply(origin, GroupResponse::SyncGroup(response));
            }
            Ok(State::CompletingRebalance) => {
                self.answer_superseded(id, ErrorCode::RebalanceInProgress);
                self.group.update(id, |member| member.sync = Some(origin));
                self.has_synced(id);
                if self.group.is_leader(id) {
                    self.hand_out(request);
                }
            }
            Ok(State::Stable) => {
                self.has_synced(id);
                let response = self.group.assignment_response(id);
                self.draft.reply(origin, GroupResponse::SyncGroup(response));
            }
        }
    }

    fn has_synced(&mut self, id: &str) {
        self.group.pending_sync.remove_mut(id);
        if self.group.pending_sync.is_empty() {
            self.draft.cancel_timer(&self.id, GroupTimer::Sync);
        }
    }

    /// Takes the leader's assignment over and answers everybody who waits for it.
    fn hand_out(&mut self, request: &SyncGroupRequest) {
        let assignments: BTreeMap<&str, &Bytes> =
            request.assignments.iter().map(|one| (one.member_id.as_str(), &one.assignment)).collect();
        let members: Vec<_> = self.group.members().cloned().collect();
        for member in &members {
            let assignment = assignments.get(&*member.id).copied().cloned().unwrap_or_default();
            self.group.update(&member.id, |member| (member.assignment, member.sync) = (assignment, None));
        }
        self.group.move_to(State::Stable, self.draft.now.wall);
        self.record();
        for member in members {
            let Some(origin) = member.sync else { continue };
            let response = self.group.assignment_response(&member.id);
            self.draft.reply(origin, GroupResponse::SyncGroup(response));
            self.restart_session(&member.id, member.session_timeout);
        }
    }

    /// Some members have not fetched their assignments in time.
    pub fn sync_timed_out(&mut self) {
        if !matches!(self.group.state, State::CompletingRebalance | State::Stable) {
            return;
        }
        let missing: Vec<MemberId> = self.group.pending_sync.iter().cloned().collect();
        if missing.is_empty() {
            return;
        }
        for id in missing {
            self.remove_member(&id);
        }
        self.prepare_rebalance("members have not fetched their assignments in time");
    }

    /// Decides a heartbeat.
    pub fn heartbeat(&mut self, origin: Origin, request: &HeartbeatRequest) {
        let outcome = self.group.validate_heartbeat(request);
        if matches!(outcome, Ok(()) | Err(ErrorCode::RebalanceInProgress)) {
            let member = self.group.member(&request.member_id).expect("it was looked up").clone();
            self.restart_session(&member.id, member.session_timeout);
        }
        let error_code = outcome.err().unwrap_or(ErrorCode::None).code();
        self.draft
            .reply(origin, GroupResponse::Heartbeat(HeartbeatResponse { error_code, ..HeartbeatResponse::default() }));
    }
}

impl ClassicGroup {
    fn validate_sync(&self, request: &SyncGroupRequest) -> Result<(), ErrorCode> {
        self.validate_member(&request.member_id, request.group_instance_id.as_deref())?;
        let differs = |theirs: &Option<String>, ours: Option<&str>| {
            theirs.as_deref().zip(ours).is_some_and(|(theirs, ours)| theirs != ours)
        };
        if request.generation_id != self.generation {
            return Err(ErrorCode::IllegalGeneration);
        }
        if differs(&request.protocol_type, self.protocol_type.as_deref())
            || differs(&request.protocol_name, self.protocol.as_deref())
        {
            return Err(ErrorCode::InconsistentGroupProtocol);
        }
        Ok(())
    }

    fn validate_heartbeat(&self, request: &HeartbeatRequest) -> Result<(), ErrorCode> {
        self.validate_member(&request.member_id, request.group_instance_id.as_deref())?;
        if request.generation_id != self.generation {
            return Err(ErrorCode::IllegalGeneration);
        }
        match self.state {
            State::PreparingRebalance(_) => Err(ErrorCode::RebalanceInProgress),
            State::Empty | State::CompletingRebalance | State::Stable => Ok(()),
        }
    }

    fn assignment_response(&self, id: &str) -> SyncGroupResponse {
        SyncGroupResponse {
            protocol_type: self.protocol_type.as_deref().map(str::to_owned),
            protocol_name: self.protocol.as_deref().map(str::to_owned),
            assignment: self.member(id).map(|member| member.assignment.clone()).unwrap_or_default(),
            ..SyncGroupResponse::default()
        }
    }
}
