//! The commands that ask a cluster, and what a shell completes, as a user runs them.
#![expect(clippy::unwrap_used, reason = "a story that cannot go on must fail")]

use std::{
    fs,
    net::TcpListener,
    process::{Command, Stdio},
};

use gatefleet_test_support::programs::program;
use gatefleet_tests_e2e::{Ended, Local, eventually, run};
use kube::api::DeleteParams;
use serde_json::{Value, json};

fn status(local: &Local, arguments: &[&str]) -> Ended {
    let arguments: Vec<&str> = std::iter::once("status").chain(arguments.iter().copied()).collect();
    run("gatefleet", &arguments, Some(&local.kubeconfig))
}

#[tokio::test(flavor = "multi_thread")]
async fn status_tells_people_and_programs() {
    let local = Local::start("quickstart").await;
    local.listening().await;

    let told = status(&local, &[]);
    assert_eq!(told.code, 0, "{told:?}");
    for part in ["default/quickstart", "Listening", "True", "north-south", "east-west"] {
        assert!(told.output.contains(part), "{part:?} in {}", told.output);
    }
    let told = status(&local, &["quickstart", "-n", "default"]);
    for part in ["LISTENER", "CONDITION", "CertificatesReady", "routes: 2 attached, 0 rejected"] {
        assert!(told.output.contains(part), "{part:?} in {}", told.output);
    }
    let told = status(&local, &["--output", "json"]);
    let document: Value = serde_json::from_str(&told.output).unwrap();
    assert_eq!(document["fleets"][0]["ready"], true, "{document}");
    assert_eq!(document["fleets"][0]["status"]["phase"], "Listening", "{document}");
    let yaml = status(&local, &["-o", "yaml"]).output;
    assert_eq!(serde_saphyr::from_str::<Value>(&yaml).unwrap(), document);

    let told = status(&local, &["-n", "nowhere"]);
    assert_eq!((told.code, told.output.as_str()), (0, "no GatewayConfig in namespace nowhere\n"));
    let told = status(&local, &["absent"]);
    assert!(told.code == 1 && told.errors.contains("show GatewayConfig absent"), "{told:?}");

    // A fleet that somebody must mend.
    let stuck = json!({
        "apiVersion": "gatefleet.dev/v1alpha1", "kind": "GatewayConfig",
        "metadata": {"name": "stuck", "namespace": "default"},
        "spec": {"eastWest": {}, "ingress": {"ingressClass": "stuck"}},
    });
    local.apply(&stuck).await.unwrap();
    eventually("the exit status tells", 20, || async {
        let (one, all) = (status(&local, &["stuck"]), status(&local, &[]));
        let told = one.code == 3 && one.output.contains("Failed") && all.code == 3;
        told.then_some(()).ok_or_else(|| format!("{one:?} {all:?}"))
    })
    .await;
    assert_eq!(status(&local, &["quickstart"]).code, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn status_follows_what_changes() {
    let local = Local::start("quickstart").await;
    local.listening().await;
    let shown = local.directory.join("../shown");
    let file = fs::File::create(&shown).unwrap();
    let mut watch = Command::new(program("gatefleet"))
        .args(["status", "quickstart", "--watch"])
        .env("KUBECONFIG", &local.kubeconfig)
        .stdin(Stdio::null())
        .stdout(file)
        .spawn()
        .unwrap();
    let sees = |part: &'static str| {
        let shown = &shown;
        eventually(part, 20, move || async move {
            let text = fs::read_to_string(shown).unwrap();
            text.contains(part).then_some(()).ok_or(text)
        })
    };
    sees("routes: 2 attached").await;
    let ingresses = local.api("networking.k8s.io/v1", "Ingress", Some("default"));
    ingresses.delete("version-gray", &DeleteParams::default()).await.unwrap();
    sees("routes: 1 attached").await;
    watch.kill().unwrap();
    watch.wait().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_asked_is_one_sentence() {
    let local = Local::start_with(&[]).await;
    let told = status(&local, &[]);
    assert!(told.code == 0 && told.output.starts_with("no GatewayConfig yet"), "{told:?}");

    // Nobody listens there.
    let text = fs::read_to_string(&local.kubeconfig).unwrap();
    let mut wrong: Value = serde_saphyr::from_str(&text).unwrap();
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    wrong["clusters"][0]["cluster"]["server"] = json!(format!("https://{closed}"));
    let path = local.directory.join("../wrong");
    fs::write(&path, wrong.to_string()).unwrap();
    let told = run("gatefleet", &["status"], Some(&path));
    assert!(told.code == 1 && told.errors.contains("cannot reach https://127.0.0.1"), "{told:?}");
    assert!(told.errors.contains("still running?") && told.errors.lines().count() == 1, "{told:?}");

    let told = run("gatefleet", &["status", "--kubeconfig", "/nowhere"], None);
    assert!(told.code == 1 && told.errors.contains("read kubeconfig /nowhere"), "{told:?}");

    let definitions = local.api("apiextensions.k8s.io/v1", "CustomResourceDefinition", None);
    let name = "gatewayconfigs.gatefleet.dev";
    definitions.delete(name, &DeleteParams::default()).await.unwrap();
    eventually("the definition is missed", 20, || async {
        let told = status(&local, &[]);
        let says = told.errors.contains("gatefleet crds | kubectl apply --server-side -f -");
        (told.code == 1 && says).then_some(()).ok_or_else(|| format!("{told:?}"))
    })
    .await;
}

/// What bash offers for `gatefleet WORDS`.
fn completed(words: &str) -> String {
    let script = run("gatefleet", &["completion", "bash"], None).output;
    let typed: Vec<&str> = words.split(' ').collect();
    let before = typed.iter().rev().nth(1).unwrap_or(&"gatefleet");
    let ask = format!(
        "{script}\nCOMP_WORDS=(gatefleet {words}); COMP_CWORD={}; \
         _gatefleet gatefleet \"{}\" \"{before}\" && echo \"${{COMPREPLY[@]}}\"",
        typed.len(),
        typed.last().unwrap(),
    );
    let output = Command::new("bash").args(["-c", &ask]).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
fn a_shell_completes_commands_options_and_values() {
    assert_eq!(completed("sta"), "status");
    assert_eq!(completed("status --wa"), "--watch");
    assert!(completed("status --output ").contains("json"));
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = run("gatefleet", &["completion", shell], None);
        assert!(script.code == 0 && script.output.contains("translate"), "{shell}: {script:?}");
    }
    let wrong = run("gatefleet", &["completion", "tcsh"], None);
    assert!(wrong.code == 2 && wrong.errors.contains("zsh"), "{wrong:?}");
}
