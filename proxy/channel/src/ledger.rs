//! Which version of each resource is served: pure bookkeeping.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use gatefleet_snapshot::{references, v1::Resource};

use crate::{EffectiveSet, Entry, Outcome, Refusals, Transaction};

/// Remembers of each resource what is wanted, what is good, and why they differ.
///
/// One change is: [`Ledger::apply`], then [`Ledger::effective`] to the engine; if the engine refuses some,
/// [`Ledger::refuse`] and `effective` again; when it serves the set, [`Ledger::installed`]. Until then the last
/// good versions stay remembered.
#[derive(Debug)]
pub struct Ledger<C> {
    slots: BTreeMap<Arc<str>, Slot<C>>,
}

#[derive(Debug)]
struct Slot<C> {
    /// `None`: removed; it stays as long as a retained version names it.
    wanted: Option<Wanted>,
    /// Compiled, not yet installed.
    candidate: Option<Entry<C>>,
    /// The last version that was installed.
    good: Option<Entry<C>>,
}

#[derive(Debug)]
struct Wanted {
    resource: Arc<Resource>,
    version: Arc<str>,
    refusal: Option<Refusal>,
}

#[derive(Debug)]
struct Refusal {
    message: Arc<str>,
    /// Compiling gives the same answer every time; installing (a port in use) may not.
    retry: bool,
}

impl<C> Slot<C> {
    const fn empty() -> Self {
        Self { wanted: None, candidate: None, good: None }
    }

    fn refusal(&self) -> Option<&Refusal> {
        self.wanted.as_ref().and_then(|wanted| wanted.refusal.as_ref())
    }

    fn effective(&self) -> Option<&Entry<C>> {
        self.candidate.as_ref().or(self.good.as_ref())
    }
}

impl<C> Default for Ledger<C> {
    fn default() -> Self {
        Self { slots: BTreeMap::new() }
    }
}

impl<C> Ledger<C> {
    /// Takes the changes of a transaction; each resource compiles alone, and only when its version is new.
    pub fn apply(
        &mut self,
        transaction: &Transaction,
        mut compile: impl FnMut(&Resource) -> Result<C, String>,
    ) {
        if transaction.is_full() {
            for (name, slot) in &mut self.slots {
                if !transaction.upserts().contains_key(&**name) {
                    slot.wanted = None;
                    slot.candidate = None;
                }
            }
        }
        for name in transaction.removals() {
            if let Some(slot) = self.slots.get_mut(name.as_str()) {
                slot.wanted = None;
                slot.candidate = None;
            }
        }
        for (name, resource) in transaction.upserts() {
            let slot = self.slots.entry(name.as_str().into()).or_insert_with(Slot::empty);
            slot.want(resource, &mut compile);
        }
    }

    /// Compiles again what an engine could not install; true when there is any.
    pub fn retry(&mut self, mut compile: impl FnMut(&Resource) -> Result<C, String>) -> bool {
        let mut any = false;
        for slot in self.slots.values_mut() {
            if slot.refusal().is_some_and(|refusal| refusal.retry)
                && let Some(wanted) = slot.wanted.take()
            {
                any = true;
                slot.want(&wanted.resource, &mut compile);
            }
        }
        any
    }

    /// What is to be served now.
    #[must_use]
    pub fn effective(&self) -> EffectiveSet<C> {
        let kept = self.kept();
        let entries = self.slots.iter().filter_map(|(name, slot)| {
            let shown = slot.wanted.is_some() || kept.contains(&**name);
            let entry = slot.effective().filter(|_| shown)?;
            Some((Arc::clone(name), entry.clone()))
        });
        entries.collect()
    }

    /// Takes back what the engine could not install: the previous version of each is served instead. A name
    /// without a new version loses what it had, so that swapping again ends. False when that changes nothing.
    pub fn refuse(&mut self, refusals: &Refusals) -> bool {
        let mut changed = false;
        for (name, message) in refusals {
            let Some(slot) = self.slots.get_mut(name.as_str()) else { continue };
            changed |= slot.candidate.take().or_else(|| slot.good.take()).is_some();
            if let Some(wanted) = &mut slot.wanted {
                let message = message.as_str().into();
                wanted.refusal = Some(Refusal { message, retry: true });
            }
        }
        changed
    }

    /// Names of the resources with a version that is not installed yet.
    pub fn candidates(&self) -> impl Iterator<Item = &str> {
        self.slots.iter().filter(|(_, slot)| slot.candidate.is_some()).map(|(name, _)| &**name)
    }

    /// The engine serves [`Ledger::effective`].
    pub fn installed(&mut self) {
        let kept: BTreeSet<Arc<str>> = self.kept().into_iter().map(Arc::from).collect();
        self.slots.retain(|name, slot| {
            if let Some(candidate) = slot.candidate.take() {
                slot.good = Some(candidate);
            }
            slot.wanted.is_some() || kept.contains(name)
        });
    }

    /// What became of each resource, in ascending order of name. True once the set is installed.
    #[must_use]
    pub fn outcomes(&self) -> BTreeMap<Arc<str>, Outcome> {
        let refused: BTreeSet<&str> = self
            .slots
            .iter()
            .filter(|(_, slot)| slot.refusal().is_some())
            .map(|(name, _)| &**name)
            .collect();
        let outcome = |slot: &Slot<C>| slot.outcome(&refused);
        self.slots
            .iter()
            .filter_map(|(name, slot)| Some((Arc::clone(name), outcome(slot)?)))
            .collect()
    }

    /// The version of each resource that is wanted, refused or not: what resuming a stream starts from.
    pub fn wanted_versions(&self) -> impl Iterator<Item = (&str, &str)> {
        self.slots
            .iter()
            .filter_map(|(name, slot)| Some((&**name, &*slot.wanted.as_ref()?.version)))
    }

    /// Removed resources that a retained previous version names, directly or through another such resource.
    fn kept(&self) -> BTreeSet<&str> {
        let mut kept = BTreeSet::new();
        let retained = self.slots.values().filter(|slot| slot.refusal().is_some());
        let mut open: Vec<&Entry<C>> = retained.filter_map(Slot::effective).collect();
        while let Some(entry) = open.pop() {
            for name in references(&entry.resource) {
                let Some(slot) = self.slots.get(name) else { continue };
                if slot.wanted.is_none() && kept.insert(name) {
                    open.extend(slot.effective());
                }
            }
        }
        kept
    }
}

impl<C> Slot<C> {
    fn want(
        &mut self,
        resource: &Arc<Resource>,
        compile: &mut impl FnMut(&Resource) -> Result<C, String>,
    ) {
        let version = resource.version.as_str();
        if self.wanted.as_ref().is_some_and(|wanted| &*wanted.version == version) {
            return;
        }
        let mut wanted =
            Wanted { resource: Arc::clone(resource), version: version.into(), refusal: None };
        let good = self.good.as_ref().is_some_and(|good| good.resource.version == version);
        self.candidate = None;
        if !good {
            match compile(resource) {
                Ok(compiled) => {
                    let compiled = Arc::new(compiled);
                    self.candidate = Some(Entry { resource: Arc::clone(resource), compiled });
                }
                Err(message) => {
                    wanted.refusal = Some(Refusal { message: message.into(), retry: false });
                }
            }
        }
        self.wanted = Some(wanted);
    }

    fn outcome(&self, refused: &BTreeSet<&str>) -> Option<Outcome> {
        let entry = self.effective();
        let Some(wanted) = &self.wanted else {
            let version = entry?.resource.version.as_str().into();
            return Some(Outcome::Installed { version });
        };
        if let Some(refusal) = &wanted.refusal {
            return Some(Outcome::Refused {
                version: entry.map(|entry| entry.resource.version.as_str().into()),
                refused_version: Arc::clone(&wanted.version),
                message: Arc::clone(&refusal.message),
            });
        }
        let version = Arc::clone(&wanted.version);
        let culprit =
            if refused.is_empty() { None } else { first_refused(&wanted.resource, refused) };
        Some(match culprit {
            None => Outcome::Installed { version },
            Some(name) => Outcome::DependencyRefused {
                version,
                message: format!("it names {name}, which was refused").into(),
            },
        })
    }
}

fn first_refused(resource: &Resource, refused: &BTreeSet<&str>) -> Option<String> {
    references(resource).into_iter().find(|name| refused.contains(name)).map(str::to_owned)
}
