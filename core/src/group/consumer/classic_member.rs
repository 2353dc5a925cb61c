//! Members of a consumer group that speak the classic protocol.
//!
//! Joining reports what they want and still own, the answer's generation is their epoch, syncing fetches what they own. A
//! heartbeat sends them back to join when there is something to give up or to get.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use highwater_wire::consumer_group_heartbeat::TopicPartitions;
use highwater_wire::consumer_protocol::TopicPartition;
use highwater_wire::heartbeat::HeartbeatRequest;
use highwater_wire::join_group::JoinGroupResponse;
use highwater_wire::leave_group::{LeaveGroupRequest, LeaveGroupResponse, MemberIdentity};
use highwater_wire::sync_group::{SyncGroupRequest, SyncGroupResponse};
use highwater_wire::{ConsumerProtocolAssignment, ConsumerProtocolSubscription, ErrorCode, Message, Uuid};

use super::member::ClassicMetadata;
use super::{Consumer, ConsumerGroup, ConsumerMember, MemberState};
use crate::controller::Image;
use crate::group::classic::{CONSUMER_PROTOCOL_TYPE, Join, Protocols};
use crate::group::request::{GroupResponse, join_error, member_response, sync_error};
use crate::group::timers::{GroupTimer, TimerKey};
use crate::group::{MemberId, member_id, millis};
use crate::replicated::Origin;

impl Consumer<'_, '_> {
    /// Decides a join by the classic protocol.
    pub fn join_classic(&mut self, join: &Join<'_>) {
        match self.try_join_classic(join) {
            Ok(response) => self.draft.reply(join.origin, GroupResponse::JoinGroup(response)),
            Err(error) => {
                self.draft.discard();
                let response = join_error(&join.request.member_id, error);
                self.draft.reply(join.origin, GroupResponse::JoinGroup(response));
            }
        }
    }

    fn try_join_classic(&mut self, join: &Join<'_>) -> Result<JoinGroupResponse, ErrorCode> {
        let request = join.request;
        let is_unknown = request.member_id.is_empty();
        let id = match request.member_id.as_str() {
            "" => member_id(join.instance_id().unwrap_or(&join.client.id), join.entropy),
            id => id.into(),
        };
        self.check_room(&id)?;
        let protocols = join.protocols();
        if request.protocol_type != CONSUMER_PROTOCOL_TYPE || !self.group.supports_classic(&protocols) {
            return Err(ErrorCode::InconsistentGroupProtocol);
        }
        if is_unknown && join.instance_id().is_none() && join.needs_id_first() {
            return Ok(join_error(&id, ErrorCode::MemberIdRequired));
        }
        let (protocol, metadata) = protocols.first().expect("who shares a protocol has one");
        let protocol = protocol.to_string();
        let subscription =
            ConsumerProtocolSubscription::from_bytes(metadata).map_err(|_| ErrorCode::InconsistentGroupProtocol)?;
        let may_be_new = is_unknown || join.instance_id().is_none();
        let before = self.find_member(&id, join.instance_id(), may_be_new, None)?;
        let owned = to_reported(&subscription.owned_partitions, self.draft.coordinator.image());
        let updated = update(&before, join, protocols, subscription);
        let change = self.take_over(&before, &updated)?;
        self.check_topics(change.as_deref());
        let had_consumers = before.classic.is_none() && before.instance_id.is_some();
        if had_consumers && self.can_downgrade() {
            // It takes over what its former self owned: there is nothing to join for, unless it wants something else.
            let generation = self.group.epoch;
            self.downgrade(change.is_some());
            return Ok(joined(&id, generation, protocol));
        }
        self.update_targets();
        self.reconcile(&id, Some(&owned));
        self.cancel(GroupTimer::ClassicJoin(MemberId::clone(&id)));
        self.draft.set_timer(&self.id, GroupTimer::Session(MemberId::clone(&id)), millis(request.session_timeout_ms));
        self.draft.set_timer(&self.id, GroupTimer::ClassicSync(MemberId::clone(&id)), updated.rebalance_timeout());
        let epoch = self.group.member(&id)?.epoch;
        Ok(joined(&id, epoch, protocol))
    }

    /// Decides a sync by the classic protocol.
    pub fn sync_classic(&mut self, origin: Origin, request: &SyncGroupRequest) {
        let response = self.try_sync_classic(request).unwrap_or_else(sync_error);
        self.draft.reply(origin, GroupResponse::SyncGroup(response));
    }

    fn try_sync_classic(&mut self, request: &SyncGroupRequest) -> Result<SyncGroupResponse, ErrorCode> {
        let (member, session_timeout) =
            self.classic_member(&request.member_id, request.group_instance_id.as_deref(), request.generation_id)?;
        let protocol = member.classic.as_ref().and_then(|classic| classic.protocols.first());
        let protocol = protocol.map(|(name, _)| name.to_string()).unwrap_or_default();
        let differs = |theirs: &Option<String>, ours: &str| theirs.as_deref().is_some_and(|theirs| theirs != ours);
        if differs(&request.protocol_type, CONSUMER_PROTOCOL_TYPE) || differs(&request.protocol_name, &protocol) {
            return Err(ErrorCode::InconsistentGroupProtocol);
        }
        if self.group.epoch > member.epoch && member.state != MemberState::Unrevoked {
            self.expect_join(&member);
            return Err(ErrorCode::RebalanceInProgress);
        }
        self.cancel(GroupTimer::ClassicSync(MemberId::clone(&member.id)));
        self.draft.set_timer(&self.id, GroupTimer::Session(MemberId::clone(&member.id)), session_timeout);
        Ok(SyncGroupResponse {
            protocol_type: request.protocol_type.clone(),
            protocol_name: request.protocol_name.clone(),
            assignment: assignment_bytes(&member, self.draft.coordinator.image()),
            ..SyncGroupResponse::default()
        })
    }

    /// Decides a heartbeat by the classic protocol.
    pub fn heartbeat_classic(&mut self, request: &HeartbeatRequest) -> Result<(), ErrorCode> {
        let (member, session_timeout) =
            self.classic_member(&request.member_id, request.group_instance_id.as_deref(), request.generation_id)?;
        self.draft.set_timer(&self.id, GroupTimer::Session(MemberId::clone(&member.id)), session_timeout);
        let can_get_more = member.state == MemberState::Unreleased && !self.group.waits_for_others(&member);
        if member.epoch < self.group.epoch || member.state == MemberState::Unrevoked || can_get_more {
            self.expect_join(&member);
            return Err(ErrorCode::RebalanceInProgress);
        }
        Ok(())
    }

    /// Decides a leave by the classic protocol: also of members that speak the new one, since administrators use it.
    pub fn leave_classic(&mut self, origin: Origin, request: &LeaveGroupRequest) {
        let mut leaving = Vec::new();
        let members = request.members.iter().map(|identity| {
            let found = self.group.find_leaving(identity);
            if let Ok(id) = &found
                && !leaving.contains(id)
            {
                leaving.push(MemberId::clone(id));
            }
            member_response(identity, found.map(drop))
        });
        let members = members.collect();
        self.fence(leaving, "it has left");
        self.draft.reply(origin, GroupResponse::LeaveGroup(LeaveGroupResponse { members, ..Default::default() }));
    }

    fn classic_member(
        &self,
        id: &str,
        instance_id: Option<&str>,
        generation: i32,
    ) -> Result<(Arc<ConsumerMember>, Duration), ErrorCode> {
        let member = self.group.validate_member(id, instance_id)?;
        let classic = member.classic.as_ref().ok_or(ErrorCode::UnknownMemberId)?;
        if member.epoch != generation {
            return Err(ErrorCode::IllegalGeneration);
        }
        Ok((Arc::clone(member), classic.session_timeout))
    }

    /// The member was told to join again, and has the time of a rebalance for it.
    fn expect_join(&mut self, member: &ConsumerMember) {
        let timer = GroupTimer::ClassicJoin(MemberId::clone(&member.id));
        let key = TimerKey::Group(Arc::clone(&self.id), timer.clone());
        if self.draft.coordinator.timers().deadline(&key).is_none() {
            self.draft.set_timer(&self.id, timer, member.rebalance_timeout());
        }
    }

    fn cancel(&mut self, timer: GroupTimer) {
        self.draft.cancel_timer(&self.id, timer);
    }
}

impl ConsumerGroup {
    /// Whether the members that speak the classic protocol all know one of these.
    fn supports_classic(&self, protocols: &Protocols) -> bool {
        let is_known_to_all = |name: &Arc<str>| {
            let mut classic = self.members().filter_map(|member| member.classic.as_ref());
            classic.all(|classic| classic.protocols.metadata(name).is_some())
        };
        protocols.names().any(is_known_to_all)
    }

    /// Whether all that the member has still to get is somebody else's.
    fn waits_for_others(&self, member: &ConsumerMember) -> bool {
        self.target(&member.id).iter().any(|(topic, indexes)| {
            indexes.iter().any(|index| self.owners.get(&(*topic, *index)).is_some_and(|owner| *owner != member.id))
        })
    }

    fn find_leaving(&self, identity: &MemberIdentity) -> Result<MemberId, ErrorCode> {
        let (id, instance_id) = (identity.member_id.as_str(), identity.group_instance_id.as_deref());
        let member = match instance_id {
            // An administrator removes a static member by its name alone.
            Some(instance_id) if id.is_empty() => self.static_member(instance_id).ok_or(ErrorCode::UnknownMemberId)?,
            instance_id => self.validate_member(id, instance_id)?,
        };
        Ok(MemberId::clone(&member.id))
    }
}

fn joined(id: &MemberId, epoch: i32, protocol: String) -> JoinGroupResponse {
    JoinGroupResponse {
        generation_id: epoch,
        protocol_type: Some(CONSUMER_PROTOCOL_TYPE.to_owned()),
        protocol_name: Some(protocol),
        member_id: id.to_string(),
        ..JoinGroupResponse::default()
    }
}

fn update(
    member: &ConsumerMember,
    join: &Join<'_>,
    protocols: Protocols,
    subscription: ConsumerProtocolSubscription,
) -> ConsumerMember {
    let session_timeout = millis(join.request.session_timeout_ms);
    ConsumerMember {
        instance_id: join.instance_id().map(Arc::from).or_else(|| member.instance_id.clone()),
        rack_id: subscription.rack_id.as_deref().map(Arc::from).or_else(|| member.rack_id.clone()),
        client_id: join.client.id.as_str().into(),
        client_host: join.client.host.as_str().into(),
        topics: Arc::new(subscription.topics.into_iter().collect()),
        regex: None,
        rebalance_timeout_ms: match join.request.rebalance_timeout_ms {
            -1 => join.request.session_timeout_ms,
            timeout => timeout,
        },
        classic: Some(Arc::new(ClassicMetadata { session_timeout, protocols })),
        ..member.clone()
    }
}

fn to_reported(owned: &[TopicPartition], image: &Image) -> Vec<TopicPartitions> {
    let topic = |topic: &TopicPartition| {
        let topic_id = Uuid(image.topic(&topic.topic)?.id.0);
        Some(TopicPartitions { topic_id, partitions: topic.partitions.clone() })
    };
    owned.iter().filter_map(topic).collect()
}

/// What a member owns, in the bytes of the classic protocol and in the version that the member speaks.
pub(super) fn assignment_bytes(member: &ConsumerMember, image: &Image) -> Bytes {
    let topics = member.assigned.iter().filter_map(|(topic, indexes)| {
        let topic = image.topic_by_id(*topic)?.name.to_string();
        Some(TopicPartition { topic, partitions: indexes.keys().copied().collect() })
    });
    let assignment = ConsumerProtocolAssignment { assigned_partitions: topics.collect(), user_data: None };
    let metadata = member.classic.as_ref().and_then(|classic| classic.protocols.first()).map(|(_, bytes)| bytes);
    let version = metadata.and_then(|bytes| Some(i16::from_be_bytes(*bytes.first_chunk()?))).unwrap_or(0);
    let known = ConsumerProtocolAssignment::VERSIONS;
    let version = version.clamp(*known.start(), *known.end());
    assignment.to_bytes(version).expect("topics' names are strings of the wire")
}
