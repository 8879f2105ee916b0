//! Properties of the ledger against a slow model that says what is meant.
#![expect(clippy::unwrap_used, clippy::panic, reason = "test code")]

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use gatefleet_channel::{Ledger, Outcome, Refusals, Transaction};
use gatefleet_snapshot::{
    references, seal, sorted_snapshot,
    v1::{
        Backend, BackendTls, Certificate, Endpoint, Endpoints, Listener, ListenerTls, Resource,
        ServerName, TrustBundle, resource::Body,
    },
};
use proptest::prelude::*;

/// How a resource fares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Good,
    FailsToCompile,
    FailsToInstall,
}

/// A resource whose content tells its fate. Backends name a trust bundle and endpoints.
fn resource(kind: usize, index: usize, content: usize, fate: Fate) -> Resource {
    let text = match fate {
        Fate::Good => format!("good {content}"),
        Fate::FailsToCompile => format!("bad {content}"),
        Fate::FailsToInstall => format!("busy {content}"),
    };
    match kind {
        0 => {
            let tls = BackendTls {
                trust_bundles: vec![format!("trust-bundle/{}", content % 3)],
                server_name: text,
                ..BackendTls::default()
            };
            let endpoints = format!("endpoints/{}", (content + index) % 3);
            let body = Backend { endpoints, tls: Some(tls), ..Backend::default() };
            seal(format!("backend/{index}"), Body::Backend(body))
        }
        1 => {
            let body = TrustBundle { certificates: text };
            seal(format!("trust-bundle/{index}"), Body::TrustBundle(body))
        }
        _ => {
            let endpoint = Endpoint { zone: text, ..Endpoint::default() };
            let body = Endpoints { endpoints: vec![endpoint] };
            seal(format!("endpoints/{index}"), Body::Endpoints(body))
        }
    }
}

fn text(resource: &Resource) -> &str {
    match resource.body.as_ref().unwrap() {
        Body::Backend(backend) => &backend.tls.as_ref().unwrap().server_name,
        Body::TrustBundle(bundle) => &bundle.certificates,
        Body::Endpoints(endpoints) => &endpoints.endpoints.first().unwrap().zone,
        other => panic!("{other:?}"),
    }
}

fn is_good(resource: &Resource) -> bool {
    text(resource).starts_with("good")
}

fn compile(resource: &Resource) -> Result<String, String> {
    let text = text(resource);
    if text.starts_with("bad") { Err("it is bad".into()) } else { Ok(text.to_owned()) }
}

/// What the engine does: refuses the whole set while something in it is busy.
fn install(ledger: &mut Ledger<String>) {
    loop {
        let refusals: Refusals = ledger
            .effective()
            .iter()
            .filter(|(_, entry)| entry.compiled.starts_with("busy"))
            .map(|(name, _)| (name.to_owned(), "in use".to_owned()))
            .collect();
        if refusals.is_empty() {
            return ledger.installed();
        }
        assert!(ledger.refuse(&refusals), "no progress");
    }
}

fn served(ledger: &Ledger<String>) -> BTreeMap<String, String> {
    let set = ledger.effective();
    set.iter().map(|(name, entry)| (name.to_owned(), entry.resource.version.clone())).collect()
}

/// The meaning, without any cleverness.
#[derive(Default)]
struct Model {
    wanted: BTreeMap<String, Resource>,
    good: BTreeMap<String, Resource>,
}

impl Model {
    fn apply(&mut self, transaction: &Transaction) {
        if transaction.is_full() {
            self.wanted.clear();
        }
        for name in transaction.removals() {
            self.wanted.remove(name);
        }
        for (name, resource) in transaction.upserts() {
            self.wanted.insert(name.clone(), Resource::clone(resource));
        }
        let good = self.wanted.iter().filter(|(_, resource)| is_good(resource));
        self.good.extend(good.map(|(name, resource)| (name.clone(), resource.clone())));
        let kept = self.kept();
        self.good.retain(|name, _| kept.contains(name));
    }

    /// What is wanted, and what a retained previous version names, as often as that adds something.
    fn kept(&self) -> BTreeSet<String> {
        let mut kept: BTreeSet<String> = self.wanted.keys().cloned().collect();
        let refused = self.wanted.iter().filter(|(_, resource)| !is_good(resource));
        let mut retained: Vec<&Resource> =
            refused.filter_map(|(name, _)| self.good.get(name)).collect();
        while let Some(resource) = retained.pop() {
            for name in references(resource) {
                if kept.insert(name.to_owned()) {
                    retained.extend(self.good.get(name));
                }
            }
        }
        kept
    }

    fn served(&self) -> BTreeMap<String, String> {
        self.good.iter().map(|(name, resource)| (name.clone(), resource.version.clone())).collect()
    }
}

fn any_resource() -> impl Strategy<Value = Resource> {
    let fate = prop_oneof![
        3 => Just(Fate::Good),
        1 => Just(Fate::FailsToCompile),
        1 => Just(Fate::FailsToInstall),
    ];
    (0_usize..3, 0_usize..3, 0_usize..4, fate)
        .prop_map(|(kind, index, content, fate)| resource(kind, index, content, fate))
}

fn any_transaction(
    resource: impl Strategy<Value = Resource>,
) -> impl Strategy<Value = Transaction> {
    let removal = (0_usize..3, 0_usize..3)
        .prop_map(|(kind, index)| self::resource(kind, index, 0, Fate::Good).name);
    let upserts = proptest::collection::vec(resource, 0..5);
    let removals = proptest::collection::vec(removal, 0..3);
    (upserts, removals, prop::bool::weighted(0.2)).prop_map(|(upserts, removals, full)| {
        let mut transaction = upsert(&[]);
        for name in removals {
            transaction.remove(name);
        }
        for resource in upserts {
            transaction.upsert(Arc::new(resource));
        }
        if full {
            transaction.set_full();
        }
        transaction
    })
}

fn upsert(resources: &[Resource]) -> Transaction {
    let mut transaction = Transaction::default();
    for resource in resources {
        transaction.upsert(Arc::new(resource.clone()));
    }
    transaction
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(500) })]

    #[test]
    fn it_serves_what_the_model_means(
        transactions in proptest::collection::vec(any_transaction(any_resource()), 1..12),
    ) {
        let (mut ledger, mut model) = (Ledger::default(), Model::default());
        for transaction in &transactions {
            ledger.apply(transaction, compile);
            install(&mut ledger);
            model.apply(transaction);
            prop_assert_eq!(served(&ledger), model.served());
            let outcomes = ledger.outcomes();
            for (name, resource) in &model.wanted {
                let refused = matches!(outcomes.get(name.as_str()), Some(Outcome::Refused { .. }));
                prop_assert_eq!(refused, !is_good(resource), "{}", name);
            }
            for (name, outcome) in &outcomes {
                let version = outcome.version().map(ToString::to_string);
                prop_assert_eq!(version, model.served().get(&**name).cloned(), "{}", name);
            }
        }
    }

    #[test]
    fn applying_twice_compiles_nothing_and_changes_nothing(
        transactions in proptest::collection::vec(any_transaction(any_resource()), 1..6),
    ) {
        let mut ledger = Ledger::default();
        for transaction in &transactions {
            ledger.apply(transaction, compile);
            install(&mut ledger);
        }
        let (before, outcomes) = (served(&ledger), ledger.outcomes());
        let again = transactions.last().unwrap();
        ledger.apply(again, |resource| panic!("{} is compiled again", resource.name));
        install(&mut ledger);
        prop_assert_eq!(served(&ledger), before);
        prop_assert_eq!(ledger.outcomes(), outcomes);
    }

    #[test]
    fn one_transaction_is_worth_its_parts_in_any_order(
        resources in proptest::collection::vec(any_resource(), 1..9)
            .prop_map(|resources| sorted_snapshot(resources, Vec::new()).resources)
            .prop_flat_map(|resources| (Just(resources.clone()), Just(resources).prop_shuffle())),
    ) {
        let (resources, shuffled) = resources;
        let (mut whole, mut parts) = (Ledger::default(), Ledger::default());
        whole.apply(&Transaction::replace(sorted_snapshot(resources, Vec::new())), compile);
        install(&mut whole);
        for resource in shuffled {
            parts.apply(&upsert(&[resource]), compile);
            install(&mut parts);
        }
        prop_assert_eq!(served(&whole), served(&parts));
        prop_assert_eq!(whole.outcomes(), parts.outcomes());
    }

    /// For good ones alone: what fails in between leaves its last good version behind.
    #[test]
    fn appended_transactions_mean_one_after_the_other(
        transactions in proptest::collection::vec(
            any_transaction(
                (0_usize..3, 0_usize..3, 0_usize..4)
                    .prop_map(|(kind, index, content)| resource(kind, index, content, Fate::Good)),
            ),
            3,
        ),
    ) {
        let (mut stepwise, mut at_once) = (Ledger::default(), Ledger::default());
        let (start, others) = transactions.split_first().unwrap();
        for ledger in [&mut stepwise, &mut at_once] {
            ledger.apply(start, compile);
            install(ledger);
        }
        let mut all = Transaction::default();
        for transaction in others {
            stepwise.apply(transaction, compile);
            install(&mut stepwise);
            all.append(transaction.clone());
        }
        at_once.apply(&all, compile);
        install(&mut at_once);
        prop_assert_eq!(served(&stepwise), served(&at_once));
        prop_assert_eq!(stepwise.outcomes(), at_once.outcomes());
    }
}

#[test]
fn what_cannot_be_installed_is_tried_again_with_its_last_good_version_meanwhile() {
    let good = resource(0, 0, 1, Fate::Good);
    let busy = resource(0, 0, 2, Fate::FailsToInstall);
    let mut ledger = Ledger::default();
    ledger.apply(&upsert(std::slice::from_ref(&good)), compile);
    install(&mut ledger);
    ledger.apply(&upsert(std::slice::from_ref(&busy)), compile);
    install(&mut ledger);
    assert_eq!(served(&ledger)["backend/0"], good.version);
    assert!(ledger.retry(compile));
    ledger.installed();
    assert_eq!(served(&ledger)["backend/0"], busy.version);
    assert!(!ledger.retry(compile), "nothing is left to be tried");
    let installed = Outcome::Installed { version: busy.version.as_str().into() };
    assert_eq!(ledger.outcomes()["backend/0"], installed);
}

#[test]
fn an_engine_that_cannot_even_serve_what_it_served_ends_without_it() {
    let good = resource(0, 0, 1, Fate::Good);
    let mut ledger = Ledger::default();
    ledger.apply(&upsert(std::slice::from_ref(&good)), compile);
    install(&mut ledger);
    let refusals = Refusals::from([("backend/0".to_owned(), "the port went away".to_owned())]);
    assert!(ledger.refuse(&refusals));
    ledger.installed();
    assert!(served(&ledger).is_empty());
    assert!(matches!(ledger.outcomes()["backend/0"], Outcome::Refused { version: None, .. }));
    assert!(!ledger.refuse(&refusals), "there is nothing left to refuse");
    assert!(!ledger.refuse(&Refusals::from([("backend/9".to_owned(), String::new())])));
}

#[test]
fn listeners_and_server_names_depend_on_their_certificates() {
    let tls = ListenerTls {
        default_certificates: vec!["certificate/a".into(), "certificate/b".into()],
        ..ListenerTls::default()
    };
    let listener = Listener { tls: Some(tls), ..Listener::default() };
    let name = ServerName { certificates: vec!["certificate/b".into()], ..ServerName::default() };
    let certificate =
        |name: &str| seal(format!("certificate/{name}"), Body::Certificate(Certificate::default()));
    let resources = [
        seal("listener/https", Body::Listener(listener)),
        seal("server-name/x", Body::ServerName(name)),
        certificate("a"),
        certificate("b"),
    ];
    let mut ledger = Ledger::default();
    ledger.apply(&upsert(&resources), |resource| match resource.name.as_str() {
        "certificate/b" => Err("expired".to_owned()),
        _ => Ok(String::new()),
    });
    ledger.installed();
    let outcomes = ledger.outcomes();
    for name in ["listener/https", "server-name/x"] {
        match &outcomes[name] {
            Outcome::DependencyRefused { message, .. } => {
                assert_eq!(&**message, "it names certificate/b, which was refused");
            }
            other => panic!("{name}: {other:?}"),
        }
    }
    assert!(matches!(outcomes["certificate/a"], Outcome::Installed { .. }));
}
