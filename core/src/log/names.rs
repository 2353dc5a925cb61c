//! The names of a log's files.

use crate::disk::LogPath;
use crate::ids::Offset;

/// Where the log starts, when that is not where its first segment does.
pub(super) const START: &str = "log-start-offset";
/// What recovery need not read again.
pub(super) const CHECKPOINT: &str = "checkpoint";
/// The first offset of each leader epoch.
pub(super) const LEADER_EPOCHS: &str = "leader-epoch-checkpoint";

/// How often the batches of a segment were rewritten by compaction. Each generation has files of its own, so that the
/// checkpoint, which names the one that counts, changes all of them at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Generation(pub u32);

impl Generation {
    /// As the batches came.
    pub const ORIGINAL: Self = Self(0);
}

/// The batches of the segment that begins at `base`.
pub(super) fn log(dir: &LogPath, base: Offset, generation: Generation) -> LogPath {
    dir.join(&format!("{}log", stem(base, generation)))
}

/// The index of the segment that begins at `base`.
pub(super) fn index(dir: &LogPath, base: Offset, generation: Generation) -> LogPath {
    dir.join(&format!("{}index", stem(base, generation)))
}

fn stem(base: Offset, generation: Generation) -> String {
    match generation {
        Generation::ORIGINAL => format!("{:020}.", base.0),
        Generation(rewritten) => format!("{:020}.{rewritten}.", base.0),
    }
}

/// The producers' state before `offset`.
pub(super) fn snapshot(dir: &LogPath, offset: Offset) -> LogPath {
    dir.join(&format!("{offset:020}.snapshot", offset = offset.0))
}

/// What a file in a log's directory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A segment's batches.
    Log(Offset, Generation),
    /// A segment's index.
    Index(Offset, Generation),
    /// A snapshot of the producers' state.
    Snapshot(Offset),
    /// Anything else.
    Other,
}

/// Reads a file's name.
pub(super) fn parse(name: &str) -> Kind {
    let Some((number, rest)) = name.split_once('.') else { return Kind::Other };
    let is_canonical = |text: &str| text.bytes().all(|digit| digit.is_ascii_digit()) && !text.is_empty();
    let Some(offset) = number.parse().ok().filter(|_| number.len() == 20 && is_canonical(number)) else {
        return Kind::Other;
    };
    let (generation, extension) = rest.split_once('.').unwrap_or(("0", rest));
    let is_rewritten = rest.contains('.');
    let generation = generation.parse().ok().filter(|&number: &u32| {
        is_canonical(generation) && (number > 0) == is_rewritten && !(is_rewritten && generation.starts_with('0'))
    });
    match (generation.map(Generation), extension) {
        (Some(generation), "log") => Kind::Log(Offset(offset), generation),
        (Some(generation), "index") => Kind::Index(Offset(offset), generation),
        (Some(Generation::ORIGINAL), "snapshot") => Kind::Snapshot(Offset(offset)),
        _ => Kind::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_as_it_is_written_and_no_other_is() {
        let dir = LogPath::root();
        for (base, generation) in [(0, 0), (7, 1), (i64::MAX, u32::MAX)] {
            let (base, generation) = (Offset(base), Generation(generation));
            assert_eq!(parse(log(&dir, base, generation).name()), Kind::Log(base, generation));
            assert_eq!(parse(index(&dir, base, generation).name()), Kind::Index(base, generation));
        }
        assert_eq!(parse(snapshot(&dir, Offset(3)).name()), Kind::Snapshot(Offset(3)));
        for name in [
            "0.log",
            "log",
            ".log",
            "1.2.log",
            "+1.log",
            "01.log",
            "0.snapshot",
            "1.snapshot",
            "x.log",
            "99999999999.log",
        ] {
            let name = if name.starts_with('l') { name.to_owned() } else { format!("{:020}.{name}", 5) };
            assert_eq!(parse(&name), Kind::Other, "{name}");
        }
    }
}
