//! Produce requests and what their answers say about each batch.

use bytes::Bytes;
use highwater_wire::produce::{
    PartitionProduceData, PartitionProduceResponse, ProduceRequest, ProduceResponse, TopicProduceData,
};
use highwater_wire::{AnyRequest, ErrorCode, Records, Uuid};

use crate::client::boundary::Outbox;
use crate::client::config::{Acks, ProducerConfig};
use crate::client::connection::Connection;
use crate::client::error_of;
use crate::client::purpose::{Purpose, SentBatch};
use crate::ids::Offset;
use crate::time::{Instant, WallMs};

/// A batch on its way into a request.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub sent: SentBatch,
    pub bytes: Bytes,
}

/// What a broker says about one batch.
#[derive(Debug)]
pub(super) struct PartitionResult {
    pub error: Option<ErrorCode>,
    pub message: String,
    pub base_offset: Option<Offset>,
    pub log_append_time: Option<WallMs>,
}

impl PartitionResult {
    /// The code with the broker's own words, if it has any.
    pub fn describe(&self, code: ErrorCode) -> String {
        if self.message.is_empty() { code.to_string() } else { format!("{code}: {}", self.message) }
    }
}

/// Sends batches, sorted by topic, in one request.
pub(super) fn send(
    now: Instant,
    version: i16,
    batches: &[Outgoing],
    config: &ProducerConfig,
    connection: &mut Connection,
    out: &mut Outbox,
) {
    let request: AnyRequest = ProduceRequest {
        acks: config.acks.code(),
        timeout_ms: i32::try_from(config.ack_timeout.as_millis()).unwrap_or(i32::MAX),
        topic_data: batches.chunk_by(|a, b| a.sent.partition.topic == b.sent.partition.topic).map(topic_data).collect(),
        ..Default::default()
    }
    .into();
    let sent = if config.acks == Acks::None {
        connection.send_unanswered(&request, version, out)
    } else {
        let sent = batches.iter().map(|batch| batch.sent.clone()).collect();
        connection.send(now, &request, version, Purpose::Produce(sent), out)
    };
    sent.expect("every version can carry a plain produce request");
}

/// What an answer says about a batch, if anything.
pub(super) fn find_result(response: &ProduceResponse, batch: &SentBatch) -> Option<PartitionResult> {
    let mut topics = response.responses.iter();
    let topic = topics.find(|topic| {
        topic.name == batch.partition.topic || (topic.name.is_empty() && topic.topic_id.0 == batch.topic_id.0)
    })?;
    let row = topic.partition_responses.iter().find(|row| row.index == batch.partition.index.0)?;
    Some(result_of(row))
}

fn result_of(row: &PartitionProduceResponse) -> PartitionResult {
    let record_error = row.record_errors.first().and_then(|error| error.batch_index_error_message.clone());
    PartitionResult {
        error: error_of(row.error_code),
        message: record_error.or_else(|| row.error_message.clone()).unwrap_or_default(),
        base_offset: (row.base_offset >= 0).then_some(Offset(row.base_offset)),
        log_append_time: (row.log_append_time_ms >= 0).then_some(WallMs(row.log_append_time_ms)),
    }
}

fn topic_data(batches: &[Outgoing]) -> TopicProduceData {
    let first = &batches[0].sent;
    TopicProduceData {
        name: first.partition.topic.clone(),
        topic_id: Uuid(first.topic_id.0),
        partition_data: batches.iter().map(partition_data).collect(),
    }
}

fn partition_data(batch: &Outgoing) -> PartitionProduceData {
    PartitionProduceData { index: batch.sent.partition.index.0, records: Records::Inline(batch.bytes.clone()) }
}
