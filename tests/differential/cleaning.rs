//! Groups between two sequences: coordinators that answer, and none of the groups that the last sequence left.

use std::io;

use highwater_wire::ErrorCode;
use highwater_wire::consumer_group_describe::ConsumerGroupDescribeRequest;
use highwater_wire::consumer_group_heartbeat::ConsumerGroupHeartbeatRequest;
use highwater_wire::delete_groups::DeleteGroupsRequest;
use highwater_wire::describe_groups::DescribeGroupsRequest;
use highwater_wire::find_coordinator::FindCoordinatorRequest;
use highwater_wire::leave_group::{LeaveGroupRequest, MemberIdentity};
use highwater_wire::list_groups::ListGroupsRequest;

use crate::side::Side;
use crate::world::{expect_none, poll};

/// The type of a member that speaks the consumer protocol.
const CONSUMER: i8 = 1;

/// Groups enough to belong to every partition of the offsets' topic.
const PROBED_GROUPS: usize = 64;

/// Has a broker make the offsets' topic, and waits until it coordinates all groups.
pub fn wait_for_coordinators(side: &mut Side) -> io::Result<()> {
    let groups: Vec<_> = (0..PROBED_GROUPS).map(|number| format!("probe-{number}")).collect();
    let find = FindCoordinatorRequest { coordinator_keys: groups.clone(), ..Default::default() };
    poll("finding coordinators", || {
        Ok(side.ask(&find, 4)?.coordinators.iter().all(|coordinator| coordinator.error_code == 0))
    })?;
    let describe = DescribeGroupsRequest { groups, ..Default::default() };
    let is_early = |code: i16| {
        [ErrorCode::NotCoordinator, ErrorCode::CoordinatorLoadInProgress, ErrorCode::CoordinatorNotAvailable]
            .iter()
            .any(|early| early.code() == code)
    };
    poll("loading coordinators", || Ok(!side.ask(&describe, 5)?.groups.iter().any(|group| is_early(group.error_code))))
}

/// Has every member of every group leave, and deletes the groups.
pub fn remove_groups(side: &mut Side) -> io::Result<()> {
    let groups = side.ask(&ListGroupsRequest::default(), 5)?.groups;
    if groups.is_empty() {
        return Ok(());
    }
    let groups_names: Vec<_> = groups.into_iter().map(|group| group.group_id).collect();
    for group in &groups_names {
        end_consumers(side, group)?;
        end_classic_members(side, group)?;
    }
    let delete = DeleteGroupsRequest { groups_names };
    poll("deleting groups", || {
        // Some go with their last member.
        let gone = [ErrorCode::None.code(), ErrorCode::GroupIdNotFound.code()];
        Ok(side.ask(&delete, 2)?.results.iter().all(|row| gone.contains(&row.error_code)))
    })
}

/// Has those leave that speak the consumer protocol. When the last of them has, the group may be a classic one again.
fn end_consumers(side: &mut Side, group: &str) -> io::Result<()> {
    let describe = ConsumerGroupDescribeRequest { group_ids: vec![group.to_owned()], ..Default::default() };
    let members = side.ask(&describe, 1)?.groups.into_iter().flat_map(|group| group.members);
    for member in members.filter(|member| member.member_type == CONSUMER) {
        let leave = ConsumerGroupHeartbeatRequest {
            group_id: group.to_owned(),
            member_id: member.member_id,
            member_epoch: -1,
            instance_id: member.instance_id,
            ..Default::default()
        };
        expect_none(side.ask(&leave, 1)?.error_code, "having a consumer leave")?;
    }
    Ok(())
}

fn end_classic_members(side: &mut Side, group: &str) -> io::Result<()> {
    let describe = DescribeGroupsRequest { groups: vec![group.to_owned()], ..Default::default() };
    let members = side.ask(&describe, 5)?.groups.into_iter().flat_map(|group| group.members);
    let members: Vec<_> = members
        .map(|member| MemberIdentity {
            member_id: member.member_id,
            group_instance_id: member.group_instance_id,
            reason: None,
        })
        .collect();
    if members.is_empty() {
        return Ok(());
    }
    let leave = LeaveGroupRequest { group_id: group.to_owned(), members, ..Default::default() };
    expect_none(side.ask(&leave, 4)?.error_code, "having members leave")
}
