//! Both brokers: asking them the same, waiting until they have settled, emptying them again.

use std::io;
use std::time::{Duration, Instant, SystemTime};

use highwater_wire::create_topics::{CreatableTopic, CreatableTopicConfig, CreateTopicsRequest};
use highwater_wire::delete_topics::{DeleteTopicState, DeleteTopicsRequest};
use highwater_wire::incremental_alter_configs::{
    AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest,
};
use highwater_wire::init_producer_id::InitProducerIdRequest;
use highwater_wire::list_offsets::{ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic};
use highwater_wire::metadata::{MetadataRequest, MetadataResponse};
use highwater_wire::offset_for_leader_epoch::{
    OffsetForLeaderEpochRequest, OffsetForLeaderPartition, OffsetForLeaderTopic,
};
use highwater_wire::produce::{PartitionProduceData, ProduceRequest, TopicProduceData};
use highwater_wire::records::{BatchBuilder, Compression, Record};
use highwater_wire::testing::Tree;
use highwater_wire::{AnyRequest, AnyResponse, ErrorCode, Records};

use crate::cleaning;
use crate::compare::{Difference, compare};
use crate::generate::BROKER_KEYS;
use crate::ids::{Ids, Who};
use crate::side::{Answer, Side};
use crate::step::Step;

/// A topic that only the settling uses; it outlives the sequences.
pub const BARRIER: &str = "barrier";

/// The brokers and what was learned about them in this sequence.
#[derive(Debug)]
pub struct World {
    kafka: Side,
    highwater: Side,
    /// The ids of this sequence.
    pub ids: Ids,
    /// Whether the barrier's topic takes large batches now.
    barrier_is_high: bool,
}

/// What both brokers did with a step.
#[derive(Debug)]
pub struct Outcome {
    /// Kafka's answer.
    pub kafka: Answer,
    /// Highwater's answer.
    pub highwater: Answer,
    /// Where they differ.
    pub differences: Vec<Difference>,
    /// Where logs end by now, after a request whose answer does not tell: topic, partition, offset.
    pub ends: Vec<(String, i32, i64)>,
}

/// How long a broker may take to settle.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long to wait before asking again.
const PAUSE: Duration = Duration::from_millis(10);
/// How often a topic that is created on first use is asked for until it is there. One that cannot be created never is.
const ASKS_MAX: usize = 100;
/// Sizes of batches that the barrier's topic takes; the batch that probes it lies between.
const BARRIER_BYTES: [&str; 2] = ["70", "1000"];

impl World {
    /// Takes two brokers that nobody else uses.
    pub fn open(kafka: Side, highwater: Side) -> io::Result<Self> {
        let mut world = Self { kafka, highwater, ids: Ids::default(), barrier_is_high: false };
        for side in [&mut world.kafka, &mut world.highwater] {
            wait_for_producer_ids(side)?;
            cleaning::wait_for_coordinators(side)?;
            make_barrier(side)?;
        }
        world.settle()?;
        for side in [&mut world.kafka, &mut world.highwater] {
            let cluster = metadata(side)?.cluster_id.unwrap_or_default();
            side.own_words.push((cluster, "CLUSTER"));
        }
        Ok(world)
    }

    /// Adds a word that only one broker uses.
    pub fn add_own_word(&mut self, who: Who, text: String, word: &'static str) {
        let side = match who {
            Who::Kafka => &mut self.kafka,
            Who::Highwater => &mut self.highwater,
        };
        side.own_words.push((text, word));
    }

    /// Empties both brokers and forgets their ids.
    pub fn reset(&mut self) -> io::Result<()> {
        for side in [&mut self.kafka, &mut self.highwater] {
            cleaning::remove_groups(side)?;
            let clear = |name: &str| AlterConfigsResource {
                resource_type: 4,
                resource_name: name.to_owned(),
                configs: BROKER_KEYS.iter().filter(|(key, _)| !is_read_only(key)).map(|(key, _)| delete(key)).collect(),
            };
            let request =
                IncrementalAlterConfigsRequest { resources: vec![clear(""), clear("1")], validate_only: false };
            for row in side.ask(&request, 1)?.responses {
                expect_none(row.error_code, &format!("resetting the brokers' configuration: {:?}", row.error_message))?;
            }
            let topics = metadata(side)?.topics.into_iter().filter(|topic| !topic.is_internal);
            let topics = topics.filter_map(|topic| topic.name).filter(|name| name != BARRIER);
            let topics: Vec<_> =
                topics.map(|name| DeleteTopicState { name: Some(name), ..Default::default() }).collect();
            let request = DeleteTopicsRequest { topics, timeout_ms: 30_000, ..Default::default() };
            for row in side.ask(&request, 6)?.responses {
                expect_none(row.error_code, "deleting a topic")?;
            }
        }
        self.settle()?;
        self.ids = Ids::default();
        Ok(())
    }

    /// Asks both brokers and compares what they say.
    pub fn play(&mut self, step: &Step) -> io::Result<Outcome> {
        if matches!(step.request, AnyRequest::Produce(_)) {
            // Both brokers see every batch at another time, or the order of times would be left to chance.
            wait_for_next_millisecond();
        }
        self.kafka.send(step, &self.ids)?;
        self.highwater.send(step, &self.ids)?;
        let mut kafka = self.kafka.receive(step)?;
        let mut highwater = self.highwater.receive(step)?;
        let mut asks = 0;
        while asks < ASKS_MAX && (is_transient(step, &kafka) || is_transient(step, &highwater)) {
            std::thread::sleep(PAUSE);
            for (side, answer) in [(&mut self.kafka, &mut kafka), (&mut self.highwater, &mut highwater)] {
                if is_transient(step, answer) {
                    side.send(step, &self.ids)?;
                    *answer = side.receive(step)?;
                }
            }
            asks += 1;
        }
        if asks > 0 || (changes_metadata(step) && (has_success(&kafka) || has_success(&highwater))) {
            self.settle()?;
        }
        let mut ends = Vec::new();
        if step.is_silent() {
            ends = wait_for_high_watermarks(&mut self.highwater)?;
        }
        self.ids.begin_step(step.number);
        let own_words = [&*self.kafka.own_words, &*self.highwater.own_words];
        let differences = compare(&kafka, &highwater, &mut self.ids, own_words);
        Ok(Outcome { kafka, highwater, differences, ends })
    }

    /// Waits until both brokers act by all metadata that was changed so far.
    ///
    /// Kafka's broker adopts changes after the controller has answered, one after the other: first topics, then
    /// configuration. When a change of the barrier's configuration shows in what its log accepts, all that came before
    /// has been adopted, and after a second change all other configuration that was adopted together with the first.
    fn settle(&mut self) -> io::Result<()> {
        for _ in 0..2 {
            self.barrier_is_high = !self.barrier_is_high;
            for side in [&mut self.kafka, &mut self.highwater] {
                let value = BARRIER_BYTES[usize::from(self.barrier_is_high)];
                let configs = vec![set("max.message.bytes", value)];
                let resource = AlterConfigsResource { resource_type: 2, resource_name: BARRIER.to_owned(), configs };
                let request = IncrementalAlterConfigsRequest { resources: vec![resource], validate_only: false };
                expect_none(side.ask(&request, 1)?.responses[0].error_code, "changing the barrier")?;
            }
            for side in [&mut self.kafka, &mut self.highwater] {
                wait_for_barrier(side, self.barrier_is_high)?;
            }
        }
        Ok(())
    }
}

/// Whether an answer only says that it is too early to ask.
fn is_transient(step: &Step, answer: &Answer) -> bool {
    let Answer::Response(response) = answer else { return false };
    let is = |code: i16, errors: &[ErrorCode]| errors.iter().any(|error| error.code() == code);
    match (&step.request, response) {
        (AnyRequest::Metadata(request), AnyResponse::Metadata(response)) if request.allow_auto_topic_creation => {
            let early = [ErrorCode::UnknownTopicOrPartition, ErrorCode::LeaderNotAvailable];
            response.topics.iter().any(|topic| is(topic.error_code, &early))
        }
        (_, AnyResponse::InitProducerId(response)) => is(response.error_code, &[ErrorCode::CoordinatorLoadInProgress]),
        _ => false,
    }
}

fn changes_metadata(step: &Step) -> bool {
    matches!(
        step.request,
        AnyRequest::CreateTopics(_)
            | AnyRequest::DeleteTopics(_)
            | AnyRequest::CreatePartitions(_)
            | AnyRequest::AlterConfigs(_)
            | AnyRequest::IncrementalAlterConfigs(_)
    )
}

/// Whether any row of an answer says that it went well.
fn has_success(answer: &Answer) -> bool {
    fn any(tree: &Tree) -> bool {
        match tree {
            Tree::Part(fields) => {
                fields.iter().any(|(name, value)| (*name == "error_code" && *value == Tree::Integer(0)) || any(value))
            }
            Tree::List(elements) => elements.iter().any(any),
            _ => false,
        }
    }
    matches!(answer, Answer::Response(response) if any(&response.to_tree()))
}

fn is_read_only(key: &str) -> bool {
    matches!(key, "node.id" | "log.dirs" | "num.partitions" | "auto.create.topics.enable")
}

fn set(key: &str, value: &str) -> AlterableConfig {
    AlterableConfig { name: key.to_owned(), config_operation: 0, value: Some(value.to_owned()) }
}

fn delete(key: &str) -> AlterableConfig {
    AlterableConfig { name: key.to_owned(), config_operation: 1, value: None }
}

/// Fails with `what` unless a code stands for no error.
pub fn expect_none(code: i16, what: &str) -> io::Result<()> {
    if code == 0 {
        return Ok(());
    }
    let name = ErrorCode::try_from(code).map_or_else(|code| code.to_string(), |code| code.name().to_owned());
    Err(io::Error::other(format!("{what}: {name}")))
}

fn metadata(side: &mut Side) -> io::Result<MetadataResponse> {
    side.ask(&MetadataRequest { topics: None, allow_auto_topic_creation: false, ..Default::default() }, 12)
}

/// Kafka asks for its first block of ids when it is first asked for one.
fn wait_for_producer_ids(side: &mut Side) -> io::Result<()> {
    poll("giving out producer ids", || {
        let code = side.ask(&InitProducerIdRequest::default(), 4)?.error_code;
        Ok(code != ErrorCode::CoordinatorLoadInProgress.code())
    })
}

fn make_barrier(side: &mut Side) -> io::Result<()> {
    let config = |name: &str, value: &str| CreatableTopicConfig { name: name.into(), value: Some(value.into()) };
    let topic = CreatableTopic {
        name: BARRIER.to_owned(),
        num_partitions: 1,
        replication_factor: 1,
        configs: vec![config("message.timestamp.type", "CreateTime"), config("message.timestamp.after.max.ms", "1000")],
        ..Default::default()
    };
    let response = side.ask(&CreateTopicsRequest { topics: vec![topic], ..Default::default() }, 7)?;
    // An earlier run may have left it.
    let code = response.topics[0].error_code;
    expect_none(if code == ErrorCode::TopicAlreadyExists.code() { 0 } else { code }, "creating the barrier")
}

/// Produces a batch from the future: it is never accepted, but refused for its size only where that is too large.
fn wait_for_barrier(side: &mut Side, is_high: bool) -> io::Result<()> {
    let expected = if is_high { ErrorCode::InvalidTimestamp } else { ErrorCode::MessageTooLarge };
    let mut builder = BatchBuilder::new(Compression::None);
    builder.push(&Record { timestamp: 4_000_000_000_000, value: Some(vec![b'x'; 60].into()), ..Default::default() });
    let data = PartitionProduceData { index: 0, records: Records::Inline(builder.build()) };
    let topic = TopicProduceData { name: BARRIER.to_owned(), partition_data: vec![data], ..Default::default() };
    let request = ProduceRequest { acks: 1, timeout_ms: 1000, topic_data: vec![topic], ..Default::default() };
    poll("adopting metadata", || {
        let code = side.ask(&request, 9)?.responses[0].partition_responses[0].error_code;
        Ok(code == expected.code())
    })
}

/// Nobody is told when records that were sent with acks=0 are visible: waits until all are, and tells where logs end.
/// Kafka's are at once, since it does not wait for the disk.
fn wait_for_high_watermarks(side: &mut Side) -> io::Result<Vec<(String, i32, i64)>> {
    let (mut latest, mut written) =
        (ListOffsetsRequest { replica_id: -1, ..Default::default() }, OffsetForLeaderEpochRequest::default());
    for topic in metadata(side)?.topics.into_iter().filter(|topic| !topic.is_internal) {
        let Some(name) = topic.name else { continue };
        let indexes = topic.partitions.iter().map(|partition| partition.partition_index);
        latest.topics.push(ListOffsetsTopic {
            name: name.clone(),
            partitions: indexes
                .clone()
                .map(|partition_index| ListOffsetsPartition { partition_index, timestamp: -1, ..Default::default() })
                .collect(),
        });
        written.topics.push(OffsetForLeaderTopic {
            topic: name,
            partitions: indexes.map(|partition| OffsetForLeaderPartition { partition, ..Default::default() }).collect(),
        });
    }
    let mut ends = Vec::new();
    poll("making records visible", || {
        let latest = side.ask(&latest, 5)?.topics.into_iter();
        ends = latest
            .flat_map(|topic| topic.partitions.into_iter().map(move |row| (topic.name.clone(), row)))
            .map(|(topic, row)| (topic, row.partition_index, row.offset))
            .collect();
        let written = side.ask(&written, 3)?.topics.into_iter().flat_map(|topic| topic.partitions);
        Ok(ends.iter().zip(written).all(|((_, _, end), written)| written.end_offset < 0 || *end == written.end_offset))
    })?;
    Ok(ends)
}

/// Asks again and again until it is done, or fails with `what`.
pub fn poll(what: &str, mut is_done: impl FnMut() -> io::Result<bool>) -> io::Result<()> {
    let begin = Instant::now();
    while !is_done()? {
        if begin.elapsed() > PATIENCE {
            return Err(io::Error::new(io::ErrorKind::TimedOut, format!("{what} takes too long")));
        }
        std::thread::sleep(Duration::from_micros(300));
    }
    Ok(())
}

fn wait_for_next_millisecond() {
    let now = || SystemTime::UNIX_EPOCH.elapsed().map_or(0, |now| now.as_millis());
    let begin = now();
    while now() == begin {
        std::thread::sleep(Duration::from_micros(100));
    }
}
