//! Room for large requests that are still arriving, shared by the connections of a shard.
//!
//! A small frame needs no room of its own. A large one takes room for all of it before more of it is read, so that
//! whoever has begun can finish: without that, many half-read frames could wait for each other.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::Waker;

/// Frames up to this length need no room.
pub const SMALL_FRAME_BYTES: usize = 64 * 1024;

/// The room of one shard.
#[derive(Debug)]
pub struct FrameBudget {
    free: Cell<usize>,
    waiting: RefCell<Vec<Waker>>,
}

/// Room for one frame, given back when dropped.
#[derive(Debug)]
pub struct Reservation {
    budget: Rc<FrameBudget>,
    len: usize,
}

impl FrameBudget {
    /// Room for `bytes` bytes of frames.
    pub fn new(bytes: usize) -> Rc<Self> {
        Rc::new(Self { free: Cell::new(bytes), waiting: RefCell::default() })
    }

    /// Room for a frame of `len` bytes; if there is none, `waker` is woken when some is given back.
    pub fn reserve_or_wake(self: &Rc<Self>, len: usize, waker: &Waker) -> Option<Reservation> {
        let Some(left) = self.free.get().checked_sub(len) else {
            let mut waiting = self.waiting.borrow_mut();
            if !waiting.iter().any(|known| known.will_wake(waker)) {
                waiting.push(waker.clone());
            }
            return None;
        };
        self.free.set(left);
        Some(Reservation { budget: Rc::clone(self), len })
    }

    /// Whether somebody waits for room.
    pub fn is_contended(&self) -> bool {
        !self.waiting.borrow().is_empty()
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.budget.free.set(self.budget.free.get() + self.len);
        self.budget.waiting.borrow_mut().drain(..).for_each(Waker::wake);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_that_is_given_back_wakes_whoever_waits_for_it() {
        let budget = FrameBudget::new(100);
        let first = budget.reserve_or_wake(60, Waker::noop()).unwrap();
        assert!(budget.reserve_or_wake(60, Waker::noop()).is_none());
        assert!(budget.is_contended());
        drop(first);
        assert!(!budget.is_contended());
        assert!(budget.reserve_or_wake(100, Waker::noop()).is_some());
    }
}
