//! The real kubectl on a running `gatefleet local`: every command that the README and its readers use.
#![cfg(feature = "kube")]
#![expect(clippy::unwrap_used, reason = "a story that cannot go on must fail")]

use std::{
    fs,
    io::Read as _,
    process::{Command, Stdio},
    time::Duration,
};

use gatefleet_test_support::{programs::kube_tools, raw};
use gatefleet_tests_e2e::{Local, eventually};

struct Kubectl<'a>(&'a Local);

impl Kubectl<'_> {
    fn command(&self, line: &str) -> Command {
        let mut command = Command::new(kube_tools().join("kubectl"));
        command.args(line.split(' ')).env("KUBECONFIG", &self.0.kubeconfig).stdin(Stdio::null());
        command
    }

    /// Standard output of a call that must succeed.
    fn run(&self, line: &str) -> String {
        let output = self.command(line).output().unwrap();
        let (out, err) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "kubectl {line}: {}\n{out}{err}", output.status);
        out.into_owned()
    }

    /// Standard error of a call that must fail.
    fn refused(&self, line: &str) -> String {
        let output = self.command(line).output().unwrap();
        assert!(!output.status.success(), "kubectl {line} succeeded");
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    /// Output and parts of it that must be there.
    fn shows(&self, line: &str, parts: &[&str]) {
        let out = self.run(line);
        for part in parts {
            assert!(out.contains(part), "kubectl {line} does not show {part:?}:\n{out}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_shows_what_runs() {
    let local = Local::start("quickstart").await;
    let kubectl = Kubectl(&local);
    kubectl
        .shows("wait gwc/quickstart --for=condition=Listening --timeout=60s", &["condition met"]);

    kubectl.shows("get gwc", &["NAME", "PHASE", "quickstart", "Listening"]);
    kubectl.shows(
        "get gwc,deployments,services,pods,ingress -A",
        &["quickstart-north-south", "test.com"],
    );
    kubectl
        .shows("describe gwc quickstart", &["Phase:", "Listening", "North South", "Conditions:"]);
    kubectl.shows("describe ingress version", &["test.com", "echo-v1:3000"]);
    kubectl.shows("get events", &["quickstart"]);
    kubectl.shows("logs deployment/quickstart-north-south --tail=5", &[]);
    kubectl.shows("explain gwc.spec.northSouth.replicas", &["replicas", "DESCRIPTION"]);
    kubectl.shows("rollout status deployment/echo-v1 --timeout=30s", &["successfully rolled out"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_kubectl_changes_is_served() {
    let local = Local::start("quickstart").await;
    local.listening().await;
    let kubectl = Kubectl(&local);

    let home = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = home.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate =
        rcgen::CertificateParams::new(vec!["test.com".into()]).unwrap().self_signed(&key).unwrap();
    let (cert, key) =
        (write("tls.crt", &certificate.pem()), write("tls.key", &key.serialize_pem()));
    kubectl.shows(&format!("create secret tls web --cert={cert} --key={key}"), &["created"]);
    kubectl.shows("get secret web -o yaml", &["kubernetes.io/tls", "tls.crt"]);

    let manifest = write(
        "ingress.yaml",
        "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: web}\nspec:\n  ingressClassName: quickstart\n  \
         tls: [{hosts: [web.com], secretName: web}]\n  rules:\n  - host: web.com\n    http:\n      paths:\n      - path: /\n        \
         pathType: Prefix\n        backend: {service: {name: echo-v1, port: {number: 3000}}}\n",
    );
    kubectl.shows(&format!("apply -f {manifest}"), &["ingress.networking.k8s.io/web created"]);
    kubectl.shows(&format!("apply -f {manifest}"), &["unchanged"]);
    kubectl.shows(
        &format!("apply --server-side --force-conflicts -f {manifest}"),
        &["serverside-applied"],
    );
    kubectl.shows(&format!("diff -f {manifest}"), &[]);

    // `edit` with an editor that replaces one word.
    let editor = write("editor", "#!/bin/sh\nsed -i 's/host: web.com/host: edited.com/' \"$1\"\n");
    let edited =
        kubectl.command("edit ingress web").env("EDITOR", format!("sh {editor}")).output().unwrap();
    assert!(edited.status.success(), "{}", String::from_utf8_lossy(&edited.stderr));
    let address = local.address("north-south").await;
    eventually("the edited host is served", 5, || async {
        let answer =
            raw::get(address, "edited.com", "/", &[]).map_err(|error| error.to_string())?;
        (answer.status == 200).then_some(()).ok_or_else(|| answer.text())
    })
    .await;

    kubectl.shows(
        "patch ingress web --type=merge -p {\"metadata\":{\"labels\":{\"a\":\"b\"}}}",
        &["patched"],
    );
    kubectl.shows("label ingress web a-", &["unlabeled"]);
    kubectl.shows("scale deployment echo-v2 --replicas=2", &["scaled"]);
    kubectl.shows("delete ingress web", &["deleted"]);
    assert!(kubectl.refused("get ingress web").contains("not found"));
    kubectl.shows("delete gwc quickstart --wait --timeout=30s", &["deleted"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_shows_the_phases_and_wrong_objects_are_refused_with_a_remedy() {
    let local = Local::start("quickstart").await;
    let kubectl = Kubectl(&local);
    let mut watch = kubectl.command("get gwc -w").stdout(Stdio::piped()).spawn().unwrap();
    local.listening().await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    watch.kill().unwrap();
    let mut seen = String::new();
    watch.stdout.take().unwrap().read_to_string(&mut seen).unwrap();
    watch.wait().unwrap();
    assert!(seen.contains("Listening"), "{seen}");

    let refused = kubectl.refused(
        "patch gwc quickstart --type=merge -p {\"spec\":{\"northSouth\":{\"replicas\":-1}}}",
    );
    assert!(refused.contains("spec.northSouth.replicas"), "{refused}");
    let refused = kubectl.refused(
        "patch gwc quickstart --type=merge -p {\"spec\":{\"northSouth\":null,\"eastWest\":null}}",
    );
    assert!(refused.contains("northSouth") && refused.contains("eastWest"), "{refused}");
}
