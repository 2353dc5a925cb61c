//! What a coordinator can be asked, and what it answers.
//!
//! The messages are Kafka's own. The gateway splits what names several groups or shards, resolves topic ids and names
//! into both, and removes what the answer's version cannot say.

use std::sync::Arc;

use highwater_wire::delete_groups::DeletableGroupResult;
use highwater_wire::describe_groups::DescribedGroup;
use highwater_wire::heartbeat::{HeartbeatRequest, HeartbeatResponse};
use highwater_wire::join_group::{JoinGroupRequest, JoinGroupResponse};
use highwater_wire::leave_group::{LeaveGroupRequest, LeaveGroupResponse, MemberIdentity, MemberResponse};
use highwater_wire::list_groups::{ListGroupsRequest, ListedGroup};
use highwater_wire::offset_commit::{OffsetCommitRequest, OffsetCommitResponse};
use highwater_wire::offset_delete::{OffsetDeleteRequest, OffsetDeleteResponse};
use highwater_wire::offset_fetch::{OffsetFetchRequestGroup, OffsetFetchResponseGroup};
use highwater_wire::sync_group::{SyncGroupRequest, SyncGroupResponse};
use highwater_wire::{
    ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, ErrorCode, consumer_group_describe,
};

use super::{consumer, offsets};
use crate::controller::Image;
use crate::replicated::{Origin, Refusal};

/// What a coordinator decides about.
#[derive(Clone, Debug)]
pub enum GroupRequest {
    /// A client asks.
    Call {
        /// Who asks, and where the answer goes: perhaps much later.
        origin: Origin,
        /// Random bits for what the decision must draw: deciding has none of its own.
        entropy: u128,
        /// The client, as it calls itself.
        client: Client,
        /// What it asks.
        call: Box<GroupCall>,
    },
    /// The time of [`poll_timeout`](super::GroupCoordinator::poll_timeout) has come.
    Timeout,
    /// The cluster's metadata has changed.
    Image(Arc<Image>),
    /// The whole log has been applied: sessions begin anew, since their deadlines were not in it.
    Loaded,
}

/// A client, as groups show it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Client {
    /// Its client id.
    pub id: String,
    /// Its address, as Kafka writes it.
    pub host: String,
}

/// A request of a client.
#[derive(Clone, Debug)]
pub enum GroupCall {
    /// Joins a classic group.
    JoinGroup {
        /// The request's version: from 4 on a new member first gets an id, from 9 on a leader may be told to leave the
        /// assignment alone.
        version: i16,
        /// The request.
        request: JoinGroupRequest,
    },
    /// Hands out or fetches a classic group's assignment.
    SyncGroup(SyncGroupRequest),
    /// Keeps a member of a classic group.
    Heartbeat(HeartbeatRequest),
    /// Removes members. Versions without `members` come as a list of one.
    LeaveGroup(LeaveGroupRequest),
    /// Stores offsets of topics whose names and ids are both filled in.
    OffsetCommit {
        /// The request's version: from 9 on, a group that does not exist has an error of its own.
        version: i16,
        /// The request.
        request: OffsetCommitRequest,
    },
    /// Looks offsets up; topics have their names and, where they exist, their ids.
    OffsetFetch(OffsetFetchRequestGroup),
    /// Forgets offsets.
    OffsetDelete(OffsetDeleteRequest),
    /// Describes groups as the classic protocol sees them.
    DescribeGroups {
        /// The request's version: from 6 on, a group that does not exist is an error.
        version: i16,
        /// The groups' ids.
        groups: Vec<String>,
    },
    /// Lists the groups of this coordinator.
    ListGroups(ListGroupsRequest),
    /// Removes groups that have no members.
    DeleteGroups(Vec<String>),
    /// Joins, keeps and leaves a consumer group.
    ConsumerGroupHeartbeat {
        /// The request's version: from 1 on, members make their own ids.
        version: i16,
        /// The request.
        request: ConsumerGroupHeartbeatRequest,
    },
    /// Describes consumer groups.
    ConsumerGroupDescribe(Vec<String>),
}

/// The answer, of the same kind as the request.
#[derive(Clone, Debug, PartialEq)]
pub enum GroupResponse {
    /// To a request of the same name.
    JoinGroup(JoinGroupResponse),
    /// To a request of the same name.
    SyncGroup(SyncGroupResponse),
    /// To a request of the same name.
    Heartbeat(HeartbeatResponse),
    /// To a request of the same name.
    LeaveGroup(LeaveGroupResponse),
    /// To a request of the same name.
    OffsetCommit(OffsetCommitResponse),
    /// To a request of the same name.
    OffsetFetch(OffsetFetchResponseGroup),
    /// To a request of the same name.
    OffsetDelete(OffsetDeleteResponse),
    /// To a request of the same name.
    DescribeGroups(Vec<DescribedGroup>),
    /// To a request of the same name.
    ListGroups(Result<Vec<ListedGroup>, ErrorCode>),
    /// To a request of the same name.
    DeleteGroups(Vec<DeletableGroupResult>),
    /// To a request of the same name.
    ConsumerGroupHeartbeat(ConsumerGroupHeartbeatResponse),
    /// To a request of the same name.
    ConsumerGroupDescribe(Vec<consumer_group_describe::DescribedGroup>),
}

impl GroupCall {
    /// The answer that says nothing but `error`: for whom the coordinator is not there, or cannot write.
    pub fn error_response(&self, error: ErrorCode) -> GroupResponse {
        let error_code = error.code();
        match self {
            Self::JoinGroup { request, .. } => GroupResponse::JoinGroup(join_error(&request.member_id, error)),
            Self::SyncGroup(_) => GroupResponse::SyncGroup(sync_error(error)),
            Self::Heartbeat(_) => GroupResponse::Heartbeat(HeartbeatResponse { error_code, ..Default::default() }),
            Self::LeaveGroup(_) => GroupResponse::LeaveGroup(LeaveGroupResponse { error_code, ..Default::default() }),
            Self::OffsetCommit { request, .. } => GroupResponse::OffsetCommit(offsets::commit_error(request, error)),
            Self::OffsetFetch(group) => GroupResponse::OffsetFetch(offsets::fetch_error(group, error)),
            Self::OffsetDelete(_) => {
                GroupResponse::OffsetDelete(OffsetDeleteResponse { error_code, ..Default::default() })
            }
            Self::DescribeGroups { groups: ids, .. } => {
                let describe = |id: &String| DescribedGroup { error_code, group_id: id.clone(), ..Default::default() };
                GroupResponse::DescribeGroups(ids.iter().map(describe).collect())
            }
            Self::ListGroups(_) => GroupResponse::ListGroups(Err(error)),
            Self::DeleteGroups(ids) => {
                let delete = |id: &String| DeletableGroupResult { group_id: id.clone(), error_code };
                GroupResponse::DeleteGroups(ids.iter().map(delete).collect())
            }
            Self::ConsumerGroupHeartbeat { .. } => {
                GroupResponse::ConsumerGroupHeartbeat(consumer::heartbeat_error(error))
            }
            Self::ConsumerGroupDescribe(ids) => {
                let describe = |id: &String| consumer::describe_error(id, error);
                GroupResponse::ConsumerGroupDescribe(ids.iter().map(describe).collect())
            }
        }
    }
}

/// The code for what could not be written, in the words that group clients understand.
pub(super) fn refusal_code(call: &GroupCall, refusal: Refusal) -> ErrorCode {
    match refusal {
        Refusal::Busy | Refusal::TooFewReplicas => ErrorCode::CoordinatorNotAvailable,
        Refusal::TooLarge if matches!(call, GroupCall::OffsetCommit { .. }) => ErrorCode::InvalidCommitOffsetSize,
        Refusal::TooLarge => ErrorCode::UnknownServerError,
        Refusal::DiskFull | Refusal::Stopping | Refusal::Deposed => ErrorCode::NotCoordinator,
    }
}

/// A join that failed.
pub(super) fn join_error(member_id: &str, error: ErrorCode) -> JoinGroupResponse {
    JoinGroupResponse { error_code: error.code(), member_id: member_id.to_owned(), ..Default::default() }
}

/// A sync that failed.
pub(super) fn sync_error(error: ErrorCode) -> SyncGroupResponse {
    SyncGroupResponse { error_code: error.code(), ..Default::default() }
}

/// What became of one leaving member.
pub(super) fn member_response(identity: &MemberIdentity, outcome: Result<(), ErrorCode>) -> MemberResponse {
    MemberResponse {
        member_id: identity.member_id.clone(),
        group_instance_id: identity.group_instance_id.clone(),
        error_code: outcome.err().unwrap_or(ErrorCode::None).code(),
    }
}
