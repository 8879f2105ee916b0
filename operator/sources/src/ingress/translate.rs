//! One Ingress becomes claims.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use gatefleet_ir::{
    Action, AlternativeClaim, Claim, Claimant, Decision, Diagnostic, ErrorService, Filter, Forward,
    HostSettings, Language, Match, Policy, Reason, Rewrite, Rule, RuleClaim, TlsClaim, TlsRedirect,
    WeightedBackend,
};
use gatefleet_names::{HostPattern, Kind, ObjectKey};
use gatefleet_state::Shelf;
use k8s_openapi::{
    api::{
        core::v1::Service,
        networking::v1::{HTTPIngressPath, Ingress, IngressBackend, IngressSpec},
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};

use super::{
    backend::{alone, resolve_backend},
    errors::resolve_errors,
    host_wide::{annotation_field, speak_for_hosts},
    path::{Path, parse_path},
    tls::TlsEntries,
};
use crate::annotations::{Annotations, Errors};

/// Legacy annotation that names the class; it outranks `spec.ingressClassName`.
const LEGACY_CLASS: &str = "kubernetes.io/ingress.class";

/// A Service by namespace and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceName {
    /// `metadata.namespace`
    pub namespace: String,
    /// `metadata.name`
    pub name: String,
}

/// What one Ingress says.
#[derive(Clone, Debug, PartialEq)]
pub struct Translation {
    /// One per hostname.
    pub claims: BTreeMap<HostPattern, Claim>,
    /// Which certificates it names for which SNI.
    pub tls: Vec<(HostPattern, TlsClaim)>,
    /// Findings about the Ingress alone.
    pub diagnostics: Vec<Diagnostic>,
    /// The Services that were looked up, found or not.
    pub reads: BTreeSet<ServiceName>,
}

/// The class that an Ingress names itself. Empty names count as none.
#[must_use]
pub fn class_of(ingress: &Ingress) -> Option<&str> {
    let legacy = ingress.metadata.annotations.as_ref().and_then(|all| all.get(LEGACY_CLASS));
    let named = ingress.spec.as_ref().and_then(|spec| spec.ingress_class_name.as_ref());
    legacy
        .filter(|name| !name.is_empty())
        .or(named)
        .map(String::as_str)
        .filter(|name| !name.is_empty())
}

/// Who an object is when it claims something.
#[must_use]
pub fn claimant_of(kind: Kind, meta: &ObjectMeta) -> Claimant {
    let namespace = meta.namespace.as_deref().unwrap_or_default();
    let name = meta.name.as_deref().unwrap_or_default();
    Claimant {
        created: meta.creation_timestamp.as_ref().map_or(i64::MAX, |time| time.0.as_second()),
        object: ObjectKey::new(kind, namespace, name),
        generation: meta.generation.unwrap_or_default(),
    }
}

/// Translates `ingress`; Services are looked up in `services`.
#[must_use]
pub fn translate_ingress(ingress: &Ingress, services: &Shelf<Service>) -> Translation {
    let claimant = claimant_of(Kind::Ingress, &ingress.metadata);
    let mut diagnostics = Vec::new();
    let empty = BTreeMap::new();
    let all = ingress.metadata.annotations.as_ref().unwrap_or(&empty);
    let annotations = Annotations::parse(&claimant.object, all, &mut diagnostics);
    let policies = policies(&claimant.object, &annotations);
    let mut draft = Draft {
        services,
        claimant,
        annotations,
        policies,
        claims: BTreeMap::new(),
        diagnostics,
        reads: BTreeSet::new(),
        next_rule: 0,
    };
    let tls = ingress.spec.as_ref().map(|spec| draft.read_spec(spec)).unwrap_or_default();
    let Draft { claims, mut diagnostics, reads, .. } = draft;
    diagnostics.sort();
    diagnostics.dedup();
    Translation { claims, tls: tls.claims, diagnostics, reads }
}

/// What requests for the rules of an Ingress must pass.
fn policies(object: &ObjectKey, annotations: &Annotations) -> Vec<Arc<Policy>> {
    let name = |what: &str| format!("{}/{}/{what}", object.namespace, object.name);
    let closed = annotations.fail_closed.map(|reason| Policy {
        name: name("fail-closed"),
        decision: Decision::FailClosed { reason },
    });
    let ranges = annotations.source_ranges.clone().map(|ranges| Policy {
        name: name("source-ranges"),
        decision: Decision::SourceRanges { allow: ranges.allow, deny: ranges.deny },
    });
    closed.into_iter().chain(ranges).map(Arc::new).collect()
}

struct Draft<'a> {
    services: &'a Shelf<Service>,
    claimant: Claimant,
    annotations: Annotations,
    policies: Vec<Arc<Policy>>,
    claims: BTreeMap<HostPattern, Claim>,
    diagnostics: Vec<Diagnostic>,
    reads: BTreeSet<ServiceName>,
    next_rule: usize,
}

impl Draft<'_> {
    fn read_spec(&mut self, spec: &IngressSpec) -> TlsEntries {
        let rules = spec.rules.as_deref().unwrap_or_default();
        for (index, rule) in rules.iter().enumerate() {
            let field = format!("spec.rules[{index}]");
            match HostPattern::parse_ingress(rule.host.as_deref().unwrap_or_default()) {
                Err(error) => {
                    self.tell(format!("{field}.host"), Reason::InvalidHostname, error.to_string());
                }
                Ok(host) => {
                    self.claim(&host);
                    let paths = rule.http.iter().flat_map(|http| &http.paths);
                    for (position, path) in paths.enumerate() {
                        self.read_path(&host, path, format!("{field}.http.paths[{position}]"));
                    }
                }
            }
        }
        if let Some(backend) = &spec.default_backend {
            self.read_default_backend(backend, rules.is_empty());
        }
        let tls = self.read_tls(spec);
        let in_vain = speak_for_hosts(&mut self.claims, &self.annotations.host_wide);
        for name in in_vain {
            let message = "no rule of this Ingress names a host: name one, or remove this";
            self.tell(annotation_field(name), Reason::AnnotationIgnored, message.to_owned());
        }
        tls
    }

    fn read_tls(&mut self, spec: &IngressSpec) -> TlsEntries {
        let hosts: Vec<HostPattern> = self.claims.keys().cloned().collect();
        let entries = spec.tls.as_deref().unwrap_or_default();
        let mut tls = TlsEntries::parse(entries, &hosts, &self.claimant, &mut self.diagnostics);
        tls.cover_aliases(&hosts, &self.annotations.host_wide.aliases);
        for host in tls.hosts.iter().chain(&hosts) {
            if tls.cover(host) {
                let owns_host = hosts.contains(host) && self.annotations.canary.is_none();
                let claim = self.claim(host);
                claim.owns_host = owns_host;
                claim.settings.tls = true;
            }
        }
        tls
    }

    fn read_path(&mut self, host: &HostPattern, said: &HTTPIngressPath, field: String) {
        let number = self.next_rule;
        self.next_rule += 1;
        let name = format!("Ingress/{}/{}/{number}", self.namespace(), self.claimant.object.name);
        let text = said.path.as_deref().unwrap_or_default();
        let said =
            Said { host, text, kind: &said.path_type, backend: &said.backend, fallback: false };
        self.add(&said, name, field);
    }

    /// The last `/` rule of each host of its Ingress, and of every host if it names none.
    fn read_default_backend(&mut self, backend: &IngressBackend, without_rules: bool) {
        let hosts: Vec<HostPattern> = if without_rules {
            vec![HostPattern::Any]
        } else {
            self.claims.keys().cloned().collect()
        };
        for host in hosts {
            let name =
                format!("Ingress/{}/{}/default", self.namespace(), self.claimant.object.name);
            let said = Said { host: &host, text: "/", kind: "Prefix", backend, fallback: true };
            self.add(&said, name, "spec.defaultBackend".to_owned());
        }
    }

    fn add(&mut self, said: &Said<'_>, name: String, field: String) {
        let mut path = match parse_path(said.text, said.kind, &self.annotations) {
            Ok(path) => path,
            Err((reason, message)) => {
                self.claim(said.host);
                return self.tell(field, reason, message);
            }
        };
        if path.lost_groups {
            let message = "rewrite-target names a group that this path does not have: it stands for nothing; \
                           add the group to the path, or take it out of the target";
            self.tell(field.clone(), Reason::RewriteGroupMissing, message.to_owned());
        }
        let at = Match::path(path.at.clone());
        if let Some(redirect) = self.annotations.redirect.clone() {
            path.tls_redirect = TlsRedirect::Never;
            path.rewrite = None;
            return self.add_rule(said, name, field, (at, path), Action::Redirect(redirect));
        }
        let backend = self.backend(said.backend, &field);
        if let Some(canary) = &self.annotations.canary {
            if let Some(alternative) = canary.alternative(backend) {
                let claim = AlternativeClaim { field, at, alternative };
                self.claim(said.host).alternatives.push(claim);
            }
            return;
        }
        let forward = Forward { backends: vec![backend], alternatives: Vec::new() };
        self.add_rule(said, name, field, (at, path), Action::Forward(forward));
    }

    fn add_rule(
        &mut self,
        said: &Said<'_>,
        name: String,
        field: String,
        (at, path): (Match, Path),
        action: Action,
    ) {
        let cors = self.annotations.cors.clone().map(Filter::Cors);
        let host = self.annotations.host.clone();
        let host =
            (!host.is_empty()).then_some(Filter::Rewrite(Rewrite { host, ..Rewrite::default() }));
        let errors = match &action {
            Action::Forward(_) => self.errors(said.backend),
            Action::Redirect(_) | Action::Direct(_) => None,
        };
        let rule = Rule {
            name,
            filters: cors.into_iter().chain(path.rewrite).chain(host).collect(),
            policies: self.policies.clone(),
            action,
            timeouts: self.annotations.timeouts,
            retry: self.annotations.retry.clone(),
            errors,
            body_bytes: self.annotations.body_bytes,
        };
        let claim = self.claim(said.host);
        claim.settings.regex |= path.regex_mode;
        claim.rules.push(RuleClaim {
            field,
            matches: vec![at],
            rule,
            tls_redirect: path.tls_redirect,
            regex_form: path.form,
            fallback: said.fallback,
        });
    }

    fn backend(&mut self, said: &IngressBackend, field: &str) -> WeightedBackend {
        let namespace = self.namespace().to_owned();
        let (services, reads) = (self.services, &mut self.reads);
        let resolved = resolve_backend(&namespace, said, &self.annotations.speech, |name| {
            reads.insert(ServiceName { namespace: namespace.clone(), name: name.to_owned() });
            services.get(&namespace, name).map(|service| &**service)
        });
        alone(match resolved {
            Ok(backend) => gatefleet_ir::Backend::Service(backend),
            Err(broken) => {
                // An unserved protocol was told with its annotation.
                if broken.reason != Reason::FeatureNotServed {
                    let field = if field == "spec.defaultBackend" {
                        field.to_owned()
                    } else {
                        format!("{field}.backend")
                    };
                    self.tell(field, broken.reason, broken.message.clone());
                }
                broken.backend()
            }
        })
    }

    fn errors(&mut self, backend: &IngressBackend) -> Option<ErrorService> {
        let said = self.annotations.errors.as_ref()?;
        let Claimant { object, .. } = &self.claimant;
        let name = ServiceName { namespace: object.namespace.clone(), name: said.service.clone() };
        let service = self.services.get(&name.namespace, &name.name).map(|service| &**service);
        self.reads.insert(name);
        let resolved = resolve_errors(said, (&object.namespace, &object.name), service, backend);
        resolved
            .map_err(|(reason, message)| self.tell(Errors::FIELD.to_owned(), reason, message))
            .ok()
    }

    fn claim(&mut self, host: &HostPattern) -> &mut Claim {
        let (claimant, canary) = (&self.claimant, self.annotations.canary.is_some());
        self.claims.entry(host.clone()).or_insert_with(|| Claim {
            claimant: claimant.clone(),
            language: Language::Ingress,
            owns_host: !canary,
            settings: HostSettings::default(),
            rules: Vec::new(),
            alternatives: Vec::new(),
            root: None,
            side_hosts: Vec::new(),
        })
    }

    fn tell(&mut self, field: String, reason: Reason, message: String) {
        self.diagnostics.push(Diagnostic::new(&self.claimant.object, field, reason, message));
    }

    fn namespace(&self) -> &str {
        &self.claimant.object.namespace
    }
}

/// One path with its backend.
struct Said<'a> {
    host: &'a HostPattern,
    text: &'a str,
    kind: &'a str,
    backend: &'a IngressBackend,
    fallback: bool,
}
