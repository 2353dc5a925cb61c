//! Leads one member towards its target.
//!
//! First it gives up, then it moves to the targets' epoch, then it gets what is free. A partition that another member owns,
//! or has still to give up, is not free, at whatever epochs the two are.

use std::collections::BTreeSet;
use std::sync::Arc;

use highwater_wire::GroupRecord;
use highwater_wire::consumer_group_heartbeat::TopicPartitions;
use highwater_wire::group_records::ConsumerGroupCurrentMemberAssignmentKey;

use super::member::Owned;
use super::{Consumer, ConsumerGroup, ConsumerMember, MemberState};
use crate::controller::Image;
use crate::group::MemberId;
use crate::group::timers::GroupTimer;
use crate::ids::TopicId;
use crate::planted::{self, Bug};

/// What a member says it still owns; none if it does not say.
pub(super) type Reported<'a> = Option<&'a [TopicPartitions]>;

impl Consumer<'_, '_> {
    /// Leads the member on as far as it can go.
    pub(super) fn reconcile(&mut self, id: &str, reported: Reported<'_>) {
        let member = Arc::clone(self.group.member(id).expect("only members are reconciled"));
        let next = next_step(&self.group, &member, self.draft.coordinator.image(), reported);
        if next == *member {
            return;
        }
        // Members that speak the classic protocol are given time to join instead.
        if next.classic.is_none() {
            match next.state {
                MemberState::Unrevoked => {
                    let timer = GroupTimer::Revocation(MemberId::clone(&next.id));
                    self.draft.set_timer(&self.id, timer, next.rebalance_timeout());
                }
                MemberState::Stable | MemberState::Unreleased => {
                    self.draft.cancel_timer(&self.id, GroupTimer::Revocation(MemberId::clone(&next.id)));
                }
            }
        }
        self.record_assignment(&next);
    }

    /// Puts what a member owns into the log.
    pub(super) fn record_assignment(&mut self, member: &ConsumerMember) {
        let key =
            ConsumerGroupCurrentMemberAssignmentKey { group_id: self.id.to_string(), member_id: member.id.to_string() };
        let value = Some(member.to_assignment());
        self.record(GroupRecord::ConsumerGroupCurrentMemberAssignment(key, value));
    }
}

/// The member after its next step.
fn next_step(group: &ConsumerGroup, member: &ConsumerMember, image: &Image, reported: Reported<'_>) -> ConsumerMember {
    let wanted = group.wanted_ids(member, image);
    let gives_up_more = member.assigned.keys().any(|topic| !wanted.contains(topic));
    if member.is_reconciled_to(group.assignment_epoch) && !gives_up_more {
        return member.clone();
    }
    if member.state == MemberState::Unrevoked && still_owns(reported, &member.revoking) {
        return if gives_up_more { give_up_unwanted(member, &wanted) } else { member.clone() };
    }
    compute_next(group, member, &wanted, reported)
}

/// A member that has not given up what it must gives up more: what it does not want any longer.
fn give_up_unwanted(member: &ConsumerMember, wanted: &BTreeSet<TopicId>) -> ConsumerMember {
    let (mut assigned, mut revoking) = (Owned::clone(&member.assigned), Owned::clone(&member.revoking));
    for (topic, partitions) in assigned.extract_if(.., |topic, _| !wanted.contains(topic)) {
        revoking.entry(topic).or_default().extend(partitions);
    }
    let mut next = ConsumerMember { assigned: assigned.into(), revoking: revoking.into(), ..member.clone() };
    next.move_to(member.epoch);
    next
}

fn compute_next(
    group: &ConsumerGroup,
    member: &ConsumerMember,
    wanted: &BTreeSet<TopicId>,
    reported: Reported<'_>,
) -> ConsumerMember {
    let target = group.target(&member.id);
    let is_target = |topic: &TopicId, index: &i32| {
        wanted.contains(topic) && target.get(topic).is_some_and(|all| all.contains(index))
    };
    let (mut assigned, mut revoking) = (Owned::new(), Owned::new());
    for (topic, partitions) in &*member.assigned {
        for (index, epoch) in partitions {
            let part = if is_target(topic, index) { &mut assigned } else { &mut revoking };
            part.entry(*topic).or_default().insert(*index, *epoch);
        }
    }
    if !revoking.is_empty() && still_owns(reported, &revoking) {
        let state = MemberState::Unrevoked;
        let mut next = ConsumerMember { state, assigned: assigned.into(), revoking: revoking.into(), ..member.clone() };
        next.move_to(member.epoch);
        return next;
    }
    let mut state = MemberState::Stable;
    for (topic, indexes) in target.iter().filter(|(topic, _)| wanted.contains(topic)) {
        for index in indexes {
            if assigned.get(topic).is_some_and(|indexes| indexes.contains_key(index)) {
                continue;
            }
            if is_free(group, member, (*topic, *index)) {
                assigned.entry(*topic).or_default().insert(*index, group.assignment_epoch);
            } else {
                state = MemberState::Unreleased;
            }
        }
    }
    let mut next = ConsumerMember { state, assigned: assigned.into(), revoking: Arc::default(), ..member.clone() };
    next.move_to(group.assignment_epoch);
    next
}

/// Whether nobody else has the partition.
fn is_free(group: &ConsumerGroup, member: &ConsumerMember, partition: (TopicId, i32)) -> bool {
    planted::is(Bug::TwoOwners) || group.owners.get(&partition).is_none_or(|owner| *owner == member.id)
}

/// Whether the member may still read some of these partitions. One that does not say may.
fn still_owns(reported: Reported<'_>, partitions: &Owned) -> bool {
    let Some(reported) = reported else { return true };
    reported.iter().any(|topic| {
        let Some(indexes) = partitions.get(&TopicId(topic.topic_id.0)) else { return false };
        topic.partitions.iter().any(|index| indexes.contains_key(index))
    })
}
