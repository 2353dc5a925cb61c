//! Accepts connections and hands them to the data shards, one after the other.

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use highwater_core::ids::ConnectionId;
use slog::{Logger, debug, warn};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

use crate::limits::ConnectionLimits;
use crate::shard::{Accepted, InboxSender, Message};

/// How long nothing is accepted after the machine had no descriptor or memory left for a connection.
const BACK_OFF: Duration = Duration::from_millis(100);
/// How often at most a refusal is written to the log.
const REFUSAL_LOG_INTERVAL: Duration = Duration::from_secs(1);

/// What all listeners of a broker share. They run on one thread.
#[derive(Debug)]
pub struct Acceptor {
    shards: Vec<InboxSender>,
    limits: ConnectionLimits,
    accepted: Cell<u64>,
    refusals: Refusals,
    log: Logger,
}

/// Refusals come in floods: one line a second says how many there were.
#[derive(Debug, Default)]
struct Refusals {
    unreported: Cell<u64>,
    reported_at: Cell<Option<Instant>>,
}

impl Acceptor {
    /// An acceptor for the data shards behind `shards`.
    pub fn new(shards: Vec<InboxSender>, limits: ConnectionLimits, log: Logger) -> Rc<Self> {
        assert!(!shards.is_empty(), "a broker has a data shard");
        Rc::new(Self { shards, limits, accepted: Cell::new(0), refusals: Refusals::default(), log })
    }

    /// Accepts on one socket until the task is dropped.
    pub async fn run(self: Rc<Self>, socket: TcpListener, listener: usize) {
        loop {
            match socket.accept().await {
                Ok((stream, peer)) => self.admit(listener, stream, peer),
                Err(error) if is_about_one_connection(&error) => {
                    debug!(self.log, "connection lost"; "reason" => %error)
                }
                Err(error) => {
                    self.refuse("no connection can be accepted", &error);
                    tokio::time::sleep(BACK_OFF).await;
                }
            }
        }
    }

    fn admit(&self, listener: usize, stream: TcpStream, peer: SocketAddr) {
        let permit = match self.limits.admit(peer.ip()) {
            Ok(permit) => permit,
            Err(refused) => return self.refuse(&format!("connection from {} refused", peer.ip()), &refused),
        };
        let socket = match stream.into_std() {
            Ok(socket) => socket,
            Err(error) => return debug!(self.log, "connection lost"; "reason" => %error),
        };
        let number = self.accepted.get();
        self.accepted.set(number + 1);
        let turn = usize::try_from(number % self.shards.len() as u64).expect("a shard's index fits");
        let id = ConnectionId(number);
        let accepted = Accepted { id, socket, listener, peer: peer.ip().to_canonical(), permit };
        self.shards[turn].send(Message::Accepted(accepted));
    }

    fn refuse(&self, what: &str, reason: &dyn std::fmt::Display) {
        if let Some(count) = self.refusals.count() {
            warn!(self.log, "{}", what; "reason" => %reason, "refusals" => count);
        }
    }
}

impl Refusals {
    /// Counts one, and returns how many there were since the last report if it is time for the next.
    fn count(&self) -> Option<u64> {
        let now = Instant::now();
        self.unreported.set(self.unreported.get() + 1);
        if self.reported_at.get().is_some_and(|at| now.duration_since(at) < REFUSAL_LOG_INTERVAL) {
            return None;
        }
        self.reported_at.set(Some(now));
        Some(self.unreported.replace(0))
    }
}

/// Errors that `accept` passes on from the connection that it would have returned.
fn is_about_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind;
    matches!(error.kind(), ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset | ErrorKind::ConnectionRefused)
}
