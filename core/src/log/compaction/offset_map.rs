//! The newest offset of each key in a part of a log, in bounded memory.
//!
//! Keys are remembered by 128 bits of SipHash, so a map takes 24 bytes for each key however long it is. Two of 2^64 keys
//! collide by chance; to find such a pair on purpose takes as many attempts.
//!
//! Invariants:
//! * A map never has more bytes than it was allowed to, not even while it grows.
//! * It knows every key of the records from where it began up to [`OffsetMap::end`].

use std::fmt;

use siphasher::sip128::SipHasher13;

use crate::ids::Offset;

/// A slot that nothing was put into.
const EMPTY: Slot = Slot { hash: [0; 2], offset: -1 };
const SLOTS_MIN: usize = 64;

#[derive(Clone, Copy)]
struct Slot {
    hash: [u64; 2],
    offset: i64,
}

/// A bounded map from keys to offsets.
pub(super) struct OffsetMap {
    /// Open addressing with linear probing; at most three of four slots are taken.
    slots: Vec<Slot>,
    slots_max: usize,
    taken: usize,
    /// The hash's key: what collides in one topic does not in another.
    seed: u128,
    end: Offset,
}

impl OffsetMap {
    /// An empty map of at most `bytes_max` bytes that begins at `from`.
    pub fn new(bytes_max: u64, seed: u128, from: Offset) -> Self {
        // While a map grows, the old slots are there too: half as many, or fewer.
        let slots_max = usize::try_from(bytes_max * 2 / 3).unwrap_or(usize::MAX) / size_of::<Slot>();
        Self { slots: Vec::new(), slots_max: slots_max.max(SLOTS_MIN), taken: 0, seed, end: from }
    }

    /// The offset up to which all keys are known.
    pub fn end(&self) -> Offset {
        self.end
    }

    /// Everything below `end` is known, or has no key that counts.
    pub fn advance_to(&mut self, end: Offset) {
        self.end = self.end.max(end);
    }

    /// Takes note of the record at `offset`, if there is room for its key.
    pub fn insert(&mut self, key: &[u8], offset: Offset) -> bool {
        assert!(offset >= self.end, "records are noted in their order");
        if (self.taken + 1) * 4 > self.slots.len() * 3 && !self.grow() {
            return false;
        }
        let hash = self.hash(key);
        let at = self.find(hash);
        let slot = &mut self.slots[at];
        self.taken += usize::from(slot.offset == EMPTY.offset);
        *slot = Slot { hash, offset: offset.0 };
        self.end = offset.advanced(1);
        true
    }

    /// The newest offset of a key, if the map has it.
    pub fn get(&self, key: &[u8]) -> Option<Offset> {
        if self.slots.is_empty() {
            return None;
        }
        let slot = self.slots[self.find(self.hash(key))];
        (slot.offset != EMPTY.offset).then_some(Offset(slot.offset))
    }

    /// Makes room for more keys. False if that is not allowed.
    fn grow(&mut self) -> bool {
        let wanted = (self.slots.len() * 2).clamp(SLOTS_MIN, self.slots_max);
        if wanted == self.slots.len() {
            return false;
        }
        let old = std::mem::replace(&mut self.slots, vec![EMPTY; wanted]);
        for slot in old.into_iter().filter(|slot| slot.offset != EMPTY.offset) {
            let at = self.find(slot.hash);
            self.slots[at] = slot;
        }
        true
    }

    /// The slot that has this hash, or the empty one where it belongs.
    fn find(&self, hash: [u64; 2]) -> usize {
        let len = self.slots.len();
        let mut at = usize::try_from((u128::from(hash[0]) * len as u128) >> 64).expect("a slot's number");
        while self.slots[at].offset != EMPTY.offset && self.slots[at].hash != hash {
            at = if at + 1 == len { 0 } else { at + 1 };
        }
        at
    }

    fn hash(&self, key: &[u8]) -> [u64; 2] {
        let keys = [self.seed >> 64, self.seed & u128::from(u64::MAX)];
        let [low, high] = keys.map(|key| u64::try_from(key).expect("half of the seed"));
        let hash = SipHasher13::new_with_keys(low, high).hash(key);
        [hash.h1, hash.h2]
    }
}

impl fmt::Debug for OffsetMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OffsetMap").field("keys", &self.taken).field("end", &self.end).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_offset_of_every_key_is_known() {
        let mut map = OffsetMap::new(1 << 20, 7, Offset(0));
        let key = |at: i64| (at * 7919 % 5000).to_string().into_bytes();
        for at in 0..20_000 {
            assert!(map.insert(&key(at), Offset(at)));
        }
        assert_eq!((map.taken, map.end()), (5000, Offset(20_000)));
        for at in 0..20_000 {
            assert_eq!(map.get(&key(at)), Some(Offset(15_000 + at % 5000)));
        }
        assert_eq!(map.get(b"absent"), None);
        assert_eq!(OffsetMap::new(0, 7, Offset(3)).get(b"absent"), None);
    }

    #[test]
    fn a_map_takes_what_it_may_and_then_says_that_it_is_full() {
        for bytes_max in [0, 10_000, 100_000] {
            let mut map = OffsetMap::new(bytes_max, 0, Offset(0));
            let taken = (0..100_000).take_while(|at: &i64| map.insert(&at.to_be_bytes(), Offset(*at))).count();
            assert_eq!((map.taken, map.end()), (taken, Offset(taken as i64)), "what did not fit is not known");
            let bytes = map.slots.len() * size_of::<Slot>() * 3 / 2;
            assert!(bytes as u64 <= bytes_max.max(64 * 36), "{bytes} of {bytes_max}");
            assert!(taken >= 48 && taken as u64 >= bytes_max / 50, "{taken} keys in {bytes_max} bytes");
            for at in 0..taken as i64 {
                assert_eq!(map.get(&at.to_be_bytes()), Some(Offset(at)));
            }
            assert_eq!(map.get(&(taken as i64).to_be_bytes()), None);
        }
    }
}
