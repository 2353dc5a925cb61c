//! From chaos to judgement.

use std::time::Duration;

use super::brokers::RESTART_AFTER;
use super::{Event, World};
use crate::client::{Auditor, ClientEvent};
use crate::faults::Death;

/// What a run is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Everything may break.
    Chaos,
    /// Nothing breaks any more: every client must get what it still waits for.
    Settle,
    /// Nobody writes any more: every group must get to the end.
    CatchUp,
    /// Everything is read back.
    Audit,
    /// All brokers have ended once more, and everything is read back again.
    LastAudit,
    /// All brokers are asked to stop, and must.
    Stopping,
    /// The run is over.
    Over,
}

/// How long a phase after the heal may take.
const PHASE_MAX: Duration = Duration::from_secs(60);

impl World {
    pub(super) fn heal(&mut self) {
        let now = self.queue.now();
        self.trace.event(now, "heal", 0);
        self.trace.tell(now, "world", || "everything is healed".to_owned());
        self.mend_everything();
        self.enter(Phase::Settle);
        for client in 0..self.clients.len() {
            self.tell_client(client, ClientEvent::Healed);
        }
    }

    fn catch_up(&mut self) {
        self.enter(Phase::CatchUp);
        for client in 0..self.clients.len() {
            self.pass_on(client, ClientEvent::Quiet);
        }
        self.maybe_advance();
    }

    /// Goes on to the next phase once this one has what it waits for.
    pub(super) fn maybe_advance(&mut self) {
        let waits_for_clients = matches!(self.phase, Phase::Settle | Phase::CatchUp | Phase::Audit | Phase::LastAudit);
        if !waits_for_clients || !self.clients.iter().all(|client| client.is_done()) {
            return;
        }
        match self.phase {
            Phase::Settle => self.catch_up(),
            Phase::CatchUp => self.audit(Phase::Audit),
            Phase::Audit => {
                let death = self.options.last_death;
                (0..self.brokers.len()).for_each(|broker| self.last_death(broker, death));
                self.audit(Phase::LastAudit);
            }
            Phase::LastAudit => {
                self.enter(Phase::Stopping);
                (0..self.brokers.len()).for_each(|broker| self.last_death(broker, Death::Stop));
            }
            Phase::Chaos | Phase::Stopping | Phase::Over => {}
        }
    }

    fn last_death(&mut self, broker: usize, death: Death) {
        self.brokers[broker].down = RESTART_AFTER;
        self.die(broker, death);
    }

    fn audit(&mut self, phase: Phase) {
        self.enter(phase);
        let client = self.clients.len();
        self.clients.push(Box::new(Auditor::new(client, self.seed)));
        self.set_alarm(client, self.queue.now());
    }

    fn enter(&mut self, phase: Phase) {
        let now = self.queue.now();
        self.trace.tell(now, "world", || format!("enters {phase:?}"));
        self.phase = phase;
        self.queue.schedule(now + PHASE_MAX, Event::Deadline { phase });
    }

    /// A broker's process has ended by request: at the very end, that is the end.
    pub(super) fn maybe_over(&mut self) {
        if self.phase == Phase::Stopping && self.brokers.iter().all(|broker| broker.process.is_none()) {
            self.phase = Phase::Over;
        }
    }

    pub(super) fn deadline(&mut self, phase: Phase) {
        if self.phase != phase {
            return;
        }
        let mut waiting: Vec<String> =
            self.clients.iter().filter(|client| !client.is_done()).map(|client| client.describe()).collect();
        if phase == Phase::CatchUp {
            waiting.extend((0..self.options.groups.len()).map(|group| self.oracle.describe_group(group)));
        }
        let ready = self.brokers.iter().filter(|broker| broker.is_ready()).count();
        let brokers = self.brokers.len();
        self.oracle.require(false, "Liveness", || {
            let waiting = waiting.join("; ");
            format!(
                "{PHASE_MAX:?} after the heal, in {phase:?}: {ready} of {brokers} brokers ready, waiting: {waiting}"
            )
        });
    }
}
