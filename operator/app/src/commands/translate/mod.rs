//! `gatefleet translate`: what manifests become.

mod filters;
mod findings;
mod served;
mod table;

use std::{
    error::Error,
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use gatefleet_local::{Manifest, read_manifests};
use gatefleet_names::{FleetKey, Tier, TierKey};
use gatefleet_routes::{Options, Pipeline, PortRecord, RoutesOutput, TierRoutes};
use gatefleet_snapshot::{Format, sorted_snapshot, write_snapshot};
use gatefleet_state::ClusterState;
use jiff::Timestamp;
use serde_json::json;

use self::{
    findings::{Finding, Findings, Places},
    served::{Served, served},
};
use crate::output::{Output, print};

/// Show what manifests become, without a cluster: what is served where, and why something is not.
///
/// Exit status 1 when anything is refused.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Manifests (YAML or JSON), with Services and EndpointSlices.
    pub(crate) dir: PathBuf,
    /// Only this tier [default: both; of a snapshot: north-south].
    #[arg(long)]
    pub(crate) tier: Option<Tier>,
    /// Only this `GatewayConfig`, as NAMESPACE/NAME [default: all; a snapshot is of one].
    #[arg(long, value_parser = parse_fleet)]
    pub(crate) fleet: Option<FleetKey>,
    /// Where IngressClass parameters of scope Cluster look for the `GatewayConfig`.
    #[arg(long, default_value = "gatefleet-system")]
    pub(crate) default_namespace: String,
    /// Which form.
    #[arg(short, long, value_enum, default_value_t, conflicts_with = "snapshot")]
    pub(crate) output: Output,
    /// Write the snapshot of one tier there (`.json`, else YAML) for `gatefleet-proxy --snapshot`; `-`: to standard
    /// output. Findings go to standard error. Listeners bind the ports that they advertise.
    #[arg(long, value_name = "FILE")]
    pub(crate) snapshot: Option<PathBuf>,
}

fn parse_fleet(text: &str) -> Result<FleetKey, String> {
    let (namespace, name) = text.split_once('/').ok_or("write it as NAMESPACE/NAME")?;
    Ok(FleetKey::new(namespace, name))
}

/// Why there is nothing to write.
#[derive(Debug, thiserror::Error)]
enum TranslateError {
    #[error("read {dir}: name a directory with manifests")]
    Directory { dir: String, source: io::Error },
    #[error(
        "translate: there is no GatewayConfig{tier} in {dir}: add one, or choose another --tier"
    )]
    NoTier { dir: String, tier: String },
    #[error("translate: GatewayConfig {fleet}{tier} is not in {dir}: correct --fleet or --tier")]
    NoFleet { dir: String, tier: String, fleet: FleetKey },
    #[error("translate: there are several GatewayConfigs{tier}: choose with --fleet {choices}")]
    Several { tier: String, choices: String },
    #[error("write {path}: check that its directory exists and may be written")]
    Write { path: String, source: io::Error },
}

/// Translates once.
#[expect(clippy::unused_async, reason = "commands are asynchronous")]
pub(crate) async fn run(args: Args) -> Result<ExitCode, Box<dyn Error>> {
    let read = read_manifests(&args.dir);
    let (manifests, complaints) = read.map_err(|source| TranslateError::Directory {
        dir: args.dir.display().to_string(),
        source,
    })?;
    let mut findings = Findings::default();
    for complaint in &complaints {
        findings.add(Finding::unreadable("", complaint));
    }
    let mut state = ClusterState::default();
    let places = load(manifests, &mut state, &mut findings);
    let options = Options {
        default_namespace: args.default_namespace.clone(),
        ports: PortRecord::Advertised,
    };
    let output = Pipeline::new(options).update(&state, Timestamp::now());
    findings.add_all(&output, &places);
    let tiers = match choose(&args, &output) {
        Ok(tiers) => tiers,
        Err(error) => {
            // What is missing may be in a file that cannot be read.
            complain(&findings)?;
            return Err(error.into());
        }
    };
    for (_, tier) in &tiers {
        findings.add_missing_endpoints(&state, tier, &places);
    }
    match (&args.snapshot, tiers.as_slice()) {
        (Some(path), [(_, tier), ..]) => {
            complain(&findings)?;
            write(path, tier)?;
        }
        _ => drop(print(&told(args.output, &tiers, &findings)?)?),
    }
    Ok(if findings.refuse() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Findings beside an answer that is for programs.
fn complain(findings: &Findings) -> io::Result<()> {
    findings.iter().try_for_each(|finding| writeln!(io::stderr(), "{finding}"))
}

fn told(
    form: Output,
    tiers: &[(&TierKey, &TierRoutes)],
    findings: &Findings,
) -> Result<String, Box<dyn Error>> {
    let served: Vec<Served> = tiers
        .iter()
        .map(|(key, tier)| served(key, tier.resources.values().map(|one| &*one.resource)))
        .collect();
    let document = json!({
        "tiers": serde_json::to_value(&served)?,
        "findings": findings.document(),
        "refused": findings.refuse(),
    });
    form.render(&document, || table::text(&served, findings))
}

fn load(manifests: Vec<Manifest>, state: &mut ClusterState, findings: &mut Findings) -> Places {
    let mut places = Places::new();
    for Manifest { file, line, value } in manifests {
        let place = format!("{}: line {line}", file.display());
        match state.insert_manifest(value) {
            Ok(keys) => places.extend(keys.into_iter().map(|key| (key, place.clone()))),
            Err(error) => findings.add(Finding::unreadable(&place, error.to_string())),
        }
    }
    places
}

/// The tiers that are asked for; of a snapshot it must be one.
fn choose<'a>(
    args: &Args,
    output: &'a RoutesOutput,
) -> Result<Vec<(&'a TierKey, &'a TierRoutes)>, TranslateError> {
    let dir = args.dir.display().to_string();
    let tier = args.tier.or(args.snapshot.as_ref().map(|_| Tier::NorthSouth));
    let wanted = |key: &TierKey| {
        tier.is_none_or(|tier| tier == key.tier)
            && args.fleet.as_ref().is_none_or(|fleet| *fleet == key.fleet)
    };
    let found: Vec<_> = output
        .tiers
        .iter()
        .filter(|(key, _)| wanted(key))
        .map(|(key, tier)| (key, &**tier))
        .collect();
    let tier = tier.map(|tier| format!(" with a {tier} tier")).unwrap_or_default();
    match (&args.fleet, found.as_slice()) {
        (Some(fleet), []) => Err(TranslateError::NoFleet { dir, tier, fleet: fleet.clone() }),
        (None, []) => Err(TranslateError::NoTier { dir, tier }),
        (None, several) if several.len() > 1 && args.snapshot.is_some() => {
            let choices: Vec<String> =
                several.iter().map(|(key, _)| key.fleet.to_string()).collect();
            Err(TranslateError::Several { tier, choices: choices.join(" or ") })
        }
        _ => Ok(found),
    }
}

fn write(path: &Path, tier: &TierRoutes) -> Result<(), Box<dyn Error>> {
    let format = match path.extension() {
        Some(end) if end == "json" => Format::Json,
        _ => Format::Yaml,
    };
    let resources = tier.resources.values().map(|one| (*one.resource).clone());
    let text = write_snapshot(&sorted_snapshot(resources, Vec::new()), format)?;
    if path == Path::new("-") {
        print(&text)?;
        return Ok(());
    }
    replace(path, &text)
        .map_err(|source| TranslateError::Write { path: path.display().to_string(), source }.into())
}

/// Whoever follows the file sees the old text or the new one, never a part.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let mut partial = path.as_os_str().to_owned();
    partial.push(".partial");
    fs::write(&partial, text)?;
    fs::rename(&partial, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(dir: &Path, snapshot: &Path) -> Args {
        Args {
            dir: dir.to_owned(),
            tier: None,
            fleet: None,
            default_namespace: "gatefleet-system".to_owned(),
            output: Output::Table,
            snapshot: Some(snapshot.to_owned()),
        }
    }

    const FLEET: &str = "kind: GatewayConfig\napiVersion: gatefleet.dev/v1alpha1\nmetadata: {name: a}\n\
         spec: {northSouth: {}, ingress: {ingressClass: \"\"}}\n";
    const INGRESS: &str = "kind: Ingress\napiVersion: networking.k8s.io/v1\nmetadata: {name: web}\n\
         spec: {defaultBackend: {service: {name: app, port: {number: 80}}}}\n";
    const SERVICE: &str =
        "kind: Service\napiVersion: v1\nmetadata: {name: app}\nspec: {ports: [{port: 80}]}\n";

    #[tokio::test]
    async fn what_is_refused_decides_the_exit_status() {
        for (files, refused) in [
            (vec![FLEET, INGRESS, SERVICE], false),
            (vec![FLEET, INGRESS], true),
            (vec![FLEET, INGRESS, SERVICE, "kind: [\n"], true),
        ] {
            let dir = tempfile::tempdir().unwrap();
            for (index, text) in files.iter().enumerate() {
                fs::write(dir.path().join(format!("{index}.yaml")), text).unwrap();
            }
            let out = dir.path().join("out.snapshot");
            let code = run(args(dir.path(), &out)).await.unwrap();
            assert_eq!(code == ExitCode::FAILURE, refused, "{files:?}");
            let written = gatefleet_snapshot::read_snapshot(&fs::read(&out).unwrap());
            let names: Vec<String> =
                written.unwrap().resources.into_iter().map(|one| one.name).collect();
            assert!(names.contains(&"virtual-host/tier/*".to_owned()), "{names:?}");
        }
    }

    #[tokio::test]
    async fn a_directory_without_the_tier_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("a.yaml"), SERVICE).unwrap();
        let error = run(args(dir.path(), &dir.path().join("out"))).await.unwrap_err().to_string();
        assert!(error.contains("no GatewayConfig with a north-south tier in "), "{error}");
    }
}
