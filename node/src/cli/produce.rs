//! `produce`: records from lines.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use clap::ValueEnum;
use highwater_core::client::{Acks, Command, Completion, NewRecord, ProduceError, Produced};
use highwater_core::ids::PartitionIndex;
use highwater_core::limits::REQUEST_BYTES_MAX;
use highwater_wire::records::Compression;
use serde::Serialize;
use tokio::sync::mpsc;

use super::error::CliError;
use super::json;
use super::options::{ClientOptions, parse_escapes, parse_pair};
use super::progress::{Progress, Warnings, rate};
use crate::client::Session;

/// Bytes of records that wait for acknowledgement before more input is read.
const UNACKNOWLEDGED_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Bytes of input that are handed over at once.
const CHUNK_BYTES: usize = 256 * 1024;
/// Chunks between the thread that reads and the session.
const CHUNKS_MAX: usize = 4;
/// Failed records that are reported one by one.
const ERRORS_SHOWN_MAX: u64 = 10;

/// Write records: one for each line of standard input or of files.
#[derive(Debug, clap::Args)]
#[command(after_help = "Every record is acknowledged before the command ends; it fails if one was not.\n\
    Example: printf 'k1:v1\\nk2:v2\\n' | highwater produce orders --key-separator :")]
pub struct Args {
    /// Where to write. A topic that does not exist is created if the broker allows it.
    topic: String,
    /// Files to read instead of standard input, one after the other.
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Each whole file is one record, not each of its lines.
    #[arg(long, requires = "files")]
    whole_files: bool,
    /// What stands between key and value; a line without it has no key. Escapes such as \t are understood.
    #[arg(long, short = 'K', value_name = "TEXT", value_parser = parse_separator)]
    key_separator: Option<Separator>,
    /// A header of every record; may be given several times.
    #[arg(long, short = 'H', value_name = "NAME=VALUE", value_parser = parse_pair)]
    header: Vec<(String, String)>,
    /// The partition [default: by key, as Kafka's clients choose it; without a key in turns].
    #[arg(long, short, value_name = "N", value_parser = clap::value_parser!(i32).range(0..))]
    partition: Option<i32>,
    /// An empty value is null: a tombstone in a compacted topic.
    #[arg(long, short = 'Z')]
    null_empty: bool,
    /// How batches are compressed.
    #[arg(long, short = 'z', value_enum, value_name = "CODEC", default_value = "none")]
    compression: Codec,
    /// When a record counts as written: once it is sent, once the leader has it, or once every in-sync replica has it.
    /// Only with `all` can a retry neither duplicate nor reorder records.
    #[arg(long, value_enum, value_name = "ACKS", default_value = "all")]
    acks: AcksArg,
    #[command(flatten)]
    client: ClientOptions,
}

/// What stands between key and value.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Separator(Vec<u8>);

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Codec {
    None,
    Gzip,
    Snappy,
    Lz4,
    Zstd,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum AcksArg {
    #[value(name = "0")]
    None,
    #[value(name = "1")]
    Leader,
    All,
}

#[derive(Serialize)]
struct ProducedRow<'a> {
    topic: &'a str,
    partition: i32,
    offset: Option<i64>,
    timestamp: Option<i64>,
}

/// Runs the subcommand.
pub async fn run(args: Args) -> Result<(), CliError> {
    let mut config = args.client.config();
    config.create_topics = true;
    config.seed = seed();
    config.producer.compression = args.compression.into();
    config.producer.acks = args.acks.into();
    config.producer.idempotent = config.producer.acks == Acks::All;
    config.producer.buffer_bytes_max = 2 * REQUEST_BYTES_MAX as usize;
    let lines = read_in_background(args.files.clone(), args.whole_files);
    let session = Session::new(&config);
    let warnings = Warnings::default();
    let mut producing = Producing { session, args: &args, given: 0, acknowledged: 0, failed: 0, warnings };
    producing.run(lines).await
}

struct Producing<'a> {
    session: Session,
    args: &'a Args,
    given: u64,
    acknowledged: u64,
    failed: u64,
    warnings: Warnings,
}

impl Producing<'_> {
    async fn run(&mut self, mut lines: mpsc::Receiver<io::Result<VecDeque<Bytes>>>) -> Result<(), CliError> {
        let mut progress = Progress::beside_output();
        let mut input_error = None;
        let mut open = true;
        while open || self.acknowledged + self.failed < self.given {
            let wants_more = open && self.session.buffered_bytes() < UNACKNOWLEDGED_BYTES_MAX;
            tokio::select! {
                completion = self.session.next() => self.settle(completion?)?,
                chunk = lines.recv(), if wants_more => match chunk {
                    Some(Ok(chunk)) => chunk.into_iter().for_each(|line| self.give(line)),
                    Some(Err(error)) => input_error = Some(error),
                    None => open = false,
                },
            }
            progress.show(|elapsed| rate(self.acknowledged, "records written", elapsed));
        }
        progress.clear();
        if self.failed > 0 {
            return Err(CliError::Failed(format!("{} of {} records were not written", self.failed, self.given)));
        }
        input_error.map_or(Ok(()), |error| Err(CliError::Failed(format!("cannot read the input: {error}"))))
    }

    fn give(&mut self, line: Bytes) {
        let id = self.session.next_id();
        self.given += 1;
        self.session.command(Command::Produce { id, record: self.args.record(line) });
    }

    fn settle(&mut self, completion: Completion) -> Result<(), CliError> {
        match completion {
            Completion::Produced { outcome: Ok(produced), .. } => {
                self.acknowledged += 1;
                if self.args.client.json {
                    self.print(&produced)?;
                }
            }
            Completion::Produced { outcome: Err(error), .. } => {
                self.failed += 1;
                self.report(&error);
            }
            Completion::Unreachable { address, reason } => {
                self.warnings.unreachable(&address, reason);
            }
            Completion::Fetched { .. }
            | Completion::ReachedEnd { .. }
            | Completion::ConsumeFailed { .. }
            | Completion::Answered { .. } => unreachable!("nothing else was asked for"),
        }
        Ok(())
    }

    fn print(&self, produced: &Produced) -> io::Result<()> {
        json::print(&ProducedRow {
            topic: &self.args.topic,
            partition: produced.partition.0,
            offset: produced.offset.map(|offset| offset.0),
            timestamp: produced.log_append_time.map(|wall| wall.0),
        })
    }

    fn report(&self, error: &ProduceError) {
        if self.failed <= ERRORS_SHOWN_MAX {
            eprintln!("highwater: {}", CliError::produce(&self.args.topic, error));
        }
        if self.failed == ERRORS_SHOWN_MAX {
            eprintln!("highwater: further records that fail are only counted");
        }
    }
}

impl Args {
    fn record(&self, line: Bytes) -> NewRecord {
        let (key, value) = match &self.key_separator {
            Some(separator) => separator.split(line),
            None => (None, line),
        };
        let header = |(name, value): &(String, String)| (name.clone(), Some(Bytes::from(value.clone())));
        NewRecord {
            topic: self.topic.clone(),
            partition: self.partition.map(PartitionIndex),
            timestamp: None,
            key,
            value: Some(value).filter(|value| !self.null_empty || !value.is_empty()),
            headers: self.header.iter().map(header).collect(),
        }
    }
}

impl Separator {
    fn split(&self, line: Bytes) -> (Option<Bytes>, Bytes) {
        match line.windows(self.0.len()).position(|window| window == self.0) {
            Some(at) => (Some(line.slice(..at)), line.slice(at + self.0.len()..)),
            None => (None, line),
        }
    }
}

impl From<Codec> for Compression {
    fn from(codec: Codec) -> Self {
        match codec {
            Codec::None => Self::None,
            Codec::Gzip => Self::Gzip,
            Codec::Snappy => Self::Snappy,
            Codec::Lz4 => Self::Lz4,
            Codec::Zstd => Self::Zstd,
        }
    }
}

impl From<AcksArg> for Acks {
    fn from(acks: AcksArg) -> Self {
        match acks {
            AcksArg::None => Self::None,
            AcksArg::Leader => Self::Leader,
            AcksArg::All => Self::All,
        }
    }
}

fn parse_separator(text: &str) -> Result<Separator, String> {
    let bytes = parse_escapes(text)?;
    if bytes.is_empty() { Err("the separator is empty".to_owned()) } else { Ok(Separator(bytes)) }
}

/// Different for each process, so that they do not all begin with the same partition.
fn seed() -> u64 {
    let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    since_epoch.as_nanos() as u64 ^ u64::from(std::process::id()).rotate_left(32)
}

/// Reads the input on a thread of its own, since reading standard input blocks.
fn read_in_background(files: Vec<PathBuf>, whole_files: bool) -> mpsc::Receiver<io::Result<VecDeque<Bytes>>> {
    let (sender, receiver) = mpsc::channel(CHUNKS_MAX);
    std::thread::spawn(move || {
        if let Err(error) = read_all(&files, whole_files, &sender) {
            // Fails only if the command has ended before its input.
            let _ = sender.blocking_send(Err(error));
        }
    });
    receiver
}

type Chunks = mpsc::Sender<io::Result<VecDeque<Bytes>>>;

fn read_all(files: &[PathBuf], whole_files: bool, chunks: &Chunks) -> io::Result<()> {
    if files.is_empty() {
        return read_lines(BufReader::with_capacity(CHUNK_BYTES, io::stdin()), chunks);
    }
    for path in files {
        let name = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
        if whole_files { read_whole(path, chunks) } else { open(path).and_then(|file| read_lines(file, chunks)) }
            .map_err(name)?;
    }
    Ok(())
}

fn open(path: &Path) -> io::Result<BufReader<File>> {
    Ok(BufReader::with_capacity(CHUNK_BYTES, File::open(path)?))
}

fn read_whole(path: &Path, chunks: &Chunks) -> io::Result<()> {
    let file = File::open(path)?;
    if file.metadata()?.len() > u64::from(REQUEST_BYTES_MAX) {
        return Err(too_large());
    }
    let mut contents = Vec::new();
    file.take(u64::from(REQUEST_BYTES_MAX)).read_to_end(&mut contents)?;
    let _ = chunks.blocking_send(Ok(VecDeque::from([contents.into()])));
    Ok(())
}

/// Hands lines over in chunks, without waiting for a chunk to fill where the input pauses.
fn read_lines(mut input: BufReader<impl Read>, chunks: &Chunks) -> io::Result<()> {
    let mut chunk = VecDeque::new();
    let mut chunk_bytes = 0;
    while let Some(line) = read_line(&mut input)? {
        chunk_bytes += line.len();
        chunk.push_back(line);
        if input.buffer().is_empty() || chunk_bytes >= CHUNK_BYTES {
            chunk_bytes = 0;
            if chunks.blocking_send(Ok(std::mem::take(&mut chunk))).is_err() {
                return Ok(());
            }
        }
    }
    let _ = chunks.blocking_send(Ok(chunk));
    Ok(())
}

fn read_line(input: &mut impl BufRead) -> io::Result<Option<Bytes>> {
    let mut line = Vec::new();
    let read = input.take(u64::from(REQUEST_BYTES_MAX)).read_until(b'\n', &mut line)?;
    if read == 0 {
        return Ok(None);
    }
    if line.last() == Some(&b'\n') {
        line.pop();
    } else if read as u64 == u64::from(REQUEST_BYTES_MAX) {
        return Err(too_large());
    }
    Ok(Some(line.into()))
}

fn too_large() -> io::Error {
    io::Error::new(
        io::ErrorKind::FileTooLarge,
        format!("a record of more than {REQUEST_BYTES_MAX} bytes fits into no request"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_split_at_its_first_separator() {
        let check = |separator: &str, line: &'static str, key: Option<&str>, value: &str| {
            let (found_key, found_value) =
                parse_separator(separator).unwrap().split(Bytes::from_static(line.as_bytes()));
            assert_eq!(found_key.as_deref(), key.map(str::as_bytes), "{line}");
            assert_eq!(found_value, value, "{line}");
        };
        check(":", "k:v:w", Some("k"), "v:w");
        check(":", "no key", None, "no key");
        check(":", ":empty key", Some(""), "empty key");
        check(r"\t", "k\tv", Some("k"), "v");
        check("::", "k::", Some("k"), "");
    }

    #[test]
    fn lines_end_at_newlines_and_the_last_may_do_without() {
        let (sender, mut receiver) = mpsc::channel(CHUNKS_MAX);
        read_lines(BufReader::new(&b"a\n\nb"[..]), &sender).unwrap();
        drop(sender);
        let mut lines = Vec::new();
        while let Some(chunk) = receiver.blocking_recv() {
            lines.extend(chunk.unwrap());
        }
        assert_eq!(lines, ["a", "", "b"]);
    }
}
