//! The shell around a machine that answers every frame with itself, or with bytes of a file.

#![allow(clippy::unwrap_used)]

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use bytes::Bytes;
use highwater::broker::{self, Setup};
use highwater::clock::Clock;
use highwater::disk::DirectoryDisk;
use highwater::exit::Exit;
use highwater::listeners;
use highwater_core::config::BrokerConfig;
use highwater_core::disk::{Disk, FileSlice, LogPath, OpenMode, Pin};
use highwater_core::event::Event;
use highwater_core::ids::{ShardId, SyncToken};
use highwater_core::outbox::{ConnectionInput, Halt, Machine, Part, Reason, Reply, SyncRequest};
use highwater_core::time::Instant;
use highwater_core::{Input, Now, Outbox};

const FILE_BYTES: usize = 3_000_000;

/// Answers a frame with itself, and `file` with a file of [`FILE_BYTES`], in both cases only after a sync.
struct Echo {
    file: Pin,
    ready: bool,
    syncs: u64,
    parked: Vec<(SyncToken, highwater_core::ids::ConnectionId, Reply)>,
}

impl Echo {
    fn open(shard: ShardId, mut disk: DirectoryDisk) -> Self {
        let file = disk.open(&LogPath::root().join(&format!("file-{shard}")), OpenMode::New).unwrap();
        disk.append(file, &[&pattern(FILE_BYTES)]).unwrap();
        Self { file: disk.pin(file), ready: false, syncs: 0, parked: Vec::new() }
    }

    fn reply(&self, frame: Bytes) -> Reply {
        let body = match &frame[..] {
            b"file" => Part::File(FileSlice { bytes: Pin::clone(&self.file), pos: 0, len: FILE_BYTES as u64 }),
            _ => Part::Bytes(frame),
        };
        let prefix = u32::try_from(body.len()).unwrap().to_be_bytes();
        Reply { parts: vec![Part::Bytes(Bytes::copy_from_slice(&prefix)), body] }
    }
}

impl Machine for Echo {
    fn handle(&mut self, _: Now, input: Input, out: &mut Outbox) {
        match input {
            Input::Connection(connection, ConnectionInput::Frame(frame)) => {
                let token = SyncToken(self.syncs);
                self.syncs += 1;
                self.parked.push((token, connection, self.reply(frame)));
                out.syncs.push(SyncRequest {
                    token,
                    files: vec![Pin::clone(&self.file)],
                    directories: vec![LogPath::root()],
                });
            }
            Input::Synced { token, result } => {
                result.unwrap();
                let (expected, connection, reply) = self.parked.remove(0);
                assert_eq!(token, expected, "syncs are answered in order");
                out.replies.push((connection, reply));
            }
            Input::Timeout => {
                self.ready = true;
                out.events.push(Event::Ready);
            }
            Input::Stop => out.halt(Halt::Stopped),
            Input::Connection(..) | Input::Shard(..) | Input::JobDone { .. } => {}
        }
    }

    fn poll_timeout(&self) -> Option<(Instant, Reason)> {
        (!self.ready).then_some((Instant(0), "not ready yet"))
    }
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at * 31 % 251) as u8).collect()
}

fn start(root: &Path) -> (SocketAddr, JoinHandle<Exit>) {
    let settings = [("listeners", "PLAINTEXT://127.0.0.1:0", "test"), ("connections.max.idle.ms", "1000", "test")];
    let mut config = BrokerConfig::from_pairs(settings).unwrap();
    let bound = listeners::bind(&mut config.listeners).unwrap();
    let address = bound[0].address;
    let log = slog::Logger::root(slog::Discard, slog::o!());
    let config = Arc::new(config);
    let setup = Setup { config, root: root.to_owned(), data_shards: 2, bound, clock: Clock::start(), log };
    let broker = thread::spawn(move || {
        let open = |shard| move |disk| Ok(Echo::open(shard, disk));
        broker::run(setup, open(ShardId::CONTROLLER), open).unwrap()
    });
    (address, broker)
}

fn send(stream: &mut TcpStream, body: &[u8]) {
    stream.write_all(&u32::try_from(body.len()).unwrap().to_be_bytes()).unwrap();
    stream.write_all(body).unwrap();
}

fn receive(stream: &mut TcpStream) -> Vec<u8> {
    let mut prefix = [0; 4];
    stream.read_exact(&mut prefix).unwrap();
    let mut body = vec![0; u32::from_be_bytes(prefix) as usize];
    stream.read_exact(&mut body).unwrap();
    body
}

/// Whether the other side has closed, after whatever it still had to say.
fn is_closed(stream: &mut TcpStream) -> bool {
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    match stream.read_to_end(&mut Vec::new()) {
        Ok(_) => true,
        Err(error) => error.kind() == ErrorKind::ConnectionReset,
    }
}

/// One test, because a signal reaches every broker of the process.
#[test]
fn a_machine_is_served_over_sockets_until_a_signal_stops_it() {
    let root = tempfile::tempdir().unwrap();
    let (address, broker) = start(root.path());
    let connect = || TcpStream::connect(address).unwrap();

    // Pipelined frames of all sizes come back in order.
    let mut client = connect();
    let frames: Vec<_> = [0, 1, 4, 100, 70_000, 5_000_000, 2].map(pattern).into_iter().collect();
    thread::scope(|scope| {
        let mut writing = client.try_clone().unwrap();
        let frames = &frames;
        scope.spawn(move || frames.iter().for_each(|frame| send(&mut writing, frame)));
        frames.iter().for_each(|frame| assert!(receive(&mut client) == *frame, "a frame of {} bytes", frame.len()));
    });

    // A client that takes nothing delays nobody, and gets everything once it reads.
    let mut slow = connect();
    (0..20).for_each(|_| send(&mut slow, b"file"));
    send(&mut client, b"quick");
    assert_eq!(receive(&mut client), b"quick");
    (0..20).for_each(|_| assert!(receive(&mut slow) == pattern(FILE_BYTES)));

    // Bad lengths close their connection, and no other.
    for prefix in [[0xff, 0xff, 0xff, 0xff], [0x7f, 0xff, 0xff, 0xff]] {
        let mut bad = connect();
        bad.write_all(&prefix).unwrap();
        assert!(is_closed(&mut bad), "a length of {prefix:?} is refused");
    }
    send(&mut client, b"unharmed");
    assert_eq!(receive(&mut client), b"unharmed");

    // A client that has gone half-way is let go; so is one that says nothing.
    let half_open = connect();
    half_open.shutdown(Shutdown::Write).unwrap();
    assert!(is_closed(&mut { half_open }), "nothing more can come from a half-open connection");
    assert!(is_closed(&mut connect()), "an idle connection is closed after connections.max.idle.ms");

    rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::TERM).unwrap();
    assert_eq!(broker.join().unwrap(), Exit::Ok);
    assert!(is_closed(&mut client));
    assert!(TcpStream::connect(address).is_err(), "a stopped broker does not listen");
}
