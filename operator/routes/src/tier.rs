//! Memory of one tier.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use gatefleet_ir::{Addresses, Diagnostic, Scope};
use gatefleet_lower::{certificate_name, server_name_name, virtual_host_name};
use gatefleet_names::{HostPattern, ObjectKey};
use gatefleet_snapshot::v1::Resource;
use gatefleet_sources::Translation;
use gatefleet_state::ClusterState;

use crate::{
    Origin, TierResource, TierRoutes,
    certificates::Certificates,
    endpoints::EndpointsMemory,
    host::{HostMemory, NameMemory, origins},
    settings::Settings,
    side_hosts::SideHostMemory,
};

/// What is remembered of one tier.
#[derive(Debug, Default)]
pub(crate) struct TierMemory {
    hosts: BTreeMap<HostPattern, HostMemory>,
    server_names: BTreeMap<HostPattern, NameMemory>,
    settings: Settings,
    side_hosts: SideHostMemory,
    dirty_hosts: BTreeSet<HostPattern>,
    dirty_names: BTreeSet<HostPattern>,
    dirty: bool,
    routes: Arc<TierRoutes>,
}

impl TierMemory {
    pub(crate) fn attach(&mut self, object: &ObjectKey, translation: &Arc<Translation>) {
        for host in translation.claims.keys() {
            let memory = self.hosts.entry(host.clone()).or_default();
            memory.speakers.insert(object.clone(), Arc::clone(translation));
            self.dirty_hosts.insert(host.clone());
        }
        for (pattern, _) in &translation.tls {
            let memory = self.server_names.entry(pattern.clone()).or_default();
            memory.speakers.insert(object.clone(), Arc::clone(translation));
            self.dirty_names.insert(pattern.clone());
        }
    }

    pub(crate) fn detach(&mut self, object: &ObjectKey, translation: &Translation) {
        for host in translation.claims.keys() {
            if let Some(memory) = self.hosts.get_mut(host) {
                memory.speakers.remove(object);
            }
            self.dirty_hosts.insert(host.clone());
        }
        for (pattern, _) in &translation.tls {
            if let Some(memory) = self.server_names.get_mut(pattern) {
                memory.speakers.remove(object);
            }
            self.dirty_names.insert(pattern.clone());
        }
    }

    pub(crate) fn set_settings(&mut self, settings: Settings) {
        if self.settings != settings {
            self.settings = settings;
            self.dirty = true;
        }
    }

    /// The certificate for `pattern` may be another one now.
    pub(crate) fn certificate_changed(&mut self, pattern: &HostPattern) {
        self.dirty_names.insert(pattern.clone());
    }

    /// The resource of this name is different now.
    pub(crate) fn endpoints_changed(&mut self, name: &str) {
        self.dirty |= self.routes.resources.contains_key(name);
    }

    pub(crate) fn routes(&self) -> &Arc<TierRoutes> {
        &self.routes
    }

    /// Merges what is dirty; answers everybody who speaks of it.
    pub(crate) fn remerge(&mut self, certificates: &Certificates) -> BTreeSet<ObjectKey> {
        let mut touched = BTreeSet::new();
        let hosts_changed = !self.dirty_hosts.is_empty();
        for host in std::mem::take(&mut self.dirty_hosts) {
            self.dirty = true;
            let Some(memory) = self.hosts.get_mut(&host) else { continue };
            touched.extend(memory.speakers.keys().cloned());
            if memory.speakers.is_empty() {
                self.hosts.remove(&host);
            } else {
                memory.remerge(&host);
            }
        }
        if hosts_changed {
            touched.extend(self.side_hosts.settle(&self.hosts));
        }
        for pattern in std::mem::take(&mut self.dirty_names) {
            self.dirty = true;
            let Some(memory) = self.server_names.get_mut(&pattern) else { continue };
            touched.extend(memory.speakers.keys().cloned());
            if memory.speakers.is_empty() {
                self.server_names.remove(&pattern);
            } else {
                memory.remerge(&pattern, certificates);
            }
        }
        touched
    }

    /// Puts the resources together, if something is different.
    pub(crate) fn assemble(
        &mut self,
        certificates: &Certificates,
        endpoints: &mut EndpointsMemory,
        state: &ClusterState,
    ) -> bool {
        if !std::mem::take(&mut self.dirty) {
            return false;
        }
        let mut assembly = Assembly { old: &self.routes, resources: self.settings.clone() };
        for host in self.hosts.values() {
            assembly.add(host.resource.as_ref());
            for backend in host.backends.values() {
                assembly.share(&backend.resource, &backend.origins);
                if backend.said.addresses == Addresses::Slices {
                    assembly.add(Some(&endpoints.get(&backend.said, state)));
                }
            }
            for policy in host.policies.values() {
                assembly.share(&policy.resource, &policy.origins);
            }
        }
        for side_host in self.side_hosts.resources() {
            assembly.add(Some(side_host));
        }
        for name in self.server_names.values() {
            assembly.add(name.resource.as_ref());
            let server_name = name.merged.server_name.iter();
            for named in server_name.flat_map(|one| one.certificates.values()) {
                if let Some(resource) = certificates.resource(&named.certificate) {
                    assembly.share(resource, &origins(&named.claimants));
                }
            }
        }
        let resources = assembly.resources;
        self.routes = Arc::new(TierRoutes { resources });
        true
    }

    /// What came of `object` here: the names of its resources, whether something of it is served, and findings.
    pub(crate) fn report(&self, object: &ObjectKey, translation: &Translation) -> Report {
        let scope = Scope::tier();
        let mut report = Report::default();
        for host in translation.claims.keys() {
            let Some(memory) = self.hosts.get(host) else { continue };
            report.serves |= memory.served.contains(object);
            report.tell(&memory.diagnostics, object);
            if memory.resource.is_some() {
                report.resources.insert(virtual_host_name(&scope, host));
            }
            report.resources.extend(memory.named_by(object).cloned());
        }
        report.resources.extend(self.side_hosts.named_by(object).cloned());
        report.tell(self.side_hosts.diagnostics(), object);
        for (pattern, _) in &translation.tls {
            let Some(memory) = self.server_names.get(pattern) else { continue };
            report.tell(&memory.merged.diagnostics, object);
            let Some(server_name) = &memory.merged.server_name else { continue };
            for named in server_name.certificates.values() {
                if named.claimants.iter().any(|claimant| claimant.object == *object) {
                    report.serves = true;
                    report.resources.insert(server_name_name(&scope, pattern));
                    report.resources.insert(certificate_name(&named.certificate));
                }
            }
        }
        report
    }
}

/// What came of one object in one tier.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) resources: BTreeSet<String>,
    pub(crate) serves: bool,
    pub(crate) diagnostics: Vec<Diagnostic>,
}

impl Report {
    fn tell(&mut self, diagnostics: &[Diagnostic], object: &ObjectKey) {
        let own = diagnostics.iter().filter(|diagnostic| diagnostic.object == *object);
        self.diagnostics.extend(own.cloned());
    }
}

/// The resources of a tier, being put together. What is as before keeps its address, so that readers compare fast.
struct Assembly<'a> {
    old: &'a TierRoutes,
    resources: BTreeMap<String, Arc<TierResource>>,
}

impl Assembly<'_> {
    fn add(&mut self, resource: Option<&Arc<TierResource>>) {
        if let Some(resource) = resource {
            self.resources.insert(resource.resource.name.clone(), Arc::clone(resource));
        }
    }

    /// Adds what several may share: their origins unite.
    fn share(&mut self, resource: &Arc<Resource>, origins: &BTreeSet<Origin>) {
        let name = resource.name.clone();
        let resource = Arc::clone(resource);
        let mut origins = origins.clone();
        if let Some(present) = self.resources.get(&name) {
            origins.extend(present.origins.iter().cloned());
        }
        let new = TierResource { resource, origins };
        let old = self.old.resources.get(&name).filter(|old| ***old == new);
        let kept = old.map_or_else(|| Arc::new(new), Arc::clone);
        self.resources.insert(name, kept);
    }
}
