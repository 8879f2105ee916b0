//! The manifest that a cluster is given.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;

use crate::GatewayConfig;

/// The `CustomResourceDefinition` of `GatewayConfig`, from the types.
#[must_use]
pub fn manifest() -> CustomResourceDefinition {
    GatewayConfig::crd()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `make crds` writes the file.
    #[test]
    fn the_committed_manifest_is_fresh() {
        let yaml = serde_saphyr::to_string(&manifest()).unwrap();
        let header = "# Generated from the types in crds/src by `make crds`.\n";
        expect_test::expect_file!["../gatewayconfigs.yaml"].assert_eq(&format!("{header}{yaml}"));
    }
}
