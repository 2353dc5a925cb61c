//! The world of one seed: machines, a network, clients, and the order in which things happen to them.
//!
//! A run has a safety phase, in which everything that can break does; then everything is healed, and within a bound
//! every client must get what it asked for; then every group must get to the end; then every acknowledged record is read
//! back, all brokers end once more, and every record is read back again.

mod brokers;
mod connections;
mod faults;
mod phases;

use std::time::Duration;

use bytes::Bytes;
use highwater_core::ids::{ConnectionId, JobId, ShardId};
use highwater_core::message::ShardMessage;
use highwater_core::outbox::{Job, Reply};

use crate::broker::Broker;
use crate::client::{Action, Admin, Client, ClientEvent, Consumer, Context, Garbage, Member, Producer};
use crate::clock::SimTime;
use crate::faults::Death;
use crate::network::Network;
use crate::options::Options;
use crate::oracle::{Oracle, Violation};
use crate::queue::EventQueue;
use crate::report::Outcome;
use crate::rng::{Concern, Stream};
use crate::trace::{Story, Trace};
pub use phases::Phase;

/// Everything that exists in one run.
pub struct World {
    seed: u64,
    options: Options,
    queue: EventQueue<Event>,
    brokers: Vec<Broker>,
    network: Network,
    clients: Vec<Box<dyn Client>>,
    /// When each client wakes next.
    alarms: Vec<SimTime>,
    connections_made: u64,
    oracle: Oracle,
    trace: Trace,
    process_rng: Stream,
    fault_rng: Stream,
    phase: Phase,
    outcome: Outcome,
}

/// What can happen.
#[derive(Debug)]
enum Event {
    /// A process starts, if none runs.
    Start { broker: usize },
    /// A process dies, if it is still the same.
    Die { broker: usize, life: u64, death: Death },
    /// Something happens inside a process, if it is still the same.
    Inside { broker: usize, life: u64, shard: ShardId, what: Inside },
    /// Something happens on a connection.
    Connection { id: ConnectionId, what: OnConnection },
    /// A client wakes.
    Wake { client: usize },
    /// A fault of the schedule begins.
    Fault { index: usize },
    /// And ends.
    FaultEnds { index: usize },
    /// Everything is healed.
    Heal,
    /// The phase must be over by now.
    Deadline { phase: Phase },
}

/// What can happen inside a process.
#[derive(Debug)]
enum Inside {
    /// The shard runs.
    Run,
    /// A message of another shard arrives.
    Message { from: ShardId, message: ShardMessage },
    /// The first sync of the lane ends.
    SyncEnds,
    /// A job ends.
    JobEnds { job: JobId, work: Job },
}

/// What can happen on a connection.
#[derive(Debug)]
enum OnConnection {
    /// The broker hears of it.
    Dialled,
    /// The client hears that it is open.
    Connected,
    /// Bytes arrive at the broker.
    Bytes(Bytes),
    /// An answer arrives at the client.
    Reply(Reply),
    /// The broker hears that the client has closed it.
    ClosedByClient,
    /// The client hears that it is closed.
    ClosedByBroker,
}

impl World {
    /// The world of a seed, before its first event.
    pub fn new(seed: u64, story: Option<Story>) -> Self {
        let options = Options::draw(seed);
        let brokers: Vec<Broker> =
            options.brokers.iter().enumerate().map(|(index, drawn)| Broker::new(seed, index, drawn)).collect();
        let frame_bytes_max = brokers[0].config.socket_request_max_bytes;
        let mut world = Self {
            seed,
            queue: EventQueue::new(),
            network: Network::new(&options, frame_bytes_max, Stream::new(seed, Concern::Network, 0)),
            clients: clients(seed, &options),
            alarms: Vec::new(),
            connections_made: 0,
            oracle: Oracle::new(seed, &options),
            trace: Trace::new(story),
            process_rng: Stream::new(seed, Concern::Process, 0),
            fault_rng: Stream::new(seed, Concern::Faults, 1),
            phase: Phase::Chaos,
            outcome: Outcome::new(seed),
            brokers,
            options,
        };
        world.schedule_beginning();
        world
    }

    /// Runs to the end, or to the first violation.
    pub fn run(mut self) -> Outcome {
        while self.phase != Phase::Over && self.oracle.violation().is_none() {
            let Some(event) = self.queue.pop() else { break };
            self.dispatch(event);
        }
        if self.phase != Phase::Over {
            let phase = self.phase;
            self.oracle.require(false, "Liveness", || format!("nothing will ever happen again in {phase:?}"));
        }
        self.finish()
    }

    fn schedule_beginning(&mut self) {
        for broker in 0..self.brokers.len() {
            self.queue.schedule(SimTime(0), Event::Start { broker });
        }
        for client in 0..self.clients.len() {
            self.set_alarm(client, SimTime(client as u64));
        }
        for (index, (at, _)) in self.options.faults.iter().enumerate() {
            self.queue.schedule(*at, Event::Fault { index });
        }
        self.queue.schedule(self.options.heal_at, Event::Heal);
    }

    fn dispatch(&mut self, event: Event) {
        let now = self.queue.now();
        match event {
            Event::Start { broker } => self.start(broker),
            Event::Die { broker, life, death } => {
                if self.lives(broker, life) {
                    self.die(broker, death);
                }
            }
            Event::Inside { broker, life, shard, what } => {
                if self.lives(broker, life) {
                    self.inside(broker, shard, what);
                }
            }
            Event::Connection { id, what } => self.on_connection(id, what),
            Event::Wake { client } => {
                // A client has one alarm: an earlier one has replaced it if it is set to another time.
                if self.alarms[client] == now {
                    self.alarms[client] = SimTime::NEVER;
                    self.trace.event(now, "wake", client as u64);
                    self.tell_client(client, ClientEvent::Woken);
                }
            }
            Event::Fault { index } => self.begin_fault(index),
            Event::FaultEnds { index } => self.end_fault(index),
            Event::Heal => self.heal(),
            Event::Deadline { phase } => self.deadline(phase),
        }
    }

    /// Whether the process that an event is about still runs.
    fn lives(&self, broker: usize, life: u64) -> bool {
        self.brokers[broker].process.is_some() && self.brokers[broker].life == life
    }

    /// Lets a client take note of something, then does what it wants; the world goes on if nobody waits for more.
    fn tell_client(&mut self, client: usize, event: ClientEvent) {
        self.pass_on(client, event);
        self.maybe_advance();
    }

    fn pass_on(&mut self, client: usize, event: ClientEvent) {
        let mut actions = Vec::new();
        let context = &mut Context {
            now: self.queue.now(),
            oracle: &mut self.oracle,
            trace: &mut self.trace,
            connections_made: &mut self.connections_made,
            actions: &mut actions,
        };
        self.clients[client].handle(event, context);
        for action in actions {
            self.act(client, action);
        }
    }

    fn act(&mut self, client: usize, action: Action) {
        let now = self.queue.now();
        match action {
            Action::Dial(id, broker) => {
                let at = self.network.dial(id, client, broker, now);
                self.queue.schedule(at, Event::Connection { id, what: OnConnection::Dialled });
            }
            Action::Send(id, bytes) => self.send(id, bytes),
            Action::Close(id) => self.close_by_client(id, Duration::ZERO),
            Action::Abandon(id, after) => self.close_by_client(id, after),
            Action::Wake(at) => self.set_alarm(client, at),
        }
    }

    /// Lets a client wake at a time, or earlier if it was to wake earlier.
    fn set_alarm(&mut self, client: usize, at: SimTime) {
        if self.alarms.len() <= client {
            self.alarms.resize(client + 1, SimTime::NEVER);
        }
        if at < self.alarms[client] {
            self.alarms[client] = at;
            self.queue.schedule(at, Event::Wake { client });
        }
    }

    fn finish(mut self) -> Outcome {
        for broker in &self.brokers {
            let (errors, refusals) = broker.disk.faults_fired();
            self.outcome.disk_errors += errors;
            self.outcome.disk_refusals += refusals;
            self.trace.number(broker.disk.digest());
        }
        self.outcome.acked_records = self.oracle.acked_records();
        self.outcome.branches.append(&mut self.oracle.take_counts());
        self.outcome.events = self.trace.events();
        self.outcome.simulated = self.queue.now().since(SimTime(0));
        self.outcome.trace_hash = self.trace.hash();
        self.outcome.violation = self.oracle.take_violation();
        self.outcome
    }

    fn violate(&mut self, violation: Violation) {
        self.oracle.violate(violation);
    }
}

/// Everybody who talks to the brokers, by number.
fn clients(seed: u64, options: &Options) -> Vec<Box<dyn Client>> {
    let mut clients: Vec<Box<dyn Client>> = vec![Box::new(Admin::new(0, seed, options))];
    for drawn in &options.producers {
        clients.push(Box::new(Producer::new(clients.len(), seed, drawn.clone())));
    }
    for drawn in &options.consumers {
        clients.push(Box::new(Consumer::new(clients.len(), seed, drawn.clone())));
    }
    if options.garbage {
        clients.push(Box::new(Garbage::new(clients.len(), seed)));
    }
    for (group, drawn) in options.groups.iter().enumerate() {
        for member in 0..drawn.members.len() {
            clients.push(Box::new(Member::new(clients.len(), seed, group, member, drawn)));
        }
    }
    clients
}
