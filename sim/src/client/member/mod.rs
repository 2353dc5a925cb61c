//! A member of a group: it joins, reads what it is given from where the group has got to, commits what it has processed,
//! and now and then stands still, vanishes or leaves.
//!
//! What it has fetched counts as processed when it does the next thing, so that vanishing loses what it had in hand.

mod assigning;
mod classic;
mod consumer;
mod holding;
mod offsets;
mod reading;
mod requests;
mod target;

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use highwater_core::ids::ConnectionId;
use highwater_wire::sync_group::SyncGroupRequestAssignment;
use highwater_wire::{AnyResponse, ErrorCode};

use self::classic::Classic;
use self::consumer::{Beat, Beating};
use self::holding::Holding;
use self::reading::Reading;
use self::requests::error_code;
pub use self::requests::{fetched_offsets, find_coordinator, found_coordinator, offset_fetch};
use super::fetch::Reader;
use super::link::{Link, REDIAL_AFTER};
use super::{Client, ClientEvent, Context};
use crate::clock::SimTime;
use crate::options::{GroupOptions, GroupProtocol, MemberOptions};
use crate::oracle::{Generation, Place};
use crate::rng::{Concern, Stream};

/// See the [module](self).
#[derive(Debug)]
pub struct Member {
    number: usize,
    group: usize,
    group_options: GroupOptions,
    options: MemberOptions,
    rng: Stream,
    /// To the coordinator, and to whoever has the records: a join keeps its connection busy for long.
    coordinator: Link<Asked>,
    data: Link<Reading>,
    reader: Reader,
    is_found: bool,
    member_id: String,
    /// Its generation, or its epoch.
    epoch: i32,
    /// Whether it speaks the consumer protocol.
    speaks_consumer: bool,
    classic: Classic,
    beating: Beating,
    phase: Phase,
    holding: Holding,
    /// What it shall own.
    target: BTreeSet<Place>,
    /// Counts what it has owned so far: answers about records are of use only while it owns the same.
    stint: u64,
    /// Whether it has stood still, and may have been put out meanwhile.
    stood_still: bool,
    /// Whether to look what it has committed up again: the broker may have died since.
    doubts: bool,
    /// When to say something again.
    heartbeat_at: SimTime,
    /// When to commit again.
    commit_at: SimTime,
    /// Nothing runs before this; what happens meanwhile is noticed then.
    stalled_until: SimTime,
    unnoticed: Vec<ClientEvent>,
    healed: bool,
    /// Whether nobody writes any more.
    quiet: bool,
    is_over: bool,
}

/// Where the member is in the protocol.
#[derive(Debug)]
enum Phase {
    /// It is in no group before this.
    Away(SimTime),
    Joining,
    /// It has a generation, and hands this out if it leads.
    Syncing(Vec<SyncGroupRequestAssignment>),
    /// It owns something, or nothing, and keeps its place in the group.
    Owning,
    Leaving,
}

/// What the coordinator was asked.
#[derive(Debug)]
enum Asked {
    Find,
    /// And the group's generation that was known by then.
    Join(Generation),
    /// And when.
    Sync(u64),
    Heartbeat,
    Beat(Beat),
    /// And when.
    Offsets(u64),
    /// Offsets, with the numbers of their commits.
    Commit(Vec<(Place, i64, usize)>),
    Leave,
}

/// How long a client waits for an answer once everything is healed.
const PATIENCE_AFTER_HEAL: Duration = Duration::from_secs(30);

impl Member {
    /// A member that has not joined. `number` is the client's, `group` and `place` say which member of which group it is.
    pub fn new(number: usize, seed: u64, group: usize, place: usize, options: &GroupOptions) -> Self {
        let drawn = options.members[place].clone();
        let name = format!("member {number}");
        Self {
            number,
            group,
            group_options: options.clone(),
            rng: Stream::new(seed, Concern::Client, number as u64),
            coordinator: Link::new(name.clone()),
            data: Link::new(format!("{name}, reading")),
            reader: Reader::new(name, drawn.reading.version, false),
            is_found: false,
            member_id: String::new(),
            epoch: -1,
            speaks_consumer: drawn.speaks_consumer,
            beating: Beating::default(),
            classic: Classic::default(),
            phase: Phase::Joining,
            holding: Holding::default(),
            target: BTreeSet::new(),
            stint: 0,
            stood_still: false,
            doubts: false,
            heartbeat_at: SimTime::default(),
            commit_at: SimTime::default(),
            stalled_until: SimTime::default(),
            unnoticed: Vec::new(),
            healed: false,
            quiet: false,
            is_over: false,
            options: drawn,
        }
    }

    fn woken(&mut self, context: &mut Context<'_>) {
        if self.is_over {
            return;
        }
        if self.quiet && context.oracle.group_is_settled(self.group) {
            self.is_over = true;
            return self.hang_up(context);
        }
        context.wake_after(self.options.reading.think.pick(&mut self.rng));
        self.lose_patience(context);
        if !self.healed && self.misbehaves(context) {
            return;
        }
        self.work(context);
    }

    /// Gives up connections on which an answer is overdue.
    fn lose_patience(&mut self, context: &mut Context<'_>) {
        let rebalance = Duration::from_millis(self.group_options.rebalance_timeout_ms as u64);
        let patience = if self.healed { PATIENCE_AFTER_HEAL } else { 2 * rebalance + Duration::from_secs(1) };
        let is_overdue =
            |oldest: Option<(SimTime, _)>| oldest.is_some_and(|(asked_at, _)| context.now.since(asked_at) > patience);
        let (coordinator, data) = (is_overdue(self.coordinator.oldest()), is_overdue(self.data.oldest()));
        if coordinator {
            let lost = self.coordinator.hang_up(None, context);
            self.lost(&lost, context);
        }
        if data {
            self.data.hang_up(None, context);
        }
    }

    /// Sometimes stands still, vanishes or leaves; returns whether it does nothing else now.
    fn misbehaves(&mut self, context: &mut Context<'_>) -> bool {
        let session = self.group_options.session_timeout_ms as u64;
        let a_while = Duration::from_millis(self.rng.skewed(10, 3 * session));
        if self.rng.chance(self.options.stall_per_mille) {
            (self.stalled_until, self.stood_still) = (context.now + a_while, true);
            context.trace.tell(context.now, self.coordinator.name(), || format!("stands still for {a_while:?}"));
        } else if self.rng.chance(self.options.crash_per_mille) {
            context.trace.tell(context.now, self.coordinator.name(), || "vanishes".to_owned());
            self.hang_up(context);
            self.forget_group(context.now + a_while, context);
        } else if self.rng.chance(self.options.leave_per_mille) && matches!(self.phase, Phase::Owning) {
            self.phase = Phase::Leaving;
        } else {
            return false;
        }
        true
    }

    fn hang_up(&mut self, context: &mut Context<'_>) {
        self.coordinator.hang_up(None, context);
        self.data.hang_up(None, context);
        self.is_found = false;
    }

    /// The group is history; another member may come back in its place.
    fn forget_group(&mut self, until: SimTime, context: &mut Context<'_>) {
        self.give_up(Phase::Away(until), context);
        self.member_id.clear();
        self.epoch = -1;
        if self.group_options.protocol == GroupProtocol::Mixed && self.rng.chance(500) {
            self.speaks_consumer = !self.speaks_consumer;
        }
    }

    /// What it was given is not its own any more.
    fn give_up(&mut self, phase: Phase, context: &mut Context<'_>) {
        self.phase = phase;
        self.take_over(BTreeSet::new());
        self.say_all_again();
        context.oracle.group(self.group).gave_up(self.number);
    }

    /// It owns this now, and nothing else.
    fn take_over(&mut self, places: BTreeSet<Place>) {
        self.stint += 1;
        self.reader.positions.clear();
        self.holding = Holding::default();
        self.holding.take_over(&places);
        self.target = places;
        (self.heartbeat_at, self.commit_at) = (SimTime::default(), SimTime::default());
    }

    /// Whether it goes on with what it owns, if it owns anything.
    fn is_reading(&self) -> bool {
        match self.phase {
            Phase::Joining | Phase::Syncing(_) | Phase::Owning => true,
            Phase::Away(_) | Phase::Leaving => false,
        }
    }

    fn work(&mut self, context: &mut Context<'_>) {
        if let Phase::Away(until) = self.phase {
            if context.now < until {
                return;
            }
            self.phase = Phase::Joining;
        }
        if self.is_reading() {
            self.holding.process(&self.reader.positions, context.oracle.group(self.group));
        }
        self.ask_coordinator(context);
        self.read(context);
    }

    fn ask_coordinator(&mut self, context: &mut Context<'_>) {
        if self.coordinator.in_flight() > 0 {
            return;
        }
        if !self.coordinator.is_connected() {
            return self.coordinator.dial(0, context);
        }
        if !self.is_found {
            let version = self.rng.between(0, 6) as i16;
            let request = find_coordinator(&self.group_options.name, version);
            return self.coordinator.ask(request, version, Asked::Find, context);
        }
        if self.commits_first(context) {
            return;
        }
        match &mut self.phase {
            Phase::Away(_) => {}
            Phase::Joining if self.speaks_consumer => self.beat(context),
            Phase::Joining => self.join(context),
            Phase::Syncing(assignments) => {
                let assignments = assignments.clone();
                self.sync(assignments, context);
            }
            Phase::Owning if self.speaks_consumer => self.keep_beating(context),
            Phase::Owning => self.keep(context),
            Phase::Leaving if self.speaks_consumer => self.leave_beating(context),
            Phase::Leaving => self.leave(context),
        }
    }

    /// A version of an API in which a static member can say who it is, if it is one.
    fn version(&mut self, first: i16, statics_from: i16, last: i16) -> i16 {
        let first = if self.options.is_static { statics_from } else { first };
        self.rng.between(first as u64, last as u64) as i16
    }

    fn instance_id(&self) -> Option<String> {
        self.options.is_static.then(|| format!("static-{}", self.number))
    }

    fn has_left(&mut self, context: &mut Context<'_>) {
        let away = Duration::from_millis(self.rng.skewed(1, 500));
        self.forget_group(context.now + away, context);
    }

    /// The coordinator has refused something.
    fn failed(&mut self, what: &str, error: ErrorCode, context: &mut Context<'_>) {
        context.trace.tell(context.now, self.coordinator.name(), || format!("fails to {what}: {error:?}"));
        match error {
            ErrorCode::NotCoordinator | ErrorCode::CoordinatorNotAvailable => {
                self.is_found = false;
                self.say_all_again();
            }
            // A member of the consumer protocol comes back under the id that it had.
            ErrorCode::UnknownMemberId | ErrorCode::FencedMemberEpoch if self.speaks_consumer => {
                context.oracle.count("member heard that it is fenced");
                self.give_up(Phase::Joining, context);
            }
            ErrorCode::UnknownMemberId | ErrorCode::FencedInstanceId => {
                context.oracle.count("member heard that it is fenced");
                self.forget_group(context.now, context);
            }
            ErrorCode::StaleMemberEpoch => self.say_all_again(),
            // Its former self has not left: the name is free when that one's session has ended.
            ErrorCode::UnreleasedInstanceId => context.oracle.count("member waits for its static name"),
            ErrorCode::IllegalGeneration | ErrorCode::GroupIdNotFound => self.give_up(Phase::Joining, context),
            ErrorCode::RebalanceInProgress => match &mut self.phase {
                Phase::Owning => self.classic.must_rejoin = true,
                Phase::Away(_) | Phase::Leaving => {}
                Phase::Joining | Phase::Syncing(_) => self.phase = Phase::Joining,
            },
            error if error.retriable() => {}
            error => {
                let name = self.coordinator.name();
                context.oracle.require(false, "Answers", || format!("{name}: {what} fails with {error:?}"));
            }
        }
    }

    fn answered(&mut self, asked: Asked, response: AnyResponse, context: &mut Context<'_>) {
        match (asked, response) {
            (Asked::Find, AnyResponse::FindCoordinator(response)) => match found_coordinator(&response) {
                ErrorCode::None => {
                    self.is_found = true;
                    self.ask_coordinator(context);
                }
                error => self.failed("FindCoordinator", error, context),
            },
            (Asked::Join(known), AnyResponse::JoinGroup(response)) => self.joined(known, response, context),
            (Asked::Sync(asked), AnyResponse::SyncGroup(response)) => self.synced(asked, &response, context),
            (Asked::Beat(beat), AnyResponse::ConsumerGroupHeartbeat(response)) => {
                self.has_beaten(beat, response, context);
            }
            (Asked::Heartbeat, AnyResponse::Heartbeat(response)) => match error_code(response.error_code) {
                ErrorCode::None => self.ask_coordinator(context),
                error => self.failed("Heartbeat", error, context),
            },
            (Asked::Offsets(asked), AnyResponse::OffsetFetch(response)) => self.looked_up(asked, &response, context),
            (Asked::Commit(commits), AnyResponse::OffsetCommit(response)) => {
                self.committed(commits, &response, context);
            }
            (Asked::Leave, AnyResponse::LeaveGroup(_) | AnyResponse::ConsumerGroupHeartbeat(_)) => {
                self.has_left(context);
            }
            (asked, response) => {
                context.oracle.require(false, "Answers", || format!("{asked:?} is answered with {response:?}"));
            }
        }
    }

    /// Questions to the coordinator will never be answered. Who has asked to leave has left, as far as it cares.
    fn lost(&mut self, lost: &[Asked], context: &mut Context<'_>) {
        if lost.iter().any(|asked| matches!(asked, Asked::Leave)) {
            self.has_left(context);
        }
        self.say_all_again();
        self.doubts = true;
        context.wake_after(REDIAL_AFTER);
    }

    fn frame(&mut self, id: ConnectionId, frame: &Bytes, context: &mut Context<'_>) {
        if let Some((asked, response)) = self.coordinator.answer(id, frame, context) {
            self.answered(asked, response, context);
        } else if let Some((reading, response)) = self.data.answer(id, frame, context) {
            self.has_read(reading, response, context);
        }
    }

    fn notice(&mut self, event: ClientEvent, context: &mut Context<'_>) {
        match event {
            ClientEvent::Woken => self.woken(context),
            ClientEvent::Connected(id) => {
                if self.coordinator.connected(id) || self.data.connected(id) {
                    self.work(context);
                }
            }
            ClientEvent::Frame(id, frame) => self.frame(id, &frame, context),
            ClientEvent::Closed(id) => {
                if let Some(lost) = self.coordinator.closed(id) {
                    self.is_found = false;
                    self.lost(&lost, context);
                } else if self.data.closed(id).is_some() {
                    context.wake_after(REDIAL_AFTER);
                }
            }
            ClientEvent::Healed => self.healed = true,
            ClientEvent::Quiet => self.quiet = true,
        }
    }
}

impl Client for Member {
    fn handle(&mut self, event: ClientEvent, context: &mut Context<'_>) {
        if context.now < self.stalled_until && !matches!(event, ClientEvent::Healed | ClientEvent::Quiet) {
            if matches!(event, ClientEvent::Woken) {
                context.wake_after(self.stalled_until.since(context.now));
            } else {
                self.unnoticed.push(event);
            }
            return;
        }
        for event in std::mem::take(&mut self.unnoticed) {
            self.notice(event, context);
        }
        self.notice(event, context);
    }

    fn is_done(&self) -> bool {
        self.healed && (self.is_over || !self.quiet)
    }

    fn describe(&self) -> String {
        let Self { phase, epoch, member_id, .. } = self;
        let waits = (self.coordinator.oldest(), self.data.oldest());
        format!("{} ({member_id:?}, epoch {epoch}) is {phase:?}, waits for {waits:?}", self.coordinator.name())
    }
}
