//! Bugs that are planted on purpose, to see whether the simulator finds them.
//!
//! They exist only in a build with `--cfg planted`, which has a target folder of its own; there one is chosen at run
//! time. In every other build the guard is a constant, and nothing of this is left in the binary.

/// A guard that can be taken out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// Batches count when they are written: the sync before the answer is skipped.
    AckBeforeSync,
    /// Recovery takes batches whose checksum is wrong.
    RecoveryWithoutChecksum,
    /// Recovery leaves a torn tail in the file.
    TornTailKept,
    /// What recovery has read counts as synced, although it may be page cache only.
    RecoveredCountsAsSynced,
    /// A group coordinator serves without having read its log.
    ServeBeforeLoaded,
    /// What a group coordinator has decided is answered before it is committed.
    CommitAnsweredBeforeDurable,
    /// Compaction takes the newest record of a key for one that a newer record supersedes.
    CompactionDropsNewest,
    /// A member of a consumer group gets partitions that others have not given up.
    TwoOwners,
}

impl Bug {
    /// Every bug, with the name that it is chosen by.
    pub const ALL: [(&str, Self); 8] = [
        ("ack-before-sync", Self::AckBeforeSync),
        ("recovery-without-checksum", Self::RecoveryWithoutChecksum),
        ("torn-tail-kept", Self::TornTailKept),
        ("recovered-counts-as-synced", Self::RecoveredCountsAsSynced),
        ("serve-before-loaded", Self::ServeBeforeLoaded),
        ("commit-answered-before-durable", Self::CommitAnsweredBeforeDurable),
        ("compaction-drops-newest", Self::CompactionDropsNewest),
        ("two-owners", Self::TwoOwners),
    ];
}

#[cfg(planted)]
#[allow(clippy::disallowed_macros, reason = "no build that people run holds this")]
mod chosen {
    use std::cell::Cell;

    thread_local! {
        static CHOSEN: Cell<Option<super::Bug>> = const { Cell::new(None) };
    }

    /// Plants a bug in everything that this thread runs from now on.
    pub fn plant(bug: Option<super::Bug>) {
        CHOSEN.set(bug);
    }

    /// Whether this bug is planted.
    pub(crate) fn is(bug: super::Bug) -> bool {
        CHOSEN.get() == Some(bug)
    }
}

#[cfg(planted)]
pub(crate) use chosen::is;
#[cfg(planted)]
pub use chosen::plant;

/// Whether this bug is planted: never, in a build that people run.
#[cfg(not(planted))]
pub(crate) const fn is(_: Bug) -> bool {
    false
}
