//! Ingresses that no fleet serves, or not as they ask, and the classes of other controllers.

use std::collections::{BTreeMap, BTreeSet};

use gatefleet_names::{Kind, ObjectKey};
use gatefleet_routes::Reason;
use gatefleet_sources::{claimant_of, class_of, translate_ingress};
use k8s_openapi::api::networking::v1::{Ingress, IngressClass};

use super::{Finding, Verdict, seen::Seen};

pub(super) const CLASSES: &str = "classes";
const ANNOTATIONS: &str = "annotations";
const IS_DEFAULT: &str = "ingressclass.kubernetes.io/is-default-class";
/// What is said of annotations.
const ABOUT_ANNOTATIONS: [Reason; 4] = [
    Reason::AccessControlNotServed,
    Reason::AnnotationNotServed,
    Reason::InvalidAnnotationValue,
    Reason::UnknownAnnotation,
];

pub(super) fn check(seen: &Seen) -> Vec<Finding> {
    let mut findings = classes(seen);
    findings.extend(annotations(seen));
    findings
}

fn key(ingress: &Ingress) -> ObjectKey {
    claimant_of(Kind::Ingress, &ingress.metadata).object
}

/// Whether some tier of some fleet serves it.
fn is_attached(seen: &Seen, key: &ObjectKey) -> bool {
    seen.output.ingresses.get(key).is_some_and(|outcome| !outcome.tiers.is_empty())
}

fn classes(seen: &Seen) -> Vec<Finding> {
    let mut findings = Vec::new();
    let defaults: Vec<String> = seen
        .state
        .ingress_classes
        .iter()
        .filter(|class| is_default(class))
        .filter_map(|class| class.metadata.name.clone())
        .collect();
    if defaults.len() > 1 {
        let message = format!(
            "{} are all default classes, so an Ingress without a class belongs to the youngest: leave {IS_DEFAULT} on one",
            defaults.join(", ")
        );
        findings.push(Finding::new(CLASSES, Verdict::Warning, "", message));
    }
    let mut unserved: BTreeMap<Option<String>, BTreeSet<String>> = BTreeMap::new();
    let mut served = 0_usize;
    for ingress in seen.state.ingresses.iter() {
        let key = key(ingress);
        if is_attached(seen, &key) {
            served += 1;
        } else {
            let class = class_of(ingress).map(str::to_owned);
            let name = format!("{}/{}", key.namespace, key.name);
            unserved.entry(class).or_default().insert(name);
        }
    }
    for (class, names) in unserved {
        findings.push(left_out(seen, class.as_deref(), &names));
    }
    if findings.is_empty() {
        let message = format!("{served} Ingresses, and a fleet serves each of them");
        findings.push(Finding::new(CLASSES, Verdict::Ok, "", message));
    }
    findings
}

fn is_default(class: &IngressClass) -> bool {
    let annotations = class.metadata.annotations.as_ref();
    annotations.and_then(|all| all.get(IS_DEFAULT)).is_some_and(|value| value == "true")
}

/// Ingresses of one class that no fleet serves.
fn left_out(seen: &Seen, class: Option<&str>, names: &BTreeSet<String>) -> Finding {
    let listed = some_of(names);
    let Some(class) = class else {
        let message =
            format!("no fleet serves {listed}, which name no class: set spec.ingressClassName");
        return Finding::new(CLASSES, Verdict::Warning, "", message);
    };
    let object = format!("IngressClass {class}");
    let Some(found) = seen.state.ingress_classes.get("", class) else {
        let message = format!(
            "it does not exist, so nobody serves {listed}: create it with parameters that name a GatewayConfig"
        );
        return Finding::new(CLASSES, Verdict::Warning, object, message);
    };
    let controller =
        found.spec.as_ref().and_then(|spec| spec.controller.as_deref()).unwrap_or_default();
    let message = format!(
        "belongs to {controller:?}; no fleet serves {listed}: give the class parameters that name a GatewayConfig, or name it in spec.ingress.ingressClass of one"
    );
    Finding::new(CLASSES, Verdict::Warning, object, message)
}

fn some_of(names: &BTreeSet<String>) -> String {
    let shown: Vec<&str> = names.iter().take(3).map(String::as_str).collect();
    let word = if names.len() == 1 { "Ingress" } else { "Ingresses" };
    match names.len().saturating_sub(shown.len()) {
        0 => format!("{word} {}", shown.join(", ")),
        more => format!("{word} {} and {more} more", shown.join(", ")),
    }
}

/// What Ingresses ask for in annotations and do not get, whether a fleet serves them or will.
fn annotations(seen: &Seen) -> Vec<Finding> {
    let mut found: BTreeMap<(String, Reason), (bool, BTreeSet<String>)> = BTreeMap::new();
    for ingress in seen.state.ingresses.iter() {
        let key = key(ingress);
        let attached = is_attached(seen, &key);
        let said = translate_ingress(ingress, &seen.state.services).diagnostics;
        for diagnostic in said.iter().filter(|one| ABOUT_ANNOTATIONS.contains(&one.reason)) {
            let name = diagnostic.field.trim_start_matches("metadata.annotations");
            let name = name.trim_matches(['[', ']']).to_owned();
            let entry = found.entry((name, diagnostic.reason)).or_default();
            entry.0 |= attached;
            entry.1.insert(format!("{}/{}", key.namespace, key.name));
        }
    }
    let mut findings: Vec<Finding> = found
        .into_iter()
        .map(|((name, reason), (attached, ingresses))| {
            let closed = reason == Reason::AccessControlNotServed;
            let verdict = if closed && attached { Verdict::Failed } else { Verdict::Warning };
            let message = format!("on {}: {}", some_of(&ingresses), reason.explanation());
            Finding::new(ANNOTATIONS, verdict, name, message)
        })
        .collect();
    if findings.is_empty() {
        let message = "every annotation of ingress-nginx that Ingresses use is served";
        findings.push(Finding::new(ANNOTATIONS, Verdict::Ok, "", message));
    }
    findings
}
