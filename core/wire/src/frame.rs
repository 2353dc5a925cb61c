//! Whole frames: headers in front of bodies.
//!
//! A frame on a connection is a 4-byte length and as many bytes. What is encoded here has the length in front, since it
//! is ready to be sent; what is decoded here has not, since whoever cut the frame has used it up.
//!
//! Sources: KIP-482 (headers of flexible versions), KIP-511 (why the ApiVersions response keeps its first header).

use bytes::Bytes;

use crate::api::{AnyRequest, AnyResponse, ApiKey};
use crate::decoder::{DecodeError, Decoder};
use crate::encoder::{EncodeError, EncodeErrorKind, Encoded, Encoder};
use crate::field::{Field, Nullable};
use crate::message::{Message, RequestMessage, ResponseMessage};

const LENGTH_PREFIX_BYTES: usize = 4;

/// What stands in front of every request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestHeader {
    /// The API.
    pub api: ApiKey,
    /// The version of the request and of its response. It may be one that does not exist.
    pub version: i16,
    /// Chosen by the client, repeated in the response.
    pub correlation_id: i32,
    /// What the client calls itself.
    pub client_id: Option<String>,
}

/// A frame that is no request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// The API key is not known, so neither is the header's form.
    #[error("API key {key} is not known")]
    UnknownApi {
        /// The key.
        key: i16,
        /// The version that was asked for.
        version: i16,
    },
    /// The frame is too short, or its fields are not what they must be.
    #[error(transparent)]
    Malformed(#[from] DecodeError),
}

impl RequestHeader {
    /// Reads the header and leaves `input` at the body. The version is not checked: a header of a version that does not
    /// exist is read like that of the newest.
    ///
    /// # Errors
    /// The API is not known, or the bytes are not a header.
    pub fn decode(input: &mut Decoder<'_>) -> Result<Self, HeaderError> {
        input.begin(0, false);
        let key = input.field("RequestHeader.request_api_key")?;
        let version = input.field("RequestHeader.request_api_version")?;
        let Ok(api) = ApiKey::try_from(key) else { return Err(HeaderError::UnknownApi { key, version }) };
        let correlation_id = input.field("RequestHeader.correlation_id")?;
        // The client id is never compact: brokers read it before they know the version.
        let client_id = input.field("RequestHeader.client_id")?;
        input.begin(0, version >= api.flexible_from());
        input.tagged_fields(|_, _| Ok(false)).map_err(|error| error.in_field("RequestHeader"))?;
        Ok(Self { api, version, correlation_id, client_id })
    }

    fn encode(&self, out: &mut Encoder) -> Result<(), EncodeError> {
        out.begin(0, false);
        (self.api as i16).encode(out)?;
        self.version.encode(out)?;
        self.correlation_id.encode(out)?;
        String::encode_nullable(self.client_id.as_ref(), out)
            .map_err(|error| error.in_field("RequestHeader.client_id"))?;
        out.begin(0, self.version >= self.api.flexible_from());
        out.begin_tagged_fields(0);
        Ok(())
    }
}

/// Reads a request's frame.
///
/// # Errors
/// The API or the version does not exist, or the bytes are not such a request and nothing else.
pub fn decode_request(frame: &Bytes) -> Result<(RequestHeader, AnyRequest), HeaderError> {
    let mut input = Decoder::new(frame);
    let header = RequestHeader::decode(&mut input)?;
    let request = AnyRequest::decode(header.api, header.version, input)?;
    Ok((header, request))
}

/// Writes a request's frame.
///
/// # Errors
/// The version does not exist or cannot represent the request.
pub fn encode_request<R: RequestMessage>(
    request: &R,
    version: i16,
    correlation_id: i32,
    client_id: Option<&str>,
) -> Result<Encoded, EncodeError> {
    let header = RequestHeader { api: R::KEY, version, correlation_id, client_id: client_id.map(str::to_owned) };
    encode_frame(|out| {
        header.encode(out)?;
        request.encode_body(out, version)
    })
}

/// Writes a response's frame.
///
/// # Errors
/// The version does not exist or cannot represent the response.
pub fn encode_response<R: ResponseMessage>(
    response: &R,
    version: i16,
    correlation_id: i32,
) -> Result<Encoded, EncodeError> {
    encode_frame(|out| {
        encode_response_header(out, R::KEY, version, correlation_id)?;
        response.encode_body(out, version)
    })
}

/// Reads the frame of the response to a request of type `R`: its correlation id and its body.
///
/// # Errors
/// The version does not exist, or the bytes are not such a response and nothing else.
pub fn decode_response<R: RequestMessage>(frame: &Bytes, version: i16) -> Result<(i32, R::Response), DecodeError> {
    let mut input = Decoder::new(frame);
    let correlation_id = decode_response_header(&mut input, R::KEY, version)?;
    Ok((correlation_id, R::Response::decode_body(input, version)?))
}

/// The correlation id of a response's frame: it comes first, whatever the rest is.
///
/// # Errors
/// The frame is shorter than that.
pub fn correlation_id(frame: &Bytes) -> Result<i32, DecodeError> {
    Decoder::new(frame).field("ResponseHeader.correlation_id")
}

impl AnyRequest {
    /// Writes the request's frame.
    ///
    /// # Errors
    /// The version does not exist or cannot represent the request.
    pub fn encode_frame(
        &self,
        version: i16,
        correlation_id: i32,
        client_id: Option<&str>,
    ) -> Result<Encoded, EncodeError> {
        let header =
            RequestHeader { api: self.key(), version, correlation_id, client_id: client_id.map(str::to_owned) };
        encode_frame(|out| {
            header.encode(out)?;
            self.encode_body(out, version)
        })
    }
}

impl AnyResponse {
    /// Writes the response's frame.
    ///
    /// # Errors
    /// The version does not exist or cannot represent the response.
    pub fn encode_frame(&self, version: i16, correlation_id: i32) -> Result<Encoded, EncodeError> {
        encode_frame(|out| {
            encode_response_header(out, self.key(), version, correlation_id)?;
            self.encode_body(out, version)
        })
    }

    /// Reads the frame of the response to a request of this API and version: its correlation id and its body.
    ///
    /// # Errors
    /// The version does not exist, or the bytes are not such a response and nothing else.
    pub fn decode_frame(frame: &Bytes, api: ApiKey, version: i16) -> Result<(i32, Self), DecodeError> {
        let mut input = Decoder::new(frame);
        let correlation_id = decode_response_header(&mut input, api, version)?;
        Ok((correlation_id, Self::decode(api, version, input)?))
    }
}

/// Whether the header of a response ends with tagged fields. That of ApiVersions never does: a client reads it before
/// it can know which version the broker has answered in.
fn has_flexible_response_header(api: ApiKey, version: i16) -> bool {
    api != ApiKey::ApiVersions && version >= api.flexible_from()
}

fn encode_response_header(
    out: &mut Encoder,
    api: ApiKey,
    version: i16,
    correlation_id: i32,
) -> Result<(), EncodeError> {
    out.begin(0, has_flexible_response_header(api, version));
    correlation_id.encode(out)?;
    out.begin_tagged_fields(0);
    Ok(())
}

fn decode_response_header(input: &mut Decoder<'_>, api: ApiKey, version: i16) -> Result<i32, DecodeError> {
    input.begin(0, has_flexible_response_header(api, version));
    input.lift_element_limit();
    let correlation_id = input.field("ResponseHeader.correlation_id")?;
    input.tagged_fields(|_, _| Ok(false)).map_err(|error| error.in_field("ResponseHeader"))?;
    Ok(correlation_id)
}

/// Puts the length, gaps included, in front of what `write` writes.
fn encode_frame(write: impl FnOnce(&mut Encoder) -> Result<(), EncodeError>) -> Result<Encoded, EncodeError> {
    let mut out = Encoder::new();
    out.put(&[0; LENGTH_PREFIX_BYTES]);
    write(&mut out)?;
    let len = out.len() - LENGTH_PREFIX_BYTES;
    let prefix = i32::try_from(len).map_err(|_| out.error(EncodeErrorKind::TooLong(len)).in_field("frame"))?;
    out.patch_i32(0, prefix);
    Ok(out.finish())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api_versions::{ApiVersionsRequest, ApiVersionsResponse};
    use crate::metadata::{MetadataRequest, MetadataResponse};

    /// A frame as it arrives: without its length prefix.
    fn without_prefix(encoded: Encoded) -> Bytes {
        encoded.into_bytes().split_off(LENGTH_PREFIX_BYTES)
    }

    #[test]
    fn a_request_survives_its_round_trip_with_and_without_a_client_id() {
        for client_id in [None, Some(""), Some("me")] {
            for version in ApiKey::Metadata.versions() {
                let request = MetadataRequest { topics: Some(Vec::new()), ..Default::default() };
                let frame = without_prefix(encode_request(&request, version, 42, client_id).unwrap());
                let (header, decoded) = decode_request(&frame).unwrap();
                assert_eq!(header.correlation_id, 42);
                assert_eq!((header.api, header.version), (ApiKey::Metadata, version));
                assert_eq!(header.client_id.as_deref(), client_id);
                assert_eq!(decoded, AnyRequest::Metadata(request.clone()));
                let again = decoded.encode_frame(version, 42, client_id).unwrap();
                assert_eq!(without_prefix(again), frame);
            }
        }
    }

    #[test]
    fn the_client_id_of_a_flexible_header_is_not_compact() {
        let frame = without_prefix(encode_request(&ApiVersionsRequest::default(), 3, 1, Some("me")).unwrap());
        assert_eq!(frame[..], [0, 18, 0, 3, 0, 0, 0, 1, 0, 2, b'm', b'e', 0, 1, 1, 0]);
    }

    #[test]
    fn tagged_fields_of_a_header_are_skipped() {
        let frame = Bytes::from_static(&[0, 18, 0, 3, 0, 0, 0, 1, 0xff, 0xff, 1, 5, 2, 9, 9, 1, 1, 0]);
        let (header, request) = decode_request(&frame).unwrap();
        assert_eq!(header.client_id, None);
        assert_eq!(request, AnyRequest::ApiVersions(ApiVersionsRequest::default()));
    }

    #[test]
    fn the_api_versions_response_never_has_a_flexible_header() {
        for version in ApiKey::ApiVersions.versions() {
            let frame = without_prefix(encode_response(&ApiVersionsResponse::default(), version, 7).unwrap());
            assert_eq!(frame[..6], [0, 0, 0, 7, 0, 0], "the error code follows at once");
            let decoded = decode_response::<ApiVersionsRequest>(&frame, version).unwrap();
            assert_eq!(decoded, (7, ApiVersionsResponse::default()));
        }
    }

    #[test]
    fn a_response_survives_its_round_trip() {
        for version in ApiKey::Metadata.versions() {
            let response = MetadataResponse { cluster_id: None, ..Default::default() };
            let frame = without_prefix(encode_response(&response, version, 9).unwrap());
            assert_eq!(correlation_id(&frame), Ok(9));
            assert_eq!(decode_response::<MetadataRequest>(&frame, version), Ok((9, response.clone())));
            let any = AnyResponse::decode_frame(&frame, ApiKey::Metadata, version).unwrap();
            assert_eq!(any, (9, AnyResponse::from(response)));
            assert_eq!(without_prefix(any.1.encode_frame(version, 9).unwrap()), frame);
        }
    }

    #[test]
    fn an_unknown_api_is_told_apart_from_a_malformed_header() {
        let unknown = Bytes::from_static(&[0x12, 0x34, 0, 5]);
        let error = HeaderError::UnknownApi { key: 0x1234, version: 5 };
        assert_eq!(RequestHeader::decode(&mut Decoder::new(&unknown)), Err(error));
        let short = Bytes::from_static(&[0, 18, 0, 3, 0, 0]);
        let Err(HeaderError::Malformed(error)) = RequestHeader::decode(&mut Decoder::new(&short)) else {
            panic!("the correlation id is cut off");
        };
        assert_eq!(
            error.to_string(),
            "cannot decode RequestHeader.correlation_id at byte 4: 4 bytes are needed and 2 remain"
        );
    }

    #[test]
    fn the_header_of_a_version_that_does_not_exist_can_be_read() {
        let frame = Bytes::from_static(&[0, 18, 0, 99, 0, 0, 0, 1, 0xff, 0xff, 0, 1, 1, 0]);
        let mut input = Decoder::new(&frame);
        let header = RequestHeader::decode(&mut input).unwrap();
        assert_eq!((header.version, header.correlation_id), (99, 1));
    }
}
