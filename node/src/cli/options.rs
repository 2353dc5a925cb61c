//! Flags that several subcommands share.

use std::time::Duration;

use highwater_core::client::{Address, ClientConfig};

use super::error::CliError;
use crate::client::Session;

const DEFAULT_PORT: u16 = 9092;

/// How to reach a cluster and how to print what it says.
#[derive(Clone, Debug, clap::Args)]
pub struct ClientOptions {
    /// Brokers to ask first; one that answers is enough.
    #[arg(
        long,
        short = 'b',
        value_name = "HOST:PORT,...",
        env = "HIGHWATER_BOOTSTRAP",
        default_value = "localhost:9092",
        value_delimiter = ',',
        value_parser = parse_address,
        help_heading = "Connection"
    )]
    pub bootstrap: Vec<Address>,
    /// How long a broker may take to answer.
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=86_400), help_heading = "Connection")]
    pub timeout: u64,
    /// Print one JSON object a line.
    #[arg(long, help_heading = "Output")]
    pub json: bool,
}

impl ClientOptions {
    /// The configuration that these flags and the defaults make.
    pub fn config(&self) -> ClientConfig {
        let timeout = Duration::from_secs(self.timeout);
        let mut config = ClientConfig::new(self.bootstrap.clone());
        config.client_id = "highwater-cli".to_owned();
        config.connect_timeout = config.connect_timeout.min(timeout);
        config.request_timeout = timeout;
        config.call_timeout = timeout;
        config.producer.ack_timeout = timeout;
        config.producer.delivery_timeout = timeout;
        config.create_topics = false;
        config
    }

    /// A session with the default behaviour.
    pub fn session(&self) -> Session {
        Session::new(&self.config())
    }

    /// The time limit as requests carry it.
    pub fn timeout_ms(&self) -> i32 {
        i32::try_from(self.timeout * 1000).unwrap_or(i32::MAX)
    }
}

/// `HOST`, `HOST:PORT` or `[IPv6]:PORT`.
pub fn parse_address(text: &str) -> Result<Address, String> {
    let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, "")) => (host, None),
        Some((host, rest)) => (host, rest.strip_prefix(':').map(Some).ok_or("expected `[HOST]:PORT`")?),
        // More than one colon without brackets is an IPv6 address without a port.
        None if text.matches(':').count() > 1 => (text, None),
        None => text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
    };
    if host.is_empty() {
        return Err("the host is missing: expected `HOST:PORT`".to_owned());
    }
    let port = match port {
        None => DEFAULT_PORT,
        Some(port) => {
            port.parse().ok().filter(|port| *port > 0).ok_or(format!("{port:?} is not a port between 1 and 65535"))?
        }
    };
    Ok(Address { host: host.to_owned(), port })
}

/// `KEY=VALUE`.
pub fn parse_pair(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("expected `KEY=VALUE`")?;
    if key.is_empty() {
        return Err("the key is missing: expected `KEY=VALUE`".to_owned());
    }
    Ok((key.to_owned(), value.to_owned()))
}

/// Text with `\n`, `\t`, `\r`, `\0`, `\\` and `\xHH` in it, as bytes.
pub fn parse_escapes(text: &str) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        bytes.extend_from_slice(&rest.as_bytes()[..at]);
        let escape = &rest[at + 1..];
        let (byte, len) = match escape.as_bytes().first() {
            Some(b'n') => (b'\n', 1),
            Some(b't') => (b'\t', 1),
            Some(b'r') => (b'\r', 1),
            Some(b'0') => (0, 1),
            Some(b'\\') => (b'\\', 1),
            Some(b'x') => {
                let digits = escape.get(1..3).and_then(|digits| u8::from_str_radix(digits, 16).ok());
                (digits.ok_or("expected two hexadecimal digits after \\x")?, 3)
            }
            _ => return Err(format!("unknown escape {:?}; there are \\n \\t \\r \\0 \\\\ \\xHH", &rest[at..])),
        };
        bytes.push(byte);
        rest = &escape[len..];
    }
    bytes.extend_from_slice(rest.as_bytes());
    Ok(bytes)
}

/// Makes an argument's parser complain as a wrong usage.
pub fn usage(message: impl Into<String>) -> CliError {
    CliError::Usage(message.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_hosts_with_an_optional_port() {
        let check = |text: &str, host: &str, port: u16| {
            assert_eq!(parse_address(text), Ok(Address { host: host.to_owned(), port }), "{text}");
        };
        check("localhost", "localhost", 9092);
        check("broker.example:19092", "broker.example", 19092);
        check("::1", "::1", 9092);
        check("[::1]", "::1", 9092);
        check("[::1]:9093", "::1", 9093);
        for wrong in ["", ":9092", "host:", "host:0", "host:65536", "host:kafka", "[::1]9092"] {
            assert!(parse_address(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn escapes_stand_for_bytes_that_are_hard_to_type() {
        assert_eq!(parse_escapes(r"a\tb\n\\\x00\xff\0").unwrap(), b"a\tb\n\\\x00\xff\0");
        assert_eq!(parse_escapes("plain ü").unwrap(), "plain ü".as_bytes());
        for wrong in [r"\", r"\q", r"\x", r"\x1", r"\xzz", r"\xü"] {
            assert!(parse_escapes(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn pairs_need_a_key_and_may_have_an_empty_value() {
        assert_eq!(parse_pair("a=b=c"), Ok(("a".to_owned(), "b=c".to_owned())));
        assert_eq!(parse_pair("a="), Ok(("a".to_owned(), String::new())));
        assert!(parse_pair("a").is_err());
        assert!(parse_pair("=b").is_err());
    }
}
