//! The 128-bit ids of topics and log directories.

use std::fmt;
use std::str::FromStr;

use crate::decoder::{DecodeError, Decoder};
use crate::encoder::{EncodeError, Encoder};
use crate::field::Field;

/// A UUID, written as Kafka writes it: 22 characters of unpadded URL-safe base64.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uuid(pub u128);

/// Text that is not a UUID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a UUID is 22 characters of unpadded URL-safe base64")]
pub struct ParseUuidError;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const TEXT_LEN: usize = 22;
/// 22 characters carry 132 bits: the last one has four bits that must be zero.
const PADDING_BITS: u32 = 4;

impl Uuid {
    /// The id that stands for none.
    pub const ZERO: Self = Self(0);
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0; TEXT_LEN];
        text[TEXT_LEN - 1] = ALPHABET[((self.0 << PADDING_BITS) & 0x3f) as usize];
        for (index, character) in text[..TEXT_LEN - 1].iter_mut().enumerate() {
            *character = ALPHABET[((self.0 >> (122 - 6 * index)) & 0x3f) as usize];
        }
        f.pad(std::str::from_utf8(&text).expect("the alphabet is ASCII"))
    }
}

impl fmt::Debug for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Uuid {
    type Err = ParseUuidError;

    fn from_str(text: &str) -> Result<Self, ParseUuidError> {
        let digit = |character: &u8| ALPHABET.iter().position(|known| known == character).ok_or(ParseUuidError);
        let (last, head) = text.as_bytes().split_last().filter(|_| text.len() == TEXT_LEN).ok_or(ParseUuidError)?;
        let mut value = 0;
        for character in head {
            value = value << 6 | digit(character)? as u128;
        }
        let last = digit(last)? as u128;
        if last & ((1 << PADDING_BITS) - 1) != 0 {
            return Err(ParseUuidError);
        }
        Ok(Self(value << 2 | last >> PADDING_BITS))
    }
}

impl Field for Uuid {
    fn encode(&self, out: &mut Encoder) -> Result<(), EncodeError> {
        out.put(&self.0.to_be_bytes());
        Ok(())
    }

    fn decode(input: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        Ok(Self(u128::from_be_bytes(input.take_array()?)))
    }

    fn len_min(_: i16, _: bool) -> usize {
        16
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uuid_is_written_as_kafka_writes_it() {
        let cases = [
            (0, "AAAAAAAAAAAAAAAAAAAAAA"),
            (1, "AAAAAAAAAAAAAAAAAAAAAQ"),
            (u128::MAX, "_____________________w"),
            (0x0123_4567_89ab_cdef_0123_4567_89ab_cdef, "ASNFZ4mrze8BI0VniavN7w"),
        ];
        for (value, text) in cases {
            assert_eq!(Uuid(value).to_string(), text);
            assert_eq!(text.parse(), Ok(Uuid(value)));
        }
    }

    #[test]
    fn text_that_is_no_uuid_is_refused() {
        for text in
            ["", "AAAA", "AAAAAAAAAAAAAAAAAAAAAB", "AAAAAAAAAAAAAAAAAAAAA=", "AAAAAAAAAAAAAAAAAAAAAAA", "ééééééééééé"]
        {
            assert_eq!(text.parse::<Uuid>(), Err(ParseUuidError), "{text}");
        }
    }
}
