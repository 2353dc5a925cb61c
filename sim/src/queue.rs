//! What is going to happen: events by time, and at one time in the order in which they were scheduled.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use crate::clock::SimTime;

/// A queue of events that remembers what time it is.
#[derive(Debug)]
pub struct EventQueue<E> {
    now: SimTime,
    scheduled: u64,
    heap: BinaryHeap<Scheduled>,
    /// What the heap's entries stand for: events are large, and a heap moves what it holds.
    events: Vec<Option<E>>,
    vacant: Vec<usize>,
}

/// An event that is to happen, by its place among the events.
#[derive(Debug, PartialEq, Eq)]
struct Scheduled {
    at: SimTime,
    sequence: u64,
    event: usize,
}

impl<E> EventQueue<E> {
    /// An empty queue at the beginning of time.
    pub fn new() -> Self {
        Self { now: SimTime::default(), scheduled: 0, heap: BinaryHeap::new(), events: Vec::new(), vacant: Vec::new() }
    }

    /// The time of the event that happened last.
    pub fn now(&self) -> SimTime {
        self.now
    }

    /// Lets an event happen at a time, or now if that has passed.
    pub fn schedule(&mut self, at: SimTime, event: E) {
        self.scheduled += 1;
        let place = self.vacant.pop().unwrap_or(self.events.len());
        if place == self.events.len() {
            self.events.push(Some(event));
        } else {
            self.events[place] = Some(event);
        }
        self.heap.push(Scheduled { at: at.max(self.now), sequence: self.scheduled, event: place });
    }

    /// The next event; time moves to it.
    pub fn pop(&mut self) -> Option<E> {
        let next = self.heap.pop()?;
        assert!(next.at >= self.now, "time does not go back");
        self.now = next.at;
        self.vacant.push(next.event);
        self.events[next.event].take()
    }
}

impl<E> Default for EventQueue<E> {
    fn default() -> Self {
        Self::new()
    }
}

impl PartialOrd for Scheduled {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Scheduled {
    /// Reversed: the heap gives its greatest first.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.sequence).cmp(&(self.at, self.sequence))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_happen_by_time_then_in_the_order_of_scheduling() {
        let mut queue = EventQueue::new();
        for (at, event) in [(5, 'c'), (1, 'a'), (5, 'd'), (3, 'b')] {
            queue.schedule(SimTime(at), event);
        }
        assert_eq!(queue.pop(), Some('a'));
        queue.schedule(SimTime(0), 'x');
        let rest: String = std::iter::from_fn(|| queue.pop()).collect();
        assert_eq!((rest.as_str(), queue.now()), ("xbcd", SimTime(5)));
    }
}
