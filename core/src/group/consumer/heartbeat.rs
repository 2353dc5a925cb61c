//! Heartbeats: joining, wanting something else, giving partitions up, staying.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use highwater_wire::consumer_group_heartbeat::{
    Assignment, ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, TopicPartitions,
};
use highwater_wire::group_records::{
    ConsumerGroupCurrentMemberAssignmentKey, ConsumerGroupMemberMetadataKey, ConsumerGroupTargetAssignmentMemberKey,
    GroupMetadataKey,
};
use highwater_wire::{ErrorCode, GroupRecord, Uuid};

use super::assignor;
use super::member::{AWAY, Owned};
use super::upgrade::upgrade;
use super::{Consumer, ConsumerGroup, ConsumerMember};
use crate::group::draft::{Draft, Seen, Soft};
use crate::group::request::{Client, GroupResponse};
use crate::group::timers::GroupTimer;
use crate::group::{GroupId, MemberId};
use crate::ids::TopicId;
use crate::replicated::Origin;

/// From this version on, a member makes its own id.
const IDS_ARE_THE_CLIENTS: i16 = 1;

/// The epoch of who leaves for good.
const LEAVING: i32 = -1;

/// How seldom topics are looked through for those that match regular expressions.
const RESOLVE_INTERVAL: Duration = Duration::from_secs(10);

/// A heartbeat, with what is decided by it.
pub(in crate::group) struct Heartbeat<'a> {
    pub origin: Origin,
    pub entropy: u128,
    pub client: &'a Client,
    pub version: i16,
    pub request: &'a ConsumerGroupHeartbeatRequest,
}

/// Decides a heartbeat.
pub(in crate::group) fn decide_heartbeat(draft: &mut Draft<'_>, heartbeat: &Heartbeat<'_>) {
    let outcome = validate(heartbeat).and_then(|()| match heartbeat.request.member_epoch {
        LEAVING | AWAY => leave(draft, heartbeat.request),
        _ => beat(draft, heartbeat),
    });
    let response = outcome.unwrap_or_else(|error| {
        draft.discard();
        error_response(error)
    });
    draft.reply(heartbeat.origin, GroupResponse::ConsumerGroupHeartbeat(response));
}

/// A heartbeat that is refused.
pub(in crate::group) fn error_response(error: ErrorCode) -> ConsumerGroupHeartbeatResponse {
    ConsumerGroupHeartbeatResponse {
        error_code: error.code(),
        error_message: Some(error.description().to_owned()),
        ..ConsumerGroupHeartbeatResponse::default()
    }
}

fn validate(heartbeat: &Heartbeat<'_>) -> Result<(), ErrorCode> {
    let request = heartbeat.request;
    let is_empty = |text: &Option<String>| text.as_deref() == Some("");
    let needs_id = request.member_epoch != 0 || heartbeat.version >= IDS_ARE_THE_CLIENTS;
    let says_what_it_wants = request.subscribed_topic_names.is_some() || request.subscribed_topic_regex.is_some();
    let is_valid = match request.member_epoch {
        _ if request.group_id.is_empty() || is_empty(&request.instance_id) || is_empty(&request.rack_id) => false,
        _ if needs_id && request.member_id.is_empty() => false,
        0 => {
            let owns_nothing = request.topic_partitions.as_ref().is_some_and(Vec::is_empty);
            request.rebalance_timeout_ms != -1 && owns_nothing && says_what_it_wants
        }
        AWAY => request.instance_id.is_some(),
        epoch => epoch >= LEAVING,
    };
    if !is_valid {
        return Err(ErrorCode::InvalidRequest);
    }
    match &request.server_assignor {
        Some(name) if !assignor::is_supported(name) => Err(ErrorCode::UnsupportedAssignor),
        _ => Ok(()),
    }
}

fn leave(
    draft: &mut Draft<'_>,
    request: &ConsumerGroupHeartbeatRequest,
) -> Result<ConsumerGroupHeartbeatResponse, ErrorCode> {
    let mut consumer = open(draft, &request.group_id, false)?;
    let member = consumer.group.validate_member(&request.member_id, request.instance_id.as_deref())?;
    let member = Arc::clone(member);
    if request.member_epoch == AWAY {
        consumer.go_away(&member);
    } else {
        consumer.fence(vec![MemberId::clone(&member.id)], "it has left");
    }
    Ok(ConsumerGroupHeartbeatResponse {
        member_id: Some(member.id.to_string()),
        member_epoch: request.member_epoch,
        ..ConsumerGroupHeartbeatResponse::default()
    })
}

fn beat(draft: &mut Draft<'_>, heartbeat: &Heartbeat<'_>) -> Result<ConsumerGroupHeartbeatResponse, ErrorCode> {
    let mut consumer = open(draft, &heartbeat.request.group_id, heartbeat.request.member_epoch == 0)?;
    consumer.beat(heartbeat)
}

/// A copy of the group to decide on. Joining makes one, where there is none or a classic one that can become one.
fn open<'d, 'c>(draft: &'d mut Draft<'c>, id: &str, is_joining: bool) -> Result<Consumer<'d, 'c>, ErrorCode> {
    let coordinator = draft.coordinator;
    let id: GroupId = id.into();
    let Some(group) = coordinator.group(&id) else {
        return if is_joining {
            Ok(Consumer::new(draft, id, ConsumerGroup::default()))
        } else {
            Err(ErrorCode::GroupIdNotFound)
        };
    };
    match (&group.consumer, &group.classic) {
        (Some(consumer), _) => Ok(Consumer::new(draft, id, consumer.clone())),
        (None, _) if !is_joining => Err(ErrorCode::GroupIdNotFound),
        (None, Some(classic)) if classic.member_count() > 0 => upgrade(draft, id, classic),
        (None, classic) => {
            if classic.is_some() {
                let key = GroupMetadataKey { group: id.to_string() };
                draft.record(GroupRecord::GroupMetadata(key, None));
            }
            Ok(Consumer::new(draft, id, ConsumerGroup::default()))
        }
    }
}

impl Consumer<'_, '_> {
    fn beat(&mut self, heartbeat: &Heartbeat<'_>) -> Result<ConsumerGroupHeartbeatResponse, ErrorCode> {
        let request = heartbeat.request;
        let id = match request.member_id.as_str() {
            "" => Uuid(heartbeat.entropy).to_string(),
            id => id.to_owned(),
        };
        self.check_room(&id)?;
        let is_joining = request.member_epoch == 0;
        let said = Said { epoch: request.member_epoch, owned: request.topic_partitions.as_deref() };
        let before = self.find_member(&id, request.instance_id.as_deref(), is_joining, Some(said))?;
        let updated = update(&before, heartbeat);
        let change = self.take_over(&before, &updated)?;
        self.check_topics(change.as_deref());
        self.update_targets();
        self.reconcile(&id, request.topic_partitions.as_deref());
        let times = self.draft.coordinator.member_times(&self.id);
        self.draft.set_timer(&self.id, GroupTimer::Session(id.as_str().into()), times.session_timeout);
        let after = Arc::clone(self.group.member(&id)?);
        let is_full = request.rebalance_timeout_ms != -1
            && (request.subscribed_topic_names.is_some() || request.subscribed_topic_regex.is_some())
            && request.topic_partitions.is_some();
        let tells = is_joining || is_full || partitions(&before.assigned) != partitions(&after.assigned);
        Ok(ConsumerGroupHeartbeatResponse {
            member_id: Some(id),
            member_epoch: after.epoch,
            heartbeat_interval_ms: i32::try_from(times.heartbeat_interval.as_millis()).unwrap_or(i32::MAX),
            assignment: tells.then(|| assignment(&after.assigned)),
            ..ConsumerGroupHeartbeatResponse::default()
        })
    }

    /// Whether there is room for the sender.
    pub(super) fn check_room(&self, id: &str) -> Result<(), ErrorCode> {
        let is_full = self.group.member_count() >= self.draft.config().consumer.max_size;
        if is_full && !self.group.members.contains_key(id) { Err(ErrorCode::GroupMaxSizeReached) } else { Ok(()) }
    }

    /// The member that sends, as it was before. A new static member takes the place of its former self if that has left, or
    /// if one of the two speaks the classic protocol, which says no epoch.
    pub(super) fn find_member(
        &mut self,
        id: &str,
        instance_id: Option<&str>,
        may_be_new: bool,
        said: Option<Said<'_>>,
    ) -> Result<ConsumerMember, ErrorCode> {
        let former = instance_id.and_then(|instance_id| self.group.static_member(instance_id)).cloned();
        let member = match (instance_id, former) {
            (None, _) if may_be_new => self.group.known(id),
            (None, _) => ConsumerMember::clone(self.group.member(id)?),
            (Some(_), None) if may_be_new => self.group.known(id),
            (Some(_), None) => return Err(ErrorCode::UnknownMemberId),
            (Some(_), Some(former)) if *former.id == *id => ConsumerMember::clone(&former),
            (Some(_), Some(_)) if !may_be_new => return Err(ErrorCode::FencedInstanceId),
            (Some(_), Some(former)) => {
                let is_released = former.classic.is_some() || former.epoch == AWAY || said.is_none();
                return if is_released { Ok(self.replace(&former, id)) } else { Err(ErrorCode::UnreleasedInstanceId) };
            }
        };
        said.map_or(Ok(()), |said| check_epoch(&member, &said)).map(|()| member)
    }

    fn replace(&mut self, former: &Arc<ConsumerMember>, id: &str) -> ConsumerMember {
        let target = self.group.target(&former.id);
        let mut member = ConsumerMember { id: id.into(), ..ConsumerMember::clone(former) };
        (member.epoch, member.previous_epoch) = (0, 0);
        self.remove(&former.id);
        self.record_metadata(&member);
        self.record_target(&member.id, &target);
        self.record_assignment(&member);
        member
    }

    /// Puts what a member says of itself into the log. Says so if it wants something else than before.
    pub(super) fn take_over(
        &mut self,
        before: &ConsumerMember,
        updated: &ConsumerMember,
    ) -> Result<Option<String>, ErrorCode> {
        let is_new = !self.group.members.contains_key(&updated.id);
        if is_new || *before != *updated {
            self.record_metadata(updated);
        }
        if before.regex != updated.regex {
            if let Some(regex) = &updated.regex {
                self.resolve(regex)?;
            }
            self.forget_unused_regexes();
        }
        let has_changed = before.topics != updated.topics || before.regex != updated.regex;
        let what = if is_new { "joins" } else { "subscribes to something else" };
        Ok(has_changed.then(|| format!("{} {what}", updated.id)))
    }

    /// Begins another epoch if a member wants something else, or if there is something else to read.
    pub(super) fn check_topics(&mut self, change: Option<&str>) {
        let reason = change.unwrap_or("topics have changed");
        let image = self.draft.coordinator.image().offset();
        let seen = self.draft.coordinator.group(&self.id).and_then(|group| group.seen);
        if seen.is_none_or(|seen| seen.image != image) {
            let now = self.draft.now.mono;
            let may_resolve = seen.is_none_or(|seen| now.since(seen.at) >= RESOLVE_INTERVAL);
            if self.group.resolved.is_empty() || may_resolve {
                self.resolve_all();
                self.draft.soft(Soft::Seen(Arc::clone(&self.id), Seen { image, at: now }));
            }
            if self.group.hash_topics(self.draft.coordinator.image()) != self.group.metadata_hash {
                return self.bump_epoch(reason);
            }
        }
        if change.is_some() {
            self.bump_epoch(reason);
        }
    }

    pub(super) fn record_metadata(&mut self, member: &ConsumerMember) {
        let key = ConsumerGroupMemberMetadataKey { group_id: self.id.to_string(), member_id: member.id.to_string() };
        self.record(GroupRecord::ConsumerGroupMemberMetadata(key, Some(member.to_metadata())));
    }

    /// Takes a member out. Its own record goes last: then nothing is left of it.
    pub(super) fn remove(&mut self, id: &MemberId) {
        let (group_id, member_id) = (self.id.to_string(), id.to_string());
        let key = ConsumerGroupCurrentMemberAssignmentKey { group_id: group_id.clone(), member_id: member_id.clone() };
        self.record(GroupRecord::ConsumerGroupCurrentMemberAssignment(key, None));
        let key = ConsumerGroupTargetAssignmentMemberKey { group_id: group_id.clone(), member_id: member_id.clone() };
        self.record(GroupRecord::ConsumerGroupTargetAssignmentMember(key, None));
        let key = ConsumerGroupMemberMetadataKey { group_id, member_id };
        self.record(GroupRecord::ConsumerGroupMemberMetadata(key, None));
        self.cancel_timers(id);
    }
}

/// What a heartbeat says of where its member is.
pub(super) struct Said<'a> {
    epoch: i32,
    owned: Option<&'a [TopicPartitions]>,
}

/// Whether the member is at the epoch that it says, or missed the answer that took it there.
fn check_epoch(member: &ConsumerMember, said: &Said<'_>) -> Result<(), ErrorCode> {
    let missed_an_answer = || said.epoch == member.previous_epoch && owns_no_more(said.owned, &member.assigned);
    if said.epoch == 0 || said.epoch == member.epoch || (said.epoch < member.epoch && missed_an_answer()) {
        Ok(())
    } else {
        Err(ErrorCode::FencedMemberEpoch)
    }
}

fn owns_no_more(owned: Option<&[TopicPartitions]>, assigned: &Owned) -> bool {
    owned.is_some_and(|owned| {
        owned.iter().all(|topic| {
            let indexes = assigned.get(&TopicId(topic.topic_id.0));
            indexes.is_some_and(|indexes| topic.partitions.iter().all(|index| indexes.contains_key(index)))
        })
    })
}

/// The member with what it says of itself. What it does not say stays as it was.
fn update(member: &ConsumerMember, heartbeat: &Heartbeat<'_>) -> ConsumerMember {
    let request = heartbeat.request;
    let text = |new: &Option<String>, old: &Option<Arc<str>>| match new {
        Some(text) => Some(Arc::from(text.as_str())),
        None => old.clone(),
    };
    ConsumerMember {
        instance_id: text(&request.instance_id, &member.instance_id),
        rack_id: text(&request.rack_id, &member.rack_id),
        client_id: heartbeat.client.id.as_str().into(),
        client_host: heartbeat.client.host.as_str().into(),
        topics: match &request.subscribed_topic_names {
            Some(names) => Arc::new(names.iter().cloned().collect()),
            None => Arc::clone(&member.topics),
        },
        regex: text(&request.subscribed_topic_regex, &member.regex).filter(|regex| !regex.is_empty()),
        rebalance_timeout_ms: match request.rebalance_timeout_ms {
            -1 => member.rebalance_timeout_ms,
            timeout => timeout,
        },
        assignor: text(&request.server_assignor, &member.assignor),
        classic: None,
        ..member.clone()
    }
}

fn partitions(owned: &Owned) -> BTreeSet<(TopicId, i32)> {
    owned.iter().flat_map(|(topic, indexes)| indexes.keys().map(|index| (*topic, *index))).collect()
}

fn assignment(owned: &Owned) -> Assignment {
    let topic_partitions = owned.iter().filter(|(_, indexes)| !indexes.is_empty()).map(|(topic, indexes)| {
        TopicPartitions { topic_id: Uuid(topic.0), partitions: indexes.keys().copied().collect() }
    });
    Assignment { topic_partitions: topic_partitions.collect() }
}
