//! Whether a configuration is older than the one in use.
//!
//! Replicas of the operator see the cluster at different times. A stream that moves to another replica must not
//! fall back to what was true a minute ago; but idle kinds lag and a restored etcd counts backwards, so after a
//! while the older configuration is taken, and that is reported.

use std::{cmp::Ordering, time::Duration};

use gatefleet_snapshot::{compare_resource_versions, v1::Watermark};
use tokio::time::Instant;

/// What to do with a configuration.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is as new as the one in use, or from the same replica.
    Take,
    /// It is older: not before this time.
    Wait(Instant),
    /// It is older, and the wait is over.
    Regress,
}

#[derive(Debug)]
pub(super) struct Regression {
    hold: Duration,
    /// Which replica the configuration in use came from.
    replica: Option<String>,
    /// When an older one was refused first.
    since: Option<Instant>,
}

impl Regression {
    pub(super) const fn new(hold: Duration) -> Self {
        Self { hold, replica: None, since: None }
    }

    pub(super) fn judge(
        &mut self,
        replica: &str,
        offered: &[Watermark],
        current: &[Watermark],
        now: Instant,
    ) -> Verdict {
        if self.replica.as_deref() == Some(replica) || !is_older(offered, current) {
            return Verdict::Take;
        }
        let until = *self.since.get_or_insert(now) + self.hold;
        if now < until { Verdict::Wait(until) } else { Verdict::Regress }
    }

    pub(super) fn taken(&mut self, replica: &str) {
        self.replica = Some(replica.to_owned());
        self.since = None;
    }
}

/// Whether `offered` is behind `current` in any kind that both name.
fn is_older(offered: &[Watermark], current: &[Watermark]) -> bool {
    offered.iter().any(|offered| {
        current.iter().any(|current| {
            let order =
                compare_resource_versions(&offered.resource_version, &current.resource_version);
            offered.kind == current.kind && order == Ordering::Less
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(versions: &[(&str, &str)]) -> Vec<Watermark> {
        let mark = |(kind, version): &(&str, &str)| Watermark {
            kind: (*kind).to_owned(),
            resource_version: (*version).to_owned(),
        };
        versions.iter().map(mark).collect()
    }

    #[test]
    fn older_means_behind_in_any_kind() {
        let current = mark(&[("Ingress", "100"), ("Secret", "90")]);
        for (offered, older) in [
            (mark(&[("Ingress", "100"), ("Secret", "90")]), false),
            (mark(&[("Ingress", "101"), ("Secret", "90")]), false),
            (mark(&[("Ingress", "101"), ("Secret", "89")]), true),
            (mark(&[("Ingress", "99")]), true),
            (mark(&[("Service", "1")]), false),
            (mark(&[]), false),
        ] {
            assert_eq!(is_older(&offered, &current), older, "{offered:?}");
        }
    }

    #[test]
    fn another_replica_waits_and_then_regresses() {
        let mut regression = Regression::new(Duration::from_secs(90));
        let (new, old) = (mark(&[("Ingress", "100")]), mark(&[("Ingress", "50")]));
        let start = Instant::now();
        let until = start + Duration::from_secs(90);
        regression.taken("a");
        assert_eq!(regression.judge("a", &old, &new, start), Verdict::Take);
        assert_eq!(regression.judge("b", &old, &new, start), Verdict::Wait(until));
        let later = start + Duration::from_mins(1);
        assert_eq!(regression.judge("c", &old, &new, later), Verdict::Wait(until));
        assert_eq!(regression.judge("b", &new, &new, later), Verdict::Take);
        assert_eq!(regression.judge("b", &old, &new, until), Verdict::Regress);
        regression.taken("b");
        assert_eq!(
            regression.judge("a", &old, &new, until),
            Verdict::Wait(until + Duration::from_secs(90))
        );
    }
}
