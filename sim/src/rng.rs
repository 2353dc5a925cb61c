//! Randomness that is a function of the seed.
//!
//! Every concern draws from a stream of its own, so that one more draw in one place does not reshuffle the others.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// Who draws. The order is part of every seed's meaning: add at the end.
#[derive(Clone, Copy, Debug)]
pub enum Concern {
    /// The options of the run.
    Options,
    /// What and when to break.
    Faults,
    /// Delays and splits of bytes in flight.
    Network,
    /// When shards run, how long syncs and jobs take.
    Process,
    /// The seeds that brokers are given.
    Core,
    /// What a power loss leaves on a disk; the broker's number is added.
    Disk,
    /// What clients do; the client's number is added.
    Client,
    /// The options of groups.
    Groups,
}

/// Room for numbered streams of one concern.
const STREAMS_PER_CONCERN: u64 = 1 << 16;

/// One stream of random numbers.
#[derive(Clone, Debug)]
pub struct Stream(ChaCha8Rng);

impl Stream {
    /// The stream of a concern under a seed. `index` tells apart the streams of numbered owners.
    pub fn new(seed: u64, concern: Concern, index: u64) -> Self {
        assert!(index < STREAMS_PER_CONCERN, "streams of two concerns must not meet");
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(concern as u64 * STREAMS_PER_CONCERN + index);
        Self(rng)
    }

    /// Any 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number below `end`, which is not 0.
    pub fn below(&mut self, end: u64) -> u64 {
        assert!(end > 0, "there is no number below 0");
        let product = u128::from(self.bits()) * u128::from(end);
        (product >> 64) as u64
    }

    /// A number in `first..=last`.
    pub fn between(&mut self, first: u64, last: u64) -> u64 {
        assert!(first <= last, "{first}..={last} is empty");
        first + self.below(last - first + 1)
    }

    /// An index below `end`, which is not 0.
    pub fn index(&mut self, end: usize) -> usize {
        self.below(end as u64) as usize
    }

    /// True `per_mille` times in a thousand.
    pub fn chance(&mut self, per_mille: u32) -> bool {
        self.below(1000) < u64::from(per_mille)
    }

    /// One of `items`, which is not empty.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.index(items.len())]
    }

    /// A number between `first` and `last` whose order of magnitude is uniform: mostly small, sometimes large.
    pub fn skewed(&mut self, first: u64, last: u64) -> u64 {
        let magnitudes = (last / first.max(1)).max(1).ilog2();
        let scale = 1 << self.below(u64::from(magnitudes) + 1);
        self.between(first, first.max(1).saturating_mul(scale * 2).clamp(first, last))
    }

    /// Thirty-two bytes, as machines take their seeds.
    pub fn seed(&mut self) -> [u8; 32] {
        let mut seed = [0; 32];
        self.0.fill_bytes(&mut seed);
        seed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_repeat_and_do_not_meet() {
        let draw = |seed, concern, index| {
            let mut stream = Stream::new(seed, concern, index);
            [stream.bits(), stream.bits()]
        };
        assert_eq!(draw(7, Concern::Disk, 1), draw(7, Concern::Disk, 1));
        assert_ne!(draw(7, Concern::Disk, 1), draw(7, Concern::Disk, 2));
        assert_ne!(draw(7, Concern::Disk, 1), draw(7, Concern::Client, 1));
        assert_ne!(draw(7, Concern::Disk, 1), draw(8, Concern::Disk, 1));
    }

    #[test]
    fn ranges_include_both_ends_and_nothing_else() {
        let mut stream = Stream::new(1, Concern::Options, 0);
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..1000 {
            seen.insert(stream.between(3, 6));
            let skewed = stream.skewed(10, 5000);
            assert!((10..=5000).contains(&skewed), "{skewed}");
        }
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), [3, 4, 5, 6]);
    }
}
