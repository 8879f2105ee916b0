//! Why something is not served, or not as somebody might expect.

use std::{
    collections::BTreeMap,
    fmt::{self, Write as _},
};

use gatefleet_names::{Kind, ObjectKey};
use gatefleet_routes::{Diagnostic, RoutesOutput, Severity, TierRoutes};
use gatefleet_state::ClusterState;
use serde_json::{Value, json};

/// Where every object was declared: `FILE: line N`.
pub(super) type Places = BTreeMap<ObjectKey, String>;

/// One finding.
#[derive(Clone, Debug)]
pub(super) struct Finding {
    severity: Severity,
    /// Empty: it is not known.
    place: String,
    /// `Kind namespace/name`; empty: about a file that cannot be read.
    object: String,
    /// Empty: about the object as a whole.
    field: String,
    /// One CamelCase word, or nothing.
    reason: &'static str,
    message: String,
}

impl Finding {
    /// About a document of a file that is no object.
    pub(super) fn unreadable(place: &str, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Refused,
            place: place.to_owned(),
            object: String::new(),
            field: String::new(),
            reason: "",
            message: message.into(),
        }
    }

    fn of(diagnostic: &Diagnostic, places: &Places) -> Self {
        Self {
            severity: diagnostic.severity(),
            place: places.get(&diagnostic.object).cloned().unwrap_or_default(),
            object: diagnostic.object.to_string(),
            field: diagnostic.field.clone(),
            reason: diagnostic.reason.as_str(),
            message: diagnostic.message.clone(),
        }
    }

    fn without_endpoints(service: &ObjectKey, places: &Places) -> Self {
        let message = "it has no EndpointSlice in the directory, so its requests get 503: add one";
        Self {
            severity: Severity::Info,
            place: places.get(service).cloned().unwrap_or_default(),
            object: service.to_string(),
            field: String::new(),
            reason: "",
            message: message.to_owned(),
        }
    }

    fn severity(&self) -> &'static str {
        match self.severity {
            Severity::Refused => "refused",
            Severity::Warning => "warning",
            Severity::Info => "note",
        }
    }

    fn document(&self) -> Value {
        json!({
            "severity": self.severity(), "place": self.place, "object": self.object,
            "field": self.field, "reason": self.reason, "message": self.message,
        })
    }

    /// For people: the remedy on a line of its own.
    fn paragraph(&self) -> String {
        let about = [&*self.object, &*self.field, self.reason];
        let about: Vec<&str> = about.into_iter().filter(|part| !part.is_empty()).collect();
        let place =
            if self.place.is_empty() { String::new() } else { format!("in {}", self.place) };
        let lines = [about.join("  "), self.message.clone(), place];
        let mut text = String::new();
        for line in lines.iter().filter(|line| !line.is_empty()) {
            let word = if text.is_empty() { self.severity() } else { "" };
            let _ = writeln!(text, "{word:<7}  {line}");
        }
        text
    }
}

/// On one line, as compilers do.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = if self.object.is_empty() { "" } else { self.severity() };
        let parts = [&*self.place, severity, &self.object, &self.field, self.reason, &self.message];
        let parts: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        f.write_str(&parts.join(": "))
    }
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Findings(Vec<Finding>);

impl Findings {
    pub(super) fn add(&mut self, finding: Finding) {
        self.0.push(finding);
    }

    /// What the pipeline found.
    pub(super) fn add_all(&mut self, output: &RoutesOutput, places: &Places) {
        let routes = output.ingresses.values().flat_map(|outcome| &outcome.diagnostics);
        let all = output.findings.iter().chain(routes);
        self.0.extend(all.map(|diagnostic| Finding::of(diagnostic, places)));
    }

    /// A directory has no controller that makes EndpointSlices of pods.
    pub(super) fn add_missing_endpoints(
        &mut self,
        state: &ClusterState,
        tier: &TierRoutes,
        places: &Places,
    ) {
        let services = tier.resources.keys().filter_map(|name| {
            let (namespace, rest) = name.strip_prefix("endpoints/")?.split_once('/')?;
            Some((namespace, rest.split_once('/')?.0))
        });
        for (namespace, service) in services {
            if state.slices_of(namespace, service).next().is_none() {
                let key = ObjectKey::new(Kind::Service, namespace, service);
                self.0.push(Finding::without_endpoints(&key, places));
            }
        }
    }

    /// Whether anything was refused.
    pub(super) fn refuse(&self) -> bool {
        self.0.iter().any(|finding| finding.severity == Severity::Refused)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Finding> {
        self.0.iter()
    }

    pub(super) fn document(&self) -> Value {
        self.0.iter().map(Finding::document).collect()
    }

    /// For people: what matters most first.
    pub(super) fn text(&self) -> String {
        let mut sorted: Vec<&Finding> = self.0.iter().collect();
        sorted.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
        sorted.into_iter().map(Finding::paragraph).collect()
    }
}
