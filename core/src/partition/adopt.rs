//! How a shard follows the metadata: which logs it opens, leads, reconfigures and removes.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;

use highwater_wire::ErrorCode;

use super::leader::{Leader, Leadership};
use super::{Partitions, Readiness, directory, halt_of};
use crate::controller::Image;
use crate::disk::{Disk, LogPath};
use crate::event::Event;
use crate::ids::{Offset, PartitionId, ShardId};
use crate::log::{Log, LogConfig, OpenLogError};
use crate::outbox::{Halt, Outbox};
use crate::time::Now;

/// A partition that the metadata gives to this shard.
#[derive(Clone, Debug)]
pub struct Assignment {
    /// How it is led.
    pub leadership: Leadership,
    /// How its log is kept.
    pub log: LogConfig,
}

impl<D: Disk> Partitions<D> {
    /// Follows the metadata. The first time, this recovers every log that the shard has on its disk.
    pub fn adopt(
        &mut self,
        now: Now,
        image: &Arc<Image>,
        assigned: BTreeMap<PartitionId, Assignment>,
        out: &mut Outbox,
    ) {
        self.coordinators.adopt(image);
        let gone: Vec<PartitionId> = self.leaders.keys().filter(|id| !assigned.contains_key(id)).copied().collect();
        gone.into_iter().for_each(|id| self.remove(id, out));
        self.unopened.retain(|id, _| assigned.contains_key(id));
        if self.readiness == Readiness::Waiting
            && let Err(halt) = self.tidy_directories(&assigned, out)
        {
            return out.halt(halt);
        }
        for (id, assignment) in assigned {
            if self.leaders.contains_key(&id) {
                self.reassign(now, id, assignment, out);
            } else {
                self.open_partition(now, id, assignment, out);
            }
        }
        if self.readiness == Readiness::Waiting {
            self.readiness = Readiness::Recovered;
            self.lane.mark_directory(LogPath::root().join(directory::PARTITIONS));
        }
        self.answer_changed_watches(out);
    }

    /// Tries again to open what found no room.
    pub(super) fn retry_unopened(&mut self, now: Now, out: &mut Outbox) {
        for (id, assignment) in std::mem::take(&mut self.unopened) {
            self.open_partition(now, id, assignment, out);
        }
    }

    fn reassign(&mut self, now: Now, id: PartitionId, assignment: Assignment, out: &mut Outbox) {
        let leader = self.leaders.get_mut(&id).expect("the caller looked");
        if *leader.log.config() != assignment.log {
            leader.log.set_config(assignment.log);
            self.lane.mark_dirty(id);
        }
        if *leader.leadership() == assignment.leadership {
            return;
        }
        let new_epoch = leader.leadership().leader_epoch != assignment.leadership.leader_epoch;
        let refused = leader.adopt(assignment.leadership);
        self.watches.mark_changed(&leader.watchers);
        self.produces.refuse(refused, ErrorCode::NotLeaderOrFollower, out);
        if new_epoch {
            self.begin_epoch(now, id, out);
        }
        self.lane.mark_dirty(id);
        self.note_progress(id, out);
    }

    fn open_partition(&mut self, now: Now, id: PartitionId, assignment: Assignment, out: &mut Outbox) {
        match self.open_log(now, id, &assignment, out) {
            Ok(log) => {
                // A later image may have opened what still waits to be tried again.
                self.unopened.remove(&id);
                let leader = Leader::new(log, self.config.broker, assignment.leadership);
                self.leaders.insert(id, leader);
                self.lane.mark_dirty(id);
                self.lane.mark_directory(LogPath::root().join(directory::PARTITIONS));
                self.begin_epoch(now, id, out);
            }
            Err(OpenLogError::Io { error, .. }) if error.kind() == io::ErrorKind::StorageFull => {
                self.unopened.insert(id, assignment);
                self.note_disk_full(id, out);
            }
            Err(OpenLogError::Io { dir, error }) => out.halt(halt_of("cannot open the log in", dir.as_str(), error)),
            Err(damaged @ OpenLogError::Damaged { .. }) => out.halt(Halt::Damaged(damaged.to_string())),
        }
    }

    fn open_log(
        &mut self,
        now: Now,
        id: PartitionId,
        assignment: &Assignment,
        out: &mut Outbox,
    ) -> Result<Log, OpenLogError> {
        let topic = &assignment.leadership.topic;
        let path = directory::path_of(topic, id);
        let recovery_point = self.recovery_points.get(id).unwrap_or(Offset(0));
        let io = |error| OpenLogError::Io { dir: path.clone(), error };
        if recovery_point == Offset(0) && !self.exists(&path).map_err(io)? {
            return Log::create(&mut self.disk, path.clone(), assignment.log.clone()).map_err(io);
        }
        let (log, recovery) = Log::open(&mut self.disk, path.clone(), assignment.log.clone(), recovery_point, now)?;
        out.events.push(Event::LogRecovered {
            partition: id,
            topic: topic.to_string(),
            bytes_read: recovery.bytes_read,
            bytes_truncated: recovery.bytes_truncated,
            log_end_offset: log.end_offset(),
        });
        Ok(log)
    }

    fn exists(&self, path: &LogPath) -> io::Result<bool> {
        match self.disk.list(path) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn begin_epoch(&mut self, now: Now, id: PartitionId, out: &mut Outbox) {
        let leader = self.leaders.get_mut(&id).expect("it has just been opened or adopted");
        let Leadership { leader_epoch, ref topic, .. } = *leader.leadership();
        out.events.push(Event::BecameLeader { partition: id, topic: topic.to_string(), leader_epoch });
        if let Err(damaged) = leader.log.begin_epoch(leader_epoch) {
            out.halt(Halt::Damaged(damaged.to_string()));
        }
        if out.halt.is_none() {
            self.begin_coordinator(now, id, out);
        }
    }

    /// Stops leading a partition whose topic was deleted and removes its directory.
    fn remove(&mut self, id: PartitionId, out: &mut Outbox) {
        self.end_coordinator(id, out);
        let mut leader = self.leaders.remove(&id).expect("the caller looked");
        self.watches.mark_changed(&leader.watchers);
        self.produces.refuse(leader.take_parked(), ErrorCode::NotLeaderOrFollower, out);
        self.lane.forget(id);
        let path = directory::path_of(&leader.leadership().topic, id);
        leader.log.close(&mut self.disk);
        self.recovery_points.remove(id);
        let deleted = directory::deleted(&path);
        let renamed = self.disk.rename(&path, &deleted);
        if let Err(error) = renamed.and_then(|()| self.remove_directory(&deleted)) {
            out.halt(halt_of("cannot remove", path.as_str(), error));
        }
        self.lane.mark_directory(LogPath::root().join(directory::PARTITIONS));
    }

    /// Finishes removals that a crash interrupted, reports directories that nobody knows, and forgets how far logs were
    /// synced that have none: they are deleted, or else their shard finds them missing by its own copy.
    fn tidy_directories(&mut self, assigned: &BTreeMap<PartitionId, Assignment>, out: &mut Outbox) -> Result<(), Halt> {
        let root = LogPath::root().join(directory::PARTITIONS);
        let entries = self.disk.list(&root).map_err(|error| halt_of("cannot list", root.as_str(), error))?;
        let there: BTreeSet<PartitionId> = entries.iter().filter_map(|entry| directory::parse(&entry.name)).collect();
        self.recovery_points.retain(|id| there.contains(&id) || assigned.contains_key(&id));
        for entry in entries {
            let path = root.join(&entry.name);
            let owned = |id: &PartitionId| ShardId::owner_of(*id, self.config.shards) == self.config.shard;
            let Some(id) = directory::parse(&entry.name).filter(owned) else { continue };
            if directory::is_deleted(&entry.name) {
                self.remove_directory(&path).map_err(|error| halt_of("cannot remove", path.as_str(), error))?;
            } else if !assigned.contains_key(&id) {
                out.events.push(Event::StrayDirectory { path: path.as_str().to_owned() });
            }
        }
        Ok(())
    }

    fn remove_directory(&mut self, path: &LogPath) -> io::Result<()> {
        for entry in self.disk.list(path)? {
            self.disk.remove(&path.join(&entry.name))?;
        }
        self.disk.remove(path)
    }
}
