//! A client's connection to a broker: requests out, answers back in the same order.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use highwater_core::ids::ConnectionId;
use highwater_wire::{AnyRequest, AnyResponse, ApiKey, RequestMessage};

use super::{Action, Context};
use crate::clock::SimTime;

/// One connection at a time, and what was asked on it. `T` says what a question was about.
#[derive(Debug)]
pub struct Link<T> {
    name: String,
    connection: Option<ConnectionId>,
    connected: bool,
    correlation_id: i32,
    pending: VecDeque<Pending<T>>,
}

#[derive(Debug)]
struct Pending<T> {
    correlation_id: i32,
    api: ApiKey,
    version: i16,
    asked_at: SimTime,
    about: T,
}

/// How long a client that was refused waits before it dials again.
pub const REDIAL_AFTER: Duration = Duration::from_millis(25);

impl<T> Link<T> {
    /// Not connected.
    pub fn new(name: String) -> Self {
        Self { name, connection: None, connected: false, correlation_id: 0, pending: VecDeque::new() }
    }

    /// Who talks.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Dials a broker, unless that was done.
    pub fn dial(&mut self, broker: usize, context: &mut Context<'_>) {
        if self.connection.is_none() {
            self.connection = Some(context.dial(broker));
        }
    }

    /// Whether requests can be sent.
    pub fn is_connected(&self) -> bool {
        self.connected
    }

    /// How many answers are still to come.
    pub fn in_flight(&self) -> usize {
        self.pending.len()
    }

    /// When the oldest question was asked that has no answer yet, and to which API.
    pub fn oldest(&self) -> Option<(SimTime, ApiKey)> {
        self.pending.front().map(|pending| (pending.asked_at, pending.api))
    }

    /// The connection is open, if it is this one.
    pub fn connected(&mut self, id: ConnectionId) -> bool {
        self.connected |= self.connection == Some(id);
        self.connection == Some(id)
    }

    /// Asks something.
    pub fn ask<R: RequestMessage + Into<AnyRequest>>(
        &mut self,
        request: R,
        version: i16,
        about: T,
        context: &mut Context<'_>,
    ) {
        let bytes = self.encode(request.into(), version, context);
        let pending =
            Pending { correlation_id: self.correlation_id, api: R::KEY, version, asked_at: context.now, about };
        self.pending.push_back(pending);
        self.send(bytes, context);
    }

    /// Says something that is never answered.
    pub fn say<R: RequestMessage + Into<AnyRequest>>(&mut self, request: R, version: i16, context: &mut Context<'_>) {
        let bytes = self.encode(request.into(), version, context);
        self.send(bytes, context);
    }

    /// Sends bytes as they are.
    pub fn send(&mut self, bytes: Bytes, context: &mut Context<'_>) {
        assert!(self.connected, "{} sends before it is connected", self.name);
        let id = self.connection.expect("what is connected has a connection");
        context.actions.push(Action::Send(id, bytes));
    }

    fn encode(&mut self, request: AnyRequest, version: i16, context: &mut Context<'_>) -> Bytes {
        self.correlation_id += 1;
        context.trace.tell(context.now, &self.name, || format!("asks {} v{version}", request.key()));
        let frame = request.encode_frame(version, self.correlation_id, Some(&self.name));
        frame.expect("a client sends what its version can say").bytes
    }

    /// Takes the answer out of a frame and says what it is about. An answer that breaks the protocol is a violation.
    pub fn answer(&mut self, id: ConnectionId, frame: &Bytes, context: &mut Context<'_>) -> Option<(T, AnyResponse)> {
        if self.connection != Some(id) {
            return None;
        }
        let Some(pending) = self.pending.pop_front() else {
            context.oracle.require(false, "Answers", || format!("{} is answered what it never asked", self.name));
            return None;
        };
        let Pending { correlation_id, api, version, about, .. } = pending;
        match AnyResponse::decode_frame(frame, api, version) {
            Ok((answered, response)) if answered == correlation_id => {
                context.trace.tell(context.now, &self.name, || format!("is answered {api} v{version}"));
                Some((about, response))
            }
            Ok((answered, _)) => {
                let witness = || format!("{} {api} v{version}: asked {correlation_id}, answered {answered}", self.name);
                context.oracle.require(false, "Answers", witness);
                None
            }
            Err(error) => {
                context.oracle.require(false, "Answers", || format!("{} {api} v{version}: {error}", self.name));
                None
            }
        }
    }

    /// The connection is gone, if it is this one; returns what was never answered.
    pub fn closed(&mut self, id: ConnectionId) -> Option<Vec<T>> {
        (self.connection == Some(id)).then(|| self.forget())
    }

    /// Gives the connection up and returns what was never answered. With `abandon`, what was sent may still arrive
    /// within that time.
    pub fn hang_up(&mut self, abandon: Option<Duration>, context: &mut Context<'_>) -> Vec<T> {
        if let Some(id) = self.connection {
            context.actions.push(match abandon {
                Some(after) => Action::Abandon(id, after),
                None => Action::Close(id),
            });
        }
        self.forget()
    }

    fn forget(&mut self) -> Vec<T> {
        self.connection = None;
        self.connected = false;
        self.pending.drain(..).map(|pending| pending.about).collect()
    }
}
