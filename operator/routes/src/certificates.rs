//! Memory of the certificates that routes name.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use gatefleet_ir::{CertificateRef, Diagnostic, KeyKind, Reason, TlsClaim};
use gatefleet_lower::lower_certificate;
use gatefleet_names::HostPattern;
use gatefleet_snapshot::v1::Resource;
use gatefleet_sources::{Certificate, CertificateProblem, read_certificate};
use gatefleet_state::{ClusterState, Shelf};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;

use crate::{SecretName, ServedCertificate};

/// One Secret, as it was read.
#[derive(Debug)]
struct Read {
    certificate: Option<(Certificate, Arc<Resource>)>,
    /// It may be served nevertheless.
    problem: Option<CertificateProblem>,
    next_change: Option<Timestamp>,
}

impl Read {
    fn new(name: &SecretName, secrets: &Shelf<Secret>, now: Timestamp) -> Self {
        let secret = secrets.get(&name.namespace, &name.name);
        match read_certificate(secret.map(|secret| &**secret)) {
            Err(problem) => Self { certificate: None, problem: Some(problem), next_change: None },
            Ok(certificate) => {
                let reference = reference(name);
                let resource =
                    lower_certificate(&reference, &certificate.chain, &certificate.private_key);
                Self {
                    problem: certificate.problem_at(now),
                    next_change: certificate.next_change(now),
                    certificate: Some((certificate, Arc::new(resource))),
                }
            }
        }
    }

    fn is_same(&self, other: &Self) -> bool {
        self.problem == other.problem && self.certificate == other.certificate
    }
}

fn reference(name: &SecretName) -> CertificateRef {
    CertificateRef { namespace: name.namespace.clone(), name: name.name.clone() }
}

/// The name of the Secret that holds `certificate`.
pub(crate) fn secret_name(certificate: &CertificateRef) -> SecretName {
    let CertificateRef { namespace, name } = certificate.clone();
    SecretName { namespace, name }
}

/// What was read from Secrets.
#[derive(Debug, Default)]
pub(crate) struct Certificates {
    read: BTreeMap<SecretName, Read>,
}

impl Certificates {
    /// Reads what is needed and new, changed or due; answers what is different now, and how many were read.
    pub(crate) fn refresh(
        &mut self,
        needed: &BTreeSet<SecretName>,
        changed: &BTreeSet<SecretName>,
        state: &ClusterState,
        now: Timestamp,
    ) -> (BTreeSet<SecretName>, u64) {
        self.read.retain(|name, _| needed.contains(name));
        let (mut different, mut count) = (BTreeSet::new(), 0);
        for name in needed {
            let old = self.read.get(name);
            let due = old.is_some_and(|old| old.next_change.is_some_and(|moment| moment <= now));
            if old.is_some() && !due && !changed.contains(name) {
                continue;
            }
            let new = Read::new(name, &state.secrets, now);
            count += 1;
            if !old.is_some_and(|old| old.is_same(&new)) {
                different.insert(name.clone());
            }
            self.read.insert(name.clone(), new);
        }
        (different, count)
    }

    /// `None`: it cannot be served.
    pub(crate) fn key_kind(&self, certificate: &CertificateRef) -> Option<KeyKind> {
        let read = self.read.get(&secret_name(certificate))?;
        read.certificate.as_ref().map(|(certificate, _)| certificate.key_kind)
    }

    pub(crate) fn resource(&self, certificate: &CertificateRef) -> Option<&Arc<Resource>> {
        let read = self.read.get(&secret_name(certificate))?;
        read.certificate.as_ref().map(|(_, resource)| resource)
    }

    /// What is wrong with a Secret, whoever names it.
    pub(crate) fn fault(&self, certificate: &CertificateRef) -> Option<(Reason, String)> {
        let CertificateRef { namespace, name } = certificate;
        let problem = self.read.get(&secret_name(certificate))?.problem.as_ref()?;
        Some((problem.reason(), format!("Secret {namespace}/{name} {problem}")))
    }

    /// Those that `is_served`, the one that ends first before the others.
    pub(crate) fn served(&self, is_served: impl Fn(&str) -> bool) -> Vec<ServedCertificate> {
        let readable = self.read.iter().filter_map(|(secret, read)| {
            let (certificate, resource) = read.certificate.as_ref()?;
            let not_after = certificate.not_after;
            is_served(&resource.name)
                .then(|| ServedCertificate { not_after, secret: secret.clone() })
        });
        let mut served: Vec<ServedCertificate> = readable.collect();
        served.sort();
        served
    }

    /// What is wrong with the certificate that `claim` names for `pattern`.
    pub(crate) fn problem(&self, pattern: &HostPattern, claim: &TlsClaim) -> Option<Diagnostic> {
        let tell = |reason, message: String| {
            Diagnostic::new(claim.object(), format!("{}.secretName", claim.field), reason, message)
        };
        if let Some((reason, message)) = self.fault(&claim.certificate) {
            return Some(tell(reason, message));
        }
        let CertificateRef { namespace, name } = &claim.certificate;
        let read = self.read.get(&secret_name(&claim.certificate))?;
        let (certificate, _) = read.certificate.as_ref()?;
        (*pattern != HostPattern::Any && !certificate.covers(pattern)).then(|| {
            tell(
                Reason::CertificateNameMismatch,
                format!(
                    "the certificate in Secret {namespace}/{name} is not for {pattern}: issue it for this name \
                     (it is served, and clients refuse it)"
                ),
            )
        })
    }

    /// The next moment at which something is due.
    pub(crate) fn next_change(&self) -> Option<Timestamp> {
        self.read.values().filter_map(|read| read.next_change).min()
    }
}
