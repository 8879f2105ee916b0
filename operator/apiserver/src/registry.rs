//! Which resources are served now: built-in ones, and those that CustomResourceDefinitions declare.

use std::{collections::BTreeMap, sync::Arc};

use crate::{builtin, request::Target, resource::Resource};

/// The served resources.
#[derive(Debug)]
pub(crate) struct Registry {
    builtin: Vec<Arc<Resource>>,
    /// By the name of the CustomResourceDefinition.
    custom: BTreeMap<String, Vec<Arc<Resource>>>,
}

impl Registry {
    /// The built-in resources alone.
    pub(crate) fn new() -> Self {
        Self { builtin: builtin::kinds::resources(), custom: BTreeMap::new() }
    }

    /// All served resources.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<Resource>> {
        self.builtin.iter().chain(self.custom.values().flatten())
    }

    /// The resource that a path names.
    pub(crate) fn find(&self, target: &Target) -> Option<&Arc<Resource>> {
        self.all().find(|r| {
            r.plural == target.plural && r.group == target.group && r.version == target.version
        })
    }

    /// A resource that stores objects of a kind, in any version that is served.
    pub(crate) fn by_kind(&self, api_version: &str, kind: &str) -> Option<&Arc<Resource>> {
        let group = api_version.split_once('/').map_or("", |(group, _)| group);
        let exact = self.all().find(|r| r.kind == kind && r.api_version() == api_version);
        exact.or_else(|| self.all().find(|r| r.kind == kind && r.group == group))
    }

    /// A resource that is stored in a collection.
    pub(crate) fn by_collection(&self, collection: &str) -> Option<&Arc<Resource>> {
        self.all().find(|r| r.collection() == collection)
    }

    /// A resource that a CustomResourceDefinition declares.
    pub(crate) fn declared(&self, definition: &str) -> Option<Arc<Resource>> {
        self.custom.get(definition).and_then(|r| r.first()).cloned()
    }

    /// Serves the resources of a CustomResourceDefinition, in place of those that it declared before.
    pub(crate) fn declare(&mut self, definition: &str, resources: Vec<Arc<Resource>>) {
        self.custom.insert(definition.to_owned(), resources);
    }

    /// Serves the resources of a CustomResourceDefinition no more.
    pub(crate) fn withdraw(&mut self, definition: &str) {
        self.custom.remove(definition);
    }
}
