//! The proxies of a tier.
//!
//! The pod template holds nothing that changes with routes, listeners or certificates: only what cannot take
//! effect in a running pod rolls one.

use gatefleet_crds::{Scale, TierSpec};
use k8s_openapi::{
    api::{
        apps::v1::{Deployment, DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment},
        core::v1::{
            Capabilities, ConfigMapVolumeSource, Container, ContainerPort, EmptyDirVolumeSource,
            EnvVar, EnvVarSource, HTTPGetAction, ObjectFieldSelector, PodSecurityContext, PodSpec,
            PodTemplateSpec, Probe, SeccompProfile, SecretVolumeSource, SecurityContext, Sysctl,
            Volume, VolumeMount,
        },
    },
    apimachinery::pkg::{
        api::resource::Quantity,
        apis::meta::v1::{LabelSelector, ObjectMeta},
        util::intstr::IntOrString,
    },
};

use super::{TierScope, patch::patched, scheduling::scheduled};
use crate::{
    names::{labels, selector_labels},
    ports::TIER_PORTS,
};

/// `/healthz`, `/readyz` and `/metrics` of a proxy, on the pod's address.
pub const STATUS_PORT: u16 = 9701;
/// Name of the container.
pub(super) const CONTAINER: &str = "proxy";
const BOOTSTRAP_DIR: &str = "/etc/gatefleet";
/// Where the tier's identity is mounted.
pub(super) const CHANNEL_DIR: &str = "/etc/gatefleet-channel";
/// Where the last good configuration is kept, in memory.
pub(super) const STATE_DIR: &str = "/var/lib/gatefleet";
/// Neither root nor anybody else's.
const USER: i64 = 65_532;
/// What the proxy may take after `drain.delay` and `drain.timeout` to end.
const EXIT_SECONDS: i64 = 5;
/// Without a memory limit.
const DEFAULT_STATE_BYTES: u64 = 64 << 20;

/// The Deployment of the tier's proxies.
pub(super) fn desired_deployment(scope: &TierScope<'_>, image: &str) -> Deployment {
    let selector = LabelSelector {
        match_labels: Some(selector_labels(scope.fleet, scope.tier)),
        ..LabelSelector::default()
    };
    Deployment {
        metadata: scope.metadata(&scope.names.base),
        spec: Some(DeploymentSpec {
            replicas: match scope.spec.scale() {
                Scale::Fixed(replicas) => Some(i32::from(replicas)),
                Scale::Automatic(_) => None,
            },
            revision_history_limit: Some(3),
            selector,
            // A new proxy is ready before an old one goes: nothing is lost.
            strategy: Some(DeploymentStrategy {
                type_: Some("RollingUpdate".to_owned()),
                rolling_update: Some(RollingUpdateDeployment {
                    max_surge: Some(IntOrString::String("25%".to_owned())),
                    max_unavailable: Some(IntOrString::Int(0)),
                }),
            }),
            template: template(scope, image),
            ..DeploymentSpec::default()
        }),
        status: None,
    }
}

/// With the user's patch, if there is one that can be applied: a tier with another one is not built.
fn template(scope: &TierScope<'_>, image: &str) -> PodTemplateSpec {
    let template = unpatched_template(scope, image);
    let patch = scope.spec.pod.patch.as_ref();
    patch.and_then(|patch| patched(&template, &patch.0).ok()).unwrap_or(template)
}

/// As the operator would have it.
pub(super) fn unpatched_template(scope: &TierScope<'_>, image: &str) -> PodTemplateSpec {
    let selector = LabelSelector {
        match_labels: Some(selector_labels(scope.fleet, scope.tier)),
        ..LabelSelector::default()
    };
    PodTemplateSpec {
        metadata: Some(pod_metadata(scope)),
        spec: Some(scheduled(pod(scope, image), scope.spec, &selector)),
    }
}

fn pod_metadata(scope: &TierScope<'_>) -> ObjectMeta {
    let mut all_labels = scope.spec.pod.labels.clone();
    all_labels.extend(labels(scope.fleet, scope.tier));
    let annotations = scope.spec.pod.annotations.clone();
    ObjectMeta {
        labels: Some(all_labels),
        annotations: (!annotations.is_empty()).then_some(annotations),
        ..ObjectMeta::default()
    }
}

fn pod(scope: &TierScope<'_>, image: &str) -> PodSpec {
    PodSpec {
        service_account_name: Some(scope.names.base.clone()),
        automount_service_account_token: Some(false),
        enable_service_links: Some(false),
        termination_grace_period_seconds: Some(grace_seconds(scope.spec)),
        security_context: Some(PodSecurityContext {
            run_as_non_root: Some(true),
            run_as_user: Some(USER),
            run_as_group: Some(USER),
            fs_group: Some(USER),
            seccomp_profile: Some(SeccompProfile {
                type_: "RuntimeDefault".to_owned(),
                localhost_profile: None,
            }),
            // Constant and safe: outgoing connections never take a port that a listener may get.
            sysctls: Some(vec![Sysctl {
                name: "net.ipv4.ip_local_reserved_ports".to_owned(),
                value: format!("{}-{}", TIER_PORTS.start(), TIER_PORTS.end()),
            }]),
            ..PodSecurityContext::default()
        }),
        containers: vec![container(scope, image)],
        volumes: Some(volumes(scope)),
        ..PodSpec::default()
    }
}

fn container(scope: &TierScope<'_>, image: &str) -> Container {
    let resources = scope.spec.effective_resources().to_api();
    let mount = |name: &str, path: &str, read_only: bool| VolumeMount {
        name: name.to_owned(),
        mount_path: path.to_owned(),
        read_only: read_only.then_some(true),
        ..VolumeMount::default()
    };
    Container {
        name: CONTAINER.to_owned(),
        image: Some(image.to_owned()),
        args: Some(vec![
            format!("--bootstrap={BOOTSTRAP_DIR}/{}", super::BOOTSTRAP_KEY),
            format!("--threads={}", threads(scope.spec)),
        ]),
        env: Some(pod_fields()),
        // Listeners are not declared here: adding one must not roll the pods.
        ports: Some(vec![ContainerPort {
            name: Some("status".to_owned()),
            container_port: i32::from(STATUS_PORT),
            protocol: Some("TCP".to_owned()),
            ..ContainerPort::default()
        }]),
        resources: Some(resources),
        security_context: Some(SecurityContext {
            allow_privilege_escalation: Some(false),
            read_only_root_filesystem: Some(true),
            capabilities: Some(Capabilities { add: None, drop: Some(vec!["ALL".to_owned()]) }),
            ..SecurityContext::default()
        }),
        startup_probe: Some(probe("/healthz", 1, 120)),
        liveness_probe: Some(probe("/healthz", 10, 6)),
        readiness_probe: Some(probe("/readyz", 1, 2)),
        volume_mounts: Some(vec![
            mount("bootstrap", BOOTSTRAP_DIR, true),
            mount("channel", CHANNEL_DIR, true),
            mount("state", STATE_DIR, false),
        ]),
        ..Container::default()
    }
}

fn pod_fields() -> Vec<EnvVar> {
    [
        ("POD_NAME", "metadata.name"),
        ("POD_UID", "metadata.uid"),
        ("POD_NAMESPACE", "metadata.namespace"),
        ("POD_IP", "status.podIP"),
    ]
    .map(|(name, field)| EnvVar {
        name: name.to_owned(),
        value: None,
        value_from: Some(EnvVarSource {
            field_ref: Some(ObjectFieldSelector {
                api_version: Some("v1".to_owned()),
                field_path: field.to_owned(),
            }),
            ..EnvVarSource::default()
        }),
    })
    .into()
}

fn probe(path: &str, period_seconds: i32, failure_threshold: i32) -> Probe {
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some(path.to_owned()),
            port: IntOrString::Int(i32::from(STATUS_PORT)),
            ..HTTPGetAction::default()
        }),
        period_seconds: Some(period_seconds),
        failure_threshold: Some(failure_threshold),
        timeout_seconds: Some(2),
        ..Probe::default()
    }
}

fn volumes(scope: &TierScope<'_>) -> Vec<Volume> {
    let volume = |name: &str| Volume { name: name.to_owned(), ..Volume::default() };
    vec![
        Volume {
            config_map: Some(ConfigMapVolumeSource {
                name: scope.names.bootstrap.clone(),
                ..ConfigMapVolumeSource::default()
            }),
            ..volume("bootstrap")
        },
        Volume {
            secret: Some(SecretVolumeSource {
                secret_name: Some(scope.names.channel.clone()),
                default_mode: Some(0o440),
                ..SecretVolumeSource::default()
            }),
            ..volume("channel")
        },
        Volume {
            // Private keys are in it, so it is memory; it counts as memory of the container, so it is bounded.
            empty_dir: Some(EmptyDirVolumeSource {
                medium: Some("Memory".to_owned()),
                size_limit: Some(Quantity(state_bytes(scope.spec).to_string())),
            }),
            ..volume("state")
        },
    ]
}

/// What the copy of the last good configuration may take: a quarter of the memory limit.
pub(super) fn state_bytes(spec: &TierSpec) -> u64 {
    let memory = spec.effective_resources().limits.memory;
    let limit = memory.as_ref().and_then(gatefleet_crds::Quantity::thousandths);
    limit.map_or(DEFAULT_STATE_BYTES, |thousandths| thousandths / 1000 / 4)
}

/// One thread per CPU of the limit, or else of the request, which a size names, too.
fn threads(spec: &TierSpec) -> u64 {
    let resources = spec.effective_resources();
    let cpu = resources.limits.cpu.unwrap_or(resources.requests.cpu);
    cpu.thousandths().map_or(2, |thousandths| thousandths.div_ceil(1000)).clamp(1, 256)
}

fn grace_seconds(spec: &TierSpec) -> i64 {
    let millis = i64::from(spec.drain.delay.millis()) + i64::from(spec.drain.timeout.millis());
    millis.unsigned_abs().div_ceil(1000).cast_signed() + EXIT_SECONDS
}
