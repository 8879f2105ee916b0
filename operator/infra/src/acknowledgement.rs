//! What proxies hold, in terms of objects and their generations.
//!
//! Versions of resources are hashes: they tell equality, not order. So for each version that was sent, the
//! ledger keeps which generation of which object it contains; a proxy holds an object at a generation when,
//! for every resource that is made from the object, it holds a version with at least that generation. A version
//! that the ledger does not know counts as not held.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use gatefleet_names::ObjectKey;

/// One resource of a tier's current configuration.
#[derive(Clone, Copy, Debug)]
pub struct SentResource<'a> {
    /// `KIND/…`
    pub name: &'a str,
    /// Content hash.
    pub version: &'a str,
    /// The objects it is made from, each with its generation.
    pub origins: &'a BTreeSet<(ObjectKey, i64)>,
}

/// One resource as a proxy holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldResource {
    /// The installed version; empty: none.
    pub version: String,
    /// Why it refused another version.
    pub refused: Option<String>,
}

/// Whether a proxy holds an object at a generation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Holding {
    /// On every thread.
    Current,
    /// Not yet, as far as is known.
    #[default]
    Behind,
    /// It refuses a resource made from it: name and reason.
    Refused(String),
}

/// Which generations of which objects the versions that were sent to one tier contain.
#[derive(Clone, Debug, Default)]
pub struct SentLedger {
    resources: BTreeMap<String, Versions>,
    by_object: BTreeMap<ObjectKey, BTreeSet<String>>,
}

/// The versions of one resource, the current one last.
type Versions = VecDeque<(String, Origins)>;
type Origins = BTreeMap<ObjectKey, i64>;

/// A proxy that is further behind than this is not told apart from one that holds nothing.
const REMEMBERED_VERSIONS: usize = 32;

impl SentLedger {
    /// Notes the complete configuration that is sent from now on.
    pub fn record(&mut self, complete: &[SentResource<'_>]) {
        let current: BTreeSet<&str> = complete.iter().map(|resource| resource.name).collect();
        let gone: Vec<String> = self
            .resources
            .keys()
            .filter(|name| !current.contains(name.as_str()))
            .cloned()
            .collect();
        for name in gone {
            let versions = self.resources.remove(&name).unwrap_or_default();
            self.unlink(&name, versions.back());
        }
        for SentResource { name, version, origins } in complete {
            let versions = self.resources.get(*name);
            if !versions.is_some_and(|versions| is_current(versions, version, origins)) {
                self.record_version(name, version, origins);
            }
        }
    }

    /// Whether a proxy that holds `held` holds `object` at `generation` or later, in all resources that are
    /// made from it. Behind as long as nothing that was sent contains that generation.
    #[must_use]
    pub fn holding(
        &self,
        object: &ObjectKey,
        generation: i64,
        held: &BTreeMap<String, HeldResource>,
    ) -> Holding {
        let names = self.by_object.get(object).into_iter().flatten();
        self.holding_of(names, object, generation, held)
    }

    /// As [`SentLedger::holding`], in exactly the resources called `names`. Behind as long as one of them was
    /// not sent: so a listener that has no port yet is not taken for one that everybody holds.
    #[must_use]
    pub fn holding_of(
        &self,
        names: impl IntoIterator<Item = impl AsRef<str>>,
        object: &ObjectKey,
        generation: i64,
        held: &BTreeMap<String, HeldResource>,
    ) -> Holding {
        let mut holding = None;
        for name in names {
            let name = name.as_ref();
            let resource = held.get(name);
            let version = resource.map_or("", |resource| resource.version.as_str());
            if self.generation(name, version, object).is_some_and(|found| found >= generation) {
                holding = holding.or(Some(Holding::Current));
                continue;
            }
            if let Some(refused) = resource.and_then(|resource| resource.refused.as_ref()) {
                return Holding::Refused(format!("{name}: {refused}"));
            }
            holding = Some(Holding::Behind);
        }
        holding.unwrap_or(Holding::Behind)
    }

    fn generation(&self, name: &str, version: &str, object: &ObjectKey) -> Option<i64> {
        let versions = self.resources.get(name)?;
        let (_, origins) = versions.iter().find(|(known, _)| known == version)?;
        origins.get(object).copied()
    }

    fn record_version(&mut self, name: &str, version: &str, origins: &BTreeSet<(ObjectKey, i64)>) {
        let mut versions = self.resources.remove(name).unwrap_or_default();
        self.unlink(name, versions.back());
        // A version that comes back contains what it is made from now: the content is the same.
        versions.retain(|(known, _)| known != version);
        // A set in ascending order: the last generation of an object is its highest.
        versions.push_back((version.to_owned(), origins.iter().cloned().collect()));
        if versions.len() > REMEMBERED_VERSIONS {
            versions.pop_front();
        }
        for (object, _) in origins {
            self.by_object.entry(object.clone()).or_default().insert(name.to_owned());
        }
        self.resources.insert(name.to_owned(), versions);
    }

    /// `name` is no longer made from the objects of `version`.
    fn unlink(&mut self, name: &str, version: Option<&(String, Origins)>) {
        for object in version.into_iter().flat_map(|(_, origins)| origins.keys()) {
            if let Some(names) = self.by_object.get_mut(object) {
                names.remove(name);
                if names.is_empty() {
                    self.by_object.remove(object);
                }
            }
        }
    }
}

/// Whether the newest version is this one, made from the same. Most resources of a tier are: it must be cheap.
fn is_current(versions: &Versions, version: &str, origins: &BTreeSet<(ObjectKey, i64)>) -> bool {
    versions.back().is_some_and(|(known, made_from)| {
        known == version
            && made_from.len() == origins.len()
            && made_from.iter().zip(origins).all(|((object, generation), (other, newer))| {
                object == other && generation == newer
            })
    })
}

#[cfg(test)]
mod tests {
    use gatefleet_names::Kind;

    use super::*;

    fn object() -> ObjectKey {
        ObjectKey::new(Kind::GatewayConfig, "edge", "prod")
    }

    fn send(ledger: &mut SentLedger, resources: &[(&str, &str, i64)]) {
        let origins: Vec<BTreeSet<_>> =
            resources.iter().map(|(_, _, generation)| [(object(), *generation)].into()).collect();
        let sent: Vec<SentResource<'_>> = resources
            .iter()
            .zip(&origins)
            .map(|((name, version, _), origins)| SentResource { name, version, origins })
            .collect();
        ledger.record(&sent);
    }

    fn held(resources: &[(&str, &str)]) -> BTreeMap<String, HeldResource> {
        let resource = |version: &str| HeldResource { version: version.to_owned(), refused: None };
        resources.iter().map(|(name, version)| ((*name).to_owned(), resource(version))).collect()
    }

    #[test]
    fn a_generation_is_held_when_every_resource_made_from_it_is() {
        let mut ledger = SentLedger::default();
        let nothing = held(&[]);
        assert_eq!(ledger.holding(&object(), 1, &nothing), Holding::Behind, "nothing was sent");

        send(&mut ledger, &[("tier", "a", 1), ("listener/http", "b", 1)]);
        let both = held(&[("tier", "a"), ("listener/http", "b")]);
        assert_eq!(ledger.holding(&object(), 1, &both), Holding::Current);
        assert_eq!(ledger.holding(&object(), 1, &held(&[("tier", "a")])), Holding::Behind);
        assert_eq!(ledger.holding(&object(), 2, &both), Holding::Behind, "not lowered yet");

        // Generation 2 changes the listener only: the tier's hash stays and contains both.
        send(&mut ledger, &[("tier", "a", 2), ("listener/http", "c", 2)]);
        assert_eq!(ledger.holding(&object(), 2, &both), Holding::Behind);
        assert_eq!(ledger.holding(&object(), 1, &both), Holding::Current, "the old one is known");
        let new = held(&[("tier", "a"), ("listener/http", "c")]);
        assert_eq!(ledger.holding(&object(), 2, &new), Holding::Current);
        let unknown = held(&[("tier", "a"), ("listener/http", "?")]);
        assert_eq!(ledger.holding(&object(), 1, &unknown), Holding::Behind);

        // Back to the first content, as generation 3: who never took the second holds it at once.
        send(&mut ledger, &[("tier", "a", 3), ("listener/http", "b", 3)]);
        assert_eq!(ledger.holding(&object(), 3, &both), Holding::Current);
    }

    #[test]
    fn a_refusal_is_told_with_its_resource() {
        let mut ledger = SentLedger::default();
        send(&mut ledger, &[("tier", "a", 1), ("listener/http", "b", 1)]);
        let mut refusing = held(&[("tier", "a"), ("listener/http", "")]);
        refusing.get_mut("listener/http").unwrap().refused =
            Some("port 10000 is in use".to_owned());
        assert_eq!(
            ledger.holding(&object(), 1, &refusing),
            Holding::Refused("listener/http: port 10000 is in use".to_owned()),
        );
        // A refusal of something newer does not take back what is held.
        refusing.get_mut("listener/http").unwrap().version = "b".to_owned();
        assert_eq!(ledger.holding(&object(), 1, &refusing), Holding::Current);
    }

    #[test]
    fn a_listener_that_was_not_sent_yet_is_not_held() {
        let mut ledger = SentLedger::default();
        let names = ["tier", "listener/http", "listener/https"];
        // Generation 2 adds https; its port is not allocated yet.
        send(&mut ledger, &[("tier", "a", 2), ("listener/http", "b", 2)]);
        let both = held(&[("tier", "a"), ("listener/http", "b")]);
        assert_eq!(ledger.holding(&object(), 2, &both), Holding::Current);
        assert_eq!(ledger.holding_of(names, &object(), 2, &both), Holding::Behind);
        send(
            &mut ledger,
            &[("tier", "a", 2), ("listener/http", "b", 2), ("listener/https", "c", 2)],
        );
        assert_eq!(ledger.holding_of(names, &object(), 2, &both), Holding::Behind);
        let all = held(&[("tier", "a"), ("listener/http", "b"), ("listener/https", "c")]);
        assert_eq!(ledger.holding_of(names, &object(), 2, &all), Holding::Current);
        assert_eq!(ledger.holding_of([""; 0], &object(), 2, &all), Holding::Behind);
    }

    #[test]
    fn versions_are_not_remembered_for_ever() {
        let mut ledger = SentLedger::default();
        for generation in 0..100 {
            send(&mut ledger, &[("tier", &generation.to_string(), generation)]);
        }
        assert_eq!(ledger.holding(&object(), 0, &held(&[("tier", "50")])), Holding::Behind);
        assert_eq!(ledger.holding(&object(), 99, &held(&[("tier", "99")])), Holding::Current);
        assert_eq!(ledger.resources["tier"].len(), REMEMBERED_VERSIONS);
        send(&mut ledger, &[]);
        assert!(ledger.resources.is_empty() && ledger.by_object.is_empty());
    }
}
