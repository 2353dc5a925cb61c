//! The records of a batch.

use std::io::{self, BufRead, Read};

use bytes::Bytes;

use super::compression::decompressor;
use super::{BatchError, BatchHeader, Compression, StoredRecord};

/// One record, taken out of its batch or to be put into one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// Its offset in the partition.
    pub offset: i64,
    /// Milliseconds since the Unix epoch, or -1.
    pub timestamp: i64,
    /// The key.
    pub key: Option<Bytes>,
    /// The value; none is a tombstone in a compacted topic.
    pub value: Option<Bytes>,
    /// Headers in their order; a name may come twice. What is not UTF-8 in a name is replaced.
    pub headers: Vec<(String, Option<Bytes>)>,
}

/// What a control record says about its producer's transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ControlType {
    /// The transaction's records must not be seen by `read_committed` readers.
    Abort,
    /// The transaction's records count.
    Commit,
}

impl Record {
    /// A transaction marker, as written by the coordinator with this epoch.
    pub fn marker(control: ControlType, coordinator_epoch: i32, timestamp: i64) -> Self {
        let kind: i16 = match control {
            ControlType::Abort => 0,
            ControlType::Commit => 1,
        };
        let key = [0_i16.to_be_bytes(), kind.to_be_bytes()].concat();
        let value = [&0_i16.to_be_bytes()[..], &coordinator_epoch.to_be_bytes()].concat();
        Self { timestamp, key: Some(key.into()), value: Some(value.into()), ..Self::default() }
    }

    /// What the marker in a control batch says; none for kinds that are not about transactions.
    pub fn control_type(&self) -> Option<ControlType> {
        match self.key.as_deref()? {
            [_, _, 0, 0] => Some(ControlType::Abort),
            [_, _, 0, 1] => Some(ControlType::Commit),
            _ => None,
        }
    }
}

/// What validation needs to know of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordSummary {
    /// The record's place in its batch, from 0.
    pub index: i32,
    /// Its offset, relative to the base offset.
    pub offset_delta: i32,
    /// Milliseconds since the Unix epoch.
    pub timestamp: i64,
    /// Whether it has a key, be it empty.
    pub has_key: bool,
}

/// Visits every record of one whole batch and checks that its bytes agree with each other and with the header.
///
/// Nothing is kept: compressed records stream through a fixed buffer.
///
/// # Errors
/// What is wrong with the first bad record, or with the compressed bytes; more than `limit` bytes of decompressed
/// records.
pub fn walk(batch: &[u8], limit: u64, mut visit: impl FnMut(RecordSummary)) -> Result<(), BatchError> {
    let (header, body) = split(batch)?;
    match header.compression()? {
        Compression::None => walk_records(&mut &*body, &header, limit, &mut visit),
        codec => walk_records(&mut decompressor(codec, body, limit)?, &header, limit, &mut visit),
    }
}

fn split(batch: &[u8]) -> Result<(BatchHeader, &[u8]), BatchError> {
    let header = BatchHeader::parse(batch)?;
    let (have, need) = (batch.len(), header.size_in_bytes());
    let body = batch.get(BatchHeader::LEN..need).ok_or(BatchError::Truncated { have, need })?;
    Ok((header, body))
}

fn walk_records(
    source: &mut impl BufRead,
    header: &BatchHeader,
    limit: u64,
    visit: &mut impl FnMut(RecordSummary),
) -> Result<(), BatchError> {
    for index in 0..header.record_count {
        let summary = walk_record(source, header, index).map_err(|fault| fault.into_error(index, limit))?;
        visit(summary);
    }
    match source.fill_buf() {
        Ok([]) => Ok(()),
        Ok(_) => Err(BatchError::Record { index: header.record_count, reason: "bytes follow the last record" }),
        Err(error) => Err(Fault::from(error).into_error(header.record_count, limit)),
    }
}

fn walk_record(source: &mut impl BufRead, header: &BatchHeader, index: i32) -> Result<RecordSummary, Fault> {
    let mut fields = Fields::of_record(source)?;
    fields.skip(1)?; // attributes: none are defined
    let timestamp_delta = fields.varlong()?;
    let offset_delta = fields.varint()?;
    let key = fields.length()?;
    fields.skip(key.unwrap_or(0))?;
    let value = fields.length()?;
    fields.skip(value.unwrap_or(0))?;
    for _ in 0..fields.header_count()? {
        let name = fields.length()?.ok_or(Fault::Reason("a header has no name"))?;
        fields.skip(name)?;
        let value = fields.length()?;
        fields.skip(value.unwrap_or(0))?;
    }
    fields.end()?;
    Ok(RecordSummary { index, offset_delta, timestamp: header.timestamp(timestamp_delta), has_key: key.is_some() })
}

/// Takes the records out of one whole batch. Compressed records are decompressed at once, into at most `limit` bytes;
/// keys and values share the batch's or that memory.
///
/// # Errors
/// A bad header, an unknown compression, compressed bytes that are not, or too many of them.
pub fn records(batch: &Bytes, limit: u64) -> Result<RecordIter, BatchError> {
    let (header, body) = split(batch)?;
    let rest = match header.compression()? {
        Compression::None => batch.slice_ref(body),
        codec => {
            let mut plain = Vec::new();
            let read = decompressor(codec, body, limit)?.read_to_end(&mut plain);
            read.map_err(|error| Fault::from(error).into_error(0, limit))?;
            plain.into()
        }
    };
    Ok(RecordIter { header, rest, index: 0 })
}

/// The records of one batch. After an error nothing follows.
#[derive(Clone, Debug)]
pub struct RecordIter {
    header: BatchHeader,
    rest: Bytes,
    index: i32,
}

impl Iterator for RecordIter {
    type Item = Result<Record, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.index >= self.header.record_count {
            return None;
        }
        let index = self.index;
        self.index += 1;
        let record = self.take_record();
        if record.is_err() {
            self.index = self.header.record_count;
        }
        Some(record.map_err(|fault| fault.into_error(index, u64::MAX)))
    }
}

impl RecordIter {
    /// The next record as it is stored.
    pub(super) fn next_stored(&mut self) -> Option<Result<StoredRecord, BatchError>> {
        if self.index >= self.header.record_count {
            return None;
        }
        let index = self.index;
        self.index += 1;
        let record = self.take_stored();
        if record.is_err() {
            self.index = self.header.record_count;
        }
        Some(record.map_err(|fault| fault.into_error(index, u64::MAX)))
    }

    fn take_stored(&mut self) -> Result<StoredRecord, Fault> {
        let whole = self.rest.clone();
        let mut source = &whole[..];
        let mut fields = Fields::of_record(&mut source)?;
        fields.skip(1)?;
        let timestamp_delta = fields.varlong()?;
        let tail_at = whole.len() - fields.source.len();
        let offset = self.header.base_offset.saturating_add(i64::from(fields.varint()?));
        let key = fields.take_bytes(&whole)?;
        let has_value = fields.length()?.is_some();
        fields.skip(fields.left)?;
        let len = whole.len() - source.len();
        let bytes = self.rest.split_to(len);
        Ok(StoredRecord { offset, key, has_value, timestamp_delta, bytes, tail_at })
    }

    fn take_record(&mut self) -> Result<Record, Fault> {
        let whole = self.rest.clone();
        let mut source = &whole[..];
        let mut fields = Fields::of_record(&mut source)?;
        fields.skip(1)?;
        let timestamp = self.header.timestamp(fields.varlong()?);
        let offset = self.header.base_offset.saturating_add(i64::from(fields.varint()?));
        let key = fields.take_bytes(&whole)?;
        let value = fields.take_bytes(&whole)?;
        let count = fields.header_count()?;
        let mut headers = Vec::with_capacity(count.min(whole.len() / 2));
        for _ in 0..count {
            let name = fields.take_bytes(&whole)?.ok_or(Fault::Reason("a header has no name"))?;
            headers.push((String::from_utf8_lossy(&name).into_owned(), fields.take_bytes(&whole)?));
        }
        fields.end()?;
        self.rest = whole.slice_ref(source);
        Ok(Record { offset, timestamp, key, value, headers })
    }
}

/// What stopped the reading of a record.
pub(super) enum Fault {
    Reason(&'static str),
    Io(io::Error),
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl Fault {
    pub(super) fn into_error(self, index: i32, limit: u64) -> BatchError {
        match self {
            Self::Reason(reason) => BatchError::Record { index, reason },
            // The decompressor says so when it reaches its limit.
            Self::Io(error) if error.kind() == io::ErrorKind::FileTooLarge => BatchError::TooLarge(limit),
            Self::Io(error) => BatchError::Decompress(error.to_string()),
        }
    }
}

/// The fields of one record, which says how long it is.
struct Fields<'a, R> {
    source: &'a mut R,
    left: usize,
}

impl<'a, R: BufRead> Fields<'a, R> {
    /// Reads the record's length.
    fn of_record(source: &'a mut R) -> Result<Self, Fault> {
        let mut fields = Self { source, left: usize::MAX };
        let length = fields.varint()?;
        fields.left = usize::try_from(length).map_err(|_| Fault::Reason("its length is negative"))?;
        Ok(fields)
    }

    fn byte(&mut self) -> Result<u8, Fault> {
        self.claim(1)?;
        let byte = *self.source.fill_buf()?.first().ok_or(Fault::Reason("the batch ends inside it"))?;
        self.source.consume(1);
        Ok(byte)
    }

    /// Takes `count` bytes off what the record may still use.
    fn claim(&mut self, count: usize) -> Result<(), Fault> {
        self.left = self.left.checked_sub(count).ok_or(Fault::Reason("a field reaches beyond its end"))?;
        Ok(())
    }

    fn skip(&mut self, count: usize) -> Result<(), Fault> {
        self.claim(count)?;
        let mut left = count;
        while left > 0 {
            let available = self.source.fill_buf()?.len();
            if available == 0 {
                return Err(Fault::Reason("the batch ends inside it"));
            }
            let step = available.min(left);
            self.source.consume(step);
            left -= step;
        }
        Ok(())
    }

    fn varint(&mut self) -> Result<i32, Fault> {
        let raw = self.unsigned::<5>()?;
        let raw = u32::try_from(raw).map_err(|_| Fault::Reason("a number has more than 32 bits"))?;
        Ok((raw >> 1).cast_signed() ^ -(raw & 1).cast_signed())
    }

    fn varlong(&mut self) -> Result<i64, Fault> {
        let raw = self.unsigned::<10>()?;
        Ok((raw >> 1).cast_signed() ^ -(raw & 1).cast_signed())
    }

    fn unsigned<const BYTES_MAX: u32>(&mut self) -> Result<u64, Fault> {
        let mut value = 0;
        for at in 0..BYTES_MAX {
            let byte = u64::from(self.byte()?);
            let bits = byte & 0x7f;
            if at == 9 && bits > 1 {
                break;
            }
            value |= bits << (7 * at);
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Fault::Reason("a number has too many bytes"))
    }

    /// The length of a nullable field.
    fn length(&mut self) -> Result<Option<usize>, Fault> {
        match self.varint()? {
            -1 => Ok(None),
            length => usize::try_from(length).map(Some).map_err(|_| Fault::Reason("a field's length is negative")),
        }
    }

    fn header_count(&mut self) -> Result<usize, Fault> {
        usize::try_from(self.varint()?).map_err(|_| Fault::Reason("its number of headers is negative"))
    }

    fn end(&self) -> Result<(), Fault> {
        if self.left == 0 { Ok(()) } else { Err(Fault::Reason("its fields are shorter than its length")) }
    }
}

impl Fields<'_, &[u8]> {
    /// Takes a nullable field, as a share of `whole`, in which the source lies.
    fn take_bytes(&mut self, whole: &Bytes) -> Result<Option<Bytes>, Fault> {
        let Some(length) = self.length()? else { return Ok(None) };
        self.claim(length)?;
        let taken = self.source.split_off(..length).ok_or(Fault::Reason("the batch ends inside it"))?;
        Ok(Some(whole.slice_ref(taken)))
    }
}
