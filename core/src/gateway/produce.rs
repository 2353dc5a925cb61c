//! Produce: routes batches to the shards that own their partitions and answers when all of them have.
//!
//! Deliberately absent: looking into batches; the owner of the partition validates them.

use std::time::Duration;

use bytes::Bytes;
use highwater_wire::produce::{
    BatchIndexAndErrorMessage, PartitionProduceData, PartitionProduceResponse, ProduceRequest, ProduceResponse,
    TopicProduceResponse,
};
use highwater_wire::records::{BatchHeader, Compression};
use highwater_wire::{ErrorCode, Records};

use super::call::{Context, Outcome};
use super::gather::{Gather, by_owner};
use super::topics::TopicRef;
use crate::controller::Topic;
use crate::ids::{PartitionId, Ticket};
use crate::limits;
use crate::log::RecordError;
use crate::message::{Acks, PartitionRequest, ProduceOutcome, ProduceRefusal};
use crate::outbox::CloseReason;

/// The first version that names topics by id (KIP-516).
const TOPIC_ID_VERSION: i16 = 13;

/// The first version that may carry batches compressed with zstd (KIP-110): what asks in an older one may have readers
/// that do not know it.
const ZSTD_VERSION: i16 = 7;

/// A produce request in progress.
pub(super) struct ProduceCall {
    /// Topics and partitions as the client named them.
    named: Vec<(TopicRef, Vec<i32>)>,
    acks: Acks,
    gather: Gather<ProduceOutcome>,
}

impl ProduceCall {
    /// Sends the batches to their owners. Where `acks` means nothing, nothing is sent, but partitions that do not exist
    /// are still told so.
    pub(super) fn begin(context: &mut Context<'_>, request: ProduceRequest) -> Self {
        let (acks, is_valid) = match request.acks {
            0 => (Acks::None, true),
            1 => (Acks::Leader, true),
            -1 => (Acks::All, true),
            _ => (Acks::Leader, false),
        };
        let total = request.topic_data.iter().map(|topic| topic.partition_data.len()).sum();
        let mut call = Self { named: Vec::with_capacity(request.topic_data.len()), acks, gather: Gather::new(total) };
        let mut batches = Vec::with_capacity(total);
        let mut index = 0;
        for topic in request.topic_data {
            let reference = TopicRef::new(context.version >= TOPIC_ID_VERSION, topic.name, topic.topic_id);
            let mut named = Vec::with_capacity(topic.partition_data.len());
            for data in topic.partition_data {
                named.push(data.index);
                match batch_for(context, &reference, data) {
                    Ok(_) if !is_valid => call.gather.set(index, Err(ErrorCode::InvalidRequiredAcks.into())),
                    Ok((partition, batch)) => batches.push((index, partition, (partition, batch))),
                    Err(refusal) => call.gather.set(index, Err(refusal)),
                }
                index += 1;
            }
            call.named.push((reference, named));
        }
        let deadline = context.now.mono + wait(request.timeout_ms);
        for (shard, (indexes, batches)) in by_owner(batches, context.shards) {
            let ticket = context.ask(shard, PartitionRequest::Produce { acks, deadline, batches });
            call.gather.expect(ticket, indexes);
        }
        call
    }

    /// Takes the outcomes of one shard.
    pub(super) fn place(&mut self, ticket: Ticket, outcomes: Vec<ProduceOutcome>) {
        self.gather.place(ticket, outcomes);
    }

    /// Whether every shard has answered.
    pub(super) fn is_complete(&self) -> bool {
        self.gather.is_complete()
    }

    /// What has become of a complete request. A failure that `acks=0` leaves unanswered closes the connection, since
    /// nothing else can tell the client.
    pub(super) fn end(self) -> Outcome {
        let mut outcomes = self.gather.finish().into_iter();
        if self.acks == Acks::None {
            let refused = outcomes.find_map(Result::err);
            return refused.map_or(Outcome::Silent, |refusal| {
                Outcome::Close(CloseReason::UnansweredError(refusal.code.name().to_owned()))
            });
        }
        let respond = |(topic, partitions): (TopicRef, Vec<i32>)| {
            let rows =
                partitions.into_iter().zip(outcomes.by_ref()).map(|(index, outcome)| row(index, outcome)).collect();
            let (name, topic_id) = topic.into_wire();
            TopicProduceResponse { name, topic_id, partition_responses: rows }
        };
        ProduceResponse { responses: self.named.into_iter().map(respond).collect(), ..Default::default() }.into()
    }
}

/// How long the client lets a request wait.
fn wait(timeout_ms: i32) -> Duration {
    Duration::from_millis(u64::try_from(timeout_ms).unwrap_or(0)).min(limits::PRODUCE_WAIT_MAX)
}

fn batch_for(
    context: &Context<'_>,
    topic: &TopicRef,
    data: PartitionProduceData,
) -> Result<(PartitionId, Bytes), ProduceRefusal> {
    let partition = topic.partition(context.image, data.index)?;
    if context.image.topic_by_id(partition.topic).is_some_and(Topic::is_internal) {
        return Err(ErrorCode::InvalidTopicException.into());
    }
    match data.records {
        Records::Inline(batch) if context.version < ZSTD_VERSION && is_zstd(&batch) => {
            Err(ErrorCode::UnsupportedCompressionType.into())
        }
        Records::Inline(batch) => Ok((partition, batch)),
        Records::Null => {
            let message = Some("the batch is null".to_owned());
            Err(ProduceRefusal { message, ..ErrorCode::InvalidRecord.into() })
        }
        Records::Gap { .. } => unreachable!("decoding makes no gaps"),
    }
}

fn is_zstd(batch: &[u8]) -> bool {
    BatchHeader::parse(batch).is_ok_and(|header| header.compression() == Ok(Compression::Zstd))
}

fn row(index: i32, outcome: ProduceOutcome) -> PartitionProduceResponse {
    match outcome {
        Ok(produced) => PartitionProduceResponse {
            index,
            error_code: ErrorCode::None.code(),
            base_offset: produced.base_offset.0,
            log_append_time_ms: produced.log_append_time.map_or(-1, |time| time.0),
            log_start_offset: produced.log_start_offset.0,
            ..Default::default()
        },
        Err(refusal) => PartitionProduceResponse {
            index,
            error_code: refusal.code.code(),
            base_offset: -1,
            log_append_time_ms: -1,
            log_start_offset: refusal.log_start_offset.map_or(-1, |offset| offset.0),
            record_errors: refusal.records.into_iter().map(record_error).collect(),
            error_message: refusal.message,
            ..Default::default()
        },
    }
}

fn record_error(error: RecordError) -> BatchIndexAndErrorMessage {
    BatchIndexAndErrorMessage { batch_index: error.index, batch_index_error_message: Some(error.message) }
}
