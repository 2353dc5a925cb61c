//! What a shard's loop and the task of one of its connections share.

use std::cell::{Cell, RefCell};
use std::task::Waker;

use highwater_core::outbox::{CloseReason, Flow, Reply};
use tokio::time::Instant;

use super::writer::Writer;

/// One connection, as its shard's loop sees it.
#[derive(Debug)]
pub struct Link {
    pub(super) writer: RefCell<Writer>,
    pub(super) paused: Cell<bool>,
    pub(super) closing: RefCell<Option<Closing>>,
    /// When a byte last came or went.
    pub(super) active_at: Cell<Instant>,
    /// Since when a large frame in progress has had room reserved.
    pub(super) large_frame_since: Cell<Option<Instant>>,
    task: RefCell<Option<Waker>>,
}

/// Why a connection ends although its client did not end it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Closing {
    /// The core wants it, once what is queued has been sent.
    #[error("{0}")]
    Core(CloseReason),
    /// Nothing has moved for `connections.max.idle.ms`.
    #[error("idle for longer than connections.max.idle.ms")]
    Idle,
    /// Others wait for the room that its unfinished request holds.
    #[error("a large request arrives too slowly while others wait for its memory")]
    Slow,
}

impl Link {
    /// A connection on which nothing has happened yet.
    pub fn new() -> Self {
        Self {
            writer: RefCell::default(),
            paused: Cell::new(false),
            closing: RefCell::new(None),
            active_at: Cell::new(Instant::now()),
            large_frame_since: Cell::new(None),
            task: RefCell::new(None),
        }
    }

    /// Queues an answer.
    pub fn reply(&self, reply: Reply) {
        self.writer.borrow_mut().push(reply);
        self.wake();
    }

    /// Changes how the connection is read.
    pub fn flow(&self, flow: Flow) {
        match flow {
            Flow::Pause => self.paused.set(true),
            Flow::Resume => self.paused.set(false),
            Flow::Close(reason) => {
                self.closing.borrow_mut().get_or_insert(Closing::Core(reason));
            }
        }
        self.wake();
    }

    /// Closes the connection if nothing has moved on it since `limit`.
    pub fn close_if_idle_since(&self, limit: Instant) {
        if self.active_at.get() < limit {
            self.close_now(Closing::Idle);
        }
    }

    /// Closes the connection if it has held room for a large frame since `limit`.
    pub fn close_if_slow_since(&self, limit: Instant) {
        if self.large_frame_since.get().is_some_and(|since| since < limit) {
            self.close_now(Closing::Slow);
        }
    }

    fn close_now(&self, why: Closing) {
        *self.closing.borrow_mut() = Some(why);
        self.wake();
    }

    pub(super) fn register(&self, waker: &Waker) {
        let mut task = self.task.borrow_mut();
        match &mut *task {
            Some(known) => known.clone_from(waker),
            None => *task = Some(waker.clone()),
        }
    }

    fn wake(&self) {
        if let Some(task) = &*self.task.borrow() {
            task.wake_by_ref();
        }
    }
}

impl Default for Link {
    fn default() -> Self {
        Self::new()
    }
}
