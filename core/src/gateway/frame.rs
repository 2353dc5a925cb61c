//! Cuts the bytes of a connection into request frames.
//!
//! Invariants:
//! * A length prefix reserves nothing: the buffer grows with the bytes that have arrived, at most [`GROWTH`]-fold, so
//!   that most of a frame is read into its place.
//! * A connection that is between frames holds no buffer.

use bytes::{Bytes, BytesMut};

/// A frame's length prefix that cannot be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Lengths are not negative.
    #[error("frame length {0} is negative")]
    Negative(i32),
    /// The frame is larger than `socket.request.max.bytes`.
    #[error("frame of {len} bytes is larger than socket.request.max.bytes={len_max}")]
    TooLarge {
        /// The length that the prefix gives.
        len: u32,
        /// The largest that is accepted.
        len_max: u32,
    },
}

/// The frame that a connection is in the middle of.
#[derive(Debug)]
pub struct FrameReader {
    len_max: u32,
    prefix: [u8; 4],
    prefix_len: usize,
    body: BytesMut,
    body_len: Option<usize>,
}

/// How much room the first read of a frame's body gets.
const FIRST_RESERVE_BYTES: usize = 64 * 1024;

/// How many times the bytes that have arrived a buffer may hold. Memory that nothing was read into costs addresses only.
const GROWTH: usize = 16;

impl FrameReader {
    /// A reader at a frame's start that refuses frames of more than `len_max` bytes.
    pub fn new(len_max: u32) -> Self {
        Self { len_max, prefix: [0; 4], prefix_len: 0, body: BytesMut::new(), body_len: None }
    }

    /// Takes bytes off the front of `input` until a frame is whole or `input` is empty. Call it again for as long as it
    /// returns a frame.
    ///
    /// # Errors
    /// A length prefix that cannot be served; the connection must be closed.
    pub fn next(&mut self, input: &mut &[u8]) -> Result<Option<Bytes>, FrameError> {
        if self.body_len.is_none() && !self.read_prefix(input)? {
            return Ok(None);
        }
        let missing = self.missing().min(input.len());
        self.reserve(missing);
        self.body.extend_from_slice(&input[..missing]);
        *input = &input[missing..];
        Ok(self.take_whole())
    }

    /// The length of the frame in progress; 0 between frames.
    pub fn frame_len(&self) -> usize {
        self.body_len.unwrap_or(0)
    }

    /// How many bytes the frame in progress still lacks; 0 between frames.
    pub fn missing(&self) -> usize {
        self.body_len.map_or(0, |len| len - self.body.len())
    }

    /// The buffer of a frame in progress, with spare room for bytes of this frame, so that a large body is read into
    /// its place. Append at most [`missing`](Self::missing) bytes, then call [`take_whole`](Self::take_whole).
    pub fn body_mut(&mut self) -> &mut BytesMut {
        if self.body.capacity() == self.body.len() {
            let step = (self.body.len() * (GROWTH - 1)).max(FIRST_RESERVE_BYTES).min(self.missing());
            self.reserve(step);
        }
        &mut self.body
    }

    /// The frame, if its last byte has arrived.
    pub fn take_whole(&mut self) -> Option<Bytes> {
        if self.body_len? != self.body.len() {
            return None;
        }
        self.body_len = None;
        Some(std::mem::take(&mut self.body).freeze())
    }

    fn read_prefix(&mut self, input: &mut &[u8]) -> Result<bool, FrameError> {
        let taken = (4 - self.prefix_len).min(input.len());
        self.prefix[self.prefix_len..self.prefix_len + taken].copy_from_slice(&input[..taken]);
        self.prefix_len += taken;
        *input = &input[taken..];
        if self.prefix_len < 4 {
            return Ok(false);
        }
        let len = i32::from_be_bytes(self.prefix);
        let len = u32::try_from(len).map_err(|_| FrameError::Negative(len))?;
        if len > self.len_max {
            return Err(FrameError::TooLarge { len, len_max: self.len_max });
        }
        self.prefix_len = 0;
        self.body_len = Some(len as usize);
        Ok(true)
    }

    fn reserve(&mut self, additional: usize) {
        let whole = self.body_len.unwrap_or(0);
        if self.body.capacity() - self.body.len() >= additional {
            return;
        }
        let target = (self.body.len() + additional).max(self.body.capacity() * 2).min(whole);
        self.body.reserve_exact_to(target);
    }
}

/// Grows a buffer to a capacity, not by an amount.
trait ReserveTo {
    fn reserve_exact_to(&mut self, capacity: usize);
}

impl ReserveTo for BytesMut {
    fn reserve_exact_to(&mut self, capacity: usize) {
        if capacity <= self.capacity() {
            return;
        }
        let mut grown = Self::with_capacity(capacity);
        grown.extend_from_slice(self);
        *self = grown;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(chunks: &[&[u8]], len_max: u32) -> Result<Vec<Bytes>, FrameError> {
        let mut reader = FrameReader::new(len_max);
        let mut found = Vec::new();
        for chunk in chunks {
            let mut rest = *chunk;
            while let Some(frame) = reader.next(&mut rest)? {
                found.push(frame);
            }
            assert!(rest.is_empty(), "a reader takes every byte unless it returns a frame");
        }
        Ok(found)
    }

    #[test]
    fn frames_do_not_depend_on_how_bytes_arrive() {
        let stream = [&[0, 0, 0, 3][..], b"abc", &[0, 0, 0, 0], &[0, 0, 0, 2], b"de"].concat();
        let expected = vec![Bytes::from_static(b"abc"), Bytes::new(), Bytes::from_static(b"de")];
        assert_eq!(frames(&[&stream], 10).unwrap(), expected);
        for size in 1..stream.len() {
            let chunks: Vec<&[u8]> = stream.chunks(size).collect();
            assert_eq!(frames(&chunks, 10).unwrap(), expected, "in chunks of {size}");
        }
    }

    #[test]
    fn a_length_that_cannot_be_served_is_refused() {
        assert_eq!(frames(&[&[0xff, 0xff, 0xff, 0xff]], 10), Err(FrameError::Negative(-1)));
        assert_eq!(frames(&[&[0, 0, 0, 11]], 10), Err(FrameError::TooLarge { len: 11, len_max: 10 }));
    }

    #[test]
    fn a_length_prefix_alone_reserves_nothing() {
        let mut reader = FrameReader::new(u32::MAX);
        assert_eq!(reader.next(&mut &[0x7f, 0xff, 0xff, 0xff][..]), Ok(None));
        assert_eq!(reader.body.capacity(), 0);
        assert_eq!(reader.next(&mut &[1, 2, 3][..]), Ok(None));
        assert!(reader.body.capacity() < 1024);
    }
}
