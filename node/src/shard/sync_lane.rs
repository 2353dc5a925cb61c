//! Syncs, off the shard's thread: one thread for each shard, so that bulk data never delays another shard's syncs.
//!
//! Invariants:
//! * Answers come back in the order of the requests.
//! * Requests that have piled up while a sync ran are answered by one round that syncs each file once: all of them
//!   were made after that file's earlier bytes were written, so a later sync covers the earlier requests.
//! * After a failed sync nothing more is synced: the page cache is unknown, and a second attempt could succeed falsely.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;

use highwater_core::Input;
use highwater_core::disk::{LogPath, Pin};
use highwater_core::ids::{ShardId, SyncToken};
use highwater_core::outbox::SyncRequest;

use super::inbox::{InboxSender, Message};
use crate::disk::{self, OpenFile};

/// Requests that one round may answer.
const REQUESTS_PER_ROUND: usize = 1024;

/// Where a shard sends its syncs. The thread ends when this is dropped.
#[derive(Debug)]
pub struct SyncLane {
    requests: Sender<SyncRequest>,
}

impl SyncLane {
    /// Starts the lane of one shard over the data directory `root`.
    ///
    /// # Errors
    /// The operating system gives no thread.
    pub fn start(shard: ShardId, root: PathBuf, inbox: InboxSender) -> io::Result<Self> {
        let (requests, received) = mpsc::channel();
        thread::Builder::new().name(format!("sync-{shard}")).spawn(move || run(&root, &received, &inbox))?;
        Ok(Self { requests })
    }

    /// Hands a request over.
    pub fn request(&self, request: SyncRequest) {
        // The lane ends early only after a failed sync, which halts the broker.
        let _ = self.requests.send(request);
    }
}

fn run(root: &Path, requests: &Receiver<SyncRequest>, inbox: &InboxSender) {
    while let Ok(first) = requests.recv() {
        let mut round = Round::default();
        round.add(first);
        while round.tokens.len() < REQUESTS_PER_ROUND
            && let Ok(request) = requests.try_recv()
        {
            round.add(request);
        }
        let outcome = round.sync(root);
        let failed = outcome.is_err();
        let results = std::iter::once(outcome).chain(std::iter::repeat_with(|| Ok(())));
        let tokens = if failed { &round.tokens[..1] } else { &round.tokens[..] };
        for (&token, result) in tokens.iter().zip(results) {
            inbox.send(Message::Input(Input::Synced { token, result }));
        }
        if failed {
            return;
        }
    }
}

/// What one pass over the files makes durable.
#[derive(Default)]
struct Round {
    tokens: Vec<SyncToken>,
    files: BTreeMap<usize, Pin>,
    directories: BTreeSet<LogPath>,
}

impl Round {
    fn add(&mut self, request: SyncRequest) {
        self.tokens.push(request.token);
        // Two pins share a file exactly when they share an allocation.
        self.files.extend(request.files.into_iter().map(|pin| (std::sync::Arc::as_ptr(&pin).addr(), pin)));
        self.directories.extend(request.directories);
    }

    /// Files first: a name that survives without its bytes would look like damage.
    fn sync(&self, root: &Path) -> io::Result<()> {
        self.files.values().try_for_each(|pin| OpenFile::of(pin).begin_writeback())?;
        self.files.values().try_for_each(|pin| OpenFile::of(pin).file().sync_data())?;
        self.directories.iter().try_for_each(|directory| disk::sync_directory(root, directory))
    }
}
