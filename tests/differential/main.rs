//! Kafka as the judge: the same random requests to Highwater and to Apache Kafka, and what they answer compared.
//!
//! ```text
//! differential --kafka ADDRESS --highwater ADDRESS [--seed N] [--requests N] [--steps N] [--sequence N]
//!              [--differences FILE] [--word kafka|highwater TEXT WORD]...
//! ```
//! A run is a row of sequences, each a function of the seed and its number and each begun on brokers without topics. What
//! is known to differ stands in `differences.txt`, with the reason. A sequence that shows anything else is made as short
//! as it can be and printed; the run goes on and fails at its end.

#![allow(clippy::print_stdout)]

mod cleaning;
mod compare;
mod coverage;
mod dice;
mod differences;
mod generate;
mod ids;
mod model;
mod shrink;
mod side;
mod step;
mod world;

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Instant;

use highwater_wire::api_versions::ApiVersionsRequest;
use highwater_wire::{AnyRequest, ApiKey, ErrorCode};

use compare::Difference;
use coverage::Coverage;
use dice::Dice;
use differences::Known;
use generate::Served;
use ids::Who;
use model::Model;
use side::{Answer, Side};
use step::Step;
use world::{Outcome, World};

type Failure = Box<dyn std::error::Error>;

/// How a run was asked for.
#[derive(Debug)]
struct Options {
    kafka: SocketAddr,
    highwater: SocketAddr,
    seed: u64,
    requests: usize,
    steps: u32,
    sequence: Option<u64>,
    differences: String,
    words: Vec<(Who, String, &'static str)>,
    shrink: bool,
}

/// What a run has found.
#[derive(Debug, Default)]
struct Findings {
    requests: usize,
    explained: usize,
    unexplained: usize,
    coverage: Coverage,
    /// How often each unexplained difference occurred: API and version, and what differs where.
    seen: BTreeMap<(ApiKey, Difference), usize>,
}

/// Different unexplained differences whose sequences are made shorter and printed.
const PRINTED_MAX: usize = 12;

fn main() -> Result<ExitCode, Failure> {
    let options = Options::parse(std::env::args().skip(1))?;
    let mut known = Known::parse(&std::fs::read_to_string(&options.differences)?)?;
    println!("seed {}", options.seed);
    let mut world =
        World::open(Side::connect(Who::Kafka, options.kafka)?, Side::connect(Who::Highwater, options.highwater)?)?;
    for (who, text, word) in &options.words {
        world.add_own_word(*who, text.clone(), word);
    }
    let served = served(&mut Side::connect(Who::Highwater, options.highwater)?)?;
    let begin = Instant::now();
    let mut findings = Findings::default();
    let mut sequence = options.sequence.unwrap_or(0);
    while findings.requests < options.requests {
        play_sequence(&mut world, &options, &served, sequence, &mut known, &mut findings)?;
        if options.sequence.is_some() {
            break;
        }
        sequence += 1;
    }
    report(&findings, &known, begin, sequence);
    Ok(if findings.unexplained == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl Options {
    fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self, Failure> {
        let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
        let now = std::time::SystemTime::UNIX_EPOCH.elapsed()?;
        let mut options = Self {
            kafka: nowhere,
            highwater: nowhere,
            seed: now.as_secs(),
            requests: 20_000,
            steps: 150,
            sequence: None,
            differences: concat!(env!("CARGO_MANIFEST_DIR"), "/differential/differences.txt").to_owned(),
            words: Vec::new(),
            shrink: true,
        };
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or_else(|| format!("{argument} needs a value"));
            match argument.as_str() {
                "--kafka" => options.kafka = value()?.parse()?,
                "--highwater" => options.highwater = value()?.parse()?,
                "--seed" => options.seed = value()?.parse()?,
                "--requests" => options.requests = value()?.parse()?,
                "--steps" => options.steps = value()?.parse()?,
                "--sequence" => options.sequence = Some(value()?.parse()?),
                "--differences" => options.differences = value()?,
                "--kafka-dir" => options.words.push((Who::Kafka, value()?, "DIR")),
                "--highwater-dir" => options.words.push((Who::Highwater, value()?, "DIR")),
                "--no-shrink" => options.shrink = false,
                other => return Err(format!("unknown option {other}").into()),
            }
        }
        Ok(options)
    }
}

/// What Highwater advertises, as far as it can be drawn: what it does not serve, nobody asks it.
fn served(highwater: &mut Side) -> io::Result<Served> {
    let rows = highwater.ask(&ApiVersionsRequest::default(), 0)?.api_keys;
    let served = rows.into_iter().filter_map(|row| {
        let api = ApiKey::try_from(row.api_key).ok()?;
        let first = row.min_version.max(*api.versions().start());
        Some((api, first..=row.max_version))
    });
    Ok(served.collect())
}

/// Plays one sequence to its end, or to where the brokers' states part.
fn play_sequence(
    world: &mut World,
    options: &Options,
    served: &Served,
    sequence: u64,
    known: &mut Known,
    findings: &mut Findings,
) -> io::Result<()> {
    world.reset()?;
    let mut dice = Dice::new(options.seed.wrapping_mul(1_000_003).wrapping_add(sequence));
    let mut model = Model::default();
    let mut steps = Vec::new();
    for number in 0..options.steps {
        let step = generate::step(&mut dice, &model, served, number);
        steps.push(step.clone());
        let outcome = world.play(&step).map_err(|error| in_step(error, &step, sequence))?;
        findings.requests += 1;
        findings.coverage.add(step.api(), step.version, &outcome.kafka);
        let mut parted = false;
        for difference in &outcome.differences {
            parted |= parts_states(&step, difference);
            match known.explain(step.api(), step.version, difference) {
                Some(_) => findings.explained += 1,
                None => {
                    findings.unexplained += 1;
                    let seen = findings.seen.entry((step.api(), pattern(difference))).or_default();
                    *seen += 1;
                    if *seen == 1 && !options.shrink {
                        let example: String = format!("{:?}", step.request).chars().take(900).collect();
                        println!(
                            "EXAMPLE {} {} | {} | {} | {} | {sequence}/{number} {example}",
                            step.api(),
                            step.version,
                            difference.path,
                            difference.kafka,
                            difference.highwater
                        );
                    }
                    if *seen == 1 && findings.seen.len() <= PRINTED_MAX && options.shrink {
                        print_failure(world, options, sequence, &steps, difference)?;
                        return Ok(());
                    }
                }
            }
        }
        // What a closed connection leaves behind of a request for several partitions, nobody is told.
        let is_untold = outcome.kafka == Answer::Closed && step.is_silent() && step.partitions() > 1;
        if parted || is_untold {
            return Ok(());
        }
        model.learn_ends(&outcome.ends);
        if let Answer::Response(response) = &outcome.kafka {
            model.learn(&step, response, &world.ids);
        } else if outcome.kafka == Answer::Closed && outcome.highwater == Answer::Closed {
            // A fetch session of Highwater's belongs to the shard that serves its connection.
            model.sessions.clear();
        }
    }
    Ok(())
}

fn in_step(error: io::Error, step: &Step, sequence: u64) -> io::Error {
    io::Error::new(error.kind(), format!("{error}, in sequence {sequence} at {step:?}"))
}

/// Whether the brokers hold different things from here on: one did what the other refused.
fn parts_states(step: &Step, difference: &Difference) -> bool {
    let changes = match &step.request {
        AnyRequest::Produce(_)
        | AnyRequest::CreateTopics(_)
        | AnyRequest::DeleteTopics(_)
        | AnyRequest::CreatePartitions(_)
        | AnyRequest::AlterConfigs(_)
        | AnyRequest::IncrementalAlterConfigs(_)
        | AnyRequest::DeleteRecords(_)
        | AnyRequest::InitProducerId(_) => true,
        AnyRequest::Metadata(metadata) => metadata.allow_auto_topic_creation,
        _ => false,
    };
    let is_about_success = |side: &str| matches!(side, "NONE" | "present" | "silent");
    let is_outcome = difference.path.ends_with("error_code") || difference.path == "(connection)";
    let is_row = difference.path.contains("partition_responses[") && difference.path.ends_with(']');
    // Sessions are changed by whoever asks.
    let is_in_session = matches!(&step.request, AnyRequest::Fetch(fetch) if fetch.session_epoch != -1);
    (changes
        && (is_outcome || is_row)
        && (is_about_success(&difference.kafka) || is_about_success(&difference.highwater)))
        || (is_in_session && difference.path == "error_code")
}

/// A difference without the names of what it is about: those of topics, partitions and the like.
fn pattern(difference: &Difference) -> Difference {
    let mut path = String::new();
    let mut rest = difference.path.as_str();
    while let Some((front, tail)) = rest.split_once('[') {
        let (key, after) = tail.split_once(']').unwrap_or((tail, ""));
        let is_kept = ["configs", "synonyms", "api_keys", "features"].iter().any(|list| front.ends_with(list));
        let key = match key.split_once(':') {
            _ if is_kept => key.to_owned(),
            Some((kind, _)) => format!("{kind}:*"),
            None => "*".to_owned(),
        };
        path.extend([front, "[", &key, "]"]);
        rest = after;
    }
    path.push_str(rest);
    Difference { path, ..difference.clone() }
}

fn print_failure(
    world: &mut World,
    options: &Options,
    sequence: u64,
    steps: &[Step],
    difference: &Difference,
) -> io::Result<()> {
    let wanted = pattern(difference);
    let shortest = shrink::shrink(steps.to_vec(), |steps| {
        world.reset()?;
        let mut last = None;
        for step in steps {
            last = Some(world.play(step)?);
        }
        Ok(last.is_some_and(|outcome: Outcome| outcome.differences.iter().any(|found| pattern(found) == wanted)))
    })?;
    let last = &shortest[shortest.len() - 1];
    println!(
        "\nUNEXPLAINED {} {} | {} | {} | {}\n  --seed {} --sequence {sequence}, the shortest that shows it:",
        last.api(),
        last.version,
        difference.path,
        difference.kafka,
        difference.highwater,
        options.seed
    );
    for step in &shortest {
        let mut request = format!("{:?}", step.request);
        if request.len() > 3000 {
            request.truncate((0..=3000).rev().find(|at| request.is_char_boundary(*at)).unwrap_or(0));
            request.push('…');
        }
        println!("  {:>4} version {} {:?} {request}", step.number, step.version, step.damage);
    }
    Ok(())
}

fn report(findings: &Findings, known: &Known, begin: Instant, sequences: u64) {
    println!("\ncoverage, as version:answers in which Kafka gave the code\n{}", findings.coverage);
    for ((api, difference), count) in &findings.seen {
        println!(
            "unexplained, {count} times: {api} | {} | {} | {}",
            difference.path, difference.kafka, difference.highwater
        );
    }
    for line in known.unused() {
        println!("line {line} of the known differences has explained nothing");
    }
    println!(
        "{sequences} sequences in {:.0} s, {} combinations of API, version and error code ({} error codes exist)",
        begin.elapsed().as_secs_f64(),
        findings.coverage.combinations(),
        ErrorCode::ALL.len()
    );
    println!(
        "{} requests, {} differences, {} explained, {} unexplained",
        findings.requests,
        findings.explained + findings.unexplained,
        findings.explained,
        findings.unexplained
    );
}
