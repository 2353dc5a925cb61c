//! One TCP connection of a session.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use highwater_core::client::Address;
use highwater_core::gateway::FrameReader;
use highwater_core::ids::ConnectionId;
use highwater_core::limits::RESPONSE_BYTES_MAX;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpStream, lookup_host};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::timeout;

/// How long one of several addresses of a host may take to answer.
const ADDRESS_TIMEOUT: Duration = Duration::from_secs(5);

/// Bytes that are read at once between large frames.
const READ_BYTES: usize = 64 * 1024;

/// What happens on a connection.
#[derive(Debug)]
pub enum Event {
    Connected,
    Frame(Bytes),
    Closed(String),
}

/// A connection, or an attempt; dropping it closes it.
#[derive(Debug)]
pub struct Link {
    frames: mpsc::UnboundedSender<Bytes>,
    task: AbortHandle,
}

type Events = mpsc::Sender<(ConnectionId, Event)>;

impl Link {
    /// Starts connecting.
    pub fn open(connection: ConnectionId, address: Address, events: Events) -> Self {
        // The machine keeps few requests in flight, so the queue needs no bound of its own.
        let (frames, outgoing) = mpsc::unbounded_channel();
        let task = tokio::spawn(async move {
            let reason = match run(connection, &address, outgoing, &events).await {
                Ok(()) => "the broker closed the connection".to_owned(),
                Err(error) => error.to_string(),
            };
            // Nobody listens once the session is gone.
            let _ = events.send((connection, Event::Closed(reason))).await;
        });
        Self { frames, task: task.abort_handle() }
    }

    /// Queues a frame.
    pub fn send(&self, frame: Bytes) {
        // Fails only where the task has ended, which it reports itself.
        let _ = self.frames.send(frame);
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn run(
    connection: ConnectionId,
    address: &Address,
    outgoing: mpsc::UnboundedReceiver<Bytes>,
    events: &Events,
) -> io::Result<()> {
    let stream = connect(address).await?;
    stream.set_nodelay(true)?;
    let (reader, writer) = stream.into_split();
    let _ = events.send((connection, Event::Connected)).await;
    tokio::select! {
        read = read_frames(connection, reader, events) => read,
        written = write_frames(writer, outgoing) => written,
    }
}

/// Tries all addresses of a host: `localhost` may be an IPv6 address where the broker listens on IPv4 only.
async fn connect(address: &Address) -> io::Result<TcpStream> {
    let resolved: Vec<SocketAddr> = lookup_host((address.host.as_str(), address.port)).await?.collect();
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
    for candidate in resolved {
        match timeout(ADDRESS_TIMEOUT, TcpStream::connect(candidate)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => last = error,
            Err(_) => last = io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {ADDRESS_TIMEOUT:?}")),
        }
    }
    Err(last)
}

async fn read_frames(connection: ConnectionId, mut stream: OwnedReadHalf, events: &Events) -> io::Result<()> {
    let mut frames = FrameReader::new(RESPONSE_BYTES_MAX);
    let mut buffer = vec![0; READ_BYTES];
    loop {
        let read = stream.read(&mut buffer).await?;
        if read == 0 {
            return Ok(());
        }
        let mut rest = &buffer[..read];
        while let Some(frame) = frames.next(&mut rest).map_err(io::Error::other)? {
            deliver(connection, frame, events).await;
        }
        // The rest of a large frame goes straight to its place.
        while frames.missing() > 0 {
            let missing = frames.missing() as u64;
            if (&mut stream).take(missing).read_buf(frames.body_mut()).await? == 0 {
                return Ok(());
            }
            if let Some(frame) = frames.take_whole() {
                deliver(connection, frame, events).await;
            }
        }
    }
}

async fn deliver(connection: ConnectionId, frame: Bytes, events: &Events) {
    let _ = events.send((connection, Event::Frame(frame))).await;
}

async fn write_frames(mut stream: OwnedWriteHalf, mut outgoing: mpsc::UnboundedReceiver<Bytes>) -> io::Result<()> {
    while let Some(frame) = outgoing.recv().await {
        stream.write_all(&frame).await?;
    }
    Ok(())
}
