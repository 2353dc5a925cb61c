//! The answers of one connection, on their way out in order.
//!
//! Invariants:
//! * A slow client delays nobody: what its socket does not take at once waits here.
//! * A shard's thread does not wait for a disk: file bytes outside the page cache are read on another thread.

use std::collections::VecDeque;
use std::fs::File;
use std::future::Future as _;
use std::io::{self, IoSlice, IoSliceMut};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use highwater_core::disk::FileSlice;
use highwater_core::outbox::{Part, Reply};
use rustix::io::{Errno, ReadWriteFlags};
use tokio::task::JoinHandle;

use crate::disk::OpenFile;
use crate::socket::Socket;

/// Slices of one vectored write.
const SLICES_PER_WRITE: usize = 64;
/// File bytes that one call sends or reads, so that others have their turn.
const FILE_BYTES_PER_CALL: u64 = 256 * 1024;
/// File parts up to this size are copied: a second system call would cost more than the copy.
const COPIED_BYTES_MAX: u64 = 16 * 1024;

/// Why answers cannot be sent.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// The connection is broken.
    #[error(transparent)]
    Socket(io::Error),
    /// A log cannot be read.
    #[error("cannot read a log: {0}")]
    File(io::Error),
}

/// What a connection still has to send.
#[derive(Debug, Default)]
pub struct Writer {
    parts: VecDeque<Part>,
    /// The sum of the parts' lengths.
    queued: u64,
    /// The first part's next bytes, on their way from the disk.
    reading: Option<JoinHandle<io::Result<Bytes>>>,
}

impl Writer {
    /// Queues a whole answer.
    pub fn push(&mut self, reply: Reply) {
        for part in reply.parts {
            self.queued += part.len();
            if !part.is_empty() {
                self.parts.push_back(part);
            }
        }
    }

    /// Bytes that wait to be sent.
    pub fn queued(&self) -> u64 {
        self.queued
    }

    /// Sends until nothing is left (`Ready(Ok)`) or the socket takes no more for now. Returns through `sent` whether
    /// any byte left.
    pub fn poll_send_all(
        &mut self,
        cx: &mut Context<'_>,
        socket: &Socket,
        sent: &mut bool,
    ) -> Poll<Result<(), SendError>> {
        loop {
            ready!(self.poll_file_read(cx)).map_err(SendError::File)?;
            let count = match self.parts.front() {
                None => return Poll::Ready(Ok(())),
                Some(Part::Bytes(_)) => ready!(self.poll_send_bytes(cx, socket)).map_err(SendError::Socket)?,
                Some(Part::File(slice)) => {
                    let slice = FileSlice { len: slice.len.min(FILE_BYTES_PER_CALL), ..slice.clone() };
                    if !is_cached(&slice).map_err(SendError::File)? {
                        self.reading = Some(tokio::task::spawn_blocking(move || read(&slice)));
                        continue;
                    }
                    if slice.len <= COPIED_BYTES_MAX {
                        self.replace_front_of_file(read(&slice).map_err(SendError::File)?);
                        continue;
                    }
                    ready!(poll_send_file(cx, socket, &slice))?
                }
            };
            *sent = true;
            self.advance(count);
        }
    }

    /// Puts the bytes that a read has brought in front of the file part that they come from.
    fn poll_file_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(reading) = &mut self.reading else { return Poll::Ready(Ok(())) };
        let outcome = ready!(Pin::new(reading).poll(cx));
        self.reading = None;
        let bytes = outcome.expect("reading a file does not panic, and the runtime outlives its connections")?;
        self.replace_front_of_file(bytes);
        Poll::Ready(Ok(()))
    }

    fn replace_front_of_file(&mut self, bytes: Bytes) {
        let Some(Part::File(slice)) = self.parts.front_mut() else { panic!("only a file part is read") };
        slice.pos += bytes.len() as u64;
        slice.len -= bytes.len() as u64;
        if slice.len == 0 {
            self.parts.pop_front();
        }
        self.parts.push_front(Part::Bytes(bytes));
    }

    fn poll_send_bytes(&self, cx: &mut Context<'_>, socket: &Socket) -> Poll<io::Result<u64>> {
        let mut slices = [IoSlice::new(&[]); SLICES_PER_WRITE];
        let mut count = 0;
        for part in self.parts.iter().take(SLICES_PER_WRITE) {
            let Part::Bytes(bytes) = part else { break };
            slices[count] = IoSlice::new(bytes);
            count += 1;
        }
        let more = count < self.parts.len();
        socket.poll_write(cx, &slices[..count], more).map_ok(|sent| sent as u64)
    }

    /// Forgets `count` bytes that were sent.
    fn advance(&mut self, mut count: u64) {
        self.queued -= count;
        while count > 0 {
            let part = self.parts.front_mut().expect("no more is sent than was queued");
            let step = count.min(part.len());
            count -= step;
            match part {
                Part::Bytes(bytes) => bytes.advance(usize::try_from(step).expect("a part lies in memory")),
                Part::File(slice) => {
                    slice.pos += step;
                    slice.len -= step;
                }
            }
            if part.is_empty() {
                self.parts.pop_front();
            }
        }
    }
}

fn poll_send_file(cx: &mut Context<'_>, socket: &Socket, slice: &FileSlice) -> Poll<Result<u64, SendError>> {
    let len = usize::try_from(slice.len).expect("one call's bytes fit");
    let sent = ready!(socket.poll_send_file(cx, OpenFile::of(&slice.bytes).file(), slice.pos, len));
    Poll::Ready(match sent {
        Ok(0) => Err(SendError::File(io::ErrorKind::UnexpectedEof.into())),
        Ok(sent) => Ok(sent as u64),
        // `sendfile` reports what went wrong with the file as `EIO` alone.
        Err(error) if error.raw_os_error() == Some(Errno::IO.raw_os_error()) => Err(SendError::File(error)),
        Err(error) => Err(SendError::Socket(error)),
    })
}

fn read(slice: &FileSlice) -> io::Result<Bytes> {
    let mut bytes = vec![0; usize::try_from(slice.len).expect("one call's bytes fit")];
    slice.bytes.read_exact_at(slice.pos, &mut bytes)?;
    Ok(bytes.into())
}

/// Whether a slice's ends are in the page cache, which says enough about what lies between: read-ahead and eviction
/// work on longer runs than one call sends.
fn is_cached(slice: &FileSlice) -> io::Result<bool> {
    let file = OpenFile::of(&slice.bytes).file();
    Ok(is_byte_cached(file, slice.pos)? && is_byte_cached(file, slice.pos + slice.len - 1)?)
}

fn is_byte_cached(file: &File, pos: u64) -> io::Result<bool> {
    let mut byte = [0];
    match rustix::io::preadv2(file, &mut [IoSliceMut::new(&mut byte)], pos, ReadWriteFlags::NOWAIT) {
        Ok(_) => Ok(true),
        Err(Errno::AGAIN) => Ok(false),
        // A file system that cannot tell: it is read like any other.
        Err(Errno::OPNOTSUPP) => Ok(true),
        Err(errno) => Err(errno.into()),
    }
}
