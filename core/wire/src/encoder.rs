//! Turns messages into bytes.
//!
//! Invariants:
//! * The bytes of a [`Gap`] are counted by every length that encloses them, but are not in the buffer.
//! * Tagged fields hold no gaps, so a gap's position never moves once it is noted.
//!
//! Sources: KIP-482 (flexible versions and tagged fields), Kafka's protocol guide.

use bytes::Bytes;

use crate::field::{Field, Nullable};

/// The longest string that Kafka accepts, in bytes, compact or not.
pub(crate) const STRING_BYTES_MAX: usize = i16::MAX as usize;

/// Room for a small response; larger ones grow.
const FIRST_RESERVE_BYTES: usize = 256;

/// A message that cannot be written in the version asked for: a bug of the caller, never of a peer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot encode {field} in version {version}: {kind}")]
pub struct EncodeError {
    /// The field, as in `FetchRequest.max_bytes`, or the message.
    pub field: &'static str,
    /// The message's version.
    pub version: i16,
    /// What is wrong with it.
    pub kind: EncodeErrorKind,
}

/// Why a field cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodeErrorKind {
    /// The message does not exist in the version.
    #[error("the message has no such version")]
    Version,
    /// The field is set, the version has no place for it, and losing it would change the meaning.
    #[error("the version has no such field, and it is set")]
    NotInVersion,
    /// The version has no null for the field.
    #[error("null is not allowed")]
    Null,
    /// A string, an array or the whole frame is longer than its length field can say.
    #[error("{0} bytes or elements are too many")]
    TooLong(usize),
}

/// Writes one frame: fields in order, in the version and flexibility of the message that is being written.
#[derive(Debug)]
pub struct Encoder {
    bytes: Vec<u8>,
    gaps: Vec<Gap>,
    version: i16,
    flexible: bool,
}

/// A place in encoded bytes where the caller puts bytes of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// How many of the encoded bytes come before it.
    pub at: usize,
    /// How many bytes the caller must put there.
    pub len: usize,
}

/// Encoded bytes and the gaps between them, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded {
    /// Everything but the gaps.
    pub bytes: Bytes,
    /// Where the caller's bytes belong, by ascending `at`.
    pub gaps: Vec<Gap>,
}

/// A run of an [`Encoded`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Encoded bytes.
    Bytes(Bytes),
    /// As many bytes of the caller's.
    Gap(usize),
}

impl Default for Encoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Encoder {
    /// An empty encoder, at version 0 and not flexible.
    pub fn new() -> Self {
        Self { bytes: Vec::with_capacity(FIRST_RESERVE_BYTES), gaps: Vec::new(), version: 0, flexible: false }
    }

    /// The version of the message that is being written.
    pub fn version(&self) -> i16 {
        self.version
    }

    /// Whether that version is flexible: lengths are compact, structs end with tagged fields.
    pub fn is_flexible(&self) -> bool {
        self.flexible
    }

    /// What was written.
    pub fn finish(self) -> Encoded {
        Encoded { bytes: self.bytes.into(), gaps: self.gaps }
    }

    /// Sets what the fields that follow are written in.
    pub(crate) fn begin(&mut self, version: i16, flexible: bool) {
        self.version = version;
        self.flexible = flexible;
    }

    /// How many bytes were written, gaps included.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len() + self.gaps.iter().map(|gap| gap.len).sum::<usize>()
    }

    pub(crate) fn put(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Overwrites the four bytes at `at`.
    pub(crate) fn patch_i32(&mut self, at: usize, value: i32) {
        self.bytes[at..at + 4].copy_from_slice(&value.to_be_bytes());
    }

    pub(crate) fn put_gap(&mut self, len: usize) {
        if len > 0 {
            self.gaps.push(Gap { at: self.bytes.len(), len });
        }
    }

    pub(crate) fn put_unsigned_varint(&mut self, value: u32) {
        let mut rest = value;
        while rest >= 0x80 {
            self.bytes.push((rest as u8) | 0x80);
            rest >>= 7;
        }
        self.bytes.push(rest as u8);
    }

    /// The length of a string in front of its bytes; `None` is null.
    pub(crate) fn put_string_len(&mut self, len: Option<usize>) -> Result<(), EncodeError> {
        let Some(len) = len else {
            self.put_null_len(&(-1i16).to_be_bytes());
            return Ok(());
        };
        match i16::try_from(len) {
            Ok(_) if self.flexible => self.put_unsigned_varint(len as u32 + 1),
            Ok(short) => self.put(&short.to_be_bytes()),
            Err(_) => return Err(self.error(EncodeErrorKind::TooLong(len))),
        }
        Ok(())
    }

    /// The length of bytes or an array in front of them; `None` is null.
    pub(crate) fn put_len(&mut self, len: Option<usize>) -> Result<(), EncodeError> {
        let Some(len) = len else {
            self.put_null_len(&(-1i32).to_be_bytes());
            return Ok(());
        };
        match i32::try_from(len) {
            Ok(_) if self.flexible => self.put_unsigned_varint(len as u32 + 1),
            Ok(len) => self.put(&len.to_be_bytes()),
            Err(_) => return Err(self.error(EncodeErrorKind::TooLong(len))),
        }
        Ok(())
    }

    fn put_null_len(&mut self, classic: &[u8]) {
        if self.flexible {
            self.put_unsigned_varint(0);
        } else {
            self.put(classic);
        }
    }

    #[cold]
    pub(crate) fn error(&self, kind: EncodeErrorKind) -> EncodeError {
        EncodeError { field: "", version: self.version, kind }
    }
}

/// What derived code calls.
impl Encoder {
    /// Writes a field.
    ///
    /// # Errors
    /// The value cannot be written.
    #[inline]
    pub fn field<T: Field>(&mut self, name: &'static str, value: &T) -> Result<(), EncodeError> {
        value.encode(self).map_err(|error| error.in_field(name))
    }

    /// Writes a field that may be null in some versions only.
    ///
    /// # Errors
    /// The value cannot be written, or is null where it must not be.
    #[inline]
    pub fn nullable_field<T>(
        &mut self,
        name: &'static str,
        value: &Option<T>,
        nullable: bool,
    ) -> Result<(), EncodeError>
    where
        T: Field,
        Option<T>: Field,
    {
        match value {
            Some(value) if !nullable => self.field(name, value),
            None if !nullable => Err(self.error(EncodeErrorKind::Null).in_field(name)),
            value => self.field(name, value),
        }
    }

    /// Writes a text for people to read, without its end if it is too long: an error message may repeat what a client has
    /// sent, so its length is not ours to choose.
    pub fn text_field(&mut self, value: &Option<String>) {
        let text = value.as_deref().map(|text| &text[..text.floor_char_boundary(STRING_BYTES_MAX)]);
        self.put_string_len(text.map(str::len)).expect("the text was cut to what a string may have");
        self.put(text.unwrap_or_default().as_bytes());
    }

    /// Refuses a field that the version has no place for, unless it holds its default.
    ///
    /// # Errors
    /// It holds something else.
    #[inline]
    pub fn absent_field(&self, name: &'static str, is_default: bool) -> Result<(), EncodeError> {
        if is_default { Ok(()) } else { Err(self.error(EncodeErrorKind::NotInVersion).in_field(name)) }
    }

    /// Starts the tagged fields at a struct's end, `present` in number. A version that is not flexible has none.
    #[inline]
    pub fn begin_tagged_fields(&mut self, present: u32) {
        if self.flexible {
            self.put_unsigned_varint(present);
        }
    }

    /// Writes one of the tagged fields announced before.
    ///
    /// # Errors
    /// The value cannot be written.
    pub fn tagged_field<T: Field>(&mut self, tag: u32, name: &'static str, value: &T) -> Result<(), EncodeError> {
        self.tagged(tag, name, |out| value.encode(out))
    }

    /// Writes one of the tagged fields announced before, which may be null.
    ///
    /// # Errors
    /// The value cannot be written.
    pub fn tagged_nullable_field<T: Nullable>(
        &mut self,
        tag: u32,
        name: &'static str,
        value: &Option<T>,
    ) -> Result<(), EncodeError> {
        self.tagged(tag, name, |out| T::encode_tagged(value.as_ref(), out))
    }

    /// Writes a tag, and what `encode` writes behind its length.
    fn tagged(
        &mut self,
        tag: u32,
        name: &'static str,
        encode: impl FnOnce(&mut Self) -> Result<(), EncodeError>,
    ) -> Result<(), EncodeError> {
        self.put_unsigned_varint(tag);
        let start = self.bytes.len();
        let gaps = self.gaps.len();
        encode(self).map_err(|error| error.in_field(name))?;
        assert_eq!(gaps, self.gaps.len(), "{name} is tagged and holds a gap: its position would move");
        let len = self.bytes.len() - start;
        let len = u32::try_from(len).map_err(|_| self.error(EncodeErrorKind::TooLong(len)).in_field(name))?;
        self.put_unsigned_varint(len);
        let prefix_len = self.bytes.len() - start - len as usize;
        self.bytes[start..].rotate_right(prefix_len);
        Ok(())
    }
}

impl EncodeError {
    /// Names the field, unless a field inside it is named already.
    #[cold]
    pub(crate) fn in_field(mut self, name: &'static str) -> Self {
        if self.field.is_empty() {
            self.field = name;
        }
        self
    }
}

impl Encoded {
    /// How many bytes it is, gaps included.
    pub fn len(&self) -> usize {
        self.bytes.len() + self.gaps.iter().map(|gap| gap.len).sum::<usize>()
    }

    /// Whether it has no bytes at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes, of something that was encoded without gaps.
    pub fn into_bytes(self) -> Bytes {
        assert!(self.gaps.is_empty(), "the gaps must be filled: use `into_pieces`");
        self.bytes
    }

    /// Bytes and gaps in the order in which they must be sent.
    pub fn into_pieces(self) -> impl Iterator<Item = Piece> {
        let Self { mut bytes, gaps } = self;
        let mut taken = 0;
        let mut pieces = Vec::with_capacity(2 * gaps.len() + 1);
        for gap in gaps {
            let before = bytes.split_to(gap.at - taken);
            taken = gap.at;
            if !before.is_empty() {
                pieces.push(Piece::Bytes(before));
            }
            pieces.push(Piece::Gap(gap.len));
        }
        if !bytes.is_empty() {
            pieces.push(Piece::Bytes(bytes));
        }
        pieces.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::create_partitions::{CreatePartitionsResponse, CreatePartitionsTopicResult};
    use crate::produce::{
        LeaderIdAndEpoch, PartitionProduceData, PartitionProduceResponse, ProduceRequest, TopicProduceData,
    };
    use crate::{Message, Records, Uuid, encode_request, fetch, metadata};

    fn encode<M: Message>(message: &M, version: i16) -> Result<Encoded, (&'static str, EncodeErrorKind)> {
        let mut out = Encoder::new();
        message.encode_body(&mut out, version).map_err(|error| (error.field, error.kind))?;
        Ok(out.finish())
    }

    #[test]
    fn a_gap_counts_in_every_length_around_it() {
        let records = |len| PartitionProduceData { index: 0, records: Records::Gap { len } };
        let topic =
            TopicProduceData { partition_data: vec![records(1000), records(0), records(7)], ..Default::default() };
        let encoded =
            encode_request(&ProduceRequest { topic_data: vec![topic], ..Default::default() }, 3, 1, None).unwrap();
        let frame_len = u32::from_be_bytes(encoded.bytes[..4].try_into().unwrap());
        assert_eq!(frame_len as usize + 4, encoded.len());
        assert_eq!(encoded.gaps.iter().map(|gap| gap.len).collect::<Vec<_>>(), [1000, 7]);
        for gap in &encoded.gaps {
            assert_eq!(encoded.bytes[gap.at - 4..gap.at], (gap.len as u32).to_be_bytes());
        }

        let whole = encoded.bytes.clone();
        let mut put_together = Vec::new();
        let mut missing = Vec::new();
        for piece in encoded.into_pieces() {
            match piece {
                Piece::Bytes(bytes) => put_together.extend_from_slice(&bytes),
                Piece::Gap(len) => missing.push(len),
            }
        }
        assert_eq!(put_together, whole);
        assert_eq!(missing, [1000, 7]);
    }

    #[test]
    fn a_field_that_the_version_lacks_is_lost_only_if_it_may_be() {
        let request = metadata::MetadataRequest { allow_auto_topic_creation: false, ..Default::default() };
        assert_eq!(
            encode(&request, 3),
            Err(("MetadataRequest.allow_auto_topic_creation", EncodeErrorKind::NotInVersion))
        );
        let request = fetch::FetchRequest { rack_id: "r".to_owned(), ..Default::default() };
        assert_eq!(encode(&request, 10), encode(&fetch::FetchRequest::default(), 10));
    }

    #[test]
    fn null_is_refused_where_the_version_has_none() {
        let request = metadata::MetadataRequest { topics: None, ..Default::default() };
        assert!(encode(&request, 1).is_ok());
        assert_eq!(encode(&request, 0), Err(("MetadataRequest.topics", EncodeErrorKind::Null)));
    }

    #[test]
    fn a_version_that_does_not_exist_is_refused() {
        assert_eq!(encode(&ProduceRequest::default(), 2), Err(("ProduceRequest", EncodeErrorKind::Version)));
        assert_eq!(encode(&ProduceRequest::default(), 14), Err(("ProduceRequest", EncodeErrorKind::Version)));
    }

    #[test]
    fn a_string_is_no_longer_than_kafka_allows() {
        let request = |len| ProduceRequest { transactional_id: Some("x".repeat(len)), ..Default::default() };
        assert!(encode(&request(0x7fff), 9).is_ok());
        for version in [8, 9] {
            let error = ("ProduceRequest.transactional_id", EncodeErrorKind::TooLong(0x8000));
            assert_eq!(encode(&request(0x8000), version), Err(error));
        }
    }

    #[test]
    fn an_error_message_that_is_too_long_loses_its_end() {
        let response = |message: String| CreatePartitionsResponse {
            results: vec![CreatePartitionsTopicResult { error_message: Some(message), ..Default::default() }],
            ..Default::default()
        };
        for version in CreatePartitionsResponse::VERSIONS {
            let whole = "é".repeat(STRING_BYTES_MAX / 2);
            let cut = encode(&response(whole.clone() + "é"), version);
            assert!(cut.is_ok());
            assert_eq!(cut, encode(&response(whole), version));
        }
    }

    #[test]
    fn a_tagged_field_is_written_behind_its_length_unless_it_is_the_default() {
        let with = |current_leader| {
            let mut out = Encoder::new();
            out.begin(10, true);
            PartitionProduceResponse { current_leader, ..Default::default() }.encode(&mut out).unwrap();
            out.finish().into_bytes()
        };
        let absent = with(LeaderIdAndEpoch::default());
        assert!(absent.ends_with(&[0]));
        let present = with(LeaderIdAndEpoch { leader_id: 2, leader_epoch: 3 });
        assert_eq!(present[absent.len() - 1..], [1, 0, 9, 0, 0, 0, 2, 0, 0, 0, 3, 0]);
    }

    #[test]
    fn a_tagged_field_may_need_a_length_of_several_bytes() {
        let request = fetch::FetchRequest { cluster_id: Some("c".repeat(300)), ..Default::default() };
        let bytes = encode(&request, 12).unwrap().into_bytes();
        // One field, tag 0, 302 bytes: the length of the string and the string.
        let tagged = [&[1, 0, 0xae, 2, 0xad, 2][..], &[b'c'; 300]].concat();
        assert!(bytes.ends_with(&tagged));
    }

    #[test]
    fn a_uuid_and_a_default_are_what_kafka_writes() {
        let topic = fetch::FetchTopic { topic_id: Uuid(1), ..Default::default() };
        let request = fetch::FetchRequest { topics: vec![topic], ..Default::default() };
        let bytes = encode(&request, 13).unwrap().into_bytes();
        let expected = [
            &[0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff, 0][..],
            &[0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
            &[1, 0, 1, 1, 0],
        ];
        assert_eq!(bytes, expected.concat());
    }
}
