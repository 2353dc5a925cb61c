//! What a driver does when a broker's process starts.

use std::sync::Arc;

use highwater_core::controller::ControllerShard;
use highwater_core::ids::ShardId;
use highwater_core::outbox::Halt;
use highwater_core::shard::Shard;

use crate::broker::{Broker, BrokerMachine};
use crate::clock::SimTime;
use crate::disk::SimDisk;

impl BrokerMachine for ControllerShard<SimDisk> {
    fn check(&self) {
        Self::check(self);
    }
}

impl BrokerMachine for Shard<SimDisk> {
    fn check(&self) {
        Self::check(self);
    }
}

/// Makes the machines of one life of a broker, the controller's first.
///
/// # Errors
/// Why a shard does not start.
pub fn boot(broker: &mut Broker, at: SimTime) -> Result<Vec<Box<dyn BrokerMachine>>, Halt> {
    let now = broker.now(at);
    let (config, disk, shards) = (&broker.config, &broker.disk, broker.shards);
    let seed = broker.seeds.seed();
    let controller = ControllerShard::open(Arc::clone(config), disk.clone(), seed, now, shards)?;
    let mut machines: Vec<Box<dyn BrokerMachine>> = vec![Box::new(controller)];
    for id in (1..=shards).map(ShardId) {
        let shard = Shard::open(id, shards, Arc::clone(config), disk.clone(), seed_of(seed, id), now)?;
        machines.push(Box::new(shard));
    }
    Ok(machines)
}

/// What a data shard draws from, which is not what the controller or another shard draws from.
fn seed_of(mut seed: [u8; 32], id: ShardId) -> [u8; 32] {
    seed[..2].iter_mut().zip(id.0.to_le_bytes()).for_each(|(byte, id)| *byte ^= id);
    seed
}
