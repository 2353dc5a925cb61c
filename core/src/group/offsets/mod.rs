//! Offsets that groups have committed.
//!
//! An offset remembers the id of its topic. When that topic is deleted the offset counts no more, even before its tombstone
//! is written, and a new topic of the same name begins without it.
//!
//! Sources: KIP-211 (expiry), KIP-496 (deletion), KIP-848 (member epochs).
//! Deliberately absent: offsets of transactions.

mod commit;
mod fetch;
mod sweep;

use std::collections::BTreeMap;

use highwater_wire::GroupRecord;
use highwater_wire::group_records::{OffsetCommitKey, OffsetCommitValue};

pub(super) use commit::{commit_error, decide_commit, decide_delete};
pub(super) use fetch::{fetch, fetch_error};
pub(super) use sweep::{adopt, decide_sweep};

use super::draft::Draft;
use super::machine::Group;
use super::{GroupEvent, GroupId};
use crate::controller::Image;
use crate::ids::TopicId;
use crate::time::WallMs;

/// The offsets of one group, by topic and partition.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Offsets(BTreeMap<Box<str>, BTreeMap<i32, Committed>>);

/// How far a group has got in one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Committed {
    /// The next offset to read.
    offset: i64,
    /// The leader epoch of the last record that was read, -1 if unknown.
    leader_epoch: i32,
    /// The client's own note.
    metadata: Box<str>,
    committed_at: WallMs,
    /// When it expires, where the client has said so.
    expires_at: Option<WallMs>,
    /// The topic; zero where the record could not say.
    topic: TopicId,
}

impl Committed {
    fn from_value(value: &OffsetCommitValue) -> Self {
        Self {
            offset: value.offset,
            leader_epoch: value.leader_epoch,
            metadata: value.metadata.as_str().into(),
            committed_at: WallMs(value.commit_timestamp),
            expires_at: (value.expire_timestamp != -1).then_some(WallMs(value.expire_timestamp)),
            topic: TopicId(value.topic_id.0),
        }
    }

    /// Whether the topic that it was committed for is still there.
    fn is_current(&self, name: &str, image: &Image) -> bool {
        match self.topic {
            TopicId(0) => image.topic(name).is_some(),
            id => image.topic_by_id(id).is_some(),
        }
    }
}

impl Offsets {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes over a record.
    pub fn apply(&mut self, key: &OffsetCommitKey, value: Option<&OffsetCommitValue>) {
        if let Some(value) = value {
            let partitions = self.0.entry(key.topic.as_str().into()).or_default();
            partitions.insert(key.partition, Committed::from_value(value));
        } else if let Some(partitions) = self.0.get_mut(key.topic.as_str()) {
            partitions.remove(&key.partition);
            if partitions.is_empty() {
                self.0.remove(key.topic.as_str());
            }
        }
    }

    fn get(&self, topic: &str, partition: i32) -> Option<&Committed> {
        self.0.get(topic)?.get(&partition)
    }

    fn iter(&self) -> impl Iterator<Item = (&str, i32, &Committed)> {
        self.0.iter().flat_map(|(topic, partitions)| {
            partitions.iter().map(move |(partition, committed)| (&**topic, *partition, committed))
        })
    }
}

/// Removes all that a group has committed.
pub(super) fn remove_all(draft: &mut Draft<'_>, id: &GroupId, group: &Group) {
    for (topic, partition, _) in group.offsets.iter() {
        remove(draft, id, topic, partition);
    }
}

/// How far a group has got in one partition, for metrics.
fn committed(id: &str, topic: &str, partition: i32, offset: i64) -> GroupEvent {
    GroupEvent::Committed { group: id.into(), topic: topic.into(), partition, offset }
}

fn remove(draft: &mut Draft<'_>, id: &str, topic: &str, partition: i32) {
    let key = OffsetCommitKey { group: id.to_owned(), topic: topic.to_owned(), partition };
    draft.record(GroupRecord::OffsetCommit(key, None));
}
