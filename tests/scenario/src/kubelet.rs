//! The rest of a cluster: pods for Deployments, readiness, addresses for load balancers.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use gatefleet_channel::PodIdentity;
use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{ConfigMap, Pod, Secret, Service},
};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::proxy::{Behaviour, Proxy};

const OWN: &str = "app.kubernetes.io/managed-by=gatefleet";
/// A small cluster can afford to look often.
const TICK: Duration = Duration::from_millis(20);

/// Proxies by pod UID.
pub(crate) type Proxies = Arc<Mutex<BTreeMap<String, (String, Proxy)>>>;

/// Plays controller manager, kubelet and load balancer until it is dropped.
pub(crate) struct Kubelet {
    pub(crate) client: Client,
    pub(crate) behaviour: watch::Receiver<Behaviour>,
    pub(crate) running: watch::Receiver<bool>,
    pub(crate) proxies: Proxies,
}

impl Kubelet {
    pub(crate) async fn run(self) {
        while !self.client_is_gone() {
            if *self.running.borrow() {
                // Objects come and go under its hands; the next look puts it right.
                drop(self.look().await);
            }
            tokio::time::sleep(TICK).await;
        }
    }

    fn client_is_gone(&self) -> bool {
        self.running.has_changed().is_err()
    }

    async fn look(&self) -> Result<(), kube::Error> {
        let params = ListParams::default().labels(OWN);
        let deployments: Api<Deployment> = Api::all(self.client.clone());
        let pods: Api<Pod> = Api::all(self.client.clone());
        let deployments = deployments.list(&params).await?.items;
        let mut pods = pods.list(&params).await?.items;
        pods.sort_by_key(ResourceExt::name_any);
        for deployment in &deployments {
            let own = pods.iter().filter(|pod| is_owned_by(pod, deployment)).collect::<Vec<_>>();
            self.scale(deployment, &own).await?;
            self.report(deployment, &own).await?;
        }
        for pod in &pods {
            self.run_pod(pod).await?;
        }
        let uids: Vec<String> = pods.iter().filter_map(|pod| pod.metadata.uid.clone()).collect();
        self.proxies.lock().unwrap().retain(|uid, _| uids.contains(uid));
        self.balance(&params).await
    }

    /// Makes and deletes pods. A changed template replaces all of them, new ones first.
    async fn scale(&self, deployment: &Deployment, own: &[&Pod]) -> Result<(), kube::Error> {
        let spec = deployment.spec.clone().unwrap_or_default();
        let template = serde_json::to_value(&spec.template).unwrap();
        let hash = format!("{:016x}", hash_of(&template));
        let namespace = deployment.namespace().unwrap_or_default();
        let api: Api<Pod> = Api::namespaced(self.client.clone(), &namespace);
        let wanted = usize::try_from(spec.replicas.unwrap_or(1)).unwrap_or(0);
        let (new, old): (Vec<&Pod>, Vec<&Pod>) =
            own.iter().copied().partition(|pod| pod.annotations().get("template") == Some(&hash));
        for index in 0..wanted {
            let name =
                format!("{}-{}-{index}", deployment.name_any(), hash.get(..8).unwrap_or(&hash));
            if !new.iter().any(|pod| pod.name_any() == name) {
                let mut metadata = template["metadata"].clone();
                metadata["name"] = name.into();
                metadata["annotations"]["template"] = hash.clone().into();
                metadata["ownerReferences"] = json!([deployment.controller_owner_ref(&())]);
                let mut pod = json!({ "metadata": metadata, "spec": template["spec"] });
                pod["spec"]["nodeName"] = format!("node-{index}").into();
                api.create(&PostParams::default(), &serde_json::from_value(pod).unwrap()).await?;
            }
        }
        let ready = new.iter().filter(|pod| is_ready(pod)).count();
        let surplus = new.iter().skip(wanted).chain(old.iter().filter(|_| ready >= wanted));
        for pod in surplus {
            let now = DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() };
            api.delete(&pod.name_any(), &now).await?;
        }
        Ok(())
    }

    async fn report(&self, deployment: &Deployment, own: &[&Pod]) -> Result<(), kube::Error> {
        let ready = own.iter().filter(|pod| is_ready(pod)).count();
        let status = json!({
            "observedGeneration": deployment.metadata.generation,
            "replicas": own.len(), "updatedReplicas": own.len(),
            "readyReplicas": ready, "availableReplicas": ready,
        });
        let shown = serde_json::to_value(&deployment.status).unwrap();
        if crate::expect::difference(&without_zeros(&status), &shown, "").is_none() {
            return Ok(());
        }
        let namespace = deployment.namespace().unwrap_or_default();
        let api: Api<Deployment> = Api::namespaced(self.client.clone(), &namespace);
        let patch = Patch::Merge(json!({ "status": status }));
        api.patch_status(&deployment.name_any(), &PatchParams::default(), &patch).await?;
        Ok(())
    }

    /// Starts the proxy, keeps its volumes fresh, and shows its readiness.
    async fn run_pod(&self, pod: &Pod) -> Result<(), kube::Error> {
        let namespace = pod.namespace().unwrap_or_default();
        let uid = pod.uid().unwrap_or_default();
        if pod.metadata.deletion_timestamp.is_some() {
            // A pod on a node goes when its kubelet says that it has ended.
            let pods: Api<Pod> = Api::namespaced(self.client.clone(), &namespace);
            let now = DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() };
            return pods.delete(&pod.name_any(), &now).await.map(drop);
        }
        let spec = serde_json::to_value(&pod.spec).unwrap();
        let volume = |pointer: &str| {
            let volumes = spec["volumes"].as_array().into_iter().flatten();
            { volumes }.find_map(|v| Some(v.pointer(pointer)?.as_str()?.to_owned()))
        };
        let (Some(secret), Some(map)) = (volume("/secret/secretName"), volume("/configMap/name"))
        else {
            return Ok(());
        };
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), &namespace);
        let channel = secrets.get(&secret).await?.data.unwrap_or_default();
        let channel: BTreeMap<String, Vec<u8>> =
            channel.into_iter().map(|(key, bytes)| (key, bytes.0)).collect();
        let known = self.proxies.lock().unwrap().get(&uid).map(|(_, proxy)| {
            proxy.mount(&channel);
            proxy.state.borrow().ready
        });
        let ready = known.unwrap_or_default();
        if known.is_none() {
            self.start_proxy(pod, &map, &channel).await?;
        }
        if ready == is_ready(pod)
            && pod.status.as_ref().is_some_and(|s| s.phase.as_deref() == Some("Running"))
        {
            return Ok(());
        }
        let status = if ready { "True" } else { "False" };
        let patch = json!({ "status": { "phase": "Running", "startTime": "2026-01-01T00:00:00Z", "conditions": [
            { "type": "Ready", "status": status, "lastTransitionTime": "2026-01-01T00:00:00Z" },
        ]}});
        let api: Api<Pod> = Api::namespaced(self.client.clone(), &namespace);
        api.patch_status(&pod.name_any(), &PatchParams::default(), &Patch::Merge(patch)).await?;
        Ok(())
    }

    async fn start_proxy(
        &self,
        pod: &Pod,
        map: &str,
        channel: &BTreeMap<String, Vec<u8>>,
    ) -> Result<(), kube::Error> {
        let (namespace, uid) = (pod.namespace().unwrap_or_default(), pod.uid().unwrap_or_default());
        let maps: Api<ConfigMap> = Api::namespaced(self.client.clone(), &namespace);
        let bootstrap = maps.get(map).await?.data.unwrap_or_default();
        let identity = PodIdentity { name: pod.name_any(), uid: uid.clone() };
        let text = bootstrap.get("bootstrap.json").cloned().unwrap_or_default();
        let proxy = Proxy::start(identity, &text, channel, self.behaviour.clone());
        let owner = pod.owner_references().first().map(|owner| owner.name.clone());
        let place = format!("{namespace}/{}", owner.unwrap_or_default());
        self.proxies.lock().unwrap().insert(uid, (place, proxy));
        Ok(())
    }

    async fn balance(&self, params: &ListParams) -> Result<(), kube::Error> {
        let all: Api<Service> = Api::all(self.client.clone());
        for service in all.list(params).await?.items {
            let spec = service.spec.clone().unwrap_or_default();
            let status = service.status.clone().and_then(|status| status.load_balancer);
            let has_address = status.is_some_and(|balancer| balancer.ingress.is_some());
            if spec.type_.as_deref() == Some("LoadBalancer") && !has_address {
                let address = format!("192.0.2.{}", hash_of(&service.name_any().into()) % 250 + 1);
                let api: Api<Service> =
                    Api::namespaced(self.client.clone(), &service.namespace().unwrap_or_default());
                let patch =
                    json!({ "status": { "loadBalancer": { "ingress": [{ "ip": address }] } } });
                api.patch_status(
                    &service.name_any(),
                    &PatchParams::default(),
                    &Patch::Merge(patch),
                )
                .await?;
            }
        }
        Ok(())
    }
}

fn is_owned_by(pod: &Pod, deployment: &Deployment) -> bool {
    pod.owner_references().iter().any(|owner| Some(&owner.uid) == deployment.metadata.uid.as_ref())
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.into_iter().any(|c| c.type_ == "Ready" && c.status == "True")
}

/// The API server leaves zeros out.
fn without_zeros(status: &Value) -> Value {
    let members = status.as_object().unwrap().iter().filter(|(_, value)| **value != json!(0));
    Value::Object(members.map(|(key, value)| (key.clone(), value.clone())).collect())
}

fn hash_of(value: &Value) -> u64 {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    value.to_string().hash(&mut hasher);
    hasher.finish()
}
