//! The brokers that a client knows, and its connections to them.
//!
//! Invariants:
//! * At most one connection to each broker, made when somebody needs it.
//! * After a failure a broker is left alone for a while that doubles with each failure in a row.
//! * Bootstrap addresses are used for as long as no broker is connected, and again when none can be.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;

use super::answer::Answer;
use super::boundary::{Address, Completion, Effect, Outbox};
use super::config::ClientConfig;
use super::connection::{Connection, ConnectionConfig, ConnectionError};
use super::purpose::Purpose;
use super::random::Random;
use super::wake::Wake;
use crate::ids::{BrokerId, ConnectionId};
use crate::time::Instant;

/// A broker by its id, or an address whose broker is not known. Brokers come first in the order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum NodeId {
    Broker(BrokerId),
    Bootstrap(usize),
}

#[derive(Debug)]
struct Node {
    address: Address,
    connection: Option<Connection>,
    failures: u32,
    retry_at: Instant,
    /// Somebody waits for `retry_at`.
    wanted: bool,
}

/// What became of requests.
#[derive(Debug)]
pub(super) enum Arrival {
    Answered(Purpose, Answer),
    Lost(Vec<Purpose>, String),
}

#[derive(Debug)]
pub(super) struct Network {
    connection_config: ConnectionConfig,
    backoff: Backoff,
    nodes: BTreeMap<NodeId, Node>,
    owners: BTreeMap<ConnectionId, NodeId>,
    next_connection: u64,
    last_failure: Option<String>,
}

/// How long to wait after failures in a row.
#[derive(Clone, Debug)]
pub(super) struct Backoff {
    first: Duration,
    max: Duration,
    random: Random,
}

impl Backoff {
    pub fn new(config: &ClientConfig, stream: u64) -> Self {
        Self { first: config.retry_backoff, max: config.retry_backoff_max, random: Random::new(config.seed ^ stream) }
    }

    /// Doubles with each failure, with a fifth of jitter so that many clients do not come back at once.
    pub fn after(&mut self, failures: u32) -> Duration {
        let doubled = self.first.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(self.max);
        doubled * (80 + self.random.below(41) as u32) / 100
    }
}

impl Network {
    pub fn new(config: &ClientConfig) -> Self {
        let mut network = Self {
            connection_config: ConnectionConfig {
                client_id: config.client_id.as_str().into(),
                connect_timeout: config.connect_timeout,
                request_timeout: config.request_timeout,
            },
            backoff: Backoff::new(config, 1),
            nodes: BTreeMap::new(),
            owners: BTreeMap::new(),
            next_connection: 0,
            last_failure: None,
        };
        for (number, address) in config.bootstrap.iter().enumerate() {
            network.nodes.insert(NodeId::Bootstrap(number), Node::new(address.clone()));
        }
        network
    }

    /// What went wrong last, for whoever runs out of time.
    pub fn last_failure(&self) -> Option<&str> {
        self.last_failure.as_deref()
    }

    /// Forgets who waited for a broker: those who still do, say so again.
    pub fn forget_wishes(&mut self) {
        self.nodes.values_mut().for_each(|node| node.wanted = false);
    }

    pub fn wake(&self, wake: &mut Wake) {
        for node in self.nodes.values() {
            if node.wanted {
                wake.at(node.retry_at);
            }
            if let Some(deadline) = node.connection.as_ref().and_then(Connection::deadline) {
                wake.at(deadline);
            }
        }
    }

    /// A connection to a broker that has room for a request; else one is under way, or will be.
    pub fn ready(&mut self, now: Instant, broker: BrokerId, out: &mut Outbox) -> Option<&mut Connection> {
        self.ready_node(now, NodeId::Broker(broker), out)
    }

    /// A connection to any broker, the least loaded one.
    pub fn any_ready(&mut self, now: Instant, out: &mut Outbox) -> Option<&mut Connection> {
        let connected = self.nodes.iter().filter_map(|(id, node)| Some((*id, node.connection.as_ref()?)));
        let (ready, rest): (Vec<_>, Vec<_>) = connected.partition(|(_, connection)| connection.is_ready());
        let least_loaded = ready.iter().min_by_key(|(id, connection)| (connection.load(), *id)).map(|(id, _)| *id);
        if let Some(id) = least_loaded {
            return self.ready_node(now, id, out);
        }
        if !rest.is_empty() {
            return None;
        }
        let next = self.nodes.iter().filter(|(id, node)| !self.is_known_broker(**id, node));
        let next = next.min_by_key(|(id, node)| (node.failures, **id)).map(|(id, _)| *id);
        self.ready_node(now, next.expect("there is a bootstrap address or a broker at it"), out)
    }

    /// Whether a bootstrap address is that of a broker which we know by its id.
    fn is_known_broker(&self, id: NodeId, node: &Node) -> bool {
        let at_address =
            |(other, broker): (&NodeId, &Node)| matches!(other, NodeId::Broker(_)) && broker.address == node.address;
        matches!(id, NodeId::Bootstrap(_)) && self.nodes.iter().any(at_address)
    }

    pub fn on_connected(&mut self, now: Instant, id: ConnectionId, out: &mut Outbox) {
        if let Some(connection) = self.connection_mut(id) {
            connection.on_connected(now, out);
        }
    }

    pub fn on_frame(&mut self, now: Instant, id: ConnectionId, frame: Bytes, out: &mut Outbox) -> Option<Arrival> {
        let node = *self.owners.get(&id)?;
        let connection = self.connection_mut(id)?;
        let result = connection.on_frame(now, frame, out);
        let ready = connection.is_ready();
        match result {
            Ok(answered) => {
                if ready {
                    self.node_mut(node).failures = 0;
                }
                answered.map(|(purpose, answer)| Arrival::Answered(purpose, answer))
            }
            Err(error) => Some(self.give_up(now, id, &error, out)),
        }
    }

    pub fn on_disconnected(
        &mut self,
        now: Instant,
        id: ConnectionId,
        reason: &str,
        out: &mut Outbox,
    ) -> Option<Arrival> {
        self.owners.contains_key(&id).then(|| self.drop_connection(now, id, reason, out))
    }

    /// Ends the connections whose time has run out.
    pub fn expire(&mut self, now: Instant, out: &mut Outbox) -> Vec<Arrival> {
        let connections = self.nodes.values().filter_map(|node| node.connection.as_ref());
        let overdue: Vec<_> =
            connections.filter_map(|connection| Some((connection.id(), connection.overdue(now)?))).collect();
        overdue.iter().map(|(id, error)| self.give_up(now, *id, error, out)).collect()
    }

    /// Adopts the brokers that metadata names. Connections to addresses that are no longer named are closed.
    pub fn set_brokers(
        &mut self,
        now: Instant,
        brokers: &BTreeMap<BrokerId, Address>,
        out: &mut Outbox,
    ) -> Vec<Arrival> {
        let gone = |id: &NodeId, node: &Node| match id {
            NodeId::Broker(broker) => brokers.get(broker) != Some(&node.address),
            NodeId::Bootstrap(_) => false,
        };
        let gone: Vec<NodeId> = self.nodes.iter().filter(|(id, node)| gone(id, node)).map(|(id, _)| *id).collect();
        let mut lost = Vec::new();
        for id in gone {
            let connection = self.node_mut(id).connection.as_ref().map(Connection::id);
            if let Some(connection) = connection {
                out.effects.push(Effect::Close { connection });
                lost.push(self.drop_connection(now, connection, "the broker has another address now", out));
            }
            self.nodes.remove(&id);
        }
        for (broker, address) in brokers {
            self.nodes.entry(NodeId::Broker(*broker)).or_insert_with(|| Node::new(address.clone()));
        }
        self.hand_over_bootstrap(brokers);
        lost
    }

    /// A bootstrap connection whose address turns out to be a broker's becomes that broker's.
    fn hand_over_bootstrap(&mut self, brokers: &BTreeMap<BrokerId, Address>) {
        for (broker, address) in brokers {
            let is_it = |node: &Node| node.address == *address && node.connection.is_some();
            let bootstrap = self.nodes.iter().find(|(id, node)| matches!(id, NodeId::Bootstrap(_)) && is_it(node));
            let Some(bootstrap) = bootstrap.map(|(id, _)| *id) else { continue };
            let to = NodeId::Broker(*broker);
            if self.node_mut(to).connection.is_some() {
                continue;
            }
            let connection = self.node_mut(bootstrap).connection.take().expect("found by its connection");
            self.owners.insert(connection.id(), to);
            self.node_mut(to).connection = Some(connection);
        }
    }

    fn ready_node(&mut self, now: Instant, id: NodeId, out: &mut Outbox) -> Option<&mut Connection> {
        let node = self.nodes.get_mut(&id)?;
        if node.connection.is_none() {
            if node.retry_at > now {
                node.wanted = true;
                return None;
            }
            let connection = ConnectionId(self.next_connection);
            self.next_connection += 1;
            self.owners.insert(connection, id);
            out.effects.push(Effect::Connect { connection, address: node.address.clone() });
            node.connection = Some(Connection::new(connection, self.connection_config.clone(), now));
        }
        node.connection.as_mut().filter(|connection| connection.has_room())
    }

    fn give_up(&mut self, now: Instant, id: ConnectionId, error: &ConnectionError, out: &mut Outbox) -> Arrival {
        out.effects.push(Effect::Close { connection: id });
        self.drop_connection(now, id, &error.to_string(), out)
    }

    fn drop_connection(&mut self, now: Instant, id: ConnectionId, reason: &str, out: &mut Outbox) -> Arrival {
        let owner = self.owners.remove(&id).expect("a connection has an owner");
        let node = self.nodes.get_mut(&owner).expect("an owner is a node");
        let connection = node.connection.take().expect("a node owns its connection");
        node.failures = node.failures.saturating_add(1);
        node.retry_at = now + self.backoff.after(node.failures);
        let was_ready = connection.is_ready();
        let lost = connection.into_lost();
        let failure = format!("{}: {reason}", node.address);
        // Brokers close idle connections: nobody needs to hear of that.
        if !was_ready || !lost.is_empty() {
            out.completions.push(Completion::Unreachable { address: node.address.clone(), reason: reason.to_owned() });
            self.last_failure = Some(failure.clone());
        }
        Arrival::Lost(lost, failure)
    }

    fn connection_mut(&mut self, id: ConnectionId) -> Option<&mut Connection> {
        let owner = self.owners.get(&id)?;
        self.nodes.get_mut(owner)?.connection.as_mut()
    }

    fn node_mut(&mut self, id: NodeId) -> &mut Node {
        self.nodes.get_mut(&id).expect("nodes are removed together with their names")
    }

    /// Asserts what holds between inputs.
    pub fn check(&self) {
        for (connection, owner) in &self.owners {
            let node = self.nodes.get(owner).expect("an owner is a node");
            assert_eq!(
                node.connection.as_ref().map(Connection::id),
                Some(*connection),
                "{owner:?} owns another connection"
            );
        }
        let connections = self.nodes.values().filter(|node| node.connection.is_some()).count();
        assert_eq!(connections, self.owners.len(), "every connection has one owner");
    }
}

impl Node {
    fn new(address: Address) -> Self {
        Self { address, connection: None, failures: 0, retry_at: Instant::default(), wanted: false }
    }
}
