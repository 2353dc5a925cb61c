//! What a run did, as a hash and as a story.

use std::fmt;

use xxhash_rust::xxh3::Xxh3;

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
