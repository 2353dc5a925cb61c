//! A classic group of consumers becomes a consumer group when a member joins by the new protocol.
//!
//! Everybody keeps what it owns and goes on by the classic protocol, as a member of the consumer group, until it joins by
//! the new one itself.

use std::collections::BTreeSet;
use std::sync::Arc;

use highwater_wire::group_records::{ConsumerGroupMetadataKey, ConsumerGroupMetadataValue, GroupMetadataKey};
use highwater_wire::{ConsumerProtocolAssignment, ConsumerProtocolSubscription, ErrorCode, GroupRecord};

use super::member::{ClassicMetadata, Owned};
use super::{Consumer, ConsumerGroup, ConsumerMember};
use crate::controller::Image;
use crate::group::GroupId;
use crate::group::classic::{ClassicGroup, Member};
use crate::group::draft::Draft;
use crate::group::request::{GroupResponse, join_error, sync_error};
use crate::group::timers::GroupTimer;
use crate::ids::TopicId;

/// Decides that a classic group becomes a consumer group.
///
/// # Errors
/// It cannot: its members are no consumers, too many, or assign in a way that only they understand.
pub(super) fn upgrade<'d, 'c>(
    draft: &'d mut Draft<'c>,
    id: GroupId,
    classic: &ClassicGroup,
) -> Result<Consumer<'d, 'c>, ErrorCode> {
    let settings = &draft.config().consumer;
    if !settings.migration.allows_upgrade()
        || !classic.uses_consumer_protocol()
        || classic.member_count() > settings.max_size
    {
        return Err(ErrorCode::GroupIdNotFound);
    }
    let image = draft.coordinator.image();
    let mut taken = BTreeSet::new();
    let members: Option<Vec<_>> = classic.members().map(|member| convert(member, classic, image, &mut taken)).collect();
    let members = members.ok_or(ErrorCode::GroupIdNotFound)?;
    for member in classic.members() {
        send_back(draft, member);
    }
    draft.record(GroupRecord::GroupMetadata(GroupMetadataKey { group: id.to_string() }, None));
    let mut consumer = Consumer::new(draft, id, ConsumerGroup::default());
    consumer.adopt(members, classic.generation);
    Ok(consumer)
}

impl Consumer<'_, '_> {
    fn adopt(&mut self, members: Vec<ConsumerMember>, epoch: i32) {
        members.iter().for_each(|member| self.record_metadata(member));
        let key = ConsumerGroupMetadataKey { group_id: self.id.to_string() };
        let metadata_hash = self.group.hash_topics(self.draft.coordinator.image());
        let value = ConsumerGroupMetadataValue { epoch, metadata_hash };
        self.record(GroupRecord::ConsumerGroupMetadata(key, Some(value)));
        self.record_target_epoch(epoch);
        for member in &members {
            let owned = member.assigned.iter().map(|(topic, indexes)| (*topic, indexes.keys().copied().collect()));
            self.record_target(&member.id, &owned.collect());
            self.record_assignment(member);
            let timeout = member.classic.as_ref().map(|classic| classic.session_timeout).unwrap_or_default();
            self.draft.set_timer(&self.id, GroupTimer::Session(Arc::clone(&member.id)), timeout);
        }
    }
}

/// A waiting member joins again, and finds a consumer group.
fn send_back(draft: &mut Draft<'_>, member: &Member) {
    let error = ErrorCode::RebalanceInProgress;
    if let Some(origin) = member.join {
        draft.reply(origin, GroupResponse::JoinGroup(join_error(&member.id, error)));
    }
    if let Some(origin) = member.sync {
        draft.reply(origin, GroupResponse::SyncGroup(sync_error(error)));
    }
}

/// The member as one of a consumer group; none if what it said or got cannot be understood.
fn convert(
    member: &Member,
    group: &ClassicGroup,
    image: &Image,
    taken: &mut BTreeSet<(TopicId, i32)>,
) -> Option<ConsumerMember> {
    let metadata = match group.protocol.as_deref() {
        Some(protocol) => member.protocols.metadata(protocol)?,
        None => member.protocols.first()?.1,
    };
    let subscription = ConsumerProtocolSubscription::from_bytes(metadata).ok()?;
    let assigned = if member.assignment.is_empty() {
        Owned::new()
    } else {
        let assignment = ConsumerProtocolAssignment::from_bytes(&member.assignment).ok()?;
        let has_user_data = assignment.user_data.as_ref().is_some_and(|data| !data.is_empty());
        if has_user_data {
            return None;
        }
        convert_assignment(&assignment, group.generation, image, taken)
    };
    Some(ConsumerMember {
        instance_id: member.instance_id.clone(),
        rack_id: subscription.rack_id.as_deref().map(Arc::from),
        client_id: Arc::clone(&member.client_id),
        client_host: Arc::clone(&member.client_host),
        topics: Arc::new(subscription.topics.into_iter().collect()),
        rebalance_timeout_ms: i32::try_from(member.rebalance_timeout.as_millis()).unwrap_or(i32::MAX),
        classic: Some(Arc::new(ClassicMetadata {
            session_timeout: member.session_timeout,
            protocols: member.protocols.clone(),
        })),
        epoch: group.generation,
        previous_epoch: group.generation,
        assigned: Arc::new(assigned),
        ..ConsumerMember::new(&member.id)
    })
}

/// What a leader gave to two members, or made up, is nobody's.
fn convert_assignment(
    assignment: &ConsumerProtocolAssignment,
    epoch: i32,
    image: &Image,
    taken: &mut BTreeSet<(TopicId, i32)>,
) -> Owned {
    let mut owned = Owned::new();
    for topic in &assignment.assigned_partitions {
        let Some(known) = image.topic(&topic.topic) else { continue };
        let exists = |index: &&i32| usize::try_from(**index).is_ok_and(|index| index < known.partition_count());
        for index in topic.partitions.iter().filter(exists) {
            if taken.insert((known.id, *index)) {
                owned.entry(known.id).or_default().insert(*index, epoch);
            }
        }
    }
    owned
}
