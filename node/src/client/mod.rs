//! Drives core's client over Tokio's sockets.
//!
//! One [`Session`] is one client. Whoever owns it gives commands and takes completions; while it waits, the session
//! carries frames between the machine and the sockets. One task for each connection, no locks.

mod socket;

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use highwater_core::client::{
    Address, CallError, Client, ClientConfig, Command, Completion, Effect, Input, Outbox, Target,
};
use highwater_core::ids::{CommandId, ConnectionId};
use highwater_wire::{AnyRequest, DecodeError, RequestMessage};
use tokio::sync::mpsc;
use tokio::time::sleep_until;

use self::socket::Link;
use crate::clock::Clock;

/// Events of connections that wait for the machine: more make the sockets wait.
const EVENTS_MAX: usize = 16;

/// A client of a cluster.
#[derive(Debug)]
pub struct Session {
    client: Client,
    clock: Clock,
    out: Outbox,
    completions: VecDeque<Completion>,
    links: BTreeMap<ConnectionId, Link>,
    events: mpsc::Receiver<(ConnectionId, socket::Event)>,
    events_sender: mpsc::Sender<(ConnectionId, socket::Event)>,
    next_command: u64,
    /// Bootstrap addresses that have failed, until one connection succeeds.
    failed_bootstrap: Option<BTreeMap<Address, String>>,
    bootstrap: Vec<Address>,
}

/// Why a session has no answer.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// No bootstrap address accepts connections.
    #[error("cannot connect to {0}; is a broker running there? (--bootstrap HOST:PORT names another one)")]
    NoBroker(String),
    /// The call failed.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The answer cannot be read.
    #[error("the broker's answer makes no sense: {0}")]
    Answer(#[from] DecodeError),
}

impl Session {
    /// A session that connects when it is given something to do. Needs a Tokio runtime.
    pub fn new(config: &ClientConfig) -> Self {
        let (events_sender, events) = mpsc::channel(EVENTS_MAX);
        Self {
            client: Client::new(config),
            clock: Clock::start(),
            out: Outbox::default(),
            completions: VecDeque::new(),
            links: BTreeMap::new(),
            events,
            events_sender,
            next_command: 0,
            failed_bootstrap: Some(BTreeMap::new()),
            bootstrap: config.bootstrap.clone(),
        }
    }

    /// An id that no other command has.
    pub fn next_id(&mut self) -> CommandId {
        self.next_command += 1;
        CommandId(self.next_command)
    }

    /// Gives a command to the client.
    pub fn command(&mut self, command: Command) {
        self.handle(Input::Command(command));
    }

    /// Bytes of records that are not acknowledged yet.
    pub fn buffered_bytes(&self) -> usize {
        self.client.buffered_bytes()
    }

    /// The next completion if there is one already.
    pub fn take_completion(&mut self) -> Option<Completion> {
        self.completions.pop_front()
    }

    /// Waits for the next completion. Dropping the future loses nothing.
    ///
    /// # Errors
    /// No bootstrap address has ever accepted a connection, and each has failed by now.
    pub async fn next(&mut self) -> Result<Completion, SessionError> {
        loop {
            if let Some(completion) = self.completions.pop_front() {
                self.watch_bootstrap(&completion)?;
                return Ok(completion);
            }
            let timeout = self.client.poll_timeout().map(|at| self.clock.deadline(at));
            let input = tokio::select! {
                event = self.events.recv() => {
                    let (connection, event) = event.expect("the session holds a sender itself");
                    self.input_of(connection, event)
                }
                () = sleep_until(timeout.unwrap_or_else(tokio::time::Instant::now)), if timeout.is_some() => Input::Timeout,
            };
            self.handle(input);
        }
    }

    /// Sends a request and waits for its answer. Completions of other commands are kept.
    ///
    /// # Errors
    /// There is no answer, or it makes no sense.
    pub async fn call<R>(&mut self, target: Target, request: R) -> Result<R::Response, SessionError>
    where
        R: RequestMessage + Into<AnyRequest>,
    {
        let id = self.next_id();
        self.command(Command::Call { id, target, request: request.into() });
        let mut others = VecDeque::new();
        let answer = loop {
            match self.next().await? {
                Completion::Answered { id: answered, outcome } if answered == id => break outcome?,
                other => others.push_back(other),
            }
        };
        others.append(&mut self.completions);
        self.completions = others;
        Ok(answer.decode::<R>()?)
    }

    fn input_of(&mut self, connection: ConnectionId, event: socket::Event) -> Input {
        match event {
            socket::Event::Connected => {
                self.failed_bootstrap = None;
                Input::Connected(connection)
            }
            socket::Event::Frame(frame) => Input::Frame(connection, frame),
            socket::Event::Closed(reason) => {
                self.links.remove(&connection);
                Input::Disconnected(connection, reason)
            }
        }
    }

    fn handle(&mut self, input: Input) {
        self.client.handle(self.clock.now(), input, &mut self.out);
        self.completions.extend(self.out.completions.drain(..));
        let effects = std::mem::take(&mut self.out.effects);
        for effect in &effects {
            self.carry_out(effect);
        }
        self.out.effects = effects;
        self.out.effects.clear();
    }

    fn carry_out(&mut self, effect: &Effect) {
        match effect {
            Effect::Connect { connection, address } => {
                self.links.insert(*connection, Link::open(*connection, address.clone(), self.events_sender.clone()));
            }
            Effect::Send { connection, frame } => self.send(*connection, frame.clone()),
            Effect::Close { connection } => {
                self.links.remove(connection);
            }
        }
    }

    /// A connection that is gone says so by an event of its own, so nothing is lost by sending into it.
    fn send(&self, connection: ConnectionId, frame: Bytes) {
        if let Some(link) = self.links.get(&connection) {
            link.send(frame);
        }
    }

    /// Gives up where nobody has ever been reached and every address has been tried: waiting would not help.
    fn watch_bootstrap(&mut self, completion: &Completion) -> Result<(), SessionError> {
        let Completion::Unreachable { address, reason } = completion else { return Ok(()) };
        let Some(failed) = &mut self.failed_bootstrap else { return Ok(()) };
        failed.insert(address.clone(), reason.clone());
        if self.bootstrap.iter().any(|address| !failed.contains_key(address)) {
            return Ok(());
        }
        let tried: Vec<_> = failed.iter().map(|(address, reason)| format!("{address}: {reason}")).collect();
        Err(SessionError::NoBroker(tried.join("; ")))
    }
}
