//! Runs one [`StateMachine`] over a log of its own.
//!
//! Invariants, asserted by [`Host::check`], besides those of [`Hosted`]:
//! * What is committed is in the log.
//!
//! Deliberately absent: replication. What the log's only copy has synced is committed; a quorum will say so instead.

use std::io;

use bytes::Bytes;

use super::hosted::{Hosted, MachineLog, Replay, ReplayError, Unwritten};
use super::{Origin, RecordError, Refusal, StateMachine};
use crate::disk::{Disk, LogPath};
use crate::ids::{LeaderEpoch, Offset};
use crate::limits::METADATA_BATCH_BYTES_MAX;
use crate::log::{Dirty, EpochAhead, Log, LogConfig, OpenLogError, ReadError, Recovery};
use crate::outbox::Halt;
use crate::time::Now;

/// The term in which a single copy writes.
const EPOCH: LeaderEpoch = LeaderEpoch(0);

/// Bytes that replaying reads at once, but for a batch that is larger.
const REPLAY_BYTES: u64 = 1024 * 1024;

/// A machine, its log, and what waits for a commit.
pub struct Host<M: StateMachine> {
    hosted: Hosted<M>,
    log: Log,
}

/// Why a machine cannot be brought to the end of its log.
#[derive(Debug, thiserror::Error)]
pub enum OpenHostError {
    /// The log cannot be opened.
    #[error(transparent)]
    Log(#[from] OpenLogError),
    /// The log is ahead of the term.
    #[error(transparent)]
    Epoch(#[from] EpochAhead),
    /// The log opens but cannot be read.
    #[error("cannot read {dir}: {reason}")]
    Read {
        /// The log's directory.
        dir: LogPath,
        /// What failed.
        reason: String,
    },
    /// A record is not one of the machine's.
    #[error("cannot use the record at offset {offset} of {dir}: {error}")]
    Record {
        /// The log's directory.
        dir: LogPath,
        /// The record's offset.
        offset: Offset,
        /// What is wrong.
        error: RecordError,
    },
}

impl<M: StateMachine> Host<M> {
    /// Opens the log in `dir`, or makes one if none was ever synced there, and brings `machine` to its end.
    ///
    /// # Errors
    /// Damage, records of a newer version, or an I/O error.
    pub fn open(
        disk: &mut impl Disk,
        dir: LogPath,
        machine: M,
        recovery_point: Offset,
        now: Now,
    ) -> Result<(Self, Recovery), OpenHostError> {
        let io = |error| OpenLogError::Io { dir: dir.clone(), error };
        let (mut log, recovery) = if recovery_point == Offset(0) && !exists(disk, &dir).map_err(io)? {
            (Log::create(disk, dir.clone(), log_config()).map_err(io)?, Recovery::default())
        } else {
            Log::open(disk, dir, log_config(), recovery_point, now)?
        };
        log.begin_epoch(EPOCH)?;
        let mut host = Self { hosted: Hosted::new(machine, log.synced_offset()), log };
        host.replay(disk)?;
        host.hosted.begin(host.log.end_offset());
        Ok((host, recovery))
    }

    /// The machine, at the end of its log.
    pub fn machine(&self) -> &M {
        self.hosted.machine()
    }

    /// What is committed; none before everything that was recovered is.
    pub fn view(&self) -> Option<&M::View> {
        self.hosted.view()
    }

    /// The end of the log.
    pub fn end_offset(&self) -> Offset {
        self.log.end_offset()
    }

    /// Up to where the log is durable.
    pub fn synced_offset(&self) -> Offset {
        self.log.synced_offset()
    }

    /// Decides a request and appends the decision. The answers come out of [`Self::take_released`] once it is committed.
    ///
    /// # Errors
    /// The log cannot be written, so that its tail is unknown.
    pub fn handle(&mut self, disk: &mut impl Disk, now: Now, request: &M::Request) -> Result<(), Halt> {
        match self.hosted.handle(&mut OwnLog { log: &mut self.log, disk }, now, request) {
            Ok(()) | Err(Unwritten::Refused(_)) => Ok(()),
            Err(Unwritten::Io(error)) => {
                let path = self.log.dir().to_string();
                Err(Halt::Io { action: "cannot append to", path, error })
            }
        }
    }

    /// Answers a request that is not to be decided.
    pub fn refuse(&mut self, request: &M::Request, refusal: Refusal) {
        self.hosted.refuse(request, refusal);
    }

    /// The answers that may leave, in order.
    pub fn take_released(&mut self) -> Vec<(Origin, M::Response)> {
        self.hosted.take_released()
    }

    /// What the next sync must cover; see [`Log::dirty`].
    pub fn dirty(&mut self, disk: &impl Disk) -> Option<Dirty> {
        self.log.dirty(disk)
    }

    /// The sync of the oldest [`Dirty`] under way has ended: what it covered is committed.
    pub fn handle_synced(&mut self, upto: Offset) {
        self.log.mark_synced(upto);
        self.hosted.commit(self.log.synced_offset());
    }

    /// Whether everything appended is committed.
    pub fn is_settled(&self) -> bool {
        self.hosted.is_settled()
    }

    /// Saves what recovery would otherwise have to read again.
    ///
    /// # Errors
    /// An I/O error.
    pub fn checkpoint(&mut self, disk: &mut impl Disk, now: Now) -> io::Result<()> {
        self.log.checkpoint(disk, now)
    }

    /// Asserts the invariants of the module's head, and with `machine` the machine's own if it has changed since they
    /// last were. Slow: for tests and the simulator.
    pub fn check(&self, machine: impl FnOnce(&M)) {
        self.log.check();
        self.hosted.check(machine);
        assert!(self.hosted.committed() <= self.end_offset(), "nothing is committed that is not in the log");
    }

    /// Applies the whole log.
    fn replay(&mut self, disk: &impl Disk) -> Result<(), OpenHostError> {
        let dir = self.log.dir().clone();
        let unreadable = |reason: String| OpenHostError::Read { dir: dir.clone(), reason };
        let (mut from, end) = (self.log.start_offset(), self.end_offset());
        while from < end {
            let read = self.log.read(disk, from, end, REPLAY_BYTES, true);
            let read = read.map_err(|error: ReadError| unreadable(error.to_string()))?;
            let replay = Replay::read(&read.slices).map_err(|error| match error {
                ReplayError::Record { offset, error } => OpenHostError::Record { dir: dir.clone(), offset, error },
                error => unreadable(error.to_string()),
            })?;
            assert!(replay.end > from, "a read below the end finds a batch");
            self.hosted.replay(&replay.records);
            from = replay.end;
        }
        Ok(())
    }
}

/// The log of a host, while its machine decides.
struct OwnLog<'a, D> {
    log: &'a mut Log,
    disk: &'a mut D,
}

impl<D: Disk> MachineLog for OwnLog<'_, D> {
    fn end_offset(&self) -> Offset {
        self.log.end_offset()
    }

    fn append(&mut self, batch: &Bytes, now: Now) -> Result<Offset, Unwritten> {
        Ok(self.log.append_internal(self.disk, EPOCH, batch, now)?.base_offset)
    }
}

/// A machine's log keeps everything and takes whatever time its records have.
fn log_config() -> LogConfig {
    LogConfig {
        retention_ms: None,
        retention_bytes: None,
        delete: false,
        max_message_bytes: METADATA_BATCH_BYTES_MAX,
        timestamp_before_max_ms: i64::MAX,
        timestamp_after_max_ms: i64::MAX,
        ..LogConfig::default()
    }
}

fn exists(disk: &impl Disk, dir: &LogPath) -> io::Result<bool> {
    match disk.list(dir) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use highwater_wire::records::{BatchBuilder, Compression, Record};

    use super::*;
    use crate::disk::memory::MemoryDisk;
    use crate::ids::{ShardId, Ticket};
    use crate::limits::UNCOMMITTED_DECISIONS_MAX;
    use crate::replicated::{Decision, LogRecord};

    const HUGE: u64 = 999_999;

    /// Adds up numbers; even ones need no record, and [`HUGE`] is more than a batch holds.
    #[derive(Clone, Debug, Default, PartialEq)]
    struct Sum {
        total: u64,
        applied: Vec<i64>,
        asides: u64,
    }

    #[derive(Clone, Debug, PartialEq)]
    struct Number(u64);

    impl LogRecord for Number {
        fn to_key_value(&self) -> (Option<Bytes>, Option<Bytes>) {
            let len = if self.0 == HUGE { METADATA_BATCH_BYTES_MAX as usize } else { 8 };
            let mut value = vec![0; len];
            value[..8].copy_from_slice(&self.0.to_be_bytes());
            (None, Some(value.into()))
        }

        fn from_key_value(_: Option<Bytes>, value: Option<Bytes>) -> Result<Option<Self>, RecordError> {
            let bytes = value.as_deref().and_then(|value| value.try_into().ok()).ok_or(RecordError::Newer)?;
            Ok(Some(Self(u64::from_be_bytes(bytes))))
        }
    }

    impl StateMachine for Sum {
        type Request = Vec<u64>;
        type Response = Result<u64, Refusal>;
        type Record = Number;
        type Soft = u64;
        type View = u64;

        fn decide(&self, _: Now, request: &Vec<u64>) -> Decision<Self> {
            let records: Vec<_> =
                request.iter().filter(|number| *number % 2 == 1).map(|number| Number(*number)).collect();
            let total = self.total + records.iter().map(|number| number.0).sum::<u64>();
            let soft = request.iter().filter(|number| *number % 2 == 0).copied().collect();
            Decision { records, replies: vec![(origin(), Ok(total))], soft }
        }

        fn refuse(&self, _: &Vec<u64>, refusal: Refusal) -> Vec<(Origin, Self::Response)> {
            vec![(origin(), Err(refusal))]
        }

        fn apply(&mut self, offset: Offset, record: &Number) {
            self.total += record.0;
            self.applied.push(offset.0);
        }

        fn absorb(&mut self, soft: u64) {
            self.asides += soft;
        }

        fn view(&self) -> u64 {
            self.total
        }
    }

    fn origin() -> Origin {
        Origin { shard: ShardId(1), ticket: Ticket(1) }
    }

    fn open(disk: &mut MemoryDisk, synced: i64) -> Host<Sum> {
        Host::open(disk, LogPath::root().join("log"), Sum::default(), Offset(synced), Now::default()).unwrap().0
    }

    fn ask(host: &mut Host<Sum>, disk: &mut MemoryDisk, numbers: &[u64]) -> Vec<Result<u64, Refusal>> {
        host.handle(disk, Now::default(), &numbers.to_vec()).unwrap();
        host.check(|_| {});
        host.take_released().into_iter().map(|(_, response)| response).collect()
    }

    fn sync(host: &mut Host<Sum>, disk: &MemoryDisk) -> Vec<Result<u64, Refusal>> {
        let dirty = host.dirty(disk).unwrap();
        host.handle_synced(dirty.upto);
        host.check(|_| {});
        host.take_released().into_iter().map(|(_, response)| response).collect()
    }

    #[test]
    fn answers_and_view_wait_for_the_commit_of_what_they_saw() {
        let mut disk = MemoryDisk::new();
        let mut host = open(&mut disk, 0);
        assert_eq!(ask(&mut host, &mut disk, &[1, 3]), []);
        assert_eq!(ask(&mut host, &mut disk, &[2]), [], "it saw 4, which is not committed");
        assert_eq!((host.view(), host.machine().total, host.machine().asides), (Some(&0), 4, 2));
        let dirty = host.dirty(&disk).unwrap();
        assert_eq!(ask(&mut host, &mut disk, &[5]), []);
        host.handle_synced(dirty.upto);
        let released: Vec<_> = host.take_released().into_iter().map(|(_, response)| response).collect();
        assert_eq!(released, [Ok(4), Ok(4)], "5 came after the sync was asked for");
        assert_eq!(host.view(), Some(&4));
        assert_eq!(sync(&mut host, &disk), [Ok(9)]);
        assert_eq!(ask(&mut host, &mut disk, &[2]), [Ok(9)], "everything it saw is committed");
    }

    #[test]
    fn replaying_gives_the_machine_its_state_and_nobody_sees_it_before_it_is_synced() {
        let mut disk = MemoryDisk::new();
        let mut host = open(&mut disk, 0);
        for number in 0..500 {
            ask(&mut host, &mut disk, &[2 * number + 1, 1]);
        }
        let total = host.machine().total;
        let mut host = open(&mut disk, 0);
        assert_eq!(host.machine().total, total);
        assert_eq!(host.machine().applied, (0..1000).collect::<Vec<_>>());
        assert_eq!(host.view(), None, "what was recovered may be page cache only");
        sync(&mut host, &disk);
        assert_eq!(host.view(), Some(&total));
        assert_eq!(open(&mut disk, 1000).view(), Some(&total));
    }

    #[test]
    fn a_decision_is_recovered_whole_or_not_at_all() {
        let mut whole = MemoryDisk::new();
        let mut host = open(&mut whole, 0);
        ask(&mut host, &mut whole, &[1]);
        let path = LogPath::root().join("log").join("00000000000000000000.log");
        let before = whole.bytes(&path).unwrap().len();
        ask(&mut host, &mut whole, &[3, 5, 7]);
        let after = whole.bytes(&path).unwrap().len();
        for len in before..=after {
            let mut disk = whole.clone();
            disk.bytes_mut(&path).unwrap().truncate(len);
            let expected = if len == after { 16 } else { 1 };
            assert_eq!(open(&mut disk, 0).machine().total, expected, "cut to {len} of {after} bytes");
        }
    }

    #[test]
    fn what_does_not_fit_is_refused_and_changes_nothing() {
        let mut disk = MemoryDisk::new();
        let mut host = open(&mut disk, 0);
        assert_eq!(ask(&mut host, &mut disk, &[HUGE]), [Err(Refusal::TooLarge)]);
        disk.set_capacity(disk.used());
        assert_eq!(ask(&mut host, &mut disk, &[1, 2]), [Err(Refusal::DiskFull)]);
        assert_eq!(*host.machine(), Sum::default());
        disk.set_capacity(u64::MAX);
        assert_eq!(ask(&mut host, &mut disk, &[1]), []);
        assert_eq!(sync(&mut host, &disk), [Ok(1)]);
    }

    #[test]
    fn a_bounded_number_of_decisions_waits() {
        let mut disk = MemoryDisk::new();
        let mut host = open(&mut disk, 0);
        for _ in 0..UNCOMMITTED_DECISIONS_MAX {
            host.handle(&mut disk, Now::default(), &vec![1]).unwrap();
        }
        assert_eq!(ask(&mut host, &mut disk, &[1]), [Err(Refusal::Busy)]);
        assert_eq!(sync(&mut host, &disk).len(), UNCOMMITTED_DECISIONS_MAX);
        assert_eq!(ask(&mut host, &mut disk, &[1]), []);
    }

    #[test]
    fn a_record_of_a_newer_version_is_refused_with_its_place() {
        let mut disk = MemoryDisk::new();
        let mut host = open(&mut disk, 0);
        ask(&mut host, &mut disk, &[1]);
        let mut batch = BatchBuilder::new(Compression::None);
        batch.push(&Record { value: Some(Bytes::from_static(b"?")), ..Record::default() });
        host.log.append_internal(&mut disk, EPOCH, &batch.build(), Now::default()).unwrap();
        let opened = Host::open(&mut disk, LogPath::root().join("log"), Sum::default(), Offset(0), Now::default());
        let error = opened.err().expect("the record is unknown").to_string();
        assert_eq!(error, "cannot use the record at offset 1 of log: it was written by a newer version of Highwater");
    }
}
