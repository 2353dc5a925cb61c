//! `highwater status`: whether a broker serves, for people, scripts and readiness probes.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs as _};
use std::time::{Duration, Instant};

use bytes::Bytes;
use highwater_wire::frame::{decode_response, encode_request};
use highwater_wire::metadata::{MetadataRequest, MetadataResponse};
use highwater_wire::{ErrorCode, RequestMessage};
use serde_json::{Value, json};

use crate::exit::Exit;

/// The flags of `status`.
#[derive(Clone, Debug, clap::Args)]
pub struct StatusArgs {
    /// The broker to ask.
    #[arg(long, value_name = "HOST:PORT", default_value = "localhost:9092", env = "HIGHWATER_BOOTSTRAP")]
    pub bootstrap: String,
    /// How long it may take to answer, in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 5000, value_parser = clap::value_parser!(u64).range(1..=3_600_000))]
    pub timeout_ms: u64,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// The version of Metadata that is asked for: the first that names the cluster, so that every broker serves it.
const METADATA_VERSION: i16 = 2;
/// The largest answer that is read: without topics it is small.
const ANSWER_BYTES_MAX: u32 = 1024 * 1024;

/// Why a broker does not count as ready.
#[derive(Debug, thiserror::Error)]
enum NotReady {
    #[error("{0} is not HOST:PORT of a known host: {1}")]
    Unresolved(String, io::Error),
    #[error("no connection to {0}: {1}")]
    Unreachable(String, io::Error),
    #[error("no answer from {0} in time")]
    Silent(String),
    #[error("connection to {0} lost: {1}")]
    Lost(String, io::Error),
    #[error("what {0} answers is not Kafka's protocol: {1}")]
    Strange(String, String),
    #[error("{0} answers, but has no brokers or no controller yet")]
    Leaderless(String),
}

/// Asks a broker whether it serves and prints one line about it.
pub fn run(args: &StatusArgs) -> Exit {
    let outcome = ask(&args.bootstrap, Duration::from_millis(args.timeout_ms));
    let exit = if outcome.is_ok() { Exit::Ok } else { Exit::Failed };
    match (outcome, args.json) {
        (Ok(answer), true) => println!("{}", as_json(&args.bootstrap, &answer)),
        (Ok(answer), false) => println!("ready: {}", as_text(&answer)),
        (Err(reason), true) => {
            println!("{}", json!({ "ready": false, "bootstrap": args.bootstrap, "reason": reason.to_string() }));
        }
        (Err(reason), false) => eprintln!("not ready: {reason}"),
    }
    exit
}

fn as_text(answer: &MetadataResponse) -> String {
    let brokers: Vec<String> =
        answer.brokers.iter().map(|broker| format!("{} at {}:{}", broker.node_id, broker.host, broker.port)).collect();
    let cluster = answer.cluster_id.as_deref().unwrap_or("unknown");
    format!("cluster {cluster}, controller {}, brokers {}", answer.controller_id, brokers.join(", "))
}

fn as_json(bootstrap: &str, answer: &MetadataResponse) -> Value {
    let brokers = answer.brokers.iter();
    let brokers: Vec<Value> = brokers
        .map(|broker| json!({ "id": broker.node_id, "host": broker.host, "port": broker.port, "rack": broker.rack }))
        .collect();
    json!({
        "ready": true,
        "bootstrap": bootstrap,
        "cluster_id": answer.cluster_id,
        "controller_id": answer.controller_id,
        "brokers": brokers,
    })
}

fn ask(bootstrap: &str, at_most: Duration) -> Result<MetadataResponse, NotReady> {
    let deadline = Instant::now() + at_most;
    let mut stream = connect(bootstrap, deadline)?;
    let request = MetadataRequest {
        topics: Some(Vec::new()),
        allow_auto_topic_creation: true,
        include_cluster_authorized_operations: false,
        include_topic_authorized_operations: false,
    };
    let strange = |reason: String| NotReady::Strange(bootstrap.to_owned(), reason);
    let frame = exchange(&mut stream, &request, deadline).map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => NotReady::Silent(bootstrap.to_owned()),
        io::ErrorKind::InvalidData => strange(error.to_string()),
        _ => NotReady::Lost(bootstrap.to_owned(), error),
    })?;
    let (_, answer) =
        decode_response::<MetadataRequest>(&frame, METADATA_VERSION).map_err(|error| strange(error.to_string()))?;
    if answer.error_code != ErrorCode::None as i16 || answer.brokers.is_empty() || answer.controller_id < 0 {
        return Err(NotReady::Leaderless(bootstrap.to_owned()));
    }
    Ok(answer)
}

/// Tries every address that the host name has, as clients do.
fn connect(bootstrap: &str, deadline: Instant) -> Result<TcpStream, NotReady> {
    let addresses = bootstrap.to_socket_addrs().map_err(|error| NotReady::Unresolved(bootstrap.to_owned(), error))?;
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for address in addresses {
        match connect_to(address, deadline) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(NotReady::Unreachable(bootstrap.to_owned(), last))
}

fn connect_to(address: SocketAddr, deadline: Instant) -> io::Result<TcpStream> {
    TcpStream::connect_timeout(&address, remaining(deadline)?)
}

fn exchange(stream: &mut TcpStream, request: &impl RequestMessage, deadline: Instant) -> io::Result<Bytes> {
    let encoded = encode_request(request, METADATA_VERSION, 1, Some("highwater-status"))
        .expect("the version can represent the request");
    stream.set_write_timeout(Some(remaining(deadline)?))?;
    stream.write_all(&encoded.bytes)?;
    let mut prefix = [0; 4];
    read_exact(stream, &mut prefix, deadline)?;
    let len = u32::from_be_bytes(prefix);
    if len > ANSWER_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("an answer of {len} bytes")));
    }
    let mut answer = vec![0; len as usize];
    read_exact(stream, &mut answer, deadline)?;
    Ok(answer.into())
}

/// Reads until `out` is full; the deadline holds for all of it, however slowly bytes drip in.
fn read_exact(stream: &mut TcpStream, mut out: &mut [u8], deadline: Instant) -> io::Result<()> {
    while !out.is_empty() {
        stream.set_read_timeout(Some(remaining(deadline)?))?;
        match stream.read(out) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(read) => out = &mut out[read..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn remaining(deadline: Instant) -> io::Result<Duration> {
    let remaining = deadline.saturating_duration_since(Instant::now());
    if remaining.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(remaining) }
}
