//! One served resource: a kind in a version, how it is named in paths, and what it can do.

use std::sync::Arc;

use crate::{
    builtin::{Strategy, event},
    schema::Schema,
    table::Columns,
};

/// How often something of the API is versioned and named.
#[derive(Debug)]
pub(crate) struct Resource {
    /// API group, empty for the core group.
    pub(crate) group: String,
    /// API version, say `v1`.
    pub(crate) version: String,
    /// `Pod`.
    pub(crate) kind: String,
    /// `PodList`.
    pub(crate) list_kind: String,
    /// `pods`: the path element.
    pub(crate) plural: String,
    /// `pod`.
    pub(crate) singular: String,
    /// Does it live in a namespace?
    pub(crate) namespaced: bool,
    /// Names that kubectl accepts too.
    pub(crate) short_names: Vec<String>,
    /// Groups that kubectl accepts, say `all`.
    pub(crate) categories: Vec<String>,
    /// Is `status` a subresource, so that writes of the object leave it alone?
    pub(crate) status: bool,
    /// Paths of the `scale` subresource.
    pub(crate) scale: Option<Scale>,
    /// The verbs that it serves, as discovery lists them.
    pub(crate) verbs: &'static [&'static str],
    /// Structure: pruning, defaults, validation, list types.
    pub(crate) schema: Arc<Schema>,
    /// What is particular to a built-in kind.
    pub(crate) strategy: Strategy,
    /// The columns of its tables.
    pub(crate) columns: Columns,
    /// Fields that field selectors may name besides `metadata.name` and `metadata.namespace`.
    pub(crate) selectable: Vec<String>,
    /// Group of the storage key: `events.k8s.io` events are stored as core events.
    pub(crate) stored_group: String,
    /// The version that is stored.
    pub(crate) stored_version: String,
    /// Go's name of a built-in kind's definition.
    pub(crate) definition: Option<String>,
    /// A custom resource's rules, `None` for built-in kinds.
    pub(crate) custom: Option<Arc<crate::crd::Custom>>,
}

/// JSON paths of a `scale` subresource, as element lists.
#[derive(Debug, Clone)]
pub(crate) struct Scale {
    pub(crate) spec_replicas: Vec<String>,
    pub(crate) status_replicas: Vec<String>,
    pub(crate) selector: Option<Vec<String>>,
}

/// Everything that an ordinary resource serves.
pub(crate) const ALL_VERBS: &[&str] =
    &["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];

impl Resource {
    /// `plural` or `plural.group`, as messages name it.
    pub(crate) fn qualified(&self) -> String {
        if self.group.is_empty() {
            self.plural.clone()
        } else {
            format!("{}.{}", self.plural, self.group)
        }
    }

    /// `Kind` or `Kind.group`.
    pub(crate) fn qualified_kind(&self) -> String {
        if self.group.is_empty() {
            self.kind.clone()
        } else {
            format!("{}.{}", self.kind, self.group)
        }
    }

    /// `v1` or `apps/v1`.
    pub(crate) fn api_version(&self) -> String {
        group_version(&self.group, &self.version)
    }

    /// The `apiVersion` in the store.
    pub(crate) fn stored_api_version(&self) -> String {
        group_version(&self.stored_group, &self.stored_version)
    }

    /// The key of its collection in the store.
    pub(crate) fn collection(&self) -> String {
        format!("{}/{}", self.stored_group, self.plural)
    }
}

/// `v1` or `apps/v1`.
pub(crate) fn group_version(group: &str, version: &str) -> String {
    if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") }
}

impl Resource {
    /// Is it the event of `events.k8s.io`, whose store is that of core events?
    fn is_new_event(&self) -> bool {
        self.strategy == Strategy::Event && !self.group.is_empty()
    }

    /// An object as this version shows it.
    pub(crate) fn to_served(&self, object: &serde_json::Value) -> serde_json::Value {
        let mut object = object.clone();
        if self.is_new_event() {
            event::to_served(&mut object);
        }
        object["apiVersion"] = serde_json::json!(self.api_version());
        object
    }

    /// An object as the store keeps it.
    pub(crate) fn to_stored(&self, mut object: serde_json::Value) -> serde_json::Value {
        if self.is_new_event() {
            event::to_stored(&mut object);
        }
        object["apiVersion"] = serde_json::json!(self.stored_api_version());
        object
    }
}
