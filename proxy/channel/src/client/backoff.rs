//! Waits between attempts.

use std::{
    hash::{BuildHasher, RandomState},
    time::Duration,
};

/// Waits that double up to a limit, each shortened by up to a half at random so that proxies spread.
#[derive(Debug)]
pub(super) struct Backoff {
    start: Duration,
    limit: Duration,
    failures: u32,
}

impl Backoff {
    pub(super) const fn new(start: Duration, limit: Duration) -> Self {
        Self { start, limit, failures: 0 }
    }

    pub(super) const fn reset(&mut self) {
        self.failures = 0;
    }

    pub(super) fn next(&mut self) -> Duration {
        let factor = 1_u32.checked_shl(self.failures.min(16)).unwrap_or(u32::MAX);
        self.failures = self.failures.saturating_add(1);
        let longest = self.start.saturating_mul(factor).min(self.limit);
        // A fresh RandomState has fresh keys: randomness without a crate for it.
        let random = RandomState::new().hash_one(self.failures) % 512;
        longest.saturating_mul(u32::try_from(random).unwrap_or(0).saturating_add(512)) / 1024
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_the_limit_and_start_again() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1));
        for longest in [100, 200, 400, 800, 1000, 1000, 1000] {
            let wait = backoff.next();
            let longest = Duration::from_millis(longest);
            assert!(wait >= longest / 2 && wait <= longest, "{wait:?} for {longest:?}");
        }
        backoff.reset();
        assert!(backoff.next() <= Duration::from_millis(100));
    }
}
