//! What goes wrong around the channel: certificates, files, strangers, crowds.

use std::time::{Duration, SystemTime};

use gatefleet_channel::Source;
use gatefleet_distribute::{ChannelAuthority, Publisher};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{sleep, timeout},
};

use crate::harness::{PATIENCE, World, backend, configuration, tier};

#[tokio::test]
async fn a_certificate_that_comes_later_or_is_broken_is_only_a_delay() {
    let prod = tier("prod");
    let world = World::new(&[&prod]);
    let server = world.server("one").await;
    let a = backend("a", "one:1");
    server.publisher.publish(&prod, configuration(vec![a.clone()], 1));
    let mut proxy = world.proxy(&prod, "p1", &[&server]);
    let directory = world.write_identity("p1", &world.leaf(&prod, &prod));
    let problem = async |proxy: &mut crate::harness::Proxy, wanted: &str| {
        let said = |state: &gatefleet_channel::ChannelState| {
            state.problem.as_ref().is_some_and(|said| said.contains(wanted))
        };
        proxy.until(said).await;
    };
    proxy.until_serves(&[&a]).await;

    std::fs::remove_file(directory.join("tls.key")).unwrap();
    server.stop().await;
    problem(&mut proxy, "tls.key").await;
    std::fs::write(directory.join("tls.key"), "no key").unwrap();
    problem(&mut proxy, "tls.key: ").await;
    std::fs::write(directory.join("ca.crt"), "").unwrap();
    problem(&mut proxy, "ca.crt: it holds no certificate").await;
    proxy.until_serves(&[&a]).await;
}

#[tokio::test]
async fn a_proxy_believes_no_server_of_another_operator() {
    let prod = tier("prod");
    let (world, other) = (World::new(&[&prod]), World::new(&[&prod]));
    let server = other.server("one").await;
    server.publisher.publish(&prod, configuration(vec![backend("a", "one:1")], 1));
    let mut proxy = world.proxy(&prod, "p1", &[&server]);
    let state = proxy.until(|state| state.problem.is_some()).await;
    assert!(!state.ready && state.connected.is_empty(), "{state:?}");
}

#[tokio::test]
async fn an_expired_certificate_is_refused() {
    let prod = tier("prod");
    let world = World::new(&[&prod]);
    let server = world.server("one").await;
    let long_ago = SystemTime::now() - Duration::from_hours(24 * 200);
    let authority = ChannelAuthority::generate("edge/prod", long_ago).unwrap();
    server.publisher.trust(&prod, authority.certificate_pem()).unwrap();
    let expired = authority.issue_client(&prod, long_ago).unwrap();
    let answer = match world.raw(&server, &expired, "p1").await {
        Err(_) => None,
        Ok(mut raw) => raw.hear().await,
    };
    assert_eq!(answer, None);
    let fresh = authority.issue_client(&prod, SystemTime::now()).unwrap();
    assert!(world.raw(&server, &fresh, "p1").await.unwrap().hear().await.is_some());
}

#[tokio::test]
async fn trust_is_replaced_and_nonsense_leaves_it() {
    let prod = tier("prod");
    let world = World::new(&[&prod]);
    let server = world.server("one").await;
    let leaf = world.leaf(&prod, &prod);
    for nonsense in
        ["", "no certificate", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]
    {
        let said = server.publisher.trust(&prod, nonsense).unwrap_err().to_string();
        assert!(said.contains("edge/prod/north-south"), "{said}");
    }
    assert!(world.raw(&server, &leaf, "p1").await.unwrap().hear().await.is_some());

    // While a CA is rotated both are believed, afterwards only the new one.
    let now = SystemTime::now();
    let new = ChannelAuthority::generate("edge/prod", now).unwrap();
    let new_leaf = new.issue_client(&prod, now).unwrap();
    let both = format!("{}{}", world.authority(&prod).certificate_pem(), new.certificate_pem());
    server.publisher.trust(&prod, &both).unwrap();
    for leaf in [&leaf, &new_leaf] {
        assert!(world.raw(&server, leaf, "p1").await.unwrap().hear().await.is_some());
    }
    server.publisher.trust(&prod, new.certificate_pem()).unwrap();
    let old = match world.raw(&server, &leaf, "p2").await {
        Err(_) => None,
        Ok(mut raw) => raw.hear().await,
    };
    assert_eq!(old, None);
}

#[tokio::test]
async fn strangers_and_silent_peers_hold_nobody_up() {
    let prod = tier("prod");
    let world = World::new(&[&prod]);
    let server = world.server("one").await;
    let a = backend("a", "one:1");
    server.publisher.publish(&prod, configuration(vec![a.clone()], 1));
    let mut silent = Vec::new();
    for _ in 0..50 {
        silent.push(TcpStream::connect(server.address).await.unwrap());
    }
    for noise in
        [&b"GET / HTTP/1.1\r\n\r\n"[..], b"\x16\x03\x01\xff\xff", &[0; 4096], b"PRI * HTTP/2.0"]
    {
        let mut stranger = TcpStream::connect(server.address).await.unwrap();
        stranger.write_all(noise).await.unwrap();
        stranger.shutdown().await.unwrap();
        let mut answer = Vec::new();
        // Reset or closed: either way nothing but a TLS alert comes back.
        let _ = timeout(PATIENCE, stranger.read_to_end(&mut answer)).await.unwrap();
        assert!(answer.len() < 64, "{answer:?}");
    }
    let mut proxy = world.proxy(&prod, "p1", &[&server]);
    proxy.until_serves(&[&a]).await;
}

#[tokio::test]
async fn a_damaged_copy_on_disk_is_said_and_replaced() {
    let prod = tier("prod");
    let world = World::new(&[&prod]);
    let server = world.server("one").await;
    let state = world.directory.path().join("state-p1");
    std::fs::create_dir_all(&state).unwrap();
    std::fs::write(state.join("last-good"), "gatefleet snapshot 1\nrubbish").unwrap();
    let mut proxy = world.proxy(&prod, "p1", &[&server]);
    proxy.until(|state| state.connected.len() == 1).await;
    let a = backend("a", "one:1");
    server.publisher.publish(&prod, configuration(vec![a.clone()], 1));
    proxy.until_serves(&[&a]).await;
    while gatefleet_channel::DiskCopy::new(&state, 1 << 20).load().is_err() {
        sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_crowd_of_proxies_survives_a_restart_of_its_server() {
    let prod = tier("prod");
    let world = World::new(&[&prod]);
    let server = world.server("one").await;
    let resources: Vec<_> = (0..50).map(|index| backend(&index.to_string(), "one:1")).collect();
    server.publisher.publish(&prod, configuration(resources.clone(), 1));
    let mut proxies: Vec<_> =
        (0..40).map(|index| world.proxy(&prod, &format!("p{index}"), &[&server])).collect();
    for proxy in &mut proxies {
        proxy.until(|state| state.ready).await;
    }
    let address = server.stop().await;
    let server = world.server_at("one", address, Publisher::default()).await;
    let mut newer = resources;
    newer[7] = backend("7", "two:1");
    server.publisher.publish(&prod, configuration(newer.clone(), 2));
    let newer: Vec<_> = newer.iter().collect();
    for proxy in &mut proxies {
        proxy.until_serves(&newer).await;
        let state = proxy.until(|_| true).await;
        assert_eq!(state.source, Source::Server(address.to_string()));
        let compiled = proxy.engine.compiled.load(std::sync::atomic::Ordering::Relaxed);
        assert_eq!(compiled, 51, "what was held is not sent or compiled again");
    }
    let mut holdings = server.publisher.holdings();
    let all = holdings
        .wait_for(|holdings| holdings.tiers.get(&prod).is_some_and(|proxies| proxies.len() == 40));
    timeout(PATIENCE, all).await.unwrap().unwrap();
}
