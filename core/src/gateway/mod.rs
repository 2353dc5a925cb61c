//! Kafka connections: frames become requests, requests become questions to the shards that know, answers become frames
//! in the order of the requests.
//!
//! Invariants, asserted by [`Gateway::check`]:
//! * Every call belongs to a live connection.
//! * A call that waits for time to pass has exactly one deadline.
//!
//! Sources: Kafka's protocol guide, KIP-511 (ApiVersions), KIP-227 (fetch sessions).
//! Deliberately absent: authentication (every client is let in), quotas.

mod api_versions;
mod call;
mod configs;
mod connection;
mod describe;
mod fetch;
mod fetch_session;
mod frame;
mod gather;
mod groups;
mod log_dirs;
mod metadata;
mod offsets;
mod produce;
mod producer_ids;
mod repeated;
mod topics;
mod work;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use highwater_wire::{AnyRequest, ApiKey, DecodeError, Decoder, RequestHeader, frame::HeaderError};

pub use api_versions::{advertised, served};
pub use frame::{FrameError, FrameReader};

use crate::config::BrokerConfig;
use crate::controller::{ControllerResponse, Image};
use crate::event::Event;
use crate::group::GroupResponse;
use crate::ids::{ConnectionId, ShardId, Ticket};
use crate::message::PartitionResponse;
use crate::outbox::{CloseReason, ConnectionInput, Outbox, Reason};
use crate::time::{Instant, Now};
use call::{CallId, Caller, Context, Outcome, Tickets};
use connection::{Connection, Slot};
use fetch_session::FetchSessions;
use producer_ids::ProducerIds;
use work::Work;

/// The connections of one shard and the requests in progress on them.
pub struct Gateway {
    shards: u16,
    config: Arc<BrokerConfig>,
    image: Option<Arc<Image>>,
    connections: BTreeMap<ConnectionId, Connection>,
    calls: BTreeMap<CallId, Call>,
    next_call: CallId,
    tickets: Tickets,
    deadlines: BTreeSet<(Instant, CallId)>,
    sessions: FetchSessions,
    producer_ids: ProducerIds,
    /// Bytes of all unanswered requests.
    bytes_in_progress: usize,
    /// Connections that are not read until that is less.
    held: BTreeSet<ConnectionId>,
    stopping: bool,
}

/// A request in progress.
struct Call {
    connection: ConnectionId,
    slot: Slot,
    caller: Caller,
    work: Work,
    /// The work's deadline as it stands in the gateway's order of deadlines.
    deadline: Option<Instant>,
}

impl Gateway {
    /// The gateway of `shard`, one of `shards` data shards. It serves nothing before it has an image.
    pub fn new(shard: ShardId, shards: u16, config: Arc<BrokerConfig>) -> Self {
        let slots = (config.max_incremental_fetch_session_cache_slots as usize).div_ceil(usize::from(shards));
        Self {
            shards,
            config,
            image: None,
            connections: BTreeMap::new(),
            calls: BTreeMap::new(),
            next_call: CallId::default(),
            tickets: Tickets::default(),
            deadlines: BTreeSet::new(),
            sessions: FetchSessions::new(shard, slots),
            producer_ids: ProducerIds::default(),
            bytes_in_progress: 0,
            held: BTreeSet::new(),
            stopping: false,
        }
    }

    /// Follows the metadata.
    pub fn adopt(&mut self, image: Arc<Image>) {
        self.image = Some(image);
    }

    /// Takes what happened on a connection.
    pub fn handle_connection(&mut self, now: Now, id: ConnectionId, input: ConnectionInput, out: &mut Outbox) {
        match input {
            ConnectionInput::Opened { listener, peer } => {
                let mut connection = Connection::new(id, listener, peer);
                if self.stopping || self.image.is_none() {
                    connection.close(CloseReason::Stopping, out);
                }
                self.connections.insert(id, connection);
            }
            ConnectionInput::Frame(frame) => self.handle_frame(now, id, &frame, out),
            ConnectionInput::Closed => self.handle_closed(now, id, out),
        }
    }

    /// Takes an answer of a shard that owns partitions.
    pub fn handle_partitions(&mut self, now: Now, ticket: Ticket, response: PartitionResponse, out: &mut Outbox) {
        // A client that went away leaves answers without a call.
        let Some(call) = self.tickets.call(ticket) else { return };
        if !matches!(response, PartitionResponse::Probed(_)) {
            self.tickets.redeem(ticket);
        }
        self.advance(now, call, out, |work, context| work.handle_partitions(context, ticket, response));
    }

    /// Takes an answer of a group coordinator.
    pub fn handle_group(&mut self, now: Now, ticket: Ticket, response: GroupResponse, out: &mut Outbox) {
        let Some(call) = self.tickets.call(ticket) else { return };
        self.tickets.redeem(ticket);
        self.advance(now, call, out, |work, _| work.handle_group(ticket, response));
    }

    /// Takes an answer of the controller.
    pub fn handle_controller(&mut self, now: Now, ticket: Ticket, response: ControllerResponse, out: &mut Outbox) {
        let Some(call) = self.tickets.call(ticket) else { return };
        self.tickets.redeem(ticket);
        self.advance(now, call, out, |work, context| work.handle_controller(context, response));
    }

    /// When a request has waited long enough.
    pub fn poll_timeout(&self) -> Option<(Instant, Reason)> {
        self.deadlines.first().map(|&(deadline, _)| (deadline, "fetch deadline"))
    }

    /// Answers what has waited long enough.
    pub fn handle_timeout(&mut self, now: Now, out: &mut Outbox) {
        while let Some(&(deadline, call)) = self.deadlines.first() {
            if deadline > now.mono {
                return;
            }
            self.advance(now, call, out, |work, context| work.handle_deadline(context));
        }
    }

    /// Answers what is in progress, takes nothing new, closes every connection.
    pub fn handle_stop(&mut self, now: Now, out: &mut Outbox) {
        self.stopping = true;
        for (_, call) in self.deadlines.clone() {
            self.advance(now, call, out, |work, context| work.handle_deadline(context));
        }
        for connection in self.connections.values_mut() {
            connection.close(CloseReason::Stopping, out);
        }
    }

    /// Asserts the invariants of everything in here.
    pub fn check(&self) {
        self.sessions.check();
        for connection in self.connections.values() {
            connection.check();
        }
        let bytes: usize = self.connections.values().map(Connection::bytes_in_progress).sum();
        assert_eq!(bytes, self.bytes_in_progress, "bytes in progress are those of all connections");
        for (id, call) in &self.calls {
            assert!(self.connections.contains_key(&call.connection), "a call belongs to a live connection");
            assert_eq!(call.work.deadline(), call.deadline, "deadlines follow the work");
            assert!(call.deadline.is_none_or(|at| self.deadlines.contains(&(at, *id))), "a deadline is kept in order");
        }
    }

    fn handle_frame(&mut self, now: Now, id: ConnectionId, frame: &Bytes, out: &mut Outbox) {
        let Some(connection) = self.connections.get_mut(&id).filter(|connection| connection.is_open()) else { return };
        let (header, request) = match decode(frame) {
            Ok(decoded) => decoded,
            Err(reason) => return close(connection, id, reason, out),
        };
        let slot = connection.begin(frame.len(), out);
        self.bytes_in_progress += frame.len();
        if self.bytes_in_progress as u64 > self.config.queued_max_unsynced_bytes {
            connection.hold(true, out);
            self.held.insert(id);
        }
        let call_id = self.next_call;
        self.next_call = CallId(call_id.0 + 1);
        let (listener, peer) = (connection.listener, connection.peer);
        let Decoded::Request(request) = request else {
            let outcome = Outcome::from(api_versions::unsupported_version());
            return self.finish(id, slot, 0, header.correlation_id, outcome, out);
        };
        let RequestHeader { version, correlation_id, client_id, .. } = header;
        let caller = Caller { version, correlation_id, listener, client_id, peer };
        let mut context = self.context(now, call_id, &caller, out);
        let begun = Work::begin(&mut context, request);
        match begun {
            Ok(work) => {
                let call = Call { connection: id, slot, caller, work, deadline: None };
                self.settle(now, call_id, call, out);
            }
            Err(outcome) => self.finish(id, slot, version, correlation_id, outcome, out),
        }
    }

    /// A client that went away wants no answers.
    fn handle_closed(&mut self, now: Now, id: ConnectionId, out: &mut Outbox) {
        let connection = self.connections.remove(&id);
        self.held.remove(&id);
        self.free(connection.map_or(0, |connection| connection.bytes_in_progress()), out);
        let calls = self.calls.extract_if(.., |_, call| call.connection == id).collect::<Vec<_>>();
        for (call_id, call) in calls {
            if let Some(deadline) = call.deadline {
                self.deadlines.remove(&(deadline, call_id));
            }
            let mut context = self.context(now, call_id, &call.caller, out);
            call.work.cancel(&mut context);
        }
    }

    /// Lets a call go on, then answers it if that completes it.
    fn advance(&mut self, now: Now, id: CallId, out: &mut Outbox, step: impl FnOnce(&mut Work, &mut Context<'_>)) {
        let mut call = self.calls.remove(&id).expect("tickets and deadlines end with their call");
        let mut context = self.context(now, id, &call.caller, out);
        step(&mut call.work, &mut context);
        self.settle(now, id, call, out);
    }

    /// Answers a call that is complete, keeps one that is not.
    fn settle(&mut self, now: Now, id: CallId, mut call: Call, out: &mut Outbox) {
        let deadline = call.work.deadline();
        if deadline != call.deadline {
            self.deadlines.extend(deadline.map(|at| (at, id)));
            if let Some(at) = std::mem::replace(&mut call.deadline, deadline) {
                self.deadlines.remove(&(at, id));
            }
        }
        if !call.work.is_complete() {
            self.calls.insert(id, call);
            return;
        }
        let Call { connection, slot, caller, work, deadline } = call;
        assert!(deadline.is_none(), "a complete call waits for nothing");
        let outcome = work.end(&mut self.context(now, id, &caller, out));
        self.finish(connection, slot, caller.version, caller.correlation_id, outcome, out);
    }

    fn finish(
        &mut self,
        id: ConnectionId,
        slot: Slot,
        version: i16,
        correlation_id: i32,
        outcome: Outcome,
        out: &mut Outbox,
    ) {
        let connection = self.connections.get_mut(&id).expect("calls end with their connection");
        let before = connection.bytes_in_progress();
        match outcome {
            Outcome::Answer(answer) => connection.finish(slot, Some(answer.into_reply(version, correlation_id)), out),
            Outcome::Silent => connection.finish(slot, None, out),
            Outcome::Close(reason) => {
                connection.finish(slot, None, out);
                close(connection, id, reason, out);
            }
        }
        let freed = before - connection.bytes_in_progress();
        self.free(freed, out);
    }

    /// Takes note that requests were answered; reads everybody again once enough were.
    fn free(&mut self, bytes: usize, out: &mut Outbox) {
        self.bytes_in_progress -= bytes;
        if self.bytes_in_progress as u64 > self.config.queued_max_unsynced_bytes / 2 {
            return;
        }
        for id in std::mem::take(&mut self.held) {
            let connection = self.connections.get_mut(&id).expect("a connection that goes away is not held");
            connection.hold(false, out);
        }
    }

    fn context<'a>(&'a mut self, now: Now, call: CallId, caller: &'a Caller, out: &'a mut Outbox) -> Context<'a> {
        Context {
            now,
            call,
            version: caller.version,
            caller,
            shards: self.shards,
            config: &self.config,
            image: self.image.as_ref().expect("requests are taken only with an image"),
            tickets: &mut self.tickets,
            sessions: &mut self.sessions,
            producer_ids: &mut self.producer_ids,
            out,
        }
    }
}

fn close(connection: &mut Connection, id: ConnectionId, reason: CloseReason, out: &mut Outbox) {
    out.events.push(Event::ConnectionClosed { connection: id, reason: reason.clone() });
    connection.close(reason, out);
}

/// A frame that can be answered.
enum Decoded {
    Request(AnyRequest),
    /// ApiVersions in a version that does not exist: answered all the same, so that the client can step down.
    UnsupportedApiVersions,
}

fn decode(frame: &Bytes) -> Result<(RequestHeader, Decoded), CloseReason> {
    let malformed = |error: DecodeError| CloseReason::Malformed(error.to_string());
    let mut input = Decoder::new(frame);
    let header = RequestHeader::decode(&mut input).map_err(|error| match error {
        HeaderError::UnknownApi { key, version } => CloseReason::Unsupported { key, version },
        HeaderError::Malformed(error) => malformed(error),
    })?;
    let (api, version) = (header.api, header.version);
    if !served(api).is_some_and(|versions| versions.contains(&version)) {
        return match api {
            ApiKey::ApiVersions => Ok((header, Decoded::UnsupportedApiVersions)),
            _ => Err(CloseReason::Unsupported { key: api as i16, version }),
        };
    }
    let request = AnyRequest::decode(api, version, input).map_err(malformed)?;
    Ok((header, Decoded::Request(request)))
}
