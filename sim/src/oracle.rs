//! Knows what was written, what was acknowledged and what was read, and says when they do not agree.
//!
//! Properties:
//! * **NoAckedRecordLost**: what was acknowledged is found at its offset, byte for byte, unless retention or somebody's
//!   request has removed it, or power was lost under `flush=page-cache`.
//! * **ConsistentRead**: what a consumer has read at an offset, every later reader reads there.
//! * **NoPhantom**: every record that is read is one that somebody sent to that partition, byte for byte, and that was
//!   not refused for good.
//! * **NoDuplicate**: a record of an idempotent producer stands at one offset.
//! * **Contiguous**: readers see every offset, but for compacted topics.
//! * **NewestOfKeyKept**: of a compacted topic a record is gone only if a newer one has its key.
//! * **LogStart**: nothing before it is read; it moves only as far as somebody has asked.
//! * **TimestampLookup**: a look-up finds the first record at or after a timestamp.
//! * Those of [`groups`].

mod batches;
mod groups;

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use bytes::Bytes;
use highwater_wire::Uuid;
use highwater_wire::records::Record;

use batches::{Batches, Found};
pub use groups::{CommitAnswer, Generation, GroupHistory, Told};

use crate::options::Options;
use crate::records::{RecordId, Sent, Writer};

/// A property that does not hold, and what shows it.
#[derive(Clone, Debug)]
pub struct Violation {
    /// The property's name.
    pub property: &'static str,
    /// What shows it.
    pub witness: String,
}

/// One partition: the topic's number among those of the options, and the partition's index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The topic's number.
    pub topic: usize,
    /// The partition's index.
    pub partition: i32,
}

/// What everybody may know of a topic.
#[derive(Clone, Debug)]
pub struct Topic {
    /// Its name.
    pub name: String,
    /// Its id, once it was created.
    pub id: Option<Uuid>,
    /// How many partitions it has.
    pub partitions: i32,
    page_cache: bool,
    retention: bool,
    /// Whether somebody deletes records of it.
    pub delete_records: bool,
    log_append_time: bool,
    /// Whether only the newest record of each key stays.
    pub compact: bool,
}

/// What is known about one offset.
#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    acked: Option<RecordId>,
    read: Option<RecordId>,
    timestamp: i64,
    /// Whether it was read since somebody began to read everything.
    audited: bool,
}

/// What is known about one partition.
#[derive(Debug, Default)]
struct Partition {
    slots: Vec<Slot>,
    /// Where each record of an idempotent producer stands.
    places: BTreeMap<RecordId, i64>,
    /// The largest offset before which somebody has asked to delete, answered or not.
    delete_asked: i64,
    /// The largest of those that were answered with success.
    delete_acked: i64,
    /// How often it may have lost what counted.
    era: u32,
    lookups: Vec<Lookup>,
}

/// A timestamp that somebody looked for.
#[derive(Debug)]
struct Lookup {
    timestamp: i64,
    found: Option<(i64, i64)>,
    /// The first offset that may have existed when the question was asked.
    end_at_asking: i64,
    /// What lies before may have been gone then, and come back since.
    start_at_most: i64,
}

/// See the [module](self).
#[derive(Debug)]
pub struct Oracle {
    seed: u64,
    topics: Vec<Topic>,
    partitions: BTreeMap<Place, Partition>,
    writers: Vec<Writer>,
    batches: Batches,
    groups: Vec<GroupHistory>,
    acked_records: u64,
    counts: BTreeMap<&'static str, u64>,
    violation: Option<Violation>,
}

impl Oracle {
    /// An oracle that has seen nothing yet.
    pub fn new(seed: u64, options: &Options) -> Self {
        let topics = options.topics.iter().map(|drawn| Topic {
            name: drawn.name.clone(),
            id: None,
            partitions: drawn.partitions,
            page_cache: drawn.page_cache,
            retention: drawn.retention,
            delete_records: drawn.delete_records,
            log_append_time: drawn.log_append_time,
            compact: drawn.compact,
        });
        let writers = options.producers.iter().map(Writer::new).collect();
        Self {
            seed,
            topics: topics.collect(),
            partitions: BTreeMap::new(),
            writers,
            batches: Batches::default(),
            groups: options.groups.iter().map(GroupHistory::new).collect(),
            acked_records: 0,
            counts: BTreeMap::new(),
            violation: None,
        }
    }

    /// The topics that exist from the start.
    pub fn topics(&self) -> &[Topic] {
        &self.topics
    }

    /// A topic was created.
    pub fn topic_created(&mut self, topic: usize, id: Uuid) {
        let known = self.topics[topic].id.replace(id);
        let same = known.is_none_or(|known| known == id);
        self.require(same, "TopicIdForEver", || format!("topic {topic} had id {known:?}, now {id}"));
    }

    /// Every partition of the topics that exist.
    pub fn places(&self) -> Vec<Place> {
        let of = |(topic, known): (usize, &Topic)| {
            let exists = if known.id.is_some() { known.partitions } else { 0 };
            (0..exists).map(move |partition| Place { topic, partition })
        };
        self.topics.iter().enumerate().flat_map(of).collect()
    }

    /// A producer makes a record; it may be sent from now on.
    pub fn write(&mut self, writer: usize, sent: Sent) -> (RecordId, Record) {
        let id = self.writers[writer].push(writer, sent);
        (id, self.writers[writer].record(self.seed, id))
    }

    /// Which era a partition is in: what was learnt in an earlier one counts no more.
    pub fn era(&self, place: Place) -> u32 {
        self.partitions.get(&place).map_or(0, |partition| partition.era)
    }

    /// A batch was acknowledged. `era` is that of its sending; `offset` is missing where the protocol does not say.
    pub fn acked(&mut self, place: Place, era: u32, ids: &[RecordId], offset: i64) {
        let partition = self.partitions.entry(place).or_default();
        if partition.era != era {
            return;
        }
        self.acked_records += ids.len() as u64;
        for (id, offset) in ids.iter().zip(offset..) {
            let idempotent = self.writers[id.writer].idempotent;
            if let Err(violation) = partition.note_acked(place, *id, offset, idempotent) {
                return self.violate(violation);
            }
        }
    }

    /// What is in a batch: records that are, byte for byte, what somebody sent there. Others are violations.
    ///
    /// # Errors
    /// What is wrong with the batch's bytes.
    pub fn open_batch(&mut self, place: Place, base_offset: i64, batch: Bytes) -> Result<Rc<[Found]>, String> {
        if let Some(found) = self.batches.known(place, base_offset, &batch) {
            return Ok(found);
        }
        let mut found = Vec::new();
        for record in batches::open(&batch)? {
            match self.identify(place, &record) {
                Ok(id) => found.push(Found { id, offset: record.offset, timestamp: record.timestamp }),
                Err(violation) => self.violate(violation),
            }
        }
        Ok(self.batches.learn(place, base_offset, batch, found))
    }

    fn identify(&self, place: Place, record: &Record) -> Result<RecordId, Violation> {
        let phantom = |why: String| Violation {
            property: "NoPhantom",
            witness: format!("{place} offset {}: {why}: {}", record.offset, brief(record)),
        };
        let id = RecordId::of(record).ok_or_else(|| phantom("a record that nobody makes".to_owned()))?;
        let writer = self.writers.get(id.writer).ok_or_else(|| phantom("nobody has this number".to_owned()))?;
        let sent = writer.sent(id).ok_or_else(|| phantom("it was not sent yet".to_owned()))?;
        if sent.place != place {
            return Err(phantom(format!("it was sent to {}", sent.place)));
        }
        let expected = writer.record(self.seed, id);
        let same = expected.key == record.key && expected.value == record.value && expected.headers == record.headers;
        if !same {
            return Err(phantom(format!("its bytes differ from what was sent, {}", brief(&expected))));
        }
        if !self.topics[place.topic].log_append_time && expected.timestamp != record.timestamp {
            return Err(phantom(format!("its timestamp was {}", expected.timestamp)));
        }
        Ok(id)
    }

    /// A record was read at its offset. `era` is that of the question.
    pub fn read(&mut self, place: Place, era: u32, found: &Found) {
        let result = self.try_read(place, era, found);
        self.note(result);
    }

    fn try_read(&mut self, place: Place, era: u32, found: &Found) -> Result<(), Violation> {
        let writer = &self.writers[found.id.writer];
        if writer.sent(found.id).is_some_and(|sent| sent.refused) {
            let witness = format!("{place} offset {}: {} was refused", found.offset, found.id);
            return Err(Violation { property: "NoPhantom", witness });
        }
        let partition = self.partitions.entry(place).or_default();
        if partition.era != era {
            return Ok(());
        }
        partition.note_read(place, found, writer.idempotent)
    }

    /// Whether a reader who asked for an offset in an era may hear that there is no such offset.
    pub fn may_be_out_of_range(&self, place: Place, era: u32, offset: i64) -> bool {
        let topic = &self.topics[place.topic];
        if topic.page_cache || topic.retention {
            return true;
        }
        let Some(partition) = self.partitions.get(&place) else { return offset != 0 };
        let beyond = offset > partition.slots.len() as i64;
        beyond || offset < partition.delete_asked || partition.era != era
    }

    /// Somebody asks to delete what lies before an offset.
    pub fn delete_asked(&mut self, place: Place, offset: i64) {
        let partition = self.partitions.entry(place).or_default();
        partition.delete_asked = partition.delete_asked.max(offset);
    }

    /// That was done.
    pub fn delete_acked(&mut self, place: Place, offset: i64) {
        let partition = self.partitions.entry(place).or_default();
        partition.delete_acked = partition.delete_acked.max(offset);
    }

    /// The lowest offset that a reader who asks now may be given.
    pub fn log_start_at_least(&self, place: Place) -> i64 {
        self.partitions.get(&place).map_or(0, |partition| partition.delete_acked)
    }

    /// One more than the largest offset that anybody has heard of.
    pub fn end_at_least(&self, place: Place) -> i64 {
        self.partitions.get(&place).map_or(0, |partition| partition.slots.len() as i64)
    }

    /// A look-up by timestamp was answered: `found` is a timestamp and an offset.
    pub fn looked_up(&mut self, place: Place, era: u32, timestamp: i64, found: Option<(i64, i64)>, end_at_asking: i64) {
        let partition = self.partitions.entry(place).or_default();
        if partition.era == era {
            partition.lookups.push(Lookup { timestamp, found, end_at_asking, start_at_most: 0 });
        }
    }

    /// Power was lost: partitions that count on the page cache may have lost anything, all others nothing that counts. A log
    /// may start again where it did before somebody asked to delete records, or before retention.
    pub fn power_lost(&mut self) {
        for (place, partition) in &mut self.partitions {
            let topic = &self.topics[place.topic];
            let start_at_most = if topic.retention { i64::MAX } else { partition.delete_asked };
            partition.lookups.iter_mut().for_each(|lookup| lookup.start_at_most = start_at_most);
            if topic.page_cache {
                *partition =
                    Partition { era: partition.era + 1, delete_asked: partition.delete_asked, ..Partition::default() };
            }
        }
    }

    /// A reader begins to read everything there is.
    pub fn audit_begins(&mut self, place: Place) {
        let partition = self.partitions.entry(place).or_default();
        partition.slots.iter_mut().for_each(|slot| slot.audited = false);
    }

    /// A reader has read everything from `log_start` to the end of a partition, which is `end`.
    pub fn judge(&mut self, place: Place, log_start: i64, end: i64) {
        let topic = &self.topics[place.topic];
        let partition = self.partitions.entry(place).or_default();
        let key = |id: RecordId| self.writers[id.writer].record(self.seed, id).key;
        let result = partition.judge_log_start(place, log_start, topic.retention).and_then(|()| match topic.compact {
            true => partition.judge_compacted(place, log_start, key),
            false => {
                partition.judge_slots(place, log_start, end).and_then(|()| partition.judge_lookups(place, log_start))
            }
        });
        let result = result.and_then(|()| judge_groups(&self.groups, place, partition, log_start));
        self.note(result);
    }

    /// A group's history.
    pub fn group(&mut self, group: usize) -> &mut GroupHistory {
        &mut self.groups[group]
    }

    /// The group of a name, if it is one of the run's.
    pub fn group_named(&mut self, name: &str) -> Option<&mut GroupHistory> {
        self.groups.iter_mut().find(|group| group.name == name)
    }

    /// Every coordinator is gone, and with it, maybe, what it had decided last.
    pub fn coordinators_died(&mut self) {
        self.groups.iter_mut().for_each(GroupHistory::coordinator_died);
    }

    /// Something happened between clients and brokers that is worth counting.
    pub fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    /// How often each thing happened that was counted.
    pub fn take_counts(&mut self) -> BTreeMap<&'static str, u64> {
        std::mem::take(&mut self.counts)
    }

    /// How many groups there are.
    pub fn groups_count(&self) -> usize {
        self.groups.len()
    }

    /// Every partition that a group reads.
    pub fn places_of_group(&self, group: usize) -> Vec<Place> {
        let mut places = self.places();
        places.retain(|place| self.groups[group].reads(place.topic));
        places
    }

    /// Whether a group is stable and has got to the end of everything.
    pub fn group_is_settled(&mut self, group: usize) -> bool {
        let ends = self.group_ends(group);
        self.groups[group].is_settled(&ends)
    }

    /// What a group still lacks, in a few words.
    pub fn describe_group(&self, group: usize) -> String {
        self.groups[group].describe(&self.group_ends(group))
    }

    fn group_ends(&self, group: usize) -> BTreeMap<Place, i64> {
        self.places_of_group(group).into_iter().map(|place| (place, self.end_at_least(place))).collect()
    }

    /// How many records were acknowledged.
    pub fn acked_records(&self) -> u64 {
        self.acked_records
    }

    /// Notes a violation, unless `holds`.
    pub fn require(&mut self, holds: bool, property: &'static str, witness: impl FnOnce() -> String) {
        if !holds {
            self.violate(Violation { property, witness: witness() });
        }
    }

    /// Notes what was found, if it is a violation.
    pub fn note(&mut self, result: Result<(), Violation>) {
        if let Err(violation) = result {
            self.violate(violation);
        }
    }

    /// Notes a violation; the first counts.
    pub fn violate(&mut self, violation: Violation) {
        self.violation.get_or_insert(violation);
    }

    /// The first violation.
    pub fn violation(&self) -> Option<&Violation> {
        self.violation.as_ref()
    }

    /// Takes the first violation.
    pub fn take_violation(&mut self) -> Option<Violation> {
        self.violation.take()
    }
}

/// Whether every group has processed what is in a partition. What was lost under `flush=page-cache` makes room for records
/// at offsets that a group has passed.
fn judge_groups(groups: &[GroupHistory], place: Place, partition: &Partition, log_start: i64) -> Result<(), Violation> {
    if partition.era > 0 {
        return Ok(());
    }
    for group in groups.iter().filter(|group| group.reads(place.topic)) {
        let found = (0..).zip(&partition.slots).filter(|(offset, slot)| *offset >= log_start && slot.audited);
        for (offset, slot) in found {
            group.judge(place, offset, slot.acked.is_some())?;
        }
    }
    Ok(())
}

impl Partition {
    fn slot(&mut self, place: Place, offset: i64) -> Result<&mut Slot, Violation> {
        let index = usize::try_from(offset).ok().filter(|index| *index < OFFSETS_MAX);
        let index = index.ok_or_else(|| Violation {
            property: "Contiguous",
            witness: format!("{place}: offset {offset} is not one that could have been reached"),
        })?;
        if index >= self.slots.len() {
            self.slots.resize(index + 1, Slot::default());
        }
        Ok(&mut self.slots[index])
    }

    fn note_acked(&mut self, place: Place, id: RecordId, offset: i64, idempotent: bool) -> Result<(), Violation> {
        let slot = self.slot(place, offset)?;
        let others = [slot.acked, slot.read].into_iter().flatten().find(|other| *other != id);
        slot.acked = Some(id);
        if let Some(other) = others {
            let witness = format!("{place} offset {offset}: {id} is acknowledged there, but {other} was already");
            return Err(Violation { property: "ConsistentRead", witness });
        }
        self.note_place(place, id, offset, idempotent)
    }

    fn note_read(&mut self, place: Place, found: &Found, idempotent: bool) -> Result<(), Violation> {
        let Found { id, offset: at, timestamp } = *found;
        let slot = self.slot(place, at)?;
        let before = (slot.acked, slot.read);
        slot.read = Some(id);
        slot.audited = true;
        slot.timestamp = timestamp;
        if let (Some(acked), _) = before
            && acked != id
        {
            let witness = format!("{place} offset {at}: {acked} was acknowledged there, {id} is read");
            return Err(Violation { property: "NoAckedRecordLost", witness });
        }
        if let (_, Some(read)) = before
            && read != id
        {
            let witness = format!("{place} offset {at}: {read} was read there before, {id} is read now");
            return Err(Violation { property: "ConsistentRead", witness });
        }
        self.note_place(place, id, at, idempotent)
    }

    fn note_place(&mut self, place: Place, id: RecordId, offset: i64, idempotent: bool) -> Result<(), Violation> {
        if !idempotent {
            return Ok(());
        }
        let first = *self.places.entry(id).or_insert(offset);
        if first == offset {
            return Ok(());
        }
        let witness = format!("{place}: {id} of an idempotent producer stands at offset {first} and at {offset}");
        Err(Violation { property: "NoDuplicate", witness })
    }

    fn judge_log_start(&self, place: Place, log_start: i64, retention: bool) -> Result<(), Violation> {
        let violation = |witness| Err(Violation { property: "LogStart", witness });
        if log_start < self.delete_acked {
            return violation(format!(
                "{place} starts at {log_start}, but deleting before {} was acknowledged",
                self.delete_acked
            ));
        }
        if log_start > self.delete_asked && !retention {
            return violation(format!(
                "{place} starts at {log_start}, but nobody asked to delete further than {}",
                self.delete_asked
            ));
        }
        Ok(())
    }

    /// What is known to have been there, and is not, has been superseded.
    fn judge_compacted(
        &self,
        place: Place,
        log_start: i64,
        key: impl Fn(RecordId) -> Option<Bytes>,
    ) -> Result<(), Violation> {
        let mut newer = BTreeSet::new();
        let first = usize::try_from(log_start).unwrap_or(0);
        for (offset, slot) in self.slots.iter().enumerate().skip(first).rev() {
            let Some(id) = slot.acked.or(slot.read) else { continue };
            let is_newest = newer.insert(key(id));
            if is_newest && !slot.audited {
                let witness = format!("{place} offset {offset}: {id} is gone, and no newer record has its key");
                return Err(Violation { property: "NewestOfKeyKept", witness });
            }
        }
        Ok(())
    }

    fn judge_slots(&self, place: Place, log_start: i64, end: i64) -> Result<(), Violation> {
        for (offset, slot) in (0..).zip(&self.slots) {
            if offset < log_start {
                continue;
            }
            if let Some(acked) = slot.acked
                && slot.read.is_none()
            {
                let witness =
                    format!("{place} offset {offset}: {acked} was acknowledged; the log is {log_start}..{end}");
                return Err(Violation { property: "NoAckedRecordLost", witness });
            }
            if offset >= end && slot.read.is_some() {
                let witness = format!("{place} offset {offset} was read before; the log now ends at {end}");
                return Err(Violation { property: "ConsistentRead", witness });
            }
        }
        Ok(())
    }

    /// Offsets below the log's start are not looked at: what they held may be unknown.
    fn judge_lookups(&self, place: Place, log_start: i64) -> Result<(), Violation> {
        for lookup in &self.lookups {
            let found_at = lookup.found.map_or(lookup.end_at_asking, |(_, offset)| offset);
            let known = |offset: i64| self.slots.get(usize::try_from(offset).ok()?).filter(|slot| slot.read.is_some());
            let missed = (log_start.max(lookup.start_at_most)..found_at)
                .find(|offset| known(*offset).is_some_and(|slot| slot.timestamp >= lookup.timestamp));
            if let Some(missed) = missed {
                let witness = format!("{place}: {lookup:?} missed offset {missed}");
                return Err(Violation { property: "TimestampLookup", witness });
            }
            if let Some((timestamp, offset)) = lookup.found
                && let Some(slot) = known(offset)
                && (slot.timestamp != timestamp || timestamp < lookup.timestamp)
            {
                let witness = format!("{place}: {lookup:?}, but the record there has timestamp {}", slot.timestamp);
                return Err(Violation { property: "TimestampLookup", witness });
            }
        }
        Ok(())
    }
}

/// Offsets of one partition at most: more than any run can reach.
const OFFSETS_MAX: usize = 1 << 22;

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "topic-{}/{}", self.topic, self.partition)
    }
}

fn brief(record: &Record) -> String {
    let len = |bytes: &Option<bytes::Bytes>| bytes.as_ref().map(bytes::Bytes::len);
    let (key, value) = (len(&record.key), len(&record.value));
    format!("timestamp {}, key {key:?}, value {value:?}, {} headers", record.timestamp, record.headers.len())
}
