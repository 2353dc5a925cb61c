//! What a part of a request is refused with.

use highwater_wire::ErrorCode;

use crate::config::Refusal;

/// Kafka's code and our words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiError {
    /// Kafka's code.
    pub code: ErrorCode,
    /// What exactly is wrong, for a person.
    pub message: String,
}

impl ApiError {
    /// An error with words of its own.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

impl From<ErrorCode> for ApiError {
    fn from(code: ErrorCode) -> Self {
        Self::new(code, code.description())
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        Self::new(ErrorCode::InvalidConfig, refusal.to_string())
    }
}
