//! A Kafka client as a state machine: producer, reader and administrator over one set of connections.
//!
//! Driven like the broker: every input passes through [`Client::handle`], effects and completions come out in an
//! [`Outbox`], [`Client::poll_timeout`] says when the next [`Input::Timeout`] is due. The driver cuts bytes into frames,
//! with [`FrameReader`](crate::gateway::FrameReader), and carries out effects in order. The command line uses it.
//!
//! Invariants, asserted by [`Client::check`]:
//! * Every `Produce` and every `Call` ends in exactly one completion, in bounded time.
//! * A completion says `ok`, certainly not, or maybe: never a failure that might be a success.
//! * A client is a function of its configuration, its seed and its inputs.

mod answer;
mod boundary;
mod calls;
mod config;
mod connection;
mod consumer;
mod metadata;
mod network;
mod partitioner;
mod producer;
mod purpose;
mod random;
mod wake;

use highwater_wire::ErrorCode;

pub use self::answer::Answer;
pub use self::boundary::{
    Address, Command, Completion, ConsumeError, Effect, Input, NewRecord, Outbox, Position, ProduceError,
    ProduceErrorReason, Produced, TopicPartition,
};
pub use self::calls::{CallError, Target};
pub use self::config::{Acks, ClientConfig, ConsumerConfig, Isolation, OutOfRange, ProducerConfig};
pub use self::connection::Unsupported;
pub use self::partitioner::partition_of_key;

use self::calls::Calls;
use self::consumer::Consumer;
use self::metadata::Metadata;
use self::network::{Arrival, Network};
use self::producer::Producer;
use self::purpose::Purpose;
use self::wake::Wake;
use crate::ids::BrokerId;
use crate::time::{Instant, Now};

/// One client of a cluster.
#[derive(Debug)]
pub struct Client {
    network: Network,
    metadata: Metadata,
    producer: Producer,
    consumer: Consumer,
    calls: Calls,
    wake_at: Option<Instant>,
}

impl Client {
    /// A client that is connected to nobody and connects when it is given something to do.
    ///
    /// # Panics
    /// If idempotence is asked for without `acks=all`.
    pub fn new(config: &ClientConfig) -> Self {
        Self {
            network: Network::new(config),
            metadata: Metadata::new(config),
            producer: Producer::new(config),
            consumer: Consumer::new(config),
            calls: Calls::new(config),
            wake_at: None,
        }
    }

    /// Takes one input and adds its effects to `out`. Never fails.
    pub fn handle(&mut self, now: Now, input: Input, out: &mut Outbox) {
        let arrival = match input {
            Input::Connected(connection) => {
                self.network.on_connected(now.mono, connection, out);
                None
            }
            Input::Frame(connection, frame) => self.network.on_frame(now.mono, connection, frame, out),
            Input::Disconnected(connection, reason) => self.network.on_disconnected(now.mono, connection, &reason, out),
            Input::Command(command) => {
                if !self.on_command(now, command, out) {
                    return;
                }
                None
            }
            Input::Timeout => None,
        };
        if let Some(arrival) = arrival {
            self.on_arrival(now.mono, arrival, out);
        }
        self.drive(now.mono, out);
    }

    /// When [`Input::Timeout`] is due next; `None` if only another input can bring work.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.wake_at
    }

    /// Bytes of records that are produced but not acknowledged: to be compared with
    /// [`buffer_bytes_max`](ProducerConfig::buffer_bytes_max) before more are given.
    pub fn buffered_bytes(&self) -> usize {
        self.producer.buffered_bytes()
    }

    /// The brokers that the last metadata named.
    pub fn brokers(&self) -> impl Iterator<Item = (BrokerId, &Address)> {
        self.metadata.brokers().iter().map(|(broker, address)| (*broker, address))
    }

    /// Asserts the invariants of every part.
    pub fn check(&self) {
        self.network.check();
        self.producer.check();
        self.consumer.check();
    }

    /// Returns whether there may be something to send now.
    fn on_command(&mut self, now: Now, command: Command, out: &mut Outbox) -> bool {
        match command {
            Command::Produce { id, record } => return self.producer.add(now, id, record, &mut self.metadata, out),
            Command::Assign { partition, from } => self.consumer.assign(partition, from, out),
            Command::Unassign(partition) => self.consumer.unassign(&partition),
            Command::Call { id, target, request } => self.calls.add(now.mono, id, target, request, out),
        }
        true
    }

    fn on_arrival(&mut self, now: Instant, arrival: Arrival, out: &mut Outbox) {
        match arrival {
            Arrival::Answered(purpose, answer) => self.on_answer(now, purpose, answer, out),
            Arrival::Lost(purposes, reason) => {
                for purpose in purposes {
                    self.on_lost(now, purpose, &reason, out);
                }
            }
        }
    }

    fn on_answer(&mut self, now: Instant, purpose: Purpose, answer: Answer, out: &mut Outbox) {
        match purpose {
            Purpose::ApiVersions => unreachable!("a connection keeps these to itself"),
            Purpose::Metadata => {
                self.metadata.on_answer(now, &answer);
                for lost in self.network.set_brokers(now, self.metadata.brokers(), out) {
                    self.on_arrival(now, lost, out);
                }
            }
            Purpose::InitProducerId => self.producer.on_identity(now, &answer, out),
            Purpose::Produce(sent) => self.producer.on_answer(now, &sent, &answer, &mut self.metadata, out),
            Purpose::ListOffsets(partitions) => {
                self.consumer.on_offsets(now, &partitions, &answer, &mut self.metadata, out)
            }
            Purpose::Fetch(broker) => self.consumer.on_fetched(now, broker, &answer, &mut self.metadata, out),
            Purpose::Call(id) => self.calls.on_answer(id, answer, out),
        }
    }

    fn on_lost(&mut self, now: Instant, purpose: Purpose, reason: &str, out: &mut Outbox) {
        match purpose {
            Purpose::ApiVersions => {}
            Purpose::Metadata => self.metadata.on_lost(now),
            Purpose::InitProducerId => self.producer.on_identity_lost(now),
            Purpose::Produce(sent) => self.producer.on_lost(now, &sent, reason, &mut self.metadata, out),
            Purpose::ListOffsets(partitions) => self.consumer.on_offsets_lost(now, &partitions, &mut self.metadata),
            Purpose::Fetch(broker) => self.consumer.on_fetch_lost(now, broker, &mut self.metadata),
            Purpose::Call(id) => self.calls.on_lost(id, reason, out),
        }
    }

    /// Ends what has run out of time, sends all that can be sent, and finds out when to be woken for the rest.
    fn drive(&mut self, now: Instant, out: &mut Outbox) {
        for lost in self.network.expire(now, out) {
            self.on_arrival(now, lost, out);
        }
        self.network.forget_wishes();
        let mut wake = Wake::new(now);
        self.calls.maybe_send(now, &mut self.metadata, &mut self.network, &mut wake, out);
        self.producer.maybe_send(now, &mut self.metadata, &mut self.network, &mut wake, out);
        self.consumer.maybe_send(now, &mut self.metadata, &mut self.network, &mut wake, out);
        // Last, since the others find out what is missing.
        self.metadata.maybe_send(now, &mut self.network, &mut wake, out);
        self.network.wake(&mut wake);
        self.wake_at = wake.earliest();
    }
}

/// What an error code on the wire says; codes that Kafka 4.3 does not know are unknown errors.
fn error_of(code: i16) -> Option<ErrorCode> {
    (code != 0).then(|| ErrorCode::try_from(code).unwrap_or(ErrorCode::UnknownServerError))
}

#[cfg(test)]
mod tests;
