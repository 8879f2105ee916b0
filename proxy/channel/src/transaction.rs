//! Changes that take effect together.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use gatefleet_snapshot::v1::{Resource, Snapshot, Watermark};

/// Changes that take effect together.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Transaction {
    upserts: BTreeMap<String, Arc<Resource>>,
    removals: BTreeSet<String>,
    full: bool,
    /// How recent the writer's view of the cluster was; empty for files written by hand.
    pub watermark: Vec<Watermark>,
}

impl Transaction {
    /// A transaction that replaces everything.
    #[must_use]
    pub fn replace(snapshot: Snapshot) -> Self {
        let mut transaction = Self { full: true, watermark: snapshot.watermark, ..Self::default() };
        for resource in snapshot.resources {
            transaction.upsert(Arc::new(resource));
        }
        transaction
    }

    /// From now on nothing but its upserts remains.
    pub fn set_full(&mut self) {
        self.full = true;
        self.removals.clear();
    }

    /// Whether nothing but its upserts remains.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        self.full
    }

    /// Adds or replaces a resource.
    pub fn upsert(&mut self, resource: Arc<Resource>) {
        self.removals.remove(&resource.name);
        self.upserts.insert(resource.name.clone(), resource);
    }

    /// Removes a resource.
    pub fn remove(&mut self, name: String) {
        self.upserts.remove(&name);
        if !self.full {
            self.removals.insert(name);
        }
    }

    /// Makes this one mean: this one, then `later`.
    pub fn append(&mut self, later: Self) {
        if later.full {
            *self = later;
            return;
        }
        for name in later.removals {
            self.remove(name);
        }
        for resource in later.upserts.into_values() {
            self.upsert(resource);
        }
        self.watermark = later.watermark;
    }

    /// Whether it changes nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.full && self.upserts.is_empty() && self.removals.is_empty()
    }

    /// What it adds or replaces, by name.
    #[must_use]
    pub const fn upserts(&self) -> &BTreeMap<String, Arc<Resource>> {
        &self.upserts
    }

    /// What it removes, beside what [`Transaction::is_full`] removes.
    #[must_use]
    pub const fn removals(&self) -> &BTreeSet<String> {
        &self.removals
    }
}
