//! What comes over a connection is anybody's: a bad client is closed, and no other notices.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::net::Shutdown;

use highwater_tests::broker::Broker;
use highwater_tests::client::Client;
use highwater_wire::api_versions::ApiVersionsRequest;

fn serves(client: &mut Client) -> bool {
    let request = ApiVersionsRequest { client_software_name: "t".into(), client_software_version: "1".into() };
    client.ask(&request, 3).is_ok_and(|answer| answer.error_code == 0)
}

fn resident_kib(broker: &Broker) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", broker.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// A frame of `len` bytes as its prefix says, of which only `body` is there.
fn frame(len: u32, body: &[u8]) -> Vec<u8> {
    [&len.to_be_bytes(), body].concat()
}

#[test]
fn garbage_closes_its_connection_and_harms_no_other() {
    let root = tempfile::tempdir().unwrap();
    let broker = Broker::start(root.path());
    let connect = || Client::connect(broker.address()).unwrap();
    let mut bystander = connect();
    let header =
        |key: i16, version: i16| [&key.to_be_bytes()[..], &version.to_be_bytes(), &[0, 0, 0, 1, 0, 1, b't']].concat();
    let garbage: Vec<(&str, Vec<u8>)> = vec![
        ("a negative length", frame(u32::MAX, &[])),
        ("the largest length", frame(i32::MAX as u32, &[])),
        ("an HTTP request", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec()),
        ("a TLS greeting", vec![0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3, 1, 2, 3, 4, 5]),
        ("an empty frame", frame(0, &[])),
        ("a frame that ends in its header", frame(3, &[0, 18, 0])),
        ("an API that does not exist", frame(11, &header(1234, 0))),
        ("a version that does not exist", frame(11, &header(1, 99))),
        ("a request that is longer than itself", frame(15, &[header(3, 1), vec![0x7f, 0xff, 0xff, 0xff]].concat())),
    ];
    for (what, bytes) in &garbage {
        let mut client = connect();
        client.send(bytes).unwrap();
        assert!(client.is_closed(), "{what} closes the connection");
        assert!(serves(&mut bystander), "{what} harms no other connection");
    }
}

#[test]
fn bytes_of_a_seeded_generator_never_stop_a_broker() {
    let root = tempfile::tempdir().unwrap();
    let broker = Broker::start(root.path());
    for seed in 1..200_u64 {
        let mut state = seed;
        let mut bytes: Vec<u8> = (0..600).map(|_| xorshift(&mut state) as u8).collect();
        // Every other one looks like a frame of a real API, so that more than the length is read.
        if seed % 2 == 0 {
            let (key, version) = (seed % 70, seed % 13);
            bytes[..8].copy_from_slice(&[0, 0, 2, 0x54, 0, key as u8, 0, version as u8]);
        }
        let mut client = Client::connect(broker.address()).unwrap();
        client.send(&bytes).unwrap();
        client.stream().shutdown(Shutdown::Write).unwrap();
        assert!(client.is_closed(), "seed {seed}");
    }
    assert!(serves(&mut Client::connect(broker.address()).unwrap()));
}

fn xorshift(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

#[test]
fn frames_that_never_end_hold_little_memory() {
    const FRAME_BYTES: u32 = 90 * 1024 * 1024;
    let root = tempfile::tempdir().unwrap();
    let broker = Broker::start(root.path());
    let held: Vec<Client> = (0..500)
        .map(|_| {
            let mut client = Client::connect(broker.address()).unwrap();
            client.send(&frame(FRAME_BYTES, &[0; 10_000])).unwrap();
            client
        })
        .collect();
    let mut bystander = Client::connect(broker.address()).unwrap();
    assert!(serves(&mut bystander));
    let resident = resident_kib(&broker);
    assert!(resident < 100 * 1024, "{resident} KiB for {} connections", held.len());
}

#[test]
fn a_client_that_has_gone_half_way_is_let_go() {
    let root = tempfile::tempdir().unwrap();
    let broker = Broker::start(root.path());
    let mut client = Client::connect(broker.address()).unwrap();
    assert!(serves(&mut client));
    client.send(&frame(100, b"half of")).unwrap();
    client.stream().shutdown(Shutdown::Write).unwrap();
    assert!(client.is_closed());
}

#[test]
fn an_idle_connection_is_closed() {
    let root = tempfile::tempdir().unwrap();
    let broker = Broker::start_with(root.path(), &["--set", "connections.max.idle.ms=500"]);
    let mut client = Client::connect(broker.address()).unwrap();
    assert!(serves(&mut client));
    assert!(client.is_closed());
}

#[test]
fn connections_beyond_the_limits_are_refused_and_logged() {
    for (limit, reason) in
        [("max.connections", "max.connections=2"), ("max.connections.per.ip", "max.connections.per.ip=2")]
    {
        let root = tempfile::tempdir().unwrap();
        let broker = Broker::start_with(root.path(), &["--set", &format!("{limit}=2")]);
        let connect = || Client::connect(broker.address()).unwrap();
        let (mut first, mut second) = (connect(), connect());
        assert!(serves(&mut first) && serves(&mut second));
        assert!(connect().is_closed(), "{limit}");
        let refusal = broker.wait_for_log("connection from 127.0.0.1 refused");
        assert!(refusal["reason"].as_str().unwrap().starts_with(reason), "{refusal}");
        // A closed connection makes room, as soon as the broker has noticed.
        drop(first);
        while !serves(&mut connect()) {}
    }
}
