//! Our side of `tests/wire-oracle`, which lets Kafka's own classes judge our bytes.
//!
//! `oracle write SEEDS` writes, one line each, what there is and random messages of it:
//! ```text
//! error CODE NAME RETRIABLE
//! api KEY FIRST LAST FLEXIBLE_FROM
//! message KEY VERSION request|response HEX
//! struct NAME VERSION HEX
//! ```
//! A struct is a key or a value of `__consumer_offsets`, or what consumers put into a classic group; its prefix is not
//! part of it. `oracle check` reads what Kafka has made, the same lines with a word `EXPECTED` more, and fails unless
//! each decodes and encodes again as what is expected.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, BufRead, BufWriter, Write};
use std::process::ExitCode;

use bytes::Bytes;
use highwater_wire::group_records::*;
use highwater_wire::testing::{Sample, sample};
use highwater_wire::{
    AnyRequest, AnyResponse, ApiKey, ConsumerProtocolAssignment, ConsumerProtocolSubscription, Decoder, Encoded,
    Encoder, ErrorCode, Message, with_apis,
};

/// Hands the messages that are of no API to a macro of the caller's.
macro_rules! with_structs {
    ($callback:ident) => {
        $callback!(
            OffsetCommitKey,
            OffsetCommitValue,
            GroupMetadataKey,
            GroupMetadataValue,
            ConsumerGroupMetadataKey,
            ConsumerGroupMetadataValue,
            ConsumerGroupPartitionMetadataKey,
            ConsumerGroupPartitionMetadataValue,
            ConsumerGroupMemberMetadataKey,
            ConsumerGroupMemberMetadataValue,
            ConsumerGroupTargetAssignmentMetadataKey,
            ConsumerGroupTargetAssignmentMetadataValue,
            ConsumerGroupTargetAssignmentMemberKey,
            ConsumerGroupTargetAssignmentMemberValue,
            ConsumerGroupCurrentMemberAssignmentKey,
            ConsumerGroupCurrentMemberAssignmentValue,
            ConsumerGroupRegularExpressionKey,
            ConsumerGroupRegularExpressionValue,
            ConsumerProtocolSubscription,
            ConsumerProtocolAssignment
        )
    };
}

macro_rules! names {
    ($($message:ty),+) => { &[$(<$message>::NAME),+] };
}

const STRUCTS: &[&str] = with_structs!(names);

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<ExitCode, Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["write", seeds] => write(seeds.parse()?),
        ["check"] => check(),
        _ => Err("usage: oracle write SEEDS | oracle check".into()),
    }
}

fn write(seeds: u64) -> Result<ExitCode, Failure> {
    let mut out = BufWriter::new(io::stdout().lock());
    for error in ErrorCode::ALL {
        writeln!(out, "error {} {error} {}", error.code(), error.retriable())?;
    }
    for &api in ApiKey::ALL {
        let versions = api.versions();
        let (key, first, last) = (api as i16, versions.start(), versions.end());
        writeln!(out, "api {key} {first} {last} {}", api.flexible_from())?;
    }
    macro_rules! write_all {
        ($($name:ident = $key:literal, $module:ident, $request:ident, $response:ident;)+) => {
            $(
                write_messages::<highwater_wire::$request>(&mut out, $key, "request", seeds)?;
                write_messages::<highwater_wire::$response>(&mut out, $key, "response", seeds)?;
            )+
        };
    }
    with_apis!(write_all);
    macro_rules! write_structs {
        ($($message:ty),+) => {
            $(
                for (version, bytes) in samples::<$message>(seeds)? {
                    writeln!(out, "struct {} {version} {bytes}", <$message>::NAME)?;
                }
            )+
        };
    }
    with_structs!(write_structs);
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

fn write_messages<M: Message + Sample>(
    out: &mut impl Write,
    key: i16,
    direction: &str,
    seeds: u64,
) -> Result<(), Failure> {
    for (version, bytes) in samples::<M>(seeds)? {
        writeln!(out, "message {key} {version} {direction} {bytes}")?;
    }
    Ok(())
}

/// Random messages in every version, as hexadecimal digits.
fn samples<M: Message + Sample>(seeds: u64) -> Result<Vec<(i16, String)>, Failure> {
    let mut samples = Vec::new();
    for version in M::VERSIONS {
        for seed in 0..seeds {
            let mut encoder = Encoder::new();
            sample::<M>(seed, version).encode_body(&mut encoder, version)?;
            samples.push((version, hex(&encoder.finish().into_bytes())));
        }
    }
    Ok(samples)
}

fn check() -> Result<ExitCode, Failure> {
    let mut compared = BTreeMap::<String, u64>::new();
    let mut different = 0;
    let mut out = io::stdout().lock();
    for line in io::stdin().lock().lines() {
        let line = line?;
        let words = line.split(' ').collect::<Vec<_>>();
        let (name, bytes, expected, again) = match words[..] {
            ["message", key, version, direction, bytes, expected] => {
                let api = ApiKey::try_from(key.parse::<i16>()?).map_err(|key| format!("unknown API {key}"))?;
                let again = again(api, version.parse()?, direction, &Bytes::from(unhex(bytes)?));
                (api.name(), bytes, expected, again)
            }
            ["struct", name, version, bytes, expected] => {
                (name, bytes, expected, struct_again(name, version.parse()?, &Bytes::from(unhex(bytes)?)))
            }
            _ => return Err(format!("not a message: {line}").into()),
        };
        let again = again.map(|bytes| hex(&bytes));
        *compared.entry(name.to_owned()).or_default() += 1;
        if again.as_deref().ok() != Some(expected) {
            different += 1;
            let head = words[..words.len() - 2].join(" ");
            writeln!(out, "{head}: Kafka sent  {bytes}\n  expected {expected}\n  got {again:?}")?;
        }
    }
    for (name, count) in &compared {
        writeln!(out, "made by Kafka, read by us: {name:<44} {count:>6} compared")?;
    }
    let complete = compared.len() == ApiKey::ALL.len() + STRUCTS.len();
    writeln!(out, "{} messages of {} kinds, {different} differ", compared.values().sum::<u64>(), compared.len())?;
    Ok(if complete && different == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Decodes and encodes.
fn again(api: ApiKey, version: i16, direction: &str, bytes: &Bytes) -> Result<Bytes, Failure> {
    let mut out = Encoder::new();
    let input = Decoder::new(bytes);
    match direction {
        "request" => AnyRequest::decode(api, version, input)?.encode_body(&mut out, version)?,
        _ => AnyResponse::decode(api, version, input)?.encode_body(&mut out, version)?,
    }
    Ok(Encoded::into_bytes(out.finish()))
}

fn struct_again(name: &str, version: i16, bytes: &Bytes) -> Result<Bytes, Failure> {
    let mut out = Encoder::new();
    let input = Decoder::new(bytes);
    macro_rules! decode_named {
        ($($message:ty),+) => {
            match name {
                $(<$message>::NAME => <$message>::decode_body(input, version)?.encode_body(&mut out, version)?,)+
                _ => return Err(format!("unknown struct {name}").into()),
            }
        };
    }
    with_structs!(decode_named);
    Ok(Encoded::into_bytes(out.finish()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes everything");
        text
    })
}

fn unhex(text: &str) -> Result<Vec<u8>, Failure> {
    let digits = text.as_bytes().chunks(2).map(std::str::from_utf8);
    digits.map(|pair| Ok(u8::from_str_radix(pair?, 16)?)).collect()
}
