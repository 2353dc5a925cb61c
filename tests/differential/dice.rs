//! Random choices that are a function of a seed.

use highwater_wire::testing::Source;

/// A source of choices.
#[derive(Debug)]
pub struct Dice(Source);

impl Dice {
    /// Choices that are a function of `seed`.
    pub fn new(seed: u64) -> Self {
        Self(Source::new(seed, 0))
    }

    /// A number below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        self.0.below(end as u64) as usize
    }

    /// A seed for something that draws by itself.
    pub fn seed(&mut self) -> u64 {
        self.0.below(u64::MAX)
    }

    /// True once in `times` times.
    pub fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    /// One of some values.
    pub fn pick<T: Clone>(&mut self, values: &[T]) -> T {
        values[self.below(values.len())].clone()
    }
}
