//! The connections that a shard owns.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::rc::{Rc, Weak};
use std::time::Duration;

use highwater_core::gateway::FrameReader;
use highwater_core::ids::ConnectionId;
use highwater_core::outbox::{ConnectionInput, Flow, Halt, Reply};
use slog::{Logger, debug, info};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::frames::FrameQueue;
use super::inbox::Accepted;
use crate::connection::{self, Connection, Ended, FrameBudget, Link, Scratch, SendError};
use crate::socket::Socket;

/// How connections are served.
#[derive(Clone, Debug)]
pub struct ConnectionConfig {
    /// The largest request (`socket.request.max.bytes`).
    pub request_bytes_max: u32,
    /// How long nothing may move on a connection (`connections.max.idle.ms`); `None` is for ever.
    pub idle_max: Option<Duration>,
}

/// How often idle and slow connections are looked for.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);
/// How long a large request may take to arrive while others wait for the memory that it holds.
const LARGE_REQUEST_TIME_MAX: Duration = Duration::from_secs(30);
/// Bytes of large requests that may be arriving at once; more if a single one may be larger.
const ARRIVING_BYTES_MAX: usize = 256 * 1024 * 1024;

/// The connections of one shard.
pub struct Connections {
    config: ConnectionConfig,
    open: Rc<Table>,
    frames: Rc<FrameQueue>,
    scratch: Scratch,
    budget: Rc<FrameBudget>,
    log: Logger,
}

#[derive(Default)]
struct Table {
    links: RefCell<HashMap<ConnectionId, Rc<Link>>>,
    closed: Notify,
    failure: RefCell<Option<io::Error>>,
}

impl Connections {
    /// No connections yet.
    pub fn new(config: ConnectionConfig, log: Logger) -> Self {
        let open = Rc::new(Table::default());
        let budget = FrameBudget::new(ARRIVING_BYTES_MAX.max(config.request_bytes_max as usize));
        tokio::task::spawn_local(sweep(Rc::downgrade(&open), Rc::clone(&budget), config.idle_max));
        Self { config, open, frames: Rc::default(), scratch: connection::scratch(), budget, log }
    }

    /// What the connections have for the machine.
    pub fn frames(&self) -> Rc<FrameQueue> {
        Rc::clone(&self.frames)
    }

    /// Takes over an accepted connection.
    pub fn open(&self, accepted: Accepted) {
        let Accepted { id, socket, listener, peer, permit } = accepted;
        let log = self.log.new(slog::o!("connection" => id.0, "peer" => peer.to_string()));
        let socket = match Socket::new(socket) {
            Ok(socket) => socket,
            Err(error) => return debug!(log, "connection lost before it was served"; "reason" => %error),
        };
        let link = Rc::new(Link::new());
        self.open.links.borrow_mut().insert(id, Rc::clone(&link));
        self.frames.push(id, ConnectionInput::Opened { listener, peer });
        let connection = Connection {
            id,
            socket,
            reader: FrameReader::new(self.config.request_bytes_max),
            link,
            frames: Rc::clone(&self.frames),
            scratch: Rc::clone(&self.scratch),
            permit,
            budget: Rc::clone(&self.budget),
            reservation: None,
        };
        let table = Rc::clone(&self.open);
        tokio::task::spawn_local(async move {
            let ended = connection.run().await;
            table.links.borrow_mut().remove(&id);
            table.closed.notify_one();
            match ended {
                Ended::BadFrame(error) => info!(log, "connection closed"; "reason" => %error),
                Ended::Send(SendError::File(error)) => drop(table.failure.borrow_mut().get_or_insert(error)),
                Ended::ByClient | Ended::Here(_) | Ended::Io(_) | Ended::Send(SendError::Socket(_)) => {
                    debug!(log, "connection ended"; "reason" => %ended);
                }
            }
        });
    }

    /// Sends an answer, unless the connection has ended meanwhile.
    pub fn reply(&self, connection: ConnectionId, reply: Reply) {
        if let Some(link) = self.open.links.borrow().get(&connection) {
            link.reply(reply);
        }
    }

    /// Changes how a connection is read, unless it has ended meanwhile.
    pub fn flow(&self, connection: ConnectionId, flow: Flow) {
        if let Some(link) = self.open.links.borrow().get(&connection) {
            link.flow(flow);
        }
    }

    /// A log that could not be read for an answer: the broker must stop.
    pub fn take_failure(&self) -> Option<Halt> {
        let error = self.open.failure.borrow_mut().take()?;
        Some(Halt::Io { action: "cannot read for a client from", path: "a log".to_owned(), error })
    }

    /// Waits until every connection has sent what is queued, or for `at_most`.
    pub async fn flush(&self, at_most: Duration) {
        let deadline = Instant::now() + at_most;
        for link in self.open.links.borrow().values() {
            link.flow(Flow::Close(highwater_core::outbox::CloseReason::Stopping));
        }
        while !self.open.links.borrow().is_empty() {
            if tokio::time::timeout_at(deadline, self.open.closed.notified()).await.is_err() {
                return;
            }
        }
    }
}

/// Closes connections that hold what others need, for as long as there is a table of them.
async fn sweep(table: Weak<Table>, budget: Rc<FrameBudget>, idle_max: Option<Duration>) {
    loop {
        tokio::time::sleep(SWEEP_INTERVAL).await;
        let Some(table) = table.upgrade() else { return };
        let now = Instant::now();
        let links = table.links.borrow();
        if let Some(limit) = idle_max.and_then(|idle_max| now.checked_sub(idle_max)) {
            links.values().for_each(|link| link.close_if_idle_since(limit));
        }
        if let Some(limit) = now.checked_sub(LARGE_REQUEST_TIME_MAX).filter(|_| budget.is_contended()) {
            links.values().for_each(|link| link.close_if_slow_since(limit));
        }
    }
}
