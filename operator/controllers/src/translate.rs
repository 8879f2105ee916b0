//! The ROUTES loop: what the cluster says becomes what proxies are told.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use gatefleet_distribute::{Publisher, TierConfiguration};
use gatefleet_infra::ChildNames;
use gatefleet_names::{Tier, TierKey};
use gatefleet_routes::{Pipeline, RoutesOutput, TierRoutes};
use gatefleet_snapshot::v1::Watermark;
use gatefleet_state::Watched;
use gatefleet_watch::{View, Watches};
use jiff::Timestamp;
use tokio::{sync::watch, time::Instant};

use crate::sent::Sent;

/// How long new Secrets may hold up everything else.
const LONGEST_WAIT_FOR_SECRETS: Duration = Duration::from_secs(5);

/// One consistent state of the routes.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) output: RoutesOutput,
}

/// What the loop works with.
pub(crate) struct Translator {
    pub(crate) watches: Watches,
    pub(crate) publisher: Publisher,
    pub(crate) options: gatefleet_routes::Options,
    pub(crate) watched: Watched,
    pub(crate) reports: watch::Sender<Option<Arc<Report>>>,
    pub(crate) sent: Sent,
}

impl Translator {
    /// Translates and publishes as long as there are views.
    pub(crate) async fn run(self) {
        let mut views = self.watches.views.clone();
        let mut pipeline = Some(self.pipeline());
        let mut published = BTreeMap::new();
        let mut waiting_since = None;
        let mut wake_at = None;
        loop {
            tokio::select! {
                changed = views.changed() => if changed.is_err() { return },
                () = sleep_until(wake_at), if wake_at.is_some() => {}
            }
            let Some(view) = views.borrow_and_update().clone() else { continue };
            let Some((used, output)) = self.translate(pipeline.take(), Arc::clone(&view)).await
            else {
                continue;
            };
            pipeline = Some(used);
            self.watches.need_secrets(needed_secrets(&view, &output));
            wake_at = output.recheck_at.map(instant_of);
            if output.secrets.iter().any(|secret| !is_answered(&view, secret)) {
                // Whether they exist is known in a moment: until then a missing one is no finding.
                let since: Instant = *waiting_since.get_or_insert_with(Instant::now);
                if since.elapsed() < LONGEST_WAIT_FOR_SECRETS {
                    wake_at = Some(since + LONGEST_WAIT_FOR_SECRETS);
                    continue;
                }
            }
            waiting_since = None;
            self.publish(&view, &output, &mut published);
            self.reports.send_replace(Some(Arc::new(Report { output })));
        }
    }

    fn pipeline(&self) -> Pipeline {
        Pipeline::new(self.options.clone()).within(self.watched.clone())
    }

    /// Off the runtime's threads: a first translation of thousands of objects takes a while.
    async fn translate(
        &self,
        pipeline: Option<Pipeline>,
        view: Arc<View>,
    ) -> Option<(Pipeline, RoutesOutput)> {
        let mut pipeline = pipeline.unwrap_or_else(|| self.pipeline());
        let run = tokio::task::spawn_blocking(move || {
            let output = pipeline.update(&view.state, Timestamp::now());
            (pipeline, output)
        });
        run.await
            .inspect_err(|error| {
                tracing::error!(%error, "translate routes: proxies keep what they have");
            })
            .ok()
    }

    fn publish(
        &self,
        view: &View,
        output: &RoutesOutput,
        published: &mut BTreeMap<TierKey, Arc<TierRoutes>>,
    ) {
        for (tier, routes) in &output.tiers {
            if published
                .get(tier)
                .is_some_and(|before| Arc::ptr_eq(before, routes) || before == routes)
            {
                continue;
            }
            tracing::debug!(%tier, resources = routes.resources.len(), "publish");
            // First what the judges must know, then what is judged.
            self.sent.record(tier, routes);
            let resources =
                routes.resources.values().map(|resource| Arc::clone(&resource.resource));
            self.publisher.publish(tier, TierConfiguration::new(resources, watermark(view)));
            published.insert(tier.clone(), Arc::clone(routes));
        }
        published.retain(|tier, _| {
            let exists = output.tiers.contains_key(tier);
            if !exists {
                self.publisher.remove(tier);
                self.sent.forget(tier);
            }
            exists
        });
        self.publisher.advance(&watermark(view));
        self.publisher.set_synced();
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

fn instant_of(time: Timestamp) -> Instant {
    let wait = time.duration_since(Timestamp::now());
    Instant::now() + Duration::try_from(wait).unwrap_or_default()
}

fn is_answered(view: &View, secret: &gatefleet_routes::SecretName) -> bool {
    view.answered.contains(&(secret.namespace.clone(), secret.name.clone()))
}

/// Those that routes name, and both of each tier: also of a tier that is no longer declared, to be pruned.
fn needed_secrets(view: &View, output: &RoutesOutput) -> BTreeSet<(String, String)> {
    let of_routes = output.secrets.iter().map(|s| (s.namespace.clone(), s.name.clone()));
    let of_tiers = view.state.gateway_configs.iter().flat_map(|config| {
        let namespace = config.metadata.namespace.clone().unwrap_or_default();
        let fleet = config.metadata.name.as_deref().unwrap_or_default();
        Tier::ALL.into_iter().flat_map(move |tier| {
            let names = ChildNames::new(fleet, tier);
            [(namespace.clone(), names.channel), (namespace.clone(), names.authority)]
        })
    });
    of_routes.chain(of_tiers.collect::<Vec<_>>()).collect()
}

fn watermark(view: &View) -> Vec<Watermark> {
    let entries = view.watermark.iter();
    entries
        .map(|(kind, version)| Watermark { kind: kind.clone(), resource_version: version.clone() })
        .collect()
}
