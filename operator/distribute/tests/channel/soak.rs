//! Random changes, refusals and restarts; in the end everybody holds what was published last.

use std::{
    collections::{BTreeMap, BTreeSet},
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
    time::Duration,
};

use gatefleet_channel::Outcome;
use gatefleet_distribute::{Holding, Publisher};
use gatefleet_snapshot::v1::{Resource, resource::Body};
use tokio::time::{sleep, timeout};

use crate::harness::{
    PATIENCE, Proxy, Server, World, backend, bundle, configuration, tier, trusting,
};

/// Random numbers that a failure can be repeated with.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.0.hash(&mut hasher);
        self.0 = hasher.finish();
        self.0 % sides
    }

    fn resources(&mut self) -> BTreeMap<String, Resource> {
        let mut resources = BTreeMap::new();
        for _ in 0..self.roll(8) {
            let name = format!("{}", self.roll(4));
            let text = match self.roll(4) {
                0 => format!("bad {}", self.roll(3)),
                _ => format!("good {}", self.roll(3)),
            };
            let resource = match self.roll(3) {
                0 => bundle(&name, &text),
                1 => backend(&name, &text),
                _ => trusting(&name, &text, &format!("trust-bundle/{}", self.roll(4))),
            };
            resources.insert(resource.name.clone(), resource);
        }
        resources
    }
}

fn is_bad(resource: &Resource) -> bool {
    match resource.body.as_ref().unwrap() {
        Body::Backend(backend) => backend.dns.starts_with("bad"),
        Body::TrustBundle(bundle) => bundle.certificates.starts_with("bad"),
        other => panic!("{other:?}"),
    }
}

/// Whether the proxy serves `wanted`; what was refused may have any earlier good version.
fn serves(
    proxy: &Proxy,
    wanted: &BTreeMap<String, Resource>,
    ever_good: &BTreeSet<(String, String)>,
) -> bool {
    let served = proxy.engine.serves();
    let all_known = served.iter().all(|pair| ever_good.contains(&(pair.0.clone(), pair.1.clone())));
    all_known
        && wanted
            .iter()
            .all(|(name, resource)| is_bad(resource) || served.get(name) == Some(&resource.version))
        && wanted.iter().filter(|(_, resource)| is_bad(resource)).all(|(name, resource)| {
            let refused = |outcome| {
                matches!(outcome, Some(Outcome::Refused { refused_version, .. })
                if *refused_version == *resource.version)
            };
            refused(proxy.outcome(name))
        })
}

/// Whether the server knows exactly what the proxy holds.
fn knows(server: &Server, proxy: &Proxy, uid: &str) -> bool {
    let holdings = server.publisher.holdings().borrow().clone();
    let Some(held) = holdings.tiers.get(&tier("prod")).and_then(|proxies| proxies.get(uid)) else {
        return false;
    };
    let outcomes = Arc::clone(&proxy.state.borrow().outcomes);
    let version = |holding: &Holding| match holding {
        Holding::Installed { version } | Holding::DependencyRefused { version, .. } => {
            Some(Arc::clone(version))
        }
        Holding::Refused { version, .. } => version.clone(),
    };
    outcomes.len() == held.resources.len()
        && outcomes.iter().zip(held.resources.iter()).all(|((name, outcome), (told, holding))| {
            name == told && outcome.version().cloned() == version(holding)
        })
}

#[tokio::test]
async fn whatever_happens_everybody_ends_with_what_was_published_last() {
    for seed in 0..4 {
        story(seed).await;
    }
}

async fn story(seed: u64) {
    let prod = tier("prod");
    let world = World::new(&[&prod]);
    let mut dice = Dice(seed);
    let mut servers = vec![world.server("one").await, world.server("two").await];
    let names = ["one", "two"];
    let uids = ["p0", "p1", "p2"];
    let mut proxies: Vec<Proxy> =
        uids.iter().map(|uid| world.proxy(&prod, uid, &[&servers[0], &servers[1]])).collect();
    let (mut wanted, mut ever_good) = (BTreeMap::new(), BTreeSet::new());
    for version in 1..=40 {
        wanted = dice.resources();
        let good = wanted.values().filter(|resource| !is_bad(resource));
        ever_good.extend(good.map(|resource| (resource.name.clone(), resource.version.clone())));
        let current = || configuration(wanted.values().cloned().collect(), version);
        if dice.roll(5) == 0 {
            let which = usize::try_from(dice.roll(2)).unwrap();
            let address = servers.remove(which).stop().await;
            let again = world.server_at(names[which], address, Publisher::default()).await;
            servers.insert(which, again);
        }
        if dice.roll(10) == 0 {
            let which = usize::try_from(dice.roll(3)).unwrap();
            proxies.remove(which).stop().await;
            let again = world.proxy(&prod, uids[which], &[&servers[0], &servers[1]]);
            proxies.insert(which, again);
        }
        for server in &servers {
            server.publisher.publish(&prod, current());
        }
        sleep(Duration::from_millis(dice.roll(40))).await;
    }
    let converged = async {
        for (proxy, uid) in proxies.iter().zip(uids) {
            while !serves(proxy, &wanted, &ever_good)
                || !servers.iter().all(|server| knows(server, proxy, uid))
            {
                sleep(Duration::from_millis(20)).await;
            }
        }
    };
    if timeout(PATIENCE, converged).await.is_err() {
        let served: Vec<_> = proxies.iter().map(|proxy| proxy.engine.serves()).collect();
        panic!("seed {seed}: wanted {wanted:#?}, served {served:#?}");
    }
}
