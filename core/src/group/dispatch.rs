//! Finds who decides about a request: the protocol of its group, or the coordinator as a whole.

use highwater_wire::ErrorCode;
use highwater_wire::heartbeat::{HeartbeatRequest, HeartbeatResponse};
use highwater_wire::join_group::JoinGroupRequest;
use highwater_wire::leave_group::{LeaveGroupRequest, LeaveGroupResponse};
use highwater_wire::sync_group::SyncGroupRequest;

use super::classic::{Classic, ClassicGroup, Join};
use super::consumer::{self, Consumer, Heartbeat};
use super::draft::{Draft, Soft};
use super::request::{join_error, member_response, sync_error};
use super::timers::{GroupTimer, Sweep, TimerKey};
use super::{Client, GroupCall, GroupConfig, GroupId, GroupRequest, GroupResponse, groups, millis, offsets};
use crate::replicated::Origin;

/// Decides a request.
pub(super) fn decide(draft: &mut Draft<'_>, request: &GroupRequest) {
    match request {
        GroupRequest::Call { origin, entropy, client, call } => decide_call(draft, *origin, *entropy, client, call),
        GroupRequest::Timeout => decide_timeout(draft),
        GroupRequest::Image(image) => offsets::adopt(draft, image),
        GroupRequest::Loaded => {
            draft.soft(Soft::Loaded(draft.now));
            rebalance_loaded(draft);
            let deadline = draft.now.mono + draft.config().offsets_retention_check_interval;
            draft.soft(Soft::SetTimer(TimerKey::Sweep(Sweep::Expired), deadline));
        }
    }
}

/// Groups that cannot go on as the log says rebalance: those that are larger than today's limit allows, where whoever joins
/// again first stays, and those whose rebalance after a change of protocol a failover has interrupted.
fn rebalance_loaded(draft: &mut Draft<'_>) {
    let (coordinator, size_max) = (draft.coordinator, draft.config().max_size);
    for (id, group) in coordinator.groups() {
        let Some(recorded) = &group.recorded else { continue };
        let reason = match recorded.members.len() {
            0 => continue,
            count if count > size_max => "the group has more members than group.max.size",
            _ if recorded.leader.is_none() => "a rebalance after a change of protocol was interrupted",
            _ => continue,
        };
        let mut classic = Classic::new(draft, GroupId::clone(id), ClassicGroup::from_value(recorded));
        classic.prepare_rebalance(reason);
        classic.finish();
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
        GroupCall::ConsumerGroupHeartbeat { version, request } => {
            let heartbeat = Heartbeat { origin, entropy, client, version: *version, request };
            return consumer::decide_heartbeat(draft, &heartbeat);
        }
        GroupCall::ConsumerGroupDescribe(ids) => {
            GroupResponse::ConsumerGroupDescribe(consumer::describe(draft.coordinator, ids))
        }
    };
    draft.reply(origin, response);
}

/// A copy of the group's members to decide on, if it is one of the classic protocol.
fn classic<'d, 'c>(draft: &'d mut Draft<'c>, id: &str) -> Option<Classic<'d, 'c>> {
    let (id, group) = draft.coordinator.groups().get_key_value(id)?;
    let classic = group.classic.clone()?;
    Some(Classic::new(draft, GroupId::clone(id), classic))
}

/// A copy of the group to decide on, if it is one of the consumer protocol that has members.
fn consumer<'d, 'c>(draft: &'d mut Draft<'c>, id: &str) -> Option<Consumer<'d, 'c>> {
    let (id, group) = draft.coordinator.groups().get_key_value(id)?;
    let consumer = group.consumer.clone().filter(|consumer| consumer.member_count() > 0)?;
    Some(Consumer::new(draft, GroupId::clone(id), consumer))
}

fn decide_join(draft: &mut Draft<'_>, join: &Join<'_>) {
    if let Err(error) = check_join(draft.config(), join.request) {
        return refuse_join(draft, join, error);
    }
    let id = join.request.group_id.as_str();
    if let Some(mut consumer) = consumer(draft, id) {
        return consumer.join_classic(join);
    }
    let mut classic = match classic(draft, id) {
        Some(classic) => classic,
        None if join.request.member_id.is_empty() => {
            if let Some(group) = draft.coordinator.group(id).and_then(|group| group.consumer.clone()) {
                Consumer::new(draft, id.into(), group).remove_group();
            }
            let now = draft.now.wall;
            let mut classic = Classic::new(draft, id.into(), ClassicGroup::new(now));
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
    if let Some(mut consumer) = consumer(draft, &request.group_id) {
        return consumer.sync_classic(origin, request);
    }
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
    if let Some(mut classic) = classic(draft, &request.group_id) {
        return classic.heartbeat(origin, request);
    }
    let outcome = match consumer(draft, &request.group_id) {
        Some(mut consumer) => consumer.heartbeat_classic(request),
        None => Err(missing_group(&request.group_id)),
    };
    let error_code = outcome.err().unwrap_or(ErrorCode::None).code();
    draft.reply(origin, GroupResponse::Heartbeat(HeartbeatResponse { error_code, ..HeartbeatResponse::default() }));
}

fn decide_leave(draft: &mut Draft<'_>, origin: Origin, request: &LeaveGroupRequest) {
    if let Some(mut consumer) = consumer(draft, &request.group_id) {
        return consumer.leave_classic(origin, request);
    }
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
    let Some(key) = coordinator.timers().due(draft.now.mono) else { return };
    draft.soft(Soft::CancelTimer(key.clone()));
    match key {
        TimerKey::Sweep(sweep) => offsets::decide_sweep(draft, *sweep),
        TimerKey::Group(id, timer) => {
            let Some(mut classic) = classic(draft, id) else { return consumer::decide_timeout(draft, id, timer) };
            match timer {
                GroupTimer::Join => classic.join_timed_out(),
                GroupTimer::Sync => classic.sync_timed_out(),
                GroupTimer::Session(member) => classic.session_timed_out(member),
                // Of the consumer group that it was.
                GroupTimer::Revocation(_) | GroupTimer::ClassicJoin(_) | GroupTimer::ClassicSync(_) => {}
            }
            classic.finish();
        }
    }
}
