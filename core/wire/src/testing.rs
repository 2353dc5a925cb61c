//! Random messages, for property tests, and messages as trees, to compare any of them.
//!
//! The derives implement [`Sample`] and [`ToTree`] when the crate is built with the feature `testing`. A message is a function of its
//! seed and its version, and holds only what the version can represent.

mod tree;

pub use tree::{ToTree, Tree};

use bytes::Bytes;

use crate::message::Message;
use crate::payload::Records;
use crate::uuid::Uuid;

/// A type that can be drawn at random.
pub trait Sample: Sized {
    /// Draws a value that the source's version can represent.
    fn sample(source: &mut Source) -> Self;
}

/// Where random values come from: SplitMix64, the version that they are for, and what they should often be.
#[derive(Clone, Debug, Default)]
pub struct Source {
    state: u64,
    version: i16,
    words: Vec<String>,
    ids: Vec<Uuid>,
    records: Vec<Bytes>,
}

/// The most elements of an array, characters of a string, and so on.
const SIZE_MAX: u64 = 6;

/// A message with something in most of its fields.
pub fn sample<M: Message + Sample>(seed: u64, version: i16) -> M {
    M::sample(&mut Source::new(seed, version))
}

impl Source {
    /// Values that are a function of `seed`.
    pub fn new(seed: u64, version: i16) -> Self {
        Self { state: seed, version, ..Self::default() }
    }

    /// Makes half of all strings one of these: what is to be found must be named.
    pub fn with_words(self, words: impl IntoIterator<Item = String>) -> Self {
        Self { words: words.into_iter().collect(), ..self }
    }

    /// Makes half of all ids one of these.
    pub fn with_ids(self, ids: impl IntoIterator<Item = Uuid>) -> Self {
        Self { ids: ids.into_iter().collect(), ..self }
    }

    /// Makes half of all records one of these.
    pub fn with_records(self, records: impl IntoIterator<Item = Bytes>) -> Self {
        Self { records: records.into_iter().collect(), ..self }
    }

    /// The version that values are drawn for.
    pub fn version(&self) -> i16 {
        self.version
    }

    /// A number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// A value, or often enough `default`: what is written of a tagged field depends on it.
    pub fn value_or<T: Sample>(&mut self, default: T) -> T {
        if self.below(4) == 0 { default } else { T::sample(self) }
    }

    /// A value, or now and then `None` where that is allowed.
    pub fn nullable<T: Sample>(&mut self, nullable: bool) -> Option<T> {
        if nullable && self.below(4) == 0 { None } else { Some(T::sample(self)) }
    }

    /// One of the values given, in half of the cases if there are some.
    fn known<T: Clone>(&mut self, values: impl Fn(&Self) -> &[T]) -> Option<T> {
        let count = values(self).len() as u64;
        if count == 0 || self.below(2) == 0 {
            return None;
        }
        let index = self.below(count) as usize;
        Some(values(self)[index].clone())
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

macro_rules! sample_integers {
    ($($number:ty),+) => {
        $(
            impl Sample for $number {
                /// Mostly anything, often one of the values at which something changes.
                fn sample(source: &mut Source) -> Self {
                    match source.below(8) {
                        0 => 0,
                        1 => Self::MAX,
                        2 => Self::MIN,
                        3 => !0,
                        4 => (source.next() % 128) as Self,
                        _ => source.next() as Self,
                    }
                }
            }
        )+
    };
}

sample_integers!(i8, i16, i32, i64, u16, u32);

impl Sample for bool {
    fn sample(source: &mut Source) -> Self {
        source.below(2) == 1
    }
}

impl Sample for f64 {
    /// A fraction that is exact, and never NaN, which no comparison would find equal.
    fn sample(source: &mut Source) -> Self {
        i32::sample(source) as Self / 8.0
    }
}

impl Sample for Uuid {
    fn sample(source: &mut Source) -> Self {
        if let Some(id) = source.known(|source| &source.ids) {
            return id;
        }
        if source.below(4) == 0 {
            return Self::ZERO;
        }
        Self(u128::from(source.next()) << 64 | u128::from(source.next()))
    }
}

impl Sample for String {
    /// Characters of one to four bytes; now and then longer than a one-byte length can say.
    fn sample(source: &mut Source) -> Self {
        const ALPHABET: [char; 8] = ['a', 'Z', '0', '.', '_', 'é', '水', '🌊'];
        if let Some(word) = source.known(|source| &source.words) {
            return word;
        }
        let len = if source.below(32) == 0 { 200 } else { source.below(SIZE_MAX) };
        (0..len).map(|_| ALPHABET[source.below(8) as usize]).collect()
    }
}

impl Sample for Bytes {
    fn sample(source: &mut Source) -> Self {
        let len = if source.below(16) == 0 { 300 } else { source.below(SIZE_MAX) };
        (0..len).map(|_| source.next() as u8).collect()
    }
}

impl Sample for Records {
    fn sample(source: &mut Source) -> Self {
        let known = source.known(|source| &source.records);
        known.or_else(|| source.nullable(true)).map_or(Self::Null, Self::Inline)
    }
}

impl<T: Sample> Sample for Option<T> {
    fn sample(source: &mut Source) -> Self {
        source.nullable(true)
    }
}

impl<T: Sample> Sample for Vec<T> {
    fn sample(source: &mut Source) -> Self {
        let len = source.below(SIZE_MAX / 2 + 1);
        (0..len).map(|_| T::sample(source)).collect()
    }
}
