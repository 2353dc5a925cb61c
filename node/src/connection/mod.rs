//! One client's connection: bytes in, frames to the shard's machine, answers out.
//!
//! A connection is one task of its shard's thread. It decides nothing about requests; it only stops reading when the
//! core says so, when its client does not take its answers, or when the shard has frames enough to work on.
//!
//! Invariants:
//! * A connection between frames holds no buffer: all connections of a shard read into one.
//! * One turn of the task reads at most `BYTES_PER_TURN`.
//! * The machine hears `Opened` first, `Closed` last, each exactly once.

mod budget;
mod link;
mod writer;

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use highwater_core::gateway::{FrameError, FrameReader};
use highwater_core::ids::ConnectionId;
use highwater_core::outbox::ConnectionInput;
use tokio::time::Instant;

pub use self::budget::FrameBudget;
use self::budget::{Reservation, SMALL_FRAME_BYTES};
pub use self::link::{Closing, Link};
pub use self::writer::SendError;
use crate::limits::ConnectionPermit;
use crate::shard::FrameQueue;
use crate::socket::Socket;

/// Bytes that one connection may read before others have their turn.
const BYTES_PER_TURN: usize = 1024 * 1024;
/// Unsent answers beyond which a connection is not read: its client must take some first.
const UNSENT_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// Bodies that lack at least this much are read into their own buffer.
const DIRECT_BYTES_MIN: usize = 32 * 1024;
/// The buffer that all connections of a shard read into.
const SCRATCH_BYTES: usize = 64 * 1024;

/// The read buffer of a shard.
pub type Scratch = Rc<RefCell<Box<[u8]>>>;

/// A read buffer for one shard.
pub fn scratch() -> Scratch {
    Rc::new(RefCell::new(vec![0; SCRATCH_BYTES].into_boxed_slice()))
}

/// How a connection ended.
#[derive(Debug, thiserror::Error)]
pub enum Ended {
    /// The client closed it.
    #[error("closed by the client")]
    ByClient,
    /// This side closed it.
    #[error(transparent)]
    Here(#[from] Closing),
    /// It sent a frame that cannot be read.
    #[error(transparent)]
    BadFrame(#[from] FrameError),
    /// The network failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// An answer could not be sent.
    #[error(transparent)]
    Send(#[from] SendError),
}

/// The task's side of a connection.
#[derive(Debug)]
pub struct Connection {
    /// Its id.
    pub id: ConnectionId,
    /// Its socket.
    pub socket: Socket,
    /// The frame in progress.
    pub reader: FrameReader,
    /// What it shares with the shard's loop.
    pub link: Rc<Link>,
    /// Where its frames go.
    pub frames: Rc<FrameQueue>,
    /// What it reads into.
    pub scratch: Scratch,
    /// Its place among all connections.
    pub permit: ConnectionPermit,
    /// Where room for large frames comes from.
    pub budget: Rc<FrameBudget>,
    /// Room for the frame in progress, if that is a large one.
    pub reservation: Option<Reservation>,
}

impl Connection {
    /// Serves the connection until it ends, and says how.
    pub async fn run(mut self) -> Ended {
        let ended = poll_fn(|cx| self.poll(cx)).await;
        self.frames.push(self.id, ConnectionInput::Closed);
        ended
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Ended> {
        self.link.register(cx.waker());
        match self.poll_serve(cx) {
            Poll::Ready(Ok(never)) => match never {},
            Poll::Ready(Err(ended)) => Poll::Ready(ended),
            Poll::Pending => Poll::Pending,
        }
    }

    fn poll_serve(&mut self, cx: &mut Context<'_>) -> Poll<Result<std::convert::Infallible, Ended>> {
        let sent = self.poll_send(cx)?;
        if let Some(closing) = &*self.link.closing.borrow() {
            let may_flush = matches!(closing, Closing::Core(_));
            if may_flush && sent.is_pending() {
                return Poll::Pending;
            }
            return Poll::Ready(Err(closing.clone().into()));
        }
        let mut read = 0;
        while self.may_read(cx) {
            read += ready!(self.poll_read(cx))?;
            self.link.active_at.set(Instant::now());
            if read >= BYTES_PER_TURN {
                cx.waker().wake_by_ref();
                break;
            }
        }
        Poll::Pending
    }

    fn poll_send(&mut self, cx: &mut Context<'_>) -> Result<Poll<()>, SendError> {
        let mut moved = false;
        let sent = self.link.writer.borrow_mut().poll_send_all(cx, &self.socket, &mut moved);
        if moved {
            self.link.active_at.set(Instant::now());
        }
        match sent {
            Poll::Ready(Ok(())) => Ok(Poll::Ready(())),
            Poll::Ready(Err(error)) => Err(error),
            Poll::Pending => Ok(Poll::Pending),
        }
    }

    fn may_read(&mut self, cx: &Context<'_>) -> bool {
        !self.link.paused.get()
            && self.link.writer.borrow().queued() < UNSENT_BYTES_MAX
            && self.frames.has_room_or_wakes(cx.waker())
            && self.has_room_for_frame(cx)
    }

    /// Whether the frame in progress may grow: a large one needs room for all of it first.
    fn has_room_for_frame(&mut self, cx: &Context<'_>) -> bool {
        let len = self.reader.frame_len();
        if len <= SMALL_FRAME_BYTES {
            self.reservation = None;
            self.link.large_frame_since.set(None);
            return true;
        }
        if self.reservation.is_none() {
            self.reservation = self.budget.reserve_or_wake(len, cx.waker());
            self.link.large_frame_since.set(self.reservation.is_some().then(Instant::now));
        }
        self.reservation.is_some()
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize, Ended>> {
        let missing = self.reader.missing();
        if missing >= DIRECT_BYTES_MIN {
            let read = ready!(self.socket.poll_read_into(cx, self.reader.body_mut(), missing))?;
            if let Some(frame) = self.reader.take_whole() {
                self.frames.push(self.id, ConnectionInput::Frame(frame));
            }
            return Poll::Ready(if read == 0 { Err(Ended::ByClient) } else { Ok(read) });
        }
        let mut scratch = self.scratch.borrow_mut();
        let read = ready!(self.socket.poll_read(cx, &mut scratch))?;
        let mut rest = &scratch[..read];
        while let Some(frame) = self.reader.next(&mut rest)? {
            self.frames.push(self.id, ConnectionInput::Frame(frame));
        }
        Poll::Ready(if read == 0 { Err(Ended::ByClient) } else { Ok(read) })
    }
}
