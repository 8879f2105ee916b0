//! One Gatefleet for each namespace that is watched: two that serve the same fleets would undo each other's writes.
//!
//! Every installation keeps a Lease in its own namespace. Whoever has held one for longer goes on; another one says so and
//! ends. Replicas of one installation share its Lease. Clocks that differ by less than the Lease's duration do no harm.

use std::time::Duration;

use gatefleet_apply::{Applied, Refusal, WriteError, Writer};
use gatefleet_state::Watched;
use gatefleet_watch::{Backoff, MANAGED_BY};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta},
};
use kube::api::ApiResource;

use crate::Error;

/// Of the Lease, in the namespace of the installation.
const NAME: &str = "gatefleet";
/// Marks these Leases.
const CLAIM_LABEL: &str = "gatefleet.dev/claim";
/// Annotation: the watched namespaces, separated by commas; absent: all.
const NAMESPACES_ANNOTATION: &str = "gatefleet.dev/watched-namespaces";
/// Unrenewed for so long, a claim counts no more.
const DURATION: SignedDuration = SignedDuration::from_secs(30);
const RENEWAL: Duration = Duration::from_secs(10);

/// The claim of one installation.
pub(crate) struct Claim {
    pub(crate) writer: Writer,
    /// The installation is known by it.
    pub(crate) namespace: String,
    pub(crate) watched: Watched,
}

impl Claim {
    /// Claims what is to be watched, before anything is read or written.
    pub(crate) async fn stake(&self) -> Result<(), Error> {
        let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(10));
        loop {
            match self.renew().await {
                Ok(()) => return Ok(()),
                Err(Failure::Contested(error)) => return Err(error),
                Err(Failure::Write(error)) if error.refusal.needs_somebody() => {
                    tracing::warn!(%error, "claim {}: another Gatefleet would not be noticed", self.watched);
                    return Ok(());
                }
                Err(Failure::Write(error)) => {
                    let wait = backoff.failed();
                    tracing::warn!(%error, "claim {}: tried again in {wait:?}", self.watched);
                    tokio::time::sleep(wait).await;
                }
            }
        }
    }

    /// Keeps the claim; ends when another installation has it.
    pub(crate) async fn keep(&self) -> Error {
        loop {
            tokio::time::sleep(RENEWAL).await;
            match self.renew().await {
                Err(Failure::Contested(error)) => return error,
                Err(Failure::Write(error)) if error.refusal != Refusal::Forbidden => {
                    tracing::warn!(%error, "renew the claim on {}", self.watched);
                }
                Ok(()) | Err(Failure::Write(_)) => {}
            }
        }
    }

    /// First writes, then reads: of two that come together, at least one sees the other.
    async fn renew(&self) -> Result<(), Failure> {
        let (now, resource) = (Timestamp::now(), ApiResource::erase::<Lease>(&()));
        let known = self.writer.read(&resource, &self.namespace, NAME).await?;
        let known = known.and_then(|known| Staked::of(&known.try_parse().ok()?));
        let since = known.filter(|known| known.is_live(now)).map_or(now, |known| known.since);
        let ours = Staked {
            namespace: self.namespace.clone(),
            watched: self.watched.clone(),
            since,
            until: now,
        };
        let lease = serde_json::to_value(ours.lease()).unwrap_or_default();
        let written = self.writer.apply(&resource, lease, None).await?;
        let all = self.writer.list(&resource, &format!("{CLAIM_LABEL}=true")).await?;
        let others = all.iter().filter_map(|lease| Staked::of(&lease.clone().try_parse().ok()?));
        let Some((namespace, shared)) = ours.first_before(others, now) else { return Ok(()) };
        // A claim that nobody stands behind would keep others away, too.
        if let Applied::Written(written) = written {
            self.writer.delete(&resource, &written.metadata).await?;
        }
        Err(Failure::Contested(Error::Contested {
            watched: self.watched.to_string(),
            shared: shared.to_string(),
            namespace,
        }))
    }
}

/// Why a claim was not renewed.
enum Failure {
    Contested(Error),
    Write(WriteError),
}

impl From<WriteError> for Failure {
    fn from(error: WriteError) -> Self {
        Self::Write(error)
    }
}

/// A claim as its Lease says it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Staked {
    namespace: String,
    watched: Watched,
    since: Timestamp,
    /// When it was renewed last.
    until: Timestamp,
}

impl Staked {
    fn of(lease: &Lease) -> Option<Self> {
        let spec = lease.spec.as_ref()?;
        let names =
            lease.metadata.annotations.as_ref().and_then(|all| all.get(NAMESPACES_ANNOTATION));
        let only = |names: &String| Watched::Only(names.split(',').map(str::to_owned).collect());
        Some(Self {
            namespace: lease.metadata.namespace.clone()?,
            watched: names.map_or(Watched::All, only),
            since: spec.acquire_time.as_ref()?.0,
            until: spec.renew_time.as_ref()?.0,
        })
    }

    fn lease(&self) -> Lease {
        let label = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let annotations = match &self.watched {
            Watched::All => None,
            Watched::Only(names) => {
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                Some([label(NAMESPACES_ANNOTATION, &names.join(","))].into())
            }
        };
        Lease {
            metadata: ObjectMeta {
                name: Some(NAME.to_owned()),
                namespace: Some(self.namespace.clone()),
                labels: Some(
                    [label(CLAIM_LABEL, "true"), label(MANAGED_BY.0, MANAGED_BY.1)].into(),
                ),
                annotations,
                ..ObjectMeta::default()
            },
            spec: Some(LeaseSpec {
                holder_identity: Some(self.namespace.clone()),
                acquire_time: Some(MicroTime(self.since)),
                renew_time: Some(MicroTime(self.until)),
                lease_duration_seconds: i32::try_from(DURATION.as_secs()).ok(),
                ..LeaseSpec::default()
            }),
        }
    }

    fn is_live(&self, now: Timestamp) -> bool {
        now.duration_since(self.until) < DURATION
    }

    /// The installation that has claimed something of this before, and what.
    fn first_before(
        &self,
        others: impl Iterator<Item = Self>,
        now: Timestamp,
    ) -> Option<(String, Watched)> {
        let older = others.filter(|other| {
            other.namespace != self.namespace
                && other.is_live(now)
                && (other.since, &other.namespace) < (self.since, &self.namespace)
        });
        let mut shared = older
            .filter_map(|other| {
                Some((other.since, other.namespace.clone(), self.watched.shared(&other.watched)?))
            })
            .collect::<Vec<_>>();
        shared.sort_by(|one, other| (&one.0, &one.1).cmp(&(&other.0, &other.1)));
        shared.into_iter().next().map(|(_, namespace, shared)| (namespace, shared))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn only(names: &[&str]) -> Watched {
        Watched::Only(names.iter().map(|name| (*name).to_owned()).collect())
    }

    fn staked(namespace: &str, watched: Watched, since: i64, until: i64) -> Staked {
        let at = |second| Timestamp::from_second(second).unwrap();
        Staked { namespace: namespace.to_owned(), watched, since: at(since), until: at(until) }
    }

    #[test]
    fn a_lease_says_what_was_claimed() {
        for watched in [Watched::All, only(&["edge", "shop"])] {
            let claim = staked("a", watched, 1, 2);
            assert_eq!(Staked::of(&claim.lease()), Some(claim));
        }
    }

    #[test]
    fn the_one_that_came_first_keeps_what_both_watch() {
        let now = Timestamp::from_second(100).unwrap();
        let ours = staked("b", only(&["shop", "edge"]), 50, 100);
        for (other, loses) in [
            (staked("a", Watched::All, 40, 90), Some("namespace edge, shop")),
            (staked("a", only(&["edge", "else"]), 40, 90), Some("namespace edge")),
            (staked("a", only(&["else"]), 40, 90), None),
            // Came later, is gone, is ourselves.
            (staked("a", Watched::All, 60, 90), None),
            (staked("a", Watched::All, 40, 60), None),
            (staked("b", Watched::All, 40, 90), None),
            // At the same moment the name decides: exactly one of the two goes on.
            (staked("a", Watched::All, 50, 90), Some("namespace edge, shop")),
            (staked("c", Watched::All, 50, 90), None),
        ] {
            let first = ours.first_before([other.clone()].into_iter(), now);
            assert_eq!(first.map(|(_, shared)| shared.to_string()).as_deref(), loses, "{other:?}");
        }
    }
}
