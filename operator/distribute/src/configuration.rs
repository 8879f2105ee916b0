//! What one tier is to serve.

use std::{collections::BTreeMap, sync::Arc};

use gatefleet_snapshot::v1::{Resource, Watermark};

/// What one tier is to serve.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TierConfiguration {
    /// By name; each with its version (`gatefleet_snapshot::seal`). The same `Arc` as in the configuration before
    /// is known to be unchanged at the cost of one comparison.
    pub resources: Arc<BTreeMap<Arc<str>, Arc<Resource>>>,
    /// The newest resourceVersion seen of each kind, in ascending order of kind.
    pub watermark: Vec<Watermark>,
}

impl TierConfiguration {
    /// A configuration of `resources`; of several under one name the last stays.
    #[must_use]
    pub fn new(
        resources: impl IntoIterator<Item = Arc<Resource>>,
        watermark: Vec<Watermark>,
    ) -> Self {
        let resources = resources
            .into_iter()
            .map(|resource| (Arc::from(resource.name.as_str()), resource))
            .collect();
        Self { resources: Arc::new(resources), watermark }
    }

    /// Whether both say the same; versions stand for content.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        let same = |((name, resource), (other_name, other)): (Item<'_>, Item<'_>)| {
            name == other_name
                && (Arc::ptr_eq(resource, other) || resource.version == other.version)
        };
        self.watermark == other.watermark
            && self.resources.len() == other.resources.len()
            && self.resources.iter().zip(other.resources.iter()).all(same)
    }
}

type Item<'a> = (&'a Arc<str>, &'a Arc<Resource>);
