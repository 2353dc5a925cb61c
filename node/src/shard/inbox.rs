//! What reaches a shard's thread from other threads.
//!
//! The queue itself has no end, so that no shard ever waits for another. It is bounded by what feeds it: while a peer
//! has [`BACKLOG_MAX`] messages waiting, a shard takes no more requests from its own connections, which are what all
//! other messages follow from.

use std::net::{IpAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use highwater_core::Input;
use highwater_core::ids::ConnectionId;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};

use crate::limits::ConnectionPermit;

/// Messages that may wait for a shard before its peers read no more requests.
pub const BACKLOG_MAX: usize = 16 * 1024;

/// One thing for a shard's thread to deal with.
#[derive(Debug)]
pub enum Message {
    /// For the machine.
    Input(Input),
    /// A connection that this shard owns from now on.
    Accepted(Accepted),
}

/// A connection on its way from the acceptor to its shard.
#[derive(Debug)]
pub struct Accepted {
    /// Its id.
    pub id: ConnectionId,
    /// Its socket, in non-blocking mode.
    pub socket: TcpStream,
    /// Which listener accepted it.
    pub listener: usize,
    /// The other end.
    pub peer: IpAddr,
    /// Its place among the connections that are allowed.
    pub permit: ConnectionPermit,
}

/// The sending side of an inbox.
#[derive(Clone, Debug)]
pub struct InboxSender {
    queue: UnboundedSender<Message>,
    backlog: Arc<AtomicUsize>,
}

/// The receiving side of an inbox.
#[derive(Debug)]
pub struct Inbox {
    queue: UnboundedReceiver<Message>,
    backlog: Arc<AtomicUsize>,
}

/// A new inbox.
pub fn inbox() -> (InboxSender, Inbox) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let backlog = Arc::new(AtomicUsize::new(0));
    (InboxSender { queue: sender, backlog: Arc::clone(&backlog) }, Inbox { queue: receiver, backlog })
}

impl InboxSender {
    /// Sends a message. One to a shard that has ended is dropped: the broker is stopping then.
    pub fn send(&self, message: Message) {
        self.backlog.fetch_add(1, Ordering::Relaxed);
        let _ = self.queue.send(message);
    }

    /// Whether the shard has fallen behind.
    pub fn is_congested(&self) -> bool {
        self.backlog.load(Ordering::Relaxed) >= BACKLOG_MAX
    }
}

impl Inbox {
    /// Waits until there are messages and moves at most `count_max` of them into `messages`.
    pub async fn receive(&mut self, messages: &mut Vec<Message>, count_max: usize) {
        let received = self.queue.recv_many(messages, count_max).await;
        self.backlog.fetch_sub(received, Ordering::Relaxed);
    }

    /// Moves the messages that are there, at most `count_max`, into `messages`.
    pub fn take(&mut self, messages: &mut Vec<Message>, count_max: usize) {
        let before = messages.len();
        while messages.len() - before < count_max
            && let Ok(message) = self.queue.try_recv()
        {
            messages.push(message);
        }
        self.backlog.fetch_sub(messages.len() - before, Ordering::Relaxed);
    }
}
