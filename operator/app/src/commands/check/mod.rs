//! `gatefleet check`: whether a cluster is ready for Gatefleet, and what stands in the way.

mod definition;
mod ingresses;
mod pods;
mod rights;
mod seen;
mod version;
mod webhooks;

use std::{error::Error, process::ExitCode};

use serde::Serialize;
use serde_json::json;

use self::seen::Seen;
use crate::{
    cluster::{Cluster, ClusterArgs, ClusterError},
    output::{Output, aligned, print},
};

/// Something is in the way.
const FAILED: u8 = 3;

/// Ask a cluster whether it is ready for Gatefleet, and what stands in the way. Nothing is changed.
///
/// Exit status 0: nothing is in the way; 3: something is; 1: nothing could be asked.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Ask for the rights of the operator's `ServiceAccount` [default: for those of the kubeconfig's user].
    #[arg(long, value_name = "NAMESPACE/NAME", value_parser = parse_account)]
    pub(crate) service_account: Option<Account>,
    /// Where IngressClass parameters of scope Cluster look for the `GatewayConfig`.
    #[arg(long, default_value = "gatefleet-system")]
    pub(crate) default_namespace: String,
    /// Which form.
    #[arg(short, long, value_enum, default_value_t)]
    pub(crate) output: Output,
    #[command(flatten)]
    pub(crate) cluster: ClusterArgs,
}

/// A `ServiceAccount`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) namespace: String,
    pub(crate) name: String,
}

fn parse_account(text: &str) -> Result<Account, String> {
    let (namespace, name) = text.split_once('/').ok_or("write it as NAMESPACE/NAME")?;
    Ok(Account { namespace: namespace.to_owned(), name: name.to_owned() })
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    /// As it should be.
    Ok,
    /// It could not be asked.
    Unknown,
    /// It works, but perhaps not as somebody expects.
    Warning,
    /// It does not work.
    Failed,
}

impl Verdict {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Unknown => "unknown",
            Self::Warning => "warning",
            Self::Failed => "FAILED",
        }
    }
}

/// One finding of one check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Finding {
    check: &'static str,
    verdict: Verdict,
    /// What it is about; empty: the cluster.
    object: String,
    /// What is so, and what to do.
    message: String,
}

impl Finding {
    fn new(
        check: &'static str,
        verdict: Verdict,
        object: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        Self { check, verdict, object: object.into(), message: message.into() }
    }

    fn unasked(check: &'static str, error: &ClusterError) -> Self {
        Self::new(check, Verdict::Unknown, "", crate::sentence(error))
    }
}

/// Asks everything, and tells.
pub(crate) async fn run(args: Args) -> Result<ExitCode, Box<dyn Error>> {
    let cluster = Cluster::find(&args.cluster).await?;
    let findings = Box::pin(check(&cluster, &args)).await?;
    let failed = findings.iter().any(|finding| finding.verdict == Verdict::Failed);
    let document = json!({"checks": serde_json::to_value(&findings)?, "failed": failed});
    print(&args.output.render(&document, || table(&findings))?)?;
    Ok(if failed { ExitCode::from(FAILED) } else { ExitCode::SUCCESS })
}

/// All checks. Whoever does not answer the first question is asked no other.
async fn check(cluster: &Cluster, args: &Args) -> Result<Vec<Finding>, ClusterError> {
    let mut findings = vec![version::check(cluster).await?];
    findings.push(definition::check(cluster).await);
    findings.extend(rights::check(cluster, args.service_account.as_ref()).await);
    let seen = Seen::look(cluster, &args.default_namespace).await;
    findings.extend(pods::check(cluster, &seen).await);
    findings.extend(webhooks::check(cluster).await);
    match &seen {
        Ok(seen) => findings.extend(ingresses::check(seen)),
        Err(error) => findings.push(Finding::unasked(ingresses::CLASSES, error)),
    }
    Ok(findings)
}

fn table(findings: &[Finding]) -> String {
    let mut rows =
        vec![["CHECK", "VERDICT", "OBJECT", "WHAT IS SO, AND WHAT TO DO"].map(str::to_owned)];
    for Finding { check, verdict, object, message } in findings {
        let object = if object.is_empty() { "-" } else { object };
        rows.push([check, verdict.as_str(), object, message].map(str::to_owned));
    }
    aligned(&rows)
}
