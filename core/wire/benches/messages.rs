//! What the messages of the hot path cost, whatever their records weigh: six partitions with a batch of 64 KiB each.

use std::hint::black_box;

use bytes::Bytes;
use criterion::{Criterion, criterion_group, criterion_main};
use highwater_wire::fetch::{
    FetchPartition, FetchRequest, FetchResponse, FetchTopic, FetchableTopicResponse, PartitionData,
};
use highwater_wire::metadata::{
    MetadataResponse, MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use highwater_wire::produce::{
    PartitionProduceData, PartitionProduceResponse, ProduceRequest, ProduceResponse, TopicProduceData,
    TopicProduceResponse,
};
use highwater_wire::{Encoded, Records, RequestMessage, Uuid, decode_request, encode_request, encode_response};

const PARTITIONS: i32 = 6;
const BATCH_BYTES: usize = 64 * 1024;

fn produce_request() -> ProduceRequest {
    let records = Records::Inline(Bytes::from(vec![7; BATCH_BYTES]));
    let partition = |index| PartitionProduceData { index, records: records.clone() };
    let topic = TopicProduceData {
        topic_id: Uuid(1),
        partition_data: (0..PARTITIONS).map(partition).collect(),
        ..Default::default()
    };
    ProduceRequest { acks: -1, timeout_ms: 30_000, topic_data: vec![topic], ..Default::default() }
}

fn produce_response() -> ProduceResponse {
    let partition = |index| PartitionProduceResponse { index, base_offset: 1 << 40, ..Default::default() };
    let topic = TopicProduceResponse {
        topic_id: Uuid(1),
        partition_responses: (0..PARTITIONS).map(partition).collect(),
        ..Default::default()
    };
    ProduceResponse { responses: vec![topic], ..Default::default() }
}

fn fetch_request() -> FetchRequest {
    let partition = |partition| FetchPartition { partition, fetch_offset: 1 << 40, ..Default::default() };
    let topic =
        FetchTopic { topic_id: Uuid(1), partitions: (0..PARTITIONS).map(partition).collect(), ..Default::default() };
    FetchRequest { topics: vec![topic], ..Default::default() }
}

fn fetch_response(records: &Records) -> FetchResponse {
    let partition = |partition_index| PartitionData { partition_index, records: records.clone(), ..Default::default() };
    let topic = FetchableTopicResponse {
        topic_id: Uuid(1),
        partitions: (0..PARTITIONS).map(partition).collect(),
        ..Default::default()
    };
    FetchResponse { responses: vec![topic], ..Default::default() }
}

/// A hundred topics of twelve partitions with three replicas.
fn metadata_response() -> MetadataResponse {
    let broker =
        |node_id| MetadataResponseBroker { node_id, host: "broker.example".to_owned(), port: 9092, rack: None };
    let partition = |partition_index| MetadataResponsePartition {
        partition_index,
        replica_nodes: vec![1, 2, 3],
        isr_nodes: vec![1, 2, 3],
        ..Default::default()
    };
    let topic = |number| MetadataResponseTopic {
        name: Some(format!("topic-{number}")),
        topic_id: Uuid(number),
        partitions: (0..12).map(partition).collect(),
        ..Default::default()
    };
    MetadataResponse {
        brokers: (1..=3).map(broker).collect(),
        topics: (0..100).map(topic).collect(),
        ..Default::default()
    }
}

/// The frame of a request as it arrives.
fn frame<R: RequestMessage>(request: &R) -> Bytes {
    encode(encode_request(request, *R::VERSIONS.end(), 1, Some("producer-1"))).into_bytes().split_off(4)
}

fn encode<E: std::fmt::Debug>(encoded: Result<Encoded, E>) -> Encoded {
    encoded.expect("the newest version has every field")
}

fn benches(c: &mut Criterion) {
    let produce = frame(&produce_request());
    c.bench_function("decode/produce request, 6 x 64 KiB", |b| b.iter(|| decode_request(black_box(&produce))));
    let fetch = frame(&fetch_request());
    c.bench_function("decode/fetch request, 6 partitions", |b| b.iter(|| decode_request(black_box(&fetch))));

    let response = produce_response();
    c.bench_function("encode/produce response, 6 partitions", |b| {
        b.iter(|| encode(encode_response(black_box(&response), 13, 1)));
    });
    let response = fetch_response(&Records::Gap { len: BATCH_BYTES });
    c.bench_function("encode/fetch response, 6 x 64 KiB in files", |b| {
        b.iter(|| encode(encode_response(black_box(&response), 18, 1)));
    });
    let response = metadata_response();
    c.bench_function("encode/metadata response, 1200 partitions", |b| {
        b.iter(|| encode(encode_response(black_box(&response), 13, 1)));
    });
}

criterion_group!(messages, benches);
criterion_main!(messages);
