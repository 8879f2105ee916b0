//! kubectl itself against the embedded server: what a user types, and what they read.
#![cfg(feature = "kube")]
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

use std::{path::PathBuf, process::Stdio, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::{
    FutureExt, StreamExt,
    future::BoxFuture,
    stream::{self, BoxStream},
};
use gatefleet_apiserver::{ApiServer, Credentials, LogRequest, Options, PodLogs};
use gatefleet_test_support::programs::kube_tools;
use tokio::{io::AsyncWriteExt, process::Command};

/// A server on a socket, and the kubeconfig that reaches it.
struct Setup {
    server: ApiServer,
    dir: tempfile::TempDir,
    kubectl: PathBuf,
    serving: tokio::task::JoinHandle<()>,
}

impl Drop for Setup {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// What a command said.
#[derive(Debug)]
struct Said {
    good: bool,
    out: String,
    err: String,
}

impl Said {
    #[track_caller]
    fn ok(self) -> String {
        assert!(self.good, "{self:?}");
        self.out
    }

    #[track_caller]
    fn failed(self) -> String {
        assert!(!self.good, "{self:?}");
        self.err
    }
}

struct TwoLines;

impl PodLogs for TwoLines {
    fn open(
        &self,
        request: LogRequest,
    ) -> BoxFuture<'static, Result<BoxStream<'static, Bytes>, String>> {
        let lines = vec![
            Bytes::from(format!("{}/{:?}\n", request.pod, request.tail_lines)),
            Bytes::from("second\n"),
        ];
        async move { Ok(stream::iter(lines).boxed()) }.boxed()
    }
}

async fn setup() -> Setup {
    let server =
        ApiServer::new(Options { pod_logs: Some(Arc::new(TwoLines)), ..Options::default() });
    let credentials = Credentials::generate(&[]).unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(
        dir.path().join("config"),
        credentials.kubeconfig(listener.local_addr().unwrap()),
    )
    .unwrap();
    let serving = server.clone();
    let serving = tokio::spawn(async move { drop(serving.serve(listener, &credentials).await) });
    Setup { server, dir, kubectl: kube_tools().join("kubectl"), serving }
}

impl Setup {
    fn command(&self, arguments: &str) -> Command {
        let mut command = Command::new(&self.kubectl);
        command
            .args(arguments.split_whitespace())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.dir.path())
            .env("KUBECONFIG", self.dir.path().join("config"))
            .current_dir(self.dir.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    async fn kubectl(&self, arguments: &str) -> Said {
        self.with_input(arguments, "").await
    }

    async fn with_input(&self, arguments: &str, input: &str) -> Said {
        finish(self.command(arguments), arguments, input).await
    }

    fn file(&self, name: &str, text: &str) {
        std::fs::write(self.dir.path().join(name), text).unwrap();
    }
}

async fn finish(mut command: Command, arguments: &str, input: &str) -> Said {
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input.as_bytes()).await.unwrap();
    drop(stdin);
    let output = tokio::time::timeout(Duration::from_mins(1), child.wait_with_output()).await;
    let output = output.unwrap_or_else(|_| panic!("kubectl {arguments} hangs")).unwrap();
    Said {
        good: output.status.success(),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

const DEFINITION: &str = r"
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: gadgets.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {plural: gadgets, kind: Gadget, shortNames: [gg], categories: [stuff]}
  versions:
  - name: v1
    served: true
    storage: true
    subresources: {status: {}}
    additionalPrinterColumns:
    - {name: Size, type: integer, jsonPath: .spec.size}
    - {name: Phase, type: string, jsonPath: .status.phase}
    schema:
      openAPIV3Schema:
        type: object
        description: A gadget does things.
        properties:
          spec:
            type: object
            properties:
              size: {type: integer, default: 1, description: How big it is.}
          status:
            type: object
            properties:
              phase: {type: string}
              conditions: {type: array, items: {type: object, properties: {type: {type: string}, status: {type: string}}}}
";

const GADGET: &str =
    "apiVersion: example.com/v1\nkind: Gadget\nmetadata: {name: one}\nspec: {size: 2}\n";

const DEPLOYMENT: &str = "
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {app: web}}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: 'web:1', ports: [{containerPort: 80}]}]}
";

#[tokio::test(flavor = "multi_thread")]
async fn a_custom_resource_is_declared_applied_explained_edited_and_deleted() {
    let s = setup().await;
    s.with_input("apply -f -", DEFINITION).await.ok();
    s.kubectl("wait --for=condition=Established crd/gadgets.example.com --timeout=10s").await.ok();
    assert_eq!(
        s.with_input("apply -f -", GADGET).await.ok().trim(),
        "gadget.example.com/one created"
    );
    assert_eq!(
        s.with_input("apply -f -", GADGET).await.ok().trim(),
        "gadget.example.com/one unchanged"
    );
    assert_eq!(
        s.with_input("apply -f -", &GADGET.replace('2', "3")).await.ok().trim(),
        "gadget.example.com/one configured"
    );
    let listed = s.kubectl("get gg").await.ok();
    let mut lines = listed.lines().map(|l| l.split_whitespace().collect::<Vec<_>>().join(" "));
    assert_eq!(
        (lines.next().unwrap(), lines.next().unwrap()),
        ("NAME SIZE PHASE".into(), "one 3".into())
    );
    assert!(s.kubectl("get stuff").await.ok().contains("one"));
    assert!(s.kubectl("get gadgets.v1.example.com one -o yaml").await.ok().contains("size: 3"));
    let explained = s.kubectl("explain gadget.spec.size").await.ok();
    assert!(explained.contains("How big it is.") && explained.contains("<integer>"), "{explained}");
    let wrong = s.with_input("apply -f -", &GADGET.replace("size", "sise")).await.failed();
    assert!(wrong.contains("unknown field \"spec.sise\""), "{wrong}");
    let wrong = s.with_input("apply -f -", &GADGET.replace('2', "'two'")).await.failed();
    assert!(
        wrong.contains(
            "spec.size: Invalid value: \"string\": spec.size in body must be of type integer"
        ),
        "{wrong}"
    );
    edit_and_delete(&s).await;
}

/// The rest of a gadget's life.
async fn edit_and_delete(s: &Setup) {
    s.file("editor", "#!/bin/sh\nsed -i 's/size: 3/size: 4/' \"$1\"\n");
    std::process::Command::new("chmod")
        .arg("+x")
        .arg(s.dir.path().join("editor"))
        .status()
        .unwrap();
    let mut edit = s.command("edit gadget one");
    edit.env("KUBE_EDITOR", s.dir.path().join("editor"));
    assert_eq!(finish(edit, "edit", "").await.ok().trim(), "gadget.example.com/one edited");
    assert_eq!(
        s.kubectl("get gadget one -o jsonpath={.spec.size},{.metadata.generation}").await.ok(),
        "4,3"
    );
    let described = s.kubectl("describe gadget one").await.ok();
    assert!(described.contains("Size:  4"), "{described}");
    assert!(
        s.kubectl("delete gadget one").await.ok().starts_with("gadget.example.com \"one\" deleted")
    );
    assert!(
        s.kubectl("get gadget one")
            .await
            .failed()
            .contains("gadgets.example.com \"one\" not found")
    );
    s.kubectl("delete crd gadgets.example.com").await.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn server_side_apply_and_its_conflicts() {
    let s = setup().await;
    s.file("d.yaml", DEPLOYMENT);
    assert_eq!(
        s.kubectl("apply --server-side -f d.yaml").await.ok().trim(),
        "deployment.apps/web serverside-applied"
    );
    assert_eq!(
        s.kubectl("apply --server-side -f d.yaml").await.ok().trim(),
        "deployment.apps/web serverside-applied"
    );
    s.kubectl("scale deployment web --replicas=3").await.ok();
    s.kubectl("set image deployment/web web=web:2").await.ok();
    let conflict = s.kubectl("apply --server-side -f d.yaml").await.failed();
    assert!(conflict.contains("conflict with \"kubectl-set\" using apps/v1: .spec.template.spec.containers[name=\"web\"].image"), "{conflict}");
    s.kubectl("apply --server-side --force-conflicts -f d.yaml").await.ok();
    assert_eq!(
        s.kubectl("get deployment web -o jsonpath={.spec.replicas},{..image}").await.ok(),
        "3,web:1"
    );
    // Client-side apply of built-in kinds goes by merge patches, which is what our OpenAPI offers.
    s.file("e.yaml", &DEPLOYMENT.replace("name: web, labels", "name: other, labels"));
    assert_eq!(s.kubectl("apply -f e.yaml").await.ok().trim(), "deployment.apps/other created");
    assert_eq!(s.kubectl("apply -f e.yaml").await.ok().trim(), "deployment.apps/other unchanged");
    s.file(
        "e.yaml",
        &DEPLOYMENT.replace("name: web, labels", "name: other, labels").replace("web:1", "web:9"),
    );
    assert_eq!(s.kubectl("apply -f e.yaml").await.ok().trim(), "deployment.apps/other configured");
    assert!(s.kubectl("diff -f e.yaml").await.good);
    s.kubectl("label deployment other a=b").await.ok();
    s.kubectl("annotate deployment other c=d").await.ok();
    s.kubectl("delete -f e.yaml --cascade=foreground").await.ok();
}

/// Command, how to look at what it made, and what is seen.
const CREATED: &[(&str, &str, &str)] = &[
    ("create namespace extra", "get namespace extra -o jsonpath={.status.phase}", "Active"),
    ("create configmap cm --from-literal=a=b", "get cm cm -o jsonpath={.data.a}", "b"),
    (
        "create secret generic sec --from-literal=a=b",
        "get secret sec -o jsonpath={.data.a},{.type}",
        "Yg==,Opaque",
    ),
    ("create serviceaccount sa", "get sa sa -o name", "serviceaccount/sa"),
    (
        "create deployment dep --image=web:1 --port=80 --replicas=2",
        "get deploy dep -o jsonpath={.spec.replicas},{..containerPort}",
        "2,80",
    ),
    (
        "expose deployment dep --port=80 --target-port=http",
        "get svc dep -o jsonpath={.spec.ports[0].targetPort},{.spec.selector.app}",
        "http,dep",
    ),
    (
        "create service clusterip svc --tcp=80:8080",
        "get svc svc -o jsonpath={.spec.ports[0].targetPort}",
        "8080",
    ),
    (
        "create ingress ing --class=c --rule=a.example.com/x*=svc:80,tls=t",
        "get ing ing -o jsonpath={..pathType},{..number},{.spec.tls[0].secretName}",
        "Prefix,80,t",
    ),
    (
        "create role r --verb=get --resource=pods",
        "get role r -o jsonpath={.rules[0].verbs}",
        "[\"get\"]",
    ),
    (
        "create poddisruptionbudget pdb --selector=a=b --min-available=50%",
        "get pdb pdb -o jsonpath={.spec.minAvailable}",
        "50%",
    ),
    (
        "run pod --image=web:1 --env=A=B",
        "get pod pod -o jsonpath={..env[0].value},{.status.phase}",
        "B,Pending",
    ),
    ("autoscale deployment dep --max=5", "get hpa dep -o jsonpath={.spec.maxReplicas}", "5"),
];

#[tokio::test(flavor = "multi_thread")]
async fn creating_sends_protobuf() {
    let s = setup().await;
    s.file("plain.txt", "hello");
    for (command, look, expected) in CREATED {
        s.kubectl(command).await.ok();
        assert_eq!(
            s.kubectl(look).await.ok(),
            (*expected).to_owned() + if look.ends_with("name") { "\n" } else { "" },
            "{command}"
        );
    }
    assert_eq!(s.kubectl("auth can-i create pods").await.ok().trim(), "yes");
    let twice = s.kubectl("create namespace extra").await.failed();
    assert!(twice.contains("namespaces \"extra\" already exists"), "{twice}");
    assert!(s.kubectl("delete namespace extra --timeout=10s").await.ok().contains("deleted"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tls_secret_is_made_from_files() {
    let s = setup().await;
    let pair = rcgen::generate_simple_self_signed(vec!["a.example.com".to_owned()]).unwrap();
    s.file("c.pem", &pair.cert.pem());
    s.file("k.pem", &pair.signing_key.serialize_pem());
    s.kubectl("create secret tls pair --cert=c.pem --key=k.pem").await.ok();
    assert_eq!(s.kubectl("get secret pair -o jsonpath={.type}").await.ok(), "kubernetes.io/tls");
}

#[tokio::test(flavor = "multi_thread")]
async fn watching_waiting_and_logs() {
    let s = setup().await;
    s.kubectl("run web --image=web:1").await.ok();
    let mut watch = s.command("get pods -w");
    let mut watch = watch.stdin(Stdio::null()).spawn().unwrap();
    let mut lines =
        tokio::io::AsyncBufReadExt::lines(tokio::io::BufReader::new(watch.stdout.take().unwrap()));
    let waiting = s.command("wait --for=condition=Ready pod/web --timeout=30s").spawn().unwrap();
    let deleted = s.command("wait --for=delete pod/web --timeout=30s").spawn().unwrap();
    assert!(lines.next_line().await.unwrap().unwrap().starts_with("NAME"));
    assert!(lines.next_line().await.unwrap().unwrap().contains("Pending"));
    let status =
        r#"{"status":{"phase":"Running","conditions":[{"type":"Ready","status":"True"}]}}"#;
    let mut patch = s.command("patch pod web --subresource=status --type=merge -p");
    patch.arg(status);
    finish(patch, "patch", "").await.ok();
    let running = tokio::time::timeout(Duration::from_secs(10), lines.next_line())
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    assert!(running.contains("Running") && running.starts_with("web"), "{running}");
    assert!(waiting.wait_with_output().await.unwrap().status.success());
    assert_eq!(s.kubectl("logs web --tail=5").await.ok(), "web/Some(5)\nsecond\n");
    assert!(s.kubectl("logs absent").await.failed().contains("pods \"absent\" not found"));
    s.kubectl("delete pod web").await.ok();
    assert!(deleted.wait_with_output().await.unwrap().status.success());
    watch.kill().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn events_show_where_they_belong() {
    use k8s_openapi::api::core::v1::{ObjectReference, Pod};
    use kube::runtime::events::{Event, EventType, Recorder, Reporter};
    let s = setup().await;
    s.kubectl("run web --image=web:1").await.ok();
    let pod: Pod = kube::Api::default_namespaced(s.server.client()).get("web").await.unwrap();
    let recorder = Recorder::new(s.server.client(), Reporter::from("test"));
    let event = Event {
        type_: EventType::Warning,
        reason: "Broken".into(),
        note: Some("it does not work".into()),
        action: "Looking".into(),
        secondary: None,
    };
    let reference = ObjectReference {
        api_version: Some("v1".into()),
        kind: Some("Pod".into()),
        name: pod.metadata.name.clone(),
        namespace: pod.metadata.namespace.clone(),
        uid: pod.metadata.uid.clone(),
        ..ObjectReference::default()
    };
    for _ in 0..2 {
        recorder.publish(&event, &reference).await.unwrap();
    }
    let events = s.kubectl("get events").await.ok();
    assert!(
        events.contains("Broken")
            && events.contains("pod/web")
            && events.contains("it does not work"),
        "{events}"
    );
    let described = s.kubectl("describe pod web").await.ok();
    assert!(described.contains("Warning  Broken"), "{described}");
    assert!(s.kubectl("events --for pod/web").await.ok().contains("Broken"));
}

#[tokio::test(flavor = "multi_thread")]
async fn built_in_kinds_are_explained_and_described() {
    let s = setup().await;
    let explained =
        s.kubectl("explain deployment.spec.template.spec.containers.readinessProbe").await.ok();
    assert!(explained.contains("initialDelaySeconds"), "{explained}");
    s.with_input("create -f -", DEPLOYMENT).await.ok();
    assert!(s.kubectl("describe deployment web").await.ok().contains("RollingUpdate"));
    assert!(s.kubectl("get all").await.ok().contains("deployment.apps/web"));
    assert!(s.kubectl("api-resources").await.ok().contains("networking.k8s.io/v1"));
    assert!(s.kubectl("version").await.ok().contains("Server Version: v1.36.3"));
    assert!(s.kubectl("get deploy web -o wide").await.ok().contains("web:1"));
    let bad =
        DEPLOYMENT.replace("image:", "imge:").replace("name: web, labels", "name: bad, labels");
    let refused = s.with_input("apply -f -", &bad).await.failed();
    assert!(
        refused.contains("unknown field \"spec.template.spec.containers[0].imge\""),
        "{refused}"
    );
}
