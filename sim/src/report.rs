//! What came of a run, and of many.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use crate::faults::FaultClass;
use crate::oracle::Violation;
use crate::trace::Digest;

/// What came of one run.
#[derive(Debug)]
pub struct Outcome {
    /// Its seed.
    pub seed: u64,
    /// What did not hold, if anything.
    pub violation: Option<Violation>,
    /// Records that were acknowledged.
    pub acked_records: u64,
    /// Events that happened.
    pub events: u64,
    /// How long the world lasted.
    pub simulated: Duration,
    /// The hash of everything that happened.
    pub trace_hash: u64,
    /// How often a fault of each class struck.
    pub faults: BTreeMap<FaultClass, u64>,
    /// How often rare things happened in the broker.
    pub branches: BTreeMap<&'static str, u64>,
    /// I/O errors that the disks answered with.
    pub disk_errors: u64,
    /// Refusals for want of space that the disks answered with.
    pub disk_refusals: u64,
}

impl Outcome {
    /// The outcome of a run that has not begun.
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            violation: None,
            acked_records: 0,
            events: 0,
            simulated: Duration::ZERO,
            trace_hash: 0,
            faults: BTreeMap::new(),
            branches: BTreeMap::new(),
            disk_errors: 0,
            disk_refusals: 0,
        }
    }

    /// A fault struck.
    pub fn fault(&mut self, class: FaultClass) {
        *self.faults.entry(class).or_default() += 1;
    }

    /// Something rare happened.
    pub fn branch(&mut self, name: &'static str) {
        *self.branches.entry(name).or_default() += 1;
    }
}

/// What came of many runs, in the order of their seeds.
#[derive(Debug, Default)]
pub struct Summary {
    /// How many runs there were.
    pub seeds: u64,
    /// The seeds of those that failed.
    pub failed: Vec<u64>,
    events: u64,
    simulated: Duration,
    acked_records: Vec<u64>,
    faults_struck: Vec<u64>,
    faults: BTreeMap<FaultClass, u64>,
    branches: BTreeMap<&'static str, u64>,
    disk_errors: u64,
    disk_refusals: u64,
    trace: Digest,
}

/// Seeds after which everything in [`EXPECTED`] must have happened.
const ENOUGH_SEEDS: u64 = 1000;

/// What must happen in so many worlds, or faults and workloads do not reach what they are for.
const EXPECTED: [&str; 24] = [
    "classic group rebalances",
    "commit acknowledged",
    "commit left unclear",
    "commit refused",
    "connection closed by the broker",
    "consumer group rebalances",
    "disk found full",
    "disk has room again",
    "group coordinator loaded",
    "group is empty",
    "group is stable",
    "halted on a fault",
    "log compacted",
    "log of groups compacted",
    "member gave some of its own up",
    "member heard that it is fenced",
    "member is gone",
    "member waits for its static name",
    "mixed group rebalances",
    "regular expression subscribed",
    "segment deleted",
    "segment rolled",
    "stray directory",
    "torn tail cut off",
];

impl Summary {
    /// Faults and rare states that so many runs should have met, and have not.
    pub fn unreached(&self) -> Vec<String> {
        if self.seeds < ENOUGH_SEEDS {
            return Vec::new();
        }
        let faults = FaultClass::ALL.iter().filter(|class| !self.faults.contains_key(class)).map(FaultClass::to_string);
        let branches = EXPECTED.iter().filter(|name| !self.branches.contains_key(*name)).map(|name| (*name).to_owned());
        faults.chain(branches).collect()
    }

    /// Adds the outcome of the next seed.
    pub fn add(&mut self, outcome: &Outcome) {
        self.seeds += 1;
        if outcome.violation.is_some() {
            self.failed.push(outcome.seed);
        }
        self.events += outcome.events;
        self.simulated += outcome.simulated;
        self.acked_records.push(outcome.acked_records);
        self.faults_struck.push(outcome.faults.values().sum());
        for (class, count) in &outcome.faults {
            *self.faults.entry(*class).or_default() += count;
        }
        for (branch, count) in &outcome.branches {
            *self.branches.entry(branch).or_default() += count;
        }
        self.disk_errors += outcome.disk_errors;
        self.disk_refusals += outcome.disk_refusals;
        self.trace.number(outcome.seed);
        self.trace.number(outcome.trace_hash);
    }

    /// The hash over all runs.
    pub fn trace_hash(&self) -> u64 {
        self.trace.value()
    }

    /// What the runs reached, for people.
    pub fn describe(&self) -> String {
        let mut text = format!("{:<22} {:>8} {:>8} {:>8} {:>8}\n", "per seed", "min", "median", "p90", "max");
        let rows = [("acknowledged records", &self.acked_records), ("faults", &self.faults_struck)];
        for (name, values) in rows {
            let [min, median, p90, max] = quantiles(values);
            let _ = writeln!(text, "{name:<22} {min:>8} {median:>8} {p90:>8} {max:>8}");
        }
        let _ = writeln!(text, "faults that struck:");
        for class in FaultClass::ALL {
            let _ = writeln!(text, "  {:<28} {:>8}", class.to_string(), self.faults.get(&class).unwrap_or(&0));
        }
        let _ = writeln!(text, "  {:<28} {:>8}", "I/O errors answered", self.disk_errors);
        let _ = writeln!(text, "  {:<28} {:>8}", "refusals for want of space", self.disk_refusals);
        let _ = writeln!(text, "what brokers and groups did:");
        for (branch, count) in &self.branches {
            let _ = writeln!(text, "  {branch:<28} {count:>8}");
        }
        text
    }

    /// The last line of stdout: one JSON object.
    pub fn json(&self, wall: Duration) -> String {
        format!(
            r#"{{"seeds":{},"failed":{},"events":{},"simulated_s":{:.1},"wall_s":{:.1},"trace_hash":"{:016x}"}}"#,
            self.seeds,
            self.failed.len(),
            self.events,
            self.simulated.as_secs_f64(),
            wall.as_secs_f64(),
            self.trace_hash(),
        )
    }
}

/// The smallest, the middle, nine tenths up, the largest.
fn quantiles(values: &[u64]) -> [u64; 4] {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    let Some(last) = sorted.len().checked_sub(1) else { return [0; 4] };
    [sorted[0], sorted[last / 2], sorted[last * 9 / 10], sorted[last]]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_thousand_seeds_never_met_is_named() {
        let mut outcome = Outcome::new(1);
        outcome.fault(FaultClass::Kill);
        outcome.branch("log compacted");
        let mut summary = Summary::default();
        (1..ENOUGH_SEEDS).for_each(|_| summary.add(&outcome));
        assert_eq!(summary.unreached(), Vec::<String>::new(), "fewer seeds need not meet everything");
        summary.add(&outcome);
        let unreached = summary.unreached();
        assert_eq!(unreached.len(), FaultClass::ALL.len() + EXPECTED.len() - 2);
        assert!(unreached.contains(&"PowerLoss".to_owned()) && !unreached.contains(&"log compacted".to_owned()));
    }

    #[test]
    fn quantiles_are_values_that_occur() {
        assert_eq!(quantiles(&[]), [0; 4]);
        assert_eq!(quantiles(&[7]), [7; 4]);
        assert_eq!(quantiles(&[5, 1, 4, 2, 3, 6, 7, 8, 9, 10, 11]), [1, 6, 10, 11]);
    }
}
