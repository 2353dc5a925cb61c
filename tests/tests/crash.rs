//! `kill -9`: what was acknowledged is there when the broker is back, and damage is not passed over.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;

use bytes::Bytes;
use highwater_tests::broker::{self, Broker};
use highwater_tests::client::Client;
use highwater_wire::Records;
use highwater_wire::create_topics::{CreatableTopic, CreateTopicsRequest};
use highwater_wire::fetch::{FetchPartition, FetchRequest, FetchTopic};
use highwater_wire::produce::{PartitionProduceData, ProduceRequest, TopicProduceData};
use highwater_wire::records::{BatchBuilder, Batches, Compression, Record, records};

const TOPIC: &str = "crash";
const PARTITIONS: i32 = 3;
const CYCLES: usize = 5;
/// Acknowledged batches after which a cycle ends.
const BATCHES_PER_CYCLE: usize = 40;
const PRODUCE_VERSION: i16 = 9;
const FETCH_VERSION: i16 = 12;

/// A value that was acknowledged at an offset of a partition.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Acknowledged {
    partition: i32,
    offset: i64,
    value: Bytes,
}

#[test]
fn every_acknowledged_record_survives_kill_9_under_load() {
    let root = tempfile::tempdir().unwrap();
    let mut acknowledged = Vec::new();
    for cycle in 0..CYCLES {
        let broker = Broker::start(root.path());
        if cycle == 0 {
            create_topic(broker.address());
        }
        verify(broker.address(), &acknowledged);
        acknowledged.extend(produce_until_killed(broker, cycle));
    }
    let broker = Broker::start(root.path());
    verify(broker.address(), &acknowledged);
    assert!(acknowledged.len() >= CYCLES * BATCHES_PER_CYCLE);
    assert_eq!(broker.terminate().code(), Some(0));
}

#[test]
fn a_damaged_log_is_an_error_that_names_the_file() {
    let root = tempfile::tempdir().unwrap();
    let broker = Broker::start(root.path());
    create_topic(broker.address());
    let mut client = Client::connect(broker.address()).unwrap();
    (0..20).for_each(|number| drop(produce(&mut client, 0, &format!("value {number}")).unwrap()));
    // A clean stop moves the recovery point behind all of it: what is damaged now was durable.
    assert_eq!(broker.terminate().code(), Some(0));

    let segment = segments(root.path()).into_iter().find(|path| fs::metadata(path).unwrap().len() > 0).unwrap();
    let bytes = fs::read(&segment).unwrap();
    fs::write(&segment, &bytes[..bytes.len() / 2]).unwrap();
    let ended = broker::refused(root.path(), &[]);
    assert_eq!(ended.code, Some(3), "{ended:?}");
    assert!(ended.stderr.contains(segment.file_name().unwrap().to_str().unwrap()), "{ended:?}");
}

/// Produces on one connection for each partition and kills the broker in the middle of it.
fn produce_until_killed(broker: Broker, cycle: usize) -> Vec<Acknowledged> {
    let (acknowledge, acknowledgements) = mpsc::channel();
    let producers: Vec<_> = (0..PARTITIONS)
        .map(|partition| {
            let (address, acknowledge) = (broker.address(), acknowledge.clone());
            thread::spawn(move || {
                let mut client = Client::connect(address).unwrap();
                for number in 0.. {
                    let value = format!("cycle {cycle} partition {partition} number {number}");
                    // Until the broker is gone; what was in flight then may be there or not.
                    let Ok(produced) = produce(&mut client, partition, &value) else { return };
                    let _ = acknowledge.send(produced);
                }
            })
        })
        .collect();
    drop(acknowledge);
    let mut acknowledged: Vec<_> = acknowledgements.iter().take(BATCHES_PER_CYCLE).collect();
    broker.kill();
    acknowledged.extend(acknowledgements);
    producers.into_iter().for_each(|producer| producer.join().unwrap());
    acknowledged
}

fn create_topic(address: SocketAddr) {
    let topic = CreatableTopic {
        name: TOPIC.into(),
        num_partitions: PARTITIONS,
        replication_factor: 1,
        assignments: Vec::new(),
        configs: Vec::new(),
    };
    let request = CreateTopicsRequest { topics: vec![topic], timeout_ms: 10_000, validate_only: false };
    let response = Client::connect(address).unwrap().ask(&request, 4).unwrap();
    assert_eq!(response.topics[0].error_code, 0, "{response:?}");
}

fn produce(client: &mut Client, partition: i32, value: &str) -> std::io::Result<Acknowledged> {
    let value = Bytes::copy_from_slice(value.as_bytes());
    let mut batch = BatchBuilder::new(Compression::None);
    batch.push(&Record { offset: 0, timestamp: 0, key: None, value: Some(value.clone()), headers: Vec::new() });
    let partition_data = vec![PartitionProduceData { index: partition, records: Records::Inline(batch.build()) }];
    let topic = TopicProduceData { name: TOPIC.into(), topic_id: Default::default(), partition_data };
    let request = ProduceRequest { transactional_id: None, acks: -1, timeout_ms: 10_000, topic_data: vec![topic] };
    let response = client.ask(&request, PRODUCE_VERSION)?;
    let produced = &response.responses[0].partition_responses[0];
    assert_eq!(produced.error_code, 0, "{response:?}");
    Ok(Acknowledged { partition, offset: produced.base_offset, value })
}

/// Reads every partition from its start and compares offsets and bytes.
fn verify(address: SocketAddr, acknowledged: &[Acknowledged]) {
    let mut client = Client::connect(address).unwrap();
    let mut read: Vec<_> = (0..PARTITIONS).flat_map(|partition| read_all(&mut client, partition)).collect();
    read.sort();
    let lost: Vec<_> = acknowledged.iter().filter(|one| read.binary_search(one).is_err()).collect();
    assert!(lost.is_empty(), "{} of {} acknowledged records are lost: {lost:?}", lost.len(), acknowledged.len());
}

fn read_all(client: &mut Client, partition: i32) -> Vec<Acknowledged> {
    let mut found = Vec::new();
    let mut next = 0;
    loop {
        let (high_watermark, batches) = fetch(client, partition, next);
        let records = batches.into_iter().flat_map(|batch| records(&batch, u64::MAX).unwrap());
        for record in records.map(Result::unwrap) {
            next = record.offset + 1;
            found.push(Acknowledged { partition, offset: record.offset, value: record.value.unwrap() });
        }
        if next >= high_watermark {
            return found;
        }
    }
}

fn fetch(client: &mut Client, partition: i32, offset: i64) -> (i64, Vec<Bytes>) {
    let wanted = FetchPartition {
        partition,
        current_leader_epoch: -1,
        fetch_offset: offset,
        last_fetched_epoch: -1,
        log_start_offset: -1,
        partition_max_bytes: 1 << 20,
        ..FetchPartition::default()
    };
    let topic = FetchTopic { topic: TOPIC.into(), partitions: vec![wanted], ..FetchTopic::default() };
    let request = FetchRequest {
        max_wait_ms: 0,
        min_bytes: 0,
        session_epoch: -1,
        topics: vec![topic],
        ..FetchRequest::default()
    };
    let mut response = client.ask(&request, FETCH_VERSION).unwrap();
    let fetched = response.responses.remove(0).partitions.remove(0);
    assert_eq!(fetched.error_code, 0, "{fetched:?}");
    let Records::Inline(bytes) = fetched.records else { panic!("records are never null") };
    (fetched.high_watermark, Batches(bytes).map(|batch| batch.unwrap().1).collect())
}

fn segments(data: &Path) -> Vec<PathBuf> {
    let partitions = fs::read_dir(data.join("partitions")).unwrap();
    let files = partitions.flat_map(|partition| fs::read_dir(partition.unwrap().path()).unwrap());
    files.map(|file| file.unwrap().path()).filter(|path| path.extension().is_some_and(|end| end == "log")).collect()
}
