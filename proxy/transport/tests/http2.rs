//! HTTP/2 by ALPN and by prior knowledge, over real sockets.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use h2::client::SendRequest;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use serde_json::{Value, json};
use support::{
    Authority, Backend, Manners, Proxy, backend, certificate, free_port, http, https, local, route,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    task::JoinHandle,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

type Served = JoinHandle<Result<(), h2::Error>>;

async fn speak<I: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    io: I,
) -> (SendRequest<Bytes>, Served) {
    let (send, connection) = h2::client::handshake(io).await.unwrap();
    (send, tokio::spawn(connection))
}

async fn get(send: &mut SendRequest<Bytes>, uri: &str) -> (u16, Bytes) {
    let request = http::Request::builder().uri(uri).body(()).unwrap();
    let (response, _) = send.send_request(request, true).unwrap();
    let (head, mut body) = response.await.unwrap().into_parts();
    let mut whole = Vec::new();
    while let Some(chunk) = body.data().await {
        whole.extend_from_slice(&chunk.unwrap());
    }
    (head.status.as_u16(), whole.into())
}

async fn shake(authority: &Authority, port: u16, offers: &[&[u8]]) -> TlsStream<TcpStream> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.pem.as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = offers.iter().map(|offer| offer.to_vec()).collect();
    let tcp = TcpStream::connect(local(port)).await.unwrap();
    let name = ServerName::try_from("a.example").unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, tcp).await.unwrap()
}

fn resources(plain: u16, secure: u16, authority: &Authority, a: &Backend) -> Vec<Value> {
    let tls = json!({ "defaultCertificates": ["certificate/a"] });
    let mut resources = vec![
        http(plain),
        https(secure, &tls),
        certificate("a", &authority.issue(&["a.example"])),
        route("all", "", "b"),
    ];
    resources.extend(backend("b", &[a.address]));
    resources
}

#[tokio::test(flavor = "multi_thread")]
async fn alpn_chooses_and_prior_knowledge_is_recognised() {
    let (proxy, a, authority) = (Proxy::start(), Backend::start("a"), Authority::new());
    let (plain, secure) = (free_port(), free_port());
    proxy.serve(&resources(plain, secure, &authority, &a)).await;
    for (offers, chosen) in [
        (&[&b"h2"[..], b"http/1.1"][..], Some(&b"h2"[..])),
        (&[b"http/1.1", b"h2"], Some(b"h2")),
        (&[b"http/1.1"], Some(b"http/1.1")),
        (&[], None),
    ] {
        let stream = shake(&authority, secure, offers).await;
        assert_eq!(stream.get_ref().1.alpn_protocol(), chosen);
        if chosen == Some(b"h2") {
            let (mut send, _served) = Box::pin(speak(stream)).await;
            assert_eq!(get(&mut send, "https://a.example/").await, (200, "a".into()));
        }
    }
    let (mut send, _served) = speak(TcpStream::connect(local(plain)).await.unwrap()).await;
    for _ in 0..20 {
        assert_eq!(get(&mut send, "http://a.example/").await, (200, "a".into()));
    }
    assert_eq!(a.requests(), 22);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_closes_no_connection_and_the_next_stream_sees_it() {
    let manners = Manners { delay: Duration::from_millis(300), ..Manners::default() };
    let (proxy, a, authority) =
        (Proxy::start(), Backend::start_with("a", manners), Authority::new());
    let (b, plain, secure) = (Backend::start("b"), free_port(), free_port());
    proxy.serve(&resources(plain, secure, &authority, &a)).await;
    let stream = shake(&authority, secure, &[b"h2"]).await;
    let (mut send, served) = Box::pin(speak(stream)).await;
    let mut running = send.clone();
    let running = tokio::spawn(async move { get(&mut running, "https://a.example/").await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    proxy.serve(&resources(plain, secure, &authority, &b)).await;
    assert_eq!(get(&mut send, "https://a.example/").await, (200, "b".into()));
    assert_eq!(running.await.unwrap(), (200, "a".into()), "what ran goes on");
    assert!(!served.is_finished());
}
