//! How long to wait before the next try.

use std::{
    hash::{BuildHasher, RandomState},
    time::Duration,
};

/// Doubling waits with jitter, so that many who failed together do not come back together.
#[derive(Clone, Debug)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
    failures: u32,
}

impl Backoff {
    /// From `first` on, doubling up to `longest`; each wait is then shortened by up to a half.
    #[must_use]
    pub const fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest, failures: 0 }
    }

    /// The wait after one more failure.
    pub fn failed(&mut self) -> Duration {
        let doubled =
            self.first.saturating_mul(1_u32.checked_shl(self.failures).unwrap_or(u32::MAX));
        self.failures = self.failures.saturating_add(1).min(31);
        jittered(doubled.min(self.longest))
    }

    /// Begins anew.
    pub const fn succeeded(&mut self) {
        self.failures = 0;
    }

    /// How often in a row it failed (31 stands for more).
    #[must_use]
    pub const fn failures(&self) -> u32 {
        self.failures
    }
}

/// Between a half and the whole of `wait`.
fn jittered(wait: Duration) -> Duration {
    let share = u32::try_from(RandomState::new().hash_one(0) % 1024).unwrap_or(0);
    wait / 2 + wait / 2 * share / 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_and_begin_anew() {
        let (first, longest) = (Duration::from_millis(200), Duration::from_secs(30));
        let mut backoff = Backoff::new(first, longest);
        let waits: Vec<Duration> = (0..40).map(|_| backoff.failed()).collect();
        for (n, wait) in waits.iter().enumerate() {
            let full = first.saturating_mul(1 << n.min(20)).min(longest);
            assert!(*wait >= full / 2 && *wait <= full, "try {n}: {wait:?} of {full:?}");
        }
        backoff.succeeded();
        assert!(backoff.failed() <= first);
    }
}
