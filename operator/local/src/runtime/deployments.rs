//! Deployments: their pods and their status, through the API.

use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, DefaultHasher, Hash as _, Hasher as _, RandomState};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::apps::v1::{Deployment, DeploymentCondition};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::{Api, Client, Resource as _, ResourceExt as _};
use serde_json::{Value, json};

use super::pod_status::second;
use super::rollout::{self, Plan, Replica, Wish};

/// The label that tells pods of one template from those of another, as in Kubernetes.
const HASH_LABEL: &str = "pod-template-hash";

/// Takes one Deployment a step further; the time after which another look is needed although nothing changes.
///
/// # Errors
/// What the API said; the next look tries again.
pub(crate) async fn advance(
    client: &Client,
    deployment: &Deployment,
    pods: &[Pod],
) -> Result<Option<SignedDuration>, kube::Error> {
    let now = Timestamp::now();
    let hash = template_hash(deployment);
    let owned: Vec<&Pod> = pods.iter().filter(|pod| is_owned(pod, deployment)).collect();
    let (ending, alive): (Vec<_>, Vec<_>) =
        owned.into_iter().partition(|pod| pod.metadata.deletion_timestamp.is_some());
    let replicas: Vec<_> = alive.iter().map(|pod| replica(pod, deployment, &hash, now)).collect();
    let wish = Wish::parse(deployment);
    if deployment.metadata.deletion_timestamp.is_none() {
        carry_out(client, deployment, &hash, rollout::plan(wish, &replicas, ending.len())).await?;
    }
    write_status(client, deployment, wish, &replicas, now).await?;
    let settling = replicas.iter().any(|replica| replica.ready && !replica.available);
    Ok(settling.then_some(SignedDuration::from_secs(1)))
}

fn is_owned(pod: &Pod, deployment: &Deployment) -> bool {
    let owners = pod.metadata.owner_references.iter().flatten();
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    owners.into_iter().any(|owner| Some(&owner.uid) == deployment.metadata.uid.as_ref())
        && !matches!(phase, Some("Succeeded" | "Failed"))
}

fn replica(pod: &Pod, deployment: &Deployment, hash: &str, now: Timestamp) -> Replica {
    let least = deployment.spec.as_ref().and_then(|spec| spec.min_ready_seconds).unwrap_or(0);
    let ready_since = ready_since(pod);
    let long_enough =
        |since: Timestamp| now.duration_since(since) >= SignedDuration::from_secs(i64::from(least));
    let created = pod.metadata.creation_timestamp.as_ref().map_or(0, |time| time.0.as_second());
    Replica {
        current: pod.labels().get(HASH_LABEL).is_some_and(|label| label == hash),
        ready: ready_since.is_some(),
        available: ready_since.is_some_and(long_enough),
        age: u64::try_from(created).unwrap_or(0),
        name: pod.name_any(),
    }
}

/// Since when a pod is ready, if it is.
pub(crate) fn ready_since(pod: &Pod) -> Option<Timestamp> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    let ready = conditions.iter().find(|condition| condition.type_ == "Ready")?;
    (ready.status == "True")
        .then(|| ready.last_transition_time.as_ref().map_or(Timestamp::UNIX_EPOCH, |time| time.0))
}

async fn carry_out(
    client: &Client,
    deployment: &Deployment,
    hash: &str,
    plan: Plan,
) -> Result<(), kube::Error> {
    let namespace = deployment.namespace().unwrap_or_default();
    let api: Api<Pod> = Api::namespaced(client.clone(), &namespace);
    let parameters =
        PostParams { field_manager: Some(super::MANAGER.to_owned()), ..PostParams::default() };
    for _ in 0..plan.create {
        api.create(&parameters, &desired_pod(deployment, hash)).await?;
    }
    for name in plan.delete {
        match api.delete(&name, &DeleteParams::default()).await {
            Err(error) if !is_gone(&error) => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Whether the API says that the object does not exist.
pub(crate) fn is_gone(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 404)
}

fn desired_pod(deployment: &Deployment, hash: &str) -> Pod {
    let template = deployment.spec.as_ref().map(|spec| spec.template.clone()).unwrap_or_default();
    let mut pod = Pod { spec: template.spec, ..Pod::default() };
    pod.metadata = template.metadata.unwrap_or_default();
    pod.metadata.name = Some(format!("{}-{hash}-{}", deployment.name_any(), suffix()));
    pod.metadata.namespace = deployment.namespace();
    pod.metadata.owner_references = deployment.controller_owner_ref(&()).map(|owner| vec![owner]);
    pod.metadata.labels.get_or_insert_default().insert(HASH_LABEL.to_owned(), hash.to_owned());
    if let Some(spec) = &mut pod.spec {
        spec.node_name = Some(super::NODE.to_owned());
    }
    pod
}

/// The letters of generated names, as Kubernetes chooses them: no vowels, nothing that looks like something else.
const LETTERS: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";

fn letters(mut number: u64, count: usize) -> String {
    let base = LETTERS.len() as u64;
    let letter = |_| {
        let index = usize::try_from(number % base).unwrap_or(0);
        number /= base;
        LETTERS.get(index).copied().map_or('b', char::from)
    };
    (0..count).map(letter).collect()
}

fn suffix() -> String {
    letters(RandomState::new().hash_one(0), 5)
}

fn template_hash(deployment: &Deployment) -> String {
    let template = deployment.spec.as_ref().map(|spec| &spec.template);
    let mut hasher = DefaultHasher::new();
    // A template always serialises; two that did not would merely share a hash.
    serde_json::to_string(&template).unwrap_or_default().hash(&mut hasher);
    letters(hasher.finish(), 9)
}

async fn write_status(
    client: &Client,
    deployment: &Deployment,
    wish: Wish,
    replicas: &[Replica],
    now: Timestamp,
) -> Result<(), kube::Error> {
    let count =
        |matches: fn(&Replica) -> bool| replicas.iter().filter(|replica| matches(replica)).count();
    let (updated, ready) = (count(|r| r.current), count(|r| r.ready));
    let available = count(|r| r.available);
    let numbers = json!({
        "observedGeneration": deployment.metadata.generation,
        "replicas": replicas.len(),
        "updatedReplicas": updated,
        "readyReplicas": ready,
        "availableReplicas": available,
        "unavailableReplicas": wish.replicas.max(replicas.len()).saturating_sub(available),
    });
    let complete = updated == wish.replicas && replicas.len() == updated && available == updated;
    let before = serde_json::to_value(&deployment.status).unwrap_or_default();
    let moved = ["replicas", "updatedReplicas", "readyReplicas", "availableReplicas"]
        .iter()
        .any(|field| before[*field].as_u64().unwrap_or(0) != numbers[*field].as_u64().unwrap_or(0));
    let least = match wish.strategy {
        rollout::Strategy::Rolling { unavailable, .. } => wish.replicas.saturating_sub(unavailable),
        rollout::Strategy::Recreate => wish.replicas,
    };
    let mut status = numbers;
    status["conditions"] = json!([
        available_condition(deployment, available >= least, now),
        progress_condition(deployment, complete, moved, now),
    ]);
    if unchanged(&before, &status) {
        return Ok(());
    }
    let api: Api<Deployment> =
        Api::namespaced(client.clone(), &deployment.namespace().unwrap_or_default());
    let parameters =
        PatchParams { field_manager: Some(super::MANAGER.to_owned()), ..PatchParams::default() };
    let patch = Patch::Merge(json!({"status": status}));
    match api.patch_status(&deployment.name_any(), &parameters, &patch).await {
        Err(error) if !is_gone(&error) => Err(error),
        _ => Ok(()),
    }
}

/// Zero counters are absent when read back, and say the same.
fn unchanged(before: &Value, status: &Value) -> bool {
    let fields = status.as_object().into_iter().flatten();
    fields.into_iter().all(|(field, value)| match value.as_u64() {
        Some(number) => before[field].as_u64().unwrap_or(0) == number,
        None => &before[field] == value,
    })
}

fn condition(
    deployment: &Deployment,
    kind: &str,
    (holds, reason, message): (bool, &str, String),
    moved: bool,
    now: Timestamp,
) -> Value {
    let before = condition_before(deployment, kind);
    let status = if holds { "True" } else { "False" };
    let same = before.filter(|before| before.status == status);
    let transition =
        same.and_then(|before| before.last_transition_time.as_ref()).map_or(now, |t| t.0);
    let update = same
        .filter(|before| before.reason.as_deref() == Some(reason) && !moved)
        .and_then(|before| before.last_update_time.as_ref())
        .map_or(now, |time| time.0);
    json!({
        "type": kind,
        "status": status,
        "reason": reason,
        "message": message,
        "lastTransitionTime": second(transition),
        "lastUpdateTime": second(update),
    })
}

fn condition_before<'a>(deployment: &'a Deployment, kind: &str) -> Option<&'a DeploymentCondition> {
    let conditions = deployment.status.as_ref()?.conditions.as_ref()?;
    conditions.iter().find(|condition| condition.type_ == kind)
}

fn available_condition(deployment: &Deployment, holds: bool, now: Timestamp) -> Value {
    let said = if holds {
        (true, "MinimumReplicasAvailable", "Deployment has minimum availability.".to_owned())
    } else {
        (
            false,
            "MinimumReplicasUnavailable",
            "Deployment does not have minimum availability.".to_owned(),
        )
    };
    condition(deployment, "Available", said, false, now)
}

fn progress_condition(
    deployment: &Deployment,
    complete: bool,
    moved: bool,
    now: Timestamp,
) -> Value {
    let name = deployment.name_any();
    let patience =
        deployment.spec.as_ref().and_then(|spec| spec.progress_deadline_seconds).unwrap_or(600);
    let last = condition_before(deployment, "Progressing")
        .and_then(|before| before.last_update_time.as_ref());
    let late = !moved
        && last.is_some_and(|last| {
            now.duration_since(last.0) > SignedDuration::from_secs(i64::from(patience))
        });
    let said = if complete {
        (
            true,
            "NewReplicaSetAvailable",
            format!("Deployment \"{name}\" has successfully progressed."),
        )
    } else if late {
        (
            false,
            "ProgressDeadlineExceeded",
            format!("Deployment \"{name}\" has timed out progressing."),
        )
    } else {
        (true, "ReplicaSetUpdated", format!("Deployment \"{name}\" is progressing."))
    };
    condition(deployment, "Progressing", said, moved, now)
}

/// The pods that a selector means; an empty one means none.
pub(crate) fn selects(selector: &BTreeMap<String, String>, pod: &Pod) -> bool {
    let labels = pod.labels();
    !selector.is_empty() && selector.iter().all(|(key, value)| labels.get(key) == Some(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deployment(text: &str) -> Deployment {
        serde_json::from_value(json!({
            "metadata": {"name": "echo", "namespace": "shop", "uid": "d1"},
            "spec": {"selector": {}, "template": {
                "metadata": {"labels": {"app": "echo"}},
                "spec": {"containers": [{"name": "echo", "args": [text]}]},
            }},
        }))
        .unwrap()
    }

    #[test]
    fn the_hash_follows_the_template_alone() {
        let mut scaled = deployment("v1");
        scaled.spec.as_mut().unwrap().replicas = Some(7);
        assert_eq!(template_hash(&deployment("v1")), template_hash(&scaled));
        assert_ne!(template_hash(&deployment("v1")), template_hash(&deployment("v2")));
    }

    #[test]
    fn a_pod_is_owned_and_labelled() {
        let pod = desired_pod(&deployment("v1"), "bcd");
        assert!(pod.name_any().starts_with("echo-bcd-"));
        assert_eq!(pod.labels().get(HASH_LABEL).unwrap(), "bcd");
        assert!(is_owned(&pod, &deployment("v1")));
    }

    #[test]
    fn a_condition_keeps_its_times_while_it_stays() {
        let mut it = deployment("v1");
        let first =
            condition(&it, "Available", (true, "R", String::new()), false, Timestamp::UNIX_EPOCH);
        it.status = serde_json::from_value(json!({"conditions": [first]})).unwrap();
        let later = Timestamp::from_second(100).unwrap();
        let same = condition(&it, "Available", (true, "R", String::new()), false, later);
        assert_eq!(same, first);
        let moved = condition(&it, "Available", (true, "R", String::new()), true, later);
        assert_eq!(moved["lastUpdateTime"], "1970-01-01T00:01:40Z");
        assert_eq!(moved["lastTransitionTime"], "1970-01-01T00:00:00Z");
    }
}
