//! The consumer protocol (KIP-848), as a member speaks it: heartbeats say who it is, what it wants and what it owns, and
//! their answers say what it shall own.
//!
//! What it must give up it stops reading at once and mostly commits; only then it says that it owns it no longer.

use std::collections::BTreeSet;
use std::time::Duration;

use highwater_wire::{ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, ErrorCode};

use super::requests::{error_code, given, owned_topics, topics_regex};
use super::target::Surplus;
use super::{Asked, Member, Phase};
use crate::client::Context;
use crate::oracle::{Place, Told};

/// What a member remembers between two heartbeats.
#[derive(Debug, Default)]
pub struct Beating {
    /// Whether it shall own topics too of which nobody has told it.
    is_unresolved: bool,
    /// What the coordinator has heard that it owns; none if it must be told everything anew.
    said: Option<BTreeSet<Place>>,
    /// How many ids it has given itself.
    ids_made: u32,
}

/// A heartbeat that is under way.
#[derive(Debug)]
pub struct Beat {
    /// When it was sent, and in which life of the group.
    asked: u64,
    life: u64,
    /// What it says that the member owns.
    owned: Option<BTreeSet<Place>>,
}

/// The first version in which members give themselves their ids, and may use regular expressions.
const IDS_ARE_THE_CLIENTS: i16 = 1;

/// The epochs of who leaves: for good, or to come back under the same static name.
const LEAVES: i32 = -1;
const LEAVES_FOR_NOW: i32 = -2;

impl Member {
    /// Sends a heartbeat, which joins if the member is in no group.
    pub(super) fn beat(&mut self, context: &mut Context<'_>) {
        let version = self.options.heartbeat_version;
        if self.beating.is_unresolved {
            self.say_all_again();
        }
        if matches!(self.phase, Phase::Joining) {
            (self.epoch, self.beating.said) = (0, None);
            if version >= IDS_ARE_THE_CLIENTS && self.member_id.is_empty() {
                self.beating.ids_made += 1;
                self.member_id = format!("member-{}-{}", self.number, self.beating.ids_made);
            }
        }
        let is_full = self.beating.said.is_none();
        let owned = self.holding.owned();
        let owned = (self.beating.said.as_ref() != Some(owned)).then(|| owned.clone());
        let group = context.oracle.group(self.group);
        if let Some(owned) = &owned {
            group.keeps(self.number, owned);
        }
        let (asked, life) = (group.tick(), group.generation().life);
        let mut request = ConsumerGroupHeartbeatRequest {
            topic_partitions: owned.as_ref().map(|owned| owned_topics(owned, context.oracle)),
            ..self.heartbeat_of(self.epoch)
        };
        if is_full {
            let topics = self.group_options.topics.iter().copied();
            request.rebalance_timeout_ms = self.group_options.rebalance_timeout_ms;
            request.server_assignor = self.group_options.assignor.map(str::to_owned);
            if self.options.uses_regex && version >= IDS_ARE_THE_CLIENTS {
                context.oracle.count("regular expression subscribed");
                request.subscribed_topic_regex = Some(topics_regex(topics, context.oracle));
            } else {
                let names = topics.map(|topic| context.oracle.topics()[topic].name.clone());
                request.subscribed_topic_names = Some(names.collect());
            }
        }
        self.coordinator.ask(request, version, Asked::Beat(Beat { asked, life, owned }), context);
    }

    fn heartbeat_of(&self, member_epoch: i32) -> ConsumerGroupHeartbeatRequest {
        ConsumerGroupHeartbeatRequest {
            group_id: self.group_options.name.clone(),
            member_id: self.member_id.clone(),
            member_epoch,
            instance_id: self.instance_id(),
            rebalance_timeout_ms: -1,
            ..Default::default()
        }
    }

    pub(super) fn has_beaten(
        &mut self,
        beat: Beat,
        response: ConsumerGroupHeartbeatResponse,
        context: &mut Context<'_>,
    ) {
        match error_code(response.error_code) {
            ErrorCode::None => {}
            error => return self.failed("ConsumerGroupHeartbeat", error, context),
        }
        self.member_id = response.member_id.unwrap_or_default();
        self.epoch = response.member_epoch;
        self.heartbeat_at = context.now + Duration::from_millis(response.heartbeat_interval_ms as u64);
        if matches!(self.phase, Phase::Joining) {
            self.phase = Phase::Owning;
        }
        if let Some(owned) = beat.owned {
            self.beating.said = Some(owned);
        }
        if let Some(assignment) = &response.assignment {
            let target = given(assignment, context.oracle);
            let count: usize = assignment.topic_partitions.iter().map(|topic| topic.partitions.len()).sum();
            self.beating.is_unresolved = count > target.len();
            self.turn_to(target, context);
        }
        let (client, member_id, epoch) = (self.number, self.member_id.as_str(), self.epoch);
        let told = Told { client, member_id, epoch, places: self.holding.owned() };
        let holds = context.oracle.group(self.group).holds(told, beat.asked, beat.life);
        context.oracle.note(holds);
        self.ask_coordinator(context);
    }

    /// What a member does while nothing changes, or until it has given up what it must.
    pub(super) fn keep_beating(&mut self, context: &mut Context<'_>) {
        if self.give_up_surplus(context) == Surplus::Committing {
            return;
        }
        if self.heartbeat_at <= context.now || self.beating.said.as_ref() != Some(self.holding.owned()) {
            return self.beat(context);
        }
        self.tend_offsets(context);
    }

    /// Says that it leaves: what it owned is not its own any more.
    pub(super) fn leave_beating(&mut self, context: &mut Context<'_>) {
        let comes_back = self.options.is_static && self.rng.chance(800);
        let request = self.heartbeat_of(if comes_back { LEAVES_FOR_NOW } else { LEAVES });
        context.oracle.group(self.group).gave_up(self.number);
        self.coordinator.ask(request, self.options.heartbeat_version, Asked::Leave, context);
    }

    /// The coordinator must be told everything: it may be another, or know the member at another epoch.
    pub(super) fn say_all_again(&mut self) {
        self.beating.said = None;
    }
}
