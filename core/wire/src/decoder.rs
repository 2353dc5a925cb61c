//! Turns bytes into messages, whoever sent them.
//!
//! Invariants:
//! * Nothing here panics, whatever the bytes are.
//! * A length or a count is compared with the bytes that remain before anything is allocated for it.
//! * The decoder never reads past its limit: the frame's end, or a tagged field's.
//!
//! Sources: KIP-482 (flexible versions and tagged fields), Kafka's protocol guide.
//! Deliberately absent: keeping unknown tagged fields. They are skipped, nothing in a broker passes them on.

use bytes::Bytes;

use crate::encoder::STRING_BYTES_MAX;
use crate::field::Field;

/// Bytes that are not the message they claim to be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot decode {field} at byte {at}: {kind}")]
pub struct DecodeError {
    /// The field, as in `FetchRequest.max_bytes`, or the message.
    pub field: &'static str,
    /// How many bytes into the frame the decoder was.
    pub at: usize,
    /// What is wrong there.
    pub kind: DecodeErrorKind,
}

/// Why bytes are not a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeErrorKind {
    /// The frame, or the tagged field, ends too soon.
    #[error("{needed} bytes are needed and {remaining} remain")]
    Truncated {
        /// What the field needs at least.
        needed: usize,
        /// What is left.
        remaining: usize,
    },
    /// A length below -1, or beyond what Kafka allows.
    #[error("length {0} is not valid")]
    Length(i64),
    /// Null where the version allows none.
    #[error("null is not allowed")]
    Null,
    /// A string that is not UTF-8.
    #[error("the string is not UTF-8")]
    Utf8,
    /// A variable-length integer of more than 32 bits.
    #[error("the variable-length integer has more than 32 bits")]
    Varint,
    /// A tagged field that does not fill its length, or a frame with bytes after its message.
    #[error("{0} bytes are left over")]
    Trailing(usize),
    /// The message does not exist in the version.
    #[error("version {0} does not exist")]
    Version(i16),
}

/// Reads one frame: fields in order, in the version and flexibility of the message that is being read.
///
/// Byte fields are slices of the frame: they share its memory and keep it alive.
#[derive(Debug)]
pub struct Decoder<'a> {
    frame: &'a Bytes,
    at: usize,
    limit: usize,
    version: i16,
    flexible: bool,
}

impl<'a> Decoder<'a> {
    /// A decoder at the start of `frame`, which has no length prefix.
    pub fn new(frame: &'a Bytes) -> Self {
        Self { frame, at: 0, limit: frame.len(), version: 0, flexible: false }
    }

    /// The version of the message that is being read.
    pub fn version(&self) -> i16 {
        self.version
    }

    /// Whether that version is flexible: lengths are compact, structs end with tagged fields.
    pub fn is_flexible(&self) -> bool {
        self.flexible
    }

    /// How many bytes are left.
    pub fn remaining(&self) -> usize {
        self.limit - self.at
    }

    /// Ends the frame.
    ///
    /// # Errors
    /// Bytes are left over.
    pub fn finish(self, message: &'static str) -> Result<(), DecodeError> {
        match self.remaining() {
            0 => Ok(()),
            left => Err(self.error(DecodeErrorKind::Trailing(left)).in_field(message)),
        }
    }

    /// Sets what the fields that follow are read in.
    pub(crate) fn begin(&mut self, version: i16, flexible: bool) {
        self.version = version;
        self.flexible = flexible;
    }

    #[inline]
    pub(crate) fn take(&mut self, len: usize) -> Result<&'a [u8], DecodeError> {
        self.require(len)?;
        let bytes = &self.frame[self.at..self.at + len];
        self.at += len;
        Ok(bytes)
    }

    #[inline]
    pub(crate) fn take_array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    /// Takes bytes off the front without copying them.
    pub(crate) fn take_slice(&mut self, len: usize) -> Result<Bytes, DecodeError> {
        self.require(len)?;
        let slice = self.frame.slice(self.at..self.at + len);
        self.at += len;
        Ok(slice)
    }

    pub(crate) fn take_unsigned_varint(&mut self) -> Result<u32, DecodeError> {
        let mut value = 0;
        for shift in [0, 7, 14, 21, 28] {
            let [byte] = self.take_array()?;
            if shift == 28 && byte > 0x0f {
                break;
            }
            value |= u32::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(self.error(DecodeErrorKind::Varint))
    }

    /// The length of a string that lies ahead whole; `None` is null.
    pub(crate) fn take_string_len(&mut self) -> Result<Option<usize>, DecodeError> {
        let len = if self.flexible {
            i64::from(self.take_unsigned_varint()?) - 1
        } else {
            i64::from(i16::from_be_bytes(self.take_array()?))
        };
        self.checked_len(len, STRING_BYTES_MAX, 1)
    }

    /// The length of bytes that lie ahead whole; `None` is null.
    pub(crate) fn take_bytes_len(&mut self) -> Result<Option<usize>, DecodeError> {
        self.take_count(1)
    }

    /// The count of an array whose elements have at least `element_len_min` bytes each; `None` is null.
    pub(crate) fn take_count(&mut self, element_len_min: usize) -> Result<Option<usize>, DecodeError> {
        let count = if self.flexible {
            i64::from(self.take_unsigned_varint()?) - 1
        } else {
            i64::from(i32::from_be_bytes(self.take_array()?))
        };
        self.checked_len(count, i32::MAX as usize, element_len_min.max(1))
    }

    fn checked_len(&self, len: i64, max: usize, element_len_min: usize) -> Result<Option<usize>, DecodeError> {
        if len == -1 {
            return Ok(None);
        }
        let Some(count) = usize::try_from(len).ok().filter(|&len| len <= max) else {
            return Err(self.error(DecodeErrorKind::Length(len)));
        };
        self.require(count.saturating_mul(element_len_min))?;
        Ok(Some(count))
    }

    #[inline]
    fn require(&self, needed: usize) -> Result<(), DecodeError> {
        let remaining = self.remaining();
        if needed <= remaining {
            return Ok(());
        }
        Err(self.error(DecodeErrorKind::Truncated { needed, remaining }))
    }

    #[cold]
    pub(crate) fn error(&self, kind: DecodeErrorKind) -> DecodeError {
        DecodeError { field: "", at: self.at, kind }
    }
}

/// What derived code calls.
impl Decoder<'_> {
    /// Reads a field.
    ///
    /// # Errors
    /// The bytes are not such a field.
    #[inline]
    pub fn field<T: Field>(&mut self, name: &'static str) -> Result<T, DecodeError> {
        T::decode(self).map_err(|error| error.in_field(name))
    }

    /// Reads a field that may be null in some versions only.
    ///
    /// # Errors
    /// The bytes are not such a field, or it is null where it must not be.
    #[inline]
    pub fn nullable_field<T>(&mut self, name: &'static str, nullable: bool) -> Result<Option<T>, DecodeError>
    where
        T: Field,
        Option<T>: Field,
    {
        if nullable { self.field(name) } else { self.field(name).map(Some) }
    }

    /// Reads the tagged fields at a struct's end: `known` reads the field of a tag and says true, or says false to have
    /// it skipped. A version that is not flexible has none.
    ///
    /// # Errors
    /// A field does not fit its length.
    pub fn tagged_fields(
        &mut self,
        mut known: impl FnMut(u32, &mut Self) -> Result<bool, DecodeError>,
    ) -> Result<(), DecodeError> {
        if !self.flexible {
            return Ok(());
        }
        for _ in 0..self.take_unsigned_varint()? {
            let tag = self.take_unsigned_varint()?;
            let len = self.take_unsigned_varint()? as usize;
            self.require(len)?;
            let outer = std::mem::replace(&mut self.limit, self.at + len);
            if !known(tag, self)? {
                self.at = self.limit;
            }
            if self.remaining() > 0 {
                return Err(self.error(DecodeErrorKind::Trailing(self.remaining())));
            }
            self.limit = outer;
        }
        Ok(())
    }
}

impl DecodeError {
    /// Names the field, unless a field inside it is named already.
    #[cold]
    pub(crate) fn in_field(mut self, name: &'static str) -> Self {
        if self.field.is_empty() {
            self.field = name;
        }
        self
    }
}
