//! What groups report: typed, for log lines and metrics.

use super::{GroupId, MemberId};

/// Something worth knowing about a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupEvent {
    /// A rebalance begins.
    Rebalancing {
        /// Which group.
        group: GroupId,
        /// Its generation or epoch so far.
        generation: i32,
        /// Why.
        reason: Box<str>,
    },
    /// Every member has its assignment.
    Stable {
        /// Which group.
        group: GroupId,
        /// Its generation or epoch.
        generation: i32,
        /// How many members it has.
        members: usize,
    },
    /// The last member is gone.
    Emptied {
        /// Which group.
        group: GroupId,
        /// Its generation or epoch.
        generation: i32,
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
    /// A group and its offsets are gone.
    Removed {
        /// Which group.
        group: GroupId,
    },
}
