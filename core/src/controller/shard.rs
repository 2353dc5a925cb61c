//! The controller on one broker: a shard of its own, with its own log and its own syncs.
//!
//! Opening it recovers the metadata log, founds a cluster where there is none, and appends this start's registration;
//! nothing of that is seen by anybody before it is durable. From then on every committed image goes to the data shards.
//!
//! Invariants:
//! * No image leaves that does not hold this start's registration: an older one would have the shards resume epochs in
//!   which the broker may have promised what it has lost.
//! * At most one sync is under way; what is appended meanwhile shares the next.

use std::io;
use std::sync::Arc;

use highwater_wire::Uuid;
use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use super::adoption::Adoption;
use super::identity::{Identity, IdentityError};
use super::machine::{Controller, Request};
use super::registration::{METADATA_FEATURE, Registration};
use super::{ControllerRequest, Image};
use crate::config::BrokerConfig;
use crate::disk::{Disk, LogPath, Pin};
use crate::event::Event;
use crate::ids::{Incarnation, Offset, PartitionId, PartitionIndex, ShardId, SyncToken, Ticket, TopicId};
use crate::log::{OpenLogError, RecoveryPoints, RecoveryPointsError};
use crate::message::ShardMessage;
use crate::outbox::{Halt, Input, Machine, Outbox, Reason, SyncRequest};
use crate::replicated::{Host, OpenHostError, Origin, Refusal};
use crate::time::{Instant, Now};

/// The metadata log's directory and topic.
pub const LOG: &str = "cluster-metadata";

/// The metadata log, by the id that Kafka gives to the topic `__cluster_metadata`.
pub const PARTITION: PartitionId = PartitionId { topic: TopicId(1), index: PartitionIndex(0) };

/// The controller's shard. See the module's head.
pub struct ControllerShard<D: Disk> {
    disk: D,
    config: Arc<BrokerConfig>,
    incarnation: Incarnation,
    host: Host<Controller>,
    adoption: Adoption,
    recovery_points: RecoveryPoints,
    random: ChaCha12Rng,
    /// Directories whose names are not yet durable, the log's own aside.
    directories: Vec<LogPath>,
    sync: SyncState,
    stop: StopState,
    /// What opening found, to be reported with the first input.
    events: Vec<Event>,
}

/// Where the one sync stands.
#[derive(Debug)]
struct SyncState {
    /// Something was written since the last one was asked for.
    is_due: bool,
    /// The one under way, and how far it reaches in the log, if it has anything of that.
    in_flight: Option<(SyncToken, Option<Offset>)>,
    next_token: SyncToken,
}

/// How far stopping has got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum StopState {
    /// Nobody wants to stop.
    Serving,
    /// Nothing new is decided; what was appended is not yet durable.
    Settling,
    /// A checkpoint is written and not yet durable.
    Checkpointing,
}

impl<D: Disk> ControllerShard<D> {
    /// Recovers the metadata log, or founds a cluster, and registers this start of the broker. `seed` must be different
    /// for every start; `shards` is the number of data shards.
    ///
    /// # Errors
    /// The directory is another node's, another cluster's or of a newer version, it is damaged, or the disk fails.
    pub fn open(config: Arc<BrokerConfig>, mut disk: D, seed: [u8; 32], now: Now, shards: u16) -> Result<Self, Halt> {
        let mut random = ChaCha12Rng::from_seed(seed);
        let found = Identity::read(&mut disk)?;
        if let Some(identity) = &found {
            identity.check(config.node_id, config.cluster_id.as_deref())?;
        }
        let mut recovery_points = RecoveryPoints::open(&mut disk, ShardId::CONTROLLER)?;
        recovery_points.retain(|partition| partition == PARTITION);
        let point = recovery_points.get(PARTITION).unwrap_or(Offset(0));
        let controller = Controller::new(Arc::clone(&config));
        let (host, recovery) = Host::open(&mut disk, LogPath::root().join(LOG), controller, point, now)?;
        let events = vec![Event::LogRecovered {
            partition: PARTITION,
            topic: "__cluster_metadata".into(),
            bytes_read: recovery.bytes_read,
            bytes_truncated: recovery.bytes_truncated,
            log_end_offset: host.end_offset(),
        }];
        let mut shard = Self {
            disk,
            config,
            incarnation: Incarnation(draw(&mut random)),
            host,
            adoption: Adoption::new(shards),
            recovery_points,
            random,
            directories: vec![LogPath::root()],
            sync: SyncState { is_due: true, in_flight: None, next_token: SyncToken(0) },
            stop: StopState::Serving,
            events,
        };
        let identity = shard.found_or_check(now, found)?;
        shard.register(now, &identity)?;
        Ok(shard)
    }

    /// What is committed, for a driver that wants to look; none before this start is registered.
    pub fn image(&self) -> Option<&Arc<Image>> {
        self.host.view().filter(|image| self.is_registered(image))
    }

    /// Asserts the invariants of everything in here. Slow: for tests and the simulator.
    pub fn check(&self) {
        self.host.check(|controller| controller.image().check());
    }

    #[cfg(test)]
    pub(super) fn disk_mut(&mut self) -> &mut D {
        &mut self.disk
    }

    #[cfg(test)]
    pub(super) fn into_disk(self) -> D {
        self.disk
    }

    /// Makes the identity and the log agree, whichever of them there is already.
    fn found_or_check(&mut self, now: Now, found: Option<Identity>) -> Result<Identity, Halt> {
        let image = Arc::clone(self.host.machine().image());
        let (feature, level_max) = METADATA_FEATURE;
        if image.feature(feature) > level_max {
            return Err(Halt::Damaged(format!("{LOG} was written by a newer version of Highwater; use that one")));
        }
        let identity = match found {
            Some(identity) => identity,
            None => {
                let identity = self.make_identity(&image);
                identity.check(self.config.node_id, self.config.cluster_id.as_deref())?;
                let write = identity.write(&mut self.disk);
                write.map_err(|error| Halt::Io {
                    action: "cannot write to",
                    path: "the data directory".into(),
                    error,
                })?;
                identity
            }
        };
        if image.cluster_id().is_empty() {
            self.host.handle(&mut self.disk, now, &Request::Found { cluster_id: identity.cluster_id.clone() })?;
            self.events.push(Event::ClusterFounded { cluster_id: identity.cluster_id.clone() });
        } else if image.cluster_id() != identity.cluster_id {
            let (found, wanted) = (image.cluster_id().to_owned(), identity.cluster_id);
            return Err(IdentityError::OtherCluster { found, wanted }.into());
        }
        Ok(identity)
    }

    /// The identity of a directory that has none: what its log says, else a new one.
    fn make_identity(&mut self, image: &Image) -> Identity {
        let drawn = draw_id(&mut self.random);
        let configured = self.config.cluster_id.clone().unwrap_or_else(|| Uuid(drawn).to_string());
        let cluster_id = Some(image.cluster_id()).filter(|id| !id.is_empty()).map_or(configured, str::to_owned);
        match image.broker(self.config.node_id).or_else(|| image.brokers().next()) {
            Some(broker) => Identity { cluster_id, node_id: broker.id, directory_id: broker.directory_id },
            None => Identity { cluster_id, node_id: self.config.node_id, directory_id: draw_id(&mut self.random) },
        }
    }

    fn register(&mut self, now: Now, identity: &Identity) -> Result<(), Halt> {
        let registration = Registration::new(&self.config, self.incarnation, identity.directory_id);
        self.host.handle(&mut self.disk, now, &Request::Register(registration))?;
        if self.is_registered(self.host.machine().image()) {
            return Ok(());
        }
        // The only refusal that one request can meet in an idle log of its own.
        let error = io::ErrorKind::StorageFull.into();
        Err(Halt::Io { action: "cannot register the broker in", path: LOG.into(), error })
    }

    fn is_registered(&self, image: &Image) -> bool {
        image.broker(self.config.node_id).is_some_and(|broker| broker.incarnation == self.incarnation)
    }

    fn handle_message(&mut self, now: Now, from: ShardId, message: ShardMessage) -> Result<(), Halt> {
        match message {
            ShardMessage::ControllerRequest { ticket, request } => self.handle_request(now, from, ticket, request),
            ShardMessage::ImageAdopted { offset } => {
                self.adoption.adopted(from, offset);
                Ok(())
            }
            ShardMessage::Image(_)
            | ShardMessage::ControllerResponse { .. }
            | ShardMessage::GroupRequest { .. }
            | ShardMessage::GroupResponse { .. }
            | ShardMessage::PartitionRequest { .. }
            | ShardMessage::PartitionResponse { .. } => {
                unreachable!("the controller is not told {message:?}")
            }
        }
    }

    fn handle_request(
        &mut self,
        now: Now,
        shard: ShardId,
        ticket: Ticket,
        request: ControllerRequest,
    ) -> Result<(), Halt> {
        let entropy = draw(&mut self.random);
        let request = Request::Ask { origin: Origin { shard, ticket }, entropy, request };
        if self.stop != StopState::Serving {
            self.host.refuse(&request, Refusal::Stopping);
            return Ok(());
        }
        let end = self.host.end_offset();
        self.host.handle(&mut self.disk, now, &request)?;
        self.sync.is_due |= self.host.end_offset() > end;
        Ok(())
    }

    fn handle_synced(&mut self, token: SyncToken, result: io::Result<()>) -> Result<(), Halt> {
        let (expected, upto) = self.sync.in_flight.take().expect("a sync ends after it was asked for");
        assert_eq!(token, expected, "syncs end in order");
        result.map_err(|error| Halt::Io { action: "cannot sync", path: LOG.into(), error })?;
        let Some(upto) = upto else { return Ok(()) };
        self.host.handle_synced(upto);
        match self.recovery_points.record(&mut self.disk, &[(PARTITION, self.host.synced_offset())]) {
            // The older point stays, which only makes recovery read more.
            Err(error) if error.kind() == io::ErrorKind::StorageFull => Ok(()),
            Err(error) => Err(Halt::Io { action: "cannot append to", path: "recovery-points".into(), error }),
            Ok(()) => Ok(()),
        }
    }

    /// Asks for the next sync, if one is due and none is under way.
    fn maybe_sync(&mut self, out: &mut Outbox) {
        if !self.is_sync_due() {
            return;
        }
        self.sync.is_due = false;
        let mut directories = std::mem::take(&mut self.directories);
        let mut files: Vec<Pin> = Vec::new();
        let dirty = self.host.dirty(&self.disk);
        let upto = dirty.as_ref().map(|dirty| dirty.upto);
        if let Some(dirty) = dirty {
            files.extend(dirty.files);
            directories.extend(dirty.directories);
        }
        self.recovery_points.add_dirty(&self.disk, &mut files, &mut directories);
        directories.sort();
        directories.dedup();
        let token = self.sync.next_token;
        self.sync.next_token = SyncToken(token.0 + 1);
        self.sync.in_flight = Some((token, upto));
        out.syncs.push(SyncRequest { token, files, directories });
    }

    fn is_sync_due(&self) -> bool {
        self.sync.is_due && self.sync.in_flight.is_none()
    }

    /// Takes the next step towards stopping, once the last one is durable.
    fn maybe_stop(&mut self, now: Now, out: &mut Outbox) -> Result<(), Halt> {
        let is_durable = self.host.is_settled() && !self.sync.is_due && self.sync.in_flight.is_none();
        match self.stop {
            StopState::Settling if is_durable => {
                let checkpoint = self.host.checkpoint(&mut self.disk, now);
                checkpoint.map_err(|error| Halt::Io {
                    action: "cannot write a checkpoint in",
                    path: LOG.into(),
                    error,
                })?;
                self.stop = StopState::Checkpointing;
                self.sync.is_due = true;
            }
            StopState::Checkpointing if is_durable => out.halt(Halt::Stopped),
            StopState::Serving | StopState::Settling | StopState::Checkpointing => {}
        }
        Ok(())
    }

    /// Sends out what has become committed or adopted.
    fn deliver(&mut self, out: &mut Outbox) {
        out.events.append(&mut self.events);
        let newest = self.image().map(Arc::clone);
        if let Some(image) = newest.filter(|image| self.adoption.announce(image.offset())) {
            let images = self.adoption.shards().map(|shard| (shard, ShardMessage::Image(Arc::clone(&image))));
            out.shards.extend(images);
        }
        for (origin, response) in self.host.take_released() {
            self.adoption.wait(origin, response);
        }
        for (Origin { shard, ticket }, response) in self.adoption.take_ready() {
            out.shards.push((shard, ShardMessage::ControllerResponse { ticket, response }));
        }
    }
}

impl<D: Disk> Machine for ControllerShard<D> {
    fn handle(&mut self, now: Now, input: Input, out: &mut Outbox) {
        let result = match input {
            Input::Shard(from, message) => self.handle_message(now, from, message),
            Input::Synced { token, result } => self.handle_synced(token, result),
            Input::Timeout => {
                self.maybe_sync(out);
                Ok(())
            }
            Input::Stop => {
                if self.stop == StopState::Serving {
                    self.stop = StopState::Settling;
                }
                Ok(())
            }
            Input::Connection(..) | Input::JobDone { .. } => {
                unreachable!("the controller has no connections and no jobs")
            }
        };
        if let Err(halt) = result.and_then(|()| self.maybe_stop(now, out)) {
            out.halt(halt);
        }
        self.deliver(out);
    }

    fn poll_timeout(&self) -> Option<(Instant, Reason)> {
        self.is_sync_due().then_some((Instant::default(), "sync the metadata log"))
    }
}

impl From<IdentityError> for Halt {
    fn from(error: IdentityError) -> Self {
        match error {
            IdentityError::Io(error) => Self::Io { action: "cannot read", path: "highwater.meta".into(), error },
            error => Self::Damaged(error.to_string()),
        }
    }
}

impl From<RecoveryPointsError> for Halt {
    fn from(error: RecoveryPointsError) -> Self {
        match error {
            RecoveryPointsError::Io(error) => Self::Io { action: "cannot read", path: "recovery-points".into(), error },
            error @ RecoveryPointsError::Damaged(_) => Self::Damaged(error.to_string()),
        }
    }
}

impl From<OpenHostError> for Halt {
    fn from(error: OpenHostError) -> Self {
        match error {
            OpenHostError::Log(OpenLogError::Io { dir, error }) => {
                Self::Io { action: "cannot open the log in", path: dir.to_string(), error }
            }
            error => Self::Damaged(error.to_string()),
        }
    }
}

fn draw(random: &mut ChaCha12Rng) -> u128 {
    u128::from(random.next_u64()) << 64 | u128::from(random.next_u64())
}

/// An id whose text does not look like an option to command-line tools.
fn draw_id(random: &mut ChaCha12Rng) -> u128 {
    loop {
        let id = draw(random);
        if !Uuid(id).to_string().starts_with('-') {
            return id;
        }
    }
}
