//! What everybody sees.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use gatefleet_crds::GatewayConfig;
use gatefleet_infra::MANAGED_BY_LABEL;
use gatefleet_state::{ClusterState, ReferenceGrant, Shelf, is_same};
use k8s_openapi::{
    api::{
        core::v1::{Namespace, Pod, Secret, Service},
        discovery::v1::EndpointSlice,
        networking::v1::{Ingress, IngressClass},
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::Resource;
use serde::de::DeserializeOwned;

use crate::children::{Children, for_own_kinds};

/// Label and value that mark every object that the operator writes.
pub const MANAGED_BY: (&str, &str) = (MANAGED_BY_LABEL, "gatefleet");

/// The newest resourceVersion seen per kind with group, such as `Ingress.networking.k8s.io`.
pub type Watermark = BTreeMap<String, String>;

/// Orders resourceVersions: a longer one is newer, then digit by digit (KEP-5504).
#[must_use]
pub fn compare_versions(one: &str, other: &str) -> Ordering {
    one.len().cmp(&other.len()).then_with(|| one.cmp(other))
}

/// The cluster at one moment.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// What routes are made of.
    pub state: ClusterState,
    /// What the operator wrote itself, with `managedFields` (everything else is without).
    pub children: Children,
    /// The Secrets of which it is known whether they exist (namespace, name).
    pub answered: BTreeSet<(String, String)>,
    /// How recent all of it is.
    pub watermark: Watermark,
}

/// A kind that is watched, and where it goes.
pub(crate) trait Watched:
    Resource<DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug + Send + Sync + 'static
{
    fn shelf(view: &View) -> &Shelf<Self>;
    fn insert(view: &mut View, object: Arc<Self>);
    fn remove(view: &mut View, namespace: &str, name: &str);
}

macro_rules! watched {
    ($($kind:ty => $($path:ident).+;)+) => {$(
        impl Watched for $kind {
            fn shelf(view: &View) -> &Shelf<Self> {
                &view.$($path).+
            }

            fn insert(view: &mut View, object: Arc<Self>) {
                view.$($path).+.insert(object);
            }

            fn remove(view: &mut View, namespace: &str, name: &str) {
                view.$($path).+.remove(namespace, name);
            }
        }
    )+};
}

watched! {
    GatewayConfig => state.gateway_configs;
    Ingress => state.ingresses;
    IngressClass => state.ingress_classes;
    Namespace => state.namespaces;
    ReferenceGrant => state.reference_grants;
    Secret => state.secrets;
    Service => state.services;
    Pod => children.pods;
}

/// One line of [`watched!`].
macro_rules! watched_child {
    ($kind:ty => $($path:ident).+) => {
        watched! { $kind => $($path).+; }
    };
}
for_own_kinds!(watched_child);

impl Watched for EndpointSlice {
    fn shelf(view: &View) -> &Shelf<Self> {
        view.state.slices()
    }

    fn insert(view: &mut View, object: Arc<Self>) {
        view.state.insert_slice(object);
    }

    fn remove(view: &mut View, namespace: &str, name: &str) {
        view.state.remove_slice(namespace, name);
    }
}

/// Which objects of a kind one watch is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Scope {
    All,
    /// Those with [`MANAGED_BY`].
    Own,
    /// All of one namespace.
    AllIn(String),
    /// Those of one namespace with [`MANAGED_BY`].
    OwnIn(String),
    /// One, by namespace and name.
    Named(String, String),
}

/// One step of a watch.
#[derive(Debug)]
pub(crate) enum Step<K> {
    /// Everything that exists in the scope.
    Listed(Vec<K>),
    Applied(Box<K>),
    /// Gone, with its UID.
    Deleted(Box<ObjectMeta>),
    /// Nothing but time went by.
    Bookmark,
}

/// Puts one step into the view; whether somebody should know.
pub(crate) fn take<K: Watched>(view: &mut View, scope: &Scope, step: Step<K>) -> bool {
    match step {
        Step::Listed(objects) => relist(view, scope, objects),
        Step::Applied(object) => apply(view, *object),
        Step::Deleted(meta) => delete::<K>(view, &meta),
        Step::Bookmark => false,
    }
}

fn relist<K: Watched>(view: &mut View, scope: &Scope, objects: Vec<K>) -> bool {
    let listed: BTreeSet<(String, String)> = objects.iter().map(|o| place(o.meta())).collect();
    let known: Vec<(String, String)> = match scope {
        Scope::All | Scope::Own => K::shelf(view).iter().map(|o| place(o.meta())).collect(),
        Scope::AllIn(namespace) | Scope::OwnIn(namespace) => {
            K::shelf(view).in_namespace(namespace).map(|o| place(o.meta())).collect()
        }
        Scope::Named(namespace, name) => {
            let there = K::shelf(view).get(namespace, name).is_some();
            there.then(|| (namespace.clone(), name.clone())).into_iter().collect()
        }
    };
    let mut changed = false;
    for (namespace, name) in known.into_iter().filter(|known| !listed.contains(known)) {
        K::remove(view, &namespace, &name);
        changed = true;
    }
    for object in objects {
        changed |= apply(view, object);
    }
    if let Scope::Named(namespace, name) = scope {
        changed |= view.answered.insert((namespace.clone(), name.clone()));
    }
    changed
}

fn apply<K: Watched>(view: &mut View, mut object: K) -> bool {
    let own = object.meta().labels.as_ref().and_then(|labels| labels.get(MANAGED_BY.0));
    if own.is_none_or(|value| value != MANAGED_BY.1) {
        object.meta_mut().managed_fields = None;
    }
    let (namespace, name) = place(object.meta());
    let object = Arc::new(object);
    if K::shelf(view).get(&namespace, &name).is_some_and(|old| is_same(old, &object)) {
        return false;
    }
    K::insert(view, object);
    true
}

/// A name may already be taken by a successor, whose UID is another one.
fn delete<K: Watched>(view: &mut View, meta: &ObjectMeta) -> bool {
    let (namespace, name) = place(meta);
    let there = K::shelf(view).get(&namespace, &name);
    let gone = there.is_some_and(|old| old.meta().uid == meta.uid);
    if gone {
        K::remove(view, &namespace, &name);
    }
    gone
}

fn place(meta: &ObjectMeta) -> (String, String) {
    (meta.namespace.clone().unwrap_or_default(), meta.name.clone().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(name: &str, uid: &str, version: &str, own: bool) -> Secret {
        let labels = own.then(|| [(MANAGED_BY.0.to_owned(), MANAGED_BY.1.to_owned())].into());
        Secret {
            metadata: ObjectMeta {
                namespace: Some("n".to_owned()),
                name: Some(name.to_owned()),
                uid: Some(uid.to_owned()),
                resource_version: Some(version.to_owned()),
                labels,
                managed_fields: Some(Vec::new()),
                ..ObjectMeta::default()
            },
            ..Secret::default()
        }
    }

    fn named(name: &str) -> Scope {
        Scope::Named("n".to_owned(), name.to_owned())
    }

    #[test]
    fn a_list_replaces_its_own_scope_and_nothing_else() {
        let mut view = View::default();
        assert!(take(&mut view, &named("a"), Step::Listed(vec![secret("a", "1", "1", false)])));
        assert!(take(&mut view, &named("b"), Step::Listed(vec![secret("b", "2", "2", false)])));
        assert!(!take(&mut view, &named("a"), Step::Listed(vec![secret("a", "1", "1", false)])));
        assert!(take(&mut view, &named("a"), Step::<Secret>::Listed(Vec::new())));
        assert_eq!(view.state.secrets.len(), 1);
        assert_eq!(view.answered.len(), 2, "absence is an answer");
    }

    #[test]
    fn the_list_of_one_namespace_leaves_the_others_alone() {
        let mut view = View::default();
        let mut other = secret("a", "3", "3", false);
        other.metadata.namespace = Some("m".to_owned());
        take(&mut view, &Scope::AllIn("m".to_owned()), Step::Listed(vec![other]));
        take(
            &mut view,
            &Scope::AllIn("n".to_owned()),
            Step::Listed(vec![secret("a", "1", "1", false)]),
        );
        assert!(take(&mut view, &Scope::AllIn("n".to_owned()), Step::<Secret>::Listed(Vec::new())));
        assert!(view.state.secrets.get("m", "a").is_some() && view.state.secrets.len() == 1);
    }

    #[test]
    fn the_deletion_of_a_predecessor_does_not_touch_its_successor() {
        let mut view = View::default();
        take(&mut view, &Scope::All, Step::Listed(vec![secret("a", "new", "5", false)]));
        assert!(!take::<Secret>(
            &mut view,
            &Scope::All,
            Step::Deleted(Box::new(secret("a", "old", "4", false).metadata))
        ));
        assert_eq!(view.state.secrets.len(), 1);
    }

    #[test]
    fn only_own_objects_keep_their_managed_fields() {
        let mut view = View::default();
        let both = vec![secret("a", "1", "1", true), secret("b", "2", "1", false)];
        take(&mut view, &Scope::All, Step::Listed(both));
        let kept =
            |name| view.state.secrets.get("n", name).unwrap().metadata.managed_fields.is_some();
        assert!(kept("a") && !kept("b"));
    }
}
