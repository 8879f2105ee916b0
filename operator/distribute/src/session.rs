//! One stream of one proxy.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use gatefleet_names::TierKey;
use gatefleet_snapshot::{
    SCHEMA_VERSION, compare_resource_versions,
    v1::{
        Commit, Hello, ProxyMessage, Refusal, ServerMessage, Subscribe, Watermark, Welcome,
        proxy_message, refusal, server_message,
    },
};
use tokio::{
    sync::{mpsc, watch},
    time,
};
use tonic::{Status, Streaming};

use crate::{
    Publisher, Replica, TierConfiguration,
    delta::{Messages, Told},
    publisher::Published,
    registry::Registration,
};

/// How long a proxy may take to say who it is.
const HELLO: Duration = Duration::from_secs(10);
/// More initial versions than this are not believed.
const MAX_INITIAL_VERSIONS: usize = 200_000;

pub(crate) type Outbound = mpsc::Sender<Result<ServerMessage, Status>>;

/// Why a stream ends.
enum End {
    /// The peer is gone.
    Gone,
    Refused(refusal::Reason, String),
}

/// Serves one stream until either side ends it.
pub(crate) async fn run(
    publisher: Publisher,
    replica: Replica,
    tier: TierKey,
    mut inbound: Streaming<ProxyMessage>,
    outbound: Outbound,
) {
    let Ok(Ok(Some(first))) = time::timeout(HELLO, inbound.message()).await else { return };
    let Some(proxy_message::Kind::Hello(hello)) = first.kind else { return };
    tracing::info!(%tier, pod = hello.pod_name, "proxy connected");
    let end = match check(&hello) {
        Err(end) => end,
        Ok(()) => converse(&publisher, &replica, &tier, hello, inbound, &outbound).await,
    };
    if let End::Refused(reason, message) = end {
        tracing::info!(%tier, ?reason, message, "stream refused");
        let refusal = Refusal { reason: reason.into(), message };
        // Who does not read any more is told by the end of the stream.
        let _ = send(&outbound, server_message::Kind::Refusal(refusal)).await;
    }
}

fn check(hello: &Hello) -> Result<(), End> {
    if hello.schema_version != SCHEMA_VERSION {
        let message = format!(
            "the proxy speaks schema {}, this operator {SCHEMA_VERSION}; run the proxy image of this release",
            hello.schema_version
        );
        return Err(End::Refused(refusal::Reason::SchemaUnsupported, message));
    }
    if hello.pod_uid.is_empty() {
        let message = "Hello lacks the pod's UID (POD_UID)".to_owned();
        return Err(End::Refused(refusal::Reason::IdentityInvalid, message));
    }
    Ok(())
}

async fn converse(
    publisher: &Publisher,
    replica: &Replica,
    tier: &TierKey,
    hello: Hello,
    inbound: Streaming<ProxyMessage>,
    outbound: &Outbound,
) -> End {
    let (registration, replaced) = publisher.registry().register(tier, hello, SystemTime::now());
    let (subscribe, subscriptions) = mpsc::channel(1);
    let speaker = Speaker {
        tier,
        outbound,
        replica: &replica.name,
        replicas: replica.replicas.clone(),
        configuration: publisher.configuration(tier),
        synced: publisher.synced(),
        subscriptions,
        subscriber: None,
        commits: 0,
    };
    tokio::select! {
        end = listen(inbound, &registration, subscribe) => end,
        end = speaker.speak() => end,
        Ok(()) = replaced => {
            let message = "a newer stream of the same pod took its place".to_owned();
            End::Refused(refusal::Reason::Replaced, message)
        }
    }
}

/// Takes what the proxy says; never waits for what is said to it.
async fn listen(
    mut inbound: Streaming<ProxyMessage>,
    registration: &Registration<'_>,
    subscriptions: mpsc::Sender<Subscribe>,
) -> End {
    let mut open = Subscribe::default();
    loop {
        let Ok(Some(message)) = inbound.message().await else { return End::Gone };
        match message.kind {
            Some(proxy_message::Kind::Report(report)) => registration.report(report),
            Some(proxy_message::Kind::Subscribe(mut part)) => {
                open.initial_versions.append(&mut part.initial_versions);
                if open.initial_versions.len() > MAX_INITIAL_VERSIONS {
                    return End::Gone;
                }
                if !part.more {
                    open.watermark = part.watermark;
                    if subscriptions.send(std::mem::take(&mut open)).await.is_err() {
                        return End::Gone;
                    }
                }
            }
            // A second Hello changes nothing; what a newer proxy adds is not for this operator.
            Some(proxy_message::Kind::Hello(_)) | None => {}
        }
    }
}

struct Subscriber {
    told: Told,
    /// How recent the configuration was that the proxy had when it subscribed.
    held: Vec<Watermark>,
    /// The watermark of the last Commit; `None` before the first.
    committed: Option<Vec<Watermark>>,
}

/// Says what is new; what changes while it speaks is said together afterwards.
struct Speaker<'a> {
    tier: &'a TierKey,
    outbound: &'a Outbound,
    replica: &'a str,
    replicas: watch::Receiver<Vec<String>>,
    configuration: watch::Receiver<Published>,
    synced: watch::Receiver<bool>,
    subscriptions: mpsc::Receiver<Subscribe>,
    subscriber: Option<Subscriber>,
    commits: u64,
}

impl Speaker<'_> {
    async fn speak(mut self) -> End {
        if let Err(end) = self.welcome().await {
            return end;
        }
        loop {
            let published = self.configuration.borrow_and_update().clone();
            let said = match published {
                Some(configuration) => self.update(configuration).await,
                None if *self.synced.borrow_and_update() => Err(self.unknown()),
                None => Ok(()),
            };
            let waited = match said {
                Ok(()) => self.wait().await,
                Err(end) => Err(end),
            };
            if let Err(end) = waited {
                return end;
            }
        }
    }

    /// Until there may be something to say.
    async fn wait(&mut self) -> Result<(), End> {
        tokio::select! {
            subscription = self.subscriptions.recv() => {
                let Subscribe { initial_versions, watermark, .. } = subscription.ok_or(End::Gone)?;
                let told = Told::Versions(initial_versions);
                self.subscriber = Some(Subscriber { told, held: watermark, committed: None });
            }
            Ok(()) = self.configuration.changed() => {}
            Ok(()) = self.synced.changed() => {}
            Ok(()) = self.replicas.changed() => self.welcome().await?,
            () = self.outbound.closed() => return Err(End::Gone),
        }
        Ok(())
    }

    fn unknown(&self) -> End {
        let message =
            format!("the fleet of {} does not exist; the proxy keeps what it has", self.tier);
        End::Refused(refusal::Reason::FleetUnknown, message)
    }

    async fn welcome(&mut self) -> Result<(), End> {
        let replicas = self.replicas.borrow_and_update().clone();
        let replica = self.replica.to_owned();
        let welcome = Welcome { schema_version: SCHEMA_VERSION, replica, replicas };
        send(self.outbound, server_message::Kind::Welcome(welcome)).await
    }

    async fn update(&mut self, configuration: Arc<TierConfiguration>) -> Result<(), End> {
        let Some(subscriber) = &mut self.subscriber else { return Ok(()) };
        let changes = subscriber.told.changes(&configuration);
        let waits = subscriber.committed.as_ref().is_none_or(|committed| {
            *committed != configuration.watermark && is_behind(committed, &subscriber.held)
        });
        if changes.is_empty() && !waits {
            return Ok(());
        }
        let full = changes.full;
        for message in Messages::from(changes) {
            self.outbound.send(Ok(message)).await.map_err(|_closed| End::Gone)?;
        }
        self.commits = self.commits.saturating_add(1);
        let watermark = configuration.watermark.clone();
        let commit = Commit { nonce: self.commits.to_string(), watermark: watermark.clone(), full };
        send(self.outbound, server_message::Kind::Commit(commit)).await?;
        subscriber.committed = Some(watermark);
        subscriber.told = Told::Configuration(configuration);
        Ok(())
    }
}

/// Whether the proxy may be withholding what it got, because it had something newer.
fn is_behind(committed: &[Watermark], held: &[Watermark]) -> bool {
    committed.iter().any(|committed| {
        held.iter().any(|held| {
            let order =
                compare_resource_versions(&committed.resource_version, &held.resource_version);
            committed.kind == held.kind && order.is_lt()
        })
    })
}

async fn send(outbound: &Outbound, kind: server_message::Kind) -> Result<(), End> {
    let sent = outbound.send(Ok(ServerMessage { kind: Some(kind) })).await;
    sent.map_err(|_closed| End::Gone)
}
