//! The network's half of the world: bytes go from clients to shards, answers go back.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use bytes::Bytes;
use highwater_core::Input;
use highwater_core::ids::{ConnectionId, ShardId};
use highwater_core::outbox::{ConnectionInput, Flow, Part, Reply};

use super::{Event, OnConnection, World};
use crate::client::ClientEvent;

impl World {
    pub(super) fn on_connection(&mut self, id: ConnectionId, what: OnConnection) {
        match what {
            OnConnection::Dialled => self.dialled(id),
            OnConnection::Connected => self.tell_listener(id, "connected", ClientEvent::Connected(id)),
            OnConnection::Bytes(bytes) => self.bytes_arrive(id, bytes),
            OnConnection::Reply(reply) => self.reply_arrives(id, &reply),
            OnConnection::ClosedByClient => self.closed_by_client(id),
            OnConnection::ClosedByBroker => {
                self.tell_listener(id, "closed", ClientEvent::Closed(id));
                self.network.forget(id);
            }
        }
    }

    /// A broker that runs accepts, on a shard of the driver's choice; one that does not refuses.
    fn dialled(&mut self, id: ConnectionId) {
        let Some(connection) = self.network.find(id) else { return };
        let broker = connection.broker;
        if self.brokers[broker].process.is_none() {
            return self.reset(id);
        }
        let shard = ShardId(self.process_rng.between(1, u64::from(self.brokers[broker].shards)) as u16);
        connection.accepted = Some((self.brokers[broker].life, shard));
        let opened = ConnectionInput::Opened { listener: 0, peer: IpAddr::V4(Ipv4Addr::LOCALHOST) };
        self.push_input(broker, shard, Input::Connection(id, opened));
        self.say(id, OnConnection::Connected);
    }

    /// Lets the client know something, after all that it was told before.
    pub(super) fn say(&mut self, id: ConnectionId, what: OnConnection) {
        let at = self.network.arrival_at_client(id, self.queue.now());
        self.queue.schedule(at, Event::Connection { id, what });
    }

    /// A client sends bytes.
    pub(super) fn send(&mut self, id: ConnectionId, bytes: Bytes) {
        if self.network.find(id).is_none() {
            return;
        }
        for (at, piece) in self.network.towards_broker(id, bytes, self.queue.now()) {
            self.queue.schedule(at, Event::Connection { id, what: OnConnection::Bytes(piece) });
        }
    }

    fn bytes_arrive(&mut self, id: ConnectionId, bytes: Bytes) {
        self.trace.event(self.queue.now(), "bytes", id.0);
        self.trace.bytes(&bytes);
        let Some(connection) = self.network.find(id) else { return };
        if connection.paused {
            return connection.unread.push_back(bytes);
        }
        self.read(id, &bytes);
    }

    /// Cuts bytes into frames for the shard that owns the connection.
    fn read(&mut self, id: ConnectionId, bytes: &Bytes) {
        let Some(connection) = self.network.find(id) else { return };
        let (Some((life, shard)), broker) = (connection.accepted, connection.broker) else { return };
        let mut rest = &bytes[..];
        let mut frames = Vec::new();
        let broken = loop {
            match connection.reader.next(&mut rest) {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break false,
                Err(_) => break true,
            }
        };
        if !self.lives(broker, life) {
            return;
        }
        for frame in frames {
            self.push_input(broker, shard, Input::Connection(id, ConnectionInput::Frame(frame)));
        }
        if broken {
            self.close_by_broker(id);
        }
    }

    /// Carries an answer to the client. The bytes of its file slices are read when it arrives: by then the file may be
    /// gone, and only the pins keep them.
    pub(super) fn reply(&mut self, id: ConnectionId, reply: Reply) {
        if self.network.find(id).is_some_and(|connection| connection.accepted.is_some()) {
            self.say(id, OnConnection::Reply(reply));
        }
    }

    fn reply_arrives(&mut self, id: ConnectionId, reply: &Reply) {
        let bytes = match resolve(reply) {
            Ok(bytes) => bytes,
            Err(error) => {
                return self.oracle.require(false, "PinnedBytes", || format!("an answer's bytes are gone: {error}"));
            }
        };
        self.trace.event(self.queue.now(), "reply", id.0);
        self.trace.bytes(&bytes);
        let Some(connection) = self.network.find(id) else { return };
        if !connection.client_listens {
            return;
        }
        let client = connection.client;
        let prefix = bytes.first_chunk().map_or(-1, |prefix| i32::from_be_bytes(*prefix));
        let framed = usize::try_from(prefix).is_ok_and(|len| len + 4 == bytes.len());
        self.oracle.require(framed, "Framing", || format!("a frame of {} bytes says {prefix}", bytes.len()));
        if framed {
            self.tell_client(client, ClientEvent::Frame(id, bytes.slice(4..)));
        }
    }

    fn tell_listener(&mut self, id: ConnectionId, what: &str, event: ClientEvent) {
        self.trace.event(self.queue.now(), what, id.0);
        let Some(connection) = self.network.find(id) else { return };
        if connection.client_listens {
            let client = connection.client;
            self.tell_client(client, event);
        }
    }

    /// The client stops listening now; the broker hears of it after what was sent before, and `after`.
    pub(super) fn close_by_client(&mut self, id: ConnectionId, after: Duration) {
        let Some(connection) = self.network.find(id) else { return };
        connection.client_listens = false;
        let at = self.network.arrival_at_broker(id, self.queue.now() + after);
        self.queue.schedule(at, Event::Connection { id, what: OnConnection::ClosedByClient });
    }

    fn closed_by_client(&mut self, id: ConnectionId) {
        self.trace.event(self.queue.now(), "hangs up", id.0);
        self.end_at_broker(id);
        self.network.forget(id);
    }

    /// What the core wants with a connection.
    pub(super) fn flow(&mut self, id: ConnectionId, flow: &Flow) {
        let Some(connection) = self.network.find(id) else { return };
        match flow {
            Flow::Pause => connection.paused = true,
            Flow::Resume => {
                connection.paused = false;
                for bytes in std::mem::take(&mut connection.unread) {
                    self.read(id, &bytes);
                }
            }
            Flow::Close(_) => self.close_by_broker(id),
        }
    }

    /// The broker closes a connection: the core hears of it too, as of every end.
    fn close_by_broker(&mut self, id: ConnectionId) {
        self.end_at_broker(id);
        self.say(id, OnConnection::ClosedByBroker);
    }

    /// Both ends lose the connection; what is under way to the client may still arrive.
    pub(super) fn reset(&mut self, id: ConnectionId) {
        self.end_at_broker(id);
        self.say(id, OnConnection::ClosedByBroker);
    }

    /// The shard that owns a connection hears that it is gone.
    fn end_at_broker(&mut self, id: ConnectionId) {
        let Some(connection) = self.network.find(id) else { return };
        let (broker, accepted) = (connection.broker, connection.accepted.take());
        connection.unread.clear();
        if let Some((life, shard)) = accepted
            && self.lives(broker, life)
        {
            self.push_input(broker, shard, Input::Connection(id, ConnectionInput::Closed));
        }
    }
}

/// The bytes of an answer, those that lie in files too.
fn resolve(reply: &Reply) -> std::io::Result<Bytes> {
    if let [Part::Bytes(bytes)] = &reply.parts[..] {
        return Ok(bytes.clone());
    }
    let mut whole = Vec::with_capacity(reply.parts.iter().map(|part| part.len() as usize).sum());
    for part in &reply.parts {
        match part {
            Part::Bytes(bytes) => whole.extend_from_slice(bytes),
            Part::File(slice) => {
                let start = whole.len();
                whole.resize(start + slice.len as usize, 0);
                slice.bytes.read_exact_at(slice.pos, &mut whole[start..])?;
            }
        }
    }
    Ok(whole.into())
}
