//! Golden traces: steps into a client, and what comes out of it as text.

mod calls;
mod chaos;
mod connections;
mod consuming;
mod producing;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use highwater_wire::api_versions::{ApiVersion, ApiVersionsResponse};
use highwater_wire::fetch::{FetchResponse, FetchableTopicResponse, PartitionData};
use highwater_wire::init_producer_id::InitProducerIdResponse;
use highwater_wire::metadata::{
    MetadataResponse, MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use highwater_wire::produce::{PartitionProduceResponse, ProduceResponse, TopicProduceResponse};
use highwater_wire::records::{BatchBuilder, BatchHeader, Compression, Record, records};
use highwater_wire::{AnyRequest, AnyResponse, ApiKey, ErrorCode, Records, Uuid, decode_request};

use super::*;
use crate::ids::{CommandId, ConnectionId, PartitionIndex};
use crate::time::WallMs;

const TOPIC_ID: Uuid = Uuid(0x70);

/// A client, its clock, and the requests that nobody has answered yet.
struct Script {
    client: Client,
    now: Now,
    waiting: BTreeMap<ConnectionId, VecDeque<(i32, i16, AnyRequest)>>,
}

fn config() -> ClientConfig {
    let mut config = ClientConfig::new(vec![Address { host: "boot".into(), port: 9092 }]);
    config.producer.linger = Duration::ZERO;
    config
}

impl Script {
    fn new(config: &ClientConfig) -> Self {
        let now = Now { mono: Instant(1), wall: WallMs(1_000) };
        Self { client: Client::new(config), now, waiting: BTreeMap::new() }
    }

    /// A client that is connected to broker 1 as connection 0 and knows topic `t` with `partitions` led by it.
    fn with_topic(config: &ClientConfig, partitions: i32) -> Self {
        let mut script = Self::new(config);
        script.call(
            900,
            Target::Leader(TopicPartition::new("t", PartitionIndex(0))),
            AnyRequest::ApiVersions(Default::default()),
        );
        script.connected(0);
        script.answer(0, api_versions());
        script.answer(0, metadata(&[(1, "boot")], &vec![1; partitions as usize]));
        script.answer(0, api_versions());
        script
    }

    fn step(&mut self, input: Input) -> Vec<String> {
        let mut out = Outbox::default();
        self.client.handle(self.now, input, &mut out);
        self.client.check();
        if let Some(at) = self.client.poll_timeout() {
            assert!(at > self.now.mono, "a deadline lies ahead");
        }
        let mut lines: Vec<String> = out.effects.iter().map(|effect| self.effect(effect)).collect();
        lines.extend(out.completions.iter().map(completion));
        lines
    }

    fn produce(&mut self, id: u64, partition: Option<i32>, value: &'static str) -> Vec<String> {
        let record = NewRecord {
            topic: "t".into(),
            partition: partition.map(PartitionIndex),
            value: Some(Bytes::from_static(value.as_bytes())),
            ..Default::default()
        };
        self.step(Input::Command(Command::Produce { id: CommandId(id), record }))
    }

    fn assign(&mut self, partition: i32, from: Position) -> Vec<String> {
        let partition = TopicPartition::new("t", PartitionIndex(partition));
        self.step(Input::Command(Command::Assign { partition, from }))
    }

    fn call(&mut self, id: u64, target: Target, request: AnyRequest) -> Vec<String> {
        self.step(Input::Command(Command::Call { id: CommandId(id), target, request }))
    }

    fn connected(&mut self, connection: u64) -> Vec<String> {
        self.step(Input::Connected(ConnectionId(connection)))
    }

    fn disconnected(&mut self, connection: u64) -> Vec<String> {
        self.waiting.remove(&ConnectionId(connection));
        self.step(Input::Disconnected(ConnectionId(connection), "reset".into()))
    }

    /// Answers the oldest request of a connection.
    fn answer(&mut self, connection: u64, response: impl Into<AnyResponse>) -> Vec<String> {
        let waiting = self.waiting.get_mut(&ConnectionId(connection)).unwrap();
        let (correlation_id, version, _) = waiting.pop_front().unwrap();
        let frame = response.into().encode_frame(version, correlation_id).unwrap().into_bytes();
        self.frame(connection, frame.slice(4..))
    }

    fn frame(&mut self, connection: u64, frame: Bytes) -> Vec<String> {
        self.step(Input::Frame(ConnectionId(connection), frame))
    }

    /// Lets time pass, waking the client whenever it wants to.
    fn advance(&mut self, ms: u64) -> Vec<String> {
        let end = self.now.mono + Duration::from_millis(ms);
        let mut lines = Vec::new();
        while let Some(at) = self.client.poll_timeout().filter(|at| *at <= end) {
            self.now.mono = at;
            lines.extend(self.step(Input::Timeout));
        }
        self.now.mono = end;
        lines
    }

    fn effect(&mut self, effect: &Effect) -> String {
        match effect {
            Effect::Connect { connection, address } => format!("connect {connection} {address}"),
            Effect::Close { connection } => format!("close {connection}"),
            Effect::Send { connection, frame } => {
                let (header, request) = decode_request(&frame.slice(4..)).unwrap();
                let text = format!("send {connection} {}", describe(header.version, &request));
                if !matches!(&request, AnyRequest::Produce(produce) if produce.acks == 0) {
                    self.waiting.entry(*connection).or_default().push_back((
                        header.correlation_id,
                        header.version,
                        request,
                    ));
                }
                text
            }
        }
    }
}

fn describe(version: i16, request: &AnyRequest) -> String {
    let rest = match request {
        AnyRequest::Produce(request) => {
            let rows = request.topic_data.iter().flat_map(|topic| &topic.partition_data);
            rows.map(|row| format!(" {}:{}", row.index, batch_text(&row.records))).collect()
        }
        AnyRequest::Fetch(request) => {
            let rows = request.topics.iter().flat_map(|topic| &topic.partitions);
            let rows: String = rows.map(|row| format!(" {}@{}", row.partition, row.fetch_offset)).collect();
            format!(" session {}/{}{rows}", request.session_id, request.session_epoch)
        }
        AnyRequest::ListOffsets(request) => {
            let rows = request.topics.iter().flat_map(|topic| &topic.partitions);
            rows.map(|row| format!(" {}@{}", row.partition_index, row.timestamp)).collect()
        }
        _ => String::new(),
    };
    format!("{} v{version}{rest}", request.key())
}

/// The values of a batch, with the producer's epoch and first sequence.
fn batch_text(batch: &Records) -> String {
    let Records::Inline(bytes) = batch else { panic!("a client sends its records inline") };
    let header = BatchHeader::parse(bytes).unwrap();
    let values = records(bytes, u64::MAX).unwrap().map(|record| text(&record.unwrap()));
    let values = values.collect::<Vec<_>>().join(",");
    if header.has_producer_id() {
        format!("{values}#{}/{}", header.producer_epoch, header.base_sequence)
    } else {
        values
    }
}

fn text(record: &Record) -> String {
    String::from_utf8(record.value.clone().unwrap().to_vec()).unwrap()
}

fn completion(completion: &Completion) -> String {
    match completion {
        Completion::Produced { id, outcome: Ok(produced) } => {
            let offset = produced.offset.map_or("?".to_owned(), |offset| offset.to_string());
            format!("ok {id} {}@{offset}", produced.partition)
        }
        Completion::Produced { id, outcome: Err(error) } => {
            format!("{} {id} {}", if error.maybe_written { "info" } else { "fail" }, error.reason)
        }
        Completion::Fetched { partition, records, .. } => {
            let rows: Vec<_> = records.iter().map(|record| format!("{}:{}", record.offset, text(record))).collect();
            format!("fetched {partition} {}", rows.join(","))
        }
        Completion::ReachedEnd { partition, offset } => format!("end {partition}@{offset}"),
        Completion::ConsumeFailed { partition, error } => format!("failed {partition} {error}"),
        Completion::Answered { id, outcome: Ok(_) } => format!("answered {id}"),
        Completion::Answered { id, outcome: Err(error) } => format!("unanswered {id} {error}"),
        Completion::Unreachable { address, reason } => format!("unreachable {address} {reason}"),
    }
}

/// All that this client speaks.
fn api_versions() -> ApiVersionsResponse {
    let api = |api: &ApiKey| ApiVersion {
        api_key: *api as i16,
        min_version: *api.versions().start(),
        max_version: *api.versions().end(),
    };
    ApiVersionsResponse { api_keys: ApiKey::ALL.iter().map(api).collect(), ..Default::default() }
}

/// Brokers by id and host, and the leader of each partition of topic `t` (-1 for none).
fn metadata(brokers: &[(i32, &str)], leaders: &[i32]) -> MetadataResponse {
    let broker = |(node_id, host): &(i32, &str)| MetadataResponseBroker {
        node_id: *node_id,
        host: (*host).to_owned(),
        port: 9092,
        ..Default::default()
    };
    let partition = |(index, leader): (usize, &i32)| MetadataResponsePartition {
        partition_index: index as i32,
        leader_id: *leader,
        leader_epoch: 1,
        ..Default::default()
    };
    MetadataResponse {
        brokers: brokers.iter().map(broker).collect(),
        controller_id: brokers[0].0,
        topics: vec![MetadataResponseTopic {
            name: Some("t".into()),
            topic_id: TOPIC_ID,
            partitions: leaders.iter().enumerate().map(partition).collect(),
            ..Default::default()
        }],
        ..Default::default()
    }
}

fn unknown_topic() -> MetadataResponse {
    let mut response = metadata(&[(1, "boot")], &[]);
    response.topics[0].error_code = ErrorCode::UnknownTopicOrPartition as i16;
    response
}

fn producer_id(id: i64) -> InitProducerIdResponse {
    InitProducerIdResponse { producer_id: id, producer_epoch: 0, ..Default::default() }
}

/// The answer to a produce request about one partition.
fn produced(index: i32, result: Result<i64, ErrorCode>) -> ProduceResponse {
    let row = PartitionProduceResponse {
        index,
        error_code: result.err().map_or(0, |code| code as i16),
        base_offset: result.unwrap_or(-1),
        ..Default::default()
    };
    let topic = TopicProduceResponse { name: "t".into(), topic_id: TOPIC_ID, partition_responses: vec![row] };
    ProduceResponse { responses: vec![topic], ..Default::default() }
}

/// The answer to a fetch about one partition.
fn fetched(
    session_id: i32,
    index: i32,
    error: Option<ErrorCode>,
    records: Bytes,
    high_watermark: i64,
) -> FetchResponse {
    let row = PartitionData {
        partition_index: index,
        error_code: error.map_or(0, |code| code as i16),
        high_watermark,
        last_stable_offset: high_watermark,
        records: records.into(),
        ..Default::default()
    };
    let topic = FetchableTopicResponse { topic: "t".into(), topic_id: TOPIC_ID, partitions: vec![row] };
    FetchResponse { session_id, responses: vec![topic], ..Default::default() }
}

fn batch(base_offset: i64, values: &[&'static str]) -> Bytes {
    let mut builder = BatchBuilder::new(Compression::None).base_offset(base_offset);
    for value in values {
        builder.push(&Record { value: Some(Bytes::from_static(value.as_bytes())), ..Default::default() });
    }
    builder.build()
}
