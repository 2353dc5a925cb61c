//! Random messages, for property tests.
//!
//! The derives implement [`Sample`] when the crate is built with the feature `testing`. A message is a function of its
//! seed and its version, and holds only what the version can represent.

use bytes::Bytes;

use crate::message::Message;
use crate::payload::Records;
use crate::uuid::Uuid;

/// A type that can be drawn at random.
pub trait Sample: Sized {
    /// Draws a value that the source's version can represent.
    fn sample(source: &mut Source) -> Self;
}

/// Where random values come from: SplitMix64, and the version that they are for.
#[derive(Debug)]
pub struct Source {
    state: u64,
    version: i16,
}

/// The most elements of an array, characters of a string, and so on.
const SIZE_MAX: u64 = 6;

/// A message with something in most of its fields.
pub fn sample<M: Message + Sample>(seed: u64, version: i16) -> M {
    M::sample(&mut Source { state: seed, version })
}

impl Source {
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
        source.nullable(true).map_or(Self::Null, Self::Inline)
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
