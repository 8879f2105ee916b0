//! What happens, and what must be so afterwards.

use std::{
    collections::BTreeMap,
    path::Path,
    time::{Duration, Instant},
};

use kube::{
    Client,
    api::{DeleteParams, ListParams, Patch, PatchParams},
};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    events::undocumented,
    expect::{difference, with_conditions},
    history::History,
    objects::{self, Name},
    pods,
    world::{Faults, World, held},
};

/// One story.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Story {
    /// What it tells, in a sentence.
    pub story: String,
    steps: Vec<Step>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
enum Step {
    /// Somebody applies objects.
    Apply(Vec<Value>),
    /// Somebody applies `count` copies of an object, `{n}` being their number.
    ApplyMany { count: usize, object: Value },
    /// The API server must refuse an object with a message that contains this.
    Refused { object: Value, message: String },
    /// Somebody merges changes into an object, or into its status.
    Patch {
        object: String,
        #[serde(default)]
        merge: Value,
        #[serde(default)]
        status: Value,
    },
    /// Somebody, such as an autoscaler, writes the scale of an object.
    Scale { object: String, replicas: u32 },
    /// Each proxy of a Deployment is measured to use so much CPU (`120m`).
    Cpu { of: String, usage: String },
    /// Somebody drains the nodes of all pods of a Deployment at a time: so many may go.
    Evict { of: String, allowed: usize },
    /// Somebody deletes objects.
    Delete(Vec<String>),
    /// The same, and everything that they own before them.
    DeleteFirstDependents(Vec<String>),
    /// Somebody makes a Secret with a new certificate for these names.
    Certificate { secret: String, names: Vec<String> },
    /// The proxies refuse resources whose names begin so, for this reason. Empty: none.
    Refuse(BTreeMap<String, String>),
    /// The proxies stop installing, or go on.
    Stuck(bool),
    /// No proxy reaches the operator, or all do again; they stay ready.
    CutOff(bool),
    /// The kubelet works, or does not.
    Kubelet(bool),
    /// The operator runs, or is killed.
    Operator(bool),
    /// The operator is killed, and starts again for these namespaces only.
    OperatorWatches(Vec<String>),
    /// Another installation starts in a namespace, for these namespaces or for all: it ends with an error that contains
    /// this, or, without it, goes on for three seconds, and is killed then.
    Rival {
        namespace: String,
        #[serde(default)]
        watches: Vec<String>,
        #[serde(default)]
        says: String,
    },
    /// Within 45 seconds (a loaded machine is slow) it must be so.
    Expect(Vec<Expectation>),
    /// From now on these objects must not change (see `unchanged`).
    Remember(Vec<String>),
    /// Remembers which version of a resource the proxies of a Deployment hold (see `held-anew`).
    RememberHeld { of: String, resource: String },
    /// They have not.
    Unchanged(Vec<String>),
    /// From now on a watch notes every state of these objects.
    Watch(Vec<String>),
    /// A field had exactly these values one after the other since the watch began.
    Seen { object: String, path: String, values: Vec<Value> },
    /// A field never had a lower value since the watch began.
    Lowest { object: String, path: String, is: i64 },
    /// What is under way ends, and then the operator writes nothing for so many milliseconds.
    Quiet(u64),
    /// It is so now and stays so for so many milliseconds.
    Steady { milliseconds: u64, object: String, has: Value },
    /// Time goes by, in milliseconds: only where nothing can be waited for.
    Wait(u64),
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, untagged)]
enum Expectation {
    Object {
        object: String,
        has: Value,
    },
    Absent {
        absent: String,
    },
    /// An Event about an object.
    Event {
        event: String,
        reason: String,
        #[serde(default)]
        message: String,
        #[serde(default)]
        times: Option<usize>,
    },
    /// What every proxy of a Deployment holds; there is at least one.
    Held {
        held: String,
        has: Value,
    },
    /// Every proxy of a Deployment holds another version of the resource than was remembered.
    HeldAnew {
        #[serde(rename = "held-anew")]
        held_anew: String,
        resource: String,
    },
    /// How many objects of a kind with these labels exist in a namespace.
    Count {
        count: String,
        labels: String,
        is: usize,
    },
}

const PATIENCE: Duration = Duration::from_secs(45);

/// Reads a story from a file and lets it happen on an API server of its own.
///
/// # Panics
///
/// When the file is no story.
///
/// # Errors
///
/// Which step of the story did not hold, and why.
pub async fn tell(path: &Path, client: Client, faults: Faults) -> Result<(), String> {
    let text = std::fs::read_to_string(path).unwrap();
    let tree: Value =
        serde_saphyr::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let story: Story =
        serde_json::from_value(tree).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let world = World::start(client, faults).await;
    let mut telling = Telling { world, remembered: BTreeMap::new(), histories: BTreeMap::new() };
    for (number, step) in story.steps.iter().enumerate() {
        telling
            .step(step)
            .await
            .map_err(|problem| format!("{}: step {}: {problem}", story.story, number + 1))?;
        if let Some(failure) = telling.world.failure().await {
            return Err(format!("{}: step {}: {failure}", story.story, number + 1));
        }
    }
    let beyond = telling.world.overreach.all();
    if !beyond.is_empty() {
        let lacking = beyond.join(", ");
        return Err(format!("{}: the operator's permissions lack {lacking}", story.story));
    }
    let unknown = undocumented(&telling.world.client).await;
    if unknown.is_empty() {
        return Ok(());
    }
    Err(format!("{}: no reference tells of the Events {}", story.story, unknown.join(", ")))
}

struct Telling {
    world: World,
    remembered: BTreeMap<String, Value>,
    histories: BTreeMap<String, History>,
}

impl Telling {
    async fn step(&mut self, step: &Step) -> Result<(), String> {
        let client = self.world.client.clone();
        match step {
            Step::Apply(all) => {
                for object in all {
                    objects::apply(&client, object).await?;
                }
            }
            Step::ApplyMany { count, object } => {
                for n in 0..*count {
                    let text = object.to_string().replace("{n}", &n.to_string());
                    objects::apply(&client, &serde_json::from_str(&text).unwrap()).await?;
                }
            }
            Step::Refused { object, message } => match objects::apply(&client, object).await {
                Ok(()) => return Err(format!("the API server took {object}")),
                Err(said) if said.contains(message) => {}
                Err(said) => return Err(format!("{said:?} does not contain {message:?}")),
            },
            Step::Patch { object, merge, status } => patch(&client, object, merge, status).await?,
            Step::Scale { object, replicas } => scale(&client, object, *replicas).await?,
            Step::Cpu { of, usage } => pods::measure(&client, of, usage).await?,
            Step::Evict { of, allowed } => pods::evict(&client, of, *allowed).await?,
            Step::Delete(all) => delete(&client, all, &DeleteParams::default()).await?,
            Step::DeleteFirstDependents(all) => {
                delete(&client, all, &DeleteParams::foreground()).await?;
            }
            Step::Certificate { secret, names } => {
                objects::apply(&client, &certificate(secret, names)).await?;
            }
            Step::Refuse(refuse) => {
                self.world.behaviour.send_modify(|behaviour| behaviour.refuse.clone_from(refuse));
            }
            Step::Stuck(stuck) => {
                self.world.behaviour.send_modify(|behaviour| behaviour.stuck = *stuck);
            }
            Step::CutOff(cut_off) => {
                self.world.behaviour.send_modify(|behaviour| behaviour.cut_off = *cut_off);
            }
            Step::Kubelet(works) => drop(self.world.kubelet.send_replace(*works)),
            Step::Operator(true) => self.world.start_operator(),
            Step::Operator(false) => self.world.stop_operator().await,
            Step::OperatorWatches(names) => self.world.restart_for(names).await,
            Step::Rival { namespace, watches, says } => {
                self.world.rival(namespace, watches, says).await?;
            }
            judgement => self.judge(judgement).await?,
        }
        Ok(())
    }

    /// The steps that change nothing.
    async fn judge(&mut self, step: &Step) -> Result<(), String> {
        match step {
            Step::Expect(all) => {
                for expectation in all {
                    self.expect(expectation).await?;
                }
            }
            Step::Remember(names) => self.remember(names).await?,
            Step::RememberHeld { of, resource } => {
                let versions = self.versions(of, resource);
                self.remembered.insert(format!("{of} {resource}"), versions.into());
            }
            Step::Unchanged(names) => self.unchanged(names).await?,
            Step::Steady { milliseconds, object, has } => {
                self.steady(*milliseconds, object, has).await?;
            }
            Step::Quiet(milliseconds) => self.quiet(*milliseconds).await?,
            Step::Wait(milliseconds) => {
                tokio::time::sleep(Duration::from_millis(*milliseconds)).await;
            }
            Step::Watch(names) => {
                for name in names {
                    let history = History::begin(&self.world.client, &Name::parse(name)).await;
                    self.histories.insert(name.clone(), history);
                }
            }
            Step::Lowest { object, path, is } => {
                let seen = self.histories[object].values(path);
                let lowest = seen.iter().map(|value| value.as_i64().unwrap_or_default()).min();
                if lowest != Some(*is) {
                    return Err(format!("{path} of {object} was {seen:?}"));
                }
            }
            Step::Seen { object, path, values } => self.seen(object, path, values).await?,
            deed => panic!("{deed:?} judges nothing"),
        }
        Ok(())
    }

    async fn expect(&mut self, expectation: &Expectation) -> Result<(), String> {
        let start = Instant::now();
        loop {
            let Some(problem) = self.problem(expectation).await else { return Ok(()) };
            if start.elapsed() > PATIENCE {
                return Err(format!("after {PATIENCE:?}: {problem}"));
            }
            if let Some(failure) = self.world.failure().await {
                return Err(failure);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn seen(&self, object: &str, path: &str, values: &[Value]) -> Result<(), String> {
        let history =
            self.histories.get(object).ok_or_else(|| format!("{object} is not watched"))?;
        let start = Instant::now();
        loop {
            let seen = history.values(path);
            if seen == values {
                return Ok(());
            }
            if !values.starts_with(&seen) || start.elapsed() > PATIENCE {
                return Err(format!("{path} of {object} was {seen:?} one after the other"));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn steady(&self, milliseconds: u64, object: &str, has: &Value) -> Result<(), String> {
        let expectation = Expectation::Object { object: object.to_owned(), has: has.clone() };
        let start = Instant::now();
        while start.elapsed() < Duration::from_millis(milliseconds) {
            if let Some(problem) = self.problem(&expectation).await {
                return Err(problem);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    }

    async fn problem(&self, expectation: &Expectation) -> Option<String> {
        let client = &self.world.client;
        match expectation {
            Expectation::Object { object, has } => match Name::parse(object).get(client).await {
                Some(seen) => difference(has, &with_conditions(seen), object),
                None => Some(format!("{object} does not exist")),
            },
            Expectation::Absent { absent } => {
                let there = Name::parse(absent).get(client).await.is_some();
                there.then(|| format!("{absent} still exists"))
            }
            Expectation::Event { event, reason, message, times } => {
                let said = events(client, &Name::parse(event)).await;
                let fits = |said: &&(String, String)| said.0 == *reason && said.1.contains(message);
                let found = said.iter().filter(fits).count();
                let enough = times.map_or(found > 0, |times| found == times);
                (!enough)
                    .then(|| format!("{event} has {found} events {reason} {message:?}: {said:?}"))
            }
            Expectation::Held { held: deployment, has } => {
                let all = held(&self.world.proxies, deployment);
                if all.is_empty() {
                    return Some(format!("{deployment} has no proxy"));
                }
                all.iter().find_map(|seen| difference(has, seen, deployment))
            }
            Expectation::HeldAnew { held_anew: of, resource } => {
                let (versions, key) = (self.versions(of, resource), format!("{of} {resource}"));
                let before = self.remembered[&key].as_array().unwrap();
                let old = versions.iter().find(|version| before.contains(version));
                old.map(|version| format!("{key} is still held in version {version}"))
            }
            Expectation::Count { count, labels, is } => {
                let (kind, namespace) = count.split_once(' ').unwrap_or((count, ""));
                let api = objects::api(client, kind, namespace);
                let found =
                    api.list(&ListParams::default().labels(labels)).await.unwrap().items.len();
                (found != *is).then(|| format!("{found} {count} with {labels}, not {is}"))
            }
        }
    }

    fn versions(&self, deployment: &str, resource: &str) -> Vec<Value> {
        let all = held(&self.world.proxies, deployment);
        all.iter().map(|seen| seen[resource]["version"].clone()).collect()
    }

    async fn remember(&mut self, names: &[String]) -> Result<(), String> {
        for text in names {
            let object = Name::parse(text).get(&self.world.client).await;
            let object = object.ok_or_else(|| format!("{text} does not exist"))?;
            self.remembered.insert(text.clone(), without_status(object));
        }
        Ok(())
    }

    async fn unchanged(&self, names: &[String]) -> Result<(), String> {
        for text in names {
            let before =
                self.remembered.get(text).ok_or_else(|| format!("{text} is not remembered"))?;
            let object = Name::parse(text).get(&self.world.client).await;
            let now = object.map(without_status).ok_or_else(|| format!("{text} is gone"))?;
            if *before != now {
                let changed = difference(before, &now, text);
                return Err(format!("{text} changed: {changed:?}"));
            }
        }
        Ok(())
    }

    async fn quiet(&self, milliseconds: u64) -> Result<(), String> {
        let start = Instant::now();
        loop {
            self.world.writes.lock().unwrap().clear();
            tokio::time::sleep(Duration::from_millis(milliseconds)).await;
            let writes = self.world.writes.lock().unwrap();
            if writes.is_empty() {
                return Ok(());
            }
            if start.elapsed() > PATIENCE {
                return Err(format!("the operator goes on writing: {writes:?}"));
            }
        }
    }
}

async fn delete(client: &Client, names: &[String], how: &DeleteParams) -> Result<(), String> {
    for name in names {
        let name = Name::parse(name);
        let deleted = name.api(client).delete(&name.name, how).await;
        deleted.map_err(|error| format!("delete {name:?}: {error}"))?;
    }
    Ok(())
}

async fn patch(client: &Client, object: &str, merge: &Value, status: &Value) -> Result<(), String> {
    let name = Name::parse(object);
    let (api, params) = (name.api(client), PatchParams::default());
    if !merge.is_null() {
        let patched = api.patch(&name.name, &params, &Patch::Merge(merge)).await;
        patched.map_err(|error| format!("patch {object}: {error}"))?;
    }
    if !status.is_null() {
        let body = json!({ "status": status });
        let patched = api.patch_status(&name.name, &params, &Patch::Merge(body)).await;
        patched.map_err(|error| format!("patch status of {object}: {error}"))?;
    }
    Ok(())
}

async fn scale(client: &Client, object: &str, replicas: u32) -> Result<(), String> {
    let name = Name::parse(object);
    let params =
        PatchParams { field_manager: Some("autoscaler".to_owned()), ..PatchParams::default() };
    let body = Patch::Merge(json!({ "spec": { "replicas": replicas } }));
    let scaled = name.api(client).patch_scale(&name.name, &params, &body).await;
    scaled.map(drop).map_err(|error| format!("scale {object}: {error}"))
}

/// Reason and message of every Event about an object.
async fn events(client: &Client, about: &Name) -> Vec<(String, String)> {
    let namespace = if about.namespace.is_empty() { "default" } else { &about.namespace };
    let all = objects::api(client, "Event", namespace).list(&ListParams::default()).await.unwrap();
    let text = |event: &Value, pointer: &str| {
        event.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    let all = all.items.into_iter().map(|event| serde_json::to_value(event).unwrap());
    all.filter(|event| {
        text(event, "/involvedObject/kind") == about.kind
            && text(event, "/involvedObject/name") == about.name
    })
    .map(|event| (text(&event, "/reason"), text(&event, "/message")))
    .collect()
}

/// What somebody wrote; the kubelet's reports are not meant.
fn without_status(mut object: Value) -> Value {
    let members = object.as_object_mut().unwrap();
    members.remove("status");
    if let Some(metadata) = members.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("resourceVersion");
        metadata.remove("managedFields");
    }
    object
}

fn certificate(secret: &str, names: &[String]) -> Value {
    let rcgen::CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(names.to_vec()).unwrap();
    let (namespace, name) = secret.split_once('/').unwrap();
    json!({
        "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
        "metadata": { "namespace": namespace, "name": name },
        "stringData": { "tls.crt": cert.pem(), "tls.key": signing_key.serialize_pem() },
    })
}
