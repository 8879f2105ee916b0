//! All loops together.

use std::{
    collections::BTreeMap,
    io,
    net::{Ipv4Addr, SocketAddr},
    pin::Pin,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use gatefleet_apply::{Events, Leadership, WriteError, Writer};
use gatefleet_crds::GatewayConfig;
use gatefleet_distribute::{AuthorityError, ChannelAuthority, Publisher, Replica};
use gatefleet_infra::Operator;
use gatefleet_state::Watched;
use gatefleet_watch::{Backoff, Debounce, Hub, View};
use kube::{Api, Client, api::ListParams};
use tokio::{net::TcpListener, sync::watch};

use crate::{
    Election, Options, Pace,
    claim::Claim,
    fleets::Fleets,
    health::{self, Health, Metric},
    identity,
    ingresses::Ingresses,
    nodes::Nodes,
    reconcile::Tools,
    replicas,
    sent::Sent,
    translate::{Report, Translator},
};

/// Why the operator cannot run at all. What concerns one object is in that object's status instead.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An address is taken, or not of this machine.
    #[error("listen on {address} for {purpose}: {source}; choose another address")]
    Listen {
        /// What was to be served there.
        purpose: &'static str,
        /// Where.
        address: SocketAddr,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// The API server does not know `GatewayConfig`.
    #[error(
        "list GatewayConfigs: the API server does not know them; install them: gatefleet crds | kubectl apply --server-side -f -"
    )]
    DefinitionMissing,
    /// The API server refuses the operator.
    #[error("list GatewayConfigs: {source}; allow the operator's ServiceAccount to do this")]
    Refused {
        /// In the client's words.
        #[source]
        source: Box<kube::Error>,
    },
    /// Another Gatefleet was there first.
    #[error(
        "watch {watched}: the Gatefleet in namespace {namespace} already serves {shared}; uninstall one of the two, or give them namespaces of their own (--watch-namespaces); one that is gone is forgotten after 30 seconds"
    )]
    Contested {
        /// What this one was to watch.
        watched: String,
        /// What the other one watches of it.
        shared: String,
        /// Where the other one runs.
        namespace: String,
    },
    /// The authority of the configuration servers cannot be kept or read.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The authority of the configuration servers is unusable.
    #[error("authority of the configuration servers: {0}")]
    Authority(#[from] AuthorityError),
}

/// Runs the whole operator. Dropping the future stops it cleanly: every write is complete in itself.
///
/// # Errors
///
/// When it cannot start: an address is taken, the custom resource definitions are missing, or the API server
/// refuses it.
pub async fn run(client: Client, options: Options) -> Result<(), Error> {
    // All loops in one future are more than a caller's stack should hold.
    Box::pin(every_loop(client, options)).await
}

async fn every_loop(client: Client, options: Options) -> Result<(), Error> {
    let (listener, servers) = listen(&options).await?;
    let status_listener = match options.status_address {
        Some(address) => Some(bind("health and metrics", address).await?),
        None => None,
    };
    greet(&client, &options.watched).await?;
    // Every replica claims, and the first one makes the servers' authority, leader or not.
    let anybody = |manager| Writer::new(client.clone(), manager, Leadership::always());
    let claim = Claim {
        writer: anybody("gatefleet-claim"),
        namespace: options.default_namespace.clone(),
        watched: options.watched.clone(),
    };
    claim.stake().await?;
    let infra = anybody("gatefleet-infra");
    let authority = server_authority(&infra, &options.default_namespace).await?;
    let publisher = Publisher::default();
    let (addresses, replicas) =
        watch::channel(servers.iter().map(ToString::to_string).collect::<Vec<_>>());
    let (leadership, election) = election(client.clone(), options.election.clone());
    let replica = Replica { name: options.replica.clone(), replicas };
    let tools = Tools {
        infra: Writer::new(client.clone(), "gatefleet-infra", leadership.clone()),
        replicas: Writer::new(client.clone(), "gatefleet-replicas", leadership.clone()),
        status: Writer::new(client.clone(), "gatefleet-status", leadership.clone()),
        events: Events::new(client.clone(), &options.replica, leadership.clone()),
        nodes: Nodes::new(client.clone()),
        publisher: publisher.clone(),
        operator: Operator { proxy_image: options.proxy_image.clone(), servers },
        server_authority: authority.certificate_pem().to_owned(),
        leadership,
        trusted: Mutex::new(BTreeMap::new()),
    };
    let Loops { hub, translator, fleets, ingresses, gauge } =
        Loops::new(client, &options, Arc::new(tools));
    let hub_views = gauge.views.clone();
    let replicas = follow_replicas(&options, hub_views, addresses);
    // Each of them ends only with the others: a loop that ended alone would be a silent half operator.
    tokio::select! {
        ended = gatefleet_distribute::serve(listener, authority, publisher, replica) => ended?,
        () = gatefleet_watch::run(hub) => {}
        () = translator.run() => {}
        () = fleets.run() => {}
        () = ingresses.run() => {}
        () = serve_health(status_listener, gauge) => {}
        error = claim.keep() => return Err(error),
        () = election => {}
        () = replicas => {}
    }
    Ok(())
}

/// Whether this replica leads, and what finds that out. Without an election it always does.
fn election(
    client: Client,
    election: Option<Election>,
) -> (Leadership, Pin<Box<dyn Future<Output = ()> + Send>>) {
    match election {
        Some(election) => {
            let (terms, told) = watch::channel(None);
            (Leadership::told_by(told), Box::pin(election.hold(client, terms)))
        }
        None => (Leadership::always(), Box::pin(std::future::pending())),
    }
}

/// Never ends; without a Service the addresses stay what they are.
async fn follow_replicas(
    options: &Options,
    views: watch::Receiver<Option<Arc<View>>>,
    addresses: watch::Sender<Vec<String>>,
) {
    match options.channel_service.clone() {
        Some(service) => {
            replicas::follow(options.default_namespace.clone(), service, views, addresses).await;
        }
        None => addresses.closed().await,
    }
}

struct Loops {
    hub: Hub,
    translator: Translator,
    fleets: Fleets,
    ingresses: Ingresses,
    gauge: Gauge,
}

impl Loops {
    fn new(client: Client, options: &Options, tools: Arc<Tools>) -> Self {
        let Pace { quiet, longest, .. } = options.pace;
        let (watches, hub) = gatefleet_watch::watches(
            client.clone(),
            Debounce { quiet, longest },
            options.watched.clone(),
        );
        let (reports_in, reports) = watch::channel(None);
        let (publisher, sent) = (tools.publisher.clone(), Sent::default());
        let (views, holdings) = (watches.views.clone(), publisher.holdings());
        let leadership = tools.leadership.clone();
        let routes = Writer::new(client, "gatefleet-routes", leadership.clone());
        Self {
            hub,
            gauge: Gauge {
                views: views.clone(),
                reports: reports.clone(),
                tools: Arc::clone(&tools),
                routes: routes.clone(),
            },
            ingresses: Ingresses {
                leadership: leadership.clone(),
                writer: routes,
                events: tools.events.clone(),
                views: views.clone(),
                reports: reports.clone(),
                holdings: holdings.clone(),
                sent: sent.clone(),
            },
            fleets: Fleets {
                leadership,
                tools,
                views,
                reports,
                holdings,
                sent: sent.clone(),
                pace: options.pace,
            },
            translator: Translator {
                watches,
                publisher,
                options: gatefleet_routes::Options {
                    default_namespace: options.default_namespace.clone(),
                    ports: gatefleet_routes::PortRecord::Service,
                },
                watched: options.watched.clone(),
                reports: reports_in,
                sent,
            },
        }
    }
}

async fn serve_health(listener: Option<TcpListener>, gauge: Gauge) {
    match listener {
        Some(listener) => health::serve(listener, Arc::new(gauge)).await,
        None => std::future::pending().await,
    }
}

/// The channel's listener, and under which addresses proxies reach it.
async fn listen(options: &Options) -> Result<(TcpListener, Vec<SocketAddr>), Error> {
    let listener = bind("the configuration channel", options.channel_address).await?;
    let servers = if options.channel_addresses.is_empty() {
        listener.local_addr().into_iter().collect()
    } else {
        options.channel_addresses.clone()
    };
    Ok((listener, servers))
}

/// `[::]` falls back to `0.0.0.0` where the kernel has no IPv6.
async fn bind(purpose: &'static str, address: SocketAddr) -> Result<TcpListener, Error> {
    let fallback = SocketAddr::from((Ipv4Addr::UNSPECIFIED, address.port()));
    let bound = match TcpListener::bind(address).await {
        Err(error)
            if error.raw_os_error() == Some(NO_ADDRESS_FAMILY) && address.ip().is_unspecified() =>
        {
            TcpListener::bind(fallback).await
        }
        bound => bound,
    };
    bound.map_err(|source| Error::Listen { purpose, address, source })
}

/// `EAFNOSUPPORT` on Linux.
const NO_ADDRESS_FAMILY: i32 = 97;

/// Waits until the API server answers, and finds out at once what would never work.
async fn greet(client: &Client, watched: &Watched) -> Result<(), Error> {
    let first = match watched {
        Watched::All => None,
        Watched::Only(names) => names.first(),
    };
    let api: Api<GatewayConfig> = match first {
        None => Api::all(client.clone()),
        Some(name) => Api::namespaced(client.clone(), name),
    };
    let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(10));
    loop {
        match api.list_metadata(&ListParams::default().limit(1)).await {
            Ok(_) => return Ok(()),
            Err(kube::Error::Api(status)) if status.code == 404 => {
                return Err(Error::DefinitionMissing);
            }
            Err(error @ kube::Error::Api(_)) if matches!(&error, kube::Error::Api(status) if matches!(status.code, 401 | 403)) =>
            {
                return Err(Error::Refused { source: Box::new(error) });
            }
            Err(error) => {
                let wait = backoff.failed();
                tracing::warn!(%error, "reach the API server: tried again in {wait:?}");
                tokio::time::sleep(wait).await;
            }
        }
    }
}

/// The authority that signs the certificates of this operator's configuration servers: kept in a Secret, so
/// that proxies believe the next process too.
async fn server_authority(writer: &Writer, namespace: &str) -> Result<ChannelAuthority, Error> {
    let new = ChannelAuthority::generate("gatefleet", SystemTime::now())?;
    let wanted = identity::secret_of(&new, namespace, identity::SERVER_AUTHORITY);
    let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(10));
    loop {
        match writer.create_if_absent(&wanted).await {
            Ok(stored) => return Ok(identity::authority_in(&stored)?),
            Err(error) if error.refusal.needs_somebody() => return Err(error.into()),
            Err(error) => {
                let wait = backoff.failed();
                tracing::warn!(%error, "keep the servers' authority: tried again in {wait:?}");
                tokio::time::sleep(wait).await;
            }
        }
    }
}

/// What `/readyz` and `/metrics` tell.
struct Gauge {
    views: watch::Receiver<Option<Arc<View>>>,
    reports: watch::Receiver<Option<Arc<Report>>>,
    tools: Arc<Tools>,
    routes: Writer,
}

impl Health for Gauge {
    fn is_ready(&self) -> bool {
        self.reports.borrow().is_some()
    }

    fn metrics(&self) -> Vec<Metric> {
        let count = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        let (mut fleets, mut ingresses) = (0, 0);
        if let Some(view) = &*self.views.borrow() {
            fleets = count(view.state.gateway_configs.len());
            ingresses = count(view.state.ingresses.len());
        }
        let translated = self.reports.borrow().as_ref().map_or(0, |r| r.output.translated);
        let (infra, status) = (self.tools.infra.writes(), self.tools.status.writes());
        let metric = |name, help, kind, value| Metric { name, help, kind, value };
        let leads = u64::from(self.tools.leadership.term().is_some());
        vec![
            metric("gatefleet_leader", "Whether this replica writes.", "gauge", leads),
            metric("gatefleet_fleets", "GatewayConfigs that are watched.", "gauge", fleets),
            metric("gatefleet_ingresses", "Ingresses that are watched.", "gauge", ingresses),
            metric(
                "gatefleet_last_translated_objects",
                "Objects that the last change made the operator translate.",
                "gauge",
                translated,
            ),
            metric(
                "gatefleet_object_writes_total",
                "Writes of own objects.",
                "counter",
                infra.saturating_add(self.tools.replicas.writes()),
            ),
            metric(
                "gatefleet_status_writes_total",
                "Writes of status.",
                "counter",
                status.saturating_add(self.routes.writes()),
            ),
        ]
    }
}
