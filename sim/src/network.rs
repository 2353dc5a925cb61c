//! Connections between clients and brokers: bytes are delayed and split, never reordered within one direction.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use highwater_core::gateway::FrameReader;
use highwater_core::ids::{ConnectionId, ShardId};

use crate::clock::SimTime;
use crate::options::{Options, Range};
use crate::rng::Stream;

/// One connection, from the moment a client dials.
#[derive(Debug)]
pub struct Connection {
    /// Who dialled.
    pub client: usize,
    /// Who was dialled.
    pub broker: usize,
    /// In which life of the broker it was accepted, and by which shard; `None` before and after.
    pub accepted: Option<(u64, ShardId)>,
    /// Where the broker's end is in a frame.
    pub reader: FrameReader,
    /// Bytes that have arrived at a broker that does not read.
    pub unread: VecDeque<Bytes>,
    /// Whether the broker does not read.
    pub paused: bool,
    /// Whether the client still listens.
    pub client_listens: bool,
    /// When the last bytes arrive at the broker: nothing overtakes them.
    to_broker: SimTime,
    /// When the last bytes arrive at the client.
    to_client: SimTime,
}

/// All connections, and how long bytes take.
#[derive(Debug)]
pub struct Network {
    connections: BTreeMap<ConnectionId, Connection>,
    latency: Range,
    split_per_mille: u32,
    /// How many times longer everything takes now.
    pub slowness: u32,
    frame_bytes_max: u32,
    rng: Stream,
}

/// Pieces of one frame at most: more would only cost time.
const PIECES_MAX: u64 = 4;

impl Network {
    /// A network without connections.
    pub fn new(options: &Options, frame_bytes_max: u32, rng: Stream) -> Self {
        Self {
            connections: BTreeMap::new(),
            latency: options.latency,
            split_per_mille: options.split_per_mille,
            slowness: 1,
            frame_bytes_max,
            rng,
        }
    }

    /// A client dials; returns when the broker hears of it.
    pub fn dial(&mut self, id: ConnectionId, client: usize, broker: usize, now: SimTime) -> SimTime {
        let to_broker = now + self.delay();
        let connection = Connection {
            client,
            broker,
            accepted: None,
            reader: FrameReader::new(self.frame_bytes_max),
            unread: VecDeque::new(),
            paused: false,
            client_listens: true,
            to_broker,
            to_client: to_broker,
        };
        assert!(self.connections.insert(id, connection).is_none(), "connections are never numbered alike");
        to_broker
    }

    /// The connection, unless it is closed at both ends.
    pub fn find(&mut self, id: ConnectionId) -> Option<&mut Connection> {
        self.connections.get_mut(&id)
    }

    /// Forgets a connection that is closed at both ends.
    pub fn forget(&mut self, id: ConnectionId) {
        self.connections.remove(&id);
    }

    /// The connections of a broker.
    pub fn of_broker(&self, broker: usize) -> Vec<ConnectionId> {
        let here = |(id, connection): (&ConnectionId, &Connection)| (connection.broker == broker).then_some(*id);
        self.connections.iter().filter_map(here).collect()
    }

    /// When each piece of some bytes arrives at the broker.
    pub fn towards_broker(&mut self, id: ConnectionId, bytes: Bytes, now: SimTime) -> Vec<(SimTime, Bytes)> {
        let mut pieces = Vec::new();
        let mut rest = bytes;
        let count = if self.rng.chance(self.split_per_mille) { self.rng.between(1, PIECES_MAX) } else { 1 };
        for _ in 1..count {
            let piece = rest.split_to(self.rng.index(rest.len() + 1));
            pieces.push((self.arrival_at_broker(id, now), piece));
        }
        pieces.push((self.arrival_at_broker(id, now), rest));
        pieces
    }

    /// When what a client says now arrives at the broker.
    pub fn arrival_at_broker(&mut self, id: ConnectionId, now: SimTime) -> SimTime {
        let at = now + self.delay();
        let connection = self.connections.get_mut(&id).expect("only a connection that is open carries bytes");
        connection.to_broker = connection.to_broker.max(at);
        connection.to_broker
    }

    /// When what the broker says now arrives at the client.
    pub fn arrival_at_client(&mut self, id: ConnectionId, now: SimTime) -> SimTime {
        let at = now + self.delay();
        let connection = self.connections.get_mut(&id).expect("only a connection that is open carries bytes");
        connection.to_client = connection.to_client.max(at);
        connection.to_client
    }

    fn delay(&mut self) -> Duration {
        self.latency.pick(&mut self.rng) * self.slowness
    }
}
