//! Who is looked at next.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use gatefleet_watch::Backoff;

/// Keys that are due now or later. One key is worked on by one worker at a time; a key that becomes due while it
/// is worked on comes again afterwards. A failing key waits longer each time and holds up no other.
#[derive(Debug)]
pub(crate) struct Queue<K> {
    due: BTreeMap<K, Instant>,
    running: BTreeSet<K>,
    failures: BTreeMap<K, Backoff>,
    first: Duration,
    longest: Duration,
}

impl<K: Ord + Clone> Queue<K> {
    /// Failures wait from `first` up to `longest`.
    pub(crate) fn new(first: Duration, longest: Duration) -> Self {
        Self {
            due: BTreeMap::new(),
            running: BTreeSet::new(),
            failures: BTreeMap::new(),
            first,
            longest,
        }
    }

    /// Something about `key` changed: it is due at `at`, or earlier if it was.
    pub(crate) fn add(&mut self, key: K, at: Instant) {
        let due = self.due.entry(key).or_insert(at);
        *due = at.min(*due);
    }

    /// When [`Queue::take`] has something; `None`: when something is added or done.
    pub(crate) fn next_at(&self) -> Option<Instant> {
        let waiting = self.due.iter().filter(|(key, _)| !self.running.contains(*key));
        waiting.map(|(_, at)| *at).min()
    }

    /// The key that has been due for longest, to be worked on until it is [`Queue::done`].
    pub(crate) fn take(&mut self, now: Instant) -> Option<K> {
        let waiting =
            self.due.iter().filter(|(key, at)| **at <= now && !self.running.contains(*key));
        let (key, _) = waiting.min_by_key(|(_, at)| **at)?;
        let key = key.clone();
        self.due.remove(&key);
        self.running.insert(key.clone());
        Some(key)
    }

    /// The work on `key` ended well; `again` is when to look at it without a reason.
    pub(crate) fn done(&mut self, key: &K, again: Option<Instant>) {
        self.running.remove(key);
        self.failures.remove(key);
        if let Some(at) = again {
            self.add(key.clone(), at);
        }
    }

    /// The work on `key` failed: it is due again after a while, or at once after a change. `at_least` is what
    /// the other side asked for.
    pub(crate) fn failed(&mut self, key: &K, now: Instant, at_least: Duration) {
        self.running.remove(key);
        let backoff = self.failures.entry(key.clone());
        let backoff = backoff.or_insert_with(|| Backoff::new(self.first, self.longest));
        let wait = backoff.failed().max(at_least);
        self.add(key.clone(), now + wait);
    }

    /// `key` does not exist any more.
    pub(crate) fn forget(&mut self, key: &K) {
        self.due.remove(key);
        self.failures.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_key_is_worked_on_once_at_a_time_and_comes_again_when_it_changed_meanwhile() {
        let start = Instant::now();
        let mut queue = Queue::new(SECOND, SECOND * 60);
        queue.add("a", start);
        assert_eq!(queue.take(start), Some("a"));
        queue.add("a", start);
        assert_eq!((queue.take(start), queue.next_at()), (None, None));
        queue.done(&"a", Some(start + SECOND * 300));
        assert_eq!(queue.take(start), Some("a"));
        queue.done(&"a", Some(start + SECOND * 300));
        assert_eq!((queue.take(start), queue.next_at()), (None, Some(start + SECOND * 300)));
    }

    #[test]
    fn a_failing_key_waits_and_holds_up_no_other() {
        let start = Instant::now();
        let mut queue = Queue::new(SECOND, SECOND * 60);
        queue.add("bad", start);
        queue.add("good", start + SECOND / 1000);
        assert_eq!(queue.take(start), Some("bad"));
        queue.failed(&"bad", start, Duration::ZERO);
        assert_eq!(queue.take(start + SECOND / 100), Some("good"));
        assert_eq!(queue.take(start + SECOND / 100), None);
        assert_eq!(queue.take(start + SECOND), Some("bad"));
        queue.failed(&"bad", start + SECOND, SECOND * 10);
        assert_eq!(queue.take(start + SECOND * 10), None, "the other side asked for ten seconds");
        queue.add("bad", start + SECOND * 2);
        assert_eq!(queue.take(start + SECOND * 2), Some("bad"), "a change may cure it");
    }
}
