//! Groups as administrators see them: described, listed, removed.

use highwater_wire::delete_groups::DeletableGroupResult;
use highwater_wire::describe_groups::DescribedGroup;
use highwater_wire::group_records::GroupMetadataKey;
use highwater_wire::list_groups::{ListGroupsRequest, ListedGroup};
use highwater_wire::{ErrorCode, GroupRecord};

use super::classic::CONSUMER_PROTOCOL_TYPE;
use super::consumer::Consumer;
use super::draft::Draft;
use super::machine::Group;
use super::{GroupCoordinator, GroupEvent, GroupId, offsets};

/// From this version on, a group that does not exist is an error.
const MISSING_IS_AN_ERROR: i16 = 6;

/// Describes groups.
pub(super) fn describe(coordinator: &GroupCoordinator, version: i16, ids: &[String]) -> Vec<DescribedGroup> {
    ids.iter().map(|id| describe_one(coordinator, version, id)).collect()
}

fn describe_one(coordinator: &GroupCoordinator, version: i16, id: &str) -> DescribedGroup {
    if let Some(group) = coordinator.group(id).filter(|group| group.consumer.is_none()) {
        return DescribedGroup { last_rebalance: group.describe_rebalance(), ..group.classic().describe(id) };
    }
    let mut missing =
        DescribedGroup { group_id: id.to_owned(), group_state: "Dead".to_owned(), ..DescribedGroup::default() };
    if version >= MISSING_IS_AN_ERROR {
        missing.error_code = ErrorCode::GroupIdNotFound.code();
        missing.error_message = Some(format!("there is no classic group {id}"));
    }
    missing
}

/// The groups that pass the request's filters. An empty filter lets everything through.
pub(super) fn list(coordinator: &GroupCoordinator, request: &ListGroupsRequest) -> Vec<ListedGroup> {
    let passes = |filter: &[String], value: &str| {
        filter.is_empty() || filter.iter().any(|wanted| wanted.trim().eq_ignore_ascii_case(value))
    };
    let listed = coordinator.groups().iter().map(|(id, group)| list_one(id, group));
    let wanted = |group: &ListedGroup| {
        passes(&request.states_filter, &group.group_state) && passes(&request.types_filter, &group.group_type)
    };
    listed.filter(wanted).collect()
}

fn list_one(id: &GroupId, group: &Group) -> ListedGroup {
    if let Some(consumer) = &group.consumer {
        return ListedGroup {
            group_id: id.to_string(),
            protocol_type: CONSUMER_PROTOCOL_TYPE.to_owned(),
            group_state: consumer.state().name().to_owned(),
            group_type: "consumer".to_owned(),
        };
    }
    let classic = group.classic();
    ListedGroup {
        group_id: id.to_string(),
        protocol_type: classic.protocol_type.as_deref().unwrap_or_default().to_owned(),
        group_state: classic.state.name().to_owned(),
        group_type: "classic".to_owned(),
    }
}

/// Decides a DeleteGroups request. Every group succeeds or fails by itself.
pub(super) fn decide_delete(draft: &mut Draft<'_>, ids: &[String]) -> Vec<DeletableGroupResult> {
    let outcome = |id: &String| {
        let error_code = delete_one(draft, id).err().unwrap_or(ErrorCode::None).code();
        DeletableGroupResult { group_id: id.clone(), error_code }
    };
    ids.iter().map(outcome).collect()
}

fn delete_one(draft: &mut Draft<'_>, id: &str) -> Result<(), ErrorCode> {
    let coordinator = draft.coordinator;
    let (id, group) = coordinator.groups().get_key_value(id).ok_or(ErrorCode::GroupIdNotFound)?;
    if group.has_members() {
        return Err(ErrorCode::NonEmptyGroup);
    }
    offsets::remove_all(draft, id, group);
    remove(draft, id, group);
    Ok(())
}

/// Removes a group that has no members. Its offsets go by themselves.
pub(super) fn remove(draft: &mut Draft<'_>, id: &GroupId, group: &Group) {
    draft.event(GroupEvent::Removed { group: GroupId::clone(id) });
    if let Some(consumer) = &group.consumer {
        return Consumer::new(draft, GroupId::clone(id), consumer.clone()).remove_group();
    }
    let key = GroupMetadataKey { group: id.to_string() };
    draft.record(GroupRecord::GroupMetadata(key, None));
}
