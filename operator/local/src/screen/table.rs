//! From objects to the lines that a user reads. Pure.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::network::Ports;

/// What is shown of one fleet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fleet {
    /// `namespace/name`.
    pub(crate) name: String,
    pub(crate) phase: String,
    pub(crate) message: String,
    pub(crate) tiers: Vec<Tier>,
}

/// What is shown of one tier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tier {
    pub(crate) name: &'static str,
    /// The address of its Service, when it has one.
    pub(crate) address: Option<String>,
    /// Its ports as they are offered, and the protocol of each.
    pub(crate) ports: Vec<(u16, String)>,
    /// Ready of wanted proxies.
    pub(crate) proxies: String,
}

/// The objects as the API has them.
#[derive(Debug, Default)]
pub(crate) struct Objects {
    pub(crate) fleets: Vec<Value>,
    pub(crate) services: Vec<Value>,
    pub(crate) classes: Vec<Value>,
    pub(crate) ingresses: Vec<Value>,
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or("")
}

fn list<'a>(value: &'a Value, pointer: &str) -> impl Iterator<Item = &'a Value> + use<'a> {
    value.pointer(pointer).and_then(Value::as_array).into_iter().flatten()
}

/// Reads what is to be shown.
pub(crate) fn observe(objects: &Objects, ports: Ports) -> Vec<Fleet> {
    let fleet = |fleet: &Value| {
        let (namespace, name) = (text(fleet, "/metadata/namespace"), text(fleet, "/metadata/name"));
        let tiers = [("north-south", "northSouth"), ("east-west", "eastWest")];
        let tiers = tiers
            .into_iter()
            .filter(|(_, field)| fleet["spec"][field].is_object())
            .map(|(tier, field)| observe_tier(fleet, tier, field, objects, ports));
        let phase = match text(fleet, "/status/phase") {
            "" => "Pending",
            phase => phase,
        };
        Fleet {
            name: format!("{namespace}/{name}"),
            phase: phase.to_owned(),
            message: text(fleet, "/status/message").to_owned(),
            tiers: tiers.collect(),
        }
    };
    objects.fleets.iter().map(fleet).collect()
}

fn observe_tier(
    fleet: &Value,
    name: &'static str,
    field: &str,
    objects: &Objects,
    ports: Ports,
) -> Tier {
    let labels = |service: &&Value| {
        let labels = &service["metadata"]["labels"];
        service["metadata"]["namespace"] == fleet["metadata"]["namespace"]
            && labels["gatefleet.dev/fleet"] == fleet["metadata"]["name"]
            && labels["gatefleet.dev/tier"] == name
    };
    let service = objects.services.iter().find(labels);
    let address =
        service.map(|service| text(service, "/spec/clusterIP")).filter(|ip| !ip.is_empty());
    let offered =
        service.into_iter().flat_map(|service| list(service, "/spec/ports")).filter_map(|port| {
            let number = u16::try_from(port["port"].as_u64()?).ok()?;
            Some((ports.offered(number), text(port, "/name").to_owned()))
        });
    let status = &fleet["status"][field];
    let spec = &fleet["spec"][field];
    // The last two until there is a status.
    let said = [&status["replicas"], &spec["replicas"], &spec["autoscaling"]["minReplicas"]];
    let wanted = said.into_iter().find_map(Value::as_u64).unwrap_or(2);
    let ready = status["readyReplicas"].as_u64().unwrap_or(0);
    Tier {
        name,
        address: address.map(str::to_owned),
        ports: offered.collect(),
        proxies: format!("{ready}/{wanted}"),
    }
}

impl Tier {
    /// `127.96.0.3:80,443`, or that there is none yet.
    pub(crate) fn place(&self) -> String {
        match &self.address {
            None => "(no address yet)".to_owned(),
            Some(address) => {
                let ports: Vec<_> = self.ports.iter().map(|(port, _)| port.to_string()).collect();
                format!("{address}:{}", ports.join(","))
            }
        }
    }
}

/// One line per tier; a sentence below fleets that have something to say.
pub(crate) fn lines(fleets: &[Fleet]) -> Vec<String> {
    let mut rows = vec![["FLEET", "TIER", "ADDRESS", "PROXIES", "PHASE"].map(str::to_owned)];
    for fleet in fleets {
        for (index, tier) in fleet.tiers.iter().enumerate() {
            let name = if index == 0 { fleet.name.clone() } else { String::new() };
            rows.push([
                name,
                tier.name.to_owned(),
                tier.place(),
                tier.proxies.clone(),
                fleet.phase.clone(),
            ]);
        }
    }
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(String::len).max().unwrap_or(0)
    };
    let widths: Vec<_> = (0..5).map(width).collect();
    let line = |row: &[String; 5]| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    let mut lines: Vec<_> = rows.iter().map(line).collect();
    let silent = |fleet: &&Fleet| fleet.message.is_empty() || fleet.phase == "Listening";
    lines.extend(
        fleets
            .iter()
            .filter(|fleet| !silent(fleet))
            .map(|fleet| format!("  {}: {}", fleet.name, fleet.message)),
    );
    lines
}

/// How many `curl` lines are shown at most.
const MOST: usize = 6;

/// `curl` lines for what the Ingresses of the fleets' classes serve.
pub(crate) fn curls(objects: &Objects, fleets: &[Fleet]) -> Vec<String> {
    let by_name: BTreeMap<&str, &Fleet> =
        fleets.iter().map(|fleet| (fleet.name.as_str(), fleet)).collect();
    let mut lines = Vec::new();
    let mut ingresses: Vec<_> = objects.ingresses.iter().collect();
    ingresses.sort_by_key(|ingress| {
        (is_canary(ingress), text(ingress, "/metadata/namespace"), text(ingress, "/metadata/name"))
    });
    for ingress in ingresses {
        let tier = fleet_of(ingress, &objects.classes).and_then(|(fleet, tier)| {
            by_name.get(fleet.as_str())?.tiers.iter().find(|candidate| candidate.name == tier)
        });
        if let Some(line) = tier.and_then(|tier| curl(ingress, tier)) {
            lines.push(line);
        }
    }
    lines.dedup();
    lines.truncate(MOST);
    lines
}

fn annotation<'a>(ingress: &'a Value, name: &str) -> Option<&'a str> {
    ingress["metadata"]["annotations"][format!("nginx.ingress.kubernetes.io/{name}")].as_str()
}

fn is_canary(ingress: &Value) -> bool {
    annotation(ingress, "canary") == Some("true")
}

/// The fleet and the tier that an Ingress chooses by its class.
fn fleet_of(ingress: &Value, classes: &[Value]) -> Option<(String, String)> {
    let class = ingress["spec"]["ingressClassName"]
        .as_str()
        .or_else(|| ingress["metadata"]["annotations"]["kubernetes.io/ingress.class"].as_str());
    let default = |candidate: &&Value| {
        candidate["metadata"]["annotations"]["ingressclass.kubernetes.io/is-default-class"]
            == "true"
    };
    let class = match class {
        Some(name) => classes.iter().find(|candidate| candidate["metadata"]["name"] == name)?,
        None => classes.iter().find(default)?,
    };
    let tier = text(class, "/spec/controller").strip_prefix("gatefleet.dev/")?;
    let parameters = &class["spec"]["parameters"];
    let namespace = parameters["namespace"].as_str().unwrap_or("default");
    Some((format!("{namespace}/{}", parameters["name"].as_str()?), tier.to_owned()))
}

/// A line that reaches the first path of an Ingress; nothing for canaries that no header chooses.
fn curl(ingress: &Value, tier: &Tier) -> Option<String> {
    let header = match (is_canary(ingress), annotation(ingress, "canary-by-header")) {
        (false, _) => String::new(),
        (true, Some(name)) => {
            let value = annotation(ingress, "canary-by-header-value").unwrap_or("always");
            format!(" -H {}", quote(&format!("{name}: {value}")))
        }
        (true, None) => return None,
    };
    let address = tier.address.as_deref()?;
    let host = text(ingress, "/spec/rules/0/host").replacen('*', "www", 1);
    let path = Some(text(ingress, "/spec/rules/0/http/paths/0/path"))
        .filter(|path| {
            path.starts_with('/') && !path.contains(['(', '[', '\\', '*', '$', '^', ' '])
        })
        .unwrap_or("/");
    let mut tls = list(ingress, "/spec/tls").flat_map(|tls| list(tls, "/hosts"));
    if !host.is_empty() && tls.any(|secured| secured == &host) {
        let (port, _) = tier.ports.iter().find(|(_, name)| name == "https")?;
        let authority = if *port == 443 { host.clone() } else { format!("{host}:{port}") };
        return Some(format!(
            "curl -k{header} --resolve {host}:{port}:{address} https://{authority}{path}"
        ));
    }
    let (port, _) = tier.ports.iter().find(|(_, name)| name != "https")?;
    let authority = if *port == 80 { address.to_owned() } else { format!("{address}:{port}") };
    let host = if host.is_empty() {
        String::new()
    } else {
        format!(" -H {}", quote(&format!("host: {host}")))
    };
    Some(format!("curl{host}{header} http://{authority}{path}"))
}

/// Text as one word of a shell.
pub(crate) fn quote(word: &str) -> String {
    format!("'{}'", word.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::RaisedBecause;
    use serde_json::json;

    fn quickstart() -> Objects {
        let service = |tier: &str, ip: &str| {
            json!({
                "metadata": {"name": tier, "namespace": "default", "labels": {
                    "gatefleet.dev/fleet": "quickstart", "gatefleet.dev/tier": tier,
                }},
                "spec": {"clusterIP": ip, "ports": [{"name": "http", "port": 80}, {"name": "https", "port": 443}]},
            })
        };
        let ingress = |name: &str, annotations: Value, tls: Value| {
            json!({
                "metadata": {"name": name, "namespace": "default", "annotations": annotations},
                "spec": {
                    "ingressClassName": "quickstart", "tls": tls,
                    "rules": [{"host": "test.com", "http": {"paths": [{"path": "/version"}]}}],
                },
            })
        };
        Objects {
            fleets: vec![json!({
                "metadata": {"name": "quickstart", "namespace": "default"},
                "spec": {"northSouth": {"replicas": 2}, "eastWest": {"replicas": 1}},
                "status": {"phase": "Running", "message": "1 of 3 proxies is ready", "northSouth": {"replicas": 2, "readyReplicas": 1}},
            })],
            services: vec![service("north-south", "127.96.0.3")],
            classes: vec![json!({
                "metadata": {"name": "quickstart"},
                "spec": {"controller": "gatefleet.dev/north-south", "parameters": {"name": "quickstart", "namespace": "default"}},
            })],
            ingresses: vec![
                ingress(
                    "canary",
                    json!({
                        "nginx.ingress.kubernetes.io/canary": "true",
                        "nginx.ingress.kubernetes.io/canary-by-header": "stage",
                        "nginx.ingress.kubernetes.io/canary-by-header-value": "gray",
                    }),
                    json!([]),
                ),
                ingress("plain", json!({}), json!([])),
                ingress("secured", json!({}), json!([{"hosts": ["test.com"]}])),
                ingress(
                    "weighted",
                    json!({"nginx.ingress.kubernetes.io/canary": "true"}),
                    json!([]),
                ),
            ],
        }
    }

    #[test]
    fn a_table_of_fleets() {
        let fleets = observe(&quickstart(), Ports::Same);
        assert_eq!(
            lines(&fleets),
            [
                "FLEET               TIER         ADDRESS            PROXIES  PHASE",
                "default/quickstart  north-south  127.96.0.3:80,443  1/2      Running",
                "                    east-west    (no address yet)   0/1      Running",
                "  default/quickstart: 1 of 3 proxies is ready",
            ]
        );
    }

    #[test]
    fn lines_to_paste() {
        let objects = quickstart();
        assert_eq!(
            curls(&objects, &observe(&objects, Ports::Same)),
            [
                "curl -H 'host: test.com' http://127.96.0.3/version",
                "curl -k --resolve test.com:443:127.96.0.3 https://test.com/version",
                "curl -H 'host: test.com' -H 'stage: gray' http://127.96.0.3/version",
            ]
        );
        let raised = Ports::Raised(RaisedBecause::NotAllowed);
        assert_eq!(
            curls(&objects, &observe(&objects, raised)).first().unwrap(),
            "curl -H 'host: test.com' http://127.96.0.3:8080/version"
        );
    }

    #[test]
    fn words_are_quoted_for_the_shell() {
        assert_eq!(quote("it's"), r"'it'\''s'");
    }
}
