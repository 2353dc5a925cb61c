//! Exit codes that scripts can use, the same for every subcommand.

use std::process::ExitCode;

/// How the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done what was asked.
    Ok = 0,
    /// It could not be done: the cause is on standard error.
    Failed = 1,
    /// The command line or the configuration is wrong; nothing was tried.
    Usage = 2,
    /// Stored data are damaged.
    Damaged = 3,
    /// What was named does not exist.
    NotFound = 4,
}

/// The table of exit codes, for `--help`.
pub const HELP: &str =
    "Exit codes: 0 done, 1 failed, 2 wrong usage or configuration, 3 damaged data,\n4 what was named does not exist";

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}
