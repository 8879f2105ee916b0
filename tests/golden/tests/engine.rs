//! Whatever users write, the engine takes what becomes of it.

use gatefleet_http::compile::{compile_policy, compile_virtual_host};
use gatefleet_routes::{Options, Pipeline, PortRecord};
use gatefleet_snapshot::v1::resource::Body;
use gatefleet_state::ClusterState;
use proptest::prelude::*;
use serde_json::{Value, json};

/// Text like paths and expressions, and text like nothing.
fn path() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "/[a-z0-9/()|.*+?$^\\[\\]{}\\\\-]{0,24}",
        2 => "/.{0,24}",
        1 => Just("/(a)/(b)".to_owned()),
        1 => (1_usize..3000).prop_map(|length| format!("/{}", "(a)|.".repeat(length / 5))),
        1 => "/(a|b){1,3}\\{[0-9]{1,5}\\}",
    ]
}

/// Text like URLs with nginx's variables, and text like nothing.
fn location() -> impl Strategy<Value = String> {
    prop_oneof![
        "(https?://|/|\\$scheme://)[a-z0-9./?#%{}$]{0,16}",
        "https://(a|\\$host|\\$\\{host\\}|\\$request_uri|\\$args|\\$x){0,4}",
        ".{0,24}",
    ]
}

fn annotations() -> impl Strategy<Value = Value> {
    let entry = prop_oneof![
        (Just("use-regex"), Just("true".to_owned())),
        (Just("rewrite-target"), "/[a-z$0-9#? ]{0,12}"),
        (Just("canary"), Just("true".to_owned())),
        (Just("canary-by-header"), ".{0,12}"),
        (Just("canary-by-header-value"), ".{0,12}"),
        (Just("canary-by-header-pattern"), path()),
        (Just("canary-by-cookie"), ".{0,12}"),
        (Just("canary-weight"), "-?[0-9]{0,22}"),
        (Just("canary-weight-total"), "-?[0-9]{0,22}"),
        (Just("whitelist-source-range"), "[0-9a-f:./, ]{0,30}"),
        (Just("denylist-source-range"), Just("10.0.0.0/8,fd00::/8".to_owned())),
        (Just("auth-url"), ".{0,12}"),
        (Just("backend-protocol"), Just("HTTPS".to_owned())),
        (Just("force-ssl-redirect"), Just("true".to_owned())),
        (Just("app-root"), "(/|http://).{0,12}"),
        (Just("permanent-redirect"), location()),
        (Just("permanent-redirect-code"), "-?[0-9]{0,5}"),
        (Just("temporal-redirect"), location()),
        (Just("temporal-redirect-code"), "-?[0-9]{0,5}"),
        (Just("relative-redirects"), Just("true".to_owned())),
        (Just("server-alias"), "([a-z.*~]{0,8},){0,3}"),
        (Just("from-to-www-redirect"), Just("true".to_owned())),
        (Just("proxy-ssl-name"), ".{0,12}|[a-z.]{0,12}"),
        (Just("proxy-ssl-server-name"), Just("on".to_owned())),
        (Just("default-backend"), "(app|ghost|.{0,8})"),
        (Just("custom-http-errors"), "([0-9]{0,6},){0,3}[345][0-9]{2}"),
        (Just("enable-cors"), Just("true".to_owned())),
        (Just("cors-allow-origin"), "(\\*|null|https://(\\*\\.)?[a-z.*:]{0,8}|.{0,8}),?.{0,8}"),
        (Just("cors-allow-methods"), ".{0,12}|[A-Z, ]{0,12}"),
        (Just("cors-expose-headers"), ".{0,12}|[A-Za-z, *-]{0,12}"),
        (Just("cors-max-age"), "-?[0-9]{0,12}"),
        (Just("proxy-body-size"), "[0-9]{0,22}[bkmgx]?"),
        (Just("upstream-vhost"), ".{0,12}|[a-z.]{0,12}(:[0-9]{0,6})?"),
        (Just("proxy-connect-timeout"), "-?[0-9]{0,12}"),
        (Just("proxy-read-timeout"), "-?[0-9]{0,12}"),
        (Just("proxy-send-timeout"), "-?[0-9]{0,12}"),
        (
            Just("proxy-next-upstream"),
            "(error |timeout |http_50[0-4] |invalid_header |non_idempotent |off |x ){0,4}"
        ),
        (Just("proxy-next-upstream-tries"), "-?[0-9]{0,12}"),
        (Just("proxy-next-upstream-timeout"), "-?[0-9]{0,12}"),
    ];
    prop::collection::vec(entry, 0..5).prop_map(|entries| {
        let named = |(name, value): (&str, String)| {
            (format!("nginx.ingress.kubernetes.io/{name}"), Value::from(value))
        };
        Value::Object(entries.into_iter().map(named).collect())
    })
}

fn ingress() -> impl Strategy<Value = Value> {
    let kind = proptest::sample::select(&["Exact", "Prefix", "ImplementationSpecific"][..]);
    let paths = prop::collection::vec((path(), kind), 0..4);
    (annotations(), paths).prop_map(|(annotations, paths)| {
        let paths: Vec<Value> = paths
            .into_iter()
            .map(|(path, kind)| {
                json!({"path": path, "pathType": kind, "backend": {"service": {"name": "app", "port": {"number": 80}}}})
            })
            .collect();
        json!({"kind": "Ingress", "metadata": {"annotations": annotations},
               "spec": {"rules": [{"host": "shop.example", "http": {"paths": paths}}]}})
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_engine_takes_what_becomes_of_any_ingress(ingresses in prop::collection::vec(ingress(), 1..4)) {
        let mut state = ClusterState::default();
        state.insert_manifest(json!({"kind": "GatewayConfig", "metadata": {"name": "a"},
            "spec": {"northSouth": {}, "ingress": {"ingressClass": ""}}})).unwrap();
        state.insert_manifest(json!({"kind": "Service", "metadata": {"name": "app"}, "spec": {"ports": [{"port": 80}]}})).unwrap();
        for (index, mut ingress) in ingresses.into_iter().enumerate() {
            ingress["metadata"]["name"] = Value::from(format!("i{index}"));
            state.insert_manifest(ingress).unwrap();
        }
        let options = Options { default_namespace: "edge".into(), ports: PortRecord::Advertised };
        let output = Pipeline::new(options).update(&state, "2026-06-01T00:00:00Z".parse().unwrap());
        for one in output.tiers.values().flat_map(|tier| tier.resources.values()) {
            let compiled = match one.resource.body.as_ref().unwrap() {
                Body::VirtualHost(host) => compile_virtual_host(host).map(drop),
                Body::Policy(policy) => compile_policy(policy).map(drop),
                _ => Ok(()),
            };
            prop_assert_eq!(compiled, Ok(()), "{}", &one.resource.name);
        }
    }
}
