//! Every machine of the core over a disk that does nothing: generic code leaves symbols only where it is instantiated.

use std::io;
use std::sync::Arc;

use highwater_core::config::BrokerConfig;
use highwater_core::controller::ControllerShard;
use highwater_core::disk::{DirEntry, Disk, LogPath, OpenMode, Pin, Space};
use highwater_core::ids::{FileId, ShardId};
use highwater_core::outbox::{Halt, Machine};
use highwater_core::shard::Shard;
use highwater_core::time::Now;

/// Opens both kinds of shard; the trait object holds everything that a driver may call.
///
/// # Errors
/// Those of the machines.
pub fn machines(config: Arc<BrokerConfig>, seed: [u8; 32], now: Now) -> Result<[Box<dyn Machine>; 2], Halt> {
    let controller = ControllerShard::open(Arc::clone(&config), Nothing, seed, now, 1)?;
    let shard = Shard::open(ShardId(1), 1, config, Nothing, seed, now)?;
    controller.check();
    shard.check();
    Ok([Box::new(controller), Box::new(shard)])
}

/// A disk without files.
pub struct Nothing;

const GONE: io::ErrorKind = io::ErrorKind::NotFound;

impl Disk for Nothing {
    fn open(&mut self, _: &LogPath, _: OpenMode) -> io::Result<FileId> {
        Err(GONE.into())
    }

    fn close(&mut self, _: FileId) {}

    fn len(&self, _: FileId) -> io::Result<u64> {
        Err(GONE.into())
    }

    fn append(&mut self, _: FileId, _: &[&[u8]]) -> io::Result<u64> {
        Err(GONE.into())
    }

    fn read_at(&self, _: FileId, _: u64, _: &mut [u8]) -> io::Result<usize> {
        Err(GONE.into())
    }

    fn truncate(&mut self, _: FileId, _: u64) -> io::Result<()> {
        Err(GONE.into())
    }

    fn pin(&self, _: FileId) -> Pin {
        unreachable!("nothing was opened")
    }

    fn create_dir(&mut self, _: &LogPath) -> io::Result<()> {
        Err(GONE.into())
    }

    fn list(&self, _: &LogPath) -> io::Result<Vec<DirEntry>> {
        Err(GONE.into())
    }

    fn rename(&mut self, _: &LogPath, _: &LogPath) -> io::Result<()> {
        Err(GONE.into())
    }

    fn remove(&mut self, _: &LogPath) -> io::Result<()> {
        Err(GONE.into())
    }

    fn replace(&mut self, _: &LogPath, _: &[u8]) -> io::Result<()> {
        Err(GONE.into())
    }

    fn space(&self) -> io::Result<Space> {
        Err(GONE.into())
    }
}
