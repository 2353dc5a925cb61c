//! A connected socket: the only place that reads, writes and sends files by descriptor.
//!
//! A world without descriptors (a simulated network) replaces this module and nothing else.

use std::fs::File;
use std::io::{self, IoSlice};
use std::net::TcpStream as StdStream;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{BufMut as _, BytesMut};
use rustix::net::{SendAncillaryBuffer, SendFlags, sockopt};
use tokio::io::{AsyncRead as _, Interest, ReadBuf};
use tokio::net::TcpStream;

/// After this long without a sign of the other end, the kernel begins to ask for one.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(60);
/// How long it waits between two questions.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
/// How many unanswered questions end the connection.
const KEEPALIVE_PROBES: u32 = 6;

/// A client's connection.
#[derive(Debug)]
pub struct Socket(TcpStream);

impl Socket {
    /// Takes over a non-blocking socket; answers leave at once, and a vanished client is noticed.
    ///
    /// # Errors
    /// The operating system refuses an option or the registration.
    pub fn new(socket: StdStream) -> io::Result<Self> {
        sockopt::set_tcp_nodelay(&socket, true)?;
        sockopt::set_socket_keepalive(&socket, true)?;
        sockopt::set_tcp_keepidle(&socket, KEEPALIVE_IDLE)?;
        sockopt::set_tcp_keepintvl(&socket, KEEPALIVE_INTERVAL)?;
        sockopt::set_tcp_keepcnt(&socket, KEEPALIVE_PROBES)?;
        TcpStream::from_std(socket).map(Self)
    }

    /// Reads what is there into `buffer`; 0 means that the other end sends nothing more.
    pub fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut buffer = ReadBuf::new(buffer);
        ready!(Pin::new(&mut self.0).poll_read(cx, &mut buffer))?;
        Poll::Ready(Ok(buffer.filled().len()))
    }

    /// Reads what is there, at most `len_max` bytes, behind what `body` holds, without growing it.
    pub fn poll_read_into(
        &mut self,
        cx: &mut Context<'_>,
        body: &mut BytesMut,
        len_max: usize,
    ) -> Poll<io::Result<usize>> {
        let room = len_max.min(body.capacity() - body.len());
        loop {
            ready!(self.0.poll_read_ready(cx))?;
            match self.0.try_read_buf(&mut (&mut *body).limit(room)) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                other => return Poll::Ready(other),
            }
        }
    }

    /// Writes some of `slices`; with `more`, the kernel may wait for what follows before it sends a last small packet.
    pub fn poll_write(&self, cx: &mut Context<'_>, slices: &[IoSlice<'_>], more: bool) -> Poll<io::Result<usize>> {
        let flags = SendFlags::NOSIGNAL | if more { SendFlags::MORE } else { SendFlags::empty() };
        self.poll_send(cx, |socket| {
            Ok(rustix::net::sendmsg(socket, slices, &mut SendAncillaryBuffer::default(), flags)?)
        })
    }

    /// Sends some of the `len` bytes of `file` from `pos` on; 0 means that the file ends there.
    pub fn poll_send_file(&self, cx: &mut Context<'_>, file: &File, pos: u64, len: usize) -> Poll<io::Result<usize>> {
        self.poll_send(cx, |socket| {
            let mut pos = pos;
            Ok(rustix::fs::sendfile(socket, file, Some(&mut pos), len)?)
        })
    }

    fn poll_send(
        &self,
        cx: &mut Context<'_>,
        mut send: impl FnMut(&TcpStream) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.0.poll_write_ready(cx))?;
            match self.0.try_io(Interest::WRITABLE, || send(&self.0)) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => return Poll::Ready(other),
            }
        }
    }
}
