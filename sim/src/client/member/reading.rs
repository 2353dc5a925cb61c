//! A member reads on in what it owns.

use highwater_wire::{AnyResponse, ListOffsetsResponse};

use super::Member;
use crate::client::Context;
use crate::client::consumer::{EARLIEST, list_offsets, listed_offset};
use crate::client::fetch::{Limits, Question};
use crate::oracle::Place;

/// What was asked about records, and in which stint.
#[derive(Debug)]
pub struct Reading {
    stint: u64,
    what: What,
}

#[derive(Debug)]
enum What {
    Fetch(Question),
    Start(Place),
}

/// How much a member reads at once when nobody writes any more.
const CATCHING_UP: Limits = Limits { wait_ms_max: 100, bytes_min: 1, bytes_max: 8 << 20, partition_bytes_max: 1 << 20 };

impl Member {
    /// Asks for more, unless it has been asked for.
    pub(super) fn read(&mut self, context: &mut Context<'_>) {
        if !self.is_reading() || self.holding.owned().is_empty() || self.data.in_flight() > 0 {
            return;
        }
        if !self.data.is_connected() {
            return self.data.dial(0, context);
        }
        let stint = self.stint;
        if let Some(place) = self.holding.lost.first().copied() {
            let version = self.rng.between(1, 11) as i16;
            let reading = Reading { stint, what: What::Start(place) };
            return self.data.ask(list_offsets(place, EARLIEST, context), version, reading, context);
        }
        if self.reader.positions.is_empty() {
            return;
        }
        let options = &self.options.reading;
        let limits = Limits {
            wait_ms_max: options.wait_ms_max,
            bytes_min: options.bytes_min,
            bytes_max: options.bytes_max,
            partition_bytes_max: options.partition_bytes_max,
        };
        let limits = if self.quiet { CATCHING_UP } else { limits };
        let (request, question) = self.reader.request(limits, context);
        self.data.ask(request, self.reader.version(), Reading { stint, what: What::Fetch(question) }, context);
    }

    /// Takes an answer, if what it owns is still what it owned when it asked.
    pub(super) fn has_read(&mut self, reading: Reading, response: AnyResponse, context: &mut Context<'_>) {
        if reading.stint != self.stint || !self.is_reading() {
            return;
        }
        match (reading.what, response) {
            (What::Fetch(question), AnyResponse::Fetch(response)) => {
                let learnt = self.reader.answered(&question, &response, context);
                for place in learnt.out_of_range {
                    self.reader.positions.remove(&place);
                    self.holding.lost.insert(place);
                }
            }
            (What::Start(place), AnyResponse::ListOffsets(response)) => self.found_start(place, &response, context),
            (what, response) => {
                context.oracle.require(false, "Answers", || format!("{what:?} is answered with {response:?}"));
            }
        }
    }

    /// The partition begins here; what the group has not read before that is gone.
    fn found_start(&mut self, place: Place, response: &ListOffsetsResponse, context: &mut Context<'_>) {
        match listed_offset(response) {
            Ok(Some((_, offset))) => {
                let from = self.holding.begin(place, offset);
                context.oracle.group(self.group).delivered(place, from, offset);
                self.reader.positions.insert(place, offset);
            }
            Err(error) if error.retriable() => {}
            other => {
                context.oracle.require(false, "Answers", || format!("{place} has no beginning: {other:?}"));
            }
        }
    }
}
