//! A whole broker: its shards' threads, its listeners, and the order in which they start and stop.
//!
//! * The controller opens first. Clients are accepted once every shard has recovered.
//! * To stop, the listeners close, the data shards finish and sync, and the controller goes last, since they may need
//!   it until then.
//! * Any other end of a shard ends the process at once: what is not synced does not count, and recovery sorts it out.

use std::io;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use highwater_core::Input;
use highwater_core::config::BrokerConfig;
use highwater_core::ids::ShardId;
use highwater_core::outbox::{Halt, Machine};
use slog::{Logger, error, info};
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::task::{JoinSet, LocalSet};

use crate::acceptor::Acceptor;
use crate::clock::Clock;
use crate::disk::{DirectoryDisk, FileIds};
use crate::exit::Exit;
use crate::limits::ConnectionLimits;
use crate::listeners::Bound;
use crate::shard::{self, ConnectionConfig, Inbox, InboxSender, Message, Report, ShardContext, inbox};

/// How long a broker may take to stop.
const STOP_MAX: Duration = Duration::from_secs(30);

/// What a broker needs besides its machines.
#[derive(Debug)]
pub struct Setup {
    /// Its configuration, with the ports that are bound.
    pub config: Arc<BrokerConfig>,
    /// Its data directory, locked.
    pub root: PathBuf,
    /// How many shards own partitions.
    pub data_shards: u16,
    /// Where it listens.
    pub bound: Vec<Bound>,
    /// The process's clocks.
    pub clock: Clock,
    /// Its log.
    pub log: Logger,
}

/// Opens a shard's machine, on the shard's own thread.
pub trait Open<M>: FnOnce(DirectoryDisk) -> Result<M, Halt> + Send + 'static {}
impl<M, F: FnOnce(DirectoryDisk) -> Result<M, Halt> + Send + 'static> Open<M> for F {}

/// Runs a broker until it halts or `signals` asks it to stop. A second signal ends it at once.
pub fn run<C: Machine, S: Machine, O: Open<S>>(
    setup: Setup,
    open_controller: impl Open<C>,
    open_shard: impl Fn(ShardId) -> O,
) -> io::Result<Exit> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, async {
        let mut signals = Signals::listen()?;
        let (mut broker, inboxes) = Broker::new(&setup);
        let started = broker.start(&setup, inboxes, open_controller, open_shard);
        tokio::select! {
            started = started => if let Err(failure) = started { return Ok(failure.exit(&setup.log)) },
            () = signals.next() => {
                info!(setup.log, "stopped before it was ready");
                return Ok(Exit::Ok);
            }
        }
        Ok(broker.serve(setup, &mut signals).await)
    })
}

struct Broker {
    inboxes: Vec<InboxSender>,
    reports: UnboundedReceiver<Report>,
    reporter: UnboundedSender<Report>,
}

/// Why a broker ended although nobody asked it to.
enum Failure {
    Halted(ShardId, Halt),
    Io(io::Error),
}

impl Failure {
    /// Says on the log what happened.
    fn exit(self, log: &Logger) -> Exit {
        match self {
            Self::Halted(shard, halt) => {
                error!(log, "broker halted: {}", halt; "shard" => shard.0);
                if matches!(halt, Halt::Damaged(_)) { Exit::Damaged } else { Exit::Failed }
            }
            Self::Io(error) => {
                error!(log, "broker cannot start: {}", error);
                Exit::Failed
            }
        }
    }
}

impl Broker {
    fn new(setup: &Setup) -> (Self, Vec<Inbox>) {
        let (senders, receivers) = (0..=setup.data_shards).map(|_| inbox()).unzip();
        let (reporter, reports) = mpsc::unbounded_channel();
        (Self { inboxes: senders, reports, reporter }, receivers)
    }

    async fn start<C: Machine, S: Machine, O: Open<S>>(
        &mut self,
        setup: &Setup,
        inboxes: Vec<Inbox>,
        open_controller: impl Open<C>,
        open_shard: impl Fn(ShardId) -> O,
    ) -> Result<(), Failure> {
        let ids = FileIds::default();
        let mut inboxes = (0..).map(ShardId).zip(inboxes);
        let (id, inbox) = inboxes.next().expect("the controller has an inbox");
        self.spawn(setup, id, inbox, ids.clone(), open_controller)?;
        self.await_reports(|report| matches!(report, Report::Opened(ShardId::CONTROLLER)), 1).await?;
        for (id, inbox) in inboxes {
            self.spawn(setup, id, inbox, ids.clone(), open_shard(id))?;
        }
        self.await_reports(|report| matches!(report, Report::Ready(_)), setup.data_shards).await
    }

    fn spawn<M: Machine>(
        &self,
        setup: &Setup,
        id: ShardId,
        inbox: Inbox,
        ids: FileIds,
        open: impl Open<M>,
    ) -> Result<(), Failure> {
        let context = ShardContext {
            id,
            inbox,
            peers: self.inboxes.clone(),
            reports: self.reporter.clone(),
            root: setup.root.clone(),
            clock: setup.clock,
            connections: ConnectionConfig {
                request_bytes_max: setup.config.socket_request_max_bytes,
                idle_max: setup.config.connections_max_idle,
            },
            log: setup.log.new(slog::o!("shard" => id.0)),
        };
        let disk = DirectoryDisk::new(setup.root.clone(), ids);
        let spawned = thread::Builder::new().name(format!("shard-{id}")).spawn(move || shard::run(open, disk, context));
        spawned.map(drop).map_err(Failure::Io)
    }

    async fn await_reports(&mut self, wanted: impl Fn(&Report) -> bool, mut count: u16) -> Result<(), Failure> {
        while count > 0 {
            match self.report().await {
                Report::Halted(shard, halt) => return Err(Failure::Halted(shard, halt)),
                report if wanted(&report) => count -= 1,
                Report::Opened(_) | Report::Ready(_) => {}
            }
        }
        Ok(())
    }

    async fn report(&mut self) -> Report {
        self.reports.recv().await.expect("the broker holds a sender of its own")
    }

    async fn halted(&mut self) -> (ShardId, Halt) {
        loop {
            match self.report().await {
                Report::Halted(shard, halt) => return (shard, halt),
                Report::Opened(_) | Report::Ready(_) => {}
            }
        }
    }

    /// Accepts clients until a shard halts or a signal asks to stop.
    async fn serve(&mut self, mut setup: Setup, signals: &mut Signals) -> Exit {
        let addresses: Vec<String> = setup.bound.iter().map(|bound| bound.address.to_string()).collect();
        let mut accepting = match self.accept(&mut setup) {
            Ok(accepting) => accepting,
            Err(error) => return Failure::Io(error).exit(&setup.log),
        };
        info!(setup.log, "serving on {}; data in {}", addresses.join(", "), setup.root.display();
            "listening" => addresses.join(","), "data" => setup.root.display().to_string());
        let ended = tokio::select! {
            (shard, halt) = self.halted() => Err(Failure::Halted(shard, halt)),
            Some(_) = accepting.join_next() => unreachable!("an acceptor runs until it is dropped"),
            () = signals.next() => Ok(()),
        };
        drop(accepting);
        match ended {
            Ok(()) => self.stop_or_give_up(&setup, signals).await,
            Err(failure) => failure.exit(&setup.log),
        }
    }

    fn accept(&self, setup: &mut Setup) -> io::Result<JoinSet<()>> {
        let limits = ConnectionLimits::new(setup.config.max_connections, setup.config.max_connections_per_ip);
        let acceptor = Acceptor::new(self.inboxes[1..].to_vec(), limits, setup.log.clone());
        let mut tasks = JoinSet::new();
        for bound in setup.bound.drain(..) {
            let socket = TcpListener::from_std(bound.socket)?;
            tasks.spawn_local(Rc::clone(&acceptor).run(socket, bound.listener));
        }
        Ok(tasks)
    }

    async fn stop_or_give_up(&mut self, setup: &Setup, signals: &mut Signals) -> Exit {
        info!(setup.log, "stopping");
        let stopped = tokio::select! {
            stopped = self.stop(setup.data_shards) => stopped,
            () = tokio::time::sleep(STOP_MAX) => {
                error!(setup.log, "gave up stopping after {} s", STOP_MAX.as_secs());
                return Exit::Failed;
            }
            () = signals.next() => {
                error!(setup.log, "stopped at once by a second signal");
                return Exit::Failed;
            }
        };
        match stopped {
            Ok(()) => {
                info!(setup.log, "stopped");
                Exit::Ok
            }
            Err(failure) => failure.exit(&setup.log),
        }
    }

    async fn stop(&mut self, data_shards: u16) -> Result<(), Failure> {
        self.inboxes[1..].iter().for_each(|inbox| inbox.send(Message::Input(Input::Stop)));
        self.await_stopped(data_shards).await?;
        self.inboxes[0].send(Message::Input(Input::Stop));
        self.await_stopped(1).await
    }

    async fn await_stopped(&mut self, count: u16) -> Result<(), Failure> {
        for _ in 0..count {
            match self.halted().await {
                (_, Halt::Stopped) => {}
                (shard, halt) => return Err(Failure::Halted(shard, halt)),
            }
        }
        Ok(())
    }
}

/// The signals that ask a process to stop.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn listen() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
