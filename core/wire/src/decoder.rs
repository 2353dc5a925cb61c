//! Turns bytes into messages, whoever sent them.
//!
//! Invariants:
//! * Nothing here panics, whatever the bytes are.
//! * A length or a count is compared with the bytes that remain before anything is allocated for it.
//! * The elements of all arrays of a request are at most [`ELEMENTS_MAX`]: an element can take 24 times the memory of
//!   its bytes, so that the largest frame alone would not bound it.
//! * The decoder never reads past its limit: the frame's end, or a tagged field's.
//!
//! Sources: KIP-482 (flexible versions and tagged fields), Kafka's protocol guide.
//! Deliberately absent: keeping unknown tagged fields. They are skipped, nothing in a broker passes them on.

use bytes::Bytes;

use crate::encoder::STRING_BYTES_MAX;
use crate::field::{Field, Nullable};

/// The most elements that all arrays of a request may have together.
pub const ELEMENTS_MAX: usize = 1 << 20;

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
    /// More elements in its arrays than a request may have.
    #[error("{0} elements are too many")]
    TooManyElements(usize),
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
    elements_left: usize,
    version: i16,
    flexible: bool,
}

impl<'a> Decoder<'a> {
    /// A decoder at the start of `frame`, which has no length prefix.
    pub fn new(frame: &'a Bytes) -> Self {
        Self { frame, at: 0, limit: frame.len(), elements_left: ELEMENTS_MAX, version: 0, flexible: false }
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

    /// Accepts any number of elements: for what a client reads, from a broker that it has chosen itself.
    pub(crate) fn lift_element_limit(&mut self) {
        self.elements_left = usize::MAX;
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
        self.take_len(1)
    }

    /// The count of an array whose elements have at least `element_len_min` bytes each; `None` is null.
    pub(crate) fn take_count(&mut self, element_len_min: usize) -> Result<Option<usize>, DecodeError> {
        let count = self.take_len(element_len_min.max(1))?;
        match self.elements_left.checked_sub(count.unwrap_or(0)) {
            Some(left) => self.elements_left = left,
            None => return Err(self.error(DecodeErrorKind::TooManyElements(count.unwrap_or(0)))),
        }
        Ok(count)
    }

    fn take_len(&mut self, element_len_min: usize) -> Result<Option<usize>, DecodeError> {
        let len = if self.flexible {
            i64::from(self.take_unsigned_varint()?) - 1
        } else {
            i64::from(i32::from_be_bytes(self.take_array()?))
        };
        self.checked_len(len, i32::MAX as usize, element_len_min)
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

    /// Reads a tagged field that may be null.
    ///
    /// # Errors
    /// The bytes are not such a field.
    pub fn tagged_nullable_field<T: Nullable>(&mut self, name: &'static str) -> Result<Option<T>, DecodeError> {
        T::decode_tagged(self).map_err(|error| error.in_field(name))
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

#[cfg(test)]
mod tests {
    use super::*;

    fn decoder(bytes: &Bytes, flexible: bool) -> Decoder<'_> {
        let mut input = Decoder::new(bytes);
        input.begin(0, flexible);
        input
    }

    fn check<T: Field + PartialEq + std::fmt::Debug>(
        bytes: &'static [u8],
        flexible: bool,
        expected: Result<T, DecodeErrorKind>,
    ) {
        let bytes = Bytes::from_static(bytes);
        assert_eq!(T::decode(&mut decoder(&bytes, flexible)).map_err(|error| error.kind), expected, "{bytes:?}");
    }

    #[test]
    fn a_string_is_utf8_of_a_length_that_kafka_allows() {
        use DecodeErrorKind::{Length, Null, Truncated, Utf8, Varint};
        check(&[0, 2, b'h', b'i'], false, Ok("hi".to_owned()));
        check(&[3, b'h', b'i'], true, Ok("hi".to_owned()));
        check(&[0xff, 0xff], false, Ok(None::<String>));
        check(&[0], true, Ok(None::<String>));
        check::<String>(&[0xff, 0xff], false, Err(Null));
        check::<String>(&[0], true, Err(Null));
        check::<String>(&[0xff, 0xfe], false, Err(Length(-2)));
        check::<String>(&[0x81, 0x80, 0x02, b'x'], true, Err(Length(0x8000)));
        check::<String>(&[0, 2, b'h'], false, Err(Truncated { needed: 2, remaining: 1 }));
        check::<String>(&[0, 1, 0xff], false, Err(Utf8));
        check::<String>(&[0xff, 0xff, 0xff, 0xff, 0x1f], true, Err(Varint));
        check::<String>(&[0x80, 0x80, 0x80, 0x80, 0x80, 0], true, Err(Varint));
    }

    #[test]
    fn a_varint_may_be_longer_than_it_needs_to_be() {
        check(&[0x83, 0x80, 0x80, 0x80, 0x00, b'h', b'i'], true, Ok("hi".to_owned()));
    }

    #[test]
    fn bytes_are_slices_of_the_frame() {
        let frame = Bytes::from_static(&[0, 0, 0, 2, 7, 8]);
        let bytes = Bytes::decode(&mut decoder(&frame, false)).unwrap();
        assert_eq!(bytes.as_ptr(), frame[4..].as_ptr());
        assert_eq!(bytes, [7, 8][..]);
    }

    /// Reads tagged fields of which 1 is known and has two bytes.
    fn tagged(bytes: &'static [u8]) -> Result<Option<i16>, DecodeErrorKind> {
        let bytes = Bytes::from_static(bytes);
        let mut known = None;
        decoder(&bytes, true)
            .tagged_fields(|tag, input| match tag {
                1 => input.field("known").map(|value| known = Some(value)).map(|()| true),
                _ => Ok(false),
            })
            .map_err(|error| error.kind)?;
        Ok(known)
    }

    #[test]
    fn a_tagged_field_fills_its_length_and_unknown_ones_are_skipped() {
        assert_eq!(tagged(&[0]), Ok(None));
        assert_eq!(tagged(&[3, 0, 1, 9, 1, 2, 0, 7, 5, 0]), Ok(Some(7)));
        assert_eq!(tagged(&[1, 1, 3, 0, 7, 0]), Err(DecodeErrorKind::Trailing(1)));
        assert_eq!(tagged(&[1, 1, 1, 0, 7]), Err(DecodeErrorKind::Truncated { needed: 2, remaining: 1 }));
        assert_eq!(tagged(&[1, 5, 3, 0]), Err(DecodeErrorKind::Truncated { needed: 3, remaining: 1 }));
        assert_eq!(tagged(&[1]), Err(DecodeErrorKind::Truncated { needed: 1, remaining: 0 }));
    }
}
