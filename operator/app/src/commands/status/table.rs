//! Fleets as text.

use std::fmt::Write;

use serde_json::Value;

use super::{Fleet, rest};
use crate::output::aligned;

const NOTHING: &str =
    "no GatewayConfig yet: kubectl apply one (examples/quickstart/ has one that works)\n";
const UNSEEN: &str = "no operator has looked at it yet: is gatefleet operator running?";

/// The members of a status that [`overview`] and [`details`] show in their own way.
const SHOWN: [&str; 8] = [
    "phase",
    "message",
    "address",
    "observedGeneration",
    "conditions",
    "northSouth",
    "eastWest",
    "routes",
];
/// The same of a tier.
const SHOWN_OF_TIER: [&str; 6] =
    ["replicas", "readyReplicas", "acknowledgedReplicas", "ready", "addresses", "listeners"];

/// One row for each tier, and a sentence for each fleet.
pub(super) fn overview(fleets: &[Fleet], namespace: Option<&str>) -> String {
    if fleets.is_empty() {
        return namespace.map_or_else(
            || NOTHING.to_owned(),
            |namespace| format!("no GatewayConfig in namespace {namespace}\n"),
        );
    }
    let head = ["FLEET", "PHASE", "READY", "TIER", "PROXIES", "CURRENT", "ADDRESS"];
    let mut rows = vec![head.map(str::to_owned)];
    let mut messages = String::new();
    for fleet in fleets {
        let name = format!("{}/{}", fleet.namespace, fleet.name);
        let ready = fleet.condition("Ready").unwrap_or("-").to_owned();
        let mut first = Some([name.clone(), text(&fleet.status["phase"]), ready]);
        for (tier, status) in tiers(fleet) {
            let on_nodes = is_on_nodes(fleet, tier);
            let [name, phase, ready] = first.take().unwrap_or_default();
            let current =
                [&status["acknowledgedReplicas"], &status["readyReplicas"]].map(number).join("/");
            let proxies = text(&status["ready"]);
            rows.push([
                name,
                phase,
                ready,
                tier.to_owned(),
                proxies,
                current,
                addresses(status, on_nodes),
            ]);
        }
        if let Some([name, phase, ready]) = first {
            let none = || "-".to_owned();
            rows.push([name, phase, ready, none(), none(), none(), none()]);
        }
        let _ = writeln!(messages, "{name}: {}", message(fleet));
    }
    format!("{}\n{messages}", aligned(&rows))
}

/// Everything that one fleet's status says.
pub(super) fn details(fleet: &Fleet) -> String {
    let mut parts = vec![overview(std::slice::from_ref(fleet), None)];
    parts.extend(listeners(fleet));
    parts.extend(conditions(fleet));
    parts.extend(routes(&fleet.status["routes"]));
    for (tier, status) in tiers(fleet) {
        parts.extend(rest::sections(tier, status, &SHOWN_OF_TIER));
    }
    parts.extend(rest::sections("", &fleet.status, &SHOWN));
    parts.join("\n")
}

fn message(fleet: &Fleet) -> String {
    let message = fleet.status["message"].as_str().filter(|message| !message.is_empty());
    let seen = fleet.status["observedGeneration"].as_i64();
    match (message, seen) {
        (None, _) => UNSEEN.to_owned(),
        (Some(message), Some(seen)) if seen < fleet.generation => format!(
            "{message} (said of generation {seen}; no operator has looked at {} yet)",
            fleet.generation
        ),
        (Some(message), _) => message.to_owned(),
    }
}

fn listeners(fleet: &Fleet) -> Option<String> {
    let mut rows = vec![["LISTENER", "TIER", "PORT", "PROTOCOL", "PROXY PORT"].map(str::to_owned)];
    for (tier, status) in tiers(fleet) {
        for listener in list(&status["listeners"]) {
            let [port, target] = [&listener["port"], &listener["targetPort"]].map(number);
            let (name, protocol) = (text(&listener["name"]), text(&listener["protocol"]));
            rows.push([name, tier.to_owned(), port, protocol, target]);
        }
    }
    (rows.len() > 1).then(|| aligned(&rows))
}

fn conditions(fleet: &Fleet) -> Option<String> {
    let mut rows = vec![["CONDITION", "STATUS", "REASON", "MESSAGE"].map(str::to_owned)];
    for condition in list(&fleet.status["conditions"]) {
        rows.push(["type", "status", "reason", "message"].map(|key| text(&condition[key])));
    }
    (rows.len() > 1).then(|| aligned(&rows))
}

fn routes(routes: &Value) -> Option<String> {
    routes.as_object()?;
    let [attached, rejected] = [&routes["attached"], &routes["rejected"]].map(number);
    let mut text_of = format!("routes: {attached} attached, {rejected} rejected\n");
    let mut rows = vec![["PROBLEM", "OBJECT", "MESSAGE"].map(str::to_owned)];
    for problem in list(&routes["problems"]) {
        rows.push(["reason", "object", "message"].map(|key| text(&problem[key])));
    }
    if rows.len() > 1 {
        text_of += &aligned(&rows);
    }
    if let Some(more) = routes["moreProblems"].as_i64() {
        let _ = writeln!(text_of, "and {more} more: kubectl get events, or gatefleet translate");
    }
    Some(text_of)
}

fn tiers(fleet: &Fleet) -> impl Iterator<Item = (&'static str, &Value)> {
    [("north-south", "northSouth"), ("east-west", "eastWest")]
        .into_iter()
        .map(|(name, field)| (name, &fleet.status[field]))
        .filter(|(_, status)| status.is_object())
}

fn is_on_nodes(fleet: &Fleet, tier: &str) -> bool {
    let field = if tier == "east-west" { "eastWest" } else { "northSouth" };
    fleet.spec[field]["service"]["type"] == "NodePort"
}

/// Ready to be pasted: each address with each port. Nodes are reached at their own ports.
fn addresses(status: &Value, on_nodes: bool) -> String {
    let port = |listener: &Value| match &listener["nodePort"] {
        Value::Null => number(&listener["port"]),
        port if on_nodes => number(port),
        _ => number(&listener["port"]),
    };
    let pairs = list(&status["addresses"]).flat_map(|address| {
        let address = text(address);
        let host = if address.contains(':') { format!("[{address}]") } else { address };
        list(&status["listeners"]).map(move |listener| format!("{host}:{}", port(listener)))
    });
    let pairs: Vec<String> = pairs.collect();
    if pairs.is_empty() { "-".to_owned() } else { pairs.join(",") }
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> String {
    value.as_str().filter(|text| !text.is_empty()).unwrap_or("-").to_owned()
}

fn number(value: &Value) -> String {
    value.as_i64().unwrap_or_default().to_string()
}

#[cfg(test)]
mod tests {
    use gatefleet_crds::{
        GatewayConfigStatus, ListenerProtocol, ListenerStatus, Phase, RouteProblem, RoutesStatus,
        TierStatus,
    };
    use serde_json::json;

    use super::*;

    /// As the operator of this build writes it.
    fn fleet() -> Fleet {
        let listener = |port| ListenerStatus {
            name: format!("p{port}"),
            port,
            protocol: ListenerProtocol::Http,
            target_port: 10_000,
            node_port: Some(30_000 + port),
        };
        let tier = |wanted, ready: &str, addresses: &[&str]| TierStatus {
            replicas: wanted,
            ready_replicas: wanted,
            acknowledged_replicas: 1,
            ready: ready.to_owned(),
            addresses: addresses.iter().map(|&a| a.to_owned()).collect(),
            listeners: vec![listener(80), listener(443)],
        };
        let status = GatewayConfigStatus {
            phase: Some(Phase::Listening),
            message: "2 tiers, 3 of 3 proxies hold the current configuration".to_owned(),
            north_south: Some(tier(2, "2/2", &["192.0.2.1", "2001:db8::1"])),
            east_west: Some(tier(1, "1/1", &[])),
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
        };
        let mut status = serde_json::to_value(status).unwrap();
        status["conditions"] = json!([{"type": "Ready", "status": "True", "reason": "Acknowledged",
            "message": "all of it", "lastTransitionTime": "2026-01-01T00:00:00Z"}]);
        let (namespace, name) = ("edge".to_owned(), "prod".to_owned());
        Fleet { namespace, name, generation: 0, spec: Value::Null, status }
    }

    #[test]
    fn a_fleet_is_a_row_for_each_tier_and_a_sentence() {
        let expected = "\
FLEET      PHASE      READY  TIER         PROXIES  CURRENT  ADDRESS
edge/prod  Listening  True   north-south  2/2      1/2      192.0.2.1:80,192.0.2.1:443,[2001:db8::1]:80,[2001:db8::1]:443
                             east-west    1/1      1/1      -

edge/prod: 2 tiers, 3 of 3 proxies hold the current configuration
";
        assert_eq!(overview(&[fleet()], None), expected);
    }

    #[test]
    fn details_show_all_of_a_status() {
        let mut fleet = fleet();
        fleet.status["northSouth"]["sockets"] = json!(7);
        fleet.status["certificates"] =
            json!([{"name": "web", "notAfter": "2026-03-01"}, {"name": "longer"}]);
        let expected = "
LISTENER  TIER         PORT  PROTOCOL  PROXY PORT
p80       north-south  80    HTTP      10000
p443      north-south  443   HTTP      10000
p80       east-west    80    HTTP      10000
p443      east-west    443   HTTP      10000

CONDITION  STATUS  REASON        MESSAGE
Ready      True    Acknowledged  all of it

routes: 2 attached, 1 rejected
PROBLEM         OBJECT            MESSAGE
SecretNotFound  Ingress shop/web  create Secret shop/web-tls
and 4 more: kubectl get events, or gatefleet translate

north-south sockets: 7

certificates:
NAME    NOTAFTER
web     2026-03-01
longer  -
";
        let shown = details(&fleet);
        assert!(shown.ends_with(expected), "{shown}");
    }

    #[test]
    fn nodes_are_reached_at_their_own_ports() {
        let mut fleet = fleet();
        fleet.spec = json!({"northSouth": {"service": {"type": "NodePort"}}});
        assert!(overview(&[fleet], None).contains(" 192.0.2.1:30080,192.0.2.1:30443,"));
    }

    #[test]
    fn what_is_not_there_is_said() {
        assert_eq!(overview(&[], None), NOTHING);
        assert!(overview(&[], Some("edge")).contains("in namespace edge"));
        let mut new = fleet();
        new.status = Value::Null;
        assert!(details(&new).contains(UNSEEN));
        let mut newer = fleet();
        (newer.generation, newer.status["observedGeneration"]) = (5, json!(4));
        assert!(details(&newer).contains("no operator has looked at 5 yet"));
    }
}
