//! What a run did, as a hash and as a story.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::rc::Rc;

use xxhash_rust::xxh3::Xxh3;

use crate::clock::SimTime;

/// A hash over everything that was fed to it, in order.
#[derive(Clone, Default)]
pub struct Digest(Xxh3);

impl Digest {
    /// Adds bytes, and how many there are.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.0.update(bytes);
    }

    /// Adds a number.
    pub fn number(&mut self, number: u64) {
        self.0.update(&number.to_le_bytes());
    }

    /// The hash so far.
    pub fn value(&self) -> u64 {
        self.0.digest()
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.value())
    }
}

/// Everything that one run did, in order.
#[derive(Debug, Default)]
pub struct Trace {
    digest: Digest,
    events: u64,
    story: Option<Story>,
}

/// What a run did in words: the last lines of it, or all of them as they happen. Clones share the lines, so that they
/// can be read after a panic.
#[derive(Clone, Debug)]
pub struct Story {
    lines: Rc<RefCell<VecDeque<String>>>,
    lines_max: usize,
    printed: bool,
}

impl Story {
    /// Keeps the last lines.
    pub fn ending(lines_max: usize) -> Self {
        Self { lines: Rc::default(), lines_max, printed: false }
    }

    /// Prints every line to stdout.
    pub fn printed() -> Self {
        Self { lines: Rc::default(), lines_max: 0, printed: true }
    }

    /// The lines that were kept.
    pub fn lines(&self) -> Vec<String> {
        self.lines.borrow().iter().cloned().collect()
    }

    fn tell(&self, line: String) {
        if self.printed {
            return println!("{line}");
        }
        let mut lines = self.lines.borrow_mut();
        if lines.len() == self.lines_max {
            lines.pop_front();
        }
        lines.push_back(line);
    }
}

impl Trace {
    /// An empty trace; words are only made where somebody reads them.
    pub fn new(story: Option<Story>) -> Self {
        Self { story, ..Self::default() }
    }

    /// Notes that something happened.
    pub fn event(&mut self, at: SimTime, what: &str, whom: u64) {
        self.events += 1;
        self.digest.number(at.0);
        self.digest.bytes(what.as_bytes());
        self.digest.number(whom);
    }

    /// Notes bytes that belong to the last event.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.digest.bytes(bytes);
    }

    /// Notes a number that belongs to the last event.
    pub fn number(&mut self, number: u64) {
        self.digest.number(number);
    }

    /// Tells a line of the story, if there is one: when, who, what.
    pub fn tell(&mut self, at: SimTime, who: impl fmt::Display, what: impl FnOnce() -> String) {
        if let Some(story) = &self.story {
            story.tell(format!("{at} {:<14} {}", who.to_string(), what()));
        }
    }

    /// How many events there were.
    pub fn events(&self) -> u64 {
        self.events
    }

    /// The hash of everything so far.
    pub fn hash(&self) -> u64 {
        self.digest.value()
    }
}
