//! The real file system and the simulated one are the same to core, or the simulator proves nothing.

#![allow(clippy::unwrap_used)]

use highwater::data_dir::DataDir;
use highwater::disk::{DirectoryDisk, FileIds};
use highwater_sim::disk::{SimDisk, differential};
use highwater_sim::rng::{Concern, Stream};

const SEEDS: u64 = 40;
const STEPS: usize = 400;

#[test]
fn the_simulated_disk_answers_like_the_real_one() {
    for seed in 0..SEEDS {
        let root = tempfile::tempdir().unwrap();
        // The lock and the scratch directory are there, as they are under a broker.
        let owned = DataDir::open(root.path()).unwrap();
        let real = DirectoryDisk::new(owned.path().to_owned(), FileIds::default());
        let simulated = SimDisk::new(Stream::new(seed, Concern::Disk, 1));
        differential(real, simulated, seed, STEPS);
    }
}
