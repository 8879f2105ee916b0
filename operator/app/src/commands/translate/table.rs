//! What is served, as text.

use std::fmt::Write as _;

use super::{findings::Findings, served::Served};
use crate::output::aligned;

/// Every tier, and then the findings.
pub(super) fn text(tiers: &[Served], findings: &Findings) -> String {
    let mut text = tiers.iter().map(tier).collect::<Vec<_>>().join("\n");
    let refused = findings.text();
    if !refused.is_empty() {
        let _ = write!(text, "\n{refused}");
    }
    text
}

fn tier(served: &Served) -> String {
    let listeners =
        served.listeners.iter().map(|one| format!("{}:{} {}", one.name, one.port, one.protocol));
    let listeners = listeners.collect::<Vec<_>>().join(", ");
    let mut text = format!("{} {} ({listeners})\n", served.fleet, served.tier);
    if served.routes.is_empty() {
        text += "  serves nothing: every request gets 404\n";
        return text;
    }
    let head = ["HOST", "PATH", "TYPE", "REQUESTS", "GO TO", "WITH", "BY"];
    let mut rows = vec![head.map(str::to_owned)];
    for route in &served.routes {
        let or_dash = |text: &str| if text.is_empty() { "-".to_owned() } else { text.to_owned() };
        let requests = if route.requests.is_empty() { "all" } else { &route.requests };
        rows.push([
            route.host.clone(),
            route.path.clone(),
            route.path_type.to_owned(),
            requests.to_owned(),
            or_dash(&route.goes_to),
            or_dash(&route.with.join(", ")),
            or_dash(&route.by),
        ]);
    }
    text += &aligned(&rows);
    if !served.certificates.is_empty() {
        let mut rows = vec![["SERVER NAME", "CERTIFICATE"].map(str::to_owned)];
        for certificate in &served.certificates {
            rows.push([certificate.server_name.clone(), certificate.secrets.join(", ")]);
        }
        let _ = write!(text, "\n{}", aligned(&rows));
    }
    text
}
