//! Snapshot files as people, writers and accidents make them.

use gatefleet_snapshot::{
    Format, read_snapshot, seal, sorted_snapshot,
    v1::{
        Backend, Endpoint, Endpoints, HostPattern, Resource, Snapshot, TrustBundle, VirtualHost,
        Watermark, resource::Body,
    },
    write_snapshot,
};
use proptest::prelude::*;

const GOOD: &str = r#"{
  "schemaVersion": 1,
  "resources": [
    {
      "name": "backend/a",
      "backend": { "dns": "example.com:80" }
    },
    {
      "name": "endpoints/a",
      "endpoints": { "endpoints": [{ "addresses": ["10.0.0.1"], "port": 8080 }] }
    }
  ]
}
"#;

const GOOD_YAML: &str = "\
# by hand
schemaVersion: 1
resources:
- name: endpoints/a
  endpoints:
    endpoints:
    - addresses: [10.0.0.1]
      port: 8080
- name: backend/a   # the shop
  backend: { dns: 'example.com:80' }
";

#[test]
fn json_and_yaml_are_the_same_tree_and_need_neither_versions_nor_order() {
    let snapshot = read_snapshot(GOOD.as_bytes()).unwrap();
    assert_eq!(snapshot, read_snapshot(GOOD_YAML.as_bytes()).unwrap());
    assert_eq!(snapshot, read_snapshot(format!("\u{feff}{GOOD}").as_bytes()).unwrap());
    let dns = Backend { dns: "example.com:80".into(), ..Backend::default() };
    let [backend, endpoints] = &snapshot.resources[..] else { panic!("{snapshot:?}") };
    assert_eq!(*backend, seal("backend/a", Body::Backend(dns)));
    assert_eq!(endpoints.version.len(), 32);
}

#[test]
fn a_version_that_somebody_forgot_to_change_is_corrected() {
    let fresh = read_snapshot(GOOD.as_bytes()).unwrap();
    let text = write_snapshot(&fresh, Format::Json).unwrap().replace("8080", "8081");
    let edited = read_snapshot(text.as_bytes()).unwrap();
    let versions = |snapshot: &Snapshot| -> Vec<String> {
        snapshot.resources.iter().map(|resource| resource.version.clone()).collect()
    };
    assert_eq!(versions(&fresh)[0], versions(&edited)[0]);
    assert_ne!(versions(&fresh)[1], versions(&edited)[1]);
}

/// What it is, the file, what the error says.
fn damaged() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let json = |from: &str, to: &str| GOOD.replacen(from, to, 1).into_bytes();
    let yaml = |from: &str, to: &str| GOOD_YAML.replacen(from, to, 1).into_bytes();
    let half = GOOD.len() / 2;
    vec![
        ("nothing", vec![], "empty"),
        ("blanks", b" \n\n".to_vec(), "empty"),
        ("zeros", vec![0; 512], "line 1"),
        ("not text", b"{\n\xff\xfe}".to_vec(), "line 2: the file is not UTF-8"),
        ("cut in half", GOOD.as_bytes()[..half].to_vec(), "line 8: EOF"),
        ("cut before the end", GOOD.as_bytes()[..GOOD.len() - 3].to_vec(), "EOF"),
        ("two documents", format!("{GOOD}{GOOD}").into_bytes(), "line 14: trailing"),
        ("only braces", b"{}".to_vec(), "\"resources\" is missing"),
        ("null", b"null".to_vec(), "must be a mapping"),
        ("a list", b"- a\n- b\n".to_vec(), "must be a mapping"),
        (
            "no list",
            yaml("resources:\n", "resources: 7\nx:\n"),
            "line 3: resources: it must be a list",
        ),
        ("cut YAML", GOOD_YAML.as_bytes()[..30].to_vec(), "line 3"),
        ("no schema", json("  \"schemaVersion\": 1,\n", ""), "schemaVersion is 0"),
        ("another schema", json(": 1,", ": 2,"), "line 2: schemaVersion is 2"),
        (
            "a field of the future",
            json("\"dns\"", "\"quantum\""),
            "line 5: resources[0] backend/a: unknown field",
        ),
        ("a wrong type", json("8080", "\"many\""), "line 9: resources[1] endpoints/a"),
        ("an unknown kind", json("backend/a", "gizmo/a"), "line 5: read resource \"gizmo/a\""),
        ("a name of another kind", json("\"backend/a\"", "\"policy/a\""), "rename it to backend/…"),
        (
            "no body",
            yaml("  backend: { dns: 'example.com:80' }\n", ""),
            "line 9: read resource backend/a: it has no body",
        ),
        (
            "one name twice",
            yaml(
                "name: endpoints/a\n  endpoints:\n    endpoints:\n    - addresses: [10.0.0.1]\n      port: 8080",
                "name: backend/a\n  backend: {}",
            ),
            "line 6: resource backend/a stands twice",
        ),
        (
            "one key twice",
            json("\"name\": \"backend/a\",", "\"name\": \"backend/a\", \"name\": \"backend/b\","),
            "line 5: key \"name\" stands twice",
        ),
        (
            "one key twice in YAML",
            yaml("schemaVersion: 1\n", "schemaVersion: 1\nschemaVersion: 1\n"),
            "line 3",
        ),
        ("a tab in YAML", yaml("  backend", "\tbackend"), "line 10"),
        ("a negative port", json("8080", "-1"), "endpoints/a"),
    ]
}

#[test]
fn every_kind_of_damage_is_refused_with_its_place() {
    let cases = damaged();
    assert!(cases.len() >= 20);
    for (case, bytes, wanted) in cases {
        let said = match read_snapshot(&bytes) {
            Err(error) => error.to_string(),
            Ok(snapshot) => panic!("{case} was taken: {snapshot:?}"),
        };
        assert!(said.contains(wanted), "{case}: {said}");
    }
}

#[test]
fn no_cut_of_a_json_file_is_taken() {
    let end = GOOD.trim_end().len();
    for cut in 0..end {
        assert!(read_snapshot(&GOOD.as_bytes()[..cut]).is_err(), "cut at {cut}");
    }
}

fn resource() -> impl Strategy<Value = Resource> {
    let text = "[a-z\"'\\\\:# éß\n]{0,12}";
    let name = "[a-z]{1,3}";
    prop_oneof![
        (name, text).prop_map(|(name, dns)| {
            seal(format!("backend/{name}"), Body::Backend(Backend { dns, ..Backend::default() }))
        }),
        (name, text).prop_map(|(name, certificates)| {
            seal(format!("trust-bundle/{name}"), Body::TrustBundle(TrustBundle { certificates }))
        }),
        (name, 0_u32..70_000, proptest::collection::btree_map(text, text, 0..4)).prop_map(
            |(name, port, labels)| {
                let endpoint = Endpoint { port, labels, ..Endpoint::default() };
                let body = Endpoints { endpoints: vec![endpoint] };
                seal(format!("endpoints/{name}"), Body::Endpoints(body))
            }
        ),
        (name, text, 0_i32..4).prop_map(|(name, host, kind)| {
            let hostname = Some(HostPattern { kind, name: host });
            let body = VirtualHost { hostname, ..VirtualHost::default() };
            seal(format!("virtual-host/{name}"), Body::VirtualHost(body))
        }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_same_resources_in_any_order_give_the_same_bytes(
        resources in proptest::collection::btree_map("[a-z]{1,3}", resource(), 0..12)
            .prop_map(|map| {
                let unique: std::collections::BTreeMap<_, _> =
                    map.into_values().map(|resource| (resource.name.clone(), resource)).collect();
                unique.into_values().collect::<Vec<_>>()
            })
            .prop_flat_map(|resources| (Just(resources.clone()), Just(resources).prop_shuffle())),
    ) {
        let (ordered, shuffled) = resources;
        let mark = Watermark { kind: "Ingress".into(), resource_version: "7".into() };
        let (left, right) = (
            sorted_snapshot(ordered, vec![mark.clone()]),
            sorted_snapshot(shuffled, vec![mark]),
        );
        for format in [Format::Json, Format::Yaml] {
            let text = write_snapshot(&left, format).unwrap();
            prop_assert_eq!(&text, &write_snapshot(&right, format).unwrap());
            prop_assert_eq!(&read_snapshot(text.as_bytes()).unwrap(), &left);
        }
    }

    #[test]
    fn reading_is_total(bytes in proptest::collection::vec(any::<u8>(), 0..400), text in "\\PC{0,200}") {
        let _ = read_snapshot(&bytes);
        let _ = read_snapshot(text.as_bytes());
        let _ = read_snapshot(format!("schemaVersion: 1\nresources: {text}").as_bytes());
    }
}
