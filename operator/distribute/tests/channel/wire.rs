//! What goes over the wire, word by word.

use std::collections::BTreeMap;

use gatefleet_distribute::Holding;
use gatefleet_snapshot::{
    MAX_MESSAGE_BYTES,
    v1::{
        Outcome, Report, Resource, ServerMessage, Subscribe, TrustBundle, proxy_message, refusal,
        resource::Body, server_message,
    },
};
use prost::Message;

use crate::harness::{Raw, World, backend, bundle, configuration, endpoints, tier};

/// Everything up to the next Commit: messages, what they add, what they remove, whether it is full.
async fn transaction(raw: &mut Raw) -> (usize, Vec<Resource>, Vec<String>, bool) {
    let (mut count, mut upserts, mut removals, mut parts) = (0, Vec::new(), Vec::new(), Vec::new());
    loop {
        let kind = raw.hear().await.unwrap();
        let bytes = ServerMessage { kind: Some(kind.clone()) }.encoded_len();
        assert!(bytes <= MAX_MESSAGE_BYTES, "{bytes}");
        count += 1;
        match kind {
            server_message::Kind::Delta(delta) => {
                upserts.extend(delta.upserts);
                removals.extend(delta.removals);
            }
            server_message::Kind::Fragment(fragment) => {
                parts.extend_from_slice(&fragment.data);
                if fragment.last {
                    upserts.push(Resource::decode(&std::mem::take(&mut parts)[..]).unwrap());
                }
            }
            server_message::Kind::Commit(commit) => return (count, upserts, removals, commit.full),
            server_message::Kind::Welcome(_) => count -= 1,
            server_message::Kind::Refusal(refusal) => panic!("{refusal:?}"),
        }
    }
}

fn subscribe(held: &[&Resource]) -> proxy_message::Kind {
    let versions = held.iter().map(|resource| (resource.name.clone(), resource.version.clone()));
    proxy_message::Kind::Subscribe(Subscribe {
        initial_versions: versions.collect(),
        ..Subscribe::default()
    })
}

#[tokio::test]
async fn resuming_sends_only_differences() {
    let prod = tier("prod");
    let world = World::new(&[&prod]);
    let server = world.server("one").await;
    let many: Vec<Resource> =
        (0..500).map(|index| backend(&format!("{index:04}"), "one:1")).collect();
    server.publisher.publish(&prod, configuration(many.clone(), 1));
    let leaf = world.leaf(&prod, &prod);
    let mut first = world.raw(&server, &leaf, "p1").await.unwrap();
    assert!(matches!(first.hear().await, Some(server_message::Kind::Welcome(_))));
    first.say(subscribe(&[])).await;
    let (_, upserts, removals, full) = transaction(&mut first).await;
    assert_eq!((upserts.len(), removals.len(), full), (500, 0, true));
    drop(first);

    let mut held: Vec<&Resource> = many.iter().collect();
    let mut resumed = world.raw(&server, &leaf, "p1").await.unwrap();
    resumed.say(subscribe(&held)).await;
    let (messages, upserts, removals, full) = transaction(&mut resumed).await;
    assert_eq!((messages, upserts.len(), removals.len(), full), (1, 0, 0, false), "a Commit alone");

    let gone = backend("gone", "one:1");
    held[7] = &gone;
    let mut resumed = world.raw(&server, &leaf, "p1").await.unwrap();
    resumed.say(subscribe(&held)).await;
    let (messages, upserts, removals, full) = transaction(&mut resumed).await;
    assert_eq!((messages, full), (2, false));
    assert_eq!(upserts, [many[7].clone()]);
    assert_eq!(removals, ["backend/gone"]);
}

#[tokio::test]
async fn nothing_is_sent_before_it_is_asked_for_and_only_the_newest_afterwards() {
    let prod = tier("prod");
    let world = World::new(&[&prod]);
    let server = world.server("one").await;
    let leaf = world.leaf(&prod, &prod);
    let mut raw = world.raw(&server, &leaf, "p1").await.unwrap();
    assert!(matches!(raw.hear().await, Some(server_message::Kind::Welcome(_))));
    for version in 1..=100 {
        let changing = backend("a", &format!("{version}:1"));
        server.publisher.publish(&prod, configuration(vec![changing], version));
    }
    raw.say(subscribe(&[])).await;
    let (_, upserts, ..) = transaction(&mut raw).await;
    assert_eq!(upserts, [backend("a", "100:1")]);
}

#[tokio::test]
async fn a_slow_proxy_gets_the_newest_state_not_the_history() {
    let prod = tier("prod");
    let world = World::new(&[&prod]);
    let server = world.server("one").await;
    let leaf = world.leaf(&prod, &prod);
    let mut raw = world.raw(&server, &leaf, "p1").await.unwrap();
    raw.say(subscribe(&[])).await;
    let states = 60;
    for version in 1..=states {
        // Larger than what the stream's window lets through unread; hashing it would take the test's time.
        let large = TrustBundle { certificates: format!("{version:09}").repeat(100_000) };
        let large = Resource {
            version: version.to_string(),
            body: Some(Body::TrustBundle(large)),
            ..bundle("a", "")
        };
        server.publisher.publish(&prod, configuration(vec![large], version));
        tokio::task::yield_now().await;
    }
    let mut seen = 0;
    loop {
        let (_, upserts, ..) = transaction(&mut raw).await;
        seen += 1;
        let Some(Body::TrustBundle(TrustBundle { certificates })) = &upserts[0].body else {
            panic!("{upserts:?}")
        };
        if certificates.starts_with(&format!("{states:09}")) {
            break;
        }
    }
    assert!(seen < 30, "{seen} of {states} states were sent");
}

#[tokio::test]
async fn five_thousand_resources_come_in_messages_of_at_most_a_mebibyte() {
    let prod = tier("prod");
    let world = World::new(&[&prod]);
    let server = world.server("one").await;
    let mut resources: Vec<Resource> =
        (0..5000).map(|index| endpoints(&format!("shop/{index:05}"), 8)).collect();
    resources.push(bundle("huge", &"x".repeat(3 << 20)));
    server.publisher.publish(&prod, configuration(resources.clone(), 1));
    let mut raw = world.raw(&server, &world.leaf(&prod, &prod), "p1").await.unwrap();
    raw.say(subscribe(&[])).await;
    let (messages, upserts, ..) = transaction(&mut raw).await;
    assert!(messages > 4, "{messages}");
    assert_eq!(upserts, resources);

    let mut proxy = world.proxy(&prod, "p2", &[&server]);
    proxy.until(|state| state.ready && state.outcomes.len() == 5001).await;
    let held = server.until_held(&prod, "p2", |proxy| proxy.ready).await;
    assert_eq!(held.resources.len(), 5001);
}

#[tokio::test]
async fn what_is_too_large_is_not_published_and_harms_nothing() {
    let prod = tier("prod");
    let world = World::new(&[&prod]);
    let server = world.server("one").await;
    let (a, small) = (backend("a", "one:1"), bundle("b", "small"));
    server.publisher.publish(&prod, configuration(vec![a, small.clone()], 1));
    let a = backend("a", "two:1");
    let large = bundle("b", &"x".repeat(17 << 20));
    let refused = server.publisher.publish(&prod, configuration(vec![a.clone(), large], 2));
    assert_eq!(&*refused[0].name, "trust-bundle/b");
    let mut proxy = world.proxy(&prod, "p1", &[&server]);
    proxy.until_serves(&[&a, &small]).await;
}

#[tokio::test]
async fn a_certificate_speaks_for_its_own_tier_alone() {
    let (prod, test) = (tier("prod"), tier("test"));
    let world = World::new(&[&prod, &test]);
    let server = world.server("one").await;
    server.publisher.publish(&prod, configuration(vec![backend("a", "one:1")], 1));
    server.publisher.publish(&test, configuration(vec![], 1));
    for (signer, subject) in [(&test, &prod), (&prod, &test), (&prod, &tier("other"))] {
        let leaf = world.leaf(signer, subject);
        let refused = match world.raw(&server, &leaf, "p1").await {
            Err(_) => true,
            Ok(mut raw) => raw.hear().await.is_none(),
        };
        assert!(refused, "{signer} vouched for {subject}");
    }
    let mut raw = world.raw(&server, &world.leaf(&test, &test), "p1").await.unwrap();
    raw.say(subscribe(&[])).await;
    assert_eq!(transaction(&mut raw).await.1, [], "the other tier's configuration");
}

#[tokio::test]
async fn an_unknown_fleet_waits_until_the_operator_knows_and_is_then_refused() {
    let prod = tier("prod");
    let world = World::new(&[&prod]);
    let server = world.server("one").await;
    let mut raw = world.raw(&server, &world.leaf(&prod, &prod), "p1").await.unwrap();
    assert!(matches!(raw.hear().await, Some(server_message::Kind::Welcome(_))));
    raw.say(subscribe(&[&backend("a", "one:1")])).await;
    let quiet = tokio::time::timeout(std::time::Duration::from_millis(200), raw.hear()).await;
    assert!(quiet.is_err(), "{quiet:?}");
    server.publisher.set_synced();
    let Some(server_message::Kind::Refusal(refusal)) = raw.hear().await else { panic!() };
    assert_eq!(refusal.reason(), refusal::Reason::FleetUnknown);
    assert!(raw.hear().await.is_none());
}

#[tokio::test]
async fn a_newer_stream_of_a_pod_replaces_the_older() {
    let prod = tier("prod");
    let world = World::new(&[&prod]);
    let server = world.server("one").await;
    let leaf = world.leaf(&prod, &prod);
    let mut older = world.raw(&server, &leaf, "p1").await.unwrap();
    assert!(matches!(older.hear().await, Some(server_message::Kind::Welcome(_))));
    let newer = world.raw(&server, &leaf, "p1").await.unwrap();
    let outcome = Outcome { name: "backend/a".into(), version: "1".into(), ..Outcome::default() };
    let report = Report { outcomes: vec![outcome], ready: true, ..Report::default() };
    newer.say(proxy_message::Kind::Report(report)).await;
    let Some(server_message::Kind::Refusal(refusal)) = older.hear().await else { panic!() };
    assert_eq!(refusal.reason(), refusal::Reason::Replaced);
    assert!(older.hear().await.is_none());
    let held = server.until_held(&prod, "p1", |proxy| proxy.ready).await;
    let installed = Holding::Installed { version: "1".into() };
    assert_eq!(*held.resources, BTreeMap::from([("backend/a".into(), installed)]));
    drop((newer.outbound, newer.inbound));
    let mut holdings = server.publisher.holdings();
    holdings.wait_for(|holdings| holdings.tiers.is_empty()).await.unwrap();
}
