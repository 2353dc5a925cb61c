//! Reading with Fetch: where a reader is, what it asks, and what must hold of every answer.

use std::collections::BTreeMap;

use bytes::Bytes;
use highwater_wire::fetch::{FetchPartition, FetchTopic, PartitionData};
use highwater_wire::records::Batches;
use highwater_wire::{ErrorCode, FetchRequest, FetchResponse, Records, Uuid};

use super::Context;
use crate::oracle::Place;

/// Where a reader is in each partition, and its fetch session.
#[derive(Debug)]
pub struct Reader {
    name: String,
    version: i16,
    /// The next offset to read.
    pub positions: BTreeMap<Place, i64>,
    session: Option<Session>,
}

#[derive(Debug, Default)]
struct Session {
    id: i32,
    epoch: i32,
    /// What the broker believes that the reader's positions are.
    told: BTreeMap<Place, i64>,
}

/// What was asked about one partition.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    offset: i64,
    era: u32,
    log_start: i64,
}

/// What one request asked: in a session, what earlier ones asked too.
pub type Question = BTreeMap<Place, Asked>;

/// How much may be in one answer.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How long the broker may wait.
    pub wait_ms_max: i32,
    /// What it waits for.
    pub bytes_min: i32,
    /// What one answer may hold.
    pub bytes_max: i32,
    /// What one partition may add to it.
    pub partition_bytes_max: i32,
}

/// What a reader learns from an answer, beside records.
#[derive(Debug, Default)]
pub struct Learnt {
    /// Partitions in which the position is not one that exists.
    pub out_of_range: Vec<Place>,
}

/// The first version with sessions, and the first with topic ids instead of names.
const SESSIONS_FROM: i16 = 7;
const TOPIC_IDS_FROM: i16 = 13;

impl Reader {
    /// A reader without positions.
    pub fn new(name: String, version: i16, session: bool) -> Self {
        let session = (session && version >= SESSIONS_FROM).then(Session::default);
        Self { name, version, positions: BTreeMap::new(), session }
    }

    /// The version of Fetch that it speaks.
    pub fn version(&self) -> i16 {
        self.version
    }

    /// Begins a new session with the next request: the last answer was lost.
    pub fn forget_session(&mut self) {
        if let Some(session) = &mut self.session {
            *session = Session::default();
        }
    }

    /// The next request, and what it asks.
    pub fn request(&mut self, limits: Limits, context: &Context<'_>) -> (FetchRequest, Question) {
        let asked = |(place, offset): (&Place, &i64)| {
            let log_start = context.oracle.log_start_at_least(*place);
            (*place, Asked { offset: *offset, era: context.oracle.era(*place), log_start })
        };
        let question: Question = self.positions.iter().map(asked).collect();
        let mut request = FetchRequest {
            replica_id: -1,
            max_wait_ms: limits.wait_ms_max,
            min_bytes: limits.bytes_min,
            max_bytes: limits.bytes_max,
            session_epoch: -1,
            ..FetchRequest::default()
        };
        let mut named = self.positions.clone();
        if let Some(session) = &mut self.session {
            request.session_id = session.id;
            request.session_epoch = session.epoch;
            if session.epoch > 0 {
                named.retain(|place, offset| session.told.get(place) != Some(offset));
            }
            session.told.clone_from(&self.positions);
        }
        request.topics = self.topics(&named, limits.partition_bytes_max, context);
        (request, question)
    }

    fn topics(&self, named: &BTreeMap<Place, i64>, partition_max_bytes: i32, context: &Context<'_>) -> Vec<FetchTopic> {
        let mut topics: BTreeMap<usize, Vec<FetchPartition>> = BTreeMap::new();
        for (place, offset) in named {
            topics.entry(place.topic).or_default().push(FetchPartition {
                partition: place.partition,
                fetch_offset: *offset,
                partition_max_bytes,
                ..FetchPartition::default()
            });
        }
        let topic = |(number, partitions): (usize, _)| {
            let known = &context.oracle.topics()[number];
            FetchTopic { topic: known.name.clone(), topic_id: known.id.unwrap_or(Uuid::ZERO), partitions }
        };
        topics.into_iter().map(topic).collect()
    }

    /// Takes an answer: tells the oracle every record, moves on.
    pub fn answered(&mut self, question: &Question, response: &FetchResponse, context: &mut Context<'_>) -> Learnt {
        let mut learnt = Learnt::default();
        match ErrorCode::try_from(response.error_code) {
            Ok(ErrorCode::None) => {}
            Ok(ErrorCode::FetchSessionIdNotFound | ErrorCode::InvalidFetchSessionEpoch) if self.session.is_some() => {
                self.forget_session();
                return learnt;
            }
            Ok(error) if error.retriable() => {
                self.forget_session();
                return learnt;
            }
            Ok(_) | Err(_) => {
                let name = &self.name;
                context
                    .oracle
                    .require(false, "Answers", || format!("{name}: Fetch fails with {}", response.error_code));
            }
        }
        if let Some(session) = &mut self.session {
            session.id = response.session_id;
            session.epoch = if response.session_id == 0 { 0 } else { session.epoch + 1 };
        }
        for topic in &response.responses {
            let known = context.oracle.topics().iter().position(|known| {
                if self.version >= TOPIC_IDS_FROM {
                    known.id == Some(topic.topic_id)
                } else {
                    known.name == topic.topic
                }
            });
            for row in &topic.partitions {
                let place = known.map(|topic| Place { topic, partition: row.partition_index });
                let asked = place.and_then(|place| Some((place, *question.get(&place)?)));
                let name = &self.name;
                context.oracle.require(asked.is_some(), "Answers", || format!("{name} never asked for {row:?}"));
                if let Some((place, asked)) = asked {
                    self.partition(place, asked, row, &mut learnt, context);
                }
            }
        }
        learnt
    }

    fn partition(
        &mut self,
        place: Place,
        asked: Asked,
        row: &PartitionData,
        learnt: &mut Learnt,
        context: &mut Context<'_>,
    ) {
        match ErrorCode::try_from(row.error_code) {
            Ok(ErrorCode::None) => self.records(place, asked, row, context),
            Ok(ErrorCode::OffsetOutOfRange) => {
                let excused = context.oracle.may_be_out_of_range(place, asked.era, asked.offset);
                context.oracle.require(excused, "NoAckedRecordLost", || {
                    format!("{}: {place} has no offset {} any more: {row:?}", self.name, asked.offset)
                });
                learnt.out_of_range.push(place);
            }
            Ok(error) if error.retriable() => {
                // What the session believes may be wrong now: say it again.
                if let Some(session) = &mut self.session {
                    session.told.remove(&place);
                }
            }
            Ok(_) | Err(_) => context.oracle.require(false, "Answers", || format!("{}: {place}: {row:?}", self.name)),
        }
    }

    fn records(&mut self, place: Place, asked: Asked, row: &PartitionData, context: &mut Context<'_>) {
        let ordered = row.last_stable_offset <= row.high_watermark
            && (self.version < 5 || row.log_start_offset <= row.high_watermark);
        context.oracle.require(ordered, "Watermarks", || format!("{place}: log start, LSO, HW out of order: {row:?}"));
        let after_start = self.version < 5 || row.log_start_offset >= asked.log_start;
        context.oracle.require(after_start, "LogStart", || {
            format!(
                "{place} starts at {}, after deleting before {} was acknowledged",
                row.log_start_offset, asked.log_start
            )
        });
        let Records::Inline(bytes) = &row.records else {
            return context.oracle.require(false, "Answers", || format!("{place}: records are null"));
        };
        let before_start = asked.offset < asked.log_start && !bytes.is_empty();
        context.oracle.require(!before_start, "LogStart", || {
            format!("{place} gives records at {}, after deleting before {}", asked.offset, asked.log_start)
        });
        match self.read_batches(place, asked, row.high_watermark, bytes, context) {
            Ok(next) => {
                self.positions.insert(place, next);
            }
            Err(problem) => {
                let witness = || format!("{}: {place} from {}: {problem}", self.name, asked.offset);
                context.oracle.require(false, "Contiguous", witness);
            }
        }
    }

    /// Tells the oracle every record from the asked offset on; returns the offset after the last.
    fn read_batches(
        &self,
        place: Place,
        asked: Asked,
        high_watermark: i64,
        bytes: &Bytes,
        context: &mut Context<'_>,
    ) -> Result<i64, String> {
        let mut next = asked.offset;
        let may_have_gaps = context.oracle.topics()[place.topic].compact;
        for batch in Batches(bytes.clone()) {
            let (header, batch) = batch.map_err(|error| error.to_string())?;
            for record in context.oracle.open_batch(place, header.base_offset, batch)?.iter() {
                if record.offset < asked.offset {
                    continue;
                }
                if record.offset != next && !(may_have_gaps && record.offset > next) {
                    return Err(format!("offset {} follows {next}", record.offset));
                }
                if record.offset >= high_watermark {
                    return Err(format!("offset {next} lies above the high watermark {high_watermark}"));
                }
                next = record.offset + 1;
                context.oracle.read(place, asked.era, record);
            }
            if header.next_offset() > next && !may_have_gaps {
                return Err(format!("a batch ends at {}, its records at {next}", header.next_offset()));
            }
            next = next.max(header.next_offset());
        }
        if !bytes.is_empty() && next == asked.offset {
            return Err(format!("{} bytes bring nothing new", bytes.len()));
        }
        Ok(next)
    }
}
