//! When a client must be woken.

use crate::time::Instant;

/// Collects deadlines. What is due already has been tried and waits for something else than time.
#[derive(Debug)]
pub(super) struct Wake {
    now: Instant,
    earliest: Option<Instant>,
}

impl Wake {
    pub fn new(now: Instant) -> Self {
        Self { now, earliest: None }
    }

    pub fn at(&mut self, deadline: Instant) {
        if deadline > self.now {
            self.earliest = Some(self.earliest.map_or(deadline, |earliest| earliest.min(deadline)));
        }
    }

    pub fn earliest(&self) -> Option<Instant> {
        self.earliest
    }
}
