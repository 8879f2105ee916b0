//! `examples/cluster` allows the operator exactly what it needs.
#![expect(clippy::unwrap_used, reason = "a file that cannot be read must fail")]

use std::collections::BTreeSet;

use gatefleet_controllers::permissions;
use serde_json::Value;

const FILE: &str = include_str!("../../../examples/cluster/1-access.yaml");

/// Group, resource and verb of every rule of every role.
fn allowed() -> BTreeSet<(String, String, String)> {
    let documents: Vec<Value> = serde_saphyr::from_multiple(FILE).unwrap();
    let list = |rule: &Value, field: &str| -> Vec<String> {
        let items = rule[field].as_array().unwrap().iter();
        items.map(|item| item.as_str().unwrap().to_owned()).collect()
    };
    let mut allowed = BTreeSet::new();
    for rule in documents.iter().filter_map(|document| document["rules"].as_array()).flatten() {
        for group in list(rule, "apiGroups") {
            for resource in list(rule, "resources") {
                for verb in list(rule, "verbs") {
                    allowed.insert((group.clone(), resource.clone(), verb));
                }
            }
        }
    }
    allowed
}

#[test]
fn the_operator_of_the_examples_may_do_what_it_does_and_nothing_else() {
    let needed: BTreeSet<_> = permissions()
        .into_iter()
        .flat_map(|permission| {
            let verbs = permission.verbs.clone();
            let row = move |verb: &str| {
                (permission.group.clone(), permission.resource.clone(), verb.to_owned())
            };
            verbs.into_iter().map(row)
        })
        .collect();
    let allowed = allowed();
    let missing: Vec<_> = needed.difference(&allowed).collect();
    let needless: Vec<_> = allowed.difference(&needed).collect();
    assert!(
        missing.is_empty() && needless.is_empty(),
        "missing {missing:?}, needless {needless:?}"
    );
}
