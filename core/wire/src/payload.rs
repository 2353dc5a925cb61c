//! Record batches as a message carries them: bytes that are passed on and never parsed here.

use bytes::Bytes;

use crate::decoder::{DecodeError, Decoder};
use crate::encoder::{EncodeError, Encoder};
use crate::field::{Field, Nullable};

/// The records of a partition in a produce request or a fetch response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Records {
    /// No records. Clients do not expect it in fetch responses: see the default.
    Null,
    /// Batches in memory: after decoding a slice of the frame.
    Inline(Bytes),
    /// Batches that the caller puts between the encoded bytes, from a file mostly. Never the result of decoding.
    Gap {
        /// Their length in bytes.
        len: usize,
    },
}

impl Default for Records {
    /// Empty, not null: librdkafka takes null in a fetch response for a malformed one.
    fn default() -> Self {
        Self::Inline(Bytes::new())
    }
}

impl Records {
    /// How many bytes of records there are.
    pub fn len(&self) -> usize {
        match self {
            Self::Null => 0,
            Self::Inline(bytes) => bytes.len(),
            Self::Gap { len } => *len,
        }
    }

    /// Whether there are no records, null or not.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl From<Bytes> for Records {
    fn from(bytes: Bytes) -> Self {
        Self::Inline(bytes)
    }
}

impl Field for Records {
    fn encode(&self, out: &mut Encoder) -> Result<(), EncodeError> {
        match self {
            Self::Null => Bytes::encode_nullable(None, out),
            Self::Inline(bytes) => bytes.encode(out),
            Self::Gap { len } => {
                out.put_len(Some(*len))?;
                out.put_gap(*len);
                Ok(())
            }
        }
    }

    fn decode(input: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        Ok(Bytes::decode_nullable(input)?.map_or(Self::Null, Self::Inline))
    }

    fn len_min(_: i16, flexible: bool) -> usize {
        if flexible { 1 } else { 4 }
    }
}
