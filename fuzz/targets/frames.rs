//! The bytes of a connection, in chunks of any size: the same frames as in one piece, and requests out of them that are
//! refused or understood, never a panic.

#![no_main]

use bytes::Bytes;
use highwater_core::gateway::{FrameError, FrameReader};
use highwater_wire::decode_request;
use libfuzzer_sys::fuzz_target;

const FRAME_BYTES_MAX: u32 = 1 << 20;

fn frames<'a>(chunks: impl Iterator<Item = &'a [u8]>) -> (Vec<Bytes>, Option<FrameError>) {
    let mut reader = FrameReader::new(FRAME_BYTES_MAX);
    let mut found = Vec::new();
    for mut rest in chunks {
        loop {
            match reader.next(&mut rest) {
                Ok(Some(frame)) => found.push(frame),
                Ok(None) => break,
                Err(error) => return (found, Some(error)),
            }
        }
        assert!(rest.is_empty(), "a reader takes every byte unless it returns a frame");
    }
    (found, None)
}

fuzz_target!(|input: (u8, &[u8])| {
    let (size, stream) = input;
    let whole = frames(std::iter::once(stream));
    assert_eq!(whole, frames(stream.chunks(usize::from(size) + 1)), "frames depend on how bytes arrive");
    for frame in &whole.0 {
        let _refused = decode_request(frame).is_err();
    }
});
