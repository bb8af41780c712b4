//! A small map that cannot grow: entries end after a time, and the oldest goes when it is full.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::time::{Duration, Instant};

/// A map with a length and a lifetime. Looking up is O(1); each insertion pays for those that expired.
pub(crate) struct Expiring<K, V> {
    entries: HashMap<K, (u64, V)>,
    /// Insertions in order of time; a stamp that differs from the entry's belongs to an older insertion of that key.
    order: VecDeque<(Instant, u64, K)>,
    stamp: u64,
    length_max: usize,
    lifetime: Duration,
}

impl<K: Hash + Eq + Clone, V> Expiring<K, V> {
    pub(crate) fn new(length_max: usize, lifetime: Duration) -> Self {
        Self {
            entries: HashMap::new(),
            order: VecDeque::new(),
            stamp: 0,
            length_max,
            lifetime,
        }
    }

    /// Puts a value, in place of an older one of that key; its lifetime starts now.
    pub(crate) fn insert(&mut self, key: K, value: V, now: Instant) {
        self.stamp = self.stamp.wrapping_add(1);
        self.entries.insert(key.clone(), (self.stamp, value));
        self.order.push_back((now, self.stamp, key));
        self.expire(now);
    }

    pub(crate) fn get(&self, key: &K) -> Option<&V> {
        self.entries.get(key).map(|(_, value)| value)
    }

    pub(crate) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.entries.get_mut(key).map(|(_, value)| value)
    }

    pub(crate) fn remove(&mut self, key: &K) -> Option<V> {
        self.entries.remove(key).map(|(_, value)| value)
    }

    fn expire(&mut self, now: Instant) {
        while let Some((at, stamp, key)) = self.order.front() {
            let is_current = self.entries.get(key).is_some_and(|(current, _)| current == stamp);
            let is_due = now.duration_since(*at) >= self.lifetime || self.entries.len() > self.length_max;
            if is_current && !is_due {
                // Everything behind is younger. Stale insertions among them are bounded by this sweep, too: they are
                // dropped when they reach the front, at the latest one lifetime after they were put.
                if self.order.len() <= self.length_max.saturating_mul(2) {
                    break;
                }
                let entries = &self.entries;
                self.order
                    .retain(|(_, stamp, key)| entries.get(key).is_some_and(|(current, _)| current == stamp));
                break;
            }
            if is_current {
                self.entries.remove(key);
            }
            self.order.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn the_oldest_goes_when_full_and_the_rest_stay() {
        let now = Instant::now();
        let mut map = Expiring::new(2, MINUTE);
        for key in 1..=3 {
            map.insert(key, key * 10, now);
        }
        assert_eq!((map.get(&1), map.get(&2), map.get(&3)), (None, Some(&20), Some(&30)));
    }

    #[test]
    fn entries_end_after_their_time_and_a_new_value_starts_it_again() {
        let now = Instant::now();
        let mut map = Expiring::new(10, MINUTE);
        map.insert("old", 1, now);
        map.insert("renewed", 1, now);
        map.insert("renewed", 2, now + MINUTE / 2);
        map.insert("other", 3, now + MINUTE);
        assert_eq!(
            (map.get(&"old"), map.get(&"renewed"), map.get(&"other")),
            (None, Some(&2), Some(&3))
        );
    }

    #[test]
    fn one_key_put_for_ever_does_not_grow_the_map() {
        let now = Instant::now();
        let mut map = Expiring::new(4, MINUTE);
        map.insert("first", 0, now);
        for n in 0..1_000 {
            map.insert("same", n, now);
        }
        assert!(map.order.len() <= 9, "{}", map.order.len());
        assert_eq!(map.get(&"first"), Some(&0));
    }
}
