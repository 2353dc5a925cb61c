//! Running seeds: one, or many on all cores.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use crate::oracle::Violation;
use crate::report::{Outcome, Summary};
use crate::trace::Story;
use crate::world::World;

/// Runs one seed. A panic is a violation too.
pub fn run_seed(seed: u64, story: Option<&Story>) -> Outcome {
    let run = || World::new(seed, story.cloned()).run();
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        let witness = text.unwrap_or_else(|| "a panic without a message".to_owned());
        Outcome { violation: Some(Violation { property: "NoPanic", witness }), ..Outcome::new(seed) }
    })
}

/// Which seeds to run.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// The first seed.
    pub from: u64,
    /// How many, unless the time is over before.
    pub seeds: u64,
    /// For how long at most.
    pub at_most: Option<Duration>,
    /// Whether to stop at the first failure.
    pub stop_at_failure: bool,
}

/// Runs many seeds on all cores; `progress` hears of each, in order.
pub fn run_many(plan: Plan, mut progress: impl FnMut(&Outcome, &Summary)) -> Summary {
    let began = Instant::now();
    let next = AtomicU64::new(0);
    let stop = AtomicBool::new(false);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let (sender, outcomes) = mpsc::sync_channel(threads * 64);
    let mut summary = Summary::default();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            let (sender, next, stop) = (sender.clone(), &next, &stop);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) && plan.at_most.is_none_or(|limit| began.elapsed() < limit) {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    if index >= plan.seeds || sender.send((index, run_seed(plan.from + index, None))).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        in_order(outcomes, |outcome| {
            summary.add(outcome);
            progress(outcome, &summary);
            if plan.stop_at_failure && !summary.failed.is_empty() {
                stop.store(true, Ordering::Relaxed);
            }
        });
    });
    summary
}

/// Hands out outcomes in the order of their indexes, whatever order the threads finish them in.
fn in_order(outcomes: mpsc::Receiver<(u64, Outcome)>, mut each: impl FnMut(&Outcome)) {
    let mut waiting = BTreeMap::new();
    let mut next = 0;
    for (index, outcome) in outcomes {
        waiting.insert(index, outcome);
        while let Some(outcome) = waiting.remove(&next) {
            each(&outcome);
            next += 1;
        }
    }
}
