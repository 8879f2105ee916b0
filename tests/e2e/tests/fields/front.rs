//! `listeners`, `tls`, `clientIPDetection`, `observability` and `ingress`: what a client meets.

use std::time::{Duration, Instant};

use gatefleet_test_support::{
    raw,
    tls::{leaf, leaf_by, leaf_by_rsa},
};
use gatefleet_tests_e2e::{Alone, HOST};
use rustls::version::{TLS12, TLS13};
use serde_json::{Value, json};

/// A Secret with a certificate for [`HOST`], and an Ingress with it.
fn with_certificate() -> [Value; 2] {
    let signed = rcgen::generate_simple_self_signed(vec![HOST.to_owned()]).unwrap();
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
        "metadata": {"name": "certificate", "namespace": "default"},
        "stringData": {"tls.crt": signed.cert.pem(), "tls.key": signed.signing_key.serialize_pem()},
    });
    let mut ingress = Alone::ingress(HOST, None);
    ingress["spec"]["tls"] = json!([{"hosts": [HOST], "secretName": "certificate"}]);
    [secret, ingress]
}

#[test]
fn the_oldest_version_of_tls_is_the_one_declared() {
    for (oldest, accepts_12) in [("1.2", true), ("1.3", false)] {
        let spec = json!({"northSouth": {"tls": {"minVersion": oldest}}});
        let proxy = Alone::start(spec, &with_certificate(), None);
        let shaken = |version| leaf_by(proxy.at(8443), HOST, &[version]);
        assert!(shaken(&TLS13).is_ok(), "1.3 where {oldest} is the oldest");
        let old = shaken(&TLS12);
        assert_eq!(old.is_ok(), accepts_12, "1.2 where {oldest} is the oldest: {old:?}");
        if let Err(error) = old {
            assert!(error.to_string().contains("ProtocolVersion"), "{error}");
        }
    }
}

/// A Secret with a certificate for `host` and a key of this kind, and the certificate.
fn certificate(
    secret: &str,
    host: &str,
    kind: &'static rcgen::SignatureAlgorithm,
) -> (Value, Vec<u8>) {
    let key = rcgen::KeyPair::generate_for(kind).unwrap();
    let signed = rcgen::CertificateParams::new(vec![host.to_owned()]).unwrap().self_signed(&key);
    let signed = signed.unwrap();
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
        "metadata": {"name": secret, "namespace": "default"},
        "stringData": {"tls.crt": signed.pem(), "tls.key": key.serialize_pem()},
    });
    (secret, signed.der().to_vec())
}

#[test]
fn names_without_a_certificate_get_the_default_one_of_a_kind_that_the_client_knows() {
    let [secret, ingress] = with_certificate();
    let (elliptic, modern) = certificate("elliptic", "*.test", &rcgen::PKCS_ECDSA_P256_SHA256);
    let (rsa, old) = certificate("rsa", "*.test", &rcgen::PKCS_RSA_SHA256);
    let objects = [secret, ingress, elliptic, rsa];
    let secrets = json!([{"name": "rsa"}, {"name": "elliptic"}]);
    let spec = json!({"northSouth": {"tls": {"defaultCertificate": {"secrets": secrets}}}});
    let proxy = Alone::start(spec, &objects, None);
    let shown = |name| leaf(proxy.at(8443), name).unwrap().to_vec();
    assert_eq!(shown("other.test"), modern);
    assert_eq!(leaf_by_rsa(proxy.at(8443), "other.test").unwrap().to_vec(), old);
    let own = shown(HOST);
    assert!(own != modern && own != old, "a host with a certificate of its own keeps it");

    let proxy = Alone::start(json!({"northSouth": {}}), &objects, None);
    let refused = leaf(proxy.at(8443), "other.test").unwrap_err().to_string();
    assert!(refused.contains("UnrecognisedName"), "{refused}");
}

#[test]
fn listeners_speak_what_they_declare_where_they_declare() {
    let listeners = json!([
        {"name": "plain", "port": 8081, "protocol": "HTTP"},
        {"name": "secret", "port": 8082, "protocol": "HTTPS"},
        {"name": "another", "port": 8083, "protocol": "HTTP"},
    ]);
    let spec = json!({"northSouth": {"listeners": listeners}});
    let proxy = Alone::start(spec, &with_certificate(), None);
    for (port, plain, encrypted) in
        [(8080, false, false), (8081, true, false), (8082, false, true), (8083, true, false)]
    {
        let answer = raw::get(proxy.at(port), HOST, "/", &[]);
        assert_eq!(answer.is_ok(), plain, "HTTP on {port}: {answer:?}");
        let leaf = leaf_by(proxy.at(port), HOST, &[&TLS13]);
        assert_eq!(leaf.is_ok(), encrypted, "HTTPS on {port}: {leaf:?}");
    }
}

/// Whom a proxy that is asked from 127.0.0.1 takes for the client.
#[test]
fn forwarded_addresses_are_believed_as_declared() {
    let here = json!(["127.0.0.0/8"]);
    for (detection, client, secure) in [
        (json!({}), "127.0.0.1", false),
        (json!({"trustedProxies": ["10.0.0.0/8"]}), "127.0.0.1", false),
        (json!({"trustedProxies": here}), "7.7.7.7", true),
        (json!({"trustedProxies": here, "hops": 1}), "127.9.9.9", true),
        (json!({"trustedProxies": here, "hops": 2}), "7.7.7.7", true),
        (json!({"trustedProxies": here, "hops": 3}), "6.6.6.6", true),
    ] {
        let proxy = Alone::tier(&json!({"clientIPDetection": detection}));
        let forwarded =
            [("x-forwarded-for", "6.6.6.6, 7.7.7.7, 127.9.9.9"), ("x-forwarded-proto", "https")];
        let answer = proxy.get("/echo", &forwarded);
        let told: Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(told["headers"]["x-real-ip"], client, "{detection}");
        let proto = if secure { "https" } else { "http" };
        assert_eq!(told["headers"]["x-forwarded-proto"], proto, "{detection}");
        assert_eq!(logged(&proxy).map(|line| line.contains(client)), Some(true), "{detection}");
    }
}

/// A client at 127.0.0.1, or, where that is a proxy that is believed, at 203.0.113.7.
#[test]
fn only_clients_of_the_declared_ranges_are_served() {
    let behind = json!({"trustedProxies": ["127.0.0.0/8"]});
    for (ranges, detection, status) in [
        (json!({"allow": ["127.0.0.0/8"]}), json!({}), 200),
        (json!({"allow": ["203.0.113.0/24"]}), json!({}), 403),
        (json!({"allow": ["127.0.0.0/8"]}), behind.clone(), 403),
        (json!({"allow": ["203.0.113.0/24"]}), behind.clone(), 200),
        (json!({"deny": ["203.0.113.7"]}), behind.clone(), 403),
        (json!({"deny": ["127.0.0.1"]}), behind.clone(), 200),
        (json!({"allow": ["203.0.113.0/24"], "deny": ["203.0.113.7/32"]}), behind, 403),
    ] {
        let said = format!("{ranges} {detection}");
        let proxy = Alone::tier(&json!({"sourceRanges": ranges, "clientIPDetection": detection}));
        let forwarded = [("x-forwarded-for", "203.0.113.7")];
        assert_eq!(proxy.get("/echo", &forwarded).status, status, "{said}");
        // Not even whether there is a route is told.
        let elsewhere = raw::get(proxy.at(8080), "other.test", "/", &forwarded).unwrap().status;
        assert_eq!(elsewhere, if status == 200 { 404 } else { status }, "{said}");
    }
}

/// The first line of the access log, if one comes within a second.
fn logged(proxy: &Alone) -> Option<String> {
    let end = Instant::now() + Duration::from_secs(1);
    loop {
        match proxy.output.text().lines().next() {
            Some(line) => return Some(line.to_owned()),
            None if Instant::now() > end => return None,
            None => std::thread::sleep(Duration::from_millis(20)),
        }
    }
}

#[test]
fn requests_are_logged_in_the_declared_form_or_not_at_all() {
    for (log, form) in [
        (json!({}), Some("\"path\":\"/logged\"")),
        (json!({"format": "JSON"}), Some("\"path\":\"/logged\"")),
        (json!({"format": "Text"}), Some("\"GET /logged HTTP/1.1\" 200")),
        (json!({"enabled": false}), None),
        (json!({"enabled": false, "format": "Text"}), None),
    ] {
        let spec = json!({"northSouth": {}, "observability": {"accessLog": log}});
        let proxy = Alone::start(spec, &[Alone::ingress(HOST, None)], None);
        assert_eq!(proxy.get("/logged", &[]).status, 200);
        let line = logged(&proxy);
        let fits = match (&line, form) {
            (Some(line), Some(form)) => line.contains(form),
            (line, form) => line.is_none() && form.is_none(),
        };
        assert!(fits, "{log}: {line:?}");
    }
}

#[test]
fn ingresses_of_the_declared_class_are_served() {
    let ingresses = [
        Alone::ingress("none.test", None),
        Alone::ingress("nginx.test", Some("nginx")),
        Alone::ingress("blue.test", Some("blue")),
    ];
    for (ingress, served) in [
        (json!({}), [404, 404, 404]),
        (json!({"ingressClass": ""}), [200, 200, 200]),
        (json!({"ingressClass": "nginx"}), [200, 200, 404]),
        (json!({"ingressClass": "blue"}), [404, 404, 200]),
        (json!({"ingressClass": "green"}), [404, 404, 404]),
    ] {
        let spec = json!({"northSouth": {}, "ingress": ingress});
        let proxy = Alone::start(spec, &ingresses, None);
        let ask = |host| raw::get(proxy.at(8080), host, "/", &[]).unwrap().status;
        assert_eq!(["none.test", "nginx.test", "blue.test"].map(ask), served, "{ingress}");
    }
}
