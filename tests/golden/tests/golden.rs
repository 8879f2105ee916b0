//! Golden cases: objects in, snapshot and status out, one file each.
//!
//! `UPDATE_EXPECT=1 cargo test -p gatefleet-tests-golden` writes what is computed into the cases; read the diff.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a broken case must stop the test")]

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use gatefleet_http::compile::{compile_policy, compile_tier, compile_virtual_host};
use gatefleet_routes::{Options, Pipeline, PortRecord, RoutesOutput};
use gatefleet_snapshot::v1::{Resource, resource::Body};
use gatefleet_state::ClusterState;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

/// One case.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Case {
    /// What it shows, in a sentence.
    #[expect(dead_code, reason = "for readers")]
    about: String,
    #[serde(default = "yes")]
    preamble: bool,
    /// The time; else mid 2026.
    now: Option<Timestamp>,
    /// Resources that are usually hidden, by the start of their names.
    #[serde(default)]
    show: Vec<String>,
    /// Whether listeners bind what they advertise.
    #[serde(default)]
    ports: Option<String>,
    objects: Vec<Value>,
    #[serde(default)]
    expect: Value,
}

fn yes() -> bool {
    true
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

/// Multi-document YAML as JSON values.
fn documents(text: &str) -> Vec<Value> {
    serde_saphyr::from_multiple(text).expect("YAML")
}

/// `fixture:NAME` stands for the content of a file.
fn with_fixtures(value: &mut Value) {
    match value {
        Value::String(text) => {
            if let Some(name) = text.strip_prefix("fixture:") {
                *text = fs::read_to_string(root().join("fixtures").join(name)).unwrap();
            }
        }
        Value::Array(items) => items.iter_mut().for_each(with_fixtures),
        Value::Object(fields) => fields.values_mut().for_each(with_fixtures),
        _ => {}
    }
}

fn load(case: &Case) -> ClusterState {
    let mut state = ClusterState::default();
    let mut objects = Vec::new();
    if case.preamble {
        objects = documents(&fs::read_to_string(root().join("preamble.yaml")).unwrap());
    }
    for mut object in objects.into_iter().chain(case.objects.clone()) {
        with_fixtures(&mut object);
        assert!(!state.insert_manifest(object).unwrap().is_empty(), "of a kind that is not read");
    }
    state
}

fn translate(case: &Case) -> RoutesOutput {
    let ports = match case.ports.as_deref() {
        Some("service") => PortRecord::Service,
        _ => PortRecord::Advertised,
    };
    let mut pipeline =
        Pipeline::new(Options { default_namespace: "gatefleet-system".into(), ports });
    let now = case.now.unwrap_or("2026-06-01T00:00:00Z".parse().unwrap());
    pipeline.update(&load(case), now)
}

/// The parts of `output` that are not empty.
fn describe(output: &RoutesOutput, show: &[String]) -> Value {
    let mut snapshot = BTreeMap::new();
    for (key, tier) in &output.tiers {
        let resources = tier.resources.values().filter(|one| is_shown(&one.resource, show));
        let resources: Vec<Value> = resources.map(|one| describe_resource(&one.resource)).collect();
        if !resources.is_empty() {
            snapshot.insert(key.to_string(), resources);
        }
    }
    let mut ingresses = BTreeMap::new();
    for (key, outcome) in &output.ingresses {
        let tiers: Vec<String> = outcome.tiers.keys().map(ToString::to_string).collect();
        let mut shown = json!({ "tiers": tiers });
        if !outcome.diagnostics.is_empty() {
            let said = outcome.diagnostics.iter();
            shown["diagnostics"] =
                said.map(|one| format!("{}: {}: {}", one.field, one.reason, one.message)).collect();
        }
        if outcome.tiers.len() > 1 {
            shown["publisher"] = json!(outcome.publisher.as_ref().map(ToString::to_string));
        }
        ingresses.insert(format!("{}/{}", key.namespace, key.name), shown);
    }
    let mut fleets = BTreeMap::new();
    for (key, fleet) in &output.fleets {
        let selected: Vec<&str> = fleet.selected.iter().map(|tier| tier.as_str()).collect();
        let mut shown = json!({"attached": fleet.attached, "rejected": fleet.rejected});
        if show.iter().any(|name| name == "selection") {
            shown["selected"] = json!(selected);
            shown["conflict"] = json!(fleet.class_conflict.as_ref().map(ToString::to_string));
        }
        fleets.insert(key.to_string(), shown);
    }
    let mut all = json!({"snapshot": snapshot, "ingresses": ingresses, "fleets": fleets});
    if !output.findings.is_empty() {
        all["findings"] = output.findings.iter().map(ToString::to_string).collect();
    }
    if !output.secrets.is_empty() {
        let names = output.secrets.iter().map(|name| format!("{}/{}", name.namespace, name.name));
        all["secrets"] = names.collect();
    }
    all
}

fn is_shown(resource: &Resource, show: &[String]) -> bool {
    let hidden = ["tier", "listener/", "endpoints/"];
    let shown = show.iter().any(|name| resource.name.starts_with(name.as_str()));
    shown || !hidden.iter().any(|name| resource.name.starts_with(name))
}

fn describe_resource(resource: &Resource) -> Value {
    let mut value = serde_json::to_value(resource).unwrap();
    let fields = value.as_object_mut().unwrap();
    fields.remove("version");
    mask(&mut value);
    value
}

/// PEM texts say too much.
fn mask(value: &mut Value) {
    match value {
        Value::String(text) => {
            if let Some(kind) = text.strip_prefix("-----BEGIN ") {
                *text = format!("PEM {}", kind.split("-----").next().unwrap());
            }
        }
        Value::Array(items) => items.iter_mut().for_each(mask),
        Value::Object(fields) => fields.values_mut().for_each(mask),
        _ => {}
    }
}

/// The text of a case with `computed` as its expectation.
fn updated(text: &str, computed: &Value) -> String {
    let input = text.split("\nexpect:").next().unwrap().trim_end();
    let expectation = serde_saphyr::to_string(&json!({ "expect": computed })).unwrap();
    format!("{input}\n{}\n", expectation.trim_end())
}

fn case_files() -> Vec<PathBuf> {
    let entries = fs::read_dir(root().join("cases")).unwrap();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 60, "only {} cases", files.len());
    files
}

fn parse(name: &str, text: &str) -> Case {
    serde_saphyr::from_str(text).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The engine refuses a virtual host as a whole: a rule that it cannot run would take its neighbours along.
#[test]
fn the_engine_takes_every_host_and_policy() {
    for file in case_files() {
        let name = file.display().to_string();
        let output = translate(&parse(&name, &fs::read_to_string(&file).unwrap()));
        for one in output.tiers.values().flat_map(|tier| tier.resources.values()) {
            let compiled = match one.resource.body.as_ref().unwrap() {
                Body::VirtualHost(host) => compile_virtual_host(host).map(drop),
                Body::Policy(policy) => compile_policy(policy).map(drop),
                Body::Tier(tier) if !name.ends_with("settings.yaml") => {
                    compile_tier(tier).map(drop)
                }
                _ => Ok(()),
            };
            compiled.unwrap_or_else(|error| panic!("{name}: {}: {error}", one.resource.name));
        }
    }
}

#[test]
fn every_case_gives_what_it_expects() {
    let update = std::env::var_os("UPDATE_EXPECT").is_some();
    let mut wrong = Vec::new();
    for file in case_files() {
        let text = fs::read_to_string(&file).unwrap();
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        let case = parse(&name, &text);
        let computed = describe(&translate(&case), &case.show);
        if computed != case.expect {
            if update {
                fs::write(&file, updated(&text, &computed)).unwrap();
            } else {
                let shown = serde_saphyr::to_string(&computed).unwrap();
                wrong.push(format!("{name} gives:\n{shown}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}\n{} cases differ", wrong.join("\n"), wrong.len());
}
