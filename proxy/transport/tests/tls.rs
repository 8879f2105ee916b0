//! TLS in front: which certificate answers, who is let in, and what changes under load.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::{
    io::{Read, Write},
    net::TcpStream,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use rustls::{
    ClientConfig, ClientConnection, NamedGroup, RootCertStore, StreamOwned,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
};
use serde_json::{Value, json};
use support::{
    Authority, Backend, Proxy, backend, blocking, certificate, eventually, free_port, https, local,
    route,
};

static TLS12: &[&rustls::SupportedProtocolVersion] = &[&rustls::version::TLS12];

/// What a client wants and has.
struct Client<'a> {
    authority: &'a str,
    name: Option<&'a str>,
    versions: &'static [&'static rustls::SupportedProtocolVersion],
    schemes: Option<&'static str>,
    own: Option<&'a (String, String)>,
}

impl<'a> Client<'a> {
    fn new(authority: &'a Authority, name: &'a str) -> Self {
        Self {
            authority: &authority.pem,
            name: Some(name),
            versions: rustls::ALL_VERSIONS,
            schemes: None,
            own: None,
        }
    }

    fn config(&self) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.authority.as_bytes()).unwrap()).unwrap();
        let mut provider = rustls::crypto::aws_lc_rs::default_provider();
        if let Some(kind) = self.schemes {
            let fits = |scheme: &rustls::SignatureScheme| format!("{scheme:?}").contains(kind);
            let mapping: Vec<_> = provider
                .signature_verification_algorithms
                .mapping
                .iter()
                .copied()
                .filter(|(scheme, _)| fits(scheme))
                .collect();
            provider.signature_verification_algorithms.mapping = Box::leak(mapping.into());
        }
        let builder = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(self.versions)
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match self.own {
            None => builder.with_no_client_auth(),
            Some((chain, key)) => {
                let chain = vec![CertificateDer::from_pem_slice(chain.as_bytes()).unwrap()];
                let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
                builder.with_client_auth_cert(chain, key).unwrap()
            }
        };
        config.enable_sni = self.name.is_some();
        config
    }

    /// A connection after its handshake.
    fn open(&self, port: u16) -> std::io::Result<StreamOwned<ClientConnection, TcpStream>> {
        let name = self.name.unwrap_or("a.example").to_owned();
        let name = ServerName::try_from(name).unwrap();
        let tls = ClientConnection::new(Arc::new(self.config()), name).unwrap();
        let mut tcp = TcpStream::connect(local(port))?;
        tcp.set_read_timeout(Some(std::time::Duration::from_secs(10)))?;
        let mut stream = StreamOwned::new(tls, tcp.try_clone()?);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut tcp)?;
        }
        Ok(stream)
    }

    /// The body of an answer, or what went wrong.
    fn get(&self, port: u16) -> Result<String, String> {
        self.open(port)
            .and_then(|mut stream| exchange(&mut stream, "a.example"))
            .map_err(|e| e.to_string())
    }
}

fn exchange(
    stream: &mut StreamOwned<ClientConnection, TcpStream>,
    host: &str,
) -> std::io::Result<String> {
    write!(stream, "GET / HTTP/1.1\r\nhost: {host}\r\n\r\n")?;
    let mut seen = Vec::new();
    loop {
        let mut bytes = [0; 1024];
        let read = stream.read(&mut bytes)?;
        if read == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        seen.extend_from_slice(&bytes[..read]);
        let text = String::from_utf8_lossy(&seen).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|l| {
                l.to_ascii_lowercase().strip_prefix("content-length: ").map(str::to_owned)
            });
            if length.is_some_and(|length| body.len() >= length.parse().unwrap()) {
                return Ok(body.to_owned());
            }
        }
    }
}

fn server_name(name: &str, kind: &str, pattern: &str, certificates: &[&str]) -> Value {
    json!({ "name": format!("server-name/tier/{name}"), "serverName": {
        "scope": "tier", "pattern": { "kind": kind, "name": pattern }, "certificates": certificates } })
}

fn serving(port: u16, tls: &Value, a: &Backend, more: &[Value]) -> Vec<Value> {
    let mut resources = vec![https(port, tls), route("all", "", "b")];
    resources.extend(backend("b", &[a.address]));
    resources.extend_from_slice(more);
    resources
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_name_chooses_the_certificate() {
    let (proxy, a, port) = (Proxy::start(), Backend::start("a"), free_port());
    let (exact, one, suffix, default) =
        (Authority::new(), Authority::new(), Authority::new(), Authority::new());
    let wild = ["a.example", "*.a.example", "b.c.a.example", "other.example"];
    let certificates = [
        certificate("exact", &exact.issue(&["x.a.example"])),
        certificate("one", &one.issue(&wild)),
        certificate("suffix", &suffix.issue(&wild)),
        certificate("default", &default.issue(&wild)),
        server_name("1", "EXACT", "x.a.example", &["certificate/exact"]),
        server_name("2", "ONE_LABEL", "a.example", &["certificate/one"]),
        server_name("3", "SUFFIX", "a.example", &["certificate/suffix"]),
        server_name("4", "EXACT", "broken.example", &["certificate/missing"]),
    ];
    let tls = json!({ "defaultCertificates": ["certificate/default"] });
    proxy.serve(&serving(port, &tls, &a, &certificates)).await;
    blocking(move || {
        for (authority, name) in [
            (&exact, "x.a.example"),
            (&one, "y.a.example"),
            (&suffix, "b.c.a.example"),
            (&default, "other.example"),
        ] {
            assert_eq!(Client::new(authority, name).get(port).as_deref(), Ok("a"), "{name}");
        }
        let nameless = Client { name: None, ..Client::new(&default, "a.example") };
        assert_eq!(nameless.get(port).as_deref(), Ok("a"), "without a name");
        // A certificate that is missing ends the handshake; the default does not stand in for it.
        let error = Client::new(&default, "broken.example").get(port).unwrap_err();
        assert!(error.contains("AccessDenied"), "{error}");
        let stream = Client::new(&exact, "x.a.example").open(port).unwrap();
        let group = stream.conn.negotiated_key_exchange_group().unwrap().name();
        assert_eq!(group, NamedGroup::X25519MLKEM768);
        assert_eq!(stream.conn.protocol_version(), Some(rustls::ProtocolVersion::TLSv1_3));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_name_gets_the_alert_for_it() {
    let (proxy, a, port) = (Proxy::start(), Backend::start("a"), free_port());
    let ca = Authority::new();
    let more = [
        certificate("a", &ca.issue(&["a.example"])),
        server_name("a", "EXACT", "a.example", &["certificate/a"]),
    ];
    proxy.serve(&serving(port, &json!({}), &a, &more)).await;
    blocking(move || {
        let error = Client::new(&ca, "z.example").get(port).unwrap_err();
        assert!(error.contains("UnrecognisedName"), "{error}");
        assert_eq!(Client::new(&ca, "a.example").get(port).as_deref(), Ok("a"));
    })
    .await;
    eventually("both are counted", || proxy.path.statistics().handshakes == [1, 0, 1, 0]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_clients_signature_schemes_choose_between_key_types() {
    let (proxy, a, port) = (Proxy::start(), Backend::start("a"), free_port());
    let ca = Authority::new();
    let rsa = rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap();
    let more = [
        certificate("rsa", &ca.issue_with(&["a.example"], &rsa)),
        certificate("ecdsa", &ca.issue(&["a.example"])),
    ];
    let tls = json!({ "defaultCertificates": ["certificate/rsa", "certificate/ecdsa"] });
    proxy.serve(&serving(port, &tls, &a, &more)).await;
    blocking(move || {
        let leaf = |client: &Client<'_>| {
            client.open(port).map(|s| s.conn.peer_certificates().unwrap()[0].len()).unwrap()
        };
        let ecdsa = leaf(&Client::new(&ca, "a.example"));
        let only_rsa =
            Client { versions: TLS12, schemes: Some("RSA"), ..Client::new(&ca, "a.example") };
        let rsa = leaf(&only_rsa);
        assert!(rsa > ecdsa + 100, "an RSA leaf is larger: {rsa} {ecdsa}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn old_versions_and_strangers_are_turned_away() {
    let (proxy, a, port) = (Proxy::start(), Backend::start("a"), free_port());
    let (ca, clients, strangers) = (Authority::new(), Authority::new(), Authority::new());
    let more = [
        certificate("a", &ca.issue(&["a.example"])),
        json!({ "name": "trust-bundle/clients", "trustBundle": { "certificates": clients.pem } }),
    ];
    let tls = json!({ "minVersion": "TLS_1_3", "defaultCertificates": ["certificate/a"],
        "clientValidation": { "mode": "REQUIRED", "trustBundles": ["trust-bundle/clients"] } });
    proxy.serve(&serving(port, &tls, &a, &more)).await;
    blocking(move || {
        let (known, stranger) = (clients.issue(&["client"]), strangers.issue(&["client"]));
        let known = Client { own: Some(&known), ..Client::new(&ca, "a.example") };
        assert_eq!(known.get(port).as_deref(), Ok("a"));
        let stranger = Client { own: Some(&stranger), ..Client::new(&ca, "a.example") };
        assert!(stranger.get(port).is_err());
        let nobody = Client::new(&ca, "a.example");
        assert!(nobody.get(port).is_err());
        let old = Client { versions: TLS12, ..known };
        assert!(old.get(port).unwrap_err().contains("ProtocolVersion"));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn client_validation_needs_its_trust_bundles() {
    let (proxy, port) = (Proxy::start(), free_port());
    for bundles in [json!([]), json!(["trust-bundle/missing"])] {
        let tls = json!({ "clientValidation": { "mode": "REQUIRED", "trustBundles": bundles } });
        let refusals = proxy.try_serve(&[https(port, &tls)]).await.unwrap_err();
        let message = refusals.values().next().unwrap();
        assert!(message.contains("clients cannot be verified"), "{message}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_rotate_under_load_without_a_lost_request() {
    let (proxy, a, port) = (Proxy::start(), Backend::start("a"), free_port());
    let ca = Authority::new();
    let tls = json!({ "defaultCertificates": ["certificate/a"] });
    let rotate = || serving(port, &tls, &a, &[certificate("a", &ca.issue(&["a.example"]))]);
    proxy.serve(&rotate()).await;
    let stop = Arc::new(AtomicBool::new(false));
    let pem = ca.pem.clone();
    let clients: Vec<_> = (0..4)
        .map(|index| {
            let (stop, pem) = (Arc::clone(&stop), pem.clone());
            blocking(move || load(port, &pem, index % 2 == 0, &stop))
        })
        .collect();
    for _ in 0..20 {
        proxy.serve(&rotate()).await;
        tokio::time::sleep(std::time::Duration::from_millis(40)).await;
    }
    stop.store(true, Ordering::SeqCst);
    let mut leaves = 0;
    for client in clients {
        let (requests, seen) = client.await.unwrap();
        assert!(requests > 3, "{requests}");
        leaves = leaves.max(seen);
    }
    assert!(leaves >= 3, "new handshakes see new certificates: {leaves}");
}

/// Requests on one connection, or on a new one each; how many, and how many leaves were seen.
fn load(port: u16, pem: &str, keep: bool, stop: &AtomicBool) -> std::io::Result<(usize, usize)> {
    let client = Client {
        authority: pem,
        name: Some("a.example"),
        versions: rustls::ALL_VERSIONS,
        schemes: None,
        own: None,
    };
    let (mut kept, mut requests) = (None, 0);
    let mut leaves = std::collections::HashSet::new();
    while !stop.load(Ordering::SeqCst) {
        let mut stream = match kept.take() {
            Some(stream) => stream,
            None => client.open(port)?,
        };
        leaves.insert(stream.conn.peer_certificates().unwrap()[0].to_vec());
        assert_eq!(exchange(&mut stream, "a.example")?, "a");
        requests += 1;
        kept = keep.then_some(stream);
    }
    Ok((requests, leaves.len()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_certificate_is_refused_with_the_reason() {
    let proxy = Proxy::start();
    let ca = Authority::new();
    let (chain, _) = ca.issue(&["a.example"]);
    let (_, key) = ca.issue(&["b.example"]);
    let refusals = proxy.try_serve(&[certificate("a", &(chain, key))]).await.unwrap_err();
    let message = &refusals["certificate/a"];
    assert!(message.contains("does not belong to the certificate of a.example"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_client_is_dropped_after_the_handshake_timeout() {
    let (proxy, a, port) = (Proxy::start(), Backend::start("a"), free_port());
    let tier = json!({ "name": "tier", "tier": { "timeouts": { "tlsHandshakeMs": 200 } } });
    proxy.serve(&serving(port, &json!({}), &a, &[tier])).await;
    let read = blocking(move || {
        let mut tcp = TcpStream::connect(local(port)).unwrap();
        tcp.set_read_timeout(Some(std::time::Duration::from_secs(5))).unwrap();
        tcp.read(&mut [0; 8])
    });
    assert_eq!(read.await.unwrap(), 0);
    eventually("it is counted", || proxy.path.statistics().handshakes == [0, 0, 0, 1]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn listeners_on_one_port_are_isolated_by_server_name() {
    let (proxy, port) = (Proxy::start(), free_port());
    let (a, b) = (Backend::start("a"), Backend::start("b"));
    let ca = Authority::new();
    let listener = |scope: &str, hostname: Value, certificate: &str| {
        json!({ "name": format!("listener/{scope}"), "listener": { "scope": scope, "bindPort": port,
            "protocol": "HTTPS", "hostname": hostname, "tls": { "defaultCertificates": [certificate] } } })
    };
    let all = |scope: &str, to: &str| {
        let mut host = route(scope, "", to);
        host["name"] = json!(format!("virtual-host/{scope}/any"));
        host["virtualHost"]["scope"] = json!(scope);
        host
    };
    let mut resources = vec![
        listener("one", json!({ "kind": "SUFFIX", "name": "one.example" }), "certificate/one"),
        listener("two", json!({ "kind": "EXACT", "name": "b.one.example" }), "certificate/two"),
        certificate("one", &ca.issue(&["*.one.example"])),
        certificate("two", &ca.issue(&["b.one.example"])),
        all("one", "a"),
        all("two", "b"),
    ];
    resources.extend(backend("a", &[a.address]));
    resources.extend(backend("b", &[b.address]));
    proxy.serve(&resources).await;
    blocking(move || {
        for (name, expected) in [("a.one.example", "a"), ("b.one.example", "b")] {
            let mut stream = Client::new(&ca, name).open(port).unwrap();
            assert_eq!(exchange(&mut stream, name).unwrap(), expected);
        }
        let error = Client::new(&ca, "other.example").get(port).unwrap_err();
        assert!(error.contains("UnrecognisedName"), "{error}");
    })
    .await;
}
