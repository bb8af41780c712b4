//! Whose turn it is when more is due than may run at once: what begins again and again must not hold up what waits.

use std::collections::BTreeMap;

/// When each was begun last, in the order of beginnings.
#[derive(Debug)]
pub(crate) struct Turns<K> {
    begun: BTreeMap<K, u64>,
    count: u64,
}

impl<K> Default for Turns<K> {
    fn default() -> Self {
        Self {
            begun: BTreeMap::new(),
            count: 0,
        }
    }
}

impl<K: Ord + Clone> Turns<K> {
    /// At most `places` of what is due, which begin now: those that never began first, then those that began longest ago.
    pub(crate) fn next<V>(&mut self, mut due: Vec<(K, V)>, places: usize) -> Vec<(K, V)> {
        due.sort_by_key(|(key, _)| self.begun.get(key).copied());
        due.truncate(places);
        for (key, _) in &due {
            self.count += 1;
            self.begun.insert(key.clone(), self.count);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_due_has_its_turn_however_often_others_are() {
        let mut turns = Turns::default();
        let all = ["a", "b", "c", "d", "z"].map(|name| (name, ()));
        let mut had = BTreeMap::new();
        for _ in 0..10 {
            for (name, ()) in turns.next(all.to_vec(), 2) {
                *had.entry(name).or_insert(0) += 1;
            }
        }
        assert!(all.iter().all(|(name, ())| had.get(name) == Some(&4)), "{had:?}");
        // Who comes new goes first, and nobody begins without a place.
        assert_eq!(turns.next(vec![("a", ()), ("new", ())], 1), [("new", ())]);
        assert!(turns.next(all.to_vec(), 0).is_empty());
    }
}
