//! The schema allows what the proxy takes, and no more: a value that is admitted never makes a tier unservable.

use std::fs;

use gatefleet_http::compile::compile_tier;
use gatefleet_snapshot::v1::{Limits, Tier};
use gatefleet_test_support::programs::checkout;
use serde_json::Value;

fn is_taken(limits: Limits) -> bool {
    compile_tier(&Tier { limits: Some(limits), ..Tier::default() }).is_ok()
}

/// Limits with one of them set.
type Set = fn(u32) -> Limits;

#[test]
fn bounds_of_heads_are_those_of_the_proxy() {
    let text = fs::read_to_string(checkout().join("crds/gatewayconfigs.yaml")).unwrap();
    let manifest: Value = serde_saphyr::from_str(&text).unwrap();
    let spec = &manifest["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"];
    let with: [(&str, Set); 2] = [
        ("maxHeaderBytes", |max_header_bytes| Limits { max_header_bytes, ..Limits::default() }),
        ("maxHeaderCount", |max_header_count| Limits { max_header_count, ..Limits::default() }),
    ];
    for tier in ["northSouth", "eastWest"] {
        let limits = &spec["properties"][tier]["properties"]["limits"]["properties"];
        for (field, limits_with) in with {
            // The manifest writes whole numbers as 1024.0.
            let bound = |name: &str| {
                limits[field][name].as_f64().unwrap().to_string().parse::<u32>().unwrap()
            };
            let (least, most) = (bound("minimum"), bound("maximum"));
            for (value, expected) in
                [(least - 1, false), (least, true), (most, true), (most + 1, false)]
            {
                assert_eq!(is_taken(limits_with(value)), expected, "{field}: {value}");
            }
        }
    }
}
