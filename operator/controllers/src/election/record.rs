//! What a Lease says, and what follows from it.

use std::time::{Duration, Instant};

use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::MicroTime,
    jiff::Timestamp,
};

use super::Election;

/// What to do about a Lease.
#[derive(Debug, PartialEq)]
pub(super) enum Step {
    /// Somebody else holds it.
    Wait,
    /// Write this.
    Take(LeaseSpec),
}

/// How long a Lease has been as it is, by this process's own clock: those of others may be wrong.
#[derive(Debug, Default)]
pub(super) struct Watchful {
    seen: Option<(LeaseSpec, Instant)>,
}

impl Watchful {
    pub(super) fn step(
        &mut self,
        election: &Election,
        found: Option<&Lease>,
        now: Instant,
        wall: Timestamp,
    ) -> Step {
        let Some(spec) = found.map(|lease| lease.spec.clone().unwrap_or_default()) else {
            return Step::Take(taken(election, &LeaseSpec::default(), wall));
        };
        let since = match &self.seen {
            Some((seen, since)) if *seen == spec => *since,
            _ => now,
        };
        self.seen = Some((spec.clone(), since));
        let holder = spec.holder_identity.as_deref().unwrap_or_default();
        let seconds = spec.lease_duration_seconds.unwrap_or_default().max(0).unsigned_abs();
        let ends = since + Duration::from_secs(seconds.into());
        if holder.is_empty() || holder == election.identity || ends <= now {
            Step::Take(taken(election, &spec, wall))
        } else {
            Step::Wait
        }
    }
}

/// A renewal keeps when it was acquired; a change of hands counts as transition.
fn taken(election: &Election, before: &LeaseSpec, wall: Timestamp) -> LeaseSpec {
    let renewed = before.holder_identity.as_ref() == Some(&election.identity);
    let transitions = before.lease_transitions.unwrap_or_default();
    // The first holder of all is none: nothing changed hands.
    let changed = !renewed && before.acquire_time.is_some();
    LeaseSpec {
        holder_identity: Some(election.identity.clone()),
        lease_duration_seconds: i32::try_from(election.duration.as_secs()).ok(),
        acquire_time: if renewed { before.acquire_time.clone() } else { Some(MicroTime(wall)) },
        renew_time: Some(MicroTime(wall)),
        lease_transitions: Some(transitions.saturating_add(i32::from(changed))),
        ..before.clone()
    }
}

/// The Lease without its holder; `None` if that is somebody else.
pub(super) fn released(election: &Election, lease: &Lease, wall: Timestamp) -> Option<LeaseSpec> {
    let spec = lease.spec.clone()?;
    (spec.holder_identity.as_ref() == Some(&election.identity)).then(|| LeaseSpec {
        holder_identity: Some(String::new()),
        lease_duration_seconds: Some(1),
        renew_time: Some(MicroTime(wall)),
        ..spec
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replica(identity: &str) -> Election {
        Election {
            namespace: "gatefleet-system".to_owned(),
            lease: "gatefleet".to_owned(),
            identity: identity.to_owned(),
            duration: Duration::from_secs(15),
        }
    }

    /// The Lease after `step`, if it writes.
    fn after(step: Step) -> Option<Lease> {
        match step {
            Step::Wait => None,
            Step::Take(spec) => Some(Lease { spec: Some(spec), ..Lease::default() }),
        }
    }

    fn holder(lease: &Lease) -> (&str, i32) {
        let spec = lease.spec.as_ref().unwrap();
        (spec.holder_identity.as_deref().unwrap(), spec.lease_transitions.unwrap())
    }

    #[test]
    fn a_lease_is_taken_when_it_was_not_renewed_for_its_duration_and_not_before() {
        let (one, two) = (replica("one"), replica("two"));
        let (mut ones, mut twos) = (Watchful::default(), Watchful::default());
        let start = Instant::now();
        let at = |seconds: u64| {
            let wall = Timestamp::UNIX_EPOCH + Duration::from_secs(1_000_000 + seconds);
            (start + Duration::from_secs(seconds), wall)
        };
        let mut step = |election: &Election, lease: Option<&Lease>, seconds| {
            let watchful = if election.identity == "one" { &mut ones } else { &mut twos };
            let (now, wall) = at(seconds);
            after(watchful.step(election, lease, now, wall))
        };

        let lease = step(&one, None, 0).unwrap();
        assert_eq!(holder(&lease), ("one", 0));
        assert_eq!(step(&two, Some(&lease), 1), None);
        let lease = step(&one, Some(&lease), 10).unwrap();
        assert_eq!(holder(&lease), ("one", 0));
        // Seen for the first time at 20, however old it is by its own account.
        assert_eq!(step(&two, Some(&lease), 20), None);
        assert_eq!(step(&two, Some(&lease), 34), None);
        let lease = step(&two, Some(&lease), 35).unwrap();
        assert_eq!(holder(&lease), ("two", 1));
        assert_eq!(step(&one, Some(&lease), 36), None);
    }

    #[test]
    fn a_lease_that_was_given_back_is_free_at_once_and_only_its_holder_gives_it_back() {
        let (one, two) = (replica("one"), replica("two"));
        let (now, wall) = (Instant::now(), Timestamp::UNIX_EPOCH);
        let lease = after(Watchful::default().step(&one, None, now, wall)).unwrap();
        assert_eq!(released(&two, &lease, wall), None);
        let lease = Lease { spec: released(&one, &lease, wall), ..lease };
        let lease = after(Watchful::default().step(&two, Some(&lease), now, wall)).unwrap();
        assert_eq!(holder(&lease), ("two", 1));
    }
}
