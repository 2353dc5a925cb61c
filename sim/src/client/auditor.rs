//! A client that reads every partition from its start to its end, and what every group has committed, once nothing breaks
//! any more, and has it judged.

use std::collections::{BTreeMap, BTreeSet};

use highwater_wire::{AnyResponse, ListOffsetsResponse, OffsetFetchResponse};

use super::consumer::{EARLIEST, LATEST, list_offsets, listed_offset};
use super::fetch::{Limits, Question, Reader};
use super::link::{Link, REDIAL_AFTER};
use super::member::{fetched_offsets, offset_fetch};
use super::{Client, ClientEvent, Context};
use crate::oracle::Place;
use crate::rng::{Concern, Stream};

/// See the [module](self).
#[derive(Debug)]
pub struct Auditor {
    link: Link<About>,
    reader: Reader,
    /// Where each partition's log begins and ends, as far as that was learnt.
    bounds: BTreeMap<Place, (Option<i64>, Option<i64>)>,
    /// How many groups have been asked for what they have committed.
    groups_seen: usize,
    rng: Stream,
    judged: bool,
}

#[derive(Debug)]
enum About {
    Fetch(Question),
    Bound(Place, i64),
    /// What the next group has committed, and when that was asked.
    Group(u64),
}

/// How much the auditor reads at once.
const LIMITS: Limits = Limits { wait_ms_max: 100, bytes_min: 1, bytes_max: 8 << 20, partition_bytes_max: 1 << 20 };

impl Auditor {
    /// An auditor that has read nothing.
    pub fn new(number: usize, seed: u64) -> Self {
        let mut rng = Stream::new(seed, Concern::Client, number as u64);
        let name = format!("auditor {number}");
        let version = rng.between(4, 18) as i16;
        let reader = Reader::new(name.clone(), version, rng.chance(300));
        Self { link: Link::new(name), reader, bounds: BTreeMap::new(), groups_seen: 0, rng, judged: false }
    }

    /// Asks for the next thing that it lacks.
    fn work(&mut self, context: &mut Context<'_>) {
        if self.judged || self.link.in_flight() > 0 {
            return;
        }
        if !self.link.is_connected() {
            return self.link.dial(0, context);
        }
        for place in context.oracle.places() {
            self.bounds.entry(place).or_default();
        }
        let lacking = self.bounds.iter().find_map(|(place, bounds)| match bounds {
            (None, _) => Some((*place, EARLIEST)),
            (Some(_), None) => Some((*place, LATEST)),
            (Some(_), Some(_)) => None,
        });
        if let Some((place, timestamp)) = lacking {
            const LIST_OFFSETS_VERSION: i16 = 7;
            let request = list_offsets(place, timestamp, context);
            return self.link.ask(request, LIST_OFFSETS_VERSION, About::Bound(place, timestamp), context);
        }
        if self.groups_seen < context.oracle.groups_count() {
            return self.ask_group(context);
        }
        if self.bounds.iter().all(|(place, (_, end))| self.reader.positions.get(place) >= end.as_ref()) {
            return self.judge(context);
        }
        let (request, question) = self.reader.request(LIMITS, context);
        self.link.ask(request, self.reader.version(), About::Fetch(question), context);
    }

    fn ask_group(&mut self, context: &mut Context<'_>) {
        let places: BTreeSet<Place> = context.oracle.places_of_group(self.groups_seen).into_iter().collect();
        let group = context.oracle.group(self.groups_seen);
        let (asked, name) = (group.tick(), group.name.clone());
        let version = self.rng.between(1, 10) as i16;
        let request = offset_fetch(&name, None, &places, version, context.oracle);
        self.link.ask(request, version, About::Group(asked), context);
    }

    fn group(&mut self, asked: u64, response: &OffsetFetchResponse, context: &mut Context<'_>) {
        match fetched_offsets(response, context.oracle) {
            Ok(found) => {
                for (place, offset, note) in found {
                    let fetched = context.oracle.group(self.groups_seen).fetched(asked, place, offset, &note);
                    context.oracle.note(fetched);
                }
                self.groups_seen += 1;
            }
            Err(error) if error.retriable() => context.wake_after(REDIAL_AFTER),
            Err(error) => {
                context.oracle.require(false, "Answers", || format!("OffsetFetch fails with {error:?}"));
            }
        }
    }

    fn judge(&mut self, context: &mut Context<'_>) {
        for (place, bounds) in &self.bounds {
            let (start, end) = (bounds.0.unwrap_or(0), self.reader.positions[place]);
            context.oracle.judge(*place, start, end);
        }
        context.trace.tell(context.now, self.link.name(), || format!("has judged {:?}", self.bounds));
        self.judged = true;
        self.link.hang_up(None, context);
    }

    fn bound(&mut self, place: Place, timestamp: i64, response: &ListOffsetsResponse, context: &mut Context<'_>) {
        let found = listed_offset(response);
        let bounds = self.bounds.entry(place).or_default();
        match found {
            Ok(Some((_, offset))) if timestamp == EARLIEST => {
                bounds.0 = Some(offset);
                context.oracle.audit_begins(place);
                self.reader.positions.insert(place, offset);
            }
            Ok(Some((_, offset))) => bounds.1 = Some(offset),
            Err(error) if error.retriable() => context.wake_after(REDIAL_AFTER),
            Ok(None) | Err(_) => {
                context.oracle.require(false, "Answers", || format!("{place} has no bound {timestamp}: {found:?}"));
            }
        }
    }
}

impl Client for Auditor {
    fn handle(&mut self, event: ClientEvent, context: &mut Context<'_>) {
        match event {
            ClientEvent::Woken => self.work(context),
            ClientEvent::Connected(id) => {
                self.link.connected(id);
                self.work(context);
            }
            ClientEvent::Frame(id, frame) => {
                match self.link.answer(id, &frame, context) {
                    Some((About::Fetch(question), AnyResponse::Fetch(response))) => {
                        let before = self.reader.positions.clone();
                        let learnt = self.reader.answered(&question, &response, context);
                        for place in learnt.out_of_range {
                            self.bounds.insert(place, (None, None));
                        }
                        if self.reader.positions == before {
                            return context.wake_after(REDIAL_AFTER);
                        }
                    }
                    Some((About::Bound(place, timestamp), AnyResponse::ListOffsets(response))) => {
                        self.bound(place, timestamp, &response, context);
                    }
                    Some((About::Group(asked), AnyResponse::OffsetFetch(response))) => {
                        let before = self.groups_seen;
                        self.group(asked, &response, context);
                        if self.groups_seen == before {
                            return;
                        }
                    }
                    Some(_) | None => {}
                }
                self.work(context);
            }
            ClientEvent::Closed(id) => {
                if self.link.closed(id).is_some() {
                    self.reader.forget_session();
                    context.wake_after(REDIAL_AFTER);
                }
            }
            ClientEvent::Healed | ClientEvent::Quiet => {}
        }
    }

    fn is_done(&self) -> bool {
        self.judged
    }

    fn describe(&self) -> String {
        format!("{} is at {:?} of {:?}", self.link.name(), self.reader.positions, self.bounds)
    }
}
