//! Members that go: by themselves, or because nobody hears of them.

use highwater_wire::ErrorCode;
use highwater_wire::leave_group::{LeaveGroupRequest, LeaveGroupResponse, MemberIdentity};

use super::{Classic, State};
use crate::group::event::GroupEvent;
use crate::group::request::{GroupResponse, join_error, member_response, sync_error};
use crate::group::timers::GroupTimer;
use crate::group::{GroupId, MemberId};
use crate::replicated::Origin;

impl Classic<'_, '_> {
    /// Decides a leave. Every member succeeds or fails by itself.
    pub fn leave(&mut self, origin: Origin, request: &LeaveGroupRequest) {
        let mut last = None;
        let mut leave = |identity| {
            let left = self.leave_one(identity);
            let outcome = left.as_ref().map(drop).map_err(|&error| error);
            last = left.ok().or(last.take());
            member_response(identity, outcome)
        };
        let members = request.members.iter().map(&mut leave).collect();
        if let Some(member) = last {
            self.member_is_gone(&format!("{member} has left"));
        }
        self.draft.reply(origin, GroupResponse::LeaveGroup(LeaveGroupResponse { members, ..Default::default() }));
    }

    fn leave_one(&mut self, identity: &MemberIdentity) -> Result<MemberId, ErrorCode> {
        let (id, instance_id) = (identity.member_id.as_str(), identity.group_instance_id.as_deref());
        let id = match instance_id {
            // An administrator removes a static member by its name alone.
            _ if id.is_empty() => {
                let current = instance_id.and_then(|instance_id| self.group.static_members.get(instance_id));
                MemberId::clone(current.ok_or(ErrorCode::UnknownMemberId)?)
            }
            _ if self.group.pending_join.contains(id) => id.into(),
            instance_id => MemberId::clone(&self.group.validate_member(id, instance_id)?.id),
        };
        self.remove_member(&id);
        let reason = identity.reason.as_deref().filter(|reason| !reason.is_empty()).unwrap_or("it has left");
        self.draft.event(GroupEvent::MemberRemoved {
            group: GroupId::clone(&self.id),
            member: MemberId::clone(&id),
            reason: reason.into(),
        });
        Ok(id)
    }

    /// Nobody has heard of a member for the time of its session.
    pub fn session_timed_out(&mut self, id: &MemberId) {
        match self.group.member(id) {
            // The answer to its request begins the session anew.
            Some(member) if member.is_heard_of() => return,
            Some(_) => {}
            None if self.group.pending_join.contains(id) => {}
            None => return,
        }
        self.remove_member(id);
        let (group, member) = (GroupId::clone(&self.id), MemberId::clone(id));
        self.draft.event(GroupEvent::MemberRemoved { group, member, reason: "nothing was heard of it".into() });
        self.member_is_gone(&format!("{id} is gone: nothing was heard of it"));
    }

    /// Takes a member out and answers what it waits for: it may come back as somebody else.
    pub(super) fn remove_member(&mut self, id: &str) {
        self.draft.cancel_timer(&self.id, GroupTimer::Session(id.into()));
        let Some(member) = self.group.remove(id) else { return };
        if let Some(origin) = member.join {
            let response = join_error("", ErrorCode::UnknownMemberId);
            self.draft.reply(origin, GroupResponse::JoinGroup(response));
        }
        if let Some(origin) = member.sync {
            self.draft.reply(origin, GroupResponse::SyncGroup(sync_error(ErrorCode::UnknownMemberId)));
        }
    }

    /// Lets the rest of the group get on without who was taken out.
    pub(super) fn member_is_gone(&mut self, reason: &str) {
        match self.group.state {
            State::Empty => {}
            State::PreparingRebalance(_) => self.maybe_complete_join(),
            State::CompletingRebalance | State::Stable => self.prepare_rebalance(reason),
        }
    }
}
