//! Deployments and ReplicaSets, and the kinds that look after them.

use serde_json::{Value, json};

use super::pod;
use crate::{
    error::Cause,
    names,
    object::{self, as_map, default_to, field_mut},
};

/// Defaults of a Deployment (`apps/v1` `SetDefaults_Deployment`).
pub(super) fn default_deployment(deployment: &mut Value) {
    pod::default_template(deployment);
    let spec = field_mut(deployment, "spec");
    default_to(spec, "replicas", 1);
    default_to(spec, "revisionHistoryLimit", 10);
    default_to(spec, "progressDeadlineSeconds", 600);
    let strategy = as_map(spec.entry("strategy").or_insert_with(|| json!({})));
    default_to(strategy, "type", "RollingUpdate");
    if strategy.get("type") == Some(&json!("RollingUpdate")) {
        let rolling = as_map(strategy.entry("rollingUpdate").or_insert_with(|| json!({})));
        default_to(rolling, "maxUnavailable", "25%");
        default_to(rolling, "maxSurge", "25%");
    }
}

/// Defaults of a ReplicaSet.
pub(super) fn default_replica_set(set: &mut Value) {
    pod::default_template(set);
    default_to(field_mut(set, "spec"), "replicas", 1);
}

/// Defaults of a HorizontalPodAutoscaler.
pub(super) fn default_autoscaler(autoscaler: &mut Value) {
    let spec = field_mut(autoscaler, "spec");
    default_to(spec, "minReplicas", 1);
    default_to(
        spec,
        "metrics",
        json!([{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}}]),
    );
}

/// Rules of Deployments and ReplicaSets.
pub(super) fn validate(old: Option<&Value>, object: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    if object["spec"]["replicas"].as_i64().is_some_and(|n| n < 0) {
        let detail = "must be greater than or equal to 0";
        causes.push(Cause::invalid("spec.replicas", &object["spec"]["replicas"], detail));
    }
    let selector = &object["spec"]["selector"];
    if selector.is_null() {
        causes.push(Cause::required("spec.selector", ""));
    }
    if *selector == json!({}) {
        causes.push(Cause::invalid(
            "spec.selector",
            selector,
            "empty selector is invalid for deployment",
        ));
    } else if !selects(selector, &object["spec"]["template"]["metadata"]["labels"]) {
        let labels = &object["spec"]["template"]["metadata"]["labels"];
        let detail = "`selector` does not match template `labels`";
        causes.push(Cause::invalid("spec.template.metadata.labels", labels, detail));
    }
    if old.is_some_and(|old| old["spec"]["selector"] != *selector) {
        causes.push(Cause::invalid("spec.selector", selector, "field is immutable"));
    }
    names::check_labels(
        object,
        &["spec", "template", "metadata", "labels"],
        "spec.template.labels",
        &mut causes,
    );
    let template = &object["spec"]["template"]["spec"];
    pod::validate_spec(template, "spec.template.spec", &mut causes);
    let policy = &template["restartPolicy"];
    if *policy != json!("Always") {
        causes.push(Cause::not_supported(
            "spec.template.spec.restartPolicy",
            policy,
            &["Always".to_owned()],
        ));
    }
    causes
}

/// Does a `metav1.LabelSelector` choose these labels?
fn selects(selector: &Value, labels: &Value) -> bool {
    if selector.is_null() {
        return false;
    }
    let wanted = selector["matchLabels"].as_object();
    let equal = wanted.into_iter().flatten().all(|(key, value)| labels.get(key) == Some(value));
    equal
        && object::list(selector, &["matchExpressions"]).iter().all(|expression| {
            let label = labels.get(object::text(expression, &["key"]));
            let values = object::list(expression, &["values"]);
            match object::text(expression, &["operator"]) {
                "In" => label.is_some_and(|l| values.contains(l)),
                "NotIn" => label.is_none_or(|l| !values.contains(l)),
                "Exists" => label.is_some(),
                "DoesNotExist" => label.is_none(),
                _ => false,
            }
        })
}
