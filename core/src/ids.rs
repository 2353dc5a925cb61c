//! A type for every id, offset, epoch and token.

use std::fmt;

/// Defines a newtype over an integer with the derives that every id needs.
macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident($inner:ty);)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    )*};
}

ids! {
    /// A broker's `node.id`.
    BrokerId(i32);
    /// A partition's number within its topic, from 0.
    PartitionIndex(i32);
    /// A record's position in its partition. Exclusive ends are offsets too.
    Offset(i64);
    /// The term of a partition's leader: every election raises it.
    LeaderEpoch(i32);
    /// The version of a partition's replica set and ISR in the controller.
    PartitionEpoch(i32);
    /// A producer's id, unique in the cluster.
    ProducerId(i64);
    /// The generation of a producer id: a higher one fences the lower.
    ProducerEpoch(i16);
    /// One client connection of this process, never reused.
    ConnectionId(u64);
    /// A shard of this broker: 0 is the controller, the others own partitions.
    ShardId(u16);
    /// Names one [`SyncRequest`](crate::outbox::SyncRequest) of a shard.
    SyncToken(u64);
    /// Names one [`Job`](crate::outbox::Job) of a shard.
    JobId(u64);
    /// Names an open file, unique in the whole broker for as long as the process lives.
    FileId(u64);
    /// Names one command of a client, chosen by whoever gives it and never used again.
    CommandId(u64);
    /// Names a request that one shard has sent to another.
    Ticket(u64);
}

impl ShardId {
    /// The shard that holds the controller's log and nothing else.
    pub const CONTROLLER: Self = Self(0);

    /// The data shard, of `shards` from 1 on, that owns a partition. Directories do not name shards, so the number may
    /// change between two starts.
    pub fn owner_of(partition: PartitionId, shards: u16) -> Self {
        assert!(shards > 0, "a broker has at least one data shard");
        // Neighbouring partitions of a topic go to different shards.
        let spread = (partition.topic.0 as u64).wrapping_add(partition.index.0 as u64);
        Self(1 + (spread % u64::from(shards)) as u16)
    }
}

impl Offset {
    /// The offset `count` records further on.
    pub fn advanced(self, count: i64) -> Self {
        Self(self.0.checked_add(count).expect("offsets stay below 2^63"))
    }
}

/// A topic's id, unique for ever: a topic that is deleted and created again gets another one.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicId(pub u128);

/// The identity of one start of a broker process.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Incarnation(pub u128);

impl fmt::Debug for TopicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for TopicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// One partition of one topic, by the topic's id: what logs, leaders and shards are keyed by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartitionId {
    /// The topic.
    pub topic: TopicId,
    /// The partition's number in it.
    pub index: PartitionIndex,
}

impl fmt::Display for PartitionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.index)
    }
}
