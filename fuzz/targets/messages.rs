//! The bodies of requests and responses, any API and version: what is accepted can be written again and means the same.

#![no_main]

use bytes::Bytes;
use highwater_wire::{AnyRequest, AnyResponse, ApiKey, Decoder, Encoder};
use libfuzzer_sys::fuzz_target;

macro_rules! check {
    ($message:ident, $api:expr, $version:expr, $body:expr) => {
        if let Ok(message) = $message::decode($api, $version, Decoder::new($body)) {
            let mut out = Encoder::new();
            message.encode_body(&mut out, $version).expect("what was decoded in a version can be encoded in it");
            let again = out.finish().into_bytes();
            let twin = $message::decode($api, $version, Decoder::new(&again)).expect("what was encoded can be decoded");
            assert_eq!(message, twin, "a message means something else once written again");
        }
    };
}

fuzz_target!(|input: (u8, u8, bool, &[u8])| {
    let (api, version, is_request, body) = input;
    let api = ApiKey::ALL[usize::from(api) % ApiKey::ALL.len()];
    let versions = api.versions();
    let version = versions.start() + i16::from(version) % (versions.end() - versions.start() + 1);
    let body = Bytes::copy_from_slice(body);
    if is_request {
        check!(AnyRequest, api, version, &body);
    } else {
        check!(AnyResponse, api, version, &body);
    }
});
