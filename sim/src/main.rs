//! Runs the simulator.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Parser, Subcommand};
use highwater_sim::options::Options;
use highwater_sim::report::{Outcome, Summary};
use highwater_sim::runner::{Plan, run_many, run_seed};
use highwater_sim::trace::Story;

/// A world makes and drops codecs' contexts of a hundred kilobytes all the time, which glibc gives back to the system.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Runs Highwater in a simulated world, many worlds, one for each seed.
#[derive(Debug, Parser)]
#[command(name = "sim", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs a range of seeds on all cores. The last line of stdout is one JSON object; the exit code is 1 if a seed
    /// failed, or if a thousand seeds or more have never met a fault or a state that they should.
    Run {
        /// How many seeds [default: 1000, or without end if --minutes is given].
        #[arg(long)]
        seeds: Option<u64>,
        /// The first seed.
        #[arg(long, default_value_t = 0)]
        from: u64,
        /// For how many minutes at most.
        #[arg(long)]
        minutes: Option<f64>,
    },
    /// Runs one seed and prints what happens: when, who, what.
    Replay {
        /// The seed.
        seed: u64,
    },
    /// Plants each known bug in turn and searches for the first seed that finds it.
    #[cfg(planted)]
    Planted {
        /// Seeds to search at most.
        #[arg(long, default_value_t = 200)]
        seeds: u64,
    },
}

/// Lines of a failed seed's story that are printed.
const STORY_LINES: usize = 60;
/// Failed seeds that are explained; more are only listed.
const EXPLAINED_MAX: usize = 3;

fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Run { seeds, from, minutes } => run(seeds, from, minutes),
        Command::Replay { seed } => replay(seed),
        #[cfg(planted)]
        Command::Planted { seeds } => planted(seeds),
    }
}

fn run(seeds: Option<u64>, from: u64, minutes: Option<f64>) -> ExitCode {
    const SEEDS: u64 = 1000;
    silence_panics();
    let began = Instant::now();
    let plan = Plan {
        from,
        seeds: seeds.unwrap_or(if minutes.is_some() { u64::MAX - from } else { SEEDS }),
        at_most: minutes.map(|minutes| Duration::from_secs_f64(minutes * 60.0)),
        stop_at_failure: false,
    };
    let mut progress = Progress::new(began);
    let summary = run_many(plan, |outcome, summary| progress.report(outcome, summary));
    progress.end();
    summary.failed.iter().take(EXPLAINED_MAX).for_each(|seed| explain(*seed));
    if summary.failed.len() > EXPLAINED_MAX {
        println!("failed seeds: {:?}", summary.failed);
    }
    print!("{}", summary.describe());
    let unreached = summary.unreached();
    if !unreached.is_empty() {
        println!("never met, though {} seeds should have: {}", summary.seeds, unreached.join(", "));
    }
    println!("{}", summary.json(began.elapsed()));
    if summary.failed.is_empty() && unreached.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn replay(seed: u64) -> ExitCode {
    println!("{:#?}", Options::draw(seed));
    let outcome = run_seed(seed, Some(&Story::printed()));
    println!("trace hash {:016x}, {} acknowledged records", outcome.trace_hash, outcome.acked_records);
    match outcome.violation {
        None => {
            println!("seed {seed} holds");
            ExitCode::SUCCESS
        }
        Some(violation) => {
            println!("seed {seed} violates {}: {}", violation.property, violation.witness);
            ExitCode::FAILURE
        }
    }
}

/// Prints which seed finds each planted bug, and by which property.
#[cfg(planted)]
fn planted(seeds: u64) -> ExitCode {
    use highwater_core::planted::{Bug, plant};

    silence_panics();
    let mut all_found = true;
    println!("{:<28} {:>10}  property", "planted bug", "seeds");
    for (name, bug) in Bug::ALL {
        plant(Some(bug));
        let found = (0..seeds).find_map(|seed| Some((seed, run_seed(seed, None).violation?)));
        plant(None);
        all_found &= found.is_some();
        match found {
            Some((seed, violation)) => println!("{name:<28} {:>10}  {}", seed + 1, violation.property),
            None => println!("{name:<28} {:>10}  not found", format!("> {seeds}")),
        }
    }
    if all_found { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs a failed seed again, to tell how it ends.
fn explain(seed: u64) {
    let story = Story::ending(STORY_LINES);
    let outcome = run_seed(seed, Some(&story));
    let Some(violation) = &outcome.violation else {
        return println!("seed {seed} failed, but not again: something draws from outside of its seed");
    };
    println!("seed {seed} violates {}: {}", violation.property, violation.witness);
    println!("{:#?}", Options::draw(seed));
    println!("the end of its story:");
    story.lines().iter().for_each(|line| println!("{line}"));
    println!("replay it with: cargo run --release --bin sim -- replay {seed}");
}

/// A panic of the core is reported with its seed; printing it from a thread in between says nothing.
fn silence_panics() {
    std::panic::set_hook(Box::new(|_| {}));
}

/// A line on stderr, now and then.
struct Progress {
    began: Instant,
    reported: Instant,
    in_place: bool,
}

impl Progress {
    const EVERY: Duration = Duration::from_secs(2);

    fn new(began: Instant) -> Self {
        Self { began, reported: began, in_place: std::io::stderr().is_terminal() }
    }

    fn report(&mut self, outcome: &Outcome, summary: &Summary) {
        if let Some(violation) = &outcome.violation {
            eprintln!("seed {} violates {}: {}", outcome.seed, violation.property, violation.witness);
        }
        if self.reported.elapsed() < Self::EVERY {
            return;
        }
        self.reported = Instant::now();
        let rate = summary.seeds as f64 / self.began.elapsed().as_secs_f64();
        let end = if self.in_place { '\r' } else { '\n' };
        eprint!("{} seeds, {} failed, {rate:.0} seeds/s{end}", summary.seeds, summary.failed.len());
        let _ = std::io::stderr().flush();
    }

    fn end(&self) {
        if self.in_place {
            eprintln!();
        }
    }
}
