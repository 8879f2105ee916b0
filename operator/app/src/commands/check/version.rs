//! The cluster's version.

use serde::Deserialize;

use super::{Finding, Verdict};
use crate::cluster::{Cluster, ClusterError};

const CHECK: &str = "Kubernetes";
/// The rules of the definition are CEL, which is on everywhere since this minor version.
const OLDEST_MINOR: u32 = 29;

#[derive(Debug, Deserialize)]
struct Version {
    major: String,
    minor: String,
    #[serde(rename = "gitVersion")]
    full: String,
}

/// `Err`: the cluster does not answer at all.
pub(super) async fn check(cluster: &Cluster) -> Result<Finding, ClusterError> {
    let request = http::Request::get("/version").body(Vec::new()).map_err(kube::Error::HttpError);
    let asked = async { cluster.client.request::<Version>(request?).await };
    Ok(judge(&cluster.ask("read the version", asked).await?))
}

fn judge(version: &Version) -> Finding {
    let digits = |text: &str| -> String { text.chars().take_while(char::is_ascii_digit).collect() };
    let number = |text: &str| digits(text).parse::<u32>().unwrap_or_default();
    let shown = &version.full;
    if (number(&version.major), number(&version.minor)) >= (1, OLDEST_MINOR) {
        return Finding::new(CHECK, Verdict::Ok, "", shown);
    }
    let message = format!(
        "{shown} is too old: the rules of GatewayConfig need 1.{OLDEST_MINOR}; upgrade the cluster"
    );
    Finding::new(CHECK, Verdict::Failed, "", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_clusters_are_told() {
        let verdict = |minor: &str| {
            let version = Version {
                major: "1".to_owned(),
                minor: minor.to_owned(),
                full: format!("v1.{minor}"),
            };
            judge(&version).verdict
        };
        assert_eq!(
            (verdict("36"), verdict("29+"), verdict("28+")),
            (Verdict::Ok, Verdict::Ok, Verdict::Failed)
        );
    }
}
