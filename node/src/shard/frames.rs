//! What the connections of a shard have for its machine.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::task::Waker;

use highwater_core::Input;
use highwater_core::ids::ConnectionId;
use highwater_core::outbox::ConnectionInput;
use tokio::sync::Notify;

/// Frames that may wait for the machine before its connections read no more.
const FRAMES_MAX: usize = 1024;
/// Their bytes.
const FRAME_BYTES_MAX: usize = 32 * 1024 * 1024;

/// A queue within one thread: many connections, one machine. Each connection may overshoot the limits by one turn.
#[derive(Debug, Default)]
pub struct FrameQueue {
    inputs: RefCell<VecDeque<(ConnectionId, ConnectionInput)>>,
    bytes: Cell<usize>,
    filled: Notify,
    waiting: RefCell<Vec<Waker>>,
}

impl FrameQueue {
    /// Adds what happened on a connection.
    pub fn push(&self, connection: ConnectionId, input: ConnectionInput) {
        self.bytes.set(self.bytes.get() + bytes_of(&input));
        self.inputs.borrow_mut().push_back((connection, input));
        self.filled.notify_one();
    }

    /// Whether a connection may read; if not, wakes it when that has changed.
    pub fn has_room_or_wakes(&self, waker: &Waker) -> bool {
        let has_room = self.inputs.borrow().len() < FRAMES_MAX && self.bytes.get() < FRAME_BYTES_MAX;
        if !has_room {
            self.waiting.borrow_mut().push(waker.clone());
        }
        has_room
    }

    /// Waits until something was added.
    pub async fn filled(&self) {
        if self.inputs.borrow().is_empty() {
            self.filled.notified().await;
        }
    }

    /// Moves everything into `batch` and lets the connections read on.
    pub fn take_all(&self, batch: &mut Vec<Input>) {
        let inputs = std::mem::take(&mut *self.inputs.borrow_mut());
        batch.extend(inputs.into_iter().map(|(connection, input)| Input::Connection(connection, input)));
        self.bytes.set(0);
        self.waiting.borrow_mut().drain(..).for_each(Waker::wake);
    }
}

fn bytes_of(input: &ConnectionInput) -> usize {
    match input {
        ConnectionInput::Frame(frame) => frame.len(),
        ConnectionInput::Opened { .. } | ConnectionInput::Closed => 0,
    }
}
