//! The tier's settings.

use std::time::Duration;

use gatefleet_http::{Settings, compile as http};
use gatefleet_snapshot::v1;

use super::CompileError;
use crate::backend::BackendLimits;

/// What a tier says, with defaults written out.
#[derive(Debug, Clone)]
pub(crate) struct TierSpec {
    pub(crate) http: Settings,
    pub(crate) max_connections: Option<u64>,
    /// Every connection begins with a PROXY header.
    pub(crate) proxy_protocol: bool,
    pub(crate) backend: BackendLimits,
    pub(crate) upstream_idle: Duration,
    pub(crate) tls_handshake: Duration,
    pub(crate) drain: DrainSettings,
    /// `None`: no access log.
    pub(crate) access_log: Option<AccessLogFormat>,
}

/// How the process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DrainSettings {
    /// Not ready, but still accepting, with `Connection: close` on every answer. Default 10 s.
    pub delay: Duration,
    /// Longest wait for what is in flight, after the delay. Default 30 s.
    pub timeout: Duration,
}

impl Default for DrainSettings {
    fn default() -> Self {
        Self { delay: Duration::from_secs(10), timeout: Duration::from_secs(30) }
    }
}

/// Form of an access log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccessLogFormat {
    /// One JSON object a line.
    Json,
    /// Combined format with extras.
    Text,
}

impl Default for TierSpec {
    /// What is served without a `tier` resource.
    fn default() -> Self {
        Self {
            http: Settings::default(),
            max_connections: None,
            proxy_protocol: false,
            backend: BackendLimits::default(),
            upstream_idle: Duration::from_mins(1),
            tls_handshake: Duration::from_secs(10),
            drain: DrainSettings::default(),
            access_log: Some(AccessLogFormat::Json),
        }
    }
}

impl TierSpec {
    pub(super) fn parse(tier: &v1::Tier) -> Result<Self, CompileError> {
        let default = Self::default();
        let limits = tier.limits.unwrap_or_default();
        let timeouts = tier.timeouts.unwrap_or_default();
        let size = |value| usize::try_from(value).unwrap_or(usize::MAX);
        let log = tier.access_log.unwrap_or_default();
        Ok(Self {
            http: http::compile_tier(tier)?,
            max_connections: (limits.max_connections > 0).then_some(limits.max_connections),
            proxy_protocol: tier.client_ip.as_ref().is_some_and(|c| c.proxy_protocol),
            backend: BackendLimits {
                connections: size(limits.max_connections_per_backend),
                pending: size(limits.max_pending_per_backend),
            },
            upstream_idle: milliseconds(timeouts.upstream_idle_ms, default.upstream_idle),
            tls_handshake: milliseconds(timeouts.tls_handshake_ms, default.tls_handshake),
            drain: tier.drain.map_or(default.drain, |drain| DrainSettings {
                delay: Duration::from_millis(drain.delay_ms.into()),
                timeout: Duration::from_millis(drain.timeout_ms.into()),
            }),
            access_log: match (log.disabled, log.format()) {
                (true, _) => None,
                (false, v1::access_log::Format::Json) => Some(AccessLogFormat::Json),
                (false, v1::access_log::Format::Text) => Some(AccessLogFormat::Text),
            },
        })
    }
}

fn milliseconds(value: u32, default: Duration) -> Duration {
    if value == 0 { default } else { Duration::from_millis(value.into()) }
}
