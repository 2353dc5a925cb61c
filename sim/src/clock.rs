//! The time of the world, and the clocks that brokers read.

use std::fmt;
use std::ops::Add;
use std::time::Duration;

use highwater_core::Now;
use highwater_core::time::{Instant, WallMs};

/// Nanoseconds since the world began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct SimTime(pub u64);

impl SimTime {
    /// Later than everything that happens.
    pub const NEVER: Self = Self(u64::MAX);

    /// The time that has passed since `earlier`, or zero if that lies ahead.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// The true time of day, as clients know it.
    pub fn wall_ms(self) -> i64 {
        WALL_AT_START_MS + (self.0 / NANOS_PER_MS) as i64
    }
}

impl Add<Duration> for SimTime {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(duration.as_nanos() as u64))
    }
}

impl fmt::Display for SimTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>4}.{:06}", self.0 / 1_000_000_000, self.0 % 1_000_000_000 / 1000)
    }
}

/// When every world begins: a Tuesday in November 2023.
const WALL_AT_START_MS: i64 = 1_700_000_000_000;
const NANOS_PER_MS: u64 = 1_000_000;
const MILLION: i128 = 1_000_000;

/// The clocks of one machine: they start anywhere, run a little fast or slow, and the wall clock is set now and then.
#[derive(Clone, Copy, Debug)]
pub struct BrokerClock {
    /// What the monotonic clock shows when the world begins, in nanoseconds.
    pub mono_at_start: u64,
    /// How much faster than the world both clocks run, in millionths.
    pub drift_ppm: i32,
    /// How far the wall clock is off, in milliseconds.
    pub wall_offset_ms: i64,
}

impl BrokerClock {
    /// What both clocks show.
    pub fn now(&self, at: SimTime) -> Now {
        let elapsed = self.elapsed(at);
        let wall = WALL_AT_START_MS + self.wall_offset_ms + (elapsed / NANOS_PER_MS) as i64;
        Now { mono: Instant(self.mono_at_start + elapsed), wall: WallMs(wall) }
    }

    /// When the monotonic clock has reached an instant.
    pub fn reaches(&self, instant: Instant) -> SimTime {
        let elapsed = i128::from(instant.0.saturating_sub(self.mono_at_start));
        let at = elapsed * MILLION / (MILLION + i128::from(self.drift_ppm));
        let mut at = SimTime(u64::try_from(at).unwrap_or(u64::MAX));
        while at != SimTime::NEVER && self.now(at).mono < instant {
            at.0 += 1;
        }
        at
    }

    fn elapsed(&self, at: SimTime) -> u64 {
        let elapsed = i128::from(at.0) * (MILLION + i128::from(self.drift_ppm)) / MILLION;
        u64::try_from(elapsed).expect("drift is far below the whole speed")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_drifts_reaches_an_instant_when_it_shows_it() {
        for drift_ppm in [-500, -1, 0, 1, 500] {
            let clock = BrokerClock { mono_at_start: 12_345, drift_ppm, wall_offset_ms: -5 };
            for elapsed in [0, 1, 999, 1_000_000, 123_456_789_012] {
                let instant = Instant(12_345 + elapsed);
                let at = clock.reaches(instant);
                assert!(clock.now(at).mono >= instant, "drift {drift_ppm}: too early");
                assert!(at.0 == 0 || clock.now(SimTime(at.0 - 1)).mono < instant, "drift {drift_ppm}: too late");
            }
        }
    }
}
