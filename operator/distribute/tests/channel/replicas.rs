//! Two servers: every one is reported to, one is listened to, and nothing goes back in time unnoticed.

use std::time::{Duration, Instant};

use gatefleet_channel::{Source, Timing};
use gatefleet_distribute::Holding;

use crate::harness::{World, backend, configuration, mark, tier, timing};

#[tokio::test]
async fn a_proxy_listens_to_one_replica_and_reports_to_all() {
    let prod = tier("prod");
    let world = World::new(&[&prod]);
    let (one, two) = (world.server("one").await, world.server("two").await);
    let all = vec![one.address.to_string(), two.address.to_string()];
    for server in [&one, &two] {
        server.replicas.send_replace(all.clone());
    }
    let a = backend("a", "one:1");
    for server in [&one, &two] {
        server.publisher.publish(&prod, configuration(vec![a.clone()], 1));
    }
    // The bootstrap knows one of them; Welcome tells the other.
    let mut proxy = world.proxy(&prod, "p1", &[&one]);
    for server in [&one, &two] {
        let held = server.until_held(&prod, "p1", |proxy| proxy.ready).await;
        assert!(matches!(held.resources["backend/a"], Holding::Installed { .. }));
    }
    let state = proxy.until(|state| state.connected.len() == 2).await;
    assert_eq!(state.installs, 1);

    // A replica that starts later is told to everybody.
    let three = world.server("three").await;
    three.publisher.publish(&prod, configuration(vec![a.clone()], 1));
    one.replicas.send_replace([all, vec![three.address.to_string()]].concat());
    three.until_held(&prod, "p1", |proxy| proxy.ready).await;
}

#[tokio::test]
async fn when_its_replica_dies_it_goes_on_with_the_other() {
    let prod = tier("prod");
    let world = World::new(&[&prod]);
    let (one, two) = (world.server("one").await, world.server("two").await);
    let a = backend("a", "one:1");
    for server in [&one, &two] {
        server.publisher.publish(&prod, configuration(vec![a.clone()], 5));
    }
    let mut proxy = world.proxy(&prod, "p1", &[&one, &two]);
    proxy.until(|state| state.connected.len() == 2 && state.ready).await;
    let source = proxy.until(|state| matches!(state.source, Source::Server(_))).await.source;
    let (dies, lives) =
        if source == Source::Server(one.address.to_string()) { (one, two) } else { (two, one) };
    dies.stop().await;
    let b = backend("b", "one:1");
    lives.publisher.publish(&prod, configuration(vec![a.clone(), b.clone()], 6));
    proxy.until_serves(&[&a, &b]).await;
    let state = proxy.until(|state| state.connected.len() == 1).await;
    assert_eq!(state.source, Source::Server(lives.address.to_string()));
    assert!(!state.watermark_regressed);
}

#[tokio::test]
async fn an_older_replica_is_refused_until_it_catches_up() {
    let prod = tier("prod");
    let world = World::new(&[&prod]);
    let (newer, older) = (world.server("newer").await, world.server("older").await);
    let (new, old) = (backend("a", "new:1"), backend("a", "old:1"));
    newer.publisher.publish(&prod, configuration(vec![new.clone()], 100));
    older.publisher.publish(&prod, configuration(vec![old], 50));
    let mut proxy = world.proxy(&prod, "p1", &[&newer]);
    proxy.until_serves(&[&new]).await;
    newer.replicas.send_replace(vec![newer.address.to_string(), older.address.to_string()]);
    proxy.until(|state| state.connected.len() == 2).await;
    newer.stop().await;
    proxy
        .until(|state| state.problem.as_ref().is_some_and(|said| said.contains("older than")))
        .await;
    older.publisher.publish(&prod, configuration(vec![backend("a", "newish:1")], 80));
    tokio::time::sleep(Duration::from_millis(300)).await;
    proxy.until_serves(&[&new]).await;

    // It catches up without any change of content since its last commit: a bookmark is enough.
    older.publisher.advance(&mark(100));
    proxy.until_serves(&[&backend("a", "newish:1")]).await;
    assert!(!proxy.until(|_| true).await.watermark_regressed);
}

#[tokio::test]
async fn a_replica_that_never_catches_up_is_believed_in_the_end_and_that_is_said() {
    let prod = tier("prod");
    let world = World::new(&[&prod]);
    let (newer, older) = (world.server("newer").await, world.server("older").await);
    let (new, old) = (backend("a", "new:1"), backend("a", "old:1"));
    newer.publisher.publish(&prod, configuration(vec![new.clone()], 100));
    older.publisher.publish(&prod, configuration(vec![old.clone()], 50));
    assert_eq!(Timing::default().regression, Duration::from_secs(90));
    let regression = Duration::from_millis(1500);
    let addresses = vec![newer.address.to_string()];
    let mut proxy = world.proxy_with(&prod, "p1", addresses, Timing { regression, ..timing() });
    proxy.until_serves(&[&new]).await;
    newer.replicas.send_replace(vec![newer.address.to_string(), older.address.to_string()]);
    proxy.until(|state| state.connected.len() == 2).await;
    let start = Instant::now();
    newer.stop().await;
    proxy.until_serves(&[&old]).await;
    assert!(start.elapsed() >= regression, "{:?}", start.elapsed());
    assert!(proxy.until(|state| state.watermark_regressed).await.ready);
    older.until_held(&prod, "p1", |proxy| proxy.regressed).await;

    // From now on it is the replica of the proxy, and nothing of it waits.
    let next = backend("a", "next:1");
    older.publisher.publish(&prod, configuration(vec![next.clone()], 51));
    proxy.until_serves(&[&next]).await;
    older.until_held(&prod, "p1", |proxy| !proxy.regressed).await;
}
