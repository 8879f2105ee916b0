//! What concerns a GatewayConfig as a whole.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use gatefleet_ir::{Diagnostic, Severity};
use gatefleet_names::{FleetKey, ObjectKey, Tier, TierKey};

use crate::{
    FleetRoutes, IngressOutcome, certificates::Certificates, defaults::Defaults,
    selection::Selection, tier::TierMemory,
};

/// What became of one Ingress, and which fleets serve something of it.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) outcome: Arc<IngressOutcome>,
    pub(crate) serving: BTreeSet<FleetKey>,
}

/// One entry for every fleet that has a tier.
pub(crate) fn summarise(
    selection: &Selection,
    tiers: &BTreeMap<TierKey, TierMemory>,
    outcomes: &BTreeMap<ObjectKey, Outcome>,
    (defaults, certificates): (&Defaults, &Certificates),
) -> BTreeMap<FleetKey, Arc<FleetRoutes>> {
    let mut counts: BTreeMap<&FleetKey, Counts<'_>> =
        tiers.keys().map(|key| (&key.fleet, Counts::default())).collect();
    for outcome in outcomes.values() {
        let fleets: BTreeSet<&FleetKey> =
            outcome.outcome.tiers.keys().map(|key| &key.fleet).collect();
        for fleet in fleets {
            if let Some(counts) = counts.get_mut(fleet) {
                counts.add(outcome, outcome.serving.contains(fleet));
            }
        }
    }
    let fleets = counts.into_iter().map(|(fleet, counts)| {
        let mut summary = counts.finish();
        summary.selected = selection.selected.get(fleet).cloned().unwrap_or_default();
        summary.class_conflict = selection.conflicts.get(fleet).cloned();
        summary.default_certificates = defaults.findings(fleet, certificates);
        let of_fleet = Tier::ALL.map(|tier| tiers.get(&fleet.tier(tier)));
        let routes = || of_fleet.into_iter().flatten().map(TierMemory::routes);
        summary.certificates =
            certificates.served(|name| routes().any(|tier| tier.resources.contains_key(name)));
        (fleet.clone(), Arc::new(summary))
    });
    fleets.collect()
}

#[derive(Default)]
struct Counts<'a> {
    attached: u32,
    rejected: u32,
    problems: Vec<&'a Diagnostic>,
}

impl<'a> Counts<'a> {
    fn add(&mut self, outcome: &'a Outcome, serves: bool) {
        let diagnostics = &outcome.outcome.diagnostics;
        let is = |severity| move |one: &&Diagnostic| one.severity() == severity;
        self.attached += u32::from(serves);
        self.rejected += u32::from(diagnostics.iter().any(|one| is(Severity::Refused)(&one)));
        self.problems.extend(diagnostics.iter().filter(|one| !is(Severity::Info)(one)));
    }

    fn finish(mut self) -> FleetRoutes {
        self.problems.sort_by_key(|one| (std::cmp::Reverse(one.severity()), *one));
        let shown = self.problems.len().min(FleetRoutes::MAX_PROBLEMS);
        FleetRoutes {
            attached: self.attached,
            rejected: self.rejected,
            more_problems: u32::try_from(self.problems.len() - shown).unwrap_or(u32::MAX),
            problems: self.problems.into_iter().take(shown).cloned().collect(),
            ..FleetRoutes::default()
        }
    }
}
