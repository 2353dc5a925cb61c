//! What is broken, and when: a schedule drawn before the run, so that it can be printed, replayed and cut down.

use std::fmt;
use std::time::Duration;

use crate::clock::SimTime;
use crate::rng::Stream;

/// How a process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Death {
    /// SIGKILL: the page cache stays.
    Kill,
    /// Power is lost: what was not synced may be gone.
    PowerLoss,
    /// SIGTERM: the broker finishes what it has accepted.
    Stop,
}

/// One thing that goes wrong.
#[derive(Clone, Copy, Debug)]
pub enum Fault {
    /// The broker ends, and comes back after `down`. Then it dies `again` times more, soon after each start: during
    /// recovery, mostly.
    Death {
        /// How.
        death: Death,
        /// For how long.
        down: Duration,
        /// How often it dies again.
        again: u8,
    },
    /// Nothing of the broker runs.
    Stall(Duration),
    /// Verbs of the file system fail with I/O errors, this often.
    DiskErrors(u32, Duration),
    /// Syncs fail, this often.
    SyncErrors(u32, Duration),
    /// The file system has this many bytes left.
    DiskFull(u64, Duration),
    /// Verbs that need room are told at random that there is none, this often.
    DiskRefusals(u32, Duration),
    /// Syncs take this many times longer.
    SlowSync(u32, Duration),
    /// Messages take this many times longer.
    SlowNetwork(u32, Duration),
    /// All connections break.
    Resets,
    /// The wall clock is set by this many milliseconds.
    ClockStep(i64),
}

/// The classes that are drawn and counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FaultClass {
    /// [`Fault::Death`] by [`Death::Kill`].
    Kill,
    /// [`Fault::Death`] by [`Death::PowerLoss`].
    PowerLoss,
    /// [`Fault::Death`] by [`Death::Stop`].
    Stop,
    /// [`Fault::Stall`].
    Stall,
    /// [`Fault::DiskErrors`].
    DiskErrors,
    /// [`Fault::SyncErrors`].
    SyncErrors,
    /// [`Fault::DiskFull`].
    DiskFull,
    /// [`Fault::DiskRefusals`].
    DiskRefusals,
    /// [`Fault::SlowSync`].
    SlowSync,
    /// [`Fault::SlowNetwork`].
    SlowNetwork,
    /// [`Fault::Resets`].
    Resets,
    /// [`Fault::ClockStep`].
    ClockStep,
}

impl FaultClass {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::Kill,
        Self::PowerLoss,
        Self::Stop,
        Self::Stall,
        Self::DiskErrors,
        Self::SyncErrors,
        Self::DiskFull,
        Self::DiskRefusals,
        Self::SlowSync,
        Self::SlowNetwork,
        Self::Resets,
        Self::ClockStep,
    ];

    /// Draws one fault of the class.
    fn draw(self, rng: &mut Stream) -> Fault {
        let lasting = Duration::from_millis(rng.skewed(50, 2000));
        match self {
            Self::Kill => death(Death::Kill, rng),
            Self::PowerLoss => death(Death::PowerLoss, rng),
            Self::Stop => death(Death::Stop, rng),
            Self::Stall => Fault::Stall(lasting),
            Self::DiskErrors => Fault::DiskErrors(rng.skewed(1, 300) as u32, lasting),
            Self::SyncErrors => Fault::SyncErrors(rng.skewed(10, 500) as u32, lasting),
            Self::DiskFull => Fault::DiskFull(rng.skewed(1, 50_000), lasting),
            Self::DiskRefusals => Fault::DiskRefusals(rng.skewed(10, 500) as u32, lasting),
            Self::SlowSync => Fault::SlowSync(rng.skewed(2, 100) as u32, lasting),
            Self::SlowNetwork => Fault::SlowNetwork(rng.skewed(2, 50) as u32, lasting),
            Self::Resets => Fault::Resets,
            Self::ClockStep => Fault::ClockStep(rng.skewed(1, 300_000) as i64 * if rng.chance(500) { 1 } else { -1 }),
        }
    }
}

impl Fault {
    /// Which class it belongs to.
    pub fn class(&self) -> FaultClass {
        match self {
            Self::Death { death: Death::Kill, .. } => FaultClass::Kill,
            Self::Death { death: Death::PowerLoss, .. } => FaultClass::PowerLoss,
            Self::Death { death: Death::Stop, .. } => FaultClass::Stop,
            Self::Stall(_) => FaultClass::Stall,
            Self::DiskErrors(..) => FaultClass::DiskErrors,
            Self::SyncErrors(..) => FaultClass::SyncErrors,
            Self::DiskFull(..) => FaultClass::DiskFull,
            Self::DiskRefusals(..) => FaultClass::DiskRefusals,
            Self::SlowSync(..) => FaultClass::SlowSync,
            Self::SlowNetwork(..) => FaultClass::SlowNetwork,
            Self::Resets => FaultClass::Resets,
            Self::ClockStep(_) => FaultClass::ClockStep,
        }
    }
}

impl fmt::Display for FaultClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

fn death(death: Death, rng: &mut Stream) -> Fault {
    let down = Duration::from_millis(rng.skewed(1, 1500));
    let again = if rng.chance(400) { rng.between(1, 3) as u8 } else { 0 };
    Fault::Death { death, down, again }
}

/// Draws which classes are on, and their faults over `[from, to)`, by time.
pub fn draw_schedule(from: SimTime, to: SimTime, rng: &mut Stream) -> Vec<(SimTime, Fault)> {
    let on_per_mille = *rng.pick(&[150, 350, 700]);
    let mut classes: Vec<FaultClass> = FaultClass::ALL.into_iter().filter(|_| rng.chance(on_per_mille)).collect();
    if classes.is_empty() {
        classes.push(*rng.pick(&FaultClass::ALL));
    }
    let count = rng.between(2, 9);
    let at = |rng: &mut Stream| SimTime(rng.between(from.0, to.0 - 1));
    let mut schedule: Vec<_> = (0..count).map(|_| (at(rng), rng.pick(&classes).draw(rng))).collect();
    schedule.sort_by_key(|(at, _)| *at);
    schedule
}
