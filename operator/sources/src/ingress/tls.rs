//! The `tls` entries of an Ingress.

use gatefleet_ir::{CertificateRef, Claimant, Diagnostic, Reason, TlsClaim};
use gatefleet_names::HostPattern;
use k8s_openapi::api::networking::v1::IngressTLS;

/// Hostnames with TLS, and certificates for them.
#[derive(Default)]
pub(super) struct TlsEntries {
    /// Every hostname of every entry, whether its certificate is usable or not.
    pub(super) hosts: Vec<HostPattern>,
    pub(super) claims: Vec<(HostPattern, TlsClaim)>,
}

impl TlsEntries {
    /// Reads `entries`. One without hosts is for all of `rule_hosts`.
    pub(super) fn parse(
        entries: &[IngressTLS],
        rule_hosts: &[HostPattern],
        claimant: &Claimant,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Self {
        let mut parsed = Self::default();
        for (index, entry) in entries.iter().enumerate() {
            let hosts = match entry.hosts.as_deref() {
                None | Some([]) => rule_hosts.to_vec(),
                Some(names) => parse_hosts(names, index, claimant, diagnostics),
            };
            for host in hosts {
                parsed.add(host, index, entry, claimant);
            }
        }
        parsed
    }

    /// Whether `host` has TLS by one of the entries.
    pub(super) fn cover(&self, host: &HostPattern) -> bool {
        self.hosts.iter().any(|own| own.covers(host))
    }

    /// As in nginx, an alias that no entry names has the certificate of the host that it belongs to.
    pub(super) fn cover_aliases(&mut self, hosts: &[HostPattern], aliases: &[HostPattern]) {
        let of_hosts = self.claims.iter().find(|(host, _)| hosts.contains(host));
        let Some((_, claim)) = of_hosts.cloned() else { return };
        for alias in aliases.iter().filter(|alias| !hosts.contains(alias)) {
            if !self.cover(alias) {
                self.claims.push((alias.clone(), claim.clone()));
            }
        }
    }

    fn add(&mut self, host: HostPattern, index: usize, entry: &IngressTLS, claimant: &Claimant) {
        let secret = entry.secret_name.as_deref().filter(|name| !name.is_empty());
        if let Some(name) = secret {
            let namespace = claimant.object.namespace.clone();
            let certificate = CertificateRef { namespace, name: name.to_owned() };
            let field = format!("spec.tls[{index}]");
            let claim = TlsClaim { claimant: claimant.clone(), field, certificate };
            self.claims.push((host.clone(), claim));
        }
        if !self.hosts.contains(&host) {
            self.hosts.push(host);
        }
    }
}

fn parse_hosts(
    names: &[String],
    index: usize,
    claimant: &Claimant,
    diagnostics: &mut Vec<Diagnostic>,
) -> Vec<HostPattern> {
    let mut hosts = Vec::new();
    for (position, name) in names.iter().enumerate() {
        match HostPattern::parse_ingress(name) {
            Ok(host) => hosts.push(host),
            Err(error) => diagnostics.push(Diagnostic::new(
                &claimant.object,
                format!("spec.tls[{index}].hosts[{position}]"),
                Reason::InvalidHostname,
                error.to_string(),
            )),
        }
    }
    hosts
}
