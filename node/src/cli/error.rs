//! Why a subcommand fails, in words and as an exit code.

use std::io;

use highwater_core::client::{CallError, ConsumeError, ProduceError, ProduceErrorReason};
use highwater_wire::ErrorCode;

use crate::client::SessionError;
use crate::exit::Exit;

/// Why a subcommand fails.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// The command line is wrong in a way that only running it shows.
    #[error("{0}")]
    Usage(String),
    /// What was named does not exist.
    #[error("{0}")]
    NotFound(String),
    /// Stored bytes are not what they were.
    #[error("{0}")]
    Damaged(String),
    /// Anything else.
    #[error("{0}")]
    Failed(String),
    /// Standard output cannot be written.
    #[error("cannot write to standard output: {0}")]
    Output(#[from] io::Error),
}

impl CliError {
    /// The exit code.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Usage(_) => Exit::Usage,
            Self::NotFound(_) => Exit::NotFound,
            Self::Damaged(_) => Exit::Damaged,
            Self::Failed(_) | Self::Output(_) => Exit::Failed,
        }
    }

    /// A broker's refusal to do `what`, with its own words if it has any.
    pub fn refused(what: &str, code: ErrorCode, message: Option<&str>) -> Self {
        if let ErrorCode::UnknownTopicOrPartition | ErrorCode::UnknownTopicId = code {
            let hint = "`highwater topic list` shows those there are";
            return Self::NotFound(format!("cannot {what}: there is no such topic ({}); {hint}", code.name()));
        }
        let why = match message.filter(|message| !message.is_empty()) {
            Some(message) => format!("{message} ({})", code.name()),
            None => explain(code),
        };
        Self::Failed(format!("cannot {what}: {why}"))
    }

    /// A record that was not written.
    pub fn produce(topic: &str, error: &ProduceError) -> String {
        let reason = match &error.reason {
            ProduceErrorReason::Refused { code, message } if message.is_empty() => explain(*code),
            reason => reason.to_string(),
        };
        let doubt = if error.maybe_written { "; an earlier attempt may have been written" } else { "" };
        format!("cannot write to {topic}: {reason}{doubt}")
    }

    /// A partition that cannot be read.
    pub fn consume(what: &str, error: &ConsumeError) -> Self {
        match error {
            ConsumeError::Refused(code) => Self::refused(&format!("read {what}"), *code, None),
            ConsumeError::OutOfRange(_) => Self::NotFound(format!(
                "cannot read {what}: {error}; `--from earliest` begins with the first record that is there"
            )),
            ConsumeError::Damaged { .. } => Self::Damaged(format!("cannot read {what}: {error}")),
            ConsumeError::Unsupported(_) => Self::Failed(format!("cannot read {what}: {error}")),
        }
    }
}

impl From<SessionError> for CliError {
    fn from(error: SessionError) -> Self {
        match error {
            SessionError::Call(CallError::NoTarget(code)) => Self::refused("find the partition's leader", code, None),
            error => Self::Failed(error.to_string()),
        }
    }
}

/// What an error code on the wire says, if it is one.
pub fn error_of(code: i16) -> Option<ErrorCode> {
    (code != 0).then(|| ErrorCode::try_from(code).unwrap_or(ErrorCode::UnknownServerError))
}

/// A code by what it means, and by its name for those who look it up.
pub fn explain(code: ErrorCode) -> String {
    format!("{} ({})", code.description(), code.name())
}
