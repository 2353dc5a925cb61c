use bytes::Bytes;

use crate::testing::{Sample, sample};
use crate::{Decoder, Encoder, Message, with_apis};

const SEEDS: u64 = 200;

fn encoded<M: Message>(message: &M, version: i16) -> Bytes {
    let mut out = Encoder::new();
    message.encode_body(&mut out, version).unwrap();
    out.finish().into_bytes()
}

fn check_round_trip<M: Message + Sample + PartialEq + std::fmt::Debug>() {
    for version in M::VERSIONS {
        for seed in 0..SEEDS {
            let message: M = sample(seed, version);
            let bytes = encoded(&message, version);
            let decoded = M::decode_body(Decoder::new(&bytes), version);
            assert_eq!(decoded, Ok(message), "{} version {version} seed {seed}", M::NAME);
        }
    }
}

macro_rules! round_trips {
    ($($name:ident = $key:literal, $module:ident, $request:ident, $response:ident;)+) => {
        $(
            mod $module {
                #[test]
                fn a_request_survives_its_round_trip() {
                    super::check_round_trip::<crate::$module::$request>();
                }

                #[test]
                fn a_response_survives_its_round_trip() {
                    super::check_round_trip::<crate::$module::$response>();
                }
            }
        )+
    };
}

with_apis!(round_trips);
