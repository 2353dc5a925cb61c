//! A client that writes.
//!
//! With idempotence it keeps the batches of a partition in order and retries each until it knows what became of it.
//! Without, it sends each once: what is not answered may or may not have happened.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use highwater_wire::produce::{PartitionProduceData, PartitionProduceResponse, TopicProduceData};
use highwater_wire::records::BatchBuilder;
use highwater_wire::{AnyResponse, ErrorCode, InitProducerIdRequest, ProduceRequest, ProduceResponse, Records, Uuid};

use super::link::{Link, REDIAL_AFTER};
use super::{Client, ClientEvent, Context};
use crate::options::{ProducerOptions, ZSTD_VERSION};
use crate::oracle::Place;
use crate::records::{RecordId, Sent};
use crate::rng::{Concern, Stream};

/// See the [module](self).
#[derive(Debug)]
pub struct Producer {
    options: ProducerOptions,
    writer: usize,
    rng: Stream,
    link: Link<About>,
    /// The producer id and epoch, once they are known.
    identity: Option<(i64, i16)>,
    queues: BTreeMap<Place, Queue>,
    batches_left: u32,
    healed: bool,
}

/// What a request was about.
#[derive(Debug)]
enum About {
    Identity,
    /// The batches that it carried, by their numbers.
    Produce(Vec<(Place, u64)>),
}

/// The batches of one partition that are not settled, in order.
#[derive(Debug, Default)]
struct Queue {
    batches: VecDeque<Batch>,
    batches_made: u64,
    next_sequence: i32,
    /// The partition's era when the first of them was made.
    era: u32,
    /// How many are on their way.
    in_flight: usize,
    /// Whether one was acknowledged before the oldest: the log has taken it for the producer's first.
    overtaken: bool,
    /// Whether one on its way has failed: the others must come back before it is sent again.
    rewinds: bool,
}

#[derive(Debug)]
struct Batch {
    number: u64,
    bytes: Bytes,
    ids: Vec<RecordId>,
    era: u32,
    /// Whether it is on its way.
    sent: bool,
    /// Whether it must be refused.
    bad: bool,
}

/// How many batches of one producer and partition may be on their way: a broker remembers as many (KIP-98).
const IN_FLIGHT_MAX: usize = 5;

/// The number of the first batch of a producer in a partition.
const FIRST: u64 = 1;

/// How long something that was abandoned may stay under way.
const ABANDONED_FOR: Duration = Duration::from_millis(300);

/// How long a client waits for an answer once everything is healed.
const PATIENCE_AFTER_HEAL: Duration = Duration::from_secs(30);

impl Producer {
    /// A producer that has sent nothing. Client 1 is the first of them.
    pub fn new(number: usize, seed: u64, options: ProducerOptions) -> Self {
        Self {
            writer: number - 1,
            rng: Stream::new(seed, Concern::Client, number as u64),
            link: Link::new(format!("producer {number}")),
            identity: None,
            queues: BTreeMap::new(),
            batches_left: options.batches,
            healed: false,
            options,
        }
    }

    fn woken(&mut self, context: &mut Context<'_>) {
        let think = self.options.think.pick(&mut self.rng);
        if !self.is_done() {
            context.wake_after(think);
        }
        let patience = if self.healed { PATIENCE_AFTER_HEAL } else { self.options.timeout };
        if self.link.oldest().is_some_and(|(asked_at, _)| context.now.since(asked_at) > patience) {
            let abandon = self.options.abandons.then_some(ABANDONED_FOR);
            let lost = self.link.hang_up(abandon, context);
            return self.lost(lost, context);
        }
        self.work(context);
    }

    /// Does the next thing that can be done.
    fn work(&mut self, context: &mut Context<'_>) {
        if !self.link.is_connected() {
            return self.link.dial(0, context);
        }
        if self.link.in_flight() >= self.options.in_flight_max {
            return;
        }
        if self.options.idempotent && self.identity.is_none() {
            if self.link.in_flight() == 0 {
                let version = self.rng.between(0, 5) as i16;
                self.link.ask(InitProducerIdRequest::default(), version, About::Identity, context);
            }
            return;
        }
        if self.batches_left > 0 && !self.healed {
            self.make_batches(context);
        }
        self.send_batches(context);
    }

    fn make_batches(&mut self, context: &mut Context<'_>) {
        let places = context.oracle.places();
        if places.is_empty() {
            return;
        }
        for _ in 0..self.rng.between(1, 2) {
            let place = *self.rng.pick(&places);
            let waiting = self.queues.get(&place).map_or(0, |queue| queue.batches.len());
            if waiting < IN_FLIGHT_MAX && self.batches_left > 0 {
                self.batches_left -= 1;
                self.make_batch(place, context);
            }
        }
    }

    fn make_batch(&mut self, place: Place, context: &mut Context<'_>) {
        let bad = self.rng.chance(self.options.bad_per_mille);
        let mut builder = BatchBuilder::new(self.options.compression);
        let era = context.oracle.era(place);
        let queue = self.queues.entry(place).or_insert_with(|| Queue { era, ..Queue::default() });
        let count = self.rng.between(1, self.options.records_max) as i32;
        if let Some((id, epoch)) = self.identity {
            builder = builder.producer(id, epoch, queue.next_sequence);
            queue.next_sequence += count;
        }
        queue.batches_made += 1;
        let number = queue.batches_made;
        let mut ids = Vec::new();
        for _ in 0..count {
            let timestamp = context.now.wall_ms() - self.rng.below(200) as i64;
            let compacted = context.oracle.topics()[place.topic].compact;
            let sent = Sent { place, timestamp, refused: bad, compacted };
            let (id, record) = context.oracle.write(self.writer, sent);
            builder.push(&record);
            ids.push(id);
        }
        let mut bytes = builder.build();
        if bad {
            bytes = spoil(&bytes, &mut self.rng);
        }
        let batch = Batch { number, bytes, ids, era, sent: false, bad };
        self.queues.get_mut(&place).expect("it was made above").batches.push_back(batch);
    }

    /// Sends the next batch of each partition that has one to send.
    fn send_batches(&mut self, context: &mut Context<'_>) {
        let mut carried = Vec::new();
        let mut topics: BTreeMap<usize, Vec<PartitionProduceData>> = BTreeMap::new();
        for (place, queue) in &mut self.queues {
            let Some(batch) = queue.next_to_send() else { continue };
            carried.push((*place, batch.number));
            let data = PartitionProduceData { index: place.partition, records: Records::from(batch.bytes.clone()) };
            topics.entry(place.topic).or_default().push(data);
        }
        if carried.is_empty() {
            return;
        }
        let topic_data = topics.into_iter().map(|(topic, partition_data)| {
            let topic = &context.oracle.topics()[topic];
            TopicProduceData { name: topic.name.clone(), topic_id: topic.id.unwrap_or(Uuid::ZERO), partition_data }
        });
        let request = ProduceRequest {
            acks: self.options.acks,
            timeout_ms: 30_000,
            topic_data: topic_data.collect(),
            ..ProduceRequest::default()
        };
        if self.options.acks == 0 {
            self.link.say(request, self.options.version, context);
            return carried.iter().for_each(|(place, number)| self.settle(*place, *number));
        }
        self.link.ask(request, self.options.version, About::Produce(carried), context);
    }

    /// The fate of a batch is known, or will never be.
    fn settle(&mut self, place: Place, number: u64) {
        if let Some(queue) = self.queues.get_mut(&place) {
            queue.came_back(number);
            queue.batches.retain(|batch| batch.number != number);
        }
    }

    /// Requests will never be answered.
    fn lost(&mut self, lost: Vec<About>, context: &mut Context<'_>) {
        for about in lost {
            let About::Produce(carried) = about else { continue };
            for (place, number) in carried {
                if self.options.idempotent {
                    self.retry(place, number);
                } else {
                    self.settle(place, number);
                }
            }
        }
        context.wake_after(REDIAL_AFTER);
    }

    fn retry(&mut self, place: Place, number: u64) {
        if let Some(queue) = self.queues.get_mut(&place) {
            queue.came_back(number);
            queue.rewinds = queue.in_flight > 0;
        }
    }

    fn produced(&mut self, carried: Vec<(Place, u64)>, response: &ProduceResponse, context: &mut Context<'_>) {
        for (place, number) in carried {
            let topic = &context.oracle.topics()[place.topic];
            let answers = response.responses.iter().filter(|answer| {
                if self.options.version >= 13 { Some(answer.topic_id) == topic.id } else { answer.name == topic.name }
            });
            let answer = answers.flat_map(|topic| &topic.partition_responses).find(|row| row.index == place.partition);
            let Some(answer) = answer else {
                let name = self.link.name();
                context.oracle.require(false, "Answers", || format!("{name}: no answer for {place}: {response:?}"));
                continue;
            };
            self.batch_answered(place, number, answer, context);
        }
    }

    fn batch_answered(
        &mut self,
        place: Place,
        number: u64,
        answer: &PartitionProduceResponse,
        context: &mut Context<'_>,
    ) {
        let Some(queue) = self.queues.get(&place) else { return };
        let Some(batch) = queue.batches.iter().find(|batch| batch.number == number) else { return };
        let oldest = queue.batches.front().is_some_and(|front| front.number == number);
        let name = self.link.name();
        let error = ErrorCode::try_from(answer.error_code);
        context
            .trace
            .tell(context.now, name, || format!("{place} batch {number}: {error:?} at {}", answer.base_offset));
        let unexpected = |what: &str| format!("{name}: {place} batch {number}: {what}: {answer:?}");
        match error {
            Ok(ErrorCode::None) => {
                context.oracle.require(!batch.bad, "Refuses", || unexpected("a bad batch is accepted"));
                let (era, ids, at) = (batch.era, batch.ids.clone(), answer.base_offset);
                context.oracle.acked(place, era, &ids, at);
                self.settle(place, number);
                if let Some(queue) = self.queues.get_mut(&place) {
                    queue.overtaken |= !oldest;
                }
            }
            Ok(ErrorCode::DuplicateSequenceNumber) if self.options.idempotent => self.settle(place, number),
            Ok(ErrorCode::CorruptMessage | ErrorCode::InvalidRecord) if batch.bad => self.settle(place, number),
            // The damaged byte may have been the codec's, which is looked at before the checksum.
            Ok(ErrorCode::UnsupportedCompressionType) if batch.bad && self.options.version < ZSTD_VERSION => {
                self.settle(place, number);
            }
            Ok(ErrorCode::OutOfOrderSequenceNumber | ErrorCode::UnknownProducerId) if self.options.idempotent => {
                // A log lets a producer of which it knows nothing begin with any batch, be it the second (KIP-360).
                let was_too_late = number == FIRST && queue.overtaken;
                let excused = !oldest || was_too_late || context.oracle.era(place) != queue.era;
                context.oracle.require(excused, "Idempotence", || unexpected("the oldest batch is out of order"));
                if oldest { self.begin_again() } else { self.retry(place, number) }
            }
            Ok(error) if error.retriable() || error == ErrorCode::KafkaStorageError => {
                if self.options.idempotent {
                    self.retry(place, number)
                } else {
                    self.settle(place, number)
                }
            }
            Ok(_) | Err(_) => context.oracle.require(false, "Answers", || unexpected("such an error is not expected")),
        }
    }

    /// The broker has forgotten this producer, which it may after a loss of power under `flush=page-cache`, or has never
    /// taken its first batch: what is on its way is given up, and a new identity begins a new sequence everywhere.
    fn begin_again(&mut self) {
        self.identity = None;
        self.queues.clear();
    }
}

impl Client for Producer {
    fn handle(&mut self, event: ClientEvent, context: &mut Context<'_>) {
        match event {
            ClientEvent::Woken => self.woken(context),
            ClientEvent::Connected(id) => {
                if self.link.connected(id) {
                    self.work(context);
                }
            }
            ClientEvent::Frame(id, frame) => match self.link.answer(id, &frame, context) {
                Some((About::Identity, AnyResponse::InitProducerId(response))) => {
                    if response.error_code == 0 {
                        self.identity = Some((response.producer_id, response.producer_epoch));
                    }
                }
                Some((About::Produce(carried), AnyResponse::Produce(response))) => {
                    self.produced(carried, &response, context);
                }
                Some(_) | None => {}
            },
            ClientEvent::Closed(id) => {
                if let Some(lost) = self.link.closed(id) {
                    self.lost(lost, context);
                }
            }
            ClientEvent::Healed => self.healed = true,
            ClientEvent::Quiet => {}
        }
    }

    fn is_done(&self) -> bool {
        let settled = self.queues.values().all(|queue| queue.batches.is_empty());
        self.healed && settled && self.link.in_flight() == 0
    }

    fn describe(&self) -> String {
        let unsettled: usize = self.queues.values().map(|queue| queue.batches.len()).sum();
        format!("{} has {unsettled} unsettled batches, {} requests in flight", self.link.name(), self.link.in_flight())
    }
}

impl Queue {
    fn next_to_send(&mut self) -> Option<&Batch> {
        if self.in_flight == 0 {
            self.rewinds = false;
        }
        if self.rewinds || self.in_flight >= IN_FLIGHT_MAX {
            return None;
        }
        let batch = self.batches.iter_mut().find(|batch| !batch.sent)?;
        batch.sent = true;
        self.in_flight += 1;
        Some(batch)
    }

    fn came_back(&mut self, number: u64) {
        if let Some(batch) = self.batches.iter_mut().find(|batch| batch.number == number && batch.sent) {
            batch.sent = false;
            self.in_flight -= 1;
        }
    }
}

/// A batch that every broker must refuse: one bit behind the checksum is another.
fn spoil(batch: &Bytes, rng: &mut Stream) -> Bytes {
    const CHECKSUMMED_FROM: usize = 21;
    let mut bytes = batch.to_vec();
    let at = CHECKSUMMED_FROM + rng.index(bytes.len() - CHECKSUMMED_FROM);
    bytes[at] ^= 1 << rng.below(8);
    bytes.into()
}
