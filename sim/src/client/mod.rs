//! Virtual clients: small, impolite, and fluent in Kafka's bytes.
//!
//! They are no client library: they send what a library never would (a retry on a second connection while the first
//! request is still under way, any version of any API, batches that must be refused) and tell the oracle what came of
//! it.

mod admin;
mod auditor;
mod consumer;
mod fetch;
mod garbage;
mod link;
mod member;
mod producer;

use std::fmt::Debug;
use std::time::Duration;

use bytes::Bytes;
use highwater_core::ids::ConnectionId;

pub use admin::Admin;
pub use auditor::Auditor;
pub use consumer::Consumer;
pub use garbage::Garbage;
pub use member::Member;
pub use producer::Producer;

use crate::clock::SimTime;
use crate::oracle::Oracle;
use crate::trace::Trace;

/// Somebody who talks to the brokers.
pub trait Client: Debug {
    /// Takes note of something that happened.
    fn handle(&mut self, event: ClientEvent, context: &mut Context<'_>);

    /// Whether it waits for nothing, now that everything is healed.
    fn is_done(&self) -> bool;

    /// What it waits for, in a few words.
    fn describe(&self) -> String;
}

/// What can happen to a client.
#[derive(Debug)]
pub enum ClientEvent {
    /// A time that it asked for has come.
    Woken,
    /// A connection is open.
    Connected(ConnectionId),
    /// A whole frame, without its length prefix.
    Frame(ConnectionId, Bytes),
    /// A connection is gone, or could not be opened.
    Closed(ConnectionId),
    /// Nothing breaks from now on: begin nothing new, finish what was begun.
    Healed,
    /// Nobody writes any more: groups get to the end.
    Quiet,
}

/// What a client wants.
#[derive(Debug)]
pub enum Action {
    /// Connect to a broker.
    Dial(ConnectionId, usize),
    /// Send bytes.
    Send(ConnectionId, Bytes),
    /// Close a connection.
    Close(ConnectionId),
    /// Listen no more, but let what is under way arrive: the connection closes after a while.
    Abandon(ConnectionId, Duration),
    /// Be woken.
    Wake(SimTime),
}

/// The world, as a client sees it.
pub struct Context<'a> {
    /// What time it is.
    pub now: SimTime,
    /// Who must be told everything.
    pub oracle: &'a mut Oracle,
    /// Where the story is told.
    pub trace: &'a mut Trace,
    /// Numbers the connections of the world.
    pub connections_made: &'a mut u64,
    /// What the client wants.
    pub actions: &'a mut Vec<Action>,
}

impl Context<'_> {
    /// Asks to be woken after a while.
    pub fn wake_after(&mut self, after: Duration) {
        self.actions.push(Action::Wake(self.now + after));
    }

    fn dial(&mut self, broker: usize) -> ConnectionId {
        *self.connections_made += 1;
        let id = ConnectionId(*self.connections_made);
        self.actions.push(Action::Dial(id, broker));
        id
    }
}
