//! The command line against a real broker, as scripts use it: standard output, exit codes, and clear errors.

#![allow(clippy::unwrap_used)]

use std::fs::{self, OpenOptions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use highwater_tests::broker::{Broker, highwater};
use serde_json::{Value, json};

const OK: i32 = 0;
const FAILED: i32 = 1;
const USAGE: i32 = 2;
const DAMAGED: i32 = 3;
const NOT_FOUND: i32 = 4;

/// A broker with a data directory of its own.
struct World {
    broker: Broker,
    data: tempfile::TempDir,
}

/// What a command has left behind.
#[derive(Debug)]
struct Done {
    code: i32,
    stdout: String,
    stderr: String,
}

impl World {
    fn new() -> Self {
        let data = tempfile::tempdir().unwrap();
        Self { broker: Broker::start(data.path()), data }
    }

    /// A subcommand that asks this broker. By name: `localhost` may be an IPv6 address, the broker listens on IPv4.
    fn command(&self, args: &[&str]) -> Command {
        let mut command = highwater();
        command.args(args).env("HIGHWATER_BOOTSTRAP", format!("localhost:{}", self.broker.address().port()));
        command
    }

    fn run(&self, args: &[&str]) -> Done {
        finish(self.command(args), "")
    }

    /// Runs a subcommand that must succeed; its lines.
    fn lines(&self, args: &[&str]) -> Vec<String> {
        let done = self.run(args);
        assert_eq!(done.code, OK, "{args:?}: {done:?}");
        done.stdout.lines().map(str::to_owned).collect()
    }

    /// The same with `--json`.
    fn json(&self, args: &[&str]) -> Vec<Value> {
        let args = [args, &["--json"]].concat();
        self.lines(&args).iter().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn produce(&self, input: &str, args: &[&str]) {
        let done = finish(self.command(&[&["produce"], args].concat()), input);
        assert_eq!(done.code, OK, "{args:?}: {done:?}");
    }

    /// Stops the broker and leaves its files.
    fn stop(self) -> tempfile::TempDir {
        assert!(self.broker.terminate().success());
        self.data
    }
}

fn finish(mut command: Command, input: &str) -> Done {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // A command that fails early does not read its input.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    Done {
        code: output.status.code().unwrap(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

fn log_command(subcommand: &str, path: &Path, flags: &[&str]) -> Done {
    let mut command = highwater();
    command.args(["log", subcommand]).arg(path).args(flags);
    finish(command, "")
}

fn assert_fails(done: &Done, code: i32, expected: &str) {
    assert_eq!(done.code, code, "{done:?}");
    assert!(done.stderr.contains(expected), "{done:?} does not say {expected:?}");
}

#[test]
fn a_topic_is_created_described_altered_and_deleted() {
    let world = World::new();
    let created = world.json(&["topic", "create", "orders", "-p", "3", "-c", "retention.ms=86400000"]);
    assert_eq!((&created[0]["created"], &created[0]["partitions"]), (&json!(true), &json!(3)));
    assert_fails(&world.run(&["topic", "create", "orders"]), FAILED, "TOPIC_ALREADY_EXISTS");
    assert_eq!(world.json(&["topic", "create", "orders", "--if-not-exists"])[0]["created"], json!(false));
    assert_eq!(world.json(&["topic", "create", "planned", "--dry-run"])[0]["created"], json!(false));

    let listed = world.json(&["topic", "list"]);
    assert_eq!(listed.iter().map(|row| &row["topic"]).collect::<Vec<_>>(), ["orders"]);

    world.lines(&[
        "topic",
        "alter",
        "orders",
        "-p",
        "5",
        "-c",
        "retention.bytes=1000",
        "--delete-config",
        "retention.ms",
    ]);
    let described = &world.json(&["topic", "describe", "orders"])[0];
    assert_eq!(described["config"], json!({ "retention.bytes": "1000" }));
    assert_eq!(described["partitions"].as_array().unwrap().len(), 5);
    let partition = &described["partitions"][4];
    assert_eq!((&partition["start_offset"], &partition["end_offset"]), (&json!(0), &json!(0)));

    let text = world.lines(&["topic", "describe"]);
    assert!(text[0].starts_with("Topic orders (5 partitions, id "), "{text:?}");

    assert_eq!(world.json(&["topic", "delete", "orders"]), [json!({ "topic": "orders", "deleted": true })]);
    assert_fails(&world.run(&["topic", "delete", "orders"]), NOT_FOUND, "there is no such topic");
    assert_eq!(world.json(&["topic", "delete", "orders", "--if-exists"])[0]["deleted"], json!(false));
}

#[test]
fn what_is_produced_is_consumed_with_keys_headers_and_nulls() {
    let world = World::new();
    world.lines(&["topic", "create", "t", "-p", "2"]);
    world.produce("k1:v1\nk2:\nno key\n", &["t", "-K", ":", "-Z", "-H", "a=1", "-H", "b=", "-p", "1"]);
    let rows = world.json(&["consume", "t", "-e", "-p", "1"]);
    let keys_and_values: Vec<_> = rows.iter().map(|row| (row["key"].clone(), row["value"].clone())).collect();
    assert_eq!(
        keys_and_values,
        [(json!("k1"), json!("v1")), (json!("k2"), Value::Null), (Value::Null, json!("no key"))]
    );
    assert_eq!(rows[0]["headers"], json!([{ "name": "a", "value": "1" }, { "name": "b", "value": "" }]));
    let formatted = world.lines(&["consume", "t", "-e", "--format", "%t/%p@%o %k(%K)=%v(%V) %h%%\\n"]);
    assert_eq!(formatted, ["t/1@0 k1(2)=v1(2) a=1,b=%", "t/1@1 k2(2)=(-1) a=1,b=%", "t/1@2 (-1)=no key(6) a=1,b=%"]);
}

#[test]
fn every_codec_carries_every_byte_and_whole_files_are_records() {
    let world = World::new();
    world.lines(&["topic", "create", "bytes"]);
    let every_byte: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    let file = world.data.path().join("every-byte");
    fs::write(&file, &every_byte).unwrap();
    let codecs = ["none", "gzip", "snappy", "lz4", "zstd"];
    for codec in codecs {
        world.produce("", &["bytes", file.to_str().unwrap(), "--whole-files", "-z", codec]);
    }
    let mut consume = world.command(&["consume", "bytes", "-e", "--format", "%v"]);
    let output = consume.output().unwrap();
    assert!(output.stdout == every_byte.repeat(codecs.len()), "{} bytes came back", output.stdout.len());
    assert_eq!(world.json(&["consume", "bytes", "-c", "1"])[0]["value"]["base64"].as_str().unwrap().len(), 133_336);
}

#[test]
fn reading_begins_where_it_is_told_and_ends_when_it_is_told() {
    let world = World::new();
    world.produce("a\nb\nc\n", &["t"]);
    let last = &world.json(&["consume", "t", "-e"])[2];
    assert_eq!(world.lines(&["consume", "t", "--from", "1", "-e"]), ["b", "c"]);
    assert_eq!(world.lines(&["consume", "t", "--count", "2"]), ["a", "b"]);
    assert_eq!(world.lines(&["consume", "t", "--from", "latest", "-e"]), [""; 0]);
    assert_eq!(world.lines(&["consume", "t", "--from", "@0", "-e"]), ["a", "b", "c"]);
    let after = format!("@{}", last["timestamp"].as_i64().unwrap() + 1);
    assert_eq!(world.lines(&["consume", "t", "--from", &after, "-e"]), [""; 0]);
    assert_fails(&world.run(&["consume", "t", "--from", "9", "-e"]), NOT_FOUND, "offset 9 is not in the log");
    assert_fails(&world.run(&["consume", "t", "-p", "7"]), NOT_FOUND, "topic t has no partition 7");
}

#[test]
fn a_reader_goes_on_when_its_broker_was_killed_and_comes_back() {
    let data = tempfile::tempdir().unwrap();
    let world = World { broker: Broker::start(data.path()), data };
    world.produce("before\n", &["t"]);
    let mut consumer =
        world.command(&["consume", "t", "--count", "2"]).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(consumer.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "before");

    let World { broker, data } = world;
    let address = broker.address().to_string();
    broker.kill();
    let world = World { broker: Broker::start_with(data.path(), &["--listen", &address]), data };
    world.produce("after\n", &["t"]);
    assert_eq!(lines.next().unwrap().unwrap(), "after");
    assert!(consumer.wait().unwrap().success());
}

#[test]
fn a_group_goes_on_where_it_stopped_and_where_it_is_sent() {
    let world = World::new();
    world.lines(&["topic", "create", "orders", "-p", "2"]);
    world.produce("1\n2\n3\n4\n5\n", &["orders", "-p", "0"]);
    assert_eq!(world.lines(&["consume", "orders", "-g", "billing", "-c", "2"]), ["1", "2"]);

    let described = &world.json(&["group", "describe", "billing"])[0];
    assert_eq!((&described["state"], &described["type"]), (&json!("Empty"), &json!("classic")));
    let partition = &described["partitions"][0];
    assert_eq!((&partition["committed_offset"], &partition["lag"]), (&json!(2), &json!(3)));
    assert_eq!(described["partitions"].as_array().unwrap().len(), 1, "what was not read is not committed");

    assert_eq!(world.lines(&["consume", "orders", "-g", "billing", "-e"]), ["3", "4", "5"]);
    let planned = world.json(&["group", "reset-offsets", "billing", "-t", "orders:0", "--to", "1", "--dry-run"]);
    assert_eq!((&planned[0]["old_offset"], &planned[0]["new_offset"]), (&json!(5), &json!(1)));
    assert_eq!(world.lines(&["consume", "orders", "-g", "billing", "-e"]), [""; 0], "a plan changes nothing");
    world.lines(&["group", "reset-offsets", "billing", "-t", "orders:0", "--to", "1"]);
    assert_eq!(world.lines(&["consume", "orders", "-g", "billing", "-e"]), ["2", "3", "4", "5"]);

    world.lines(&["group", "alter", "billing", "-c", "consumer.session.timeout.ms=50000"]);
    let config = json!({ "consumer.session.timeout.ms": "50000" });
    assert_eq!(world.json(&["group", "describe", "billing"])[0]["config"], config);
    let beyond = ["group", "alter", "billing", "-c", "consumer.session.timeout.ms=1"];
    assert_fails(&world.run(&beyond), FAILED, "it must be between 45000 and 60000");
    assert_fails(&world.run(&["group", "alter", "billing"]), USAGE, "nothing to change");

    assert_eq!(world.json(&["group", "list"])[0]["group"], json!("billing"));
    assert_eq!(world.json(&["group", "delete", "billing"])[0]["deleted"], json!(true));
    assert_fails(&world.run(&["group", "delete", "billing"]), NOT_FOUND, "there is no such group");
    assert_eq!(world.json(&["group", "delete", "billing", "--if-exists"])[0]["deleted"], json!(false));
    assert_fails(&world.run(&["group", "describe", "billing"]), NOT_FOUND, "highwater group list");
    let nowhere = ["group", "reset-offsets", "billing", "-t", "orders:7", "--to", "1"];
    assert_fails(&world.run(&nowhere), NOT_FOUND, "its partitions are 0 to 1");
}

#[test]
fn the_members_of_a_group_share_a_topic_and_cannot_be_moved() {
    let world = World::new();
    world.lines(&["topic", "create", "orders", "-p", "4"]);
    let join = || world.command(&["consume", "orders", "-g", "billing"]).stdout(Stdio::null()).spawn().unwrap();
    let mut members = [join(), join()];
    let owned =
        |row: &Value| row["partitions"].as_array().unwrap().iter().filter(|row| !row["member"].is_null()).count();
    let shares = loop {
        let Done { code: OK, stdout, .. } = world.run(&["group", "describe", "billing", "--json"]) else { continue };
        let row: Value = serde_json::from_str(&stdout).unwrap();
        if row["state"] == json!("Stable") && row["members"].as_array().unwrap().len() == 2 && owned(&row) == 4 {
            let why = row["last_rebalance"]["reason"].as_str().unwrap();
            assert!(why.contains(" joins"), "{why}");
            break row["members"].clone();
        }
    };
    let share = |member: &Value| member["assignment"]["orders"].as_array().unwrap().len();
    assert_eq!(shares.as_array().unwrap().iter().map(share).collect::<Vec<_>>(), [2, 2]);
    let moved = world.run(&["group", "reset-offsets", "billing", "-t", "orders", "--to", "earliest"]);
    assert_fails(&moved, FAILED, "it has members");
    assert_fails(&world.run(&["group", "delete", "billing"]), FAILED, "it has members");
    for member in &mut members {
        member.kill().unwrap();
        member.wait().unwrap();
    }
}

#[test]
fn errors_say_what_happened_to_what_and_what_to_do() {
    let world = World::new();
    assert_fails(&world.run(&["consume", "nope"]), NOT_FOUND, "`highwater topic list`");
    assert_fails(&world.run(&["topic", "describe", "nope"]), NOT_FOUND, "cannot find topic nope");
    assert_fails(&world.run(&["topic", "create", "a/b"]), FAILED, "cannot create topic a/b");
    assert_fails(&world.run(&["topic", "create", "t", "-c", "retention.ms=soon"]), FAILED, "retention.ms");
    assert_fails(&world.run(&["topic", "create", "t", "-p", "0"]), USAGE, "--partitions");
    assert_fails(&world.run(&["consume", "t", "--from", "yesterday"]), USAGE, "earliest");
    assert_fails(&world.run(&["consume", "t", "--format", "%q"]), USAGE, "%q");
    assert_fails(&world.run(&["topic", "alter", "t"]), USAGE, "nothing to change");
    world.lines(&["topic", "create", "small", "-c", "max.message.bytes=100"]);
    let done = finish(world.command(&["produce", "small"]), &"x".repeat(1000));
    assert_fails(&done, FAILED, "MESSAGE_TOO_LARGE");
    assert_fails(&done, FAILED, "1 of 1 records were not written");
}

#[test]
fn a_broker_that_is_not_there_is_named_at_once() {
    // Nothing listens on a port that was free a moment ago; port 1 never is in use by a broker.
    let mut command = highwater();
    command.args(["topic", "list", "--bootstrap", "localhost:1"]);
    assert_fails(&finish(command, ""), FAILED, "cannot connect to localhost:1");
}

#[test]
fn a_closed_pipe_is_no_error() {
    let world = World::new();
    world.produce(&"line\n".repeat(200_000), &["t"]);
    let mut consumer = world.command(&["consume", "t"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut first = String::new();
    BufReader::new(consumer.stdout.take().unwrap()).read_line(&mut first).unwrap();
    let output = consumer.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(OK), &b""[..]));
}

#[test]
fn the_cluster_describes_itself() {
    let world = World::new();
    let cluster = &world.json(&["cluster", "describe"])[0];
    assert_eq!(cluster["cluster_id"].as_str().unwrap().len(), 22);
    assert_eq!(cluster["controller"], cluster["brokers"][0]["id"]);
    assert_eq!(cluster["brokers"][0]["port"], json!(world.broker.address().port()));
}

/// The only segment of the only partition.
fn segment(data: &Path) -> PathBuf {
    let partition = fs::read_dir(data.join("partitions")).unwrap().next().unwrap().unwrap().path();
    partition.join("00000000000000000000.log")
}

#[test]
fn logs_are_dumped_and_verified_without_a_broker() {
    let world = World::new();
    world.produce("k:v\n", &["t", "-K", ":"]);
    world.produce("second\n", &["t", "-z", "zstd"]);
    let data = world.stop();
    let file = segment(data.path());

    let sound = log_command("verify", data.path(), &[]);
    assert_eq!(sound.code, OK, "{sound:?}");
    assert!(sound.stdout.contains(": ok, 2 records in 2 batches"), "{sound:?}");
    let dumped = log_command("dump", &file, &["--records", "--json"]);
    let rows: Vec<Value> = dumped.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(rows.len(), 4, "two batches and two records: {rows:?}");
    assert_eq!((&rows[1]["key"], &rows[1]["value"]), (&json!("k"), &json!("v")));
    assert_eq!((&rows[2]["compression"], &rows[2]["base_offset"]), (&json!("zstd"), &json!(1)));

    let bytes = fs::read(&file).unwrap();
    OpenOptions::new().write(true).open(&file).unwrap().write_all_at(&[bytes[62] ^ 1], 62).unwrap();
    let damaged = log_command("verify", data.path(), &[]);
    assert_fails(&damaged, DAMAGED, "1 of 2 logs damaged");
    assert!(damaged.stdout.contains("00000000000000000000.log is damaged at byte 0, offset 0"), "{damaged:?}");
    assert_fails(&log_command("dump", &file, &[]), DAMAGED, "checksum");

    fs::write(&file, &bytes).unwrap();
    OpenOptions::new().append(true).open(&file).unwrap().write_all(&bytes[..40]).unwrap();
    let torn = log_command("verify", data.path(), &["--json"]);
    assert_eq!(torn.code, OK, "a crash may leave that: {torn:?}");
    assert!(torn.stdout.contains(r#""damaged":false"#), "{torn:?}");
    assert_fails(&log_command("verify", Path::new("/nonexistent"), &[]), NOT_FOUND, "/nonexistent");
}
