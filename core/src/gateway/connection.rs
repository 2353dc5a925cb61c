//! One client connection: its answers leave in the order of its requests, whatever order they are made in.
//!
//! Invariants, asserted by [`Connection::check`]:
//! * The first slot of the queue is never ready: it would have been sent.
//! * A connection that has more in progress than it may, or that the gateway holds, is paused.

use std::collections::VecDeque;
use std::net::IpAddr;

use crate::ids::ConnectionId;
use crate::limits;
use crate::outbox::{CloseReason, Flow, Outbox, Reply};

/// A place in the order of a connection's answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Slot(u64);

/// A connection and its unanswered requests.
#[derive(Debug)]
pub(super) struct Connection {
    id: ConnectionId,
    /// Which listener accepted it: decides the addresses that the client is told.
    pub(super) listener: usize,
    /// The other end.
    pub(super) peer: IpAddr,
    first: u64,
    queue: VecDeque<Pending>,
    bytes_in_progress: usize,
    paused: bool,
    /// Not to be read until the gateway as a whole has less in progress.
    held: bool,
    closing: Option<CloseReason>,
}

#[derive(Debug)]
struct Pending {
    request_bytes: usize,
    state: State,
}

#[derive(Debug)]
enum State {
    Waiting,
    Answered(Reply),
    /// Done, and the protocol wants no answer (`acks=0`).
    Silent,
}

impl Connection {
    pub(super) fn new(id: ConnectionId, listener: usize, peer: IpAddr) -> Self {
        Self {
            id,
            listener,
            peer,
            first: 0,
            queue: VecDeque::new(),
            bytes_in_progress: 0,
            paused: false,
            held: false,
            closing: None,
        }
    }

    /// Whether requests are still taken.
    pub(super) fn is_open(&self) -> bool {
        self.closing.is_none()
    }

    /// Takes note of a request of `bytes` bytes; pauses the connection when it has too much in progress.
    pub(super) fn begin(&mut self, bytes: usize, out: &mut Outbox) -> Slot {
        let slot = Slot(self.first + self.queue.len() as u64);
        self.queue.push_back(Pending { request_bytes: bytes, state: State::Waiting });
        self.bytes_in_progress += bytes;
        self.adjust_flow(out);
        slot
    }

    /// Bytes of the unanswered requests.
    pub(super) fn bytes_in_progress(&self) -> usize {
        self.bytes_in_progress
    }

    /// Reads no more, or again, for the gateway's reasons.
    pub(super) fn hold(&mut self, held: bool, out: &mut Outbox) {
        self.held = held;
        self.adjust_flow(out);
    }

    /// Answers a request; `None` if the protocol wants no answer.
    pub(super) fn finish(&mut self, slot: Slot, reply: Option<Reply>, out: &mut Outbox) {
        let index = slot.0.checked_sub(self.first).expect("a request is answered once");
        let pending = self.queue.get_mut(index as usize).expect("slots are given out in order");
        assert!(matches!(pending.state, State::Waiting), "a request is answered once");
        pending.state = reply.map_or(State::Silent, State::Answered);
        self.send_ready(out);
    }

    /// Takes no more requests; closes once all that came before are answered.
    pub(super) fn close(&mut self, reason: CloseReason, out: &mut Outbox) {
        if self.closing.is_none() {
            self.closing = Some(reason);
            self.maybe_close(out);
        }
    }

    fn send_ready(&mut self, out: &mut Outbox) {
        while let Some(pending) = self.queue.pop_front_if(|pending| !matches!(pending.state, State::Waiting)) {
            self.first += 1;
            self.bytes_in_progress -= pending.request_bytes;
            if let State::Answered(reply) = pending.state {
                out.replies.push((self.id, reply));
            }
        }
        self.adjust_flow(out);
        if self.closing.is_some() {
            self.maybe_close(out);
        }
    }

    /// Pauses and resumes; what was paused for having too much in progress resumes at half of that.
    fn adjust_flow(&mut self, out: &mut Outbox) {
        let must_pause = self.held || self.is_over(if self.paused { 2 } else { 1 });
        if must_pause != self.paused {
            self.paused = must_pause;
            out.flow.push((self.id, if must_pause { Flow::Pause } else { Flow::Resume }));
        }
    }

    fn maybe_close(&self, out: &mut Outbox) {
        if let Some(reason) = self.closing.as_ref().filter(|_| self.queue.is_empty()) {
            out.flow.push((self.id, Flow::Close(reason.clone())));
        }
    }

    /// Whether the connection has more in progress than a `part`-th of what it may.
    fn is_over(&self, part: usize) -> bool {
        self.queue.len() > limits::CONNECTION_REQUESTS_MAX / part
            || self.bytes_in_progress > limits::CONNECTION_REQUEST_BYTES_MAX / part
    }

    /// Asserts the invariants in the module's head.
    pub(super) fn check(&self) {
        let first = self.queue.front();
        assert!(first.is_none_or(|pending| matches!(pending.state, State::Waiting)), "ready answers are sent");
        assert!(self.paused || !(self.held || self.is_over(1)), "a connection over its limit is paused");
        let bytes: usize = self.queue.iter().map(|pending| pending.request_bytes).sum();
        assert_eq!(bytes, self.bytes_in_progress, "bytes in progress are those of the unanswered requests");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outbox::Part;
    use bytes::Bytes;
    use std::net::Ipv4Addr;

    fn reply(text: &'static str) -> Option<Reply> {
        Some(Reply { parts: vec![Part::Bytes(Bytes::from_static(text.as_bytes()))] })
    }

    fn sent(out: &mut Outbox) -> String {
        let parts = out.replies.drain(..).flat_map(|(_, reply)| reply.parts);
        let text = parts.map(|part| match part {
            Part::Bytes(bytes) => String::from_utf8(bytes.to_vec()).unwrap(),
            Part::File(_) => unreachable!("these replies hold no slices"),
        });
        text.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn answers_leave_in_the_order_of_their_requests() {
        let mut out = Outbox::default();
        let mut connection = Connection::new(ConnectionId(1), 0, Ipv4Addr::LOCALHOST.into());
        let slots: Vec<Slot> = (0..4).map(|_| connection.begin(10, &mut out)).collect();
        connection.finish(slots[2], reply("c"), &mut out);
        connection.finish(slots[1], None, &mut out);
        assert_eq!(sent(&mut out), "");
        connection.finish(slots[0], reply("a"), &mut out);
        assert_eq!(sent(&mut out), "a c");
        connection.finish(slots[3], reply("d"), &mut out);
        assert_eq!(sent(&mut out), "d");
        connection.check();
    }

    #[test]
    fn a_connection_with_too_much_in_progress_is_paused_until_half_is_answered() {
        let mut out = Outbox::default();
        let mut connection = Connection::new(ConnectionId(1), 0, Ipv4Addr::LOCALHOST.into());
        let slots: Vec<Slot> = (0..=limits::CONNECTION_REQUESTS_MAX).map(|_| connection.begin(1, &mut out)).collect();
        assert_eq!(out.flow, [(ConnectionId(1), Flow::Pause)]);
        out.flow.clear();
        for &slot in &slots[..limits::CONNECTION_REQUESTS_MAX / 2] {
            connection.finish(slot, None, &mut out);
        }
        assert_eq!(out.flow, []);
        connection.finish(slots[limits::CONNECTION_REQUESTS_MAX / 2], None, &mut out);
        assert_eq!(out.flow, [(ConnectionId(1), Flow::Resume)]);
        connection.check();
    }

    #[test]
    fn a_held_connection_is_paused_until_it_is_let_go() {
        let mut out = Outbox::default();
        let mut connection = Connection::new(ConnectionId(1), 0, Ipv4Addr::LOCALHOST.into());
        connection.hold(true, &mut out);
        let slot = connection.begin(1, &mut out);
        connection.finish(slot, None, &mut out);
        assert_eq!(out.flow, [(ConnectionId(1), Flow::Pause)]);
        connection.hold(false, &mut out);
        assert_eq!(out.flow[1..], [(ConnectionId(1), Flow::Resume)]);
        connection.check();
    }

    #[test]
    fn a_closing_connection_answers_what_came_before() {
        let mut out = Outbox::default();
        let mut connection = Connection::new(ConnectionId(1), 0, Ipv4Addr::LOCALHOST.into());
        let slot = connection.begin(1, &mut out);
        connection.close(CloseReason::Stopping, &mut out);
        assert!(!connection.is_open() && out.flow.is_empty());
        connection.finish(slot, reply("a"), &mut out);
        assert_eq!(sent(&mut out), "a");
        assert_eq!(out.flow, [(ConnectionId(1), Flow::Close(CloseReason::Stopping))]);
    }
}
