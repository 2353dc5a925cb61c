//! A response that nobody has decoded yet.

use bytes::Bytes;
use highwater_wire::{ApiKey, DecodeError, RequestMessage, decode_response};

/// A response frame and what it answers. Decoding it is up to whoever asked, since only they know the type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    api: ApiKey,
    version: i16,
    frame: Bytes,
}

impl Answer {
    pub(super) fn new(api: ApiKey, version: i16, frame: Bytes) -> Self {
        Self { api, version, frame }
    }

    /// The version of the request, which is that of the response.
    pub fn version(&self) -> i16 {
        self.version
    }

    /// The response to a request of type `R`.
    ///
    /// # Errors
    /// The bytes are not such a response.
    ///
    /// # Panics
    /// If a request of another API was sent.
    pub fn decode<R: RequestMessage>(&self) -> Result<R::Response, DecodeError> {
        self.decode_as::<R>(self.version)
    }

    /// The response in another version than was asked for, as only ApiVersions may be answered.
    pub(super) fn decode_as<R: RequestMessage>(&self, version: i16) -> Result<R::Response, DecodeError> {
        assert_eq!(R::KEY, self.api, "an answer is decoded as what was asked");
        decode_response::<R>(&self.frame, version).map(|(_, response)| response)
    }

    /// The error code of a response that begins with one and whose header holds a correlation id only.
    pub(super) fn error_code_in_front(&self) -> Option<i16> {
        self.frame.get(4..)?.first_chunk().map(|code| i16::from_be_bytes(*code))
    }
}
