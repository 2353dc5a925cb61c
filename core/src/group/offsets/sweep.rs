//! Removing what counts no more: expired offsets, offsets of deleted topics, groups that nothing is left of.
//!
//! A sweep goes through all groups, a bounded piece in each decision. Offsets of deleted topics go soon after the topic;
//! all else is looked at every `offsets.retention.check.interval.ms`, as in Kafka. An offset expires when its group has not
//! been using it for the time of retention: since the group became empty, or, in groups that never have members and for
//! topics that the members have given up, since it was committed.

use std::sync::Arc;
use std::time::Duration;

use super::{Committed, remove};
use crate::controller::Image;
use crate::group::classic::{ClassicGroup, State};
use crate::group::draft::{Draft, Soft};
use crate::group::machine::Group;
use crate::group::timers::{Sweep, TimerKey};
use crate::group::{GroupConfig, GroupId, groups};
use crate::limits::{SWEPT_BYTES_MAX, SWEPT_OFFSETS_MAX};
use crate::time::WallMs;

/// How soon offsets are looked through after a change of metadata: many changes share one sweep.
const SWEEP_DELAY: Duration = Duration::from_secs(1);

/// Takes over new metadata. Topics may be gone.
pub(in crate::group) fn adopt(draft: &mut Draft<'_>, image: &Arc<Image>) {
    draft.soft(Soft::Image(Arc::clone(image)));
    // What a sweep under way has passed it has held against older metadata.
    draft.soft(Soft::SweptUpTo(Sweep::Deleted, None));
    let soon = draft.now.mono + SWEEP_DELAY;
    let timer = TimerKey::Sweep(Sweep::Deleted);
    if draft.coordinator.timers().deadline(&timer).is_none() {
        draft.soft(Soft::SetTimer(timer, soon));
    }
}

/// Looks through the next groups.
pub(in crate::group) fn decide_sweep(draft: &mut Draft<'_>, sweep: Sweep) {
    let coordinator = draft.coordinator;
    let mut work = Work { offsets: SWEPT_OFFSETS_MAX, bytes: SWEPT_BYTES_MAX };
    let mut left = match coordinator.swept_up_to(sweep) {
        Some(id) => coordinator.groups().range::<GroupId, _>(id..),
        None => coordinator.groups().range::<GroupId, _>(..),
    };
    let mut next = left.next();
    while let Some((id, group)) = next
        && sweep_group(draft, sweep, id, group, &mut work)
    {
        next = left.next();
    }
    draft.soft(Soft::SweptUpTo(sweep, next.map(|(id, _)| GroupId::clone(id))));
    let timer = TimerKey::Sweep(sweep);
    draft.soft(match (next, sweep) {
        (Some(_), _) => Soft::SetTimer(timer, draft.now.mono),
        (None, Sweep::Deleted) => Soft::CancelTimer(timer),
        (None, Sweep::Expired) => {
            Soft::SetTimer(timer, draft.now.mono + coordinator.config().offsets_retention_check_interval)
        }
    });
}

/// What one decision may still look at and write.
struct Work {
    offsets: usize,
    bytes: usize,
}

/// Looks through one group. Says whether it is done with it, and there is work left for another.
fn sweep_group(draft: &mut Draft<'_>, sweep: Sweep, id: &GroupId, group: &Group, work: &mut Work) -> bool {
    let (image, now) = (draft.coordinator.image(), draft.now.wall);
    let expires = sweep == Sweep::Expired;
    let mut left = 0;
    for (topic, partition, committed) in group.offsets.iter() {
        work.offsets = work.offsets.saturating_sub(1);
        let has_expired = expires && has_expired(draft.config(), group, topic, committed, now);
        if committed.is_current(topic, image) && !has_expired {
            if expires {
                draft.event(super::committed(id, topic, partition, committed.offset));
            }
            left += 1;
            continue;
        }
        let Some(bytes) = work.bytes.checked_sub(id.len() + topic.len()) else { return false };
        work.bytes = bytes;
        remove(draft, id, topic, partition);
    }
    let is_abandoned = !group.has_members() && group.classic.as_ref().is_none_or(ClassicGroup::is_abandoned);
    if expires && left == 0 && is_abandoned {
        groups::remove(draft, id, group);
    }
    work.offsets > 0
}

fn has_expired(config: &GroupConfig, group: &Group, topic: &str, committed: &Committed, WallMs(now): WallMs) -> bool {
    let Some(WallMs(unused_since)) = unused_since(group, committed) else { return false };
    if group.is_subscribed_to(topic) {
        return false;
    }
    match committed.expires_at {
        Some(WallMs(expires_at)) => now >= expires_at,
        None => {
            let retention = i64::try_from(config.offsets_retention.as_millis()).unwrap_or(i64::MAX);
            now.saturating_sub(unused_since) >= retention
        }
    }
}

/// Since when an offset may have been unused; none if that cannot be told.
fn unused_since(group: &Group, committed: &Committed) -> Option<WallMs> {
    let Some(group) = &group.classic else { return Some(committed.committed_at) };
    match group.state {
        _ if group.protocol_type.is_none() => Some(committed.committed_at),
        State::Empty if group.state_since.0 == -1 => Some(committed.committed_at),
        State::Empty => Some(group.state_since),
        State::Stable if group.knows_subscriptions() => Some(committed.committed_at),
        State::Stable | State::PreparingRebalance(_) | State::CompletingRebalance => None,
    }
}
