//! JSON lines on standard output.

use std::io::{self, Write};

use bytes::Bytes;
use highwater_core::client::TopicPartition;
use highwater_wire::records::Record;
use serde::{Serialize, Serializer};

/// Writes one object as one line.
pub fn write_line(out: &mut impl Write, row: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *out, row)?;
    out.write_all(b"\n")
}

/// Prints one object as one line.
pub fn print(row: &impl Serialize) -> io::Result<()> {
    write_line(&mut io::stdout().lock(), row)
}

/// Bytes that are mostly text: a JSON string where they are UTF-8, else an object `{"base64": "..."}`.
#[derive(Clone, Copy, Debug)]
pub struct Text<'a>(pub &'a [u8]);

impl Serialize for Text<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Binary {
            base64: String,
        }
        match std::str::from_utf8(self.0) {
            Ok(text) => serializer.serialize_str(text),
            Err(_) => Binary { base64: base64(self.0) }.serialize(serializer),
        }
    }
}

/// A record.
#[derive(Serialize)]
pub struct RecordRow<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    topic: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    partition: Option<i32>,
    offset: i64,
    timestamp: i64,
    key: Option<Text<'a>>,
    value: Option<Text<'a>>,
    headers: Vec<HeaderRow<'a>>,
}

#[derive(Serialize)]
struct HeaderRow<'a> {
    name: &'a str,
    value: Option<Text<'a>>,
}

impl<'a> RecordRow<'a> {
    /// A record of a partition, if that is known.
    pub fn of(partition: Option<&'a TopicPartition>, record: &'a Record) -> Self {
        let header = |(name, value): &'a (String, Option<Bytes>)| HeaderRow { name, value: value.as_deref().map(Text) };
        Self {
            topic: partition.map(|partition| partition.topic.as_str()),
            partition: partition.map(|partition| partition.index.0),
            offset: record.offset,
            timestamp: record.timestamp,
            key: record.key.as_deref().map(Text),
            value: record.value.as_deref().map(Text),
            headers: record.headers.iter().map(header).collect(),
        }
    }
}

/// Standard base64 with padding (RFC 4648).
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let group = chunk.iter().fold(0, |group, byte| group << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for place in 0..4 {
            let digit = ALPHABET[(group >> (18 - 6 * place) & 0x3f) as usize];
            text.push(if place <= chunk.len() { char::from(digit) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_padded() {
        // The vectors of RFC 4648.
        let cases =
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("foobar", "Zm9vYmFy")];
        for (plain, encoded) in cases {
            assert_eq!(base64(plain.as_bytes()), encoded);
        }
    }

    #[test]
    fn bytes_are_text_where_they_can_be() {
        let line = |bytes: &[u8]| serde_json::to_string(&Text(bytes)).unwrap();
        assert_eq!(line("a\"ü".as_bytes()), r#""a\"ü""#);
        assert_eq!(line(&[0xff]), r#"{"base64":"/w=="}"#);
    }
}
