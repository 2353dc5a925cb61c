//! `highwater serve` as operators meet it: what it refuses to start with, and how it ends.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::net::TcpListener;
use std::path::Path;

use highwater::data_dir::DataDir;
use highwater_tests::broker::{self, Broker, Ended, highwater, refused};
use rustix::process::Signal;
use serde_json::Value;

const OK: Option<i32> = Some(0);
const FAILED: Option<i32> = Some(1);
const USAGE: Option<i32> = Some(2);

fn assert_says(ended: &Ended, code: Option<i32>, expected: &str) {
    assert_eq!(ended.code, code, "{ended:?}");
    assert!(ended.stderr.contains(expected), "{ended:?} does not say {expected:?}");
    assert_eq!(ended.stderr.trim_end().lines().count(), 1, "one clear line: {}", ended.stderr);
}

#[test]
fn an_unknown_key_is_refused_with_its_nearest_name_and_where_it_was_set() {
    let root = tempfile::tempdir().unwrap();
    let data = root.path().join("data");
    assert_says(
        &refused(&data, &["--set", "log.retention.mss=1"]),
        USAGE,
        "unknown key log.retention.mss: did you mean log.retention.ms? (set by --set)",
    );

    let mut command = broker::serve(&data, &[]);
    command.env("HIGHWATER_NUM_PARTITION", "1");
    assert_says(&broker::run(command), USAGE, "(set by environment variable HIGHWATER_NUM_PARTITION)");

    let file = root.path().join("highwater.toml");
    fs::write(&file, "[log.retention]\nms = 1\nhours = 1\n").unwrap();
    let ended = refused(&data, &["--config", file.to_str().unwrap()]);
    assert_says(&ended, USAGE, "log.retention.ms and log.retention.hours contradict each other");
    assert!(ended.stderr.contains(file.to_str().unwrap()), "{ended:?}");
    assert!(!data.exists(), "a refused configuration touches nothing");
}

#[test]
fn a_flag_is_stronger_than_the_environment_and_that_than_the_file() {
    let root = tempfile::tempdir().unwrap();
    let file = root.path().join("highwater.toml");
    let refusal = |in_file: &str, in_environment: Option<&str>, flags: &[&str]| {
        fs::write(&file, format!("num.partitions = \"{in_file}\"\n")).unwrap();
        let flags = [&["--config", file.to_str().unwrap()], flags].concat();
        let mut command = broker::serve(&root.path().join("data"), &flags);
        in_environment.map(|value| command.env("HIGHWATER_NUM_PARTITIONS", value));
        broker::run(command)
    };
    // Each value is wrong in its own way: the message shows which one counts.
    assert_says(&refusal("file", None, &[]), USAGE, "\"file\" for num.partitions");
    assert_says(&refusal("1", Some("environment"), &[]), USAGE, "\"environment\" for num.partitions");
    assert_says(&refusal("1", Some("1"), &["--set", "num.partitions=flag"]), USAGE, "\"flag\" for num.partitions");
}

#[test]
fn a_data_directory_has_one_owner() {
    let root = tempfile::tempdir().unwrap();
    let _owned = DataDir::open(root.path()).unwrap();
    let expected = format!("is in use by process {}", std::process::id());
    assert_says(&refused(root.path(), &[]), FAILED, &expected);
}

#[test]
fn a_path_that_cannot_be_a_data_directory_is_refused() {
    let root = tempfile::tempdir().unwrap();
    let file = root.path().join("file");
    fs::write(&file, "").unwrap();
    assert_says(&refused(&file, &[]), FAILED, "cannot create it");
}

#[test]
fn a_port_in_use_is_refused() {
    let root = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let ended = refused(root.path(), &["--listen", &address]);
    assert_says(&ended, FAILED, &format!("cannot listen on {address}: the port is in use"));
}

#[test]
fn sigterm_stops_a_broker_which_then_starts_again() {
    let root = tempfile::tempdir().unwrap();
    for _ in 0..2 {
        let broker = Broker::start(root.path());
        assert_eq!(status(&broker.address().to_string()).0, OK);
        assert_eq!(broker.terminate().code(), OK);
    }
}

#[test]
fn sigint_stops_a_broker_too() {
    let root = tempfile::tempdir().unwrap();
    let mut broker = Broker::start(root.path());
    broker.signal(Signal::INT);
    assert_eq!(broker.wait().code(), OK);
}

#[test]
fn status_tells_whether_a_broker_serves() {
    let root = tempfile::tempdir().unwrap();
    let broker = Broker::start(root.path());
    let address = broker.address().to_string();
    let (code, answer) = status(&address);
    assert_eq!((code, &answer["ready"]), (OK, &Value::Bool(true)));
    assert_eq!(answer["brokers"][0]["port"], broker.address().port());
    broker.kill();
    let (code, answer) = status(&address);
    assert_eq!((code, &answer["ready"]), (FAILED, &Value::Bool(false)));
    assert!(answer["reason"].as_str().unwrap().contains("no connection"), "{answer}");
}

fn status(bootstrap: &str) -> (Option<i32>, Value) {
    let output = highwater().args(["status", "--json", "--bootstrap", bootstrap]).output().unwrap();
    (output.status.code(), serde_json::from_slice(&output.stdout).unwrap())
}

#[test]
fn the_lock_ends_with_its_process_however_that_ends() {
    let root = tempfile::tempdir().unwrap();
    Broker::start(root.path()).kill();
    assert!(Path::exists(&root.path().join(".lock")));
    Broker::start(root.path()).terminate();
}
