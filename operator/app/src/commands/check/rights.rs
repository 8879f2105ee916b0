//! Whether the operator may do what it must.

use gatefleet_controllers::{Permission, permissions};
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec, SubjectAccessReview,
    SubjectAccessReviewSpec,
};
use kube::{Api, api::PostParams};

use super::{Account, Finding, Verdict};
use crate::cluster::{Cluster, ClusterError};

const CHECK: &str = "rights";

/// One finding for each resource on which something is not allowed, or one that says all is well.
pub(super) async fn check(cluster: &Cluster, account: Option<&Account>) -> Vec<Finding> {
    let subject = match account {
        Some(Account { namespace, name }) => format!("ServiceAccount {namespace}/{name}"),
        None => "user of the kubeconfig".to_owned(),
    };
    let mut findings = Vec::new();
    let mut asked = 0_usize;
    for permission in permissions() {
        let mut lacking = Vec::new();
        for verb in &permission.verbs {
            asked += 1;
            match is_allowed(cluster, account, &permission, verb).await {
                Ok(true) => {}
                Ok(false) => lacking.push(*verb),
                Err(error) => return vec![Finding::unasked(CHECK, &error)],
            }
        }
        if !lacking.is_empty() {
            let message = format!(
                "may not {} {}: let a ClusterRole of the operator allow it",
                lacking.join(", "),
                place(&permission)
            );
            findings.push(Finding::new(CHECK, Verdict::Failed, subject.clone(), message));
        }
    }
    if findings.is_empty() {
        let hint = if account.is_some() {
            ""
        } else {
            " (of the operator's: --service-account NAMESPACE/NAME)"
        };
        let message = format!("has all {asked} rights that the operator needs{hint}");
        findings.push(Finding::new(CHECK, Verdict::Ok, subject, message));
    }
    findings
}

/// As kubectl writes it: `deployments.apps`, `ingresses.networking.k8s.io/status`.
fn place(permission: &Permission) -> String {
    let (resource, sub) = split(permission);
    let group =
        if permission.group.is_empty() { String::new() } else { format!(".{}", permission.group) };
    let sub = sub.map(|sub| format!("/{sub}")).unwrap_or_default();
    format!("{resource}{group}{sub}")
}

fn split(permission: &Permission) -> (&str, Option<&str>) {
    let resource = permission.resource.as_str();
    resource.split_once('/').map_or((resource, None), |(resource, sub)| (resource, Some(sub)))
}

async fn is_allowed(
    cluster: &Cluster,
    account: Option<&Account>,
    permission: &Permission,
    verb: &str,
) -> Result<bool, ClusterError> {
    let (resource, sub) = split(permission);
    let attributes = ResourceAttributes {
        group: Some(permission.group.clone()),
        resource: Some(resource.to_owned()),
        subresource: sub.map(str::to_owned),
        verb: Some(verb.to_owned()),
        ..ResourceAttributes::default()
    };
    let params = PostParams::default();
    let status = match account {
        None => {
            let api: Api<SelfSubjectAccessReview> = Api::all(cluster.client.clone());
            let spec = SelfSubjectAccessReviewSpec {
                resource_attributes: Some(attributes),
                ..SelfSubjectAccessReviewSpec::default()
            };
            let review = SelfSubjectAccessReview { spec, ..SelfSubjectAccessReview::default() };
            let asked = api.create(&params, &review);
            cluster.ask("create SelfSubjectAccessReview", asked).await?.status
        }
        Some(Account { namespace, name }) => {
            let api: Api<SubjectAccessReview> = Api::all(cluster.client.clone());
            let groups = ["system:authenticated", "system:serviceaccounts"].map(str::to_owned);
            let own = format!("system:serviceaccounts:{namespace}");
            let spec = SubjectAccessReviewSpec {
                resource_attributes: Some(attributes),
                user: Some(format!("system:serviceaccount:{namespace}:{name}")),
                groups: Some(groups.into_iter().chain([own]).collect()),
                ..SubjectAccessReviewSpec::default()
            };
            let review = SubjectAccessReview { spec, ..SubjectAccessReview::default() };
            cluster.ask("create SubjectAccessReview", api.create(&params, &review)).await?.status
        }
    };
    Ok(status.is_some_and(|status| status.allowed))
}
