//! `consume`: records to standard output.

use std::collections::BTreeSet;
use std::io::{self, BufWriter, Stdout, Write};

use highwater_core::client::{Command, Completion, Isolation, OutOfRange, Position, TopicPartition};
use highwater_core::ids::{Offset, PartitionIndex};
use highwater_core::time::WallMs;
use highwater_wire::records::Record;
use tokio::time::{Instant, sleep_until};

use super::error::CliError;
use super::format::{self, Format};
use super::group::Member;
use super::json::{self, RecordRow};
use super::options::ClientOptions;
use super::progress::{Progress, Warnings, rate};
use super::timestamp::parse_timestamp;
use super::topic::metadata;
use crate::client::Session;

const OUTPUT_BUFFER_BYTES: usize = 256 * 1024;

/// Read records and print them.
#[derive(Debug, clap::Args)]
#[command(after_help = format::HELP)]
pub struct Args {
    /// Where to read.
    topic: String,
    /// Which partitions; may be given several times [default: all].
    #[arg(long, short, value_name = "N", value_delimiter = ',', value_parser = clap::value_parser!(i32).range(0..))]
    partition: Vec<i32>,
    /// Share the partitions with the other members of this group, go on where it stopped, and commit what was printed.
    #[arg(long, short, value_name = "GROUP", conflicts_with = "partition")]
    group: Option<String>,
    /// Where to begin: `earliest`, `latest`, an offset, or `@` with a time, in milliseconds since 1970 or as in
    /// 2026-01-31T12:00:00Z. With a group: where it has committed nothing.
    #[arg(long, short, value_name = "WHERE", default_value = "earliest", value_parser = parse_position)]
    from: Position,
    /// Exit after this many records.
    #[arg(long, short, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// Exit when the end of every partition is reached, instead of waiting for more.
    #[arg(long, short)]
    exit_at_end: bool,
    /// How a record is printed; see below.
    #[arg(long, value_name = "FORMAT", default_value = "%v\\n", conflicts_with = "json", value_parser = Format::parse)]
    format: Format,
    /// Leave out records of transactions that are open or were aborted.
    #[arg(long)]
    read_committed: bool,
    #[command(flatten)]
    client: ClientOptions,
}

/// Runs the subcommand.
pub async fn run(args: Args) -> Result<(), CliError> {
    let mut config = args.client.config();
    if args.read_committed {
        config.consumer.isolation = Isolation::ReadCommitted;
    }
    // An offset that was asked for by its number is the one that is meant.
    if let Position::Offset(_) = args.from {
        config.consumer.out_of_range = OutOfRange::Fail;
    }
    let mut session = Session::new(&config);
    let mut partitions = find_partitions(&mut session, &args).await?;
    let member = match &args.group {
        Some(group) => Some(Member::join(&mut session, &args.client, group, &args.topic, args.from).await?),
        None => None,
    };
    match &member {
        Some(member) => partitions = member.partitions().cloned().collect(),
        None => partitions.iter().for_each(|partition| {
            session.command(Command::Assign { partition: partition.clone(), from: args.from });
        }),
    }
    let out = BufWriter::with_capacity(OUTPUT_BUFFER_BYTES, io::stdout());
    let unfinished = partitions;
    let consuming =
        Consuming { session, member, args: &args, unfinished, printed: 0, out, warnings: Warnings::default() };
    consuming.run().await
}

async fn find_partitions(session: &mut Session, args: &Args) -> Result<BTreeSet<TopicPartition>, CliError> {
    let topics = metadata(session, Some(vec![args.topic.clone()])).await?;
    let existing: BTreeSet<i32> =
        topics.iter().flat_map(|topic| &topic.partitions).map(|partition| partition.partition_index).collect();
    let wanted = if args.partition.is_empty() { existing.clone() } else { args.partition.iter().copied().collect() };
    if let Some(missing) = wanted.iter().find(|index| !existing.contains(index)) {
        let last = existing.len().saturating_sub(1);
        return Err(CliError::NotFound(format!(
            "topic {} has no partition {missing}; its partitions are 0 to {last}",
            args.topic
        )));
    }
    Ok(wanted.into_iter().map(|index| TopicPartition::new(args.topic.as_str(), PartitionIndex(index))).collect())
}

struct Consuming<'a> {
    session: Session,
    /// Who shares the partitions with others.
    member: Option<Member>,
    args: &'a Args,
    /// The partitions whose end was not reached yet.
    unfinished: BTreeSet<TopicPartition>,
    printed: u64,
    out: BufWriter<Stdout>,
    warnings: Warnings,
}

impl Consuming<'_> {
    async fn run(mut self) -> Result<(), CliError> {
        let mut progress = Progress::beside_output();
        let mut interrupted = std::pin::pin!(tokio::signal::ctrl_c());
        while !self.is_done() {
            self.keep_up().await?;
            let completion = match self.session.take_completion() {
                Some(completion) => Some(completion),
                None => {
                    // Whoever reads our output should see what there is before we wait for more.
                    self.out.flush()?;
                    let due = self.member.as_ref().map(Member::due);
                    tokio::select! {
                        next = self.session.next() => Some(next?),
                        () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => None,
                        _ = &mut interrupted => break,
                    }
                }
            };
            if let Some(completion) = completion {
                self.settle(completion)?;
            }
            progress.show(|elapsed| rate(self.printed, "records read", elapsed));
        }
        self.out.flush()?;
        match self.member {
            Some(member) => member.leave(&mut self.session).await,
            None => Ok(()),
        }
    }

    /// Does what the membership asks for. Only what has left this process may be committed.
    async fn keep_up(&mut self) -> Result<(), CliError> {
        let Some(member) = self.member.as_mut().filter(|member| member.due() <= Instant::now()) else { return Ok(()) };
        self.out.flush()?;
        if member.keep_up(&mut self.session).await? {
            self.unfinished = member.partitions().cloned().collect();
        }
        Ok(())
    }

    fn is_done(&self) -> bool {
        self.args.count.is_some_and(|count| self.printed >= count)
            || (self.args.exit_at_end && self.unfinished.is_empty())
    }

    fn settle(&mut self, completion: Completion) -> Result<(), CliError> {
        match completion {
            Completion::Fetched { partition, records, .. } => {
                let left = self.args.count.map_or(u64::MAX, |count| count - self.printed);
                let from = self.member.as_ref().map(|member| member.position(&partition));
                // What came for a partition that is no longer owned, or was read before, is somebody else's or known.
                let wanted =
                    |record: &&Record| from.is_none_or(|from| from.is_some_and(|from| record.offset >= from.0));
                for record in records.iter().filter(wanted).take(usize::try_from(left).unwrap_or(usize::MAX)) {
                    self.print(&partition, record)?;
                    self.printed += 1;
                    if let Some(member) = &mut self.member {
                        member.advance(&partition, Offset(record.offset).advanced(1));
                    }
                }
            }
            Completion::ReachedEnd { partition, .. } => {
                self.unfinished.remove(&partition);
            }
            Completion::ConsumeFailed { partition, error } => {
                self.out.flush()?;
                return Err(CliError::consume(
                    &format!("partition {} of topic {}", partition.index, partition.topic),
                    &error,
                ));
            }
            Completion::Unreachable { address, reason } => self.warnings.unreachable(&address, reason),
            Completion::Produced { .. } | Completion::Answered { .. } => unreachable!("nothing else was asked for"),
        }
        Ok(())
    }

    fn print(&mut self, partition: &TopicPartition, record: &Record) -> io::Result<()> {
        if !self.args.client.json {
            return self.args.format.write(&mut self.out, partition, record);
        }
        json::write_line(&mut self.out, &RecordRow::of(Some(partition), record))
    }
}

/// `earliest`, `latest`, an offset, or `@` with a time.
pub fn parse_position(text: &str) -> Result<Position, String> {
    match text {
        "earliest" => Ok(Position::Earliest),
        "latest" => Ok(Position::Latest),
        _ => match text.strip_prefix('@') {
            Some(time) => parse_timestamp(time).map(|ms| Position::Timestamp(WallMs(ms))),
            None => match text.parse() {
                Ok(offset) if offset >= 0 => Ok(Position::Offset(Offset(offset))),
                _ => Err("expected `earliest`, `latest`, an offset, or `@` with a time".to_owned()),
            },
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_words_offsets_or_times() {
        assert_eq!(parse_position("earliest"), Ok(Position::Earliest));
        assert_eq!(parse_position("latest"), Ok(Position::Latest));
        assert_eq!(parse_position("42"), Ok(Position::Offset(Offset(42))));
        assert_eq!(parse_position("@1500"), Ok(Position::Timestamp(WallMs(1500))));
        assert_eq!(parse_position("@1970-01-01T00:00:01.5Z"), Ok(Position::Timestamp(WallMs(1500))));
        for wrong in ["", "-1", "oldest", "@", "@yesterday"] {
            assert!(parse_position(wrong).is_err(), "{wrong}");
        }
    }
}
