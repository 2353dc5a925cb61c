//! Compares every message, byte for byte, with an independent codec: the `kafka-protocol` crate.
//!
//! A random message that we encode must decode there and come out of its encoder as the same bytes. With our own round
//! trip (see `messages`) that covers both directions. The crate stops at Kafka 4.1; newer versions are compared with
//! Kafka's own classes in `tests/wire-oracle`.

use std::fmt::Debug;

use bytes::{Bytes, BytesMut};
use highwater_wire::describe_groups::{DescribedGroup, LastRebalance};
use highwater_wire::testing::{Sample, sample};
use highwater_wire::{
    Decoder, DescribeGroupsResponse, Encoder, Message, RequestHeader, encode_request, encode_response, with_apis,
};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Message as Theirs};
use proptest::prelude::*;

/// A failure prints its seed, which is the whole case: there is nothing to keep in a file.
fn cases() -> ProptestConfig {
    ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() }
}

/// Compares our message `O` with their message `T` in every version that both know; returns the versions.
fn compare<O: Message + Sample, T: Theirs + Encodable + Decodable + Debug>() -> Vec<i16> {
    let versions: Vec<i16> =
        O::VERSIONS.filter(|version| (T::VERSIONS.min..=T::VERSIONS.max).contains(version)).collect();
    for &version in &versions {
        proptest!(cases(), |(seed: u64)| {
            let ours = encoded(&sample::<O>(seed, version), version);
            let mut rest = ours.clone();
            let decoded = T::decode(&mut rest, version).expect("what we encode is what they decode");
            prop_assert!(rest.is_empty(), "{} version {version}: {} bytes left over", O::NAME, rest.len());
            let unknown = format!("{decoded:?}").replace("unknown_tagged_fields: {}", "").contains("unknown_tagged_fields");
            prop_assert!(!unknown, "{} version {version} has a tag that they do not know: {decoded:?}", O::NAME);
            let mut theirs = BytesMut::new();
            decoded.encode(&mut theirs, version).expect("what they decode they encode");
            prop_assert_eq!(&theirs[..], &ours[..], "{} version {}", O::NAME, version);
        });
    }
    versions
}

fn encoded<M: Message>(message: &M, version: i16) -> Bytes {
    let mut out = Encoder::new();
    message.encode_body(&mut out, version).expect("a sample is made for its version");
    out.finish().into_bytes()
}

macro_rules! comparisons {
    ($($name:ident = $key:literal, $module:ident, $request:ident, $response:ident;)+) => {
        $(
            mod $module {
                use super::*;

                #[test]
                fn requests_are_the_bytes_that_kafka_protocol_writes() {
                    let versions = compare::<highwater_wire::$request, kafka_protocol::messages::$request>();
                    assert!(!versions.is_empty(), "nothing was compared");
                }

                #[test]
                fn responses_are_the_bytes_that_kafka_protocol_writes() {
                    let versions = compare::<highwater_wire::$response, kafka_protocol::messages::$response>();
                    assert!(!versions.is_empty(), "nothing was compared");
                }

                #[test]
                fn headers_are_the_bytes_that_kafka_protocol_writes() {
                    check_headers::<kafka_protocol::messages::$request, kafka_protocol::messages::$response>(
                        |version| encode_request(&sample::<highwater_wire::$request>(1, version), version, 7, Some("me")),
                        |version| encode_response(&sample::<highwater_wire::$response>(1, version), version, 7),
                        highwater_wire::ApiKey::$name,
                    );
                }
            }
        )+
    };
}

with_apis!(comparisons);

type Encode = fn(i16) -> Result<highwater_wire::Encoded, highwater_wire::EncodeError>;

fn check_headers<Q: Theirs + HeaderVersion, S: Theirs + HeaderVersion>(
    request: Encode,
    response: Encode,
    api: highwater_wire::ApiKey,
) {
    for version in api.versions().filter(|&version| version <= Q::VERSIONS.max) {
        let frame = whole(request(version));
        let mut rest = frame.clone();
        let theirs = kafka_protocol::messages::RequestHeader::decode(&mut rest, Q::header_version(version))
            .expect("they read our request header");
        assert_eq!((theirs.request_api_key, theirs.request_api_version), (api as i16, version));
        assert_eq!((theirs.correlation_id, theirs.client_id.as_deref()), (7, Some("me")));
        let mut input = Decoder::new(&frame);
        RequestHeader::decode(&mut input).expect("we read our own header");
        assert_eq!(input.remaining(), rest.len(), "both leave the body");

        let mut rest = whole(response(version));
        let theirs = kafka_protocol::messages::ResponseHeader::decode(&mut rest, S::header_version(version))
            .expect("they read our response header");
        assert_eq!(theirs.correlation_id, 7);
    }
}

/// A frame without its length prefix, which must be right.
fn whole(encoded: Result<highwater_wire::Encoded, highwater_wire::EncodeError>) -> Bytes {
    let mut bytes = encoded.expect("a sample is made for its version").into_bytes();
    let prefix = bytes.split_to(4);
    assert_eq!(prefix[..], u32::try_from(bytes.len()).expect("it is small").to_be_bytes());
    bytes
}

/// What Highwater adds to Kafka's messages, nobody else stumbles over.
#[test]
fn a_tag_of_our_own_is_skipped_by_others() {
    let last_rebalance = Some(LastRebalance { began_ms: 7, reason: "a joins".into() });
    let group = DescribedGroup { group_id: "g".into(), last_rebalance, ..Default::default() };
    let ours = DescribeGroupsResponse { groups: vec![group], ..Default::default() };
    let mut bytes = encoded(&ours, 6);
    assert_eq!(DescribeGroupsResponse::decode_body(Decoder::new(&bytes), 6), Ok(ours));
    let theirs = kafka_protocol::messages::DescribeGroupsResponse::decode(&mut bytes, 6).expect("they skip it");
    assert_eq!((bytes.len(), theirs.groups[0].group_id.as_str()), (0, "g"));
    assert!(theirs.groups[0].unknown_tagged_fields.contains_key(&10_000));
}
