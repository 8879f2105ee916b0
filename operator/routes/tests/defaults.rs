//! Default certificates: where they come from, who may name them, and what is told when they cannot be served.

#![expect(clippy::unwrap_used, reason = "a broken manifest must stop the test")]

use std::collections::BTreeMap;

use gatefleet_names::{FleetKey, Tier};
use gatefleet_routes::{Options, Pipeline, PortRecord, Reason, RoutesOutput, SecretName};
use gatefleet_snapshot::v1::resource::Body;
use gatefleet_state::ClusterState;
use jiff::Timestamp;
use rcgen::{
    CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256, SignatureAlgorithm,
};
use serde_json::{Value, json};

fn secret(namespace: &str, name: &str, algorithm: &'static SignatureAlgorithm) -> Value {
    let key = KeyPair::generate_for(algorithm).unwrap();
    let certificate =
        CertificateParams::new(vec!["shop.example".into()]).unwrap().self_signed(&key);
    json!({"kind": "Secret", "type": "kubernetes.io/tls", "metadata": {"name": name, "namespace": namespace},
           "stringData": {"tls.crt": certificate.unwrap().pem(), "tls.key": key.serialize_pem()}})
}

fn fleet(secrets: &Value) -> Value {
    json!({"kind": "GatewayConfig", "metadata": {"name": "a", "namespace": "edge", "generation": 1},
           "spec": {"northSouth": {"tls": {"defaultCertificate": {"secrets": secrets}}}, "ingress": {"ingressClass": ""}}})
}

fn grant(name: Option<&str>) -> Value {
    json!({"kind": "ReferenceGrant", "metadata": {"name": "edge", "namespace": "certs"}, "spec": {
        "from": [{"group": "gatefleet.dev", "kind": "GatewayConfig", "namespace": "edge"}],
        "to": [{"group": "", "kind": "Secret", "name": name}]}})
}

fn now() -> Timestamp {
    "2026-06-01T00:00:00Z".parse().unwrap()
}

struct World {
    state: ClusterState,
    pipeline: Pipeline,
}

impl World {
    fn new(objects: &[Value]) -> Self {
        let options = Options { default_namespace: "edge".into(), ports: PortRecord::Advertised };
        let mut world = Self { state: ClusterState::default(), pipeline: Pipeline::new(options) };
        world.put(objects);
        world
    }

    fn put(&mut self, objects: &[Value]) {
        for object in objects {
            self.state.insert_manifest(object.clone()).unwrap();
        }
    }

    /// What listener `https` names, what is refused, and everything.
    fn look(&mut self) -> (Vec<String>, Vec<(Reason, String)>, RoutesOutput) {
        let output = self.pipeline.update(&self.state, now());
        let fleet = FleetKey::new("edge", "a");
        let resources = &output.tiers[&fleet.tier(Tier::NorthSouth)].resources;
        let Some(Body::Listener(listener)) = &resources["listener/https"].resource.body else {
            panic!("no listener");
        };
        let named = listener.tls.clone().unwrap().default_certificates;
        assert!(named.iter().all(|name| resources.contains_key(name)), "{named:?}");
        let findings = output.fleets[&fleet].default_certificates.iter();
        let told = findings.map(|one| (one.reason, format!("{}: {}", one.field, one.message)));
        (named, told.collect(), output)
    }
}

#[test]
fn a_secret_is_served_once_it_holds_a_certificate() {
    let mut world = World::new(&[fleet(&json!([{"name": "wildcard"}]))]);
    let (named, told, output) = world.look();
    assert!(named.is_empty());
    assert_eq!(told[0].0, Reason::SecretNotFound);
    let field =
        "spec.northSouth.tls.defaultCertificate.secrets[0]: Secret edge/wildcard does not exist";
    assert!(told[0].1.starts_with(field), "{told:?}");
    let name = SecretName { namespace: "edge".into(), name: "wildcard".into() };
    assert!(output.secrets.contains(&name), "an absent Secret is watched too");

    let mut wrong = secret("edge", "wildcard", &PKCS_ECDSA_P256_SHA256);
    wrong["type"] = json!("Opaque");
    world.put(&[wrong]);
    let (named, told, _) = world.look();
    assert!(named.is_empty() && told[0].0 == Reason::SecretInvalid, "{told:?}");
    assert!(told[0].1.contains("kubectl create secret tls"), "{told:?}");

    world.put(&[secret("edge", "wildcard", &PKCS_ECDSA_P256_SHA256)]);
    let (named, told, output) = world.look();
    assert_eq!((named, told), (vec!["certificate/edge/wildcard".to_owned()], vec![]));
    let served = &output.fleets[&FleetKey::new("edge", "a")].certificates;
    assert_eq!(served.iter().map(|one| &one.secret).collect::<Vec<_>>(), [&name]);
    let again = world.pipeline.update(&world.state, now());
    assert_eq!((again.translated, &again.tiers), (0, &output.tiers));
}

#[test]
fn another_namespace_must_allow_it() {
    let named = json!([{"name": "wildcard", "namespace": "certs"}]);
    let mut world =
        World::new(&[fleet(&named), secret("certs", "wildcard", &PKCS_ECDSA_P256_SHA256)]);
    let (named, told, output) = world.look();
    assert!(named.is_empty() && output.secrets.is_empty(), "it is not even looked at");
    assert_eq!(told[0].0, Reason::ReferenceNotPermitted);
    world.put(&[grant(Some("other"))]);
    assert_eq!(world.look().1, told, "a grant for another Secret");
    world.put(&[grant(None)]);
    let (named, told, _) = world.look();
    assert_eq!((named, told), (vec!["certificate/certs/wildcard".to_owned()], vec![]));
    world.state.reference_grants.remove("certs", "edge");
    let (named, told, _) = world.look();
    assert!(named.is_empty() && told.len() == 1, "taken back");
}

#[test]
fn two_secrets_have_keys_of_two_kinds() {
    let mut world = World::new(&[
        fleet(&json!([{"name": "one"}, {"name": "two"}])),
        secret("edge", "one", &PKCS_ECDSA_P256_SHA256),
        secret("edge", "two", &PKCS_ECDSA_P256_SHA256),
    ]);
    let (named, told, _) = world.look();
    assert_eq!(named, ["certificate/edge/one"]);
    assert_eq!(told[0].0, Reason::TlsConflict);
    assert!(told[0].1.contains("secrets[1]") && told[0].1.contains("same kind"), "{told:?}");
    world.put(&[secret("edge", "two", &PKCS_RSA_SHA256)]);
    let (named, told, _) = world.look();
    assert_eq!(named, ["certificate/edge/one", "certificate/edge/two"]);
    assert!(told.is_empty(), "{told:?}");
}

#[test]
fn an_ingress_names_two_secrets_for_one_host() {
    let ingress = json!({"kind": "Ingress", "metadata": {"name": "web", "namespace": "shop"}, "spec": {"tls": [
        {"hosts": ["shop.example"], "secretName": "one"}, {"hosts": ["shop.example"], "secretName": "two"}]}});
    let mut world = World::new(&[
        json!({"kind": "GatewayConfig", "metadata": {"name": "a", "namespace": "edge"},
               "spec": {"northSouth": {}, "ingress": {"ingressClass": ""}}}),
        ingress,
        secret("shop", "one", &PKCS_RSA_SHA256),
        secret("shop", "two", &PKCS_ECDSA_P256_SHA256),
    ]);
    let (_, _, output) = world.look();
    let resources = &output.tiers[&FleetKey::new("edge", "a").tier(Tier::NorthSouth)].resources;
    let Some(Body::ServerName(name)) = &resources["server-name/tier/shop.example"].resource.body
    else {
        panic!("no server name");
    };
    assert_eq!(name.certificates, ["certificate/shop/two", "certificate/shop/one"]);
    let findings: BTreeMap<_, _> =
        output.ingresses.iter().map(|(key, outcome)| (key, &outcome.diagnostics)).collect();
    assert!(findings.values().all(|found| found.is_empty()), "{findings:?}");
}
