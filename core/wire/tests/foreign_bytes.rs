//! What decoding does with bytes that nobody should have sent.
//!
//! For every API and version: it never panics, it takes no more and no less than a whole message, and whatever it
//! accepts can be encoded again and means the same.

use std::fmt::Debug;

use bytes::Bytes;
use highwater_wire::testing::{Sample, sample};
use highwater_wire::{AnyRequest, ApiKey, DecodeErrorKind, Decoder, Encoder, Message, decode_request, with_apis};
use proptest::prelude::*;

/// A failure prints what it was about: there is nothing to keep in a file.
fn cases() -> ProptestConfig {
    ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() }
}

/// One way to damage a message.
#[derive(Clone, Debug)]
enum Damage {
    Set(prop::sample::Index, u8),
    SetLength(prop::sample::Index, i32),
    Insert(prop::sample::Index, u8),
    Remove(prop::sample::Index),
}

fn damage() -> impl Strategy<Value = Damage> {
    let lengths = prop_oneof![Just(i32::MAX), Just(i32::MIN), Just(-1), Just(-2), Just(1 << 24), any::<i32>()];
    prop_oneof![
        any::<(prop::sample::Index, u8)>().prop_map(|(at, byte)| Damage::Set(at, byte)),
        (any::<prop::sample::Index>(), lengths).prop_map(|(at, length)| Damage::SetLength(at, length)),
        any::<(prop::sample::Index, u8)>().prop_map(|(at, byte)| Damage::Insert(at, byte)),
        any::<prop::sample::Index>().prop_map(Damage::Remove),
    ]
}

fn damaged(bytes: &[u8], damages: &[Damage]) -> Bytes {
    let mut bytes = bytes.to_vec();
    for damage in damages {
        match damage {
            Damage::Insert(at, byte) => bytes.insert(at.index(bytes.len() + 1), *byte),
            _ if bytes.is_empty() => {}
            Damage::Set(at, byte) => {
                let at = at.index(bytes.len());
                bytes[at] = *byte;
            }
            Damage::SetLength(at, length) => {
                let at = at.index(bytes.len());
                let end = (at + 4).min(bytes.len());
                bytes[at..end].copy_from_slice(&length.to_be_bytes()[..end - at]);
            }
            Damage::Remove(at) => {
                bytes.remove(at.index(bytes.len()));
            }
        }
    }
    bytes.into()
}

fn encoded<M: Message>(message: &M, version: i16) -> Bytes {
    let mut out = Encoder::new();
    message.encode_body(&mut out, version).expect("the message is one of its version");
    out.finish().into_bytes()
}

/// Decodes; what is accepted must survive a round trip.
fn check_decode<M: Message + PartialEq + Debug>(bytes: &Bytes, version: i16) {
    if let Ok(message) = M::decode_body(Decoder::new(bytes), version) {
        assert_eq!(M::decode_body(Decoder::new(&encoded(&message, version)), version), Ok(message));
    }
}

fn check_message<M: Message + Sample + PartialEq + Debug>() {
    for version in M::VERSIONS {
        proptest!(cases(), |(seed: u64, damages in prop::collection::vec(damage(), 1..4))| {
            check_decode::<M>(&damaged(&encoded(&sample::<M>(seed, version), version), &damages), version);
        });
        proptest!(cases(), |(bytes in prop::collection::vec(any::<u8>(), 0..200))| {
            check_decode::<M>(&bytes.into(), version);
        });
        for seed in 0..10 {
            let whole = encoded(&sample::<M>(seed, version), version);
            for len in 0..whole.len() {
                let decoded = M::decode_body(Decoder::new(&whole.slice(..len)), version);
                assert!(decoded.is_err(), "{} version {version}: {len} of {} bytes pass", M::NAME, whole.len());
            }
            let longer = Bytes::from([&whole[..], &[0]].concat());
            let decoded = M::decode_body(Decoder::new(&longer), version).map_err(|error| error.kind);
            assert_eq!(decoded, Err(DecodeErrorKind::Trailing(1)), "{} version {version}", M::NAME);
        }
    }
}

macro_rules! checks {
    ($($name:ident = $key:literal, $module:ident, $request:ident, $response:ident;)+) => {
        $(
            mod $module {
                #[test]
                fn foreign_bytes_are_a_request_or_an_error() {
                    super::check_message::<highwater_wire::$request>();
                }

                #[test]
                fn foreign_bytes_are_a_response_or_an_error() {
                    super::check_message::<highwater_wire::$response>();
                }
            }
        )+
    };
}

with_apis!(checks);

#[test]
fn a_random_frame_is_a_request_or_an_error() {
    proptest!(cases(), |(bytes in prop::collection::vec(any::<u8>(), 0..100))| {
        let _ = decode_request(&bytes.into());
    });
}

#[test]
fn a_frame_of_nothing_but_tiny_elements_is_refused_before_it_grows() {
    let count = 20_000_000u32;
    // Metadata version 0: each topic is an empty name of two bytes, which would be 40 bytes in memory.
    let frame = Bytes::from([&count.to_be_bytes()[..], &vec![0; 2 * count as usize]].concat());
    let error = AnyRequest::decode(ApiKey::Metadata, 0, Decoder::new(&frame)).expect_err("it is too large");
    assert_eq!(error.kind, DecodeErrorKind::TooManyElements(count as usize));
    assert_eq!(error.field, "MetadataRequest.topics");
}

#[test]
fn a_version_that_does_not_exist_is_refused() {
    let frame = Bytes::from_static(&[0; 64]);
    for &api in ApiKey::ALL {
        for version in [api.versions().start() - 1, api.versions().end() + 1, i16::MAX, i16::MIN] {
            let error = AnyRequest::decode(api, version, Decoder::new(&frame)).expect_err("there is no such version");
            assert_eq!(error.kind, DecodeErrorKind::Version(version), "{api}");
        }
    }
}

#[test]
fn a_count_that_the_frame_cannot_hold_is_refused_before_anything_is_allocated() {
    // ListOffsets version 1: replica id, then the count of topics of at least six bytes each.
    let frame = Bytes::from_static(&[0, 0, 0, 0, 0, 0x0f, 0, 0, 0, 0, 0]);
    let error = AnyRequest::decode(ApiKey::ListOffsets, 1, Decoder::new(&frame)).expect_err("a topic has six bytes");
    assert_eq!(error.kind, DecodeErrorKind::Truncated { needed: 6 * 0x0f_0000, remaining: 3 });
    assert_eq!((error.field, error.at), ("ListOffsetsRequest.topics", 8));
}
