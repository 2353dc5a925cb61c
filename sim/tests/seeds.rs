//! The simulator over a few hundred seeds, and over those that once failed.

use highwater_sim::report::Outcome;
use highwater_sim::runner::{Plan, run_many, run_seed};

fn assert_holds(outcome: &Outcome) {
    if let Some(violation) = &outcome.violation {
        panic!(
            "seed {seed} violates {}: {}\nreplay it with: cargo run --release --bin sim -- replay {seed}",
            violation.property,
            violation.witness,
            seed = outcome.seed,
        );
    }
}

#[test]
fn three_hundred_seeds_hold() {
    let plan = Plan { from: 10_000, seeds: 300, at_most: None, stop_at_failure: true };
    run_many(plan, |outcome, _| assert_holds(outcome));
}

#[test]
fn seeds_that_once_failed_hold() {
    let lines = include_str!("../seeds.txt").lines().filter(|line| !line.starts_with('#'));
    let seeds: Vec<u64> = lines.filter_map(|line| line.split(' ').next()?.parse().ok()).collect();
    assert!(!seeds.is_empty(), "the corpus is read");
    seeds.into_iter().for_each(|seed| assert_holds(&run_seed(seed, None)));
}

#[test]
fn the_same_seeds_leave_the_same_trace_whatever_the_threads_do() {
    let plan = Plan { from: 0, seeds: 40, at_most: None, stop_at_failure: false };
    let hash = || run_many(plan, |_, _| {}).trace_hash();
    assert_eq!(hash(), hash());
    assert_ne!(run_seed(0, None).trace_hash, run_seed(1, None).trace_hash);
}
