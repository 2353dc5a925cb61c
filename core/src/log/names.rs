//! The names of a log's files.

use crate::disk::LogPath;
use crate::ids::Offset;

/// Where the log starts, when that is not where its first segment does.
pub(super) const START: &str = "log-start-offset";
/// What recovery need not read again.
pub(super) const CHECKPOINT: &str = "checkpoint";
/// The first offset of each leader epoch.
pub(super) const LEADER_EPOCHS: &str = "leader-epoch-checkpoint";

/// The batches of the segment that begins at `base`.
pub(super) fn log(dir: &LogPath, base: Offset) -> LogPath {
    dir.join(&format!("{base:020}.log", base = base.0))
}

/// The index of the segment that begins at `base`.
pub(super) fn index(dir: &LogPath, base: Offset) -> LogPath {
    dir.join(&format!("{base:020}.index", base = base.0))
}

/// The producers' state before `offset`.
pub(super) fn snapshot(dir: &LogPath, offset: Offset) -> LogPath {
    dir.join(&format!("{offset:020}.snapshot", offset = offset.0))
}

/// What a file in a log's directory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A segment's batches.
    Log(Offset),
    /// A segment's index.
    Index(Offset),
    /// A snapshot of the producers' state.
    Snapshot(Offset),
    /// Anything else.
    Other,
}

/// Reads a file's name.
pub(super) fn parse(name: &str) -> Kind {
    let Some((number, extension)) = name.split_once('.') else { return Kind::Other };
    let offset =
        number.parse().ok().filter(|_| number.len() == 20 && number.bytes().all(|digit| digit.is_ascii_digit()));
    match (offset.map(Offset), extension) {
        (Some(base), "log") => Kind::Log(base),
        (Some(base), "index") => Kind::Index(base),
        (Some(offset), "snapshot") => Kind::Snapshot(offset),
        _ => Kind::Other,
    }
}
