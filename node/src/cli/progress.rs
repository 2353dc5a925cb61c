//! A line on standard error that tells how far long work has got, if somebody is looking.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

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

/// A count with the rate at which it was reached.
pub fn rate(count: u64, noun: &str, elapsed: Duration) -> String {
    format!("{count} {noun}, {:.0} a second", count as f64 / elapsed.as_secs_f64().max(0.001))
}
