//! Incremental fetch sessions: a reader names its partitions once and is told only what changed.
//!
//! A session lives in the gateway of one shard, not in a connection. One that is not known (evicted, or made on another
//! shard) costs its reader one full fetch.
//!
//! Invariants, asserted by [`FetchSessions::check`]:
//! * There are at most as many sessions as slots.
//! * A session's order holds each of its partitions once.
//!
//! Source: KIP-227, KIP-516 (topic ids in sessions).

use std::collections::BTreeMap;
use std::time::Duration;

use highwater_wire::ErrorCode;

use super::topics::TopicRef;
use crate::ids::{Offset, ShardId};
use crate::time::Instant;

/// What a reader wants of one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) offset: Offset,
    pub(super) bytes_max: u64,
    pub(super) current_leader_epoch: i32,
    pub(super) last_fetched_epoch: i32,
}

/// What a reader was told of one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) high_watermark: Offset,
    pub(super) log_start_offset: Offset,
}

/// A partition as Fetch names it.
pub(super) type PartitionKey = (TopicRef, i32);

/// One reader's partitions.
#[derive(Debug)]
struct Session {
    by_topic_id: bool,
    next_epoch: i32,
    last_used: Instant,
    partitions: BTreeMap<PartitionKey, Entry>,
    /// Partitions in the order in which they are served: those that got records move to the end.
    order: BTreeMap<u64, PartitionKey>,
    next_place: u64,
}

#[derive(Debug)]
struct Entry {
    place: u64,
    wanted: Wanted,
    told: Option<Told>,
}

/// The sessions of one shard.
#[derive(Debug)]
pub(super) struct FetchSessions {
    shard: ShardId,
    slots: usize,
    sessions: BTreeMap<i32, Session>,
    next_id: i32,
}

/// A request's place in the life of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SessionUse {
    /// Every partition is named and answered.
    Full {
        /// The session that the answer opens, or 0.
        id: i32,
    },
    /// Only changes are named and answered.
    Incremental {
        /// The session.
        id: i32,
    },
}

/// What a request says of its session.
pub(super) struct SessionRequest {
    pub(super) id: i32,
    pub(super) epoch: i32,
    pub(super) by_topic_id: bool,
    pub(super) wanted: Vec<(PartitionKey, Wanted)>,
    pub(super) forgotten: Vec<PartitionKey>,
}

const INITIAL_EPOCH: i32 = 0;
const FINAL_EPOCH: i32 = -1;

/// A session that was used so recently is not evicted (`min.incremental.fetch.session.eviction.ms`).
const EVICTION_AGE_MIN: Duration = Duration::from_secs(120);

impl FetchSessions {
    /// No sessions, with room for `slots`.
    pub(super) fn new(shard: ShardId, slots: usize) -> Self {
        Self { shard, slots, sessions: BTreeMap::new(), next_id: 0 }
    }

    /// Applies a request to its session; returns what it wants now, in the order in which that is served.
    ///
    /// # Errors
    /// The session is not known, is at another epoch, or names topics the other way.
    pub(super) fn begin(
        &mut self,
        request: SessionRequest,
        now: Instant,
    ) -> Result<(SessionUse, Vec<(PartitionKey, Wanted)>), ErrorCode> {
        match request.epoch {
            FINAL_EPOCH => {
                self.sessions.remove(&request.id);
                Ok((SessionUse::Full { id: 0 }, request.wanted))
            }
            INITIAL_EPOCH => {
                self.sessions.remove(&request.id);
                let id = self.open(&request, now);
                Ok((SessionUse::Full { id }, request.wanted))
            }
            _ => self.resume(request, now),
        }
    }

    fn resume(
        &mut self,
        request: SessionRequest,
        now: Instant,
    ) -> Result<(SessionUse, Vec<(PartitionKey, Wanted)>), ErrorCode> {
        let id = request.id;
        let session = self.sessions.get_mut(&id).ok_or(ErrorCode::FetchSessionIdNotFound)?;
        if request.epoch != session.next_epoch {
            return Err(ErrorCode::InvalidFetchSessionEpoch);
        }
        if request.by_topic_id != session.by_topic_id {
            return Err(ErrorCode::FetchSessionTopicIdError);
        }
        session.next_epoch = if session.next_epoch == i32::MAX { 1 } else { session.next_epoch + 1 };
        session.last_used = now;
        for (key, wanted) in request.wanted {
            session.want(key, wanted);
        }
        // Last, as Kafka does it: what is both wanted and forgotten is forgotten.
        for key in &request.forgotten {
            session.forget(key);
        }
        if session.partitions.is_empty() {
            self.sessions.remove(&id);
            return Ok((SessionUse::Full { id: 0 }, Vec::new()));
        }
        let in_order = session.order.values().map(|key| (key.clone(), session.partitions[key].wanted)).collect();
        Ok((SessionUse::Incremental { id }, in_order))
    }

    fn open(&mut self, request: &SessionRequest, now: Instant) -> i32 {
        if !self.make_room(now) {
            return 0;
        }
        let mut session = Session {
            by_topic_id: request.by_topic_id,
            next_epoch: INITIAL_EPOCH + 1,
            last_used: now,
            partitions: BTreeMap::new(),
            order: BTreeMap::new(),
            next_place: 0,
        };
        for (key, wanted) in &request.wanted {
            session.want(key.clone(), *wanted);
        }
        let id = self.draw_id();
        self.sessions.insert(id, session);
        id
    }

    /// Ids of different shards differ, so that a session is never taken for another shard's.
    fn draw_id(&mut self) -> i32 {
        loop {
            self.next_id = (self.next_id + 1) & 0x003f_ffff;
            let id = i32::from(self.shard.0 & 0xff) << 22 | self.next_id;
            if id != 0 && !self.sessions.contains_key(&id) {
                return id;
            }
        }
    }

    fn make_room(&mut self, now: Instant) -> bool {
        if self.sessions.len() < self.slots {
            return true;
        }
        let oldest = self.sessions.iter().min_by_key(|(_, session)| session.last_used);
        let Some((&id, session)) = oldest else { return false };
        if now.since(session.last_used) < EVICTION_AGE_MIN {
            return false;
        }
        self.sessions.remove(&id);
        true
    }

    /// Whether an incremental answer must name a partition, given what it would say of it; remembers that it said so.
    pub(super) fn tell(
        &mut self,
        used: SessionUse,
        key: &PartitionKey,
        code: ErrorCode,
        told: Told,
        records: bool,
    ) -> bool {
        let (SessionUse::Full { id } | SessionUse::Incremental { id }) = used;
        let is_full = matches!(used, SessionUse::Full { .. });
        let Some(session) = self.sessions.get_mut(&id) else { return true };
        let Some(entry) = session.partitions.get_mut(key) else { return is_full };
        let failed = code != ErrorCode::None;
        let news = records || failed || entry.told != Some(told);
        // A failure is told again until it is over.
        entry.told = (!failed).then_some(told);
        // As in Kafka, where the answer that opens a session moves nothing.
        if records && !is_full {
            session.move_to_end(key);
        }
        is_full || news
    }

    /// Asserts the invariants in the module's head.
    pub(super) fn check(&self) {
        assert!(self.sessions.len() <= self.slots, "sessions are evicted before new ones are made");
        for session in self.sessions.values() {
            assert_eq!(session.order.len(), session.partitions.len(), "each partition has one place");
        }
    }
}

impl Session {
    fn want(&mut self, key: PartitionKey, wanted: Wanted) {
        if let Some(entry) = self.partitions.get_mut(&key) {
            entry.wanted = wanted;
            return;
        }
        let place = self.next_place;
        self.next_place += 1;
        self.order.insert(place, key.clone());
        self.partitions.insert(key, Entry { place, wanted, told: None });
    }

    fn forget(&mut self, key: &PartitionKey) {
        if let Some(entry) = self.partitions.remove(key) {
            self.order.remove(&entry.place);
        }
    }

    fn move_to_end(&mut self, key: &PartitionKey) {
        let entry = self.partitions.get_mut(key).expect("the caller looked it up");
        let key = self.order.remove(&entry.place).expect("each partition has one place");
        entry.place = self.next_place;
        self.order.insert(self.next_place, key);
        self.next_place += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Instant = Instant(0);

    fn key(index: i32) -> PartitionKey {
        (TopicRef::Name("t".to_owned()), index)
    }

    fn wanted(offset: i64) -> Wanted {
        Wanted { offset: Offset(offset), bytes_max: 1, current_leader_epoch: -1, last_fetched_epoch: -1 }
    }

    fn told(offset: i64) -> Told {
        Told { high_watermark: Offset(offset), log_start_offset: Offset(0) }
    }

    fn request(id: i32, epoch: i32, wanted: Vec<(PartitionKey, Wanted)>) -> SessionRequest {
        SessionRequest { id, epoch, by_topic_id: false, wanted, forgotten: Vec::new() }
    }

    fn opened(sessions: &mut FetchSessions) -> i32 {
        let wanted = vec![(key(0), wanted(0)), (key(1), wanted(0))];
        let (used, _) = sessions.begin(request(0, 0, wanted), NOW).unwrap();
        let SessionUse::Full { id } = used else { unreachable!("an initial request is full") };
        id
    }

    #[test]
    fn an_incremental_request_keeps_what_it_does_not_name() {
        let mut sessions = FetchSessions::new(ShardId(1), 10);
        let id = opened(&mut sessions);
        let (used, all) = sessions.begin(request(id, 1, vec![(key(0), wanted(5))]), NOW).unwrap();
        assert_eq!(used, SessionUse::Incremental { id });
        assert_eq!(all, [(key(0), wanted(5)), (key(1), wanted(0))]);
        sessions.check();
    }

    #[test]
    fn only_news_is_told() {
        let mut sessions = FetchSessions::new(ShardId(1), 10);
        let id = opened(&mut sessions);
        let used = SessionUse::Incremental { id };
        assert!(sessions.tell(used, &key(0), ErrorCode::None, told(3), false), "the first answer is news");
        assert!(!sessions.tell(used, &key(0), ErrorCode::None, told(3), false));
        assert!(sessions.tell(used, &key(0), ErrorCode::None, told(4), false), "the high watermark moved");
        assert!(sessions.tell(used, &key(0), ErrorCode::None, told(4), true), "records are news");
        for _ in 0..2 {
            assert!(sessions.tell(used, &key(0), ErrorCode::OffsetOutOfRange, told(4), false), "failures are repeated");
        }
        assert!(sessions.tell(used, &key(0), ErrorCode::None, told(4), false), "the end of a failure is news");
    }

    #[test]
    fn a_partition_that_got_records_is_served_last_next_time() {
        let mut sessions = FetchSessions::new(ShardId(1), 10);
        let id = opened(&mut sessions);
        sessions.tell(SessionUse::Incremental { id }, &key(0), ErrorCode::None, told(3), true);
        let (_, order) = sessions.begin(request(id, 1, Vec::new()), NOW).unwrap();
        assert_eq!(order.iter().map(|((_, index), _)| *index).collect::<Vec<_>>(), [1, 0]);
    }

    /// The differential test found it: the answer that opens a session leaves the order as it was asked for.
    #[test]
    fn a_partition_that_got_records_when_its_session_was_opened_keeps_its_place() {
        let mut sessions = FetchSessions::new(ShardId(1), 10);
        let id = opened(&mut sessions);
        sessions.tell(SessionUse::Full { id }, &key(0), ErrorCode::None, told(3), true);
        let (_, order) = sessions.begin(request(id, 1, Vec::new()), NOW).unwrap();
        assert_eq!(order.iter().map(|((_, index), _)| *index).collect::<Vec<_>>(), [0, 1]);
    }

    #[test]
    fn wrong_ids_and_epochs_are_refused() {
        let mut sessions = FetchSessions::new(ShardId(1), 10);
        let id = opened(&mut sessions);
        let mut refusal = |id, epoch| sessions.begin(request(id, epoch, Vec::new()), NOW).unwrap_err();
        assert_eq!(refusal(id + 1, 1), ErrorCode::FetchSessionIdNotFound);
        assert_eq!(refusal(id, 2), ErrorCode::InvalidFetchSessionEpoch);
        let by_id = SessionRequest { by_topic_id: true, ..request(id, 1, Vec::new()) };
        assert_eq!(sessions.begin(by_id, NOW).unwrap_err(), ErrorCode::FetchSessionTopicIdError);
    }

    #[test]
    fn a_session_that_is_in_use_is_not_evicted() {
        let mut sessions = FetchSessions::new(ShardId(1), 1);
        let first = opened(&mut sessions);
        assert_ne!(first, 0);
        assert_eq!(opened(&mut sessions), 0, "no slot is free");
        let later = NOW + EVICTION_AGE_MIN;
        let (used, _) = sessions.begin(request(0, 0, vec![(key(0), wanted(0))]), later).unwrap();
        assert!(matches!(used, SessionUse::Full { id } if id != 0 && id != first));
        sessions.check();
    }
}
