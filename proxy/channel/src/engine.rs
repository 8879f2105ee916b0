//! What the channel asks of whatever serves the configuration.

use std::{collections::BTreeMap, ops::Bound, sync::Arc};

use gatefleet_snapshot::{ResourceKind, v1::Resource};

/// Names of resources that could not be installed, each with what is wrong and what to do.
pub type Refusals = BTreeMap<String, String>;

/// Compiles resources and serves them.
pub trait Engine: Send + Sync + 'static {
    /// The compiled form of one resource, on its own: names of others are not resolved yet.
    type Compiled: Send + Sync + 'static;

    /// What this engine knows beyond the base of the schema (`gatefleet_snapshot::capability`). A resource that
    /// needs anything else is refused before `compile` sees it.
    fn capabilities(&self) -> &[&'static str];

    /// Compiles one resource alone. It must not block and must not depend on other resources.
    ///
    /// # Errors
    ///
    /// What is wrong with the resource, where in it, and what to do; the sentence reaches the user's status.
    fn compile(&self, resource: &Resource) -> Result<Self::Compiled, String>;

    /// Serves `set` and nothing else, on every thread, when it returns `Ok`. Names are resolved here: one that
    /// the set lacks makes a backend answer 503 for its weight, a certificate end the handshake, a policy answer
    /// 503 for its rules.
    ///
    /// All or nothing: what may fail (binding a port) is tried before anything changes. On `Err` the engine
    /// still serves exactly what it served before, and the map says which resources were at fault; the caller
    /// falls back to their previous versions and swaps again.
    fn swap(
        &self,
        set: EffectiveSet<Self::Compiled>,
    ) -> impl Future<Output = Result<(), Refusals>> + Send;
}

/// One resource that is to be served.
#[derive(Debug)]
pub struct Entry<C> {
    /// As it came; its `version` tells whether it changed.
    pub resource: Arc<Resource>,
    /// As the engine compiled it; the same `Arc` as long as the version stays.
    pub compiled: Arc<C>,
}

impl<C> Clone for Entry<C> {
    fn clone(&self) -> Self {
        Self { resource: Arc::clone(&self.resource), compiled: Arc::clone(&self.compiled) }
    }
}

/// Everything that is to be served: of each resource its newest version that is good. Cheap to clone.
#[derive(Debug)]
pub struct EffectiveSet<C> {
    entries: Arc<BTreeMap<Arc<str>, Entry<C>>>,
}

impl<C> Clone for EffectiveSet<C> {
    fn clone(&self) -> Self {
        Self { entries: Arc::clone(&self.entries) }
    }
}

impl<C> Default for EffectiveSet<C> {
    fn default() -> Self {
        Self { entries: Arc::default() }
    }
}

impl<C> FromIterator<(Arc<str>, Entry<C>)> for EffectiveSet<C> {
    fn from_iter<I: IntoIterator<Item = (Arc<str>, Entry<C>)>>(entries: I) -> Self {
        Self { entries: Arc::new(entries.into_iter().collect()) }
    }
}

impl<C> EffectiveSet<C> {
    /// The resource with this name; `None` when it is missing or was refused without a previous version.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Entry<C>> {
        self.entries.get(name)
    }

    /// All, in ascending order of name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Entry<C>)> {
        self.entries.iter().map(|(name, entry)| (&**name, entry))
    }

    /// All of one kind, in ascending order of name.
    pub fn of_kind(&self, kind: ResourceKind) -> impl Iterator<Item = (&str, &Entry<C>)> {
        self.entries
            .range::<str, _>((Bound::Included(kind.as_str()), Bound::Unbounded))
            .take_while(move |(name, _)| name.starts_with(kind.as_str()))
            .filter(move |(name, _)| ResourceKind::of_name(name) == Some(kind))
            .map(|(name, entry)| (&**name, entry))
    }

    /// Whether both hold the same resources, compiled once.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        self.len() == other.len()
            && self.iter().zip(other.iter()).all(|((name, entry), (other_name, other_entry))| {
                name == other_name && Arc::ptr_eq(&entry.compiled, &other_entry.compiled)
            })
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}
