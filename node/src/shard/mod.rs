//! One shard's thread: its machine, its connections, and the loop that drives them.
//!
//! The loop takes a batch of inputs, lets the machine handle each, then everything that is due, then carries the outbox
//! out once. One sync covers a whole batch.
//!
//! Invariants:
//! * A shard never waits for another shard, a disk or a client.
//! * After a halt the machine is handed nothing more.

mod connections;
mod frames;
mod inbox;
mod sync_lane;

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use highwater_core::event::Event;
use highwater_core::ids::{JobId, ShardId};
use highwater_core::outbox::{Halt, Job, Machine};
use highwater_core::{Input, Outbox};
use slog::Logger;
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::LocalSet;

pub use self::connections::ConnectionConfig;
use self::connections::Connections;
pub use self::frames::FrameQueue;
pub use self::inbox::{Accepted, Inbox, InboxSender, Message, inbox};
use self::sync_lane::SyncLane;
use crate::clock::Clock;
use crate::disk::DirectoryDisk;
use crate::events;

/// Messages of other threads that one batch takes.
const MESSAGES_PER_BATCH: usize = 1024;
/// Deadlines that one batch serves; the rest is due again at once.
const TIMEOUTS_PER_BATCH: usize = 64;
/// Threads that carry out a shard's jobs and cold reads.
const BLOCKING_THREADS_MAX: usize = 4;
/// How soon a shard looks again whether a peer has caught up.
const CONGESTION_POLL: Duration = Duration::from_millis(1);
/// How long a stopping shard lets clients take their last answers.
const LINGER_MAX: Duration = Duration::from_secs(2);

/// What a shard tells the thread that watches over all of them.
#[derive(Debug)]
pub enum Report {
    /// Its machine is open.
    Opened(ShardId),
    /// It has recovered and serves.
    Ready(ShardId),
    /// It has stopped, and so must the broker.
    Halted(ShardId, Halt),
}

/// What a shard's thread is made of, besides its machine.
#[derive(Debug)]
pub struct ShardContext {
    /// Which shard.
    pub id: ShardId,
    /// What other threads send it.
    pub inbox: Inbox,
    /// The inboxes of all shards, its own included, by shard id.
    pub peers: Vec<InboxSender>,
    /// Whom it tells when it is ready or halts.
    pub reports: UnboundedSender<Report>,
    /// Where the files lie.
    pub root: PathBuf,
    /// The process's clocks.
    pub clock: Clock,
    /// How connections are served.
    pub connections: ConnectionConfig,
    /// Where events go.
    pub log: Logger,
}

/// Opens a machine on this thread and runs it until it halts.
pub fn run<M: Machine>(
    open: impl FnOnce(DirectoryDisk) -> Result<M, Halt>,
    disk: DirectoryDisk,
    context: ShardContext,
) {
    let (id, reports) = (context.id, context.reports.clone());
    // Whoever watches over the shards ends only with the process.
    let report = |report| drop(reports.send(report));
    let machine = match open(disk) {
        Ok(machine) => machine,
        Err(halt) => return report(Report::Halted(id, halt)),
    };
    report(Report::Opened(id));
    let halt = drive(machine, context).unwrap_or_else(|error| Halt::Io {
        action: "cannot start the threads of",
        path: format!("shard {id}"),
        error,
    });
    report(Report::Halted(id, halt));
}

fn drive<M: Machine>(machine: M, context: ShardContext) -> io::Result<Halt> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(BLOCKING_THREADS_MAX)
        .thread_name(format!("jobs-{}", context.id))
        .build()?;
    let lane = SyncLane::start(context.id, context.root.clone(), context.peers[usize::from(context.id.0)].clone())?;
    let halt = LocalSet::new().block_on(&runtime, async move {
        let mut shard = Shard::new(machine, context, lane);
        let halt = shard.serve().await;
        if matches!(halt, Halt::Stopped) {
            shard.connections.flush(LINGER_MAX).await;
        }
        halt
    });
    runtime.shutdown_background();
    Ok(halt)
}

struct Shard<M> {
    machine: M,
    context: ShardContext,
    lane: SyncLane,
    connections: Connections,
    messages: Vec<Message>,
    batch: Vec<Input>,
    out: Outbox,
}

impl<M: Machine> Shard<M> {
    fn new(machine: M, context: ShardContext, lane: SyncLane) -> Self {
        let connections = Connections::new(context.connections.clone(), context.log.clone());
        Self { machine, context, lane, connections, messages: Vec::new(), batch: Vec::new(), out: Outbox::default() }
    }

    async fn serve(&mut self) -> Halt {
        loop {
            self.wait().await;
            self.collect();
            self.handle_batch();
            if let Some(halt) = self.deliver() {
                return halt;
            }
            // Connections read, and take their answers, between two batches.
            tokio::task::yield_now().await;
        }
    }

    /// Waits until there is something to handle.
    async fn wait(&mut self) {
        let due = self.machine.poll_timeout().map(|(at, _)| at);
        if due.is_some_and(|at| at <= self.context.clock.mono()) {
            return;
        }
        let deadline = due.map(|at| self.context.clock.deadline(at));
        let congested = self.is_congested();
        let frames = self.connections.frames();
        tokio::select! {
            () = self.context.inbox.receive(&mut self.messages, MESSAGES_PER_BATCH) => {}
            () = frames.filled(), if !congested => {}
            () = tokio::time::sleep(CONGESTION_POLL), if congested => {}
            () = sleep_until(deadline) => {}
        }
    }

    /// Moves what is there into the batch: other threads first, since answers may wait for them.
    fn collect(&mut self) {
        self.context.inbox.take(&mut self.messages, MESSAGES_PER_BATCH);
        for message in self.messages.drain(..) {
            match message {
                Message::Input(input) => self.batch.push(input),
                Message::Accepted(accepted) => self.connections.open(accepted),
            }
        }
        if !self.is_congested() {
            self.connections.frames().take_all(&mut self.batch);
        }
    }

    fn is_congested(&self) -> bool {
        self.context.peers.iter().any(InboxSender::is_congested)
    }

    fn handle_batch(&mut self) {
        for input in self.batch.drain(..) {
            self.machine.handle(self.context.clock.now(), input, &mut self.out);
            if self.out.halt.is_some() {
                return;
            }
        }
        for _ in 0..TIMEOUTS_PER_BATCH {
            let now = self.context.clock.now();
            if self.machine.poll_timeout().is_none_or(|(at, _)| at > now.mono) || self.out.halt.is_some() {
                return;
            }
            self.machine.handle(now, Input::Timeout, &mut self.out);
        }
    }

    /// Carries out what the machine has decided.
    fn deliver(&mut self) -> Option<Halt> {
        for request in self.out.syncs.drain(..) {
            self.lane.request(request);
        }
        for (to, message) in self.out.shards.drain(..) {
            let peer = &self.context.peers[usize::from(to.0)];
            peer.send(Message::Input(Input::Shard(self.context.id, message)));
        }
        for (connection, reply) in self.out.replies.drain(..) {
            self.connections.reply(connection, reply);
        }
        for (connection, flow) in self.out.flow.drain(..) {
            self.connections.flow(connection, flow);
        }
        for (id, job) in std::mem::take(&mut self.out.jobs) {
            self.start_job(id, job);
        }
        for event in std::mem::take(&mut self.out.events) {
            self.tell(&event);
        }
        self.out.halt.take().or_else(|| self.connections.take_failure())
    }

    fn start_job(&self, id: JobId, job: Job) {
        let inbox = self.context.peers[usize::from(self.context.id.0)].clone();
        tokio::task::spawn_blocking(move || {
            inbox.send(Message::Input(Input::JobDone { job: id, output: job.run() }));
        });
    }

    fn tell(&self, event: &Event) {
        events::log(&self.context.log, event);
        if *event == Event::Ready {
            let _ = self.context.reports.send(Report::Ready(self.context.id));
        }
    }
}

async fn sleep_until(deadline: Option<tokio::time::Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
