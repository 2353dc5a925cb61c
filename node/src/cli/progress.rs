//! What standard error tells about long work: how far it has got, if somebody is looking, and what is in its way.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use highwater_core::client::Address;

/// Between two updates.
const INTERVAL: Duration = Duration::from_millis(200);

/// A progress line.
#[derive(Debug)]
pub struct Progress {
    visible: bool,
    started: Instant,
    shown_at: Option<Instant>,
}

impl Progress {
    /// A line that appears only where standard error is a terminal and standard output is not one, since the two would
    /// get in each other's way.
    pub fn beside_output() -> Self {
        Self::new(std::io::stderr().is_terminal() && !std::io::stdout().is_terminal())
    }

    /// A line for work that prints little else meanwhile.
    pub fn alone() -> Self {
        Self::new(std::io::stderr().is_terminal())
    }

    fn new(visible: bool) -> Self {
        Self { visible, started: Instant::now(), shown_at: None }
    }

    /// Shows a new state, unless the last one is too fresh.
    pub fn show(&mut self, state: impl FnOnce(Duration) -> String) {
        let now = Instant::now();
        if !self.visible || self.shown_at.is_some_and(|at| now - at < INTERVAL) || now - self.started < INTERVAL {
            return;
        }
        self.shown_at = Some(now);
        self.write(&state(now - self.started));
    }

    /// Takes the line away.
    pub fn clear(&mut self) {
        if self.shown_at.take().is_some() {
            self.write("");
        }
    }

    fn write(&self, text: &str) {
        // What cannot be shown is not worth failing for.
        let _ = write!(std::io::stderr(), "\r\x1b[K{text}");
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}

/// Tells of brokers that cannot be reached, once for each new reason.
#[derive(Debug, Default)]
pub struct Warnings {
    last: BTreeMap<Address, String>,
}

impl Warnings {
    /// An attempt has failed, or a connection was lost; the client goes on by itself.
    pub fn unreachable(&mut self, address: &Address, reason: String) {
        if self.last.get(address) != Some(&reason) {
            eprintln!("highwater: {address}: {reason}; trying again");
            self.last.insert(address.clone(), reason);
        }
    }
}

/// A count with the rate at which it was reached.
pub fn rate(count: u64, noun: &str, elapsed: Duration) -> String {
    format!("{count} {noun}, {:.0} a second", count as f64 / elapsed.as_secs_f64().max(0.001))
}
