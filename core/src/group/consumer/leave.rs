//! Members that go: by themselves, for a while, or because nobody hears of them.

use std::sync::Arc;

use super::{Consumer, ConsumerMember, MemberState};
use crate::group::draft::Draft;
use crate::group::event::GroupEvent;
use crate::group::timers::GroupTimer;
use crate::group::{GroupId, MemberId};

/// A deadline of a member of a consumer group has passed.
pub(in crate::group) fn decide_timeout(draft: &mut Draft<'_>, id: &GroupId, timer: &GroupTimer) {
    let Some(group) = draft.coordinator.group(id).and_then(|group| group.consumer.clone()) else { return };
    let (member, reason) = match timer {
        GroupTimer::Session(member) => (member, "nothing was heard of it"),
        GroupTimer::Revocation(member) => (member, "it has not given its partitions up in time"),
        GroupTimer::ClassicJoin(member) => (member, "it has not joined again in time"),
        GroupTimer::ClassicSync(member) => (member, "it has not fetched its assignment in time"),
        GroupTimer::Join | GroupTimer::Sync => return,
    };
    if group.member(member).is_ok() {
        Consumer::new(draft, GroupId::clone(id), group).fence(vec![MemberId::clone(member)], reason);
    }
}

impl Consumer<'_, '_> {
    /// A static member leaves for a while: what it owns is kept for it until its session ends.
    pub(super) fn go_away(&mut self, member: &Arc<ConsumerMember>) {
        let timer = GroupTimer::Revocation(MemberId::clone(&member.id));
        self.draft.cancel_timer(&self.id, timer);
        self.record_assignment(&ConsumerMember {
            epoch: super::member::AWAY,
            state: MemberState::Stable,
            revoking: Arc::default(),
            ..ConsumerMember::clone(member)
        });
    }

    /// Takes members out. What they owned goes to others when those are reconciled.
    pub(super) fn fence(&mut self, members: Vec<MemberId>, reason: &str) {
        if members.is_empty() {
            return;
        }
        let why = match &members[..] {
            [member] => format!("{member} is gone: {reason}"),
            members => format!("{} members are gone: {reason}", members.len()),
        };
        for member in members {
            self.remove(&member);
            let group = GroupId::clone(&self.id);
            self.draft.event(GroupEvent::MemberRemoved { group, member, reason: reason.into() });
        }
        self.forget_unused_regexes();
        if self.can_downgrade() {
            return self.downgrade(true);
        }
        self.bump_epoch(&why);
    }
}
