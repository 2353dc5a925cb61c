//! `highwater serve` as a process of its own, on a free port.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use serde_json::Value;

/// How long a broker may take to serve or to end. Generous, since test machines are slow.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running broker; killed when dropped.
#[derive(Debug)]
pub struct Broker {
    child: Child,
    log: Receiver<Value>,
    address: SocketAddr,
}

/// How a command ended that was not expected to serve.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code.
    pub code: Option<i32>,
    /// What it said on standard error.
    pub stderr: String,
}

impl Broker {
    /// Starts a broker over `data` and waits until it serves.
    pub fn start(data: &Path) -> Self {
        Self::start_with(data, &[])
    }

    /// The same with more flags.
    pub fn start_with(data: &Path, flags: &[&str]) -> Self {
        let mut child = serve(data, flags).stderr(Stdio::piped()).spawn().unwrap();
        let log = follow(child.stderr.take().unwrap());
        let mut broker = Self { child, log, address: SocketAddr::from(([0, 0, 0, 0], 0)) };
        let serving = broker.wait_for_log("serving on");
        let listening = serving["listening"].as_str().unwrap();
        broker.address = listening.split(',').next().unwrap().parse().unwrap();
        broker
    }

    /// Where it listens: its first address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for a line of its log whose message begins with `message`.
    pub fn wait_for_log(&self, message: &str) -> Value {
        let mut seen = Vec::new();
        loop {
            let Ok(line) = self.log.recv_timeout(PATIENCE) else {
                panic!("the broker did not say {message:?}, but:\n{}", seen.join("\n"))
            };
            if line["msg"].as_str().is_some_and(|msg| msg.starts_with(message)) {
                return line;
            }
            seen.push(line.to_string());
        }
    }

    /// `kill -9`.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks it to stop and waits until it has.
    pub fn terminate(mut self) -> ExitStatus {
        self.signal(rustix::process::Signal::TERM);
        self.wait()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Waits until it ends by itself.
    pub fn wait(&mut self) -> ExitStatus {
        // Its log ends when it does.
        while self.log.recv_timeout(PATIENCE).is_ok() {}
        self.child.wait().unwrap()
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a broker that is expected to refuse, to its end.
pub fn refused(data: &Path, flags: &[&str]) -> Ended {
    run(serve(data, flags))
}

/// Runs a command to its end.
pub fn run(mut command: Command) -> Ended {
    let output = command.output().unwrap();
    Ended { code: output.status.code(), stderr: String::from_utf8(output.stderr).unwrap() }
}

/// `highwater serve` with flags, its environment free of configuration.
pub fn serve(data: &Path, flags: &[&str]) -> Command {
    let mut command = highwater();
    command.arg("serve").arg("--data").arg(data).args(["--set", "log.format=json"]);
    if !flags.contains(&"--listen") {
        command.args(["--listen", "127.0.0.1:0"]);
    }
    command.args(flags);
    command
}

/// The binary, without arguments.
pub fn highwater() -> Command {
    let mut command = Command::new(binary());
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("HIGHWATER_")) {
        command.env_remove(name);
    }
    command.stdin(Stdio::null());
    command
}

/// The binary of the profile that the tests are built with. Cargo builds it for a test of its own package only, so it
/// is built here, once.
fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        let test = std::env::current_exe().unwrap();
        let profile = test.parent().and_then(Path::parent).unwrap();
        let mut build = Command::new(env!("CARGO"));
        build.args(["build", "--quiet", "--package", "highwater", "--bin", "highwater"]);
        build.arg("--target-dir").arg(profile.parent().unwrap());
        if profile.ends_with("release") {
            build.arg("--release");
        }
        let built = build.current_dir(env!("CARGO_MANIFEST_DIR")).status().unwrap();
        assert!(built.success(), "the binary does not build");
        profile.join("highwater")
    })
}

/// Passes the log on, line by line, until the process has closed it.
fn follow(stderr: ChildStderr) -> Receiver<Value> {
    let (lines, log) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            // What is no JSON was not logged but said before there was a log, or in a panic.
            let line = serde_json::from_str(&line).unwrap_or_else(|_| serde_json::json!({ "msg": line }));
            if lines.send(line).is_err() {
                return;
            }
        }
    });
    log
}
