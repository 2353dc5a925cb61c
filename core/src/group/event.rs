//! What groups report: typed, for log lines and metrics.

use super::{GroupId, MemberId};

/// Something worth knowing about a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupEvent {
    /// A group stands differently from before: it is new, or has another state, generation or number of members. When its
    /// coordinator has read its log, every group that has or had members is told of once.
    Changed {
        /// Which group.
        group: GroupId,
        /// How it stands now.
        standing: Standing,
    },
    /// A rebalance begins.
    Rebalancing {
        /// Which group.
        group: GroupId,
        /// Its generation or epoch so far.
        generation: i32,
        /// Why.
        reason: Box<str>,
    },
    /// A member has left or was put out.
    MemberRemoved {
        /// Which group.
        group: GroupId,
        /// Who.
        member: MemberId,
        /// Why.
        reason: Box<str>,
    },
    /// How far a group has got: its lag is what lies between here and the partition's end. Told at each commit, and again
    /// whenever expired offsets are looked for.
    Committed {
        /// Which group.
        group: GroupId,
        /// In which topic.
        topic: Box<str>,
        /// In which partition.
        partition: i32,
        /// The next offset to read.
        offset: i64,
    },
    /// A group and its offsets are gone.
    Removed {
        /// Which group.
        group: GroupId,
    },
}

/// Where a group is, in a word and three numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Its protocol: `classic` or `consumer`.
    pub protocol: &'static str,
    /// Its state, as Kafka names it.
    pub state: &'static str,
    /// Its generation or epoch.
    pub generation: i32,
    /// How many members it has.
    pub members: usize,
}
