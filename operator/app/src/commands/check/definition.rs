//! The definition of `GatewayConfig`: whether it is there, and of this build.

use std::collections::BTreeSet;

use gatefleet_crds::{GatewayConfig, VERSION};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{Api, CustomResourceExt};
use serde_json::Value;

use super::{Finding, Verdict};
use crate::cluster::Cluster;

const CHECK: &str = "definition";
const NAME: &str = "gatewayconfigs.gatefleet.dev";
const REMEDY: &str = "gatefleet crds | kubectl apply --server-side -f -";

pub(super) async fn check(cluster: &Cluster) -> Finding {
    let api: Api<CustomResourceDefinition> = Api::all(cluster.client.clone());
    let asked = cluster.ask("get CustomResourceDefinition", api.get_opt(NAME)).await;
    let (verdict, message) = match asked {
        Err(error) => return Finding::unasked(CHECK, &error),
        Ok(None) => (Verdict::Failed, format!("it is not there; install it: {REMEDY}")),
        Ok(Some(installed)) => judge(&installed),
    };
    Finding::new(CHECK, verdict, format!("CustomResourceDefinition {NAME}"), message)
}

fn judge(installed: &CustomResourceDefinition) -> (Verdict, String) {
    let conditions = installed.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let mut established = conditions.filter(|condition| condition.type_ == "Established");
    if let Some(refused) = established.find(|condition| condition.status != "True") {
        let why = refused.message.as_deref().unwrap_or("it is not established");
        return (Verdict::Failed, format!("the API server does not serve it: {why}"));
    }
    let own = fields(&GatewayConfig::crd());
    let theirs = fields(installed);
    if theirs.is_empty() {
        let message = format!("it does not serve {VERSION}; install this version's: {REMEDY}");
        return (Verdict::Failed, message);
    }
    if let Some(lacking) = differing(&own, &theirs) {
        let message =
            format!("it is older than this gatefleet and lacks {lacking}; renew it: {REMEDY}");
        return (Verdict::Failed, message);
    }
    if let Some(more) = differing(&theirs, &own) {
        let message =
            format!("it is newer than this gatefleet, which does not know {more}; renew gatefleet");
        return (Verdict::Warning, message);
    }
    (Verdict::Ok, format!("serves {VERSION} as this gatefleet knows it"))
}

/// The first of `one` that is not in `other`, and how many more there are.
fn differing(one: &BTreeSet<String>, other: &BTreeSet<String>) -> Option<String> {
    let mut more = one.difference(other);
    let first = more.next()?;
    Some(match more.count() {
        0 => first.clone(),
        count => format!("{first} and {count} more fields"),
    })
}

/// The path of every field of the version's schema.
fn fields(definition: &CustomResourceDefinition) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let version =
        definition.spec.versions.iter().find(|version| version.name == VERSION && version.served);
    let schema = version.and_then(|version| version.schema.as_ref()?.open_api_v3_schema.as_ref());
    if let Some(schema) = schema.and_then(|schema| serde_json::to_value(schema).ok()) {
        collect(&schema, "", &mut found);
    }
    found
}

fn collect(schema: &Value, path: &str, found: &mut BTreeSet<String>) {
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}.{name}");
        collect(field, &path, found);
        found.insert(path.trim_start_matches('.').to_owned());
    }
    if schema["items"].is_object() {
        collect(&schema["items"], path, found);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The definition of this build, edited as JSON.
    fn edited(pointer: &str, value: Option<Value>) -> CustomResourceDefinition {
        let mut tree = serde_json::to_value(GatewayConfig::crd()).unwrap();
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        let parent = tree.pointer_mut(parent).unwrap().as_object_mut().unwrap();
        match value {
            Some(value) => drop(parent.insert(name.to_owned(), value)),
            None => drop(parent.remove(name).unwrap()),
        }
        serde_json::from_value(tree).unwrap()
    }

    #[test]
    fn older_and_newer_definitions_are_told() {
        assert_eq!(judge(&GatewayConfig::crd()).0, Verdict::Ok);
        let tier = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/northSouth/properties";
        let (verdict, message) = judge(&edited(&format!("{tier}/replicas"), None));
        assert_eq!(verdict, Verdict::Failed);
        assert!(message.contains("lacks spec.northSouth.replicas; renew it"), "{message}");
        let newer = edited(&format!("{tier}/wings"), Some(serde_json::json!({"type": "integer"})));
        let (verdict, message) = judge(&newer);
        assert_eq!(verdict, Verdict::Warning);
        assert!(message.contains("does not know spec.northSouth.wings"), "{message}");
        let other = edited("/spec/versions/0/name", Some(serde_json::json!("v1")));
        assert_eq!(judge(&other).0, Verdict::Failed);
    }
}
