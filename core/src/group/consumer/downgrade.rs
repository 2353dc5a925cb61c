//! A consumer group becomes a classic group when the last member that speaks the new protocol is gone.

use std::sync::Arc;

use highwater_wire::GroupRecord;
use highwater_wire::group_records::{ConsumerGroupMetadataKey, ConsumerGroupTargetAssignmentMetadataKey};

use super::{Consumer, ConsumerMember};
use crate::group::GroupId;
use crate::group::classic::{Classic, ClassicGroup, Member};

impl Consumer<'_, '_> {
    /// Whether only members are left that speak the classic protocol, and they may go on by themselves.
    pub(super) fn can_downgrade(&self) -> bool {
        let config = self.draft.config();
        let count = self.group.member_count();
        config.consumer.migration.allows_downgrade()
            && (1..=config.max_size).contains(&count)
            && self.group.members().all(|member| member.classic.is_some())
    }

    /// Decides that the group becomes a classic one, and whether that begins with a rebalance.
    pub(super) fn downgrade(&mut self, with_rebalance: bool) {
        let members: Vec<_> = self.group.members().cloned().collect();
        let (generation, image) = (self.group.epoch, self.draft.coordinator.image());
        let converted = members.iter().filter_map(|member| {
            let classic = member.classic.as_ref()?;
            Some(Member {
                id: Arc::clone(&member.id),
                instance_id: member.instance_id.clone(),
                client_id: Arc::clone(&member.client_id),
                client_host: Arc::clone(&member.client_host),
                rebalance_timeout: member.rebalance_timeout(),
                session_timeout: classic.session_timeout,
                protocols: classic.protocols.clone(),
                assignment: super::classic_member::assignment_bytes(member, image),
                join: None,
                sync: None,
                is_new: false,
            })
        });
        let group = ClassicGroup::of_consumers(converted.collect(), generation, self.draft.now.wall);
        self.dissolve(&members);
        let mut classic = Classic::new(self.draft, GroupId::clone(&self.id), group);
        for member in &members {
            let timeout = member.classic.as_ref().map(|classic| classic.session_timeout).unwrap_or_default();
            classic.restart_session(&member.id, timeout);
        }
        if with_rebalance {
            classic.record_unled();
            classic.prepare_rebalance("the last member of the consumer protocol has left");
        } else {
            classic.record();
        }
        classic.finish();
    }

    /// Removes all that the log says of the group, its offsets aside.
    fn dissolve(&mut self, members: &[Arc<ConsumerMember>]) {
        for member in members {
            self.remove(&member.id);
        }
        self.forget_unused_regexes();
        let key = ConsumerGroupTargetAssignmentMetadataKey { group_id: self.id.to_string() };
        self.record(GroupRecord::ConsumerGroupTargetAssignmentMetadata(key, None));
        let key = ConsumerGroupMetadataKey { group_id: self.id.to_string() };
        self.record(GroupRecord::ConsumerGroupMetadata(key, None));
    }

    /// Removes the group.
    pub(in crate::group) fn remove_group(&mut self) {
        let members: Vec<_> = self.group.members().cloned().collect();
        self.dissolve(&members);
    }
}
