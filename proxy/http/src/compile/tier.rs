//! The tier's settings with defaults written out.

use gatefleet_snapshot::v1;

use super::{CompileError, millis, policy::compile_ranges};
use crate::{
    h1::MAX_FIELDS,
    settings::{Limits, Settings, Timeouts},
};

/// Largest head that may be allowed.
const HEADER_BYTES: u32 = 256 * 1024;

/// Compiles the HTTP part of `tier`.
///
/// # Errors
/// When a CIDR cannot be read or a limit is out of range.
pub fn compile_tier(tier: &v1::Tier) -> Result<Settings, CompileError> {
    let client_ip = tier.client_ip.clone().unwrap_or_default();
    let field = "client_ip.trusted_proxies";
    Ok(Settings {
        limits: compile_limits(&tier.limits.unwrap_or_default())?,
        timeouts: compile_timeouts(&tier.timeouts.unwrap_or_default())?,
        trusted_proxies: compile_ranges(&client_ip.trusted_proxies, field)?,
        hops: client_ip.hops,
    })
}

fn compile_limits(source: &v1::Limits) -> Result<Limits, CompileError> {
    let default = Limits::default();
    let in_range = |field: &str, value: u32, default: usize, least: u32, most: u32| match value {
        0 => Ok(default),
        value if (least..=most).contains(&value) => Ok(usize::try_from(value).unwrap_or(default)),
        value => {
            let remedy = format!("use {least} to {most}");
            Err(CompileError::new(field, format!("{value} is out of range"), &remedy))
        }
    };
    let most_fields = u32::try_from(MAX_FIELDS).unwrap_or(u32::MAX);
    Ok(Limits {
        header_bytes: in_range(
            "limits.max_header_bytes",
            source.max_header_bytes,
            default.header_bytes,
            1024,
            HEADER_BYTES,
        )?,
        header_count: in_range(
            "limits.max_header_count",
            source.max_header_count,
            default.header_count,
            8,
            most_fields,
        )?,
        request_body_bytes: (source.max_request_body_bytes > 0)
            .then_some(source.max_request_body_bytes),
        requests_per_connection: (source.max_requests_per_connection > 0)
            .then_some(source.max_requests_per_connection),
    })
}

fn compile_timeouts(source: &v1::Timeouts) -> Result<Timeouts, CompileError> {
    for (field, value) in [
        ("timeouts.upstream_read_ms", source.upstream_read_ms),
        ("timeouts.upstream_send_ms", source.upstream_send_ms),
    ] {
        if value > 0 {
            return Err(CompileError::new(field, "belongs to a rule", "set idle_ms"));
        }
    }
    let default = Timeouts::default();
    Ok(Timeouts {
        request_head: millis(source.request_head_ms).unwrap_or(default.request_head),
        idle: millis(source.idle_ms).unwrap_or(default.idle),
        keep_alive: millis(source.keep_alive_ms).unwrap_or(default.keep_alive),
        request: millis(source.request_ms),
        upstream_connect: millis(source.upstream_connect_ms).unwrap_or(default.upstream_connect),
    })
}
