//! GatewayConfigs as text.

use std::fmt::Write;

use gatefleet_crds::{
    GatewayConfig, GatewayConfigStatus, ListenerStatus, ServiceType, TierSpec, TierStatus,
};

const NOTHING: &str =
    "no GatewayConfig yet: kubectl apply one (examples/quickstart/ has one that works)\n";

/// One row per tier.
pub(crate) fn overview(fleets: &[GatewayConfig]) -> String {
    if fleets.is_empty() {
        return NOTHING.to_owned();
    }
    let mut rows =
        vec![["FLEET", "PHASE", "READY", "TIER", "PROXIES", "ADDRESS"].map(str::to_owned)];
    let mut messages = String::new();
    for fleet in fleets {
        let status = fleet.status.clone().unwrap_or_default();
        let name = name_of(fleet);
        let phase = status.phase.map_or("-", |phase| phase.as_str()).to_owned();
        let ready = condition(&status, "Ready").to_owned();
        let message = match status.message.as_str() {
            "" => "no operator has looked at it yet: is gatefleet operator running?",
            message => message,
        };
        let mut first = Some([name.clone(), phase, ready]);
        for (tier, status, spec) in tiers(fleet, &status) {
            let [name, phase, ready] = first.take().unwrap_or_default();
            rows.push([
                name,
                phase,
                ready,
                tier.to_owned(),
                status.ready.clone(),
                addresses(status, spec),
            ]);
        }
        if let Some([name, phase, ready]) = first {
            rows.push([name, phase, ready, "-".to_owned(), "-".to_owned(), "-".to_owned()]);
        }
        let _ = writeln!(messages, "{name}: {message}");
    }
    format!("{}\n{messages}", aligned(&rows))
}

/// Everything that one fleet's status says.
pub(crate) fn details(fleet: &GatewayConfig) -> String {
    let status = fleet.status.clone().unwrap_or_default();
    let mut text = overview(std::slice::from_ref(fleet));
    let mut rows = vec![["CONDITION", "STATUS", "REASON", "MESSAGE"].map(str::to_owned)];
    for condition in &status.conditions {
        rows.push([
            condition.type_.clone(),
            condition.status.clone(),
            condition.reason.clone(),
            condition.message.clone(),
        ]);
    }
    if rows.len() > 1 {
        let _ = write!(text, "\n{}", aligned(&rows));
    }
    if let Some(routes) = &status.routes {
        let (attached, rejected) = (routes.attached, routes.rejected);
        let _ = writeln!(text, "\nroutes: {attached} attached, {rejected} rejected");
        for problem in &routes.problems {
            let _ = writeln!(text, "  {}: {}: {}", problem.object, problem.reason, problem.message);
        }
        if let Some(more) = routes.more_problems {
            let _ = writeln!(text, "  and {more} more");
        }
    }
    text
}

fn name_of(fleet: &GatewayConfig) -> String {
    let metadata = &fleet.metadata;
    let part = |text: &Option<String>| text.clone().unwrap_or_default();
    format!("{}/{}", part(&metadata.namespace), part(&metadata.name))
}

fn condition<'a>(status: &'a GatewayConfigStatus, wanted: &str) -> &'a str {
    let found = status.conditions.iter().find(|condition| condition.type_ == wanted);
    found.map_or("-", |condition| condition.status.as_str())
}

/// Name, status and, unless it is just being removed, declaration of each tier.
fn tiers<'a>(
    fleet: &'a GatewayConfig,
    status: &'a GatewayConfigStatus,
) -> impl Iterator<Item = (&'static str, &'a TierStatus, Option<&'a TierSpec>)> {
    let both = [
        ("north-south", &status.north_south, &fleet.spec.north_south),
        ("east-west", &status.east_west, &fleet.spec.east_west),
    ];
    both.into_iter()
        .filter_map(|(name, status, spec)| Some((name, status.as_ref()?, spec.as_ref())))
}

/// Ready to be pasted: each address with each port.
fn addresses(status: &TierStatus, spec: Option<&TierSpec>) -> String {
    let on_nodes = spec.is_some_and(|spec| spec.service.r#type == ServiceType::NodePort);
    let port = |listener: &ListenerStatus| match listener.node_port {
        Some(port) if on_nodes => port,
        _ => listener.port,
    };
    let pairs = status.addresses.iter().flat_map(|address| {
        let host = if address.contains(':') { format!("[{address}]") } else { address.clone() };
        status.listeners.iter().map(move |listener| format!("{host}:{}", port(listener)))
    });
    let pairs: Vec<String> = pairs.collect();
    if pairs.is_empty() { "-".to_owned() } else { pairs.join(",") }
}

/// Columns as wide as their widest cell; nothing behind the last one.
fn aligned<const N: usize>(rows: &[[String; N]]) -> String {
    let width =
        |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; N] = std::array::from_fn(width);
    let mut text = String::new();
    for row in rows {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        let line = cells.collect::<Vec<_>>().join("  ");
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}

#[cfg(test)]
mod tests {
    use gatefleet_crds::{ListenerProtocol, Phase, RouteProblem, RoutesStatus, ServiceSpec};

    use super::*;

    fn fleet() -> GatewayConfig {
        let mut fleet = GatewayConfig::new("prod", Default::default());
        fleet.metadata.namespace = Some("edge".to_owned());
        let listener = |port| ListenerStatus {
            name: format!("p{port}"),
            port,
            protocol: ListenerProtocol::Http,
            target_port: 10_000,
            node_port: Some(30_000 + port),
        };
        let tier = |ready: &str, addresses: &[&str]| TierStatus {
            ready: ready.to_owned(),
            addresses: addresses.iter().map(|&a| a.to_owned()).collect(),
            listeners: vec![listener(80), listener(443)],
            ..TierStatus::default()
        };
        fleet.status = Some(GatewayConfigStatus {
            phase: Some(Phase::Listening),
            message: "2 tiers, 3 of 3 proxies hold the current configuration".to_owned(),
            north_south: Some(tier("2/2", &["192.0.2.1", "2001:db8::1"])),
            east_west: Some(tier("1/1", &[])),
            routes: Some(RoutesStatus {
                attached: 2,
                rejected: 1,
                problems: vec![RouteProblem {
                    object: "Ingress shop/web".to_owned(),
                    reason: "SecretNotFound".to_owned(),
                    message: "create Secret shop/web-tls".to_owned(),
                }],
                more_problems: Some(4),
            }),
            ..GatewayConfigStatus::default()
        });
        fleet
    }

    #[test]
    fn a_fleet_is_a_row_per_tier_and_a_sentence() {
        let expected = "\
FLEET      PHASE      READY  TIER         PROXIES  ADDRESS
edge/prod  Listening  -      north-south  2/2      192.0.2.1:80,192.0.2.1:443,[2001:db8::1]:80,[2001:db8::1]:443
                             east-west    1/1      -

edge/prod: 2 tiers, 3 of 3 proxies hold the current configuration
";
        assert_eq!(overview(&[fleet()]), expected);
        assert!(details(&fleet()).ends_with(
            "
routes: 2 attached, 1 rejected
  Ingress shop/web: SecretNotFound: create Secret shop/web-tls
  and 4 more
"
        ));
    }

    #[test]
    fn nodes_are_reached_at_their_own_ports() {
        let mut fleet = fleet();
        let service = ServiceSpec { r#type: ServiceType::NodePort, ..ServiceSpec::default() };
        fleet.spec.north_south = Some(TierSpec { service, ..TierSpec::default() });
        assert!(overview(&[fleet]).contains(" 192.0.2.1:30080,192.0.2.1:30443,"));
    }

    #[test]
    fn what_is_not_there_is_said() {
        assert_eq!(overview(&[]), NOTHING);
        let new = GatewayConfig::new("new", Default::default());
        assert!(overview(&[new]).contains("is gatefleet operator running?"));
    }
}
