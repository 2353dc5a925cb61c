//! `log dump|verify`: looks into files without a broker, through core's own reading code.

use std::collections::BTreeMap;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use clap::Subcommand;
use highwater_core::Disk;
use highwater_core::controller::{METADATA_LOG, METADATA_PARTITION};
use highwater_core::disk::LogPath;
use highwater_core::ids::{Offset, PartitionId};
use highwater_core::limits::DECOMPRESSED_BATCH_BYTES_MAX;
use highwater_core::log::inspect::{self, Finding, Found, FoundBatch, SegmentReader, Verified};
use highwater_core::log::{OpenLogError, RecoveryPoints};
use highwater_core::partition::directory;
use highwater_wire::records::{TimestampType, records};
use serde::Serialize;

use super::error::CliError;
use super::json::{self, RecordRow};
use super::progress::Progress;
use super::table::print_line;
use crate::disk::{DirectoryDisk, FileIds};

/// The directory that tells a data directory from others.
const RECOVERY_POINTS: &str = "recovery-points";

/// Look into a data directory or a segment file, without a broker.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Print the batches of logs, and their records if asked.
    Dump {
        /// A data directory, the directory of one partition, or a segment file.
        path: PathBuf,
        /// Print records too.
        #[arg(long)]
        records: bool,
        /// Begin with the batch that holds this offset.
        #[arg(long, value_name = "OFFSET", default_value_t = 0)]
        from: i64,
        /// Print one JSON object a line.
        #[arg(long)]
        json: bool,
    },
    /// Read every batch and check it; exits 3 if something that was durable is damaged.
    ///
    /// What a crash has torn off the end of a log is reported but is no damage: the next start cuts it off, and nothing
    /// in it was acknowledged. Best used while no broker writes to the directory.
    Verify {
        /// A data directory, the directory of one partition, or a segment file.
        path: PathBuf,
        /// Print one JSON object a line.
        #[arg(long)]
        json: bool,
    },
}

/// Runs a subcommand.
pub fn run(command: &Command) -> Result<(), CliError> {
    match command {
        Command::Dump { path, records, from, json } => {
            let mut found = Source::find(path)?;
            let mut dump = Dump { out: BufWriter::new(io::stdout()), records: *records, from: *from, json: *json };
            let segments = found.segments()?;
            segments.iter().try_for_each(|segment| dump.segment(&mut found.disk, segment))?;
            dump.out.flush()?;
            Ok(())
        }
        Command::Verify { path, json } => verify(&mut Source::find(path)?, *json),
    }
}

/// What a path stands for.
struct Source {
    disk: DirectoryDisk,
    /// Logs, by their directories.
    logs: Vec<LogPath>,
    /// Only this file of the log.
    segment: Option<LogPath>,
    /// Up to where logs were synced.
    recovery_points: BTreeMap<PartitionId, Offset>,
}

impl Source {
    fn find(path: &Path) -> Result<Self, CliError> {
        let failed = |error: io::Error| {
            let text = format!("cannot read {}: {error}", path.display());
            if error.kind() == io::ErrorKind::NotFound { CliError::NotFound(text) } else { CliError::Failed(text) }
        };
        let path = path.canonicalize().map_err(failed)?;
        let is_segment = path.is_file();
        let directory = if is_segment { path.parent().unwrap_or(&path) } else { &path };
        let root = data_directory_of(directory).or(directory.parent()).unwrap_or(directory);
        let mut disk = DirectoryDisk::new(root.to_owned(), FileIds::default());
        let below = log_path(root, directory).ok_or_else(|| not_utf8(directory))?;
        let segment = if is_segment { Some(log_path(root, &path).ok_or_else(|| not_utf8(&path))?) } else { None };
        let logs = logs_below(&mut disk, &below).map_err(failed)?;
        if logs.is_empty() {
            let reason = "neither a segment file nor a directory that holds logs";
            return Err(CliError::NotFound(format!("{} is {reason}", path.display())));
        }
        let recovery_points = if root.join(RECOVERY_POINTS).is_dir() {
            RecoveryPoints::read(&mut disk).map_err(|error| CliError::Damaged(error.to_string()))?
        } else {
            BTreeMap::new()
        };
        Ok(Self { disk, logs, segment, recovery_points })
    }

    fn segments(&mut self) -> Result<Vec<LogPath>, CliError> {
        if let Some(segment) = &self.segment {
            return Ok(vec![segment.clone()]);
        }
        let mut segments = Vec::new();
        for log in &self.logs {
            let files = inspect::segment_files(&mut self.disk, log);
            segments.extend(files.map_err(|error| CliError::Failed(format!("cannot read {log}: {error}")))?);
        }
        Ok(segments)
    }

    fn recovery_point(&self, log: &LogPath) -> Offset {
        let is_metadata = log.name() == METADATA_LOG;
        let partition = if is_metadata { Some(METADATA_PARTITION) } else { directory::parse(log.name()) };
        partition.and_then(|partition| self.recovery_points.get(&partition).copied()).unwrap_or_default()
    }
}

/// The data directory that a log's directory, or the directory itself, belongs to.
fn data_directory_of(directory: &Path) -> Option<&Path> {
    directory.ancestors().take(3).find(|ancestor| ancestor.join(RECOVERY_POINTS).is_dir())
}

fn log_path(root: &Path, path: &Path) -> Option<LogPath> {
    let mut below = path.strip_prefix(root).ok()?.iter();
    below.try_fold(LogPath::root(), |path, name| Some(path.join(name.to_str()?)))
}

fn not_utf8(path: &Path) -> CliError {
    CliError::Usage(format!("{} is not a name that a broker gives", path.display()))
}

/// A log, or the logs of a data directory.
fn logs_below(disk: &mut DirectoryDisk, below: &LogPath) -> io::Result<Vec<LogPath>> {
    if !inspect::segment_files(disk, below)?.is_empty() {
        return Ok(vec![below.clone()]);
    }
    let mut logs = Vec::new();
    for entry in disk.list(below)?.iter().filter(|entry| entry.is_dir) {
        match entry.name.as_str() {
            METADATA_LOG => logs.push(below.join(METADATA_LOG)),
            directory::PARTITIONS => {
                let partitions = below.join(directory::PARTITIONS);
                logs.extend(disk.list(&partitions)?.iter().map(|entry| partitions.join(&entry.name)));
            }
            _ => {}
        }
    }
    Ok(logs)
}

/// Prints batches and records.
struct Dump<W> {
    out: W,
    records: bool,
    from: i64,
    json: bool,
}

#[derive(Serialize)]
struct BatchRow<'a> {
    file: &'a str,
    position: u64,
    base_offset: i64,
    last_offset: i64,
    bytes: usize,
    records: i32,
    compression: &'static str,
    timestamp_type: &'static str,
    base_timestamp: i64,
    max_timestamp: i64,
    leader_epoch: i32,
    producer_id: i64,
    producer_epoch: i16,
    base_sequence: i32,
    transactional: bool,
    control: bool,
}

impl<'a> BatchRow<'a> {
    fn of(file: &'a LogPath, batch: &FoundBatch) -> Self {
        let header = &batch.header;
        Self {
            file: file.as_str(),
            position: batch.position,
            base_offset: header.base_offset,
            last_offset: header.last_offset(),
            bytes: batch.bytes.len(),
            records: header.record_count,
            compression: header.compression().map_or("unknown", |codec| codec.name()),
            timestamp_type: match header.timestamp_type() {
                TimestampType::CreateTime => "CreateTime",
                TimestampType::LogAppendTime => "LogAppendTime",
            },
            base_timestamp: header.base_timestamp,
            max_timestamp: header.max_timestamp,
            leader_epoch: header.partition_leader_epoch,
            producer_id: header.producer_id,
            producer_epoch: header.producer_epoch,
            base_sequence: header.base_sequence,
            transactional: header.is_transactional(),
            control: header.is_control(),
        }
    }
}

impl<W: Write> Dump<W> {
    fn segment(&mut self, disk: &mut DirectoryDisk, path: &LogPath) -> Result<(), CliError> {
        let failed = |error| CliError::Failed(format!("cannot read {path}: {error}"));
        let mut segment = SegmentReader::open(disk, path).map_err(failed)?;
        if !self.json {
            writeln!(self.out, "{path}")?;
        }
        loop {
            match segment.next(disk).map_err(failed)? {
                Found::Batch(batch) if batch.header.last_offset() < self.from => {}
                Found::Batch(batch) => self.batch(path, &batch)?,
                Found::End => break,
                Found::Bad(finding) => {
                    self.out.flush()?;
                    return Err(CliError::Damaged(describe(&finding)));
                }
            }
        }
        segment.close(disk);
        Ok(())
    }

    fn batch(&mut self, path: &LogPath, batch: &FoundBatch) -> Result<(), CliError> {
        let row = BatchRow::of(path, batch);
        if self.json {
            json::write_line(&mut self.out, &row)?
        } else {
            write_batch(&mut self.out, &row)?
        }
        if !self.records {
            return Ok(());
        }
        let damaged = |error| CliError::Damaged(format!("{path} at byte {}: {error}", batch.position));
        for record in records(&batch.bytes, DECOMPRESSED_BATCH_BYTES_MAX).map_err(damaged)? {
            let record = record.map_err(damaged)?;
            if self.json {
                json::write_line(&mut self.out, &RecordRow::of(None, &record))?;
            } else {
                let text = |bytes: Option<&[u8]>| {
                    bytes.map_or("null".to_owned(), |bytes| format!("\"{}\"", bytes.escape_ascii()))
                };
                let (key, value) = (text(record.key.as_deref()), text(record.value.as_deref()));
                write!(self.out, "    {} timestamp={} key={key} value={value}", record.offset, record.timestamp)?;
                for (name, value) in &record.headers {
                    write!(self.out, " {}={}", name.escape_debug(), text(value.as_deref()))?;
                }
                writeln!(self.out)?;
            }
        }
        Ok(())
    }
}

fn write_batch(out: &mut impl Write, row: &BatchRow<'_>) -> io::Result<()> {
    write!(out, "  offsets {}..={} position={} bytes={}", row.base_offset, row.last_offset, row.position, row.bytes)?;
    write!(out, " records={} compression={}", row.records, row.compression)?;
    write!(out, " {}={} leader_epoch={}", row.timestamp_type, row.max_timestamp, row.leader_epoch)?;
    if row.producer_id >= 0 {
        write!(out, " producer={}/{} sequence={}", row.producer_id, row.producer_epoch, row.base_sequence)?;
    }
    let flag = |set: bool, name| if set { name } else { "" };
    writeln!(out, "{}{}", flag(row.transactional, " transactional"), flag(row.control, " control"))
}

#[derive(Serialize)]
struct VerifiedRow<'a> {
    log: &'a str,
    segments: u64,
    batches: u64,
    records: u64,
    bytes: u64,
    end_offset: i64,
    findings: Vec<FindingRow<'a>>,
}

#[derive(Serialize)]
struct FindingRow<'a> {
    damaged: bool,
    file: &'a str,
    position: u64,
    offset: i64,
    bytes: u64,
    reason: &'a str,
}

fn verify(source: &mut Source, json: bool) -> Result<(), CliError> {
    let mut progress = Progress::alone();
    let mut bytes_read = 0;
    let mut damaged = 0;
    let logs = source.logs.clone();
    for log in &logs {
        let recovery_point = source.recovery_point(log);
        let result = match &source.segment {
            Some(segment) => verify_segment(&mut source.disk, segment),
            None => inspect::verify(&mut source.disk, log, recovery_point, |bytes| {
                bytes_read += bytes;
                progress.show(|_| format!("{} MB read, now in {log}", bytes_read / 1_000_000));
            }),
        };
        progress.clear();
        match result {
            Ok(verified) => {
                damaged += usize::from(verified.findings.iter().any(|finding| !finding.torn));
                if json { print_json(log, &verified)? } else { print_text(log, &verified)? }
            }
            Err(error @ OpenLogError::Damaged { .. }) => {
                damaged += 1;
                eprintln!("highwater: {error}");
            }
            Err(error @ OpenLogError::Io { .. }) => return Err(CliError::Failed(error.to_string())),
        }
    }
    match damaged {
        0 => Ok(()),
        _ => Err(CliError::Damaged(format!(
            "{damaged} of {} logs damaged; restore from a replica or a copy before a broker starts on them",
            logs.len()
        ))),
    }
}

/// One file tells nothing of how far it was synced, so whatever is wrong in it counts as damage.
fn verify_segment(disk: &mut DirectoryDisk, path: &LogPath) -> Result<Verified, OpenLogError> {
    let io = |error| OpenLogError::Io { dir: path.clone(), error };
    let mut segment = SegmentReader::open(disk, path).map_err(io)?;
    let mut verified = Verified { segments: 1, ..Verified::default() };
    loop {
        match segment.next(disk).map_err(io)? {
            Found::Batch(batch) => verified.count(&batch),
            Found::End => return Ok(verified),
            Found::Bad(finding) => {
                verified.findings.push(finding);
                return Ok(verified);
            }
        }
    }
}

fn print_json(log: &LogPath, verified: &Verified) -> io::Result<()> {
    json::print(&VerifiedRow {
        log: log.as_str(),
        segments: verified.segments,
        batches: verified.batches,
        records: verified.records,
        bytes: verified.bytes,
        end_offset: verified.end_offset.0,
        findings: verified.findings.iter().map(FindingRow::of).collect(),
    })
}

fn print_text(log: &LogPath, verified: &Verified) -> io::Result<()> {
    let Verified { segments, batches, records, bytes, end_offset, findings } = verified;
    let verdict = match findings.iter().find(|finding| !finding.torn) {
        Some(_) => "damaged",
        None if findings.is_empty() => "ok",
        None => "torn end",
    };
    let counts = format!("{records} records in {batches} batches, {segments} segments, {bytes} bytes");
    print_line(&format!("{log}: {verdict}, {counts}, ends at offset {end_offset}"))?;
    findings.iter().try_for_each(|finding| print_line(&format!("  {}", describe(finding))))
}

impl<'a> FindingRow<'a> {
    fn of(finding: &'a Finding) -> Self {
        let Finding { file, position, offset, bytes, reason, torn } = finding;
        Self { damaged: !torn, file: file.as_str(), position: *position, offset: offset.0, bytes: *bytes, reason }
    }
}

fn describe(finding: &Finding) -> String {
    let Finding { file, position, offset, bytes, reason, torn } = finding;
    let what = if *torn { "ends torn" } else { "is damaged" };
    format!("{file} {what} at byte {position}, offset {offset}, {bytes} bytes before its end: {reason}")
}
