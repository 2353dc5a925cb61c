//! The group coordinators of the partitions of `__consumer_offsets` that this shard leads.
//!
//! A coordinator is a [`GroupCoordinator`] over its partition's log. It begins with the partition's leadership: what the
//! log says is read in jobs, a slice at a time, and until that is done every request is told to come back. A new epoch,
//! or the end of the leadership, ends the coordinator and refuses all that waits in it.
//!
//! Invariants, asserted by [`Partitions::check`]:
//! * Only partitions that are led have a coordinator.
//! * A request is answered once: until then its coordinator keeps it.
//!
//! Source: Kafka's coordinator runtime, KIP-848. Deliberately absent: offsets that are committed in transactions.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use highwater_wire::{ErrorCode, GroupRecord};
use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use super::leader::{AppendRefusal, Leader};
use super::{Partitions, halt_of};
use crate::controller::{Image, OFFSETS_TOPIC};
use crate::disk::{Disk, FileSlice};
use crate::event::Event;
use crate::group::{Client, GroupCall, GroupConfig, GroupCoordinator, GroupRequest, GroupResponse};
use crate::ids::{JobId, Offset, PartitionId};
use crate::limits::{COORDINATOR_REQUESTS_MAX, COORDINATOR_RETRY, LOAD_BYTES};
use crate::log::ReadError;
use crate::message::ShardMessage;
use crate::outbox::{Halt, Job, Outbox, Reason};
use crate::planted::{self, Bug};
use crate::replicated::{Hosted, MachineLog, Origin, Refusal, Replay, ReplayError, Unwritten};
use crate::time::{Instant, Now};

/// The coordinators of one shard.
pub(super) struct Coordinators {
    config: Arc<GroupConfig>,
    random: ChaCha12Rng,
    image: Option<Arc<Image>>,
    by_partition: BTreeMap<PartitionId, Coordinator>,
    loads: BTreeMap<JobId, PartitionId>,
}

struct Coordinator {
    hosted: Hosted<GroupCoordinator>,
    phase: Phase,
    /// Requests without an answer so far.
    unanswered: BTreeMap<Origin, GroupRequest>,
    /// Whether the machine has to be told of the newest image.
    image_is_new: bool,
    /// When what could not be written is tried again.
    retry_at: Instant,
}

enum Phase {
    /// The log is being read.
    Loading {
        next: Offset,
        end: Offset,
        job: Option<JobId>,
        /// Records of unknown kinds so far.
        skipped: u64,
    },
    Live,
}

/// Reads a part of a coordinator's log.
#[derive(Debug)]
pub struct GroupLoad {
    slices: Vec<FileSlice>,
}

impl GroupLoad {
    /// What the slices hold.
    ///
    /// # Errors
    /// They cannot be read, or hold something else than records of groups.
    pub fn run(self) -> Result<Replay<GroupRecord>, ReplayError> {
        Replay::read(&self.slices)
    }
}

impl Coordinators {
    pub(super) fn new(config: Arc<GroupConfig>, seed: [u8; 32]) -> Self {
        Self {
            config,
            random: ChaCha12Rng::from_seed(seed),
            image: None,
            by_partition: BTreeMap::new(),
            loads: BTreeMap::new(),
        }
    }

    /// Takes over the metadata that coordinators which begin now will know.
    pub(super) fn adopt(&mut self, image: &Arc<Image>) {
        self.image = Some(Arc::clone(image));
        self.by_partition.values_mut().for_each(|coordinator| coordinator.image_is_new = true);
    }

    pub(super) fn poll_timeout(&self) -> Option<(Instant, Reason)> {
        self.by_partition.values().filter_map(Coordinator::poll_timeout).min()
    }

    pub(super) fn check(&self, is_led: impl Fn(PartitionId) -> bool) {
        for (&id, coordinator) in &self.by_partition {
            assert!(is_led(id), "{id} has a coordinator because it is led");
            let is_live = coordinator.is_live();
            coordinator.hosted.check(|machine| {
                if is_live {
                    machine.check();
                }
            });
            let is_kept = |origin| coordinator.unanswered.contains_key(&origin);
            assert!(coordinator.hosted.parked_origins().all(is_kept), "an answer that is parked has not been given");
        }
    }

    fn entropy(&mut self) -> u128 {
        u128::from(self.random.next_u64()) << 64 | u128::from(self.random.next_u64())
    }
}

impl Coordinator {
    fn is_live(&self) -> bool {
        matches!(self.phase, Phase::Live)
    }

    fn poll_timeout(&self) -> Option<(Instant, Reason)> {
        if !self.is_live() {
            return None;
        }
        let image = self.image_is_new.then_some((Instant(0), "metadata for a coordinator"));
        let due = [image, self.hosted.machine().poll_timeout()].into_iter().flatten().min();
        due.map(|(at, reason)| (at.max(self.retry_at), reason))
    }
}

impl<D: Disk> Partitions<D> {
    /// Takes a client's request to the coordinator in one partition.
    pub fn handle_group_request(
        &mut self,
        now: Now,
        origin: Origin,
        id: PartitionId,
        client: Client,
        call: Box<GroupCall>,
        out: &mut Outbox,
    ) {
        let entropy = self.coordinators.entropy();
        // After a failed write the log's tail is unknown: nothing may follow it.
        let is_ending = self.is_stopping() || out.halt.is_some();
        let error = match self.coordinators.by_partition.get(&id) {
            None => Some(ErrorCode::NotCoordinator),
            Some(_) if is_ending => Some(ErrorCode::NotCoordinator),
            Some(coordinator) if !coordinator.is_live() => Some(ErrorCode::CoordinatorLoadInProgress),
            Some(coordinator) if coordinator.unanswered.len() >= COORDINATOR_REQUESTS_MAX => {
                Some(ErrorCode::CoordinatorNotAvailable)
            }
            Some(_) => None,
        };
        match error {
            Some(error) => answer(origin, call.error_response(error), out),
            None => {
                let request = GroupRequest::Call { origin, entropy, client, call };
                self.decide(now, id, request, out);
            }
        }
    }

    /// Does what is due in coordinators, one thing in each.
    pub(super) fn run_coordinators(&mut self, now: Now, out: &mut Outbox) {
        if self.is_stopping() || out.halt.is_some() {
            return;
        }
        let is_due = |coordinator: &Coordinator| coordinator.poll_timeout().is_some_and(|(at, _)| at <= now.mono);
        let coordinators = self.coordinators.by_partition.iter();
        let due: Vec<PartitionId> =
            coordinators.filter(|(_, coordinator)| is_due(coordinator)).map(|(&id, _)| id).collect();
        for id in due {
            let coordinator = self.coordinators.by_partition.get_mut(&id).expect("it was found due");
            let request = if std::mem::take(&mut coordinator.image_is_new) {
                GroupRequest::Image(self.coordinators.image.clone().expect("a coordinator begins with an image"))
            } else {
                GroupRequest::Timeout
            };
            self.decide(now, id, request, out);
        }
    }

    /// Begins to coordinate the groups of a partition that is led from now on, or in a new epoch, if it has groups.
    pub(super) fn begin_coordinator(&mut self, now: Now, id: PartitionId, out: &mut Outbox) {
        self.end_coordinator(id, out);
        let leader = self.leaders.get(&id).expect("coordinators begin with their leader");
        if &*leader.leadership().topic != OFFSETS_TOPIC {
            return;
        }
        let (next, end) = (leader.log.start_offset(), leader.log.end_offset());
        let image = Arc::clone(self.coordinators.image.as_ref().expect("partitions are led by what an image says"));
        let machine = GroupCoordinator::new(Arc::clone(&self.coordinators.config), image);
        let coordinator = Coordinator {
            hosted: Hosted::new(machine, leader.high_watermark()),
            phase: Phase::Loading { next, end, job: None, skipped: 0 },
            unanswered: BTreeMap::new(),
            image_is_new: false,
            retry_at: Instant(0),
        };
        self.coordinators.by_partition.insert(id, coordinator);
        self.go_on_loading(now, id, out);
    }

    /// Stops coordinating: nobody knows what becomes of requests that are not answered.
    pub(super) fn end_coordinator(&mut self, id: PartitionId, out: &mut Outbox) {
        let Some(mut coordinator) = self.coordinators.by_partition.remove(&id) else { return };
        for request in coordinator.unanswered.values() {
            coordinator.hosted.refuse(request, Refusal::Deposed);
        }
        coordinator.hosted.take_released().into_iter().for_each(|(origin, response)| answer(origin, response, out));
    }

    /// Refuses what waits for other members: they will not come. What is decided is still answered.
    pub(super) fn stop_coordinators(&mut self, out: &mut Outbox) {
        for Coordinator { hosted, unanswered, .. } in self.coordinators.by_partition.values_mut() {
            let parked: BTreeSet<Origin> = hosted.parked_origins().collect();
            for (_, request) in unanswered.extract_if(.., |origin, _| !parked.contains(origin)) {
                hosted.refuse(&request, Refusal::Stopping);
            }
            hosted.take_released().into_iter().for_each(|(origin, response)| answer(origin, response, out));
        }
    }

    /// Takes a part of the log that a job has read.
    pub(super) fn handle_loaded(
        &mut self,
        now: Now,
        job: JobId,
        loaded: Result<Replay<GroupRecord>, ReplayError>,
        out: &mut Outbox,
    ) {
        let id = self.coordinators.loads.remove(&job).expect("a job ends once");
        let Some(coordinator) = self.coordinators.by_partition.get_mut(&id) else { return };
        let Phase::Loading { next, job: expected, skipped, .. } = &mut coordinator.phase else { return };
        if *expected != Some(job) {
            return;
        }
        let replay = match loaded {
            Ok(replay) => replay,
            Err(ReplayError::Io(error)) => return out.halt(halt_of("cannot read", &format!("partition {id}"), error)),
            Err(damage) => {
                return out.halt(Halt::Damaged(format!("cannot use partition {id} of {OFFSETS_TOPIC}: {damage}")));
            }
        };
        assert!(replay.end > *next, "a read below the end finds a batch");
        (*next, *expected) = (replay.end, None);
        *skipped += replay.skipped;
        coordinator.hosted.replay(&replay.records);
        self.go_on_loading(now, id, out);
    }

    /// Takes note of how far a partition is committed now.
    pub(super) fn release_group_answers(&mut self, id: PartitionId, out: &mut Outbox) {
        let Some(coordinator) = self.coordinators.by_partition.get_mut(&id) else { return };
        let leader = self.leaders.get(&id).expect("only partitions that are led have a coordinator");
        let is_early = planted::is(Bug::CommitAnsweredBeforeDurable);
        coordinator.hosted.commit(if is_early { leader.log.end_offset() } else { leader.high_watermark() });
        for (origin, response) in coordinator.hosted.take_released() {
            let request = coordinator.unanswered.remove(&origin);
            assert!(request.is_some(), "a request is answered once");
            answer(origin, response, out);
        }
    }

    fn go_on_loading(&mut self, now: Now, id: PartitionId, out: &mut Outbox) {
        let coordinator = self.coordinators.by_partition.get_mut(&id).expect("the caller has it");
        let Phase::Loading { next, end, job, skipped } = &mut coordinator.phase else {
            unreachable!("only who loads goes on")
        };
        let skipped = *skipped;
        if *next >= *end || planted::is(Bug::ServeBeforeLoaded) {
            return self.go_live(now, id, skipped, out);
        }
        let leader = self.leaders.get(&id).expect("only partitions that are led have a coordinator");
        // The log may have lost its beginning to compaction or a deletion of records meanwhile.
        let from = (*next).max(leader.log.start_offset());
        let read = match leader.log.read(&self.disk, from, *end, LOAD_BYTES, true) {
            Ok(read) => read,
            Err(ReadError::OutOfRange { .. }) => unreachable!("a leader's log does not shrink"),
            Err(ReadError::Io(error)) => {
                return out.halt(halt_of("cannot read", &format!("partition {id}"), error));
            }
        };
        if read.slices.is_empty() {
            return self.go_live(now, id, skipped, out);
        }
        let load = self.jobs.issue();
        *job = Some(load);
        self.coordinators.loads.insert(load, id);
        out.jobs.push((load, Job::LoadGroups(GroupLoad { slices: read.slices })));
    }

    fn go_live(&mut self, now: Now, id: PartitionId, skipped: u64, out: &mut Outbox) {
        let coordinator = self.coordinators.by_partition.get_mut(&id).expect("the caller has it");
        let leader = self.leaders.get(&id).expect("only partitions that are led have a coordinator");
        coordinator.phase = Phase::Live;
        coordinator.hosted.begin(leader.log.end_offset());
        let log_end_offset = leader.log.end_offset();
        out.events.push(Event::CoordinatorLoaded { partition: id, log_end_offset, skipped });
        self.decide(now, id, GroupRequest::Loaded, out);
    }

    /// Lets a coordinator decide, and does what follows from its decision.
    fn decide(&mut self, now: Now, id: PartitionId, request: GroupRequest, out: &mut Outbox) {
        let coordinator = self.coordinators.by_partition.get_mut(&id).expect("the caller looked");
        let Coordinator { hosted, unanswered, .. } = coordinator;
        let leader = self.leaders.get_mut(&id).expect("only partitions that are led have a coordinator");
        let is_image = matches!(request, GroupRequest::Image(_));
        let mut log = LeaderLog { leader, disk: &mut self.disk, appended: 0, rolled: None };
        let decided = match request {
            GroupRequest::Call { origin, .. } => {
                let Entry::Vacant(place) = unanswered.entry(origin) else { panic!("a ticket is used once") };
                hosted.handle(&mut log, now, place.insert(request))
            }
            GroupRequest::Timeout | GroupRequest::Image(_) | GroupRequest::Loaded => {
                hosted.handle(&mut log, now, &request)
            }
        };
        let LeaderLog { appended, rolled, .. } = log;
        if let Some(base_offset) = rolled {
            out.events.push(Event::SegmentRolled { partition: id, base_offset });
        }
        out.events.extend(hosted.machine_mut().take_events().into_iter().map(Event::Group));
        if let Err(unwritten) = decided {
            coordinator.retry_at = now.mono + COORDINATOR_RETRY;
            coordinator.image_is_new |= is_image;
            self.note_unwritten(id, unwritten, out);
        } else if appended > 0 {
            self.note_append(now, id, appended, out);
        }
        self.release_group_answers(id, out);
    }

    fn note_unwritten(&mut self, id: PartitionId, unwritten: Unwritten, out: &mut Outbox) {
        match unwritten {
            Unwritten::Refused(Refusal::DiskFull) => self.note_disk_full(id, out),
            Unwritten::Refused(_) => {}
            Unwritten::Io(error) => out.halt(halt_of("cannot append to", &format!("partition {id}"), error)),
        }
    }
}

/// A partition's log, while its coordinator decides.
struct LeaderLog<'a, D> {
    leader: &'a mut Leader,
    disk: &'a mut D,
    /// Bytes that were appended.
    appended: u64,
    /// The first offset of the segment that was opened for them.
    rolled: Option<Offset>,
}

impl<D: Disk> MachineLog for LeaderLog<'_, D> {
    fn end_offset(&self) -> Offset {
        self.leader.log.end_offset()
    }

    fn append(&mut self, batch: &Bytes, now: Now) -> Result<Offset, Unwritten> {
        match self.leader.append_internal(self.disk, batch, now) {
            Ok(appended) => {
                (self.appended, self.rolled) = (batch.len() as u64, appended.rolled);
                Ok(appended.base_offset)
            }
            Err(AppendRefusal::NotEnoughReplicas) => Err(Unwritten::Refused(Refusal::TooFewReplicas)),
            Err(AppendRefusal::Log(error)) => Err(error.into()),
        }
    }
}

fn answer(origin: Origin, response: GroupResponse, out: &mut Outbox) {
    let Origin { shard, ticket } = origin;
    out.shards.push((shard, ShardMessage::GroupResponse { ticket, response: Box::new(response) }));
}
