//! The reference of snapshots tells the truth.

use gatefleet_snapshot::{ResourceKind, capability, read_snapshot, references};

const REFERENCE: &str = include_str!("../../../docs/reference/snapshot.md");

#[test]
fn the_example_is_a_snapshot_whose_names_all_exist() {
    let (_, rest) = REFERENCE.split_once("```yaml\n").unwrap();
    let (example, _) = rest.split_once("```").unwrap();
    let snapshot = read_snapshot(example.as_bytes()).unwrap();
    for resource in &snapshot.resources {
        for name in references(resource) {
            let exists = snapshot.resources.iter().any(|other| other.name == name);
            assert!(exists, "{} names {name}", resource.name);
        }
    }
}

#[test]
fn every_kind_and_capability_has_a_row() {
    for kind in ResourceKind::ALL {
        let name = if kind == ResourceKind::Tier { "tier".into() } else { format!("{kind}/…") };
        assert!(REFERENCE.contains(&format!("\n| `{name}` |")), "{name}");
    }
    let table = REFERENCE.split_once("| capability | for |").unwrap().1;
    let rows: Vec<&str> = table.split('`').skip(1).step_by(2).collect();
    assert_eq!(rows, capability::ALL);
}
