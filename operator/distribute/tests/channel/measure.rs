//! Figures, printed on demand: `cargo test -p gatefleet-distribute --test channel measure -- --ignored --nocapture`.

use std::{sync::Arc, time::Instant};

use gatefleet_distribute::{Holding, TierConfiguration};
use gatefleet_snapshot::v1::Resource;

use crate::harness::{World, endpoints, mark, tier};

/// From `publish` until the last of the proxies has acknowledged, with 5,000 resources of which one changes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn measure_change_to_acknowledgement() {
    for count in [1_usize, 5] {
        let prod = tier("prod");
        let world = World::new(&[&prod]);
        let server = world.server("one").await;
        let mut resources: Vec<Arc<Resource>> =
            (0..5000).map(|index| Arc::new(endpoints(&format!("shop/{index:05}"), 4))).collect();
        let configuration = |resources: &[Arc<Resource>], version| {
            TierConfiguration::new(resources.iter().cloned(), mark(version))
        };
        server.publisher.publish(&prod, configuration(&resources, 1));
        let start = Instant::now();
        let mut proxies: Vec<_> =
            (0..count).map(|index| world.proxy(&prod, &format!("p{index}"), &[&server])).collect();
        for proxy in &mut proxies {
            proxy.until(|state| state.ready).await;
        }
        println!("{count} proxies: first 5,000 resources after {:?}", start.elapsed());
        let mut holdings = server.publisher.holdings();
        let mut times = Vec::new();
        for round in 0..50_u64 {
            let changed = endpoints("shop/00000", usize::try_from(round).unwrap() + 5);
            resources[0] = Arc::new(changed);
            let version = resources[0].version.clone();
            let configuration = configuration(&resources, round + 2);
            let wanted = Holding::Installed { version: version.as_str().into() };
            let start = Instant::now();
            server.publisher.publish(&prod, configuration);
            let all = holdings.wait_for(|holdings| {
                let held = holdings.of_tier(&prod).filter(|(_, proxy)| {
                    proxy.resources.get("endpoints/shop/00000") == Some(&wanted)
                });
                held.count() == count
            });
            drop(all.await.unwrap());
            times.push(start.elapsed());
        }
        times.sort();
        println!("{count} proxies: P50 {:?}, longest {:?}", times[25], times[49]);
    }
}
