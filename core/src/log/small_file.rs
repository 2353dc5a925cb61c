//! The frame around our own small files: a tag, a version, the contents, a checksum.

use bytes::{Buf, BufMut};

/// Why a small file cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum SmallFileError {
    /// Its bytes are not the ones that were written.
    #[error("its checksum is wrong")]
    Damaged,
    /// It was written by a newer release.
    #[error("its format version {0} is newer than this release")]
    Version(u16),
}

const FRONT_LEN: usize = 6;
const CHECKSUM_LEN: usize = 4;

/// Puts the frame around `contents`.
pub(super) fn frame(tag: [u8; 4], version: u16, contents: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(FRONT_LEN + contents.len() + CHECKSUM_LEN);
    bytes.put_slice(&tag);
    bytes.put_u16(version);
    bytes.put_slice(contents);
    let checksum = crc32fast::hash(&bytes);
    bytes.put_u32(checksum);
    bytes
}

/// Takes the frame off.
pub(super) fn unframe(tag: [u8; 4], version: u16, bytes: &[u8]) -> Result<Contents<'_>, SmallFileError> {
    match unframe_any(tag, version, bytes)? {
        (found, contents) if found == version => Ok(contents),
        _ => Err(SmallFileError::Damaged),
    }
}

/// Takes the frame off a file of any version up to `newest`, and tells which it is.
pub(super) fn unframe_any(tag: [u8; 4], newest: u16, bytes: &[u8]) -> Result<(u16, Contents<'_>), SmallFileError> {
    let (rest, checksum) = bytes.split_last_chunk::<CHECKSUM_LEN>().ok_or(SmallFileError::Damaged)?;
    if u32::from_be_bytes(*checksum) != crc32fast::hash(rest) {
        return Err(SmallFileError::Damaged);
    }
    let mut contents = rest.strip_prefix(&tag).ok_or(SmallFileError::Damaged)?;
    match contents.try_get_u16() {
        Ok(found) if found > newest => Err(SmallFileError::Version(found)),
        Ok(found) if found > 0 => Ok((found, Contents(contents))),
        _ => Err(SmallFileError::Damaged),
    }
}

/// The contents of a small file, read from the front.
pub(super) struct Contents<'a>(&'a [u8]);

impl Contents<'_> {
    pub fn u8(&mut self) -> Result<u8, SmallFileError> {
        self.0.try_get_u8().map_err(|_| SmallFileError::Damaged)
    }

    pub fn u32(&mut self) -> Result<u32, SmallFileError> {
        self.0.try_get_u32().map_err(|_| SmallFileError::Damaged)
    }

    pub fn u64(&mut self) -> Result<u64, SmallFileError> {
        self.0.try_get_u64().map_err(|_| SmallFileError::Damaged)
    }

    pub fn i16(&mut self) -> Result<i16, SmallFileError> {
        self.0.try_get_i16().map_err(|_| SmallFileError::Damaged)
    }

    pub fn i32(&mut self) -> Result<i32, SmallFileError> {
        self.0.try_get_i32().map_err(|_| SmallFileError::Damaged)
    }

    pub fn i64(&mut self) -> Result<i64, SmallFileError> {
        self.0.try_get_i64().map_err(|_| SmallFileError::Damaged)
    }

    /// A number of items that follow, of at least `item_len` bytes each.
    pub fn count(&mut self, item_len: usize) -> Result<usize, SmallFileError> {
        let count = usize::try_from(self.u32()?).map_err(|_| SmallFileError::Damaged)?;
        let fits = count.checked_mul(item_len).is_some_and(|len| len <= self.0.len());
        if fits { Ok(count) } else { Err(SmallFileError::Damaged) }
    }

    /// Nothing may be left.
    pub fn end(&self) -> Result<(), SmallFileError> {
        if self.0.is_empty() { Ok(()) } else { Err(SmallFileError::Damaged) }
    }
}
