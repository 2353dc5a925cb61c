//! A request that is being served, and what serving one may do.

use std::collections::BTreeMap;
use std::net::IpAddr;

use highwater_wire::{AnyResponse, Piece};

use super::fetch_session::FetchSessions;
use super::producer_ids::ProducerIds;
use crate::config::BrokerConfig;
use crate::controller::{ControllerRequest, Image};
use crate::disk::FileSlice;
use crate::group::{Client, GroupCall};
use crate::ids::{PartitionId, ShardId, Ticket};
use crate::message::{PartitionRequest, ShardMessage};
use crate::outbox::{CloseReason, Outbox, Part, Reply};
use crate::time::Now;

/// Names a request in progress within its gateway.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct CallId(pub(super) u64);

/// Who a request comes from, and what its header says.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    /// The version of the request.
    pub(super) version: i16,
    pub(super) correlation_id: i32,
    /// Which listener the client came through.
    pub(super) listener: usize,
    /// What the client calls itself.
    pub(super) client_id: Option<String>,
    /// The other end of its connection.
    pub(super) peer: IpAddr,
}

impl Caller {
    /// The client, as groups show it.
    fn client(&self) -> Client {
        Client { id: self.client_id.clone().unwrap_or_default(), host: format!("/{}", self.peer) }
    }
}

/// What has become of a request.
pub(super) enum Outcome {
    /// It is answered.
    Answer(Box<Answer>),
    /// It is done, and the protocol wants no answer.
    Silent,
    /// It cannot be answered: the connection is closed.
    Close(CloseReason),
}

impl<R: Into<AnyResponse>> From<R> for Outcome {
    fn from(response: R) -> Self {
        Self::Answer(Box::new(Answer { response: response.into(), records: Vec::new() }))
    }
}

/// A response, with the records that lie in files.
pub(super) struct Answer {
    /// The message. Its gaps stand for `records`, in order.
    pub(super) response: AnyResponse,
    /// One run of file slices for each gap.
    pub(super) records: Vec<Vec<FileSlice>>,
}

impl Answer {
    /// The answer as a frame.
    pub(super) fn into_reply(self, version: i16, correlation_id: i32) -> Reply {
        let encoded = self.response.encode_frame(version, correlation_id);
        let encoded = encoded.expect("the gateway makes only responses that the version can represent");
        let mut records = self.records.into_iter();
        let mut parts = Vec::with_capacity(2 * records.len() + 1);
        for piece in encoded.into_pieces() {
            match piece {
                Piece::Bytes(bytes) => parts.push(Part::Bytes(bytes)),
                Piece::Gap(len) => {
                    let slices = records.next().expect("one run of slices for each gap");
                    let held: u64 = slices.iter().map(|slice| slice.len).sum();
                    assert_eq!(held, len as u64, "a gap is as long as its slices");
                    parts.extend(slices.into_iter().map(Part::File));
                }
            }
        }
        Reply { parts }
    }
}

/// What serving a request may look at and do.
pub(super) struct Context<'a> {
    pub(super) now: Now,
    pub(super) call: CallId,
    /// The version of the request.
    pub(super) version: i16,
    /// Who asks.
    pub(super) caller: &'a Caller,
    pub(super) shards: u16,
    pub(super) config: &'a BrokerConfig,
    pub(super) image: &'a Image,
    pub(super) tickets: &'a mut Tickets,
    pub(super) sessions: &'a mut FetchSessions,
    pub(super) producer_ids: &'a mut ProducerIds,
    pub(super) out: &'a mut Outbox,
}

impl Context<'_> {
    /// The name of the listener that the client came through: decides the addresses that it is told.
    pub(super) fn listener_name(&self) -> &str {
        &self.config.listeners[self.caller.listener].name
    }

    /// Asks the owner of some partitions. The answer comes to this call.
    pub(super) fn ask(&mut self, shard: ShardId, request: PartitionRequest) -> Ticket {
        let ticket = self.tickets.issue(self.call);
        self.out.shards.push((shard, ShardMessage::PartitionRequest { ticket, request }));
        ticket
    }

    /// Asks the group coordinator in a partition. The answer comes to this call.
    pub(super) fn ask_group(&mut self, shard: ShardId, partition: PartitionId, call: GroupCall) -> Ticket {
        let ticket = self.tickets.issue(self.call);
        let (client, call) = (self.caller.client(), Box::new(call));
        self.out.shards.push((shard, ShardMessage::GroupRequest { ticket, partition, client, call }));
        ticket
    }

    /// Asks the controller. The answer comes to this call.
    pub(super) fn ask_controller(&mut self, request: ControllerRequest) {
        let ticket = self.tickets.issue(self.call);
        self.out.shards.push((ShardId::CONTROLLER, ShardMessage::ControllerRequest { ticket, request }));
    }

    /// Sends something after a request that it belongs to.
    pub(super) fn follow_up(&mut self, shard: ShardId, ticket: Ticket, request: PartitionRequest) {
        self.out.shards.push((shard, ShardMessage::PartitionRequest { ticket, request }));
    }
}

/// Which call each outstanding question belongs to.
#[derive(Debug, Default)]
pub(super) struct Tickets {
    calls: BTreeMap<Ticket, CallId>,
    next: Ticket,
}

impl Tickets {
    fn issue(&mut self, call: CallId) -> Ticket {
        let ticket = self.next;
        self.next = Ticket(ticket.0 + 1);
        self.calls.insert(ticket, call);
        ticket
    }

    /// The call that an answer belongs to, if it still wants it.
    pub(super) fn call(&self, ticket: Ticket) -> Option<CallId> {
        self.calls.get(&ticket).copied()
    }

    /// Expects no more answers.
    pub(super) fn redeem(&mut self, ticket: Ticket) {
        self.calls.remove(&ticket);
    }

    /// Forgets everything that a call has asked. Tickets of a call lie close together, but not side by side.
    pub(super) fn forget(&mut self, call: CallId) {
        self.calls.retain(|_, owner| *owner != call);
    }
}
