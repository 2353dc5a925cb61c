//! A shard on a disk in memory, with a controller that decides at once and syncs that end when a test says so.

use bytes::Bytes;
use highwater_wire::create_topics::{CreatableTopic, CreatableTopicConfig, CreateTopicsRequest};
use highwater_wire::fetch::{FetchPartition, FetchRequest, FetchResponse, FetchTopic};
use highwater_wire::metadata::{MetadataRequest, MetadataRequestTopic};
use highwater_wire::produce::{PartitionProduceData, ProduceRequest, ProduceResponse, TopicProduceData};
use highwater_wire::records::{BatchBuilder, Batches, Compression, Record, records};
use highwater_wire::{AnyRequest, AnyResponse, ApiKey, ErrorCode, Records};

use super::*;
use crate::controller::{Controller, ControllerRequest, ControllerResponse, Registration, Request};
use crate::disk::LogPath;
use crate::disk::memory::MemoryDisk;
use crate::event::Event;
use crate::ids::{ConnectionId, Incarnation, JobId, Offset, PartitionIndex, Ticket, TopicId};
use crate::log::RecoveryPoints;
use crate::outbox::{CloseReason, ConnectionInput, Flow, Job, Part};
use crate::partition::directory;
use crate::replicated::{Origin, StateMachine};
use crate::time::WallMs;
use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

mod groups;
mod groups_bad_input;
mod random_requests;

const CLIENT: ConnectionId = ConnectionId(1);
const SHARD: ShardId = ShardId(1);

struct World {
    shard: Shard<MemoryDisk>,
    controller: Controller,
    out: Outbox,
    now: Now,
    next_offset: i64,
    correlation_id: i32,
    asked: VecDeque<(i32, ApiKey, i16)>,
    answers: Vec<AnyResponse>,
    events: Vec<Event>,
    flow: Vec<Flow>,
    halt: Option<Halt>,
    /// Jobs that run when a test says so, if it wants to say so.
    held_jobs: Option<Vec<(JobId, Job)>>,
}

impl World {
    /// A broker that is ready, with one topic `t` of two partitions and one client.
    fn new() -> Self {
        let mut world = Self::on(MemoryDisk::new());
        world.controller_decides(Request::Found { cluster_id: "test".to_owned() });
        world.start();
        world.create_topic("t", 2);
        world
    }

    fn on(disk: MemoryDisk) -> Self {
        let config = Arc::new(BrokerConfig::from_pairs([]).unwrap());
        let now = Now { mono: Instant(1), wall: WallMs(1_000_000) };
        Self {
            shard: Shard::open(SHARD, 1, Arc::clone(&config), disk, [7; 32], now).unwrap(),
            controller: Controller::new(config),
            out: Outbox::default(),
            now,
            next_offset: 0,
            correlation_id: 0,
            asked: VecDeque::new(),
            answers: Vec::new(),
            events: Vec::new(),
            flow: Vec::new(),
            halt: None,
            held_jobs: None,
        }
    }

    /// Registers the broker, lets the shard recover, opens a connection.
    fn start(&mut self) {
        let config = Arc::clone(&self.shard.config);
        let incarnation = Incarnation(self.next_offset as u128);
        self.controller_decides(Request::Register(Registration::new(&config, incarnation, 1)));
        self.publish();
        self.sync_all();
        assert!(self.events.contains(&Event::Ready), "recovery ends with its first sync");
        let peer = IpAddr::V4(Ipv4Addr::LOCALHOST);
        self.handle(Input::Connection(CLIENT, ConnectionInput::Opened { listener: 0, peer }));
    }

    /// Stops the process without any warning and starts it again on the same files.
    fn restart(self) -> Self {
        self.restart_on(|_| {})
    }

    /// The same, with something done to the files meanwhile.
    fn restart_on(self, change: impl FnOnce(&mut MemoryDisk)) -> Self {
        let mut disk = self.shard.partitions.into_disk();
        change(&mut disk);
        let mut world = Self { controller: self.controller, next_offset: self.next_offset, ..Self::on(disk) };
        world.start();
        world
    }

    fn controller_decides(&mut self, request: Request) -> Vec<(Origin, ControllerResponse)> {
        let decision = self.controller.decide(self.now, &request);
        for record in &decision.records {
            self.controller.apply(Offset(self.next_offset), record);
            self.next_offset += 1;
        }
        decision.replies
    }

    fn publish(&mut self) {
        let image = Arc::clone(self.controller.image());
        self.handle(Input::Shard(ShardId::CONTROLLER, ShardMessage::Image(image)));
    }

    fn handle(&mut self, input: Input) {
        self.shard.handle(self.now, input, &mut self.out);
        while self.shard.poll_timeout().is_some_and(|(at, _)| at <= self.now.mono) {
            self.shard.handle(self.now, Input::Timeout, &mut self.out);
        }
        self.shard.check();
        self.deliver();
    }

    fn deliver(&mut self) {
        self.events.append(&mut self.out.events);
        self.flow.extend(self.out.flow.drain(..).map(|(_, flow)| flow));
        self.halt = self.halt.take().or(self.out.halt.take());
        for (_, reply) in std::mem::take(&mut self.out.replies) {
            let frame = collect(&reply.parts);
            let (correlation_id, api, version) = self.asked.pop_front().expect("an answer has a request");
            let (answered, response) = AnyResponse::decode_frame(&frame.slice(4..), api, version).unwrap();
            assert_eq!(answered, correlation_id, "answers come in the order of requests");
            self.answers.push(response);
        }
        let jobs = std::mem::take(&mut self.out.jobs);
        if let Some(held) = &mut self.held_jobs {
            held.extend(jobs);
            return self.deliver_messages();
        }
        for (job, work) in jobs {
            self.handle(Input::JobDone { job, output: work.run() });
        }
        self.deliver_messages();
    }

    fn deliver_messages(&mut self) {
        for (to, message) in std::mem::take(&mut self.out.shards) {
            assert_eq!(to, ShardId::CONTROLLER, "there is one data shard");
            if let ShardMessage::ControllerRequest { ticket, request } = message {
                self.answer_as_controller(ticket, request);
            }
        }
    }

    fn answer_as_controller(&mut self, ticket: Ticket, request: ControllerRequest) {
        let origin = Origin { shard: SHARD, ticket };
        let entropy = u128::from(ticket.0) + 0x7777;
        let replies = self.controller_decides(Request::Ask { origin, entropy, request });
        self.publish();
        for (_, response) in replies {
            self.handle(Input::Shard(ShardId::CONTROLLER, ShardMessage::ControllerResponse { ticket, response }));
        }
    }

    /// Ends the syncs that have been asked for, and those that follow from them.
    fn sync_all(&mut self) {
        while !self.out.syncs.is_empty() {
            for request in std::mem::take(&mut self.out.syncs) {
                self.handle(Input::Synced { token: request.token, result: Ok(()) });
            }
        }
    }

    fn advance(&mut self, duration: Duration) {
        self.now.mono = self.now.mono + duration;
        self.handle(Input::Timeout);
    }

    fn send(&mut self, request: impl Into<AnyRequest>, version: i16) {
        let request = request.into();
        self.correlation_id += 1;
        let frame = request.encode_frame(version, self.correlation_id, Some("test")).unwrap().bytes;
        let wants_answer = !matches!(&request, AnyRequest::Produce(produce) if produce.acks == 0);
        if wants_answer {
            self.asked.push_back((self.correlation_id, request.key(), version));
        }
        self.handle(Input::Connection(CLIENT, ConnectionInput::Frame(frame.slice(4..))));
    }

    fn create_topic(&mut self, name: &str, num_partitions: i32) {
        self.create_configured_topic(name, num_partitions, &[]);
    }

    fn create_configured_topic(&mut self, name: &str, num_partitions: i32, configs: &[(&str, &str)]) {
        let configs = configs
            .iter()
            .map(|(key, value)| CreatableTopicConfig { name: (*key).to_owned(), value: Some((*value).to_owned()) });
        let topic = CreatableTopic {
            name: name.to_owned(),
            num_partitions,
            replication_factor: 1,
            configs: configs.collect(),
            ..Default::default()
        };
        self.send(CreateTopicsRequest { topics: vec![topic], timeout_ms: 1000, ..Default::default() }, 7);
        let Some(AnyResponse::CreateTopics(response)) = self.answers.pop() else { panic!("no answer") };
        assert_eq!(response.topics[0].error_code, 0, "{response:?}");
        self.sync_all();
    }

    fn produced(&mut self) -> Vec<ProduceResponse> {
        let produced = std::mem::take(&mut self.answers).into_iter().map(|answer| match answer {
            AnyResponse::Produce(response) => response,
            other => panic!("not a produce response: {other:?}"),
        });
        produced.collect()
    }

    fn fetched(&mut self) -> FetchResponse {
        match self.answers.pop() {
            Some(AnyResponse::Fetch(response)) => response,
            other => panic!("not a fetch response: {other:?}"),
        }
    }

    /// Produces and syncs.
    fn append(&mut self, partition: i32, values: &[&str]) {
        self.send(produce(-1, "t", partition, batch(values)), 12);
        self.sync_all();
        let [response] = &self.produced()[..] else { panic!("one answer") };
        assert_eq!(response.responses[0].partition_responses[0].error_code, 0, "{response:?}");
    }
}

fn collect(parts: &[Part]) -> Bytes {
    let mut frame = Vec::new();
    for part in parts {
        match part {
            Part::Bytes(bytes) => frame.extend_from_slice(bytes),
            Part::File(slice) => {
                let mut bytes = vec![0; slice.len as usize];
                slice.bytes.read_exact_at(slice.pos, &mut bytes).unwrap();
                frame.extend(bytes);
            }
        }
    }
    frame.into()
}

fn batch(values: &[&str]) -> Bytes {
    let mut builder = BatchBuilder::new(Compression::None);
    for (offset, value) in (0..).zip(values) {
        let value = Some(Bytes::copy_from_slice(value.as_bytes()));
        builder.push(&Record { offset, timestamp: 1_000_000, key: None, value, headers: Vec::new() });
    }
    builder.build()
}

fn produce(acks: i16, topic: &str, index: i32, records: Bytes) -> ProduceRequest {
    let data = PartitionProduceData { index, records: Records::Inline(records) };
    let topic = TopicProduceData { name: topic.to_owned(), partition_data: vec![data], ..Default::default() };
    ProduceRequest { acks, timeout_ms: 1000, topic_data: vec![topic], ..Default::default() }
}

fn fetch(partitions: &[(i32, i64)], max_wait_ms: i32) -> FetchRequest {
    let partitions = partitions.iter().map(|&(partition, fetch_offset)| FetchPartition {
        partition,
        fetch_offset,
        partition_max_bytes: 1 << 20,
        ..Default::default()
    });
    FetchRequest {
        max_wait_ms,
        min_bytes: 1,
        max_bytes: 1 << 20,
        session_epoch: -1,
        topics: vec![FetchTopic { topic: "t".to_owned(), partitions: partitions.collect(), ..Default::default() }],
        ..Default::default()
    }
}

fn records_len(response: &FetchResponse) -> usize {
    response.responses.iter().flat_map(|topic| &topic.partitions).map(|row| row.records.len()).sum()
}

/// The differential test found it: a reader that allows a partition no bytes still gets the first batch.
#[test]
fn the_first_batch_is_returned_whatever_the_limits() {
    let mut world = World::new();
    world.append(0, &["a"]);
    let mut request = fetch(&[(0, 0)], 0);
    (request.max_bytes, request.topics[0].partitions[0].partition_max_bytes) = (0, 0);
    world.send(request, 11);
    assert!(records_len(&world.fetched()) > 0);
}

/// The differential test found it: a topic cannot ask for more replicas in sync than it has.
#[test]
fn a_topic_with_fewer_replicas_than_must_be_in_sync_is_written_to() {
    let mut world = World::new();
    world.create_configured_topic("few", 1, &[("min.insync.replicas", "2")]);
    world.send(produce(-1, "few", 0, batch(&["a"])), 12);
    world.sync_all();
    assert_eq!(world.produced()[0].responses[0].partition_responses[0].error_code, 0);
}

/// The differential test found it: `acks` that mean nothing are told only of partitions that exist.
#[test]
fn a_partition_that_does_not_exist_is_told_before_acks_that_mean_nothing() {
    let mut world = World::new();
    for (index, expected) in [(0, ErrorCode::InvalidRequiredAcks), (9, ErrorCode::UnknownTopicOrPartition)] {
        world.send(produce(2, "t", index, batch(&["a"])), 12);
        assert_eq!(world.produced()[0].responses[0].partition_responses[0].error_code, expected.code());
    }
}

/// The differential test found it: Kafka tells a producer where the log begins unless its bytes are no batch at all.
#[test]
fn a_refused_batch_is_told_where_the_log_begins() {
    let mut world = World::new();
    let mut builder = BatchBuilder::new(Compression::None).base_offset(5);
    builder.push(&Record { timestamp: 1_000_000, ..Default::default() });
    let misplaced = builder.build();
    for (batch, expected) in [(misplaced.clone(), 0), (misplaced.slice(..30), -1)] {
        world.send(produce(-1, "t", 0, batch), 12);
        let row = &world.produced()[0].responses[0].partition_responses[0];
        assert_eq!((row.error_code != 0, row.log_start_offset), (true, expected));
    }
}

#[test]
fn a_batch_is_acknowledged_and_readable_only_after_its_sync() {
    for acks in [1, -1] {
        let mut world = World::new();
        world.send(produce(acks, "t", 0, batch(&["a", "b"])), 9);
        assert!(world.answers.is_empty(), "acks={acks} answers before the sync");
        world.sync_all();
        let responses = world.produced();
        let row = &responses[0].responses[0].partition_responses[0];
        assert_eq!((row.error_code, row.base_offset, row.log_start_offset), (0, 0, 0));
        world.send(fetch(&[(0, 0)], 0), 11);
        assert!(records_len(&world.fetched()) > 0);
    }
}

#[test]
fn records_that_are_not_durable_are_not_read() {
    let mut world = World::new();
    world.send(produce(0, "t", 0, batch(&["a"])), 9);
    world.send(fetch(&[(0, 0)], 0), 11);
    let response = world.fetched();
    let row = &response.responses[0].partitions[0];
    assert_eq!((row.error_code, row.high_watermark, row.records.len()), (0, 0, 0));
    world.sync_all();
    world.send(fetch(&[(0, 0)], 0), 11);
    assert_eq!(world.fetched().responses[0].partitions[0].high_watermark, 1);
}

#[test]
fn one_sync_covers_every_batch_that_came_before_it() {
    let mut world = World::new();
    for _ in 0..5 {
        world.send(produce(-1, "t", 0, batch(&["a"])), 9);
    }
    assert_eq!(world.out.syncs.len(), 1, "one is in flight, the rest waits");
    let first = world.out.syncs.remove(0);
    world.handle(Input::Synced { token: first.token, result: Ok(()) });
    assert_eq!(world.produced().len(), 1, "the first sync was asked for after the first batch");
    assert_eq!(world.out.syncs.len(), 1);
    world.sync_all();
    assert_eq!(world.produced().len(), 4);
}

#[test]
fn a_long_poll_is_answered_when_records_become_visible() {
    let mut world = World::new();
    world.send(fetch(&[(0, 0), (1, 0)], 10_000), 11);
    assert!(world.answers.is_empty());
    world.shard.handle(
        world.now,
        Input::Connection(
            ConnectionId(2),
            ConnectionInput::Opened { listener: 0, peer: IpAddr::V4(Ipv4Addr::LOCALHOST) },
        ),
        &mut world.out,
    );
    let frame = AnyRequest::from(produce(0, "t", 1, batch(&["a"]))).encode_frame(9, 1, None).unwrap().bytes;
    world.handle(Input::Connection(ConnectionId(2), ConnectionInput::Frame(frame.slice(4..))));
    assert!(world.answers.is_empty(), "not before the sync");
    world.sync_all();
    let response = world.fetched();
    assert!(records_len(&response) > 0);
}

#[test]
fn a_long_poll_is_answered_when_its_time_is_over() {
    let mut world = World::new();
    world.send(fetch(&[(0, 0)], 500), 11);
    world.advance(Duration::from_millis(499));
    assert!(world.answers.is_empty());
    world.advance(Duration::from_millis(1));
    assert_eq!(records_len(&world.fetched()), 0);
}

#[test]
fn a_client_that_goes_away_leaves_no_watch_behind() {
    let mut world = World::new();
    world.send(fetch(&[(0, 0)], 10_000), 11);
    world.handle(Input::Connection(CLIENT, ConnectionInput::Closed));
    world.asked.clear();
    world.handle(Input::Connection(
        CLIENT,
        ConnectionInput::Opened { listener: 0, peer: IpAddr::V4(Ipv4Addr::LOCALHOST) },
    ));
    world.append(0, &["a"]);
    world.advance(Duration::from_secs(20));
    assert!(world.answers.is_empty());
}

#[test]
fn what_was_acknowledged_is_there_after_a_restart() {
    let mut world = World::new();
    world.append(0, &["a", "b"]);
    world.append(0, &["c"]);
    let mut world = world.restart();
    world.send(fetch(&[(0, 0)], 0), 12);
    let response = world.fetched();
    assert_eq!(response.responses[0].partitions[0].high_watermark, 3);
    assert!(records_len(&response) > 0);
}

#[test]
fn a_restart_begins_a_new_leader_epoch() {
    let world = World::new();
    let mut world = world.restart();
    let mut request = fetch(&[(0, 0)], 0);
    request.topics[0].partitions[0].current_leader_epoch = 0;
    world.send(request, 12);
    let code = world.fetched().responses[0].partitions[0].error_code;
    assert_eq!(code, ErrorCode::FencedLeaderEpoch.code());
}

#[test]
fn a_log_ahead_of_its_controller_stops_the_broker() {
    let mut world = World::new();
    world.append(0, &["a"]);
    let (controller, next_offset) = (world.controller, world.next_offset);
    let mut disk = world.shard.partitions.into_disk();
    let root = LogPath::root().join(directory::PARTITIONS);
    let log = root.join(&disk.list(&root).unwrap()[0].name).join("00000000000000000000.log");
    disk.bytes_mut(&log).unwrap()[12] = 1;
    let mut world = World { controller, next_offset, ..World::on(disk) };
    world.controller_decides(Request::Register(Registration::new(&world.shard.config, Incarnation(9), 1)));
    world.publish();
    let Some(Halt::Damaged(message)) = &world.halt else { panic!("{:?}", world.halt) };
    assert!(message.contains("leader epoch 16777216, but the cluster has only come to epoch 1"), "{message}");
}

#[test]
fn what_was_synced_of_a_deleted_topic_is_forgotten_at_the_next_start() {
    let mut disk = MemoryDisk::new();
    let gone = PartitionId { topic: TopicId(0xdead), index: PartitionIndex(0) };
    RecoveryPoints::open(&mut disk, SHARD).unwrap().record(&mut disk, &[(gone, Offset(5))]).unwrap();
    let mut world = World::on(disk);
    world.controller_decides(Request::Found { cluster_id: "test".to_owned() });
    world.start();
    world.create_topic("t", 1);
    world.append(0, &["a"]);
    assert_eq!(world.shard.partitions.recovery_point(gone), None);
}

fn keyed(key: &'static str, value: String) -> Bytes {
    let mut builder = BatchBuilder::new(Compression::None);
    let (key, value) = (Some(Bytes::from_static(key.as_bytes())), Some(value.into()));
    builder.push(&Record { key, value, timestamp: 1_000_000, ..Record::default() });
    builder.build()
}

#[test]
fn a_compacted_topic_keeps_the_newest_record_of_each_key() {
    let mut world = World::new();
    let config =
        |name: &str, value: &str| CreatableTopicConfig { name: name.to_owned(), value: Some(value.to_owned()) };
    let topic = CreatableTopic {
        name: "table".to_owned(),
        num_partitions: 1,
        replication_factor: 1,
        configs: vec![config("cleanup.policy", "compact"), config("internal.segment.bytes", "500")],
        ..Default::default()
    };
    world.send(CreateTopicsRequest { topics: vec![topic], timeout_ms: 1000, ..Default::default() }, 7);
    world.sync_all();
    world.answers.clear();
    for at in 0..100 {
        let key = ["a", "b", "c"][at % 3];
        world.send(produce(-1, "table", 0, keyed(key, format!("value {at}"))), 9);
        world.sync_all();
    }
    assert_eq!(world.produced().len(), 100);
    for _ in 0..10 {
        world.advance(Duration::from_secs(15));
        world.sync_all();
    }
    let compacted: Vec<_> = world.events.iter().filter(|event| matches!(event, Event::LogCompacted { .. })).collect();
    let [Event::LogCompacted { topic, compacted, .. }] = &compacted[..] else { panic!("{compacted:?}") };
    assert_eq!(topic, "table");
    assert!(compacted.bytes_after < compacted.bytes_before / 5, "{compacted:?}");
    let mut request = fetch(&[(0, 0)], 0);
    request.topics[0].topic = "table".to_owned();
    world.send(request, 11);
    let response = world.fetched();
    let Records::Inline(bytes) = &response.responses[0].partitions[0].records else { panic!("{response:?}") };
    let mut newest = BTreeMap::new();
    let mut end = 0;
    for (header, batch) in Batches(bytes.clone()).map(Result::unwrap) {
        for record in records(&batch, 1 << 20).unwrap().map(Result::unwrap) {
            newest.insert(record.key.unwrap(), record.value.unwrap());
        }
        end = header.next_offset();
    }
    let expected = [("a", 99), ("b", 97), ("c", 98)].map(|(key, at)| (key.into(), format!("value {at}").into()));
    assert_eq!((newest, end), (BTreeMap::from(expected), 100));
    world.send(produce(-1, "table", 0, batch(&["a value without a key"])), 9);
    let code = world.produced()[0].responses[0].partition_responses[0].error_code;
    assert_eq!(code, ErrorCode::InvalidRecord.code());
}

#[test]
fn a_failed_sync_halts_the_broker() {
    let mut world = World::new();
    world.send(produce(-1, "t", 0, batch(&["a"])), 9);
    let request = world.out.syncs.remove(0);
    world.handle(Input::Synced { token: request.token, result: Err(std::io::ErrorKind::Other.into()) });
    assert!(matches!(world.halt, Some(Halt::Io { .. })));
    assert!(world.answers.is_empty(), "nothing is acknowledged after that");
}

#[test]
fn acks_0_is_not_answered_and_a_failure_of_it_closes_the_connection() {
    let mut world = World::new();
    world.send(produce(0, "t", 0, batch(&["a"])), 9);
    world.sync_all();
    assert!(world.answers.is_empty() && world.flow.is_empty());
    world.send(produce(0, "missing", 0, batch(&["a"])), 9);
    assert!(matches!(&world.flow[..], [Flow::Close(CloseReason::UnansweredError(_))]), "{:?}", world.flow);
}

#[test]
fn refused_batches_get_their_error_and_disturb_no_others() {
    let mut world = World::new();
    let mut corrupt = batch(&["a"]).to_vec();
    *corrupt.last_mut().unwrap() ^= 1;
    let data = |index, records: Bytes| PartitionProduceData { index, records: Records::Inline(records) };
    let rows = vec![data(0, corrupt.into()), data(1, batch(&["b"])), data(7, batch(&["c"])), data(0, Bytes::new())];
    let topic = TopicProduceData { name: "t".to_owned(), partition_data: rows, ..Default::default() };
    world.send(ProduceRequest { acks: -1, timeout_ms: 1000, topic_data: vec![topic], ..Default::default() }, 9);
    world.sync_all();
    let responses = world.produced();
    let codes: Vec<i16> = responses[0].responses[0].partition_responses.iter().map(|row| row.error_code).collect();
    let unknown = ErrorCode::UnknownTopicOrPartition.code();
    assert_eq!(codes[..3], [ErrorCode::CorruptMessage.code(), 0, unknown]);
    assert_ne!(codes[3], 0);
}

#[test]
fn a_topic_is_created_on_first_use() {
    let mut world = World::new();
    let wanted = MetadataRequestTopic { name: Some("new".to_owned()), ..Default::default() };
    let request = MetadataRequest { topics: Some(vec![wanted]), allow_auto_topic_creation: true, ..Default::default() };
    world.send(request, 9);
    let Some(AnyResponse::Metadata(response)) = world.answers.pop() else { panic!("no answer") };
    assert_eq!(response.topics[0].error_code, 0);
    assert_eq!(response.topics[0].partitions.len(), 1);
    assert_eq!(response.brokers.len(), 1);
}

#[test]
fn a_stopped_shard_has_synced_what_it_accepted() {
    let mut world = World::new();
    world.send(produce(-1, "t", 0, batch(&["a"])), 9);
    world.handle(Input::Stop);
    assert!(world.halt.is_none());
    world.sync_all();
    assert_eq!(world.produced().len(), 1);
    assert!(matches!(world.halt, Some(Halt::Stopped)));
    assert!(matches!(world.flow.last(), Some(Flow::Close(CloseReason::Stopping))));
}

#[test]
fn a_full_disk_refuses_produces_until_there_is_room() {
    let mut world = World::new();
    world.append(0, &["a"]);
    let used = world.shard.partitions.disk().used();
    world.shard.partitions.disk_mut().set_capacity(used + 10);
    world.send(produce(-1, "t", 0, batch(&["b"])), 9);
    let code = world.produced()[0].responses[0].partition_responses[0].error_code;
    assert_eq!(code, ErrorCode::KafkaStorageError.code());
    world.send(fetch(&[(0, 0)], 0), 11);
    assert!(records_len(&world.fetched()) > 0, "reads go on");
    world.shard.partitions.disk_mut().set_capacity(u64::MAX);
    world.append(0, &["c"]);
    assert!(world.events.contains(&Event::DiskHasRoom));
    assert!(world.halt.is_none());
}
