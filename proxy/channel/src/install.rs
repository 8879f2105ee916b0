//! From a transaction to an installed set.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use gatefleet_snapshot::{
    v1::{Resource, Watermark},
    validate,
};
use tokio::sync::watch;

use crate::{ChannelState, EffectiveSet, Engine, Ledger, Refusals, Source, Transaction};

/// Puts transactions through ledger and engine, and keeps [`ChannelState`] true.
pub(crate) struct Installer<E: Engine> {
    engine: Arc<E>,
    ledger: Ledger<E::Compiled>,
    /// What the engine serves; `None` before the first set.
    served: Option<EffectiveSet<E::Compiled>>,
    state: watch::Sender<ChannelState>,
}

impl<E: Engine> Installer<E> {
    pub(crate) fn new(engine: Arc<E>, state: watch::Sender<ChannelState>) -> Self {
        Self { engine, ledger: Ledger::default(), served: None, state }
    }

    pub(crate) const fn state(&self) -> &watch::Sender<ChannelState> {
        &self.state
    }

    pub(crate) const fn ledger(&self) -> &Ledger<E::Compiled> {
        &self.ledger
    }

    /// Installs a transaction; when it returns, every thread serves it and the state says so.
    pub(crate) async fn install(&mut self, transaction: &Transaction, source: Source) {
        let engine = Arc::clone(&self.engine);
        self.ledger.apply(transaction, |resource| compile(&*engine, resource));
        self.swap().await;
        let outcomes = Arc::new(self.ledger.outcomes());
        self.state.send_modify(|state| {
            state.ready |= transaction.is_full();
            state.source = source;
            state.outcomes = outcomes;
            state.watermark.clone_from(&transaction.watermark);
            state.installs = state.installs.saturating_add(1);
        });
    }

    /// Tries once more what could not be installed (a port in use may be free by now). True when that changed
    /// anything.
    pub(crate) async fn retry(&mut self) -> bool {
        let engine = Arc::clone(&self.engine);
        if !self.ledger.retry(|resource| compile(&*engine, resource)) {
            return false;
        }
        self.swap().await;
        let outcomes = Arc::new(self.ledger.outcomes());
        self.state.send_if_modified(|state| {
            let changed = state.outcomes != outcomes;
            state.outcomes = outcomes;
            changed
        })
    }

    pub(crate) fn watermark(&self) -> Vec<Watermark> {
        self.state.borrow().watermark.clone()
    }

    /// What the engine serves.
    pub(crate) fn served(&self) -> EffectiveSet<E::Compiled> {
        self.served.clone().unwrap_or_default()
    }

    /// Ends because every refusal takes a version away; a refusal that names nothing known counts for all that
    /// is new. The engine is not asked for what it serves already.
    async fn swap(&mut self) {
        loop {
            let wanted = self.ledger.effective();
            if self.served.as_ref().is_some_and(|served| served.is_same(&wanted)) {
                break;
            }
            let Err(refusals) = self.engine.swap(wanted.clone()).await else {
                self.served = Some(wanted);
                break;
            };
            if self.ledger.refuse(&refusals) {
                continue;
            }
            let message = "the engine could not install it together with the rest";
            let all: Refusals = self
                .ledger
                .candidates()
                .map(|name| (name.to_owned(), message.to_owned()))
                .collect();
            if !self.ledger.refuse(&all) {
                tracing::error!(
                    ?refusals,
                    "install configuration: the engine refuses even what it served"
                );
                return;
            }
        }
        self.ledger.installed();
    }
}

/// What comes before the engine's own judgement, and what a bug in that must not bring down.
fn compile<E: Engine>(engine: &E, resource: &Resource) -> Result<E::Compiled, String> {
    validate(resource).map_err(|error| error.to_string())?;
    let known = engine.capabilities();
    let lacking: Vec<&str> = resource
        .capabilities
        .iter()
        .map(String::as_str)
        .filter(|needed| !known.contains(needed))
        .collect();
    if !lacking.is_empty() {
        let lacking = lacking.join(", ");
        return Err(format!("this proxy does not know {lacking}; upgrade it, or do without"));
    }
    catch_unwind(AssertUnwindSafe(|| engine.compile(resource))).unwrap_or_else(|_| {
        Err(format!("compile {}: the proxy has a defect there; please report it", resource.name))
    })
}
