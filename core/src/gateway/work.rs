//! What serving each API takes: dispatch only.

use highwater_wire::AnyRequest;

use super::api_versions;
use super::call::{Context, Outcome};
use super::fetch::FetchCall;
use super::groups::{FindCoordinatorCall, GroupsCall};
use super::log_dirs::LogDirsCall;
use super::metadata::{ControllerCall, MetadataCall};
use super::offsets::OffsetsCall;
use super::produce::ProduceCall;
use super::producer_ids::InitProducerIdCall;
use super::{configs, describe};
use crate::controller::{ControllerRequest, ControllerResponse};
use crate::group::GroupResponse;
use crate::ids::Ticket;
use crate::message::PartitionResponse;
use crate::time::Instant;

/// A request in progress, by what it waits for.
pub(super) enum Work {
    Produce(ProduceCall),
    Fetch(FetchCall),
    Offsets(OffsetsCall),
    LogDirs(LogDirsCall),
    Metadata(MetadataCall),
    Controller(ControllerCall),
    InitProducerId(InitProducerIdCall),
    FindCoordinator(FindCoordinatorCall),
    Groups(GroupsCall),
}

impl Work {
    /// Begins to serve a request.
    ///
    /// # Errors
    /// What has become of it, where nothing has to be waited for.
    pub(super) fn begin(context: &mut Context<'_>, request: AnyRequest) -> Result<Self, Outcome> {
        Ok(match request {
            AnyRequest::ApiVersions(request) => {
                return Err(api_versions::respond(&request, context.version, context.image).into());
            }
            AnyRequest::Produce(request) => Self::Produce(ProduceCall::begin(context, request)),
            AnyRequest::Fetch(request) => Self::Fetch(FetchCall::begin(context, request)?),
            AnyRequest::ListOffsets(request) => Self::Offsets(OffsetsCall::list(context, request)),
            AnyRequest::OffsetForLeaderEpoch(request) => Self::Offsets(OffsetsCall::epoch_ends(context, request)),
            AnyRequest::DeleteRecords(request) => Self::Offsets(OffsetsCall::delete(context, request)),
            AnyRequest::DescribeLogDirs(request) => Self::LogDirs(LogDirsCall::begin(context, request)),
            AnyRequest::Metadata(request) => Self::Metadata(MetadataCall::begin(context, request)?),
            AnyRequest::InitProducerId(request) => Self::InitProducerId(InitProducerIdCall::begin(context, &request)?),
            AnyRequest::CreateTopics(request) => {
                ControllerCall::begin(context, ControllerRequest::CreateTopics(request))
            }
            AnyRequest::DeleteTopics(request) => {
                ControllerCall::begin(context, ControllerRequest::DeleteTopics(request))
            }
            AnyRequest::CreatePartitions(request) => {
                ControllerCall::begin(context, ControllerRequest::CreatePartitions(request))
            }
            AnyRequest::AlterConfigs(request) => {
                ControllerCall::begin(context, ControllerRequest::AlterConfigs(request))
            }
            AnyRequest::IncrementalAlterConfigs(request) => {
                ControllerCall::begin(context, ControllerRequest::IncrementalAlterConfigs(request))
            }
            AnyRequest::DescribeConfigs(request) => return Err(configs::describe(context, &request).into()),
            AnyRequest::DescribeCluster(request) => return Err(describe::cluster(context, &request).into()),
            AnyRequest::DescribeTopicPartitions(request) => {
                return Err(describe::topic_partitions(context, &request).into());
            }
            AnyRequest::FindCoordinator(request) => {
                Self::FindCoordinator(FindCoordinatorCall::begin(context, request)?)
            }
            AnyRequest::JoinGroup(request) => Self::Groups(GroupsCall::join(context, request)),
            AnyRequest::SyncGroup(request) => Self::Groups(GroupsCall::sync(context, request)),
            AnyRequest::Heartbeat(request) => Self::Groups(GroupsCall::heartbeat(context, request)),
            AnyRequest::LeaveGroup(request) => Self::Groups(GroupsCall::leave(context, request)),
            AnyRequest::OffsetCommit(request) => Self::Groups(GroupsCall::commit(context, request)),
            AnyRequest::OffsetFetch(request) => Self::Groups(GroupsCall::fetch(context, request)),
            AnyRequest::OffsetDelete(request) => Self::Groups(GroupsCall::delete_offsets(context, request)),
            AnyRequest::DescribeGroups(request) => Self::Groups(GroupsCall::describe(context, request)),
            AnyRequest::ListGroups(request) => Self::Groups(GroupsCall::list(context, &request)),
            AnyRequest::DeleteGroups(request) => Self::Groups(GroupsCall::delete_groups(context, request)),
            AnyRequest::ConsumerGroupHeartbeat(request) => {
                Self::Groups(GroupsCall::consumer_heartbeat(context, request))
            }
            AnyRequest::ConsumerGroupDescribe(request) => {
                Self::Groups(GroupsCall::describe_consumers(context, request))
            }
        })
    }

    /// Takes an answer of a shard that owns partitions.
    pub(super) fn handle_partitions(&mut self, context: &mut Context<'_>, ticket: Ticket, response: PartitionResponse) {
        match (self, response) {
            (Self::Produce(call), PartitionResponse::Produced(outcomes)) => call.place(ticket, outcomes),
            (Self::Fetch(call), PartitionResponse::Probed(outcomes)) => call.handle_probed(context, ticket, outcomes),
            (Self::Fetch(call), PartitionResponse::Read(outcomes)) => call.handle_read(ticket, outcomes),
            (Self::Offsets(call), response) => call.place(ticket, response),
            (Self::LogDirs(call), PartitionResponse::LogDirs { sizes, space }) => call.place(sizes, space),
            (_, response) => unreachable!("not an answer to what was asked: {response:?}"),
        }
    }

    /// Takes an answer of a group coordinator.
    pub(super) fn handle_group(&mut self, ticket: Ticket, response: GroupResponse) {
        let Self::Groups(call) = self else { unreachable!("no coordinator was asked: {response:?}") };
        call.place(ticket, response);
    }

    /// Takes an answer of the controller.
    pub(super) fn handle_controller(&mut self, context: &mut Context<'_>, response: ControllerResponse) {
        match self {
            Self::Metadata(call) => call.handle_controller(response),
            Self::Controller(call) => call.handle_controller(response),
            Self::InitProducerId(call) => call.handle_controller(context, response),
            Self::FindCoordinator(call) => call.handle_controller(&response),
            Self::Produce(_) | Self::Fetch(_) | Self::Offsets(_) | Self::LogDirs(_) | Self::Groups(_) => {
                unreachable!("nothing was asked of the controller: {response:?}")
            }
        }
    }

    /// Goes on without what was waited for.
    pub(super) fn handle_deadline(&mut self, context: &mut Context<'_>) {
        match self {
            Self::Fetch(call) => call.handle_deadline(context),
            Self::Produce(_)
            | Self::Offsets(_)
            | Self::LogDirs(_)
            | Self::Metadata(_)
            | Self::Controller(_)
            | Self::InitProducerId(_)
            | Self::FindCoordinator(_)
            | Self::Groups(_) => unreachable!("it has no deadline"),
        }
    }

    /// When it goes on without what it waits for.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match self {
            Self::Fetch(call) => call.deadline(),
            Self::Produce(_)
            | Self::Offsets(_)
            | Self::LogDirs(_)
            | Self::Metadata(_)
            | Self::Controller(_)
            | Self::InitProducerId(_)
            | Self::FindCoordinator(_)
            | Self::Groups(_) => None,
        }
    }

    /// Whether nothing is waited for any more.
    pub(super) fn is_complete(&self) -> bool {
        match self {
            Self::Produce(call) => call.is_complete(),
            Self::Fetch(call) => call.is_complete(),
            Self::Offsets(call) => call.is_complete(),
            Self::LogDirs(call) => call.is_complete(),
            Self::Metadata(call) => call.is_complete(),
            Self::Controller(call) => call.is_complete(),
            Self::InitProducerId(call) => call.is_complete(),
            Self::FindCoordinator(call) => call.is_complete(),
            Self::Groups(call) => call.is_complete(),
        }
    }

    /// What has become of a complete request.
    pub(super) fn end(self, context: &mut Context<'_>) -> Outcome {
        match self {
            Self::Produce(call) => call.end(),
            Self::Fetch(call) => Outcome::Answer(Box::new(call.end(context))),
            Self::Offsets(call) => call.end(context.version).into(),
            Self::LogDirs(call) => call.end(context).into(),
            Self::Metadata(call) => call.end(context).into(),
            Self::Controller(call) => call.end().into(),
            Self::InitProducerId(call) => call.end().into(),
            Self::FindCoordinator(call) => call.end(context).into(),
            Self::Groups(call) => call.end(context).into(),
        }
    }

    /// Stops what goes on elsewhere for a request that nobody waits for any more.
    pub(super) fn cancel(&self, context: &mut Context<'_>) {
        if let Self::Fetch(call) = self {
            call.cancel(context);
        }
        context.tickets.forget(context.call);
    }
}
