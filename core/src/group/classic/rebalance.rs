//! From one generation of a classic group to the next.

use std::time::Duration;

use highwater_wire::ErrorCode;

use super::{Classic, Initial, State};
use crate::group::MemberId;
use crate::group::request::{GroupResponse, sync_error};
use crate::group::timers::GroupTimer;

/// How long a new member may wait for its first generation.
pub(super) const NEW_MEMBER_JOIN_TIMEOUT: Duration = Duration::from_secs(5 * 60);

impl Classic<'_, '_> {
    /// Begins a rebalance, or goes on with the one that is being prepared.
    pub(super) fn rebalance(&mut self, reason: &str) {
        match self.group.state {
            State::PreparingRebalance(_) => self.maybe_complete_join(),
            State::Empty => self.prepare_initial_rebalance(reason),
            State::CompletingRebalance | State::Stable => self.prepare_rebalance(reason),
        }
    }

    /// Completes the join of a group whose members are all there.
    pub(super) fn maybe_complete_join(&mut self) {
        if self.group.state == State::PreparingRebalance(None) && self.group.has_all_members_joined() {
            self.complete_join();
        }
    }

    fn prepare_initial_rebalance(&mut self, reason: &str) {
        let delay = self.draft.config().initial_rebalance_delay;
        let remaining = self.group.rebalance_timeout().saturating_sub(delay);
        self.draft.set_timer(&self.id, GroupTimer::Join, delay);
        self.start(State::PreparingRebalance(Some(Initial { delay, remaining, has_new_member: false })), reason);
    }

    /// Begins a rebalance of a group that has members.
    pub fn prepare_rebalance(&mut self, reason: &str) {
        self.refuse_syncs();
        self.group.pending_sync = Default::default();
        self.draft.cancel_timer(&self.id, GroupTimer::Sync);
        self.start(State::PreparingRebalance(None), reason);
        if self.group.has_all_members_joined() {
            self.complete_join();
        } else {
            self.draft.set_timer(&self.id, GroupTimer::Join, self.group.rebalance_timeout());
        }
    }

    fn start(&mut self, state: State, reason: &str) {
        self.group.move_to(state, self.draft.now.wall);
        self.draft.rebalancing(&self.id, self.group.generation, reason);
    }

    /// Whoever waits for an assignment must join again; what the last generation assigned no longer counts.
    fn refuse_syncs(&mut self) {
        if self.group.state != State::CompletingRebalance {
            return;
        }
        let members: Vec<_> = self.group.members().cloned().collect();
        for member in members {
            if let Some(origin) = member.sync {
                let response = sync_error(ErrorCode::RebalanceInProgress);
                self.draft.reply(origin, GroupResponse::SyncGroup(response));
                self.restart_session(&member.id, member.session_timeout);
            }
            self.group.update(&member.id, |member| {
                member.sync = None;
                member.assignment = Default::default();
            });
        }
    }

    /// The time to join is over.
    pub fn join_timed_out(&mut self) {
        let State::PreparingRebalance(initial) = self.group.state else { return };
        match initial {
            Some(initial) if initial.has_new_member && !initial.remaining.is_zero() => {
                let delay = self.draft.config().initial_rebalance_delay.min(initial.remaining);
                let remaining = initial.remaining.saturating_sub(initial.delay);
                let initial = Initial { delay, remaining, has_new_member: false };
                self.group.state = State::PreparingRebalance(Some(initial));
                self.draft.set_timer(&self.id, GroupTimer::Join, delay);
            }
            _ => self.complete_join(),
        }
    }

    /// Goes on with who has joined. Static members that are missing stay, and are expected back.
    pub(super) fn complete_join(&mut self) {
        self.draft.cancel_timer(&self.id, GroupTimer::Join);
        let is_missing =
            |member: &&std::sync::Arc<super::Member>| member.join.is_none() && member.instance_id.is_none();
        let missing: Vec<MemberId> = self.group.members().filter(is_missing).map(|member| member.id.clone()).collect();
        for id in missing {
            self.remove_member(&id);
        }
        if self.group.members.is_empty() {
            self.become_empty();
        } else if self.elect_joined_leader() {
            self.begin_generation();
        } else {
            // Only static members are left, none of which has come back: their sessions decide.
            self.draft.set_timer(&self.id, GroupTimer::Join, self.group.rebalance_timeout());
        }
    }

    fn become_empty(&mut self) {
        self.next_generation(State::Empty);
        self.record();
    }

    /// Makes sure that the leader is somebody who has joined, if anybody has.
    fn elect_joined_leader(&mut self) -> bool {
        let has_joined = |id: &MemberId| self.group.member(id).is_some_and(|member| member.join.is_some());
        if self.group.leader.as_ref().is_some_and(has_joined) {
            return true;
        }
        let joined = self.group.members().find(|member| member.join.is_some()).map(|member| member.id.clone());
        if joined.is_some() {
            self.group.leader.clone_from(&joined);
        }
        joined.is_some()
    }

    fn begin_generation(&mut self) {
        self.next_generation(State::CompletingRebalance);
        let members: Vec<_> = self.group.members().cloned().collect();
        for member in members {
            if let Some(origin) = member.join {
                let response = self.group.generation_response(&member.id);
                self.draft.reply(origin, GroupResponse::JoinGroup(response));
            }
            self.group.update(&member.id, |member| (member.join, member.is_new) = (None, false));
            self.restart_session(&member.id, member.session_timeout);
            self.group.pending_sync.insert_mut(MemberId::clone(&member.id));
        }
        self.draft.set_timer(&self.id, GroupTimer::Sync, self.group.rebalance_timeout());
    }

    fn next_generation(&mut self, state: State) {
        // A client can make a generation at will, but not two thousand million of them.
        self.group.generation = self.group.generation.checked_add(1).unwrap_or(0);
        self.group.protocol = self.group.select_protocol();
        self.group.subscribed_topics = self.group.read_subscriptions();
        self.group.move_to(state, self.draft.now.wall);
        self.group.pending_sync = Default::default();
    }

    /// Begins the time anew in which something must be heard of a member.
    pub fn restart_session(&mut self, id: &MemberId, timeout: Duration) {
        self.draft.set_timer(&self.id, GroupTimer::Session(MemberId::clone(id)), timeout);
    }
}
