//! Who says how many proxies a tier has, while that passes to an autoscaler.
//!
//! A field that loses its last manager falls back to its default, here 1. So a second manager says the current number
//! once, before the first stops saying any; the autoscaler's first write takes the field over from it.

use gatefleet_apply::Applied;
use gatefleet_infra::ChildObject;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use kube::ResourceExt;
use serde_json::{Value, json};

use crate::{
    objects::{Halt, Present},
    reconcile::Reconcile,
};

const REPLICAS: [&str; 2] = ["spec", "replicas"];

impl Reconcile<'_> {
    /// Applies a Deployment that does not say `replicas`. A new one says the fewest: it is handed over when it is seen.
    pub(crate) async fn apply_scaled(
        &mut self,
        deployment: &dyn ChildObject,
        mut wish: Value,
        seen: Option<Present>,
        autoscaler: &HorizontalPodAutoscaler,
    ) -> Result<Applied, Halt> {
        let resource = deployment.kind().resource();
        let writer = &self.tools.infra;
        if seen.is_some_and(|seen| writer.is_settled(&resource, &wish, &seen.manifest)) {
            return Ok(Applied::Unchanged);
        }
        // A watch may be behind, and a number from the past must not come back.
        let Some(live) = self.read(deployment).await? else {
            wish["spec"]["replicas"] = autoscaler.spec.min_replicas.into();
            return Ok(self.tools.infra.apply(&resource, wish, None).await?);
        };
        let mut version = live.metadata.resource_version;
        if self.tools.infra.owns(&live.manifest, &REPLICAS) {
            let held = json!({
                "metadata": {
                    "name": live.metadata.name, "namespace": self.namespace(), "resourceVersion": version,
                },
                "spec": { "replicas": live.manifest["spec"]["replicas"] },
            });
            version = self.tools.replicas.share(&resource, held).await?.resource_version();
        }
        wish["metadata"]["resourceVersion"] = version.into();
        Ok(self.tools.infra.apply(&resource, wish, Some(&live.manifest)).await?)
    }
}
