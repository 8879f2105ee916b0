//! All watches together: one owner of the view, everybody else gets copies.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use gatefleet_crds::GatewayConfig;
use gatefleet_state::{ReferenceGrant, Watched};
use k8s_openapi::{
    NamespaceResourceScope,
    api::{
        core::v1::{Namespace, Pod, Secret, Service},
        discovery::v1::EndpointSlice,
        networking::v1::{Ingress, IngressClass},
    },
};
use kube::{Api, Client, Resource};
use tokio::{
    sync::{mpsc, watch},
    task::{AbortHandle, JoinSet},
    time::Instant,
};

use crate::{
    View,
    children::for_own_kinds,
    follow::{Sink, follow},
    guard::Guarded,
    view::{Scope, Step, Watched as Kind, compare_versions, take},
};

/// When changes become a new view.
#[derive(Clone, Copy, Debug)]
pub struct Debounce {
    /// After this long without another change.
    pub quiet: Duration,
    /// After this long at the latest.
    pub longest: Duration,
}

/// What users of the watches hold.
#[derive(Clone, Debug)]
pub struct Watches {
    /// The newest view; `None` until every kind was listed once.
    pub views: watch::Receiver<Option<Arc<View>>>,
    secrets: watch::Sender<BTreeSet<(String, String)>>,
}

impl Watches {
    /// Says which Secrets (namespace, name) are needed from now on. All others are forgotten.
    pub fn need_secrets(&self, names: BTreeSet<(String, String)>) {
        self.secrets.send_if_modified(|current| {
            let differs = *current != names;
            *current = names;
            differs
        });
    }
}

/// The part that runs: see [`run`].
pub struct Hub {
    client: Client,
    debounce: Debounce,
    watched: Watched,
    views: watch::Sender<Option<Arc<View>>>,
    secrets: watch::Receiver<BTreeSet<(String, String)>>,
}

/// Prepares watches; nothing is asked before [`run`].
pub fn watches(client: Client, debounce: Debounce, watched: Watched) -> (Watches, Hub) {
    let (views, views_out) = watch::channel(None);
    let (secrets_in, secrets) = watch::channel(BTreeSet::new());
    let hub = Hub { client, debounce, watched, views, secrets };
    (Watches { views: views_out, secrets: secrets_in }, hub)
}

/// Watches until it is dropped.
pub async fn run(hub: Hub) {
    let Hub { client, debounce, watched, views, mut secrets } = hub;
    let (steps, mut received) = mpsc::unbounded_channel();
    let mut store = Store::new(client, steps);
    store.follow_kinds(&watched);
    let mut pending: Option<Pending> = None;
    loop {
        let due = pending.as_ref().map(|pending| pending.due(debounce));
        tokio::select! {
            step = received.recv() => {
                let Some(step) = step else { return };
                if store.take(step) {
                    Pending::touch(&mut pending);
                } else if store.is_complete() && pending.is_none() {
                    // The watermark alone wakes nobody.
                    views.send_if_modified(|view| { *view = Some(store.view()); false });
                }
            }
            needed = secrets.changed() => {
                if needed.is_err() {
                    return;
                }
                if store.follow_secrets(&secrets.borrow_and_update().clone()) {
                    Pending::touch(&mut pending);
                }
            }
            () = sleep_until(due), if due.is_some() => {
                pending = None;
                if store.is_complete() {
                    views.send_replace(Some(store.view()));
                }
            }
        }
    }
}

async fn sleep_until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}

/// Changes that nobody was told of yet.
struct Pending {
    first: Instant,
    last: Instant,
}

impl Pending {
    fn touch(pending: &mut Option<Self>) {
        let now = Instant::now();
        pending.get_or_insert(Self { first: now, last: now }).last = now;
    }

    fn due(&self, debounce: Debounce) -> Instant {
        (self.last + debounce.quiet).min(self.first + debounce.longest)
    }
}

/// Whose objects of a kind are watched.
#[derive(Clone, Copy)]
enum Whose {
    Everybody,
    Ours,
}

/// One step of one watch, ready to be put into the view.
struct Received {
    kind: String,
    scope: Scope,
    version: String,
    change: Box<dyn FnOnce(&mut View) -> bool + Send>,
}

struct Store {
    client: Client,
    steps: mpsc::UnboundedSender<Received>,
    view: View,
    /// Kinds (as in the watermark) and scopes that were not listed yet.
    missing: BTreeSet<(String, Scope)>,
    /// The version of each watch of a kind: the kind's watermark is the oldest of them.
    versions: BTreeMap<String, BTreeMap<Scope, String>>,
    secrets: BTreeMap<(String, String), AbortHandle>,
    tasks: JoinSet<()>,
}

impl Store {
    fn new(client: Client, steps: mpsc::UnboundedSender<Received>) -> Self {
        Self {
            client,
            steps,
            view: View::default(),
            missing: BTreeSet::new(),
            versions: BTreeMap::new(),
            secrets: BTreeMap::new(),
            tasks: JoinSet::new(),
        }
    }

    fn follow_kinds(&mut self, watched: &Watched) {
        self.follow_everywhere::<IngressClass>();
        self.follow_everywhere::<Namespace>();
        self.follow_optional::<ReferenceGrant>();
        self.follow_kind::<GatewayConfig>(watched, Whose::Everybody);
        self.follow_kind::<Ingress>(watched, Whose::Everybody);
        self.follow_kind::<Service>(watched, Whose::Everybody);
        self.follow_kind::<EndpointSlice>(watched, Whose::Everybody);
        self.follow_kind::<Pod>(watched, Whose::Ours);
        macro_rules! follow_child {
            ($kind:ty => $($path:ident).+) => {
                self.follow_kind::<$kind>(watched, Whose::Ours);
            };
        }
        for_own_kinds!(follow_child);
    }

    fn follow_everywhere<K: Kind>(&mut self) {
        self.follow_scope::<K>(Api::all(self.client.clone()), Scope::All);
    }

    fn follow_kind<K>(&mut self, watched: &Watched, whose: Whose)
    where
        K: Kind + Resource<Scope = NamespaceResourceScope>,
    {
        let names = match (watched, whose) {
            (Watched::All, Whose::Everybody) => return self.follow_everywhere::<K>(),
            (Watched::All, Whose::Ours) => {
                return self.follow_scope::<K>(Api::all(self.client.clone()), Scope::Own);
            }
            (Watched::Only(names), _) => names,
        };
        for name in names {
            let scope = match whose {
                Whose::Everybody => Scope::AllIn(name.clone()),
                Whose::Ours => Scope::OwnIn(name.clone()),
            };
            self.follow_scope::<K>(Api::namespaced(self.client.clone(), name), scope);
        }
    }

    fn follow_scope<K: Kind>(&mut self, api: Api<Guarded<K>>, scope: Scope) {
        let sink = self.sink::<K>(scope.clone());
        self.missing.insert((sink.kind.clone(), scope.clone()));
        self.tasks.spawn(follow::<K>(api, scope, sink));
    }

    /// A kind that others define: without its definition there are no objects of it.
    fn follow_optional<K: Kind>(&mut self) {
        let sink = MayBeAbsent(self.sink::<K>(Scope::All));
        self.missing.insert((sink.0.kind.clone(), Scope::All));
        self.tasks.spawn(follow::<K>(Api::all(self.client.clone()), Scope::All, sink));
    }

    fn sink<K: Kind>(&self, scope: Scope) -> ToHub {
        ToHub { kind: kind_with_group::<K>(), scope, steps: self.steps.clone() }
    }

    /// Starts and stops watches of single Secrets; whether something was forgotten.
    fn follow_secrets(&mut self, needed: &BTreeSet<(String, String)>) -> bool {
        let gone: Vec<_> =
            self.secrets.keys().filter(|name| !needed.contains(*name)).cloned().collect();
        for name in &gone {
            if let Some(task) = self.secrets.remove(name) {
                task.abort();
            }
            self.view.answered.remove(name);
            Secret::remove(&mut self.view, &name.0, &name.1);
            let scope = Scope::Named(name.0.clone(), name.1.clone());
            if let Some(versions) = self.versions.get_mut("Secret") {
                versions.remove(&scope);
            }
        }
        for name in needed {
            if !self.secrets.contains_key(name) {
                let task = self.follow_named::<Secret>(name);
                self.secrets.insert(name.clone(), task);
            }
        }
        !gone.is_empty()
    }

    fn follow_named<K>(&mut self, (namespace, name): &(String, String)) -> AbortHandle
    where
        K: Kind + Resource<Scope = NamespaceResourceScope>,
    {
        let scope = Scope::Named(namespace.clone(), name.clone());
        let sink = self.sink::<K>(scope.clone());
        let api = Api::namespaced(self.client.clone(), namespace);
        self.tasks.spawn(follow::<K>(api, scope, sink))
    }

    /// Puts a step into the view; whether somebody should know.
    fn take(&mut self, step: Received) -> bool {
        let Received { kind, scope, version, change } = step;
        if let Scope::Named(namespace, name) = &scope
            && !self.secrets.contains_key(&(namespace.clone(), name.clone()))
        {
            // Sent before its watch was stopped.
            return false;
        }
        let first = self.missing.remove(&(kind.clone(), scope.clone()));
        let versions = self.versions.entry(kind.clone()).or_default();
        if !version.is_empty() {
            versions.insert(scope, version);
        }
        if let Some(oldest) = versions.values().min_by(|a, b| compare_versions(a, b)) {
            self.view.watermark.insert(kind, oldest.clone());
        }
        change(&mut self.view) || first
    }

    fn is_complete(&self) -> bool {
        self.missing.is_empty()
    }

    fn view(&self) -> Arc<View> {
        Arc::new(self.view.clone())
    }
}

/// `Ingress.networking.k8s.io`, `Service`.
fn kind_with_group<K: Resource<DynamicType = ()>>() -> String {
    match K::group(&()) {
        group if group.is_empty() => K::kind(&()).into_owned(),
        group => format!("{}.{group}", K::kind(&())),
    }
}

/// Where one watch sends its steps.
struct ToHub {
    kind: String,
    scope: Scope,
    steps: mpsc::UnboundedSender<Received>,
}

impl ToHub {
    fn send(&self, version: String, change: Box<dyn FnOnce(&mut View) -> bool + Send>) {
        let (kind, scope) = (self.kind.clone(), self.scope.clone());
        // Nobody listens any more when the operator stops.
        drop(self.steps.send(Received { kind, scope, version, change }));
    }
}

impl<K: Kind> Sink<K> for ToHub {
    fn is_open(&self) -> bool {
        !self.steps.is_closed()
    }

    fn step(&mut self, step: Step<K>, version: String) {
        let scope = self.scope.clone();
        self.send(version, Box::new(move |view| take(view, &scope, step)));
    }

    fn failing(&mut self, error: &kube::Error) {
        tracing::warn!(kind = self.kind, scope = ?self.scope, %error, "watch: what is known stays");
        // A Secret that cannot be read is as good as absent: nobody waits for it for ever.
        if let Scope::Named(namespace, name) = &self.scope {
            let name = (namespace.clone(), name.clone());
            self.send(String::new(), Box::new(move |view| view.answered.insert(name)));
        }
    }
}

/// As [`ToHub`], for a kind that the API server may not know.
struct MayBeAbsent(ToHub);

impl<K: Kind> Sink<K> for MayBeAbsent {
    fn is_open(&self) -> bool {
        Sink::<K>::is_open(&self.0)
    }

    fn step(&mut self, step: Step<K>, version: String) {
        self.0.step(step, version);
    }

    fn failing(&mut self, error: &kube::Error) {
        if !is_not_for_us(error) {
            Sink::<K>::failing(&mut self.0, error);
        }
    }

    /// What permits something then permits nothing.
    fn failed(&mut self, error: &kube::Error) {
        if is_not_for_us(error) {
            self.step(Step::<K>::Listed(Vec::new()), String::new());
        }
    }
}

/// Not defined, or not to be read by us.
fn is_not_for_us(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 404 || status.code == 403)
}
