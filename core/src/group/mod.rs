//! The group coordinator: who is in which group, what they read, how far they have got.
//!
//! [`GroupCoordinator`] is a decide/apply machine over one partition of `__consumer_offsets`, in Kafka's own records. What
//! its log says is durable: offsets, and the last complete state of each group. What a failover may lose is soft: joins in
//! progress, deadlines, requests that wait. A request that waits keeps its [`Origin`](crate::replicated::Origin) in the
//! soft state, and a later decision answers it.
//!
//! Invariants, asserted by [`GroupCoordinator::check`]:
//! * A classic group has its record in the log; one that does not move is what that record says.
//! * A group is of one protocol.
//! * Whoever is in a group has a session that can end, unless a request of it waits.
//! * Applying the records of all decisions to a new coordinator gives the same durable state.
//!
//! Sources: KIP-62, KIP-211 (expiry of offsets), KIP-345, KIP-394, KIP-496, KIP-848, and the behaviour of Kafka 4.3.
//! Deliberately absent: share groups and streams groups.

mod classic;
mod config;
mod consumer;
mod dispatch;
mod draft;
mod event;
mod groups;
mod machine;
mod offsets;
mod record;
mod request;
#[cfg(test)]
mod tests;
mod timers;

use std::sync::Arc;
use std::time::Duration;

use highwater_wire::Uuid;

pub use config::{ConsumerGroupConfig, GroupConfig, MemberTimes, MigrationPolicy};
pub use event::{GroupEvent, Standing};
pub use machine::GroupCoordinator;
pub use request::{Client, GroupCall, GroupRequest, GroupResponse};

/// A group's name.
pub type GroupId = Arc<str>;

/// A member's id: unique for as long as the coordinator remembers it.
pub type MemberId = Arc<str>;

/// Bytes of a client's or static member's name in a member id, which must be a string on the wire.
const MEMBER_NAME_BYTES_MAX: usize = 1024;

/// A new id for a member of this name.
fn member_id(name: &str, entropy: u128) -> MemberId {
    let end = name.floor_char_boundary(MEMBER_NAME_BYTES_MAX);
    let id = Uuid(entropy).0;
    let part = |shift: u32, digits: u32| id >> shift & ((1 << (4 * digits)) - 1);
    let (a, b, c, d, e) = (part(96, 8), part(80, 4), part(64, 4), part(48, 4), part(0, 12));
    format!("{}-{a:08x}-{b:04x}-{c:04x}-{d:04x}-{e:012x}", &name[..end]).into()
}

/// A time-out as requests carry it; a negative one is none at all.
fn millis(ms: i32) -> Duration {
    Duration::from_millis(u64::try_from(ms).unwrap_or(0))
}
