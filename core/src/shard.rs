//! A shard: some partitions, some connections, one thread. Composition and dispatch only.
//!
//! The gateway and the partitions talk by the same messages whether they are in one shard or in two; what a shard says
//! to itself never leaves it.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::config::{BrokerConfig, Flush};
use crate::controller::Image;
use crate::disk::Disk;
use crate::gateway::Gateway;
use crate::ids::{PartitionId, ShardId};
use crate::message::ShardMessage;
use crate::outbox::{Halt, Input, Machine, Outbox, Reason};
use crate::partition::{Assignment, Counting, Leadership, Partitions, PartitionsConfig};
use crate::replicated::Origin;
use crate::time::{Instant, Now};

/// One of a broker's data shards.
pub struct Shard<D: Disk> {
    id: ShardId,
    shards: u16,
    config: Arc<BrokerConfig>,
    gateway: Gateway,
    partitions: Partitions<D>,
}

impl<D: Disk> Shard<D> {
    /// The data shard `id` of `shards`. It recovers its partitions when the first image arrives, and then reports
    /// [`Event::Ready`](crate::event::Event::Ready). What it draws is a function of `seed`, which must be another one at
    /// every start.
    ///
    /// # Errors
    /// The disk fails, or the recovery points are damaged.
    pub fn open(
        id: ShardId,
        shards: u16,
        config: Arc<BrokerConfig>,
        disk: D,
        seed: [u8; 32],
        now: Now,
    ) -> Result<Self, Halt> {
        assert!((1..=shards).contains(&id.0), "data shards are numbered from 1");
        let partitions = PartitionsConfig {
            shard: id,
            shards,
            broker: config.node_id,
            retention_check_interval: config.log_retention_check_interval,
            groups: Arc::clone(&config.groups),
            cleaner: config.cleaner(shards),
        };
        Ok(Self {
            id,
            shards,
            partitions: Partitions::open(partitions, disk, seed, now)?,
            gateway: Gateway::new(id, shards, Arc::clone(&config)),
            config,
        })
    }

    /// Asserts the invariants of everything in here. Slow: for tests and the simulator.
    pub fn check(&self) {
        self.gateway.check();
        self.partitions.check();
    }

    /// The partitions, for a driver that wants to look.
    pub fn partitions(&self) -> &Partitions<D> {
        &self.partitions
    }

    fn handle_message(&mut self, now: Now, from: ShardId, message: ShardMessage, out: &mut Outbox) {
        match message {
            ShardMessage::PartitionRequest { ticket, request } => {
                self.partitions.handle_request(now, from, ticket, request, out);
            }
            ShardMessage::PartitionResponse { ticket, response } => {
                self.gateway.handle_partitions(now, ticket, response, out);
            }
            ShardMessage::GroupRequest { ticket, partition, client, call } => {
                let origin = Origin { shard: from, ticket };
                self.partitions.handle_group_request(now, origin, partition, client, call, out);
            }
            ShardMessage::GroupResponse { ticket, response } => {
                self.gateway.handle_group(now, ticket, *response, out);
            }
            ShardMessage::ControllerResponse { ticket, response } => {
                self.gateway.handle_controller(now, ticket, response, out);
            }
            ShardMessage::Image(image) => self.adopt(now, image, out),
            ShardMessage::ControllerRequest { .. } | ShardMessage::ImageAdopted { .. } => {
                unreachable!("only the controller is told that")
            }
        }
    }

    fn adopt(&mut self, now: Now, image: Arc<Image>, out: &mut Outbox) {
        self.partitions.adopt(now, &image, self.assignments(&image), out);
        let offset = image.offset();
        self.gateway.adopt(image);
        out.shards.push((ShardId::CONTROLLER, ShardMessage::ImageAdopted { offset }));
    }

    /// The partitions that this broker leads and this shard owns.
    fn assignments(&self, image: &Image) -> BTreeMap<PartitionId, Assignment> {
        let mut assignments = BTreeMap::new();
        for topic in image.topics() {
            for (index, partition) in topic.partitions() {
                let id = PartitionId { topic: topic.id, index };
                if partition.leader != Some(self.config.node_id) || ShardId::owner_of(id, self.shards) != self.id {
                    continue;
                }
                let leadership = Leadership {
                    topic: Arc::clone(&topic.name),
                    leader_epoch: partition.leader_epoch,
                    isr: partition.isr.iter().copied().collect(),
                    // As in Kafka, a topic with fewer replicas than that can still be written to.
                    isr_min: (topic.config.min_insync_replicas as usize).min(partition.replicas.len()),
                    counting: match topic.config.flush {
                        Flush::Sync => Counting::Synced,
                        Flush::PageCache => Counting::Written,
                    },
                };
                assignments.insert(id, Assignment { leadership, log: topic.config.log(&self.config) });
            }
        }
        assignments
    }

    /// Carries what the shard says to itself, until nothing is left.
    fn deliver_local(&mut self, now: Now, out: &mut Outbox) {
        loop {
            let own = self.id;
            let local: Vec<ShardMessage> =
                out.shards.extract_if(.., |(to, _)| *to == own).map(|(_, message)| message).collect();
            if local.is_empty() {
                return;
            }
            for message in local {
                self.handle_message(now, own, message, out);
            }
        }
    }
}

impl<D: Disk> Machine for Shard<D> {
    fn handle(&mut self, now: Now, input: Input, out: &mut Outbox) {
        match input {
            Input::Connection(id, input) => self.gateway.handle_connection(now, id, input, out),
            Input::Shard(from, message) => self.handle_message(now, from, message, out),
            Input::Synced { token, result } => self.partitions.handle_synced(now, token, result, out),
            Input::JobDone { job, output } => self.partitions.handle_job(now, job, output, out),
            Input::Timeout => {
                self.gateway.handle_timeout(now, out);
                self.partitions.handle_timeout(now, out);
            }
            Input::Stop => {
                self.gateway.handle_stop(now, out);
                self.partitions.handle_stop(now, out);
            }
        }
        self.deliver_local(now, out);
    }

    fn poll_timeout(&self) -> Option<(Instant, Reason)> {
        [self.gateway.poll_timeout(), self.partitions.poll_timeout()].into_iter().flatten().min()
    }
}

#[cfg(test)]
mod tests;
