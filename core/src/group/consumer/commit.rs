//! Who may commit offsets of a consumer group, and look them up.

use highwater_wire::ErrorCode;
use highwater_wire::offset_commit::{OffsetCommitRequest, OffsetCommitRequestTopic};
use highwater_wire::offset_fetch::OffsetFetchRequestGroup;

use super::member::Owned;
use super::{ConsumerGroup, ConsumerMember};
use crate::ids::TopicId;

/// From this version on, members of the consumer protocol may commit.
const EPOCHS_ARE_KNOWN: i16 = 9;

impl ConsumerGroup {
    /// Checks that the sender may commit: at its epoch everything, at an older one what it has owned since then.
    ///
    /// # Errors
    /// It may not.
    pub fn validate_commit(&self, version: i16, request: &OffsetCommitRequest) -> Result<(), ErrorCode> {
        let epoch = request.generation_id_or_member_epoch;
        if epoch < 0 && self.member_count() == 0 {
            return Ok(());
        }
        let member = self.member(&request.member_id)?;
        if member.classic.is_none() && version < EPOCHS_ARE_KNOWN {
            return Err(ErrorCode::UnsupportedVersion);
        }
        let owns = |topic: &OffsetCommitRequestTopic| {
            topic.partitions.iter().all(|partition| {
                let since = owned_since(member, TopicId(topic.topic_id.0), partition.partition_index);
                since.is_some_and(|since| epoch >= since)
            })
        };
        if epoch == member.epoch || (epoch < member.epoch && request.topics.iter().all(owns)) {
            Ok(())
        } else {
            Err(member.stale())
        }
    }

    /// Checks that the sender may look offsets up: a member at its epoch, or anybody who does not say that it is one.
    ///
    /// # Errors
    /// It is no member, or not at the epoch that it says.
    pub fn validate_fetch(&self, request: &OffsetFetchRequestGroup) -> Result<(), ErrorCode> {
        if request.member_id.is_none() && request.member_epoch < 0 {
            return Ok(());
        }
        let member = self.member(request.member_id.as_deref().unwrap_or_default())?;
        if request.member_epoch == member.epoch { Ok(()) } else { Err(member.stale()) }
    }
}

impl ConsumerMember {
    /// The error for a request at another epoch, in the words of the protocol that the member speaks.
    fn stale(&self) -> ErrorCode {
        match self.classic {
            Some(_) => ErrorCode::IllegalGeneration,
            None => ErrorCode::StaleMemberEpoch,
        }
    }
}

/// Since which epoch the member has owned the partition.
fn owned_since(member: &ConsumerMember, topic: TopicId, index: i32) -> Option<i32> {
    let find = |owned: &Owned| owned.get(&topic)?.get(&index).copied();
    find(&member.assigned).or_else(|| find(&member.revoking))
}
