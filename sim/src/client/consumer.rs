//! A client that reads: on and on, sometimes from elsewhere, sometimes by timestamp.

use highwater_wire::list_offsets::{ListOffsetsPartition, ListOffsetsTopic};
use highwater_wire::{AnyResponse, ErrorCode, ListOffsetsRequest, ListOffsetsResponse};

use super::fetch::{Limits, Question, Reader};
use super::link::{Link, REDIAL_AFTER};
use super::{Client, ClientEvent, Context};
use crate::options::ConsumerOptions;
use crate::oracle::Place;
use crate::rng::{Concern, Stream};

/// See the [module](self).
#[derive(Debug)]
pub struct Consumer {
    options: ConsumerOptions,
    rng: Stream,
    link: Link<About>,
    reader: Reader,
    healed: bool,
}

/// What a request was about.
#[derive(Debug)]
enum About {
    Fetch(Question),
    /// A look-up of an offset by timestamp, and whether to go there.
    Lookup(Lookup),
}

#[derive(Debug)]
struct Lookup {
    place: Place,
    timestamp: i64,
    era: u32,
    end_at_asking: i64,
    go: bool,
}

/// ListOffsets: the first offset.
pub const EARLIEST: i64 = -2;
/// ListOffsets: the end.
pub const LATEST: i64 = -1;

/// A request that looks up one timestamp in one partition.
pub fn list_offsets(place: Place, timestamp: i64, context: &Context<'_>) -> ListOffsetsRequest {
    let partition = ListOffsetsPartition { partition_index: place.partition, timestamp, ..Default::default() };
    let name = context.oracle.topics()[place.topic].name.clone();
    ListOffsetsRequest {
        replica_id: -1,
        topics: vec![ListOffsetsTopic { name, partitions: vec![partition] }],
        ..ListOffsetsRequest::default()
    }
}

/// The answer to it: a timestamp and an offset, `None` where there is none, or an error.
pub fn listed_offset(response: &ListOffsetsResponse) -> Result<Option<(i64, i64)>, ErrorCode> {
    let row = response.topics.first().and_then(|topic| topic.partitions.first());
    let row = row.ok_or(ErrorCode::UnknownServerError)?;
    match ErrorCode::try_from(row.error_code) {
        Ok(ErrorCode::None) => Ok((row.offset >= 0).then_some((row.timestamp, row.offset))),
        Ok(error) => Err(error),
        Err(_) => Err(ErrorCode::UnknownServerError),
    }
}

impl Consumer {
    /// A consumer that has read nothing.
    pub fn new(number: usize, seed: u64, options: ConsumerOptions) -> Self {
        let name = format!("consumer {number}");
        Self {
            rng: Stream::new(seed, Concern::Client, number as u64),
            link: Link::new(name.clone()),
            reader: Reader::new(name, options.version, options.session),
            healed: false,
            options,
        }
    }

    fn work(&mut self, context: &mut Context<'_>) {
        if self.healed || self.link.in_flight() > 0 {
            return;
        }
        if !self.link.is_connected() {
            return self.link.dial(0, context);
        }
        for place in context.oracle.places() {
            self.reader.positions.entry(place).or_insert(0);
        }
        if self.reader.positions.is_empty() {
            return;
        }
        if self.rng.chance(self.options.seek_per_mille) {
            return self.seek(context);
        }
        let limits = Limits {
            wait_ms_max: self.options.wait_ms_max,
            bytes_min: self.options.bytes_min,
            bytes_max: self.options.bytes_max,
            partition_bytes_max: self.options.partition_bytes_max,
        };
        let (request, question) = self.reader.request(limits, context);
        self.link.ask(request, self.reader.version(), About::Fetch(question), context);
    }

    /// Goes somewhere else, or looks for a timestamp.
    fn seek(&mut self, context: &mut Context<'_>) {
        let places: Vec<Place> = self.reader.positions.keys().copied().collect();
        let place = *self.rng.pick(&places);
        let end = context.oracle.end_at_least(place);
        match self.rng.below(3) {
            0 => {
                let offset = self.rng.below(end as u64 + 1) as i64;
                self.reader.positions.insert(place, offset);
                self.work(context);
            }
            1 => {
                let timestamp = context.now.wall_ms() - self.rng.below(3_000) as i64;
                self.look_up(place, timestamp, false, context);
            }
            _ => {
                let timestamp = *self.rng.pick(&[EARLIEST, LATEST]);
                self.look_up(place, timestamp, true, context);
            }
        }
    }

    fn look_up(&mut self, place: Place, timestamp: i64, go: bool, context: &mut Context<'_>) {
        let era = context.oracle.era(place);
        let end_at_asking = context.oracle.end_at_least(place);
        let version = self.rng.between(1, 11) as i16;
        let about = About::Lookup(Lookup { place, timestamp, era, end_at_asking, go });
        self.link.ask(list_offsets(place, timestamp, context), version, about, context);
    }

    fn looked_up(&mut self, lookup: &Lookup, response: &ListOffsetsResponse, context: &mut Context<'_>) {
        match listed_offset(response) {
            Ok(Some((_, offset))) if lookup.go => {
                self.reader.positions.insert(lookup.place, offset);
            }
            Ok(found) if !lookup.go => {
                let Lookup { place, timestamp, era, end_at_asking, .. } = *lookup;
                context.oracle.looked_up(place, era, timestamp, found, end_at_asking);
            }
            Err(error) if error.retriable() => {}
            other => {
                let name = self.link.name();
                context.oracle.require(false, "Answers", || format!("{name}: {lookup:?} is answered {other:?}"));
            }
        }
    }
}

impl Client for Consumer {
    fn handle(&mut self, event: ClientEvent, context: &mut Context<'_>) {
        match event {
            ClientEvent::Woken => {
                self.work(context);
                if !self.healed {
                    context.wake_after(self.options.think.pick(&mut self.rng));
                }
            }
            ClientEvent::Connected(id) => {
                if self.link.connected(id) {
                    self.work(context);
                }
            }
            ClientEvent::Frame(id, frame) => match self.link.answer(id, &frame, context) {
                Some((About::Fetch(question), AnyResponse::Fetch(response))) => {
                    let learnt = self.reader.answered(&question, &response, context);
                    if let Some(place) = learnt.out_of_range.first()
                        && !self.healed
                    {
                        self.look_up(*place, EARLIEST, true, context);
                    }
                }
                Some((About::Lookup(lookup), AnyResponse::ListOffsets(response))) => {
                    self.looked_up(&lookup, &response, context);
                }
                Some(_) | None => {}
            },
            ClientEvent::Closed(id) => {
                if self.link.closed(id).is_some() {
                    self.reader.forget_session();
                    context.wake_after(REDIAL_AFTER);
                }
            }
            ClientEvent::Healed => self.healed = true,
            ClientEvent::Quiet => {}
        }
    }

    fn is_done(&self) -> bool {
        self.healed && self.link.in_flight() == 0
    }

    fn describe(&self) -> String {
        format!("{} waits for {:?}", self.link.name(), self.link.oldest())
    }
}
