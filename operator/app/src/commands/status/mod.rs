//! `gatefleet status`: what every fleet says about itself.

mod rest;
mod table;

use std::{error::Error, process::ExitCode, time::Duration};

use gatefleet_crds::GatewayConfig;
use kube::{
    Api,
    api::{ApiResource, DynamicObject, ListParams},
};
use serde_json::{Value, json};

use crate::{
    cluster::{Cluster, ClusterArgs, ClusterError},
    logging,
    output::{Output, print},
};

const ASKED: &str = "list GatewayConfigs";
/// How often `--watch` looks.
const PACE: Duration = Duration::from_secs(1);
/// A fleet is not ready.
const NOT_READY: u8 = 3;

/// Show fleets, tiers, addresses, phases and problems.
///
/// Exit status 0: every fleet that is shown is ready in its newest generation; 3: one is not; 1: nothing could be asked.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only this `GatewayConfig`, with its listeners, conditions and problems.
    pub(crate) name: Option<String>,
    /// Only this namespace [default: all of them].
    #[arg(short, long)]
    pub(crate) namespace: Option<String>,
    /// Which form.
    #[arg(short, long, value_enum, default_value_t)]
    pub(crate) output: Output,
    /// Go on, and print again whatever changes.
    #[arg(short, long)]
    pub(crate) watch: bool,
    #[command(flatten)]
    pub(crate) cluster: ClusterArgs,
}

/// Why there is no table.
#[derive(Debug, thiserror::Error)]
enum StatusError {
    #[error(
        "{ASKED}: the API server does not know them; install them: gatefleet crds | kubectl apply --server-side -f -"
    )]
    DefinitionMissing,
    #[error("show GatewayConfig {name}: there is none{place}; gatefleet status lists all")]
    Unknown { name: String, place: String },
    #[error(transparent)]
    Cluster(ClusterError),
}

impl From<ClusterError> for StatusError {
    fn from(error: ClusterError) -> Self {
        match error {
            ClusterError::Unknown { .. } => Self::DefinitionMissing,
            error => Self::Cluster(error),
        }
    }
}

/// One `GatewayConfig` as the API server tells it: also what an operator of another version wrote is shown.
#[derive(Clone, Debug, PartialEq)]
struct Fleet {
    namespace: String,
    name: String,
    generation: i64,
    spec: Value,
    status: Value,
}

impl Fleet {
    fn of(object: DynamicObject) -> Self {
        Self {
            namespace: object.metadata.namespace.unwrap_or_default(),
            name: object.metadata.name.unwrap_or_default(),
            generation: object.metadata.generation.unwrap_or_default(),
            spec: object.data.get("spec").cloned().unwrap_or_default(),
            status: object.data.get("status").cloned().unwrap_or_default(),
        }
    }

    fn condition(&self, wanted: &str) -> Option<&str> {
        let conditions = self.status["conditions"].as_array()?;
        let found = conditions.iter().find(|condition| condition["type"] == wanted)?;
        found["status"].as_str()
    }

    /// Ready, and that is said of the newest generation.
    fn is_ready(&self) -> bool {
        self.condition("Ready") == Some("True")
            && self.status["observedGeneration"].as_i64() == Some(self.generation)
    }

    fn document(&self) -> Value {
        let Self { namespace, name, generation, spec: _, status } = self;
        let ready = self.is_ready();
        json!({"namespace": namespace, "name": name, "generation": generation, "ready": ready, "status": status})
    }
}

/// Prints what is asked for, once or whenever it changes.
pub(crate) async fn run(args: Args) -> Result<ExitCode, Box<dyn Error>> {
    let cluster = Cluster::find(&args.cluster).await?;
    let fleets = look(&cluster, &args).await?;
    let shown = render(&args, &fleets)?;
    print(&shown)?;
    if args.watch {
        follow(&cluster, &args, shown).await?;
    }
    let ready = fleets.iter().all(Fleet::is_ready);
    Ok(if ready { ExitCode::SUCCESS } else { ExitCode::from(NOT_READY) })
}

/// Prints whatever changes, until a signal or a closed output ends it.
async fn follow(cluster: &Cluster, args: &Args, mut shown: String) -> Result<(), Box<dyn Error>> {
    let mut silent = false;
    loop {
        tokio::time::sleep(PACE).await;
        match look(cluster, args).await {
            Ok(fleets) => {
                silent = false;
                let text = render(args, &fleets)?;
                if text != shown {
                    if !print(&format!("\n{text}"))? {
                        return Ok(());
                    }
                    shown = text;
                }
            }
            // Said once; it may come back.
            Err(error) if !silent => {
                silent = true;
                logging::complain(&crate::sentence(&error));
            }
            Err(_) => {}
        }
    }
}

async fn look(cluster: &Cluster, args: &Args) -> Result<Vec<Fleet>, StatusError> {
    let resource = ApiResource::erase::<GatewayConfig>(&());
    let api: Api<DynamicObject> = match &args.namespace {
        Some(namespace) => Api::namespaced_with(cluster.client.clone(), namespace, &resource),
        None => Api::all_with(cluster.client.clone(), &resource),
    };
    let params = ListParams::default();
    let listed = cluster.ask(ASKED, api.list(&params)).await?;
    let mut fleets: Vec<Fleet> = listed.items.into_iter().map(Fleet::of).collect();
    if let Some(name) = &args.name {
        fleets.retain(|fleet| fleet.name == *name);
        if fleets.is_empty() {
            let place = args.namespace.as_ref().map(|one| format!(" in namespace {one}"));
            let place = place.unwrap_or_default();
            return Err(StatusError::Unknown { name: name.clone(), place });
        }
    }
    Ok(fleets)
}

fn render(args: &Args, fleets: &[Fleet]) -> Result<String, Box<dyn Error>> {
    let document = json!({"fleets": fleets.iter().map(Fleet::document).collect::<Vec<_>>()});
    args.output.render(&document, || {
        if args.name.is_some() {
            fleets.iter().map(table::details).collect::<Vec<_>>().join("\n")
        } else {
            table::overview(fleets, args.namespace.as_deref())
        }
    })
}

#[cfg(test)]
mod tests {
    use http::{Response, StatusCode};
    use kube::{Client, client::Body};

    use super::*;

    fn args(name: Option<&str>) -> Args {
        Args {
            name: name.map(str::to_owned),
            namespace: Some("edge".to_owned()),
            output: Output::Table,
            watch: false,
            cluster: ClusterArgs { kubeconfig: None },
        }
    }

    /// A server that answers everything with `answer`.
    fn server(status: u16, answer: &Value) -> Cluster {
        let text = answer.to_string();
        let service = tower::service_fn(move |_: http::Request<Body>| {
            let response = Response::builder()
                .status(StatusCode::from_u16(status).unwrap())
                .body(Body::from(text.clone().into_bytes()));
            async move { Ok::<_, std::io::Error>(response.unwrap()) }
        });
        Cluster::of(Client::new(service, "default"))
    }

    fn refusal(code: u16, message: &str) -> Cluster {
        let answer = json!({
            "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code,
            "message": message, "reason": "Any",
        });
        server(code, &answer)
    }

    #[tokio::test]
    async fn a_refusal_says_what_to_do() {
        let forbidden = "gatewayconfigs.gatefleet.dev is forbidden: User \"jo\" cannot list";
        for (code, message, parts) in [
            (403, forbidden, vec!["list GatewayConfigs", "User \"jo\"", "Role"]),
            (401, "Unauthorized", vec!["credentials of the kubeconfig", "renew"]),
            (404, "the server could not find", vec!["gatefleet crds | kubectl apply"]),
            (500, "etcd is away", vec!["list GatewayConfigs", "etcd is away"]),
        ] {
            let cluster = refusal(code, message);
            let error = look(&cluster, &args(None)).await.unwrap_err();
            let said = crate::sentence(&error);
            for part in parts {
                assert!(said.contains(part), "{code}: {said} lacks {part:?}");
            }
        }
    }

    #[tokio::test]
    async fn a_name_that_is_not_there_is_an_error_and_an_empty_cluster_is_none() {
        let empty = json!({"kind": "GatewayConfigList", "apiVersion": "gatefleet.dev/v1alpha1",
            "metadata": {}, "items": []});
        let cluster = server(200, &empty);
        assert_eq!(look(&cluster, &args(None)).await.unwrap(), []);
        let error = look(&cluster, &args(Some("prod"))).await.unwrap_err().to_string();
        assert!(error.contains("prod: there is none in namespace edge"), "{error}");
    }

    #[test]
    fn ready_is_said_of_the_newest_generation() {
        let fleet = |generation, ready: &str| Fleet {
            namespace: "edge".to_owned(),
            name: "prod".to_owned(),
            generation,
            spec: Value::Null,
            status: json!({"observedGeneration": 4, "conditions": [{"type": "Ready", "status": ready}]}),
        };
        assert!(fleet(4, "True").is_ready());
        assert!(!fleet(5, "True").is_ready(), "the operator has not seen generation 5");
        assert!(!fleet(4, "False").is_ready());
    }
}
