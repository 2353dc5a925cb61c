//! Both clocks, read for core.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use highwater_core::Now;
use highwater_core::time::{Instant, WallMs};

/// The machine's clocks, with one origin for all shards of a process.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    origin: tokio::time::Instant,
}

impl Clock {
    /// A clock whose monotonic time starts now.
    pub fn start() -> Self {
        Self { origin: tokio::time::Instant::now() }
    }

    /// Reads both clocks.
    pub fn now(&self) -> Now {
        Now { mono: self.mono(), wall: wall() }
    }

    /// Reads the monotonic clock.
    pub fn mono(&self) -> Instant {
        Instant(0) + self.origin.elapsed()
    }

    /// A point of core's clock on the executor's.
    pub fn deadline(&self, at: Instant) -> tokio::time::Instant {
        self.origin.checked_add(Duration::from_nanos(at.0)).unwrap_or(self.origin + FAR_AWAY)
    }
}

/// Stands for "never" where a deadline lies beyond what the executor can represent.
const FAR_AWAY: Duration = Duration::from_secs(60 * 60 * 24 * 365);

fn wall() -> WallMs {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    WallMs(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
}
