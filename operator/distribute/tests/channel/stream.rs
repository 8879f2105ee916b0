//! One server, one proxy: transactions, outcomes, last good versions, the copy on disk.

use std::{sync::atomic::Ordering, time::Duration};

use gatefleet_channel::{DiskCopy, Outcome, Source};
use gatefleet_distribute::{Holding, Publisher};

use crate::harness::{World, backend, bundle, configuration, mark, tier, timing, trusting};

#[tokio::test]
async fn what_is_published_is_served_and_acknowledged() {
    let prod = tier("prod");
    let world = World::new(&[&prod]);
    let server = world.server("one").await;
    let (a, b) = (backend("a", "one:1"), backend("b", "one:1"));
    server.publisher.publish(&prod, configuration(vec![a.clone(), b.clone()], 1));
    let mut proxy = world.proxy(&prod, "p1", &[&server]);
    proxy.until_serves(&[&a, &b]).await;
    let held = server.until_held(&prod, "p1", |proxy| proxy.ready).await;
    assert_eq!(&*held.pod_name, "pod-p1");
    let version = a.version.as_str().into();
    assert_eq!(held.resources["backend/a"], Holding::Installed { version });

    let newer = backend("a", "two:1");
    server.publisher.publish(&prod, configuration(vec![newer.clone()], 2));
    proxy.until_serves(&[&newer]).await;
    let installed = Holding::Installed { version: newer.version.as_str().into() };
    server
        .until_held(&prod, "p1", |proxy| {
            proxy.resources.len() == 1 && proxy.resources.get("backend/a") == Some(&installed)
        })
        .await;
    assert_eq!(proxy.engine.compiled.load(Ordering::Relaxed), 3, "only what changed is compiled");
    let state = proxy.until(|_| true).await;
    assert_eq!(state.source, Source::Server(server.address.to_string()));
}

#[tokio::test]
async fn a_refused_resource_keeps_its_last_good_version_with_what_it_names() {
    let prod = tier("prod");
    let world = World::new(&[&prod]);
    let server = world.server("one").await;
    let good = trusting("a", "one:1", "trust-bundle/ca");
    let (ca, other) = (bundle("ca", "one"), backend("other", "one:1"));
    server.publisher.publish(&prod, configuration(vec![good.clone(), ca.clone(), other], 1));
    let mut proxy = world.proxy(&prod, "p1", &[&server]);
    server.until_held(&prod, "p1", |proxy| proxy.ready).await;

    let bad = backend("a", "bad");
    let other = backend("other", "two:1");
    server.publisher.publish(&prod, configuration(vec![bad.clone(), other.clone()], 2));
    proxy.until_serves(&[&good, &ca, &other]).await;
    let held = server
        .until_held(&prod, "p1", |proxy| {
            matches!(proxy.resources.get("backend/a"), Some(Holding::Refused { .. }))
        })
        .await;
    let refused = Holding::Refused {
        version: Some(good.version.as_str().into()),
        refused_version: bad.version.as_str().into(),
        message: "\"bad\" is no address".into(),
    };
    assert_eq!(held.resources["backend/a"], refused);

    let mended = backend("a", "three:1");
    server.publisher.publish(&prod, configuration(vec![mended.clone(), other.clone()], 3));
    proxy.until_serves(&[&mended, &other]).await;
    server.until_held(&prod, "p1", |proxy| !proxy.resources.contains_key("trust-bundle/ca")).await;
}

#[tokio::test]
async fn a_dependent_of_a_refused_resource_says_so() {
    let prod = tier("prod");
    let world = World::new(&[&prod]);
    let server = world.server("one").await;
    let dependent = trusting("a", "one:1", "trust-bundle/ca");
    let resources = vec![dependent.clone(), bundle("ca", "bad")];
    server.publisher.publish(&prod, configuration(resources, 1));
    let mut proxy = world.proxy(&prod, "p1", &[&server]);
    proxy.until_serves(&[&dependent]).await;
    let held = server.until_held(&prod, "p1", |proxy| proxy.ready).await;
    let version = dependent.version.as_str().into();
    let message = "it names trust-bundle/ca, which was refused".into();
    assert_eq!(held.resources["backend/a"], Holding::DependencyRefused { version, message });
    assert!(matches!(held.resources["trust-bundle/ca"], Holding::Refused { version: None, .. }));
}

#[tokio::test]
async fn what_needs_an_unknown_capability_or_breaks_the_engine_is_refused_alone() {
    let prod = tier("prod");
    let world = World::new(&[&prod]);
    let server = world.server("one").await;
    let mut futuristic = backend("a", "one:1");
    futuristic.capabilities.push("http.telepathy".into());
    let good = backend("c", "one:1");
    let resources = vec![futuristic, backend("b", "panic"), good.clone()];
    server.publisher.publish(&prod, configuration(resources, 1));
    let mut proxy = world.proxy(&prod, "p1", &[&server]);
    proxy.until_serves(&[&good]).await;
    let said = |name: &str| match proxy.outcome(name) {
        Some(Outcome::Refused { message, .. }) => message,
        other => panic!("{other:?}"),
    };
    assert!(said("backend/a").contains("http.telepathy"), "{}", said("backend/a"));
    assert!(said("backend/b").contains("defect"), "{}", said("backend/b"));
}

#[tokio::test]
async fn what_cannot_be_installed_falls_back_and_is_tried_again() {
    let prod = tier("prod");
    let world = World::new(&[&prod]);
    let server = world.server("one").await;
    let (old, other) = (backend("a", "one:1"), backend("b", "one:1"));
    server.publisher.publish(&prod, configuration(vec![old.clone()], 1));
    let mut proxy = world.proxy(&prod, "p1", &[&server]);
    proxy.until_serves(&[&old]).await;

    let busy = backend("a", "two:1");
    proxy.engine.busy.lock().unwrap().insert(busy.version.clone());
    server.publisher.publish(&prod, configuration(vec![busy.clone(), other.clone()], 2));
    proxy.until_serves(&[&old, &other]).await;
    server
        .until_held(&prod, "p1", |proxy| {
            matches!(
                proxy.resources.get("backend/a"),
                Some(Holding::Refused { version: Some(_), .. })
            )
        })
        .await;
    proxy.engine.busy.lock().unwrap().clear();
    proxy.until_serves(&[&busy, &other]).await;
    server
        .until_held(&prod, "p1", |proxy| {
            matches!(proxy.resources.get("backend/a"), Some(Holding::Installed { .. }))
        })
        .await;
}

#[tokio::test]
async fn the_copy_on_disk_serves_a_restart_without_any_server() {
    let prod = tier("prod");
    let world = World::new(&[&prod]);
    let server = world.server("one").await;
    let (good, ca) = (trusting("a", "one:1", "trust-bundle/ca"), bundle("ca", "one"));
    server.publisher.publish(&prod, configuration(vec![good.clone(), ca.clone()], 1));
    let mut proxy = world.proxy(&prod, "p1", &[&server]);
    proxy.until_serves(&[&good, &ca]).await;
    // A refused version never reaches the disk.
    server.publisher.publish(&prod, configuration(vec![backend("a", "bad")], 2));
    server
        .until_held(&prod, "p1", |proxy| {
            matches!(proxy.resources.get("backend/a"), Some(Holding::Refused { .. }))
        })
        .await;
    let copy = DiskCopy::new(world.directory.path().join("state-p1"), 1 << 20);
    let saved = || copy.load().unwrap().is_some_and(|saved| saved.watermark == mark(2));
    while !saved() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    proxy.stop().await;
    let address = server.stop().await;

    let mut proxy = world.proxy_with(&prod, "p1", vec![address.to_string()], timing());
    proxy.until_serves(&[&good, &ca]).await;
    assert_eq!(proxy.until(|state| state.ready).await.source, Source::Disk);

    let server = world.server_at("one", address, Publisher::default()).await;
    let newest = backend("a", "three:1");
    server.publisher.publish(&prod, configuration(vec![newest.clone()], 3));
    proxy.until_serves(&[&newest]).await;
}

#[tokio::test]
async fn a_fleet_that_is_gone_removes_nothing() {
    let prod = tier("prod");
    let world = World::new(&[&prod]);
    let server = world.server("one").await;
    let a = backend("a", "one:1");
    server.publisher.publish(&prod, configuration(vec![a.clone()], 1));
    server.publisher.set_synced();
    let mut proxy = world.proxy(&prod, "p1", &[&server]);
    proxy.until_serves(&[&a]).await;
    server.publisher.remove(&prod);
    let state = proxy
        .until(|state| state.problem.as_ref().is_some_and(|said| said.contains("does not exist")))
        .await;
    assert_eq!(state.installs, 1);
    proxy.until_serves(&[&a]).await;

    let b = backend("b", "one:1");
    server.publisher.publish(&prod, configuration(vec![b.clone()], 2));
    proxy.until_serves(&[&b]).await;
}

#[tokio::test]
async fn a_renewed_certificate_is_used_without_losing_configuration() {
    let prod = tier("prod");
    let world = World::new(&[&prod]);
    let server = world.server("one").await;
    let a = backend("a", "one:1");
    server.publisher.publish(&prod, configuration(vec![a.clone()], 1));
    let mut proxy = world.proxy(&prod, "p1", &[&server]);
    proxy.until_serves(&[&a]).await;
    let first = server.until_held(&prod, "p1", |proxy| proxy.ready).await.connected_since;
    world.write_identity("p1", &world.leaf(&prod, &prod));
    let again = server.until_held(&prod, "p1", |proxy| proxy.connected_since != first).await;
    assert!(again.ready, "what it holds is said at once");
    assert_eq!(again.resources.len(), 1);
    assert_eq!(proxy.engine.compiled.load(Ordering::Relaxed), 1);
}
