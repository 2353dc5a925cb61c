//! A member of a group, on the classic protocol: it joins, leads if it must, reads what it is given from where the group
//! has got to, commits what it has processed, and now and then stands still, vanishes or leaves.
//!
//! What it has fetched counts as processed when it does the next thing, so that vanishing loses what it had in hand.

mod holding;
mod requests;

use std::time::Duration;

use bytes::Bytes;
use highwater_core::ids::ConnectionId;
use highwater_wire::join_group::JoinGroupRequestProtocol;
use highwater_wire::leave_group::MemberIdentity;
use highwater_wire::sync_group::SyncGroupRequestAssignment;
use highwater_wire::{
    AnyResponse, ErrorCode, HeartbeatRequest, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest,
    ListOffsetsResponse, OffsetCommitRequest, OffsetCommitResponse, OffsetFetchResponse, SyncGroupRequest,
    SyncGroupResponse,
};

use self::holding::Holding;
use self::requests::{assigned, assignment, committed_topics, error_code, subscription};
pub use self::requests::{fetched_offsets, find_coordinator, found_coordinator, offset_fetch};
use super::consumer::{EARLIEST, list_offsets, listed_offset};
use super::fetch::{Limits, Question, Reader};
use super::link::{Link, REDIAL_AFTER};
use super::{Client, ClientEvent, Context};
use crate::clock::SimTime;
use crate::options::{GroupOptions, MemberOptions};
use crate::oracle::{CommitAnswer, Generation, Place};
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
    generation: i32,
    /// The partitions that there were when it told the group of them.
    seen: Vec<Place>,
    phase: Phase,
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
    Owning(Holding),
    Leaving,
}

/// What the coordinator was asked.
#[derive(Debug)]
enum Asked {
    Find,
    /// And the group's generation that was known by then.
    Join(Generation),
    Sync,
    Heartbeat,
    /// And when.
    Offsets(u64),
    /// Offsets, with the numbers of their commits.
    Commit(Vec<(Place, i64, usize)>),
    Leave,
}

/// What was asked about records, and in which generation.
#[derive(Debug)]
struct Reading {
    generation: i32,
    what: What,
}

#[derive(Debug)]
enum What {
    Fetch(Question),
    Start(Place),
}

/// How much a member reads at once when nobody writes any more.
const CATCHING_UP: Limits = Limits { wait_ms_max: 100, bytes_min: 1, bytes_max: 8 << 20, partition_bytes_max: 1 << 20 };

/// Heartbeats within one session.
const HEARTBEATS_PER_SESSION: u32 = 4;

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
            generation: -1,
            seen: Vec::new(),
            phase: Phase::Joining,
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
            self.stalled_until = context.now + a_while;
            context.trace.tell(context.now, self.coordinator.name(), || format!("stands still for {a_while:?}"));
        } else if self.rng.chance(self.options.crash_per_mille) {
            context.trace.tell(context.now, self.coordinator.name(), || "vanishes".to_owned());
            self.hang_up(context);
            self.forget_group(context.now + a_while, context);
        } else if self.rng.chance(self.options.leave_per_mille) && matches!(self.phase, Phase::Owning(_)) {
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
        self.generation = -1;
    }

    /// What it was given is not its own any more.
    fn give_up(&mut self, phase: Phase, context: &mut Context<'_>) {
        self.phase = phase;
        self.reader.positions.clear();
        context.oracle.group(self.group).gave_up(self.number);
    }

    fn work(&mut self, context: &mut Context<'_>) {
        if let Phase::Away(until) = self.phase {
            if context.now < until {
                return;
            }
            self.phase = Phase::Joining;
        }
        if let Phase::Owning(holding) = &mut self.phase {
            holding.process(&self.reader.positions, context.oracle.group(self.group));
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
        match &mut self.phase {
            Phase::Away(_) => {}
            Phase::Joining => self.join(context),
            Phase::Syncing(assignments) => {
                let assignments = assignments.clone();
                self.sync(assignments, context);
            }
            Phase::Owning(_) => self.keep(context),
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

    fn join(&mut self, context: &mut Context<'_>) {
        let version = self.version(0, 5, 9);
        // A static member that comes back is not listened to: only its next join can tell the group of new partitions.
        if !self.options.is_static || !self.member_id.is_empty() {
            self.seen = context.oracle.places_of_group(self.group);
        }
        let topics = self.group_options.topics.iter().copied();
        let metadata = subscription(topics, self.seen.len(), self.rng.between(0, 3) as i16, context.oracle);
        let request = JoinGroupRequest {
            group_id: self.group_options.name.clone(),
            session_timeout_ms: self.group_options.session_timeout_ms,
            rebalance_timeout_ms: self.group_options.rebalance_timeout_ms,
            member_id: self.member_id.clone(),
            group_instance_id: self.instance_id(),
            protocol_type: "consumer".to_owned(),
            protocols: vec![JoinGroupRequestProtocol { name: "range".to_owned(), metadata }],
            reason: None,
        };
        let known = context.oracle.group(self.group).generation();
        self.coordinator.ask(request, version, Asked::Join(known), context);
    }

    fn joined(&mut self, known: Generation, response: JoinGroupResponse, context: &mut Context<'_>) {
        match error_code(response.error_code) {
            ErrorCode::None => {}
            ErrorCode::MemberIdRequired => {
                self.member_id = response.member_id;
                return self.ask_coordinator(context);
            }
            error => return self.failed("JoinGroup", error, context),
        }
        let grown = context.oracle.group(self.group).joined(self.number, response.generation_id, known);
        context.oracle.note(grown);
        self.generation = response.generation_id;
        let leads = response.leader == response.member_id && !response.skip_assignment;
        let assignments = if leads { self.assign(&response, context) } else { Vec::new() };
        self.member_id = response.member_id;
        self.phase = Phase::Syncing(assignments);
        self.ask_coordinator(context);
    }

    /// Gives out every partition, beginning with a different member each time.
    fn assign(&mut self, response: &JoinGroupResponse, context: &mut Context<'_>) -> Vec<SyncGroupRequestAssignment> {
        let count = response.members.len();
        let has_members = count > 0;
        context.oracle.require(has_members, "Answers", || format!("a leader is not told whom it leads: {response:?}"));
        if !has_members {
            return Vec::new();
        }
        let places = context.oracle.places_of_group(self.group);
        let shift = self.rng.index(count);
        let of = |index: usize| {
            let mine = places.iter().enumerate().filter(move |(at, _)| (at + shift) % count == index);
            mine.map(|(_, place)| *place)
        };
        let members = response.members.iter().enumerate().map(|(index, member)| SyncGroupRequestAssignment {
            member_id: member.member_id.clone(),
            assignment: assignment(of(index), context.oracle),
        });
        members.collect()
    }

    fn sync(&mut self, assignments: Vec<SyncGroupRequestAssignment>, context: &mut Context<'_>) {
        let version = self.version(0, 3, 5);
        let request = SyncGroupRequest {
            group_id: self.group_options.name.clone(),
            generation_id: self.generation,
            member_id: self.member_id.clone(),
            group_instance_id: self.instance_id(),
            protocol_type: Some("consumer".to_owned()),
            protocol_name: Some("range".to_owned()),
            assignments,
        };
        self.coordinator.ask(request, version, Asked::Sync, context);
    }

    fn synced(&mut self, response: &SyncGroupResponse, context: &mut Context<'_>) {
        match error_code(response.error_code) {
            ErrorCode::None => {}
            error => return self.failed("SyncGroup", error, context),
        }
        let Some(places) = assigned(&response.assignment, context.oracle) else {
            return context.oracle.require(false, "Answers", || format!("nobody assigns {:?}", response.assignment));
        };
        context.trace.tell(context.now, self.coordinator.name(), || {
            format!("owns {places:?} in generation {}", self.generation)
        });
        let owner = self.instance_id().unwrap_or_else(|| self.member_id.clone());
        let synced = context.oracle.group(self.group).synced(self.number, &owner, self.generation, &places);
        context.oracle.note(synced);
        self.reader.positions.clear();
        self.phase = Phase::Owning(Holding::new(places));
        self.ask_coordinator(context);
    }

    /// What a member does while nothing changes.
    fn keep(&mut self, context: &mut Context<'_>) {
        let Phase::Owning(holding) = &mut self.phase else { unreachable!("the caller has looked") };
        if holding.must_rejoin || self.seen != context.oracle.places_of_group(self.group) {
            let uncommitted = holding.uncommitted();
            if !uncommitted.is_empty() && self.rng.chance(700) {
                return self.commit(uncommitted, context);
            }
            self.give_up(Phase::Joining, context);
            return self.join(context);
        }
        if holding.heartbeat_at <= context.now {
            let session = Duration::from_millis(self.group_options.session_timeout_ms as u64);
            holding.heartbeat_at = context.now + session / HEARTBEATS_PER_SESSION;
            return self.heartbeat(context);
        }
        if !holding.unknown.is_empty() {
            let version = self.rng.between(1, 10) as i16;
            let request = offset_fetch(&self.group_options.name, &holding.unknown, version, context.oracle);
            let asked = context.oracle.group(self.group).tick();
            return self.coordinator.ask(request, version, Asked::Offsets(asked), context);
        }
        let uncommitted = holding.uncommitted();
        if !uncommitted.is_empty() && (holding.commit_at <= context.now || self.quiet) {
            holding.commit_at = context.now + self.options.commit.pick(&mut self.rng);
            self.commit(uncommitted, context);
        }
    }

    fn heartbeat(&mut self, context: &mut Context<'_>) {
        let version = self.version(0, 3, 4);
        let request = HeartbeatRequest {
            group_id: self.group_options.name.clone(),
            generation_id: self.generation,
            member_id: self.member_id.clone(),
            group_instance_id: self.instance_id(),
        };
        self.coordinator.ask(request, version, Asked::Heartbeat, context);
    }

    fn commit(&mut self, offsets: Vec<(Place, i64)>, context: &mut Context<'_>) {
        let version = self.version(2, 7, 10);
        let group = context.oracle.group(self.group);
        let number = |(place, offset)| (place, offset, group.committing(self.number, place, offset, self.generation));
        let commits: Vec<_> = offsets.into_iter().map(number).collect();
        let request = OffsetCommitRequest {
            group_id: self.group_options.name.clone(),
            generation_id_or_member_epoch: self.generation,
            member_id: self.member_id.clone(),
            group_instance_id: self.instance_id(),
            topics: committed_topics(&commits, version, context.oracle),
            ..Default::default()
        };
        self.coordinator.ask(request, version, Asked::Commit(commits), context);
    }

    fn committed(
        &mut self,
        commits: Vec<(Place, i64, usize)>,
        response: &OffsetCommitResponse,
        context: &mut Context<'_>,
    ) {
        let rows: Vec<_> = response.topics.iter().flat_map(|topic| &topic.partitions).collect();
        let complete = rows.len() == commits.len();
        context.oracle.require(complete, "Answers", || format!("{commits:?} are answered {response:?}"));
        let mut failure = None;
        // Commits stand by topic and partition, and so do the answers.
        for ((place, offset, number), row) in commits.into_iter().zip(rows) {
            let ordered = row.partition_index == place.partition;
            context.oracle.require(ordered, "Answers", || format!("{place} is answered {row:?}"));
            let error = error_code(row.error_code);
            context.oracle.group(self.group).commit_answered(number, commit_answer(error));
            match (&mut self.phase, error) {
                (Phase::Owning(holding), ErrorCode::None) => {
                    holding.committed.insert(place, offset);
                }
                (_, ErrorCode::None) => {}
                (_, error) => failure = Some(error),
            }
        }
        if let Some(error) = failure {
            self.failed("OffsetCommit", error, context);
        }
    }

    fn looked_up(&mut self, asked: u64, response: &OffsetFetchResponse, context: &mut Context<'_>) {
        let found = match fetched_offsets(response, context.oracle) {
            Ok(found) => found,
            Err(error) => return self.failed("OffsetFetch", error, context),
        };
        for (place, offset, note) in found {
            let fetched = context.oracle.group(self.group).fetched(asked, place, offset, &note);
            context.oracle.note(fetched);
            let Phase::Owning(holding) = &mut self.phase else { continue };
            if !holding.unknown.remove(&place) {
                continue;
            }
            if offset < 0 {
                holding.lost.insert(place);
            } else {
                holding.begin(place, offset);
                holding.committed.insert(place, offset);
                self.reader.positions.insert(place, offset);
            }
        }
    }

    fn leave(&mut self, context: &mut Context<'_>) {
        let version = self.version(0, 3, 5);
        let member_id = self.member_id.clone();
        let mut request = LeaveGroupRequest { group_id: self.group_options.name.clone(), ..Default::default() };
        if version < 3 {
            request.member_id = member_id;
        } else {
            let group_instance_id = self.instance_id();
            request.members = vec![MemberIdentity { member_id, group_instance_id, reason: None }];
        }
        self.coordinator.ask(request, version, Asked::Leave, context);
    }

    fn has_left(&mut self, context: &mut Context<'_>) {
        let away = Duration::from_millis(self.rng.skewed(1, 500));
        self.forget_group(context.now + away, context);
    }

    /// The coordinator has refused something.
    fn failed(&mut self, what: &str, error: ErrorCode, context: &mut Context<'_>) {
        context.trace.tell(context.now, self.coordinator.name(), || format!("fails to {what}: {error:?}"));
        match error {
            ErrorCode::NotCoordinator | ErrorCode::CoordinatorNotAvailable => self.is_found = false,
            ErrorCode::UnknownMemberId | ErrorCode::FencedInstanceId => {
                self.forget_group(context.now, context);
            }
            ErrorCode::IllegalGeneration | ErrorCode::GroupIdNotFound => self.give_up(Phase::Joining, context),
            ErrorCode::RebalanceInProgress => match &mut self.phase {
                Phase::Owning(holding) => holding.must_rejoin = true,
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
            (Asked::Sync, AnyResponse::SyncGroup(response)) => self.synced(&response, context),
            (Asked::Heartbeat, AnyResponse::Heartbeat(response)) => match error_code(response.error_code) {
                ErrorCode::None => self.ask_coordinator(context),
                error => self.failed("Heartbeat", error, context),
            },
            (Asked::Offsets(asked), AnyResponse::OffsetFetch(response)) => self.looked_up(asked, &response, context),
            (Asked::Commit(commits), AnyResponse::OffsetCommit(response)) => {
                self.committed(commits, &response, context);
            }
            (Asked::Leave, AnyResponse::LeaveGroup(_)) => self.has_left(context),
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
        context.wake_after(REDIAL_AFTER);
    }

    /// Reads on in what it owns.
    fn read(&mut self, context: &mut Context<'_>) {
        let Phase::Owning(holding) = &self.phase else { return };
        if self.data.in_flight() > 0 {
            return;
        }
        if !self.data.is_connected() {
            return self.data.dial(0, context);
        }
        let generation = self.generation;
        if let Some(place) = holding.lost.first().copied() {
            let version = self.rng.between(1, 11) as i16;
            let reading = Reading { generation, what: What::Start(place) };
            return self.data.ask(list_offsets(place, EARLIEST, context), version, reading, context);
        }
        if self.reader.positions.is_empty() {
            return;
        }
        let options = &self.options.reading;
        let limits = Limits {
            wait_ms_max: options.wait_ms_max,
            bytes_min: options.bytes_min,
            bytes_max: options.bytes_max,
            partition_bytes_max: options.partition_bytes_max,
        };
        let limits = if self.quiet { CATCHING_UP } else { limits };
        let (request, question) = self.reader.request(limits, context);
        self.data.ask(request, self.reader.version(), Reading { generation, what: What::Fetch(question) }, context);
    }

    fn has_read(&mut self, reading: Reading, response: AnyResponse, context: &mut Context<'_>) {
        let Phase::Owning(holding) = &mut self.phase else { return };
        if reading.generation != self.generation {
            return;
        }
        match (reading.what, response) {
            (What::Fetch(question), AnyResponse::Fetch(response)) => {
                let learnt = self.reader.answered(&question, &response, context);
                for place in learnt.out_of_range {
                    self.reader.positions.remove(&place);
                    holding.lost.insert(place);
                }
            }
            (What::Start(place), AnyResponse::ListOffsets(response)) => self.found_start(place, &response, context),
            (what, response) => {
                context.oracle.require(false, "Answers", || format!("{what:?} is answered with {response:?}"));
            }
        }
    }

    /// The partition begins here; what the group has not read before that is gone.
    fn found_start(&mut self, place: Place, response: &ListOffsetsResponse, context: &mut Context<'_>) {
        let Phase::Owning(holding) = &mut self.phase else { return };
        match listed_offset(response) {
            Ok(Some((_, offset))) => {
                let from = holding.begin(place, offset);
                context.oracle.group(self.group).delivered(place, from, offset);
                self.reader.positions.insert(place, offset);
            }
            Err(error) if error.retriable() => {}
            other => {
                context.oracle.require(false, "Answers", || format!("{place} has no beginning: {other:?}"));
            }
        }
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
        let Self { phase, generation, member_id, .. } = self;
        let waits = (self.coordinator.oldest(), self.data.oldest());
        format!(
            "{} ({member_id:?}, generation {generation}) is {phase:?}, waits for {waits:?}",
            self.coordinator.name()
        )
    }
}

/// Whether a commit with this answer has happened.
fn commit_answer(error: ErrorCode) -> CommitAnswer {
    match error {
        ErrorCode::None => CommitAnswer::Acknowledged,
        ErrorCode::IllegalGeneration
        | ErrorCode::UnknownMemberId
        | ErrorCode::FencedInstanceId
        | ErrorCode::RebalanceInProgress
        | ErrorCode::GroupIdNotFound
        | ErrorCode::CoordinatorLoadInProgress
        | ErrorCode::UnknownTopicOrPartition
        | ErrorCode::UnknownTopicId => CommitAnswer::Refused,
        _ => CommitAnswer::Unclear,
    }
}
