//! Our side of `tests/wire-oracle`, which lets Kafka's own classes judge our bytes.
//!
//! `oracle write SEEDS` writes, one line each, what there is and random messages of it:
//! ```text
//! error CODE NAME RETRIABLE
//! api KEY FIRST LAST FLEXIBLE_FROM
//! message KEY VERSION request|response HEX
//! ```
//! `oracle check` reads messages that Kafka has made, `message KEY VERSION request|response HEX EXPECTED`, and fails
//! unless each decodes and encodes again as what is expected.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, BufRead, BufWriter, Write};
use std::process::ExitCode;

use bytes::Bytes;
use highwater_wire::testing::{Sample, sample};
use highwater_wire::{AnyRequest, AnyResponse, ApiKey, Decoder, Encoded, Encoder, ErrorCode, Message, with_apis};

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
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

fn write_messages<M: Message + Sample>(
    out: &mut impl Write,
    key: i16,
    direction: &str,
    seeds: u64,
) -> Result<(), Failure> {
    for version in M::VERSIONS {
        for seed in 0..seeds {
            let mut encoder = Encoder::new();
            sample::<M>(seed, version).encode_body(&mut encoder, version)?;
            writeln!(out, "message {key} {version} {direction} {}", hex(&encoder.finish().into_bytes()))?;
        }
    }
    Ok(())
}

fn check() -> Result<ExitCode, Failure> {
    let mut compared = BTreeMap::<ApiKey, u64>::new();
    let mut different = 0;
    let mut out = io::stdout().lock();
    for line in io::stdin().lock().lines() {
        let line = line?;
        let ["message", key, version, direction, bytes, expected] = line.split(' ').collect::<Vec<_>>()[..] else {
            return Err(format!("not a message: {line}").into());
        };
        let api = ApiKey::try_from(key.parse::<i16>()?).map_err(|key| format!("unknown API {key}"))?;
        let version = version.parse()?;
        let again = again(api, version, direction, &Bytes::from(unhex(bytes)?)).map(|bytes| hex(&bytes));
        *compared.entry(api).or_default() += 1;
        if again.as_deref().ok() != Some(expected) {
            different += 1;
            writeln!(
                out,
                "{api} version {version} {direction}: Kafka sent  {bytes}\n  expected {expected}\n  got {again:?}"
            )?;
        }
    }
    for (api, count) in &compared {
        let versions = api.versions();
        let name = api.name();
        writeln!(
            out,
            "made by Kafka, read by us: {name:<24} {:>2}-{:<2} {count:>6} compared",
            versions.start(),
            versions.end()
        )?;
    }
    let complete = compared.len() == ApiKey::ALL.len();
    writeln!(out, "{} messages of {} APIs, {different} differ", compared.values().sum::<u64>(), compared.len())?;
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
