//! Deadlines by name: at most one for each name, and the earliest at hand.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use super::{GroupId, MemberId};
use crate::outbox::Reason;
use crate::time::Instant;

/// What a deadline is for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TimerKey {
    /// All groups are looked through for what counts no more.
    Sweep(Sweep),
    /// Something of one group.
    Group(GroupId, GroupTimer),
}

/// What a sweep looks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sweep {
    /// Offsets of deleted topics, soon after the metadata has changed.
    Deleted,
    /// Those, expired offsets and groups of which nothing is left, now and then.
    Expired,
}

/// What a group can wait for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum GroupTimer {
    /// The members of a classic group to join again.
    Join,
    /// The members of a classic group to fetch their assignments.
    Sync,
    /// A sign of life from a member.
    Session(MemberId),
    /// A member of a consumer group to give partitions up.
    Revocation(MemberId),
    /// A member of a consumer group that speaks the classic protocol to join again.
    ClassicJoin(MemberId),
    /// The same to fetch its assignment.
    ClassicSync(MemberId),
}

impl TimerKey {
    fn reason(&self) -> Reason {
        match self {
            Self::Sweep(Sweep::Deleted) => "topics may have been deleted",
            Self::Sweep(Sweep::Expired) => "offsets may have expired",
            Self::Group(_, GroupTimer::Join) => "a rebalance ends without the members that are missing",
            Self::Group(_, GroupTimer::Sync) => "members have not fetched their assignments",
            Self::Group(_, GroupTimer::Session(_)) => "a member's session ends",
            Self::Group(_, GroupTimer::Revocation(_)) => "a member has not given its partitions up",
            Self::Group(_, GroupTimer::ClassicJoin(_)) => "a member of the classic protocol has not joined again",
            Self::Group(_, GroupTimer::ClassicSync(_)) => {
                "a member of the classic protocol has not fetched its assignment"
            }
        }
    }
}

/// Every deadline of a coordinator.
#[derive(Clone, Debug, Default)]
pub(super) struct Timers {
    deadlines: BTreeMap<TimerKey, Instant>,
    queue: BTreeSet<(Instant, TimerKey)>,
}

impl Timers {
    /// Sets a deadline in place of the one that the key had.
    pub fn set(&mut self, key: TimerKey, deadline: Instant) {
        if let Some(previous) = self.deadlines.insert(key.clone(), deadline) {
            self.queue.remove(&(previous, key.clone()));
        }
        self.queue.insert((deadline, key));
    }

    pub fn cancel(&mut self, key: &TimerKey) {
        if let Some(deadline) = self.deadlines.remove(key) {
            self.queue.remove(&(deadline, key.clone()));
        }
    }

    /// Forgets all that a group waits for.
    pub fn cancel_group(&mut self, group: &GroupId) {
        let first = TimerKey::Group(GroupId::clone(group), GroupTimer::Join);
        let of_group = |key: &TimerKey| matches!(key, TimerKey::Group(id, _) if id == group);
        let later = self.deadlines.range((Bound::Included(first), Bound::Unbounded));
        let keys: Vec<TimerKey> = later.map(|(key, _)| key).take_while(|key| of_group(key)).cloned().collect();
        keys.iter().for_each(|key| self.cancel(key));
    }

    /// The earliest deadline.
    pub fn poll_timeout(&self) -> Option<(Instant, Reason)> {
        self.queue.first().map(|(deadline, key)| (*deadline, key.reason()))
    }

    /// The earliest of the deadlines that have passed.
    pub fn due(&self, now: Instant) -> Option<&TimerKey> {
        self.queue.first().filter(|(deadline, _)| *deadline <= now).map(|(_, key)| key)
    }

    pub fn deadline(&self, key: &TimerKey) -> Option<Instant> {
        self.deadlines.get(key).copied()
    }

    /// What is waited for.
    pub fn keys(&self) -> impl Iterator<Item = &TimerKey> {
        self.deadlines.keys()
    }

    pub fn check(&self) {
        assert_eq!(self.deadlines.len(), self.queue.len(), "every deadline is in the queue once");
        for (deadline, key) in &self.queue {
            assert_eq!(self.deadlines.get(key), Some(deadline), "the queue knows the deadlines");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(group: &str, member: &str) -> TimerKey {
        TimerKey::Group(group.into(), GroupTimer::Session(member.into()))
    }

    #[test]
    fn the_earliest_deadline_is_due_and_a_later_one_replaces_it() {
        let mut timers = Timers::default();
        timers.set(session("g", "a"), Instant(10));
        timers.set(session("g", "b"), Instant(20));
        timers.set(session("g", "a"), Instant(30));
        timers.check();
        assert_eq!(timers.poll_timeout().unwrap().0, Instant(20));
        assert_eq!(timers.due(Instant(19)), None);
        assert_eq!(timers.due(Instant(20)), Some(&session("g", "b")));
    }

    #[test]
    fn a_group_takes_its_deadlines_with_it_and_no_others() {
        let mut timers = Timers::default();
        for group in ["f", "g", "g2"] {
            timers.set(session(group, "a"), Instant(1));
            timers.set(TimerKey::Group(group.into(), GroupTimer::Sync), Instant(1));
        }
        timers.set(TimerKey::Sweep(Sweep::Expired), Instant(1));
        timers.cancel_group(&"g".into());
        timers.check();
        assert_eq!(timers.keys().count(), 5);
        assert_eq!(timers.deadline(&session("g", "a")), None);
        assert_eq!(timers.deadline(&session("g2", "a")), Some(Instant(1)));
    }
}
