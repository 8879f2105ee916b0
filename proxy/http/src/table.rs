//! The routes of all scopes, linked to backends, and the place where a thread keeps them.

use std::{collections::HashMap, net::IpAddr, sync::Arc};

use arc_swap::ArcSwap;
use gatefleet_matcher::{Hit, HostIndex, Request};

use crate::{
    compile::{CompiledHost, CompiledPolicy, Refusal, Rule},
    settings::Settings,
};

/// Finds what virtual hosts name. Asked once per name and virtual host.
pub trait Resolve<B> {
    /// The backend resource of this name; `None`: its share of requests is answered 503.
    fn backend(&self, name: &str) -> Option<B>;
    /// The policy resource of this name; `None`: its rules answer 503.
    fn policy(&self, name: &str) -> Option<Arc<CompiledPolicy>>;
}

/// A virtual host and what it names.
#[derive(Debug)]
pub(crate) struct LinkedHost<B> {
    host: Arc<CompiledHost>,
    backends: Box<[Option<B>]>,
    policies: Box<[Option<Arc<CompiledPolicy>>]>,
}

impl<B> LinkedHost<B> {
    /// Name of a backend and the backend, if it exists.
    pub(crate) fn backend(&self, index: usize) -> (&str, Option<&B>) {
        let name = self.host.names.backends.get(index).map_or("", AsRef::as_ref);
        (name, self.backends.get(index).and_then(Option::as_ref))
    }

    pub(crate) fn policy(&self, index: usize) -> Option<&CompiledPolicy> {
        self.policies.get(index)?.as_deref()
    }

    pub(crate) fn rule(&self, index: usize) -> Option<&Rule> {
        self.host.rules.get(index)
    }
}

/// Who is asked before anything is routed, by scope.
type Guards = HashMap<Box<str>, Box<[Option<Arc<CompiledPolicy>>]>>;
type Scopes<B> = HashMap<Box<str>, HostIndex<Arc<LinkedHost<B>>>>;

/// Everything a thread serves. Cloning is shallow: give each thread an `Arc` of its own, so that they
/// do not share a reference count.
#[derive(Debug)]
pub struct Table<B> {
    settings: Arc<Settings>,
    scopes: Arc<Scopes<B>>,
    guards: Arc<Guards>,
}

impl<B> Clone for Table<B> {
    fn clone(&self) -> Self {
        Self {
            settings: Arc::clone(&self.settings),
            scopes: Arc::clone(&self.scopes),
            guards: Arc::clone(&self.guards),
        }
    }
}

impl<B> Table<B> {
    /// The tier's settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// How many virtual hosts there are.
    pub fn host_count(&self) -> usize {
        self.scopes.values().map(HostIndex::len).fold(0, usize::saturating_add)
    }

    /// Why nothing that `client` asks for in this scope is answered; `None`: it may pass.
    pub(crate) fn refuse(&self, scope: &str, client: IpAddr) -> Option<Refusal<'_>> {
        if self.guards.is_empty() {
            return None;
        }
        let guards = self.guards.get(scope)?;
        guards.iter().find_map(|guard| match guard {
            Some(guard) => guard.refuse(client),
            None => Some(Refusal::UNAVAILABLE),
        })
    }

    /// The most specific virtual host with a match that fits, and that match.
    pub(crate) fn find(
        &self,
        scope: &str,
        host: &[u8],
        request: &impl Request,
    ) -> Option<(&LinkedHost<B>, Hit)> {
        let hosts = self.scopes.get(scope)?;
        hosts.candidates(host).find_map(|linked| {
            let hit = linked.host.index.find(request)?;
            Some((linked.as_ref(), hit))
        })
    }
}

/// Collects linked virtual hosts.
#[derive(Debug)]
pub struct TableBuilder<B> {
    settings: Settings,
    scopes: Scopes<B>,
    guards: Guards,
}

impl<B> TableBuilder<B> {
    /// A table without routes.
    pub fn new(settings: Settings) -> Self {
        Self { settings, scopes: HashMap::new(), guards: HashMap::new() }
    }

    /// Adds a virtual host; of two for the same scope and pattern the later one stays.
    pub fn add(&mut self, host: &Arc<CompiledHost>, names: &impl Resolve<B>) -> &mut Self {
        let linked = LinkedHost {
            host: Arc::clone(host),
            backends: host.backend_names().map(|name| names.backend(name)).collect(),
            policies: host.policy_names().map(|name| names.policy(name)).collect(),
        };
        let scope = self.scopes.entry(host.scope().into()).or_default();
        scope.insert(&host.hostname, Arc::new(linked));
        self
    }

    /// Has these policies asked about every request of a scope, besides those that are asked already.
    pub fn guard(
        &mut self,
        scope: &str,
        policies: &[String],
        names: &impl Resolve<B>,
    ) -> &mut Self {
        if !policies.is_empty() {
            let known = self.guards.remove(scope).unwrap_or_default();
            let more = policies.iter().map(|name| names.policy(name));
            self.guards.insert(scope.into(), known.into_iter().chain(more).collect());
        }
        self
    }

    /// The finished table.
    pub fn build(self) -> Table<B> {
        Table {
            settings: Arc::new(self.settings),
            scopes: Arc::new(self.scopes),
            guards: Arc::new(self.guards),
        }
    }
}

/// What one thread serves now.
#[derive(Debug)]
pub struct Engine<B> {
    table: ArcSwap<Table<B>>,
}

impl<B> Engine<B> {
    /// Serves `table`.
    pub fn new(table: Table<B>) -> Self {
        Self { table: ArcSwap::from_pointee(table) }
    }

    /// From the next request on, serves `table`.
    pub fn install(&self, table: Table<B>) {
        self.table.store(Arc::new(table));
    }

    /// The table of the next request.
    pub fn current(&self) -> Arc<Table<B>> {
        self.table.load_full()
    }
}
