//! Groups as administrators see them: described, listed, deleted, whichever coordinators they belong to.

use std::collections::BTreeMap;

use highwater_wire::delete_groups::{DeletableGroupResult, DeleteGroupsRequest, DeleteGroupsResponse};
use highwater_wire::describe_groups::{DescribeGroupsRequest, DescribeGroupsResponse, DescribedGroup};
use highwater_wire::list_groups::{ListGroupsRequest, ListGroupsResponse};
use highwater_wire::{
    AnyResponse, ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse, ErrorCode, consumer_group_describe,
};

use super::{Assemble, GroupsCall, coordinator_of};
use crate::controller::OFFSETS_TOPIC;
use crate::gateway::call::Context;
use crate::group::{GroupCall, GroupResponse};
use crate::ids::PartitionId;

/// Read, delete, describe, describe and alter configurations: what may be done to a group, as bits by the codes of
/// AclOperation. Everybody may do it.
const GROUP_OPERATIONS: i32 = 1 << 3 | 1 << 6 | 1 << 8 | 1 << 10 | 1 << 11;

/// Where the answer for each group of the request stands: in which coordinator's answer, at which place.
pub(super) struct Order {
    rows: Vec<(usize, usize)>,
    /// What to say that clients may do to each group, if they have asked.
    operations: Option<i32>,
}

impl GroupsCall {
    /// Describes groups.
    pub(in crate::gateway) fn describe(context: &mut Context<'_>, request: DescribeGroupsRequest) -> Self {
        let version = context.version;
        let operations = request.include_authorized_operations.then_some(GROUP_OPERATIONS);
        Self::spread(
            context,
            request.groups,
            |rows| Assemble::Describe(Order { rows, operations }),
            |groups| GroupCall::DescribeGroups { version, groups },
        )
    }

    /// Describes groups of the consumer protocol.
    pub(in crate::gateway) fn describe_consumers(
        context: &mut Context<'_>,
        request: ConsumerGroupDescribeRequest,
    ) -> Self {
        let operations = request.include_authorized_operations.then_some(GROUP_OPERATIONS);
        let order = |rows| Assemble::DescribeConsumers(Order { rows, operations });
        Self::spread(context, request.group_ids, order, GroupCall::ConsumerGroupDescribe)
    }

    /// Deletes groups.
    pub(in crate::gateway) fn delete_groups(context: &mut Context<'_>, request: DeleteGroupsRequest) -> Self {
        let order = |rows| Assemble::DeleteGroups(Order { rows, operations: None });
        Self::spread(context, request.groups_names, order, GroupCall::DeleteGroups)
    }

    /// Lists the groups of every coordinator that is here.
    pub(in crate::gateway) fn list(context: &mut Context<'_>, request: &ListGroupsRequest) -> Self {
        let mut here = Vec::new();
        if let Some(topic) = context.image.topic(OFFSETS_TOPIC) {
            let led = topic.partitions().filter(|(_, partition)| partition.leader == Some(context.config.node_id));
            here.extend(led.map(|(index, _)| PartitionId { topic: topic.id, index }));
        }
        let mut call = Self::new(Assemble::List, here.len());
        for partition in here {
            call.ask_at(context, Ok(partition), GroupCall::ListGroups(request.clone()));
        }
        call
    }

    /// Asks each coordinator about its groups, and remembers their order.
    fn spread(
        context: &mut Context<'_>,
        groups: Vec<String>,
        assemble: impl FnOnce(Vec<(usize, usize)>) -> Assemble,
        ask: impl Fn(Vec<String>) -> GroupCall,
    ) -> Self {
        let mut places = BTreeMap::new();
        let mut parts: Vec<(Result<PartitionId, ErrorCode>, Vec<String>)> = Vec::new();
        let mut rows = Vec::with_capacity(groups.len());
        for group in groups {
            let at = coordinator_of(context, &group);
            let part = *places.entry(at.ok()).or_insert(parts.len());
            if part == parts.len() {
                parts.push((at, Vec::new()));
            }
            rows.push((part, parts[part].1.len()));
            parts[part].1.push(group);
        }
        let mut call = Self::new(assemble(rows), parts.len());
        for (at, groups) in parts {
            call.ask_at(context, at, ask(groups));
        }
        call
    }
}

impl Order {
    /// What clients may do to a group that was described with this error.
    fn operations_of(&self, error_code: i16) -> i32 {
        self.operations.filter(|_| error_code == ErrorCode::None.code()).unwrap_or(i32::MIN)
    }

    /// One answer for each group of the request, in its order.
    fn restore<T: Default>(&self, mut parts: Vec<Vec<T>>) -> Vec<T> {
        self.rows.iter().map(|&(part, place)| std::mem::take(&mut parts[part][place])).collect()
    }
}

/// The answer to DescribeGroups.
pub(super) fn described(order: &Order, answers: Vec<GroupResponse>) -> AnyResponse {
    let parts = answers.into_iter().map(|answer| match answer {
        GroupResponse::DescribeGroups(groups) => groups,
        answer => unreachable!("not an answer to what was asked: {answer:?}"),
    });
    let mut groups: Vec<DescribedGroup> = order.restore(parts.collect());
    for group in &mut groups {
        group.authorized_operations = order.operations_of(group.error_code);
    }
    DescribeGroupsResponse { groups, ..Default::default() }.into()
}

/// The answer to ConsumerGroupDescribe.
pub(super) fn consumers_described(order: &Order, answers: Vec<GroupResponse>) -> AnyResponse {
    let parts = answers.into_iter().map(|answer| match answer {
        GroupResponse::ConsumerGroupDescribe(groups) => groups,
        answer => unreachable!("not an answer to what was asked: {answer:?}"),
    });
    let mut groups: Vec<consumer_group_describe::DescribedGroup> = order.restore(parts.collect());
    for group in &mut groups {
        group.authorized_operations = order.operations_of(group.error_code);
    }
    ConsumerGroupDescribeResponse { groups, ..Default::default() }.into()
}

/// The answer to DeleteGroups.
pub(super) fn deleted(order: &Order, answers: Vec<GroupResponse>) -> AnyResponse {
    let parts = answers.into_iter().map(|answer| match answer {
        GroupResponse::DeleteGroups(results) => results,
        answer => unreachable!("not an answer to what was asked: {answer:?}"),
    });
    let results: Vec<DeletableGroupResult> = order.restore(parts.collect());
    DeleteGroupsResponse { results, ..Default::default() }.into()
}

/// The answer to ListGroups: everything, or why some of it is missing.
pub(super) fn listed(answers: Vec<GroupResponse>) -> AnyResponse {
    let mut response = ListGroupsResponse::default();
    for answer in answers {
        match answer {
            GroupResponse::ListGroups(Ok(groups)) => response.groups.extend(groups),
            GroupResponse::ListGroups(Err(code)) => {
                return ListGroupsResponse { error_code: code.code(), ..Default::default() }.into();
            }
            answer => unreachable!("not an answer to what was asked: {answer:?}"),
        }
    }
    response.into()
}
