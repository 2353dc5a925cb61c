//! Fetch: a long poll over partitions that several shards may own.
//!
//! First the owners are asked how much there is. When that is enough, or something failed, or time is up, the answer's
//! byte budget is shared out in the request's order and the owners are asked for records. Until then the owners tell of
//! changes.
//!
//! Invariants:
//! * The granted bytes never exceed the request's maximum by more than one batch.
//! * A probe that watches is unwatched before its call ends.
//!
//! Sources: KIP-74 (response size), KIP-227 (sessions), KIP-320 and KIP-595 (epochs).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use highwater_wire::fetch::{
    EpochEndOffset, FetchRequest, FetchResponse, FetchableTopicResponse, LeaderIdAndEpoch, NodeEndpoint, PartitionData,
};
use highwater_wire::{ErrorCode, Records};

use super::call::{Answer, Context, Outcome};
use super::fetch_session::{PartitionKey, SessionRequest, SessionUse, Told, Wanted};
use super::gather::{Gather, by_owner};
use super::topics::TopicRef;
use crate::disk::FileSlice;
use crate::ids::{BrokerId, LeaderEpoch, Offset, ShardId, Ticket};
use crate::limits;
use crate::message::{FetchTarget, PartitionRequest, ProbeOutcome, ReadOutcome};
use crate::time::Instant;

/// The first version that names topics by id (KIP-516).
const TOPIC_ID_VERSION: i16 = 13;

/// The first version that tells who leads a partition instead (KIP-595).
const CURRENT_LEADER_VERSION: i16 = 12;

/// The first version that tells where that leader is (KIP-951).
const NODE_ENDPOINTS_VERSION: i16 = 16;

/// The isolation level of who wants committed records only.
const READ_COMMITTED: i8 = 1;

/// A fetch in progress.
pub(super) struct FetchCall {
    session: SessionUse,
    is_read_committed: bool,
    min_bytes: u64,
    max_bytes: u64,
    /// When it is answered whatever there is; `None` once that time has come.
    deadline: Option<Instant>,
    rows: Vec<Row>,
    phase: Phase,
}

/// A partition of the request, in the order in which it is served.
struct Row {
    key: PartitionKey,
    /// Where the reader stands, or why it cannot.
    target: Result<FetchTarget, ErrorCode>,
}

enum Phase {
    /// How much there is, by row, and which rows each probe covers.
    Probing { probes: BTreeMap<Ticket, Probe>, found: Vec<Option<ProbeOutcome>> },
    /// The records, by row.
    Reading(Gather<ReadOutcome>),
}

struct Probe {
    shard: ShardId,
    rows: Vec<usize>,
    watching: bool,
}

impl FetchCall {
    /// Joins the request with its session and asks the owners how much there is.
    ///
    /// # Errors
    /// The answer, where the session refuses the request.
    pub(super) fn begin(context: &mut Context<'_>, request: FetchRequest) -> Result<Self, Outcome> {
        let refuse = |code: ErrorCode| Outcome::from(FetchResponse { error_code: code.code(), ..Default::default() });
        let wait = Duration::from_millis(u64::try_from(request.max_wait_ms).unwrap_or(0)).min(limits::FETCH_WAIT_MAX);
        let max_bytes = u64::try_from(request.max_bytes).unwrap_or(0).min(u64::from(context.config.fetch_max_bytes));
        let min_bytes = u64::try_from(request.min_bytes).unwrap_or(0).min(max_bytes);
        if request.replica_id >= 0 || request.replica_state.replica_id >= 0 {
            return Err(refuse(ErrorCode::NotLeaderOrFollower));
        }
        let is_read_committed = request.isolation_level == READ_COMMITTED;
        let (session, wanted) =
            context.sessions.begin(session_request(context.version, request), context.now.mono).map_err(refuse)?;
        if wanted.len() > limits::FETCH_PARTITIONS_MAX {
            return Err(refuse(ErrorCode::InvalidRequest));
        }
        let rows: Vec<Row> = wanted.into_iter().map(|(key, wanted)| row(context, key, wanted)).collect();
        let deadline = (!wait.is_zero()).then(|| context.now.mono + wait);
        let phase = Phase::Probing { probes: BTreeMap::new(), found: vec![None; rows.len()] };
        let mut call = Self { session, is_read_committed, min_bytes, max_bytes, deadline, rows, phase };
        call.probe(context);
        Ok(call)
    }

    fn probe(&mut self, context: &mut Context<'_>) {
        let Phase::Probing { probes, found } = &mut self.phase else { unreachable!("a fetch begins with probes") };
        let mut targets = Vec::with_capacity(self.rows.len());
        for (index, row) in self.rows.iter().enumerate() {
            match row.target {
                Ok(target) => targets.push((index, target.partition, target)),
                Err(_) => found[index] = Some(ProbeOutcome::Refused),
            }
        }
        let watching = self.deadline.is_some() && targets.len() == self.rows.len();
        for (shard, (rows, targets)) in by_owner(targets, context.shards) {
            let ticket = context.ask(shard, PartitionRequest::Probe { targets, watch: watching });
            probes.insert(ticket, Probe { shard, rows, watching });
        }
        self.maybe_read(context);
    }

    /// Takes what a probe has found, for the first time or again.
    pub(super) fn handle_probed(&mut self, context: &mut Context<'_>, ticket: Ticket, outcomes: Vec<ProbeOutcome>) {
        // A change may cross the unwatch on its way.
        let Phase::Probing { probes, found } = &mut self.phase else { return };
        let probe = probes.get(&ticket).expect("a probe is answered while it is out");
        assert_eq!(probe.rows.len(), outcomes.len(), "a probe answers for every partition");
        for (&row, outcome) in probe.rows.iter().zip(outcomes) {
            found[row] = Some(outcome);
        }
        self.maybe_read(context);
    }

    /// Answers with what there is, as soon as that is known.
    pub(super) fn handle_deadline(&mut self, context: &mut Context<'_>) {
        self.deadline = None;
        self.maybe_read(context);
    }

    /// When it is answered whatever there is; `None` once it is being answered, or will be when every probe has come
    /// back.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.deadline.filter(|_| matches!(self.phase, Phase::Probing { .. }))
    }

    /// Reads if there is enough, if something must be told at once, or if time is up.
    fn maybe_read(&mut self, context: &mut Context<'_>) {
        let Phase::Probing { probes, found } = &self.phase else { return };
        let Some(known) = found.iter().copied().collect::<Option<Vec<ProbeOutcome>>>() else { return };
        let refused = known.contains(&ProbeOutcome::Refused);
        let total =
            self.rows.iter().zip(&known).map(|(row, known)| wanted_bytes(row, known)).fold(0, u64::saturating_add);
        let is_time = self.deadline.is_none() || known.is_empty();
        if !(refused || is_time || total >= self.min_bytes) {
            return;
        }
        for (&ticket, probe) in probes.iter().filter(|(_, probe)| probe.watching) {
            context.follow_up(probe.shard, ticket, PartitionRequest::Unwatch);
        }
        for &ticket in probes.keys() {
            context.tickets.redeem(ticket);
        }
        self.read(context, &known);
    }

    /// Shares out the byte budget and asks for records.
    fn read(&mut self, context: &mut Context<'_>, known: &[ProbeOutcome]) {
        let mut gather = Gather::new(self.rows.len());
        let mut budget = self.max_bytes;
        let mut is_first = true;
        let mut targets = Vec::with_capacity(self.rows.len());
        for (index, row) in self.rows.iter().enumerate() {
            let target = match row.target {
                Ok(target) => target,
                Err(code) => {
                    gather.set(index, ReadOutcome::refused(code));
                    continue;
                }
            };
            let bytes = available(&known[index]);
            let bytes_max = target.bytes_max.min(budget);
            let at_least_one = is_first && bytes > 0;
            is_first &= bytes == 0;
            budget -= bytes.min(bytes_max);
            targets.push((index, target.partition, FetchTarget { bytes_max, at_least_one, ..target }));
        }
        for (shard, (rows, targets)) in by_owner(targets, context.shards) {
            let ticket = context.ask(shard, PartitionRequest::Read { targets });
            gather.expect(ticket, rows);
        }
        self.phase = Phase::Reading(gather);
    }

    /// Takes the records of one shard.
    pub(super) fn handle_read(&mut self, ticket: Ticket, outcomes: Vec<ReadOutcome>) {
        let Phase::Reading(gather) = &mut self.phase else { unreachable!("reads are asked for after probes") };
        gather.place(ticket, outcomes);
    }

    /// Whether everything that is needed for the answer has come.
    pub(super) fn is_complete(&self) -> bool {
        matches!(&self.phase, Phase::Reading(gather) if gather.is_complete())
    }

    /// Stops watching, for a call that will not be answered.
    pub(super) fn cancel(&self, context: &mut Context<'_>) {
        let Phase::Probing { probes, .. } = &self.phase else { return };
        for (&ticket, probe) in probes.iter().filter(|(_, probe)| probe.watching) {
            context.follow_up(probe.shard, ticket, PartitionRequest::Unwatch);
        }
    }

    /// The answer to a complete fetch.
    pub(super) fn end(self, context: &mut Context<'_>) -> Answer {
        let Phase::Reading(gather) = self.phase else { unreachable!("only complete fetches end") };
        let mut builder = ResponseBuilder::new(self.session, self.is_read_committed);
        for (row, outcome) in self.rows.into_iter().zip(gather.finish()) {
            let told = Told { high_watermark: outcome.high_watermark, log_start_offset: outcome.log_start_offset };
            let records = !outcome.records.is_empty();
            if context.sessions.tell(self.session, &row.key, outcome.code, told, records) {
                builder.push(context, row, outcome);
            }
        }
        builder.finish(context)
    }
}

/// Collects the rows of one answer.
struct ResponseBuilder {
    response: FetchResponse,
    records: Vec<Vec<FileSlice>>,
    topics: BTreeMap<TopicRef, usize>,
    leaders: BTreeSet<i32>,
    is_read_committed: bool,
}

impl ResponseBuilder {
    fn new(session: SessionUse, is_read_committed: bool) -> Self {
        let (SessionUse::Full { id } | SessionUse::Incremental { id }) = session;
        let response = FetchResponse { session_id: id, ..Default::default() };
        Self { response, records: Vec::new(), topics: BTreeMap::new(), leaders: BTreeSet::new(), is_read_committed }
    }

    fn push(&mut self, context: &Context<'_>, row: Row, outcome: ReadOutcome) {
        let (topic, partition_index) = row.key;
        let len: u64 = outcome.records.iter().map(|slice| slice.len).sum();
        // As Kafka has it: a list for who reads committed records only, and where there is no such partition.
        let has_list = match outcome.code {
            ErrorCode::None => self.is_read_committed,
            code => matches!(code, ErrorCode::UnknownTopicOrPartition | ErrorCode::UnknownTopicId),
        };
        let mut data = PartitionData {
            partition_index,
            error_code: outcome.code.code(),
            high_watermark: outcome.high_watermark.0,
            last_stable_offset: outcome.last_stable_offset.0,
            log_start_offset: outcome.log_start_offset.0,
            aborted_transactions: has_list.then(Vec::new),
            preferred_read_replica: -1,
            ..Default::default()
        };
        if let Some((epoch, end)) = outcome.diverging_epoch {
            data.diverging_epoch = EpochEndOffset { epoch: epoch.0, end_offset: end.0 };
        }
        let is_moved = matches!(outcome.code, ErrorCode::NotLeaderOrFollower | ErrorCode::FencedLeaderEpoch);
        if is_moved && context.version >= CURRENT_LEADER_VERSION {
            data.current_leader = self.current_leader(context, row.target);
        }
        if len > 0 {
            data.records = Records::Gap { len: usize::try_from(len).expect("a grant fits the address space") };
            self.records.push(outcome.records);
        }
        self.topic(topic).partitions.push(data);
    }

    /// The row group of a topic. Gaps are filled in order, so a topic's rows must not move once others follow.
    fn topic(&mut self, topic: TopicRef) -> &mut FetchableTopicResponse {
        let is_last = self.topics.get(&topic).is_some_and(|&at| at + 1 == self.response.responses.len());
        if !is_last {
            self.topics.insert(topic.clone(), self.response.responses.len());
            let (topic, topic_id) = topic.into_wire();
            self.response.responses.push(FetchableTopicResponse { topic, topic_id, ..Default::default() });
        }
        self.response.responses.last_mut().expect("pushed above, if it was not there")
    }

    fn current_leader(&mut self, context: &Context<'_>, target: Result<FetchTarget, ErrorCode>) -> LeaderIdAndEpoch {
        let partition = target.ok().and_then(|target| context.image.partition(target.partition));
        let Some(partition) = partition else { return LeaderIdAndEpoch::default() };
        let leader_id = partition.leader.map_or(-1, |leader| leader.0);
        self.leaders.insert(leader_id);
        LeaderIdAndEpoch { leader_id, leader_epoch: partition.leader_epoch.0 }
    }

    fn finish(mut self, context: &Context<'_>) -> Answer {
        let endpoint = |&id: &i32| {
            let broker = context.image.broker(BrokerId(id))?;
            let endpoint = broker.endpoint(context.listener_name())?;
            let (host, port) = (endpoint.host.clone(), endpoint.port as i32);
            Some(NodeEndpoint { node_id: id, host, port, rack: broker.rack.clone() })
        };
        if context.version >= NODE_ENDPOINTS_VERSION {
            self.response.node_endpoints = self.leaders.iter().filter_map(endpoint).collect();
        }
        Answer { response: self.response.into(), records: self.records }
    }
}

/// How much of what there is a row may get.
fn wanted_bytes(row: &Row, outcome: &ProbeOutcome) -> u64 {
    available(outcome).min(row.target.map_or(0, |target| target.bytes_max))
}

fn available(outcome: &ProbeOutcome) -> u64 {
    match outcome {
        ProbeOutcome::Bytes(bytes) => *bytes,
        ProbeOutcome::Refused => 0,
    }
}

fn row(context: &Context<'_>, key: PartitionKey, wanted: Wanted) -> Row {
    let target = key.0.partition(context.image, key.1).map(|partition| FetchTarget {
        partition,
        offset: wanted.offset,
        bytes_max: wanted.bytes_max,
        at_least_one: false,
        current_leader_epoch: epoch(wanted.current_leader_epoch),
        last_fetched_epoch: epoch(wanted.last_fetched_epoch),
    });
    Row { key, target }
}

/// An epoch field, where what is below 0 stands for "not known".
fn epoch(value: i32) -> Option<LeaderEpoch> {
    (value >= 0).then_some(LeaderEpoch(value))
}

/// What a request says of its session. A partition that it names twice counts once, as it stands last.
fn session_request(version: i16, request: FetchRequest) -> SessionRequest {
    let by_topic_id = version >= TOPIC_ID_VERSION;
    let mut places = BTreeMap::new();
    let mut wanted: Vec<(PartitionKey, Wanted)> = Vec::new();
    for topic in request.topics {
        let reference = TopicRef::new(by_topic_id, topic.topic, topic.topic_id);
        for partition in topic.partitions {
            let key = (reference.clone(), partition.partition);
            let want = Wanted {
                offset: Offset(partition.fetch_offset),
                bytes_max: u64::try_from(partition.partition_max_bytes).unwrap_or(0),
                current_leader_epoch: partition.current_leader_epoch,
                last_fetched_epoch: partition.last_fetched_epoch,
            };
            match places.get(&key) {
                Some(&place) => wanted[place] = (key, want),
                None => {
                    places.insert(key.clone(), wanted.len());
                    wanted.push((key, want));
                }
            }
        }
    }
    let forgotten = request.forgotten_topics_data.into_iter().flat_map(|topic| {
        let reference = TopicRef::new(by_topic_id, topic.topic, topic.topic_id);
        topic.partitions.into_iter().map(move |partition| (reference.clone(), partition))
    });
    SessionRequest {
        id: request.session_id,
        epoch: request.session_epoch,
        by_topic_id,
        forgotten: forgotten.collect(),
        wanted,
    }
}
