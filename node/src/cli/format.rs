//! How a record is printed: `%` directives as in kcat.

use std::io::{self, Write};

use highwater_core::client::TopicPartition;
use highwater_wire::records::Record;

use super::options::parse_escapes;

/// What `--help` says about formats.
pub const HELP: &str = "Format directives: %t topic, %p partition, %o offset, %T timestamp (ms), %k key, %K key length, \
                        %v or %s value, %V or %S value length, %h headers (name=value,...), %% a percent sign; \
                        escapes: \\n \\t \\r \\0 \\\\ \\xHH. A key or value that is null prints nothing and has length -1";

/// A parsed format string.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Format(Vec<Piece>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Literal(Vec<u8>),
    Topic,
    Partition,
    Offset,
    Timestamp,
    Key,
    KeyLength,
    Value,
    ValueLength,
    Headers,
}

impl Format {
    /// Parses a format string.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some(at) = rest.find('%') {
            if at > 0 {
                pieces.push(Piece::Literal(parse_escapes(&rest[..at])?));
            }
            let mut directive = rest[at + 1..].chars();
            pieces.push(Piece::of(directive.next())?);
            rest = directive.as_str();
        }
        if !rest.is_empty() {
            pieces.push(Piece::Literal(parse_escapes(rest)?));
        }
        Ok(Self(pieces))
    }

    /// Writes a record.
    pub fn write(&self, out: &mut impl Write, partition: &TopicPartition, record: &Record) -> io::Result<()> {
        for piece in &self.0 {
            match piece {
                Piece::Literal(bytes) => out.write_all(bytes)?,
                Piece::Topic => out.write_all(partition.topic.as_bytes())?,
                Piece::Partition => write!(out, "{}", partition.index)?,
                Piece::Offset => write!(out, "{}", record.offset)?,
                Piece::Timestamp => write!(out, "{}", record.timestamp)?,
                Piece::Key => out.write_all(record.key.as_deref().unwrap_or_default())?,
                Piece::KeyLength => write!(out, "{}", length(record.key.as_deref()))?,
                Piece::Value => out.write_all(record.value.as_deref().unwrap_or_default())?,
                Piece::ValueLength => write!(out, "{}", length(record.value.as_deref()))?,
                Piece::Headers => write_headers(out, record)?,
            }
        }
        Ok(())
    }
}

impl Piece {
    fn of(directive: Option<char>) -> Result<Self, String> {
        Ok(match directive {
            Some('%') => Self::Literal(vec![b'%']),
            Some('t') => Self::Topic,
            Some('p') => Self::Partition,
            Some('o') => Self::Offset,
            Some('T') => Self::Timestamp,
            Some('k') => Self::Key,
            Some('K') => Self::KeyLength,
            Some('v' | 's') => Self::Value,
            Some('V' | 'S') => Self::ValueLength,
            Some('h') => Self::Headers,
            Some(other) => return Err(format!("unknown directive %{other}; a percent sign itself is %%")),
            None => return Err("a format cannot end with a single %; a percent sign itself is %%".to_owned()),
        })
    }
}

fn length(bytes: Option<&[u8]>) -> i64 {
    bytes.map_or(-1, |bytes| bytes.len() as i64)
}

fn write_headers(out: &mut impl Write, record: &Record) -> io::Result<()> {
    for (number, (name, value)) in record.headers.iter().enumerate() {
        if number > 0 {
            out.write_all(b",")?;
        }
        write!(out, "{name}=")?;
        out.write_all(value.as_deref().unwrap_or_default())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use highwater_core::ids::PartitionIndex;

    use super::*;

    fn written(format: &str, record: &Record) -> String {
        let mut out = Vec::new();
        let partition = TopicPartition::new("orders", PartitionIndex(3));
        Format::parse(format).unwrap().write(&mut out, &partition, record).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn every_directive_prints_its_part() {
        let record = Record {
            offset: 42,
            timestamp: 1_700_000_000_000,
            key: Some("k1".into()),
            value: Some("hello".into()),
            headers: vec![("a".into(), Some("1".into())), ("b".into(), None)],
        };
        assert_eq!(
            written(r"%t %p %o %T %k %K %v %V %s %S %h %%\n", &record),
            "orders 3 42 1700000000000 k1 2 hello 5 hello 5 a=1,b= %\n"
        );
    }

    #[test]
    fn null_prints_nothing_but_shows_in_its_length() {
        assert_eq!(written("[%k|%K|%v|%V]", &Record::default()), "[|-1||-1]");
    }

    #[test]
    fn a_percent_sign_needs_a_directive() {
        assert!(Format::parse("%q").unwrap_err().contains("%q"));
        assert!(Format::parse("100%").is_err());
    }
}
