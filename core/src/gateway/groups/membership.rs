//! Joining, syncing, keeping and leaving a group: one coordinator, one answer.

use highwater_wire::heartbeat::HeartbeatRequest;
use highwater_wire::join_group::JoinGroupRequest;
use highwater_wire::leave_group::{LeaveGroupRequest, LeaveGroupResponse, MemberIdentity};
use highwater_wire::sync_group::SyncGroupRequest;
use highwater_wire::{AnyResponse, ConsumerGroupHeartbeatRequest, ErrorCode};

use super::{Assemble, GroupsCall};
use crate::gateway::call::Context;
use crate::group::{GroupCall, GroupResponse};

/// The first version of LeaveGroup that names several members.
const SEVERAL_MEMBERS_VERSION: i16 = 3;

/// The first version of JoinGroup that may leave out the protocol's name.
const NO_PROTOCOL_VERSION: i16 = 7;

/// The first version of SyncGroup that must tell the protocol (KIP-559).
const SYNC_PROTOCOL_VERSION: i16 = 5;

impl GroupsCall {
    /// Joins a classic group.
    pub(in crate::gateway) fn join(context: &mut Context<'_>, request: JoinGroupRequest) -> Self {
        let group = request.group_id.clone();
        let call = GroupCall::JoinGroup { version: context.version, request };
        Self::ask_one(context, Assemble::Only, &group, call)
    }

    /// Hands out or fetches an assignment.
    pub(in crate::gateway) fn sync(context: &mut Context<'_>, mut request: SyncGroupRequest) -> Self {
        if context.version >= SYNC_PROTOCOL_VERSION {
            // What is left out agrees with no group.
            request.protocol_type.get_or_insert_default();
            request.protocol_name.get_or_insert_default();
        }
        let group = request.group_id.clone();
        Self::ask_one(context, Assemble::Only, &group, GroupCall::SyncGroup(request))
    }

    /// Keeps a member.
    pub(in crate::gateway) fn heartbeat(context: &mut Context<'_>, request: HeartbeatRequest) -> Self {
        let group = request.group_id.clone();
        Self::ask_one(context, Assemble::Only, &group, GroupCall::Heartbeat(request))
    }

    /// Joins, keeps and leaves a group of the consumer protocol.
    pub(in crate::gateway) fn consumer_heartbeat(
        context: &mut Context<'_>,
        request: ConsumerGroupHeartbeatRequest,
    ) -> Self {
        let group = request.group_id.clone();
        let call = GroupCall::ConsumerGroupHeartbeat { version: context.version, request };
        Self::ask_one(context, Assemble::Only, &group, call)
    }

    /// Removes members.
    pub(in crate::gateway) fn leave(context: &mut Context<'_>, mut request: LeaveGroupRequest) -> Self {
        if context.version < SEVERAL_MEMBERS_VERSION {
            let member_id = std::mem::take(&mut request.member_id);
            request.members = vec![MemberIdentity { member_id, ..Default::default() }];
        }
        let group = request.group_id.clone();
        Self::ask_one(context, Assemble::Leave, &group, GroupCall::LeaveGroup(request))
    }

    fn ask_one(context: &mut Context<'_>, assemble: Assemble, group: &str, ask: GroupCall) -> Self {
        let mut call = Self::new(assemble, 1);
        call.ask(context, group, ask);
        call
    }
}

/// The answer of the only coordinator.
pub(super) fn only(answer: GroupResponse, version: i16) -> AnyResponse {
    match answer {
        GroupResponse::JoinGroup(mut response) => {
            if version < NO_PROTOCOL_VERSION {
                response.protocol_name.get_or_insert_default();
            }
            response.into()
        }
        GroupResponse::SyncGroup(response) => response.into(),
        GroupResponse::Heartbeat(response) => response.into(),
        GroupResponse::ConsumerGroupHeartbeat(response) => response.into(),
        answer => unreachable!("not an answer to what was asked: {answer:?}"),
    }
}

/// What became of the leaving members.
pub(super) fn leave(answer: GroupResponse, version: i16) -> AnyResponse {
    let GroupResponse::LeaveGroup(response) = answer else {
        unreachable!("not an answer to what was asked: {answer:?}")
    };
    if version >= SEVERAL_MEMBERS_VERSION {
        return response.into();
    }
    let of_member = response.members.first().map_or(ErrorCode::None.code(), |member| member.error_code);
    let error_code = if response.error_code == ErrorCode::None.code() { of_member } else { response.error_code };
    LeaveGroupResponse { error_code, ..Default::default() }.into()
}
