//! A decision in the making.

use std::sync::Arc;
use std::time::Duration;

use highwater_wire::GroupRecord;

use super::classic::ClassicGroup;
use super::event::GroupEvent;
use super::machine::Rebalance;
use super::request::GroupResponse;
use super::timers::{GroupTimer, Sweep, TimerKey};
use super::{GroupConfig, GroupCoordinator, GroupId};
use crate::controller::Image;
use crate::ids::Offset;
use crate::limits::REBALANCE_REASON_BYTES_MAX;
use crate::replicated::{Decision, Origin};
use crate::time::{Instant, Now};

/// A change that is not in the log.
#[derive(Clone, Debug)]
pub enum Soft {
    /// A classic group has moved on.
    Classic(GroupId, Box<ClassicGroup>),
    /// A deadline is set, in place of the one of the same name.
    SetTimer(TimerKey, Instant),
    /// A deadline is given up.
    CancelTimer(TimerKey),
    /// The cluster's metadata has changed.
    Image(Arc<Image>),
    /// The log has been applied as a whole.
    Loaded(Now),
    /// The group at which a sweep goes on; none if it has been through, or is to begin again.
    SweptUpTo(Sweep, Option<GroupId>),
    /// A consumer group has been held against this metadata.
    Seen(GroupId, Seen),
    /// A rebalance has begun.
    Rebalanced(GroupId, Rebalance),
    /// Something worth knowing has happened.
    Event(GroupEvent),
}

/// The metadata that a consumer group was last held against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The image's offset.
    pub image: Offset,
    /// When that was.
    pub at: Instant,
}

/// What one request is going to change, and what is answered.
pub(super) struct Draft<'a> {
    /// Everything as it was before the request.
    pub coordinator: &'a GroupCoordinator,
    pub now: Now,
    decision: Decision<GroupCoordinator>,
}

impl<'a> Draft<'a> {
    pub fn new(coordinator: &'a GroupCoordinator, now: Now) -> Self {
        let decision = Decision { records: Vec::new(), replies: Vec::new(), soft: Vec::new() };
        Self { coordinator, now, decision }
    }

    pub fn config(&self) -> &'a GroupConfig {
        self.coordinator.config()
    }

    pub fn record(&mut self, record: GroupRecord) {
        self.decision.records.push(record);
    }

    /// Forgets everything: the request is refused.
    pub fn discard(&mut self) {
        self.decision = Decision { records: Vec::new(), replies: Vec::new(), soft: Vec::new() };
    }

    pub fn reply(&mut self, origin: Origin, response: GroupResponse) {
        self.decision.replies.push((origin, response));
    }

    pub fn soft(&mut self, soft: Soft) {
        self.decision.soft.push(soft);
    }

    pub fn event(&mut self, event: GroupEvent) {
        self.soft(Soft::Event(event));
    }

    /// A rebalance begins; `generation` is the one before it.
    pub fn rebalancing(&mut self, group: &GroupId, generation: i32, reason: &str) {
        let reason = &reason[..reason.floor_char_boundary(REBALANCE_REASON_BYTES_MAX)];
        let rebalance = Rebalance { began: self.now.wall, reason: reason.into() };
        self.soft(Soft::Rebalanced(GroupId::clone(group), rebalance));
        self.event(GroupEvent::Rebalancing { group: GroupId::clone(group), generation, reason: reason.into() });
    }

    pub fn set_classic(&mut self, id: GroupId, group: ClassicGroup) {
        self.soft(Soft::Classic(id, Box::new(group)));
    }

    pub fn set_timer(&mut self, group: &GroupId, timer: GroupTimer, delay: Duration) {
        let key = TimerKey::Group(GroupId::clone(group), timer);
        self.soft(Soft::SetTimer(key, self.now.mono + delay));
    }

    pub fn cancel_timer(&mut self, group: &GroupId, timer: GroupTimer) {
        self.soft(Soft::CancelTimer(TimerKey::Group(GroupId::clone(group), timer)));
    }

    pub fn into_decision(self) -> Decision<GroupCoordinator> {
        self.decision
    }
}
