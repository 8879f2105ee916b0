//! All objects of one kind.

use std::{collections::BTreeMap, sync::Arc};

use kube::Resource;

/// Whether both are the same state of the same object: equal UID and resourceVersion. Objects without them
/// (read from files) are the same only if they are one.
#[must_use]
pub fn is_same<T: Resource>(one: &Arc<T>, other: &Arc<T>) -> bool {
    fn identity<T: Resource>(object: &T) -> Option<(&String, &String)> {
        let meta = object.meta();
        meta.uid.as_ref().zip(meta.resource_version.as_ref())
    }
    Arc::ptr_eq(one, other) || identity(&**one).is_some_and(|ours| identity(&**other) == Some(ours))
}

type Names<T> = BTreeMap<String, Arc<T>>;

/// The objects of one kind by namespace (empty for cluster-scoped kinds) and name.
#[derive(Debug)]
pub struct Shelf<T> {
    namespaces: Arc<BTreeMap<String, Arc<Names<T>>>>,
}

impl<T> Clone for Shelf<T> {
    fn clone(&self) -> Self {
        Self { namespaces: Arc::clone(&self.namespaces) }
    }
}

impl<T> Default for Shelf<T> {
    fn default() -> Self {
        Self { namespaces: Arc::default() }
    }
}

impl<T: Resource> Shelf<T> {
    /// The object of this name. `namespace` is empty for cluster-scoped kinds.
    #[must_use]
    pub fn get(&self, namespace: &str, name: &str) -> Option<&Arc<T>> {
        self.namespaces.get(namespace)?.get(name)
    }

    /// All objects, in ascending order of namespace and name.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<T>> {
        self.namespaces.values().flat_map(|names| names.values())
    }

    /// The objects of one namespace, in ascending order of name.
    pub fn in_namespace<'a>(
        &'a self,
        namespace: &str,
    ) -> impl Iterator<Item = &'a Arc<T>> + use<'a, T> {
        self.namespaces.get(namespace).into_iter().flat_map(|names| names.values())
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.namespaces.values().map(|names| names.len()).sum()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.namespaces.is_empty()
    }

    /// Adds or replaces; answers what was there.
    pub fn insert(&mut self, object: Arc<T>) -> Option<Arc<T>> {
        let meta = object.meta();
        let namespace = meta.namespace.clone().unwrap_or_default();
        let name = meta.name.clone().unwrap_or_default();
        let names = Arc::make_mut(&mut self.namespaces).entry(namespace).or_default();
        Arc::make_mut(names).insert(name, object)
    }

    /// Takes out; answers what was there.
    pub fn remove(&mut self, namespace: &str, name: &str) -> Option<Arc<T>> {
        self.get(namespace, name)?;
        let namespaces = Arc::make_mut(&mut self.namespaces);
        let names = Arc::make_mut(namespaces.get_mut(namespace)?);
        let removed = names.remove(name);
        if names.is_empty() {
            namespaces.remove(namespace);
        }
        removed
    }

    /// Namespace and name of everything that differs from `before`: added, removed, or in another state. What
    /// both share is skipped by whole namespaces, so the cost follows the change and not the size.
    #[must_use]
    pub fn changed_since(&self, before: &Self) -> Vec<(String, String)> {
        let mut changed = Vec::new();
        if Arc::ptr_eq(&self.namespaces, &before.namespaces) {
            return changed;
        }
        let empty = Arc::default();
        for (namespace, new) in self.namespaces.iter() {
            let old = before.namespaces.get(namespace).unwrap_or(&empty);
            if !Arc::ptr_eq(old, new) {
                changed.extend(differing(old, new).map(|name| (namespace.clone(), name)));
            }
        }
        for (namespace, old) in before.namespaces.iter() {
            if !self.namespaces.contains_key(namespace) {
                changed.extend(old.keys().map(|name| (namespace.clone(), name.clone())));
            }
        }
        changed
    }
}

fn differing<'a, T: Resource>(
    old: &'a Names<T>,
    new: &'a Names<T>,
) -> impl Iterator<Item = String> + 'a {
    let altered = new
        .iter()
        .filter(|(name, object)| old.get(*name).is_none_or(|before| !is_same(before, object)));
    let gone = old.keys().filter(|name| !new.contains_key(*name));
    altered.map(|(name, _)| name).chain(gone).cloned()
}

impl<T: Resource> FromIterator<Arc<T>> for Shelf<T> {
    fn from_iter<I: IntoIterator<Item = Arc<T>>>(objects: I) -> Self {
        let mut shelf = Self::default();
        for object in objects {
            shelf.insert(object);
        }
        shelf
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::{api::core::v1::Service, apimachinery::pkg::apis::meta::v1::ObjectMeta};

    use super::*;

    fn service(namespace: &str, name: &str, version: &str) -> Arc<Service> {
        let metadata = ObjectMeta {
            namespace: Some(namespace.to_owned()),
            name: Some(name.to_owned()),
            uid: Some(name.to_owned()),
            resource_version: Some(version.to_owned()),
            ..ObjectMeta::default()
        };
        Arc::new(Service { metadata, ..Service::default() })
    }

    #[test]
    fn a_clone_does_not_see_later_changes() {
        let mut shelf: Shelf<Service> = [service("a", "x", "1")].into_iter().collect();
        let view = shelf.clone();
        shelf.insert(service("a", "y", "2"));
        shelf.remove("a", "x");
        assert_eq!((view.len(), shelf.len()), (1, 1));
        assert!(view.get("a", "x").is_some() && view.get("a", "y").is_none());
        assert!(shelf.remove("a", "x").is_none());
        assert!(shelf.remove("a", "y").is_some() && shelf.is_empty());
    }

    #[test]
    fn changes_are_additions_removals_and_new_versions() {
        let before: Shelf<Service> =
            [service("a", "x", "1"), service("a", "y", "1"), service("b", "z", "1")]
                .into_iter()
                .collect();
        let mut after = before.clone();
        assert!(after.changed_since(&before).is_empty());
        after.insert(service("a", "x", "1"));
        assert!(after.changed_since(&before).is_empty(), "the same version again is no change");
        after.insert(service("a", "y", "2"));
        after.insert(service("c", "n", "3"));
        after.remove("b", "z");
        let mut changed = after.changed_since(&before);
        changed.sort();
        let names = [("a", "y"), ("b", "z"), ("c", "n")];
        assert_eq!(changed, names.map(|(namespace, name)| (namespace.to_owned(), name.to_owned())));
    }
}
