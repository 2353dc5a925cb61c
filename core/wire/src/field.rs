//! The types that a field of a message can have.

use bytes::Bytes;

use crate::decoder::{DecodeError, DecodeErrorKind, Decoder};
use crate::encoder::{EncodeError, Encoder};

/// A type with a form on the wire: a primitive, a string, an array, or a struct that derives it.
pub trait Field: Sized {
    /// Writes the value in the encoder's version.
    ///
    /// # Errors
    /// The version cannot represent the value.
    fn encode(&self, out: &mut Encoder) -> Result<(), EncodeError>;

    /// Reads a value in the decoder's version.
    ///
    /// # Errors
    /// The bytes are not such a value.
    fn decode(input: &mut Decoder<'_>) -> Result<Self, DecodeError>;

    /// The fewest bytes that a value can have: what bounds an array's count before its elements are read.
    fn len_min(version: i16, flexible: bool) -> usize;
}

/// A type whose form on the wire has a null.
pub trait Nullable: Field {
    /// Writes the null of the type, or a value in the form that can be null.
    ///
    /// # Errors
    /// The version cannot represent the value.
    fn encode_nullable(value: Option<&Self>, out: &mut Encoder) -> Result<(), EncodeError>;

    /// Reads a value in the form that can be null.
    ///
    /// # Errors
    /// The bytes are neither a value nor null.
    fn decode_nullable(input: &mut Decoder<'_>) -> Result<Option<Self>, DecodeError>;

    /// Writes the null of the type, or a value, in the form that a tagged field has.
    ///
    /// # Errors
    /// The version cannot represent the value.
    fn encode_tagged(value: Option<&Self>, out: &mut Encoder) -> Result<(), EncodeError> {
        Self::encode_nullable(value, out)
    }

    /// Reads a tagged field that can be null.
    ///
    /// # Errors
    /// The bytes are neither a value nor null.
    fn decode_tagged(input: &mut Decoder<'_>) -> Result<Option<Self>, DecodeError> {
        Self::decode_nullable(input)
    }
}

impl<T: Nullable> Field for Option<T> {
    #[inline]
    fn encode(&self, out: &mut Encoder) -> Result<(), EncodeError> {
        T::encode_nullable(self.as_ref(), out)
    }

    #[inline]
    fn decode(input: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        T::decode_nullable(input)
    }

    fn len_min(_: i16, _: bool) -> usize {
        1
    }
}

macro_rules! big_endian {
    ($($number:ty),+) => {
        $(
            impl Field for $number {
                #[inline]
                fn encode(&self, out: &mut Encoder) -> Result<(), EncodeError> {
                    out.put(&self.to_be_bytes());
                    Ok(())
                }

                #[inline]
                fn decode(input: &mut Decoder<'_>) -> Result<Self, DecodeError> {
                    Ok(Self::from_be_bytes(input.take_array()?))
                }

                fn len_min(_: i16, _: bool) -> usize {
                    size_of::<Self>()
                }
            }
        )+
    };
}

big_endian!(i8, i16, i32, i64, u16, u32, f64);

impl Field for bool {
    fn encode(&self, out: &mut Encoder) -> Result<(), EncodeError> {
        out.put(&[u8::from(*self)]);
        Ok(())
    }

    fn decode(input: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let [byte] = input.take_array()?;
        Ok(byte != 0)
    }

    fn len_min(_: i16, _: bool) -> usize {
        1
    }
}

/// Implements [`Field`] through [`Nullable`] for a type that differs from its nullable form only by lacking the null.
macro_rules! field_by_nullable {
    ($({$($generic:tt)*})? $type:ty, $classic_len:literal) => {
        impl $($($generic)*)? Field for $type {
            #[inline]
            fn encode(&self, out: &mut Encoder) -> Result<(), EncodeError> {
                Self::encode_nullable(Some(self), out)
            }

            #[inline]
            fn decode(input: &mut Decoder<'_>) -> Result<Self, DecodeError> {
                Self::decode_nullable(input)?.ok_or_else(|| input.error(DecodeErrorKind::Null))
            }

            fn len_min(_: i16, flexible: bool) -> usize {
                if flexible { 1 } else { $classic_len }
            }
        }
    };
}

field_by_nullable!(String, 2);
field_by_nullable!(Bytes, 4);
field_by_nullable!({ <T: Field> } Vec<T>, 4);

impl Nullable for String {
    fn encode_nullable(value: Option<&Self>, out: &mut Encoder) -> Result<(), EncodeError> {
        out.put_string_len(value.map(Self::len))?;
        out.put(value.map_or(&[], |string| string.as_bytes()));
        Ok(())
    }

    fn decode_nullable(input: &mut Decoder<'_>) -> Result<Option<Self>, DecodeError> {
        let Some(len) = input.take_string_len()? else { return Ok(None) };
        let bytes = input.take(len)?;
        match std::str::from_utf8(bytes) {
            Ok(string) => Ok(Some(string.to_owned())),
            Err(_) => Err(input.error(DecodeErrorKind::Utf8)),
        }
    }
}

impl Nullable for Bytes {
    fn encode_nullable(value: Option<&Self>, out: &mut Encoder) -> Result<(), EncodeError> {
        out.put_len(value.map(Self::len))?;
        out.put(value.map_or(&[], |bytes| bytes));
        Ok(())
    }

    fn decode_nullable(input: &mut Decoder<'_>) -> Result<Option<Self>, DecodeError> {
        let Some(len) = input.take_bytes_len()? else { return Ok(None) };
        input.take_slice(len).map(Some)
    }
}

impl<T: Field> Nullable for Vec<T> {
    fn encode_nullable(value: Option<&Self>, out: &mut Encoder) -> Result<(), EncodeError> {
        out.put_len(value.map(Self::len))?;
        value.into_iter().flatten().try_for_each(|element| element.encode(out))
    }

    fn decode_nullable(input: &mut Decoder<'_>) -> Result<Option<Self>, DecodeError> {
        let element_len_min = T::len_min(input.version(), input.is_flexible());
        let Some(count) = input.take_count(element_len_min)? else { return Ok(None) };
        let mut elements = Self::with_capacity(count);
        for _ in 0..count {
            elements.push(T::decode(input)?);
        }
        Ok(Some(elements))
    }
}

/// Writes a struct behind the byte that says whether it is there: 1, or -1 for null.
///
/// # Errors
/// The version cannot represent the value.
pub fn encode_nullable_struct<T: Field>(value: Option<&T>, out: &mut Encoder) -> Result<(), EncodeError> {
    match value {
        Some(value) => {
            1i8.encode(out)?;
            value.encode(out)
        }
        None => (-1i8).encode(out),
    }
}

/// Reads a struct behind the byte that says whether it is there.
///
/// # Errors
/// The bytes are not such a struct.
pub fn decode_nullable_struct<T: Field>(input: &mut Decoder<'_>) -> Result<Option<T>, DecodeError> {
    if i8::decode(input)? < 0 { Ok(None) } else { T::decode(input).map(Some) }
}

/// Writes a tagged struct behind the byte that says whether it is there: 1, or 0 for null, where others have -1.
///
/// # Errors
/// The version cannot represent the value.
pub fn encode_tagged_struct<T: Field>(value: Option<&T>, out: &mut Encoder) -> Result<(), EncodeError> {
    i8::from(value.is_some()).encode(out)?;
    value.map_or(Ok(()), |value| value.encode(out))
}

/// Reads a tagged struct behind the byte that says whether it is there.
///
/// # Errors
/// The bytes are not such a struct.
pub fn decode_tagged_struct<T: Field>(input: &mut Decoder<'_>) -> Result<Option<T>, DecodeError> {
    if i8::decode(input)? <= 0 { Ok(None) } else { T::decode(input).map(Some) }
}
