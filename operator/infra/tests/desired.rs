//! What a `GatewayConfig` leads to: one file per case (`tests/desired/NAME.yaml` → `NAME.objects.yaml`, written
//! by `make crds`), and what must not change when something else does.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;

use expect_test::expect_file;
use gatefleet_crds::{
    Autoscaling, DisruptionBudget, GatewayConfig, Listener, ListenerProtocol, Quantity,
    ServiceType, Size, TierSpec,
};
use gatefleet_infra::{
    ChannelMaterial, Child, ChildKind, Desired, Operator, RELEASED_PORTS_ANNOTATION, TierInputs,
    TierObjects, allocate_ports, check_spec, children_selector, desired, tier_spec,
};
use gatefleet_names::Tier;
use jiff::Timestamp;
use serde::de::DeserializeOwned;

const MINIMAL: &str = include_str!("desired/minimal.yaml");
const FULL: &str = include_str!("desired/full.yaml");

fn from_yaml<T: DeserializeOwned>(text: &str) -> T {
    let value: serde_json::Value = serde_saphyr::from_str(text).unwrap();
    serde_json::from_value(value).unwrap()
}

fn operator() -> Operator {
    Operator {
        proxy_image: "gatefleet-proxy:dev".to_owned(),
        servers: vec!["127.0.0.1:9702".parse().unwrap(), "[fd00::1]:9702".parse().unwrap()],
    }
}

fn channel(serial: u32) -> ChannelMaterial {
    ChannelMaterial {
        ca_certificate: "CA CERTIFICATE".to_owned(),
        ca_key: "CA KEY".to_owned(),
        certificate: format!("CERTIFICATE {serial}"),
        private_key: format!("KEY {serial}"),
        server_ca: "SERVER CA CERTIFICATE".to_owned(),
    }
}

fn build(config: &GatewayConfig) -> Desired {
    build_with(config, 1)
}

fn build_with(config: &GatewayConfig, serial: u32) -> Desired {
    desired(config, &operator(), |tier| {
        let ports = allocate_ports(
            None,
            &tier_spec(config, tier).unwrap().listeners,
            Timestamp::UNIX_EPOCH,
        );
        Some(TierInputs { ports, channel: channel(serial) })
    })
}

/// In order of application.
fn documents(desired: &Desired) -> String {
    let Desired { north_south, east_west } = desired;
    let mut text = String::new();
    for object in north_south.iter().chain(east_west).flat_map(TierObjects::objects) {
        text.push_str("---\n");
        text.push_str(&serde_saphyr::to_string(&object.manifest().unwrap()).unwrap());
    }
    text
}

#[test]
fn objects_are_as_written() {
    let minimal: GatewayConfig = from_yaml(MINIMAL);
    expect_file!["desired/minimal.objects.yaml"].assert_eq(&documents(&build(&minimal)));
    let full: GatewayConfig = from_yaml(FULL);
    expect_file!["desired/full.objects.yaml"].assert_eq(&documents(&build(&full)));
}

/// Every way in which one half of a spec can change, with what it must leave alone in its own tier.
type Edit = fn(&mut TierSpec);
const EDITS: [(&str, Edit, Rolls); 20] = [
    ("replicas", |tier| tier.replicas = Some(9), Rolls::No),
    (
        "autoscaling",
        |tier| {
            tier.replicas = None;
            tier.autoscaling =
                Some(Autoscaling { min_replicas: 3, max_replicas: 9, target_cpu_utilization: 50 });
        },
        Rolls::No,
    ),
    (
        "resources.requests.cpu",
        |tier| tier.resources.get_or_insert_default().requests.cpu = Quantity::new("2"),
        Rolls::Yes,
    ),
    (
        "resources.limits.memory",
        |tier| {
            tier.resources.get_or_insert_default().limits.memory = Some(Quantity::new("4Gi"));
        },
        Rolls::Yes,
    ),
    (
        "size",
        |tier| {
            tier.resources = None;
            tier.size = Some(Size::C2G4);
        },
        Rolls::Yes,
    ),
    ("service.type", |tier| tier.service.r#type = ServiceType::LoadBalancer, Rolls::No),
    (
        "service.annotations",
        |tier| drop(tier.service.annotations.insert("a".into(), "b".into())),
        Rolls::No,
    ),
    ("listeners", |tier| tier.listeners.push(listener(8443)), Rolls::No),
    ("listeners[0].name", |tier| "other".clone_into(&mut tier.listeners[0].name), Rolls::No),
    ("tls.minVersion", |tier| tier.tls.min_version = gatefleet_crds::TlsVersion::Tls13, Rolls::No),
    ("clientIPDetection", |tier| tier.client_ip_detection.hops = 1, Rolls::No),
    ("limits", |tier| tier.limits.max_connections = 1, Rolls::No),
    ("timeouts", |tier| tier.timeouts.idle = "1h".parse().unwrap(), Rolls::No),
    ("drain.timeout", |tier| tier.drain.timeout = "1h".parse().unwrap(), Rolls::Yes),
    (
        "podDisruptionBudget",
        |tier| tier.pod_disruption_budget = DisruptionBudget::default(),
        Rolls::No,
    ),
    ("networkPolicy", |tier| tier.network_policy.enabled ^= true, Rolls::No),
    ("pod.labels", |tier| drop(tier.pod.labels.insert("a".into(), "b".into())), Rolls::Yes),
    (
        "pod.nodeSelector",
        |tier| drop(tier.pod.node_selector.insert("a".into(), "b".into())),
        Rolls::Yes,
    ),
    ("pod.priorityClassName", |tier| tier.pod.priority_class_name = Some("x".into()), Rolls::Yes),
    (
        "pod.annotations",
        |tier| drop(tier.pod.annotations.insert("a".into(), "b".into())),
        Rolls::Yes,
    ),
];

#[derive(Clone, Copy, Debug, PartialEq)]
enum Rolls {
    Yes,
    No,
}

fn listener(port: u16) -> Listener {
    Listener {
        name: format!("extra-{port}"),
        port,
        protocol: ListenerProtocol::Https,
        node_port: None,
    }
}

fn half(desired: &Desired, tier: Tier) -> TierObjects {
    match tier {
        Tier::NorthSouth => desired.north_south.clone().unwrap(),
        Tier::EastWest => desired.east_west.clone().unwrap(),
    }
}

fn spec_mut(config: &mut GatewayConfig, tier: Tier) -> &mut TierSpec {
    match tier {
        Tier::NorthSouth => config.spec.north_south.as_mut().unwrap(),
        Tier::EastWest => config.spec.east_west.as_mut().unwrap(),
    }
}

#[test]
fn an_edit_of_one_tier_leaves_the_other_alone_and_rolls_only_what_it_must() {
    let full: GatewayConfig = from_yaml(FULL);
    let before = build(&full);
    for (field, edit, rolls) in EDITS {
        for (tier, other) in
            [(Tier::NorthSouth, Tier::EastWest), (Tier::EastWest, Tier::NorthSouth)]
        {
            let mut edited = full.clone();
            edit(spec_mut(&mut edited, tier));
            let after = build(&edited);
            assert_eq!(half(&before, other), half(&after, other), "{field} of {tier}");
            let template =
                |desired: &Desired| half(desired, tier).deployment.spec.unwrap().template;
            let rolled = template(&before) != template(&after);
            assert_eq!(rolled, rolls == Rolls::Yes, "{field} of {tier}");
        }
    }
}

#[test]
fn a_new_certificate_changes_its_secrets_alone() {
    let full: GatewayConfig = from_yaml(FULL);
    let (before, after) = (build_with(&full, 1), build_with(&full, 2));
    for tier in Tier::ALL {
        let (before, after) = (half(&before, tier), half(&after, tier));
        assert_ne!(before.channel, after.channel);
        assert_eq!(TierObjects { channel: before.channel.clone(), ..after }, before);
    }
}

#[test]
fn the_same_input_gives_the_same_bytes() {
    let full: GatewayConfig = from_yaml(FULL);
    assert_eq!(documents(&build(&full)), documents(&build(&full.clone())));
}

#[test]
fn every_object_is_owned_labelled_and_found_by_the_selector() {
    let mut full: GatewayConfig = from_yaml(FULL);
    full.metadata.name = Some("a.very.long.name.".repeat(8) + "end");
    let objects: Vec<serde_json::Value> =
        serde_saphyr::from_multiple(&documents(&build(&full))).unwrap();
    assert_eq!(objects.len(), 15);
    let selector = children_selector(full.metadata.name.as_deref().unwrap());
    for object in &objects {
        let labels: BTreeMap<String, String> =
            serde_json::from_value(object["metadata"]["labels"].clone()).unwrap();
        for requirement in selector.split(',') {
            let (key, value) = requirement.split_once('=').unwrap();
            assert_eq!(labels.get(key).map(String::as_str), Some(value));
        }
        let owner = &object["metadata"]["ownerReferences"][0];
        assert_eq!(owner["uid"], "0a1b2c3d");
        assert_eq!(owner["controller"], true);
        assert_eq!(object["metadata"]["namespace"], "edge");
    }
    let children = build(&full).children();
    assert_eq!(children.len(), 15);
    let found = objects.iter().map(|object| {
        let kind = object["kind"].as_str().unwrap();
        let kind = ChildKind::ALL.iter().copied().find(|known| known.as_str() == kind);
        Child {
            kind: kind.unwrap_or_else(|| panic!("a kind that is not pruned: {object}")),
            name: object["metadata"]["name"].as_str().unwrap().to_owned(),
        }
    });
    assert_eq!(found.collect::<std::collections::BTreeSet<_>>(), children);
}

#[test]
fn the_service_records_what_rests() {
    let full: GatewayConfig = from_yaml(FULL);
    let service = half(&build(&full), Tier::NorthSouth).service;
    let allocation = allocate_ports(Some(&service), &[listener(9)], Timestamp::UNIX_EPOCH);
    assert_eq!(allocation.ports.into_iter().collect::<Vec<_>>(), [(9, 10_002)]);
    let desired = desired(&full, &operator(), |tier| {
        let ports = allocate_ports(
            Some(&service),
            &match tier {
                Tier::NorthSouth => vec![listener(9)],
                Tier::EastWest => vec![],
            },
            Timestamp::UNIX_EPOCH,
        );
        Some(TierInputs { ports, channel: channel(1) })
    });
    let annotations = half(&desired, Tier::NorthSouth).service.metadata.annotations.unwrap();
    assert_eq!(
        annotations[RELEASED_PORTS_ANNOTATION],
        "10000=1970-01-01T00:00:00Z,10001=1970-01-01T00:00:00Z",
    );
    // A listener without a port is left out rather than served somewhere else.
    let ports = half(&desired, Tier::NorthSouth).service.spec.unwrap().ports;
    assert_eq!(ports, Some(vec![]));
}

/// Left as it is, while the other tier is built.
#[test]
fn a_tier_that_cannot_be_read_is_left_alone() {
    let mut config: GatewayConfig = from_yaml(FULL);
    let misspelt = serde_json::json!({"nodeAffinty": {}});
    spec_mut(&mut config, Tier::EastWest).pod.affinity =
        Some(serde_json::from_value(misspelt).unwrap());
    let desired = build(&config);
    assert!(desired.east_west.is_none() && desired.north_south.is_some());
    let problems = check_spec(&config);
    assert_eq!(
        problems[0].message,
        "spec.eastWest.pod.affinity.nodeAffinty: Kubernetes has no such field; remove it"
    );
}

#[test]
fn threads_grace_and_memory_follow_the_spec() {
    let table = [
        ("{}", "--threads=1", 45, 64 << 20),
        ("{resources: {requests: {cpu: 3}}}", "--threads=3", 45, 64 << 20),
        ("{resources: {limits: {cpu: 1500m}}}", "--threads=2", 45, 64 << 20),
        ("{resources: {limits: {memory: 1Gi}}}", "--threads=1", 45, 256 << 20),
        ("{size: 2c4g}", "--threads=2", 45, 1 << 30),
        ("{size: 16c32g}", "--threads=16", 45, 8 << 30),
        ("{drain: {delay: 0s, timeout: 1500ms}}", "--threads=1", 7, 64 << 20),
    ];
    for (tier, threads, grace, state) in table {
        let config: GatewayConfig = from_yaml(&format!(
            "{{metadata: {{name: a, namespace: b}}, spec: {{eastWest: {tier}}}, apiVersion: gatefleet.dev/v1alpha1, kind: GatewayConfig}}"
        ));
        let objects = half(&build(&config), Tier::EastWest);
        let pod = objects.deployment.spec.unwrap().template.spec.unwrap();
        assert_eq!(pod.containers[0].args.as_ref().unwrap()[1], threads, "{tier}");
        assert_eq!(pod.termination_grace_period_seconds, Some(grace), "{tier}");
        let volumes = pod.volumes.unwrap();
        let limit = volumes[2].empty_dir.as_ref().unwrap().size_limit.as_ref().unwrap();
        assert_eq!(limit.0, u64::to_string(&state), "{tier}");
        let bootstrap: serde_json::Value =
            serde_json::from_str(&objects.bootstrap.data.unwrap()["bootstrap.json"]).unwrap();
        assert_eq!(bootstrap["stateBytes"], state, "{tier}");
    }
}
