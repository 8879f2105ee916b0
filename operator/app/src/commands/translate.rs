//! `gatefleet translate`: what manifests become.

use std::{
    collections::BTreeMap,
    error::Error,
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use gatefleet_local::{Manifest, read_manifests};
use gatefleet_names::{FleetKey, Kind, ObjectKey, Tier, TierKey};
use gatefleet_routes::{Diagnostic, Options, Pipeline, PortRecord, RoutesOutput, Severity};
use gatefleet_snapshot::{Format, sorted_snapshot, write_snapshot};
use gatefleet_state::ClusterState;
use jiff::Timestamp;

/// Show what manifests become, without a cluster. Exit status 1 when anything was refused.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Manifests (YAML or JSON), with Services and EndpointSlices.
    pub(crate) dir: PathBuf,
    /// Which tier.
    #[arg(long, default_value = "north-south")]
    pub(crate) tier: Tier,
    /// Of which `GatewayConfig`, as NAMESPACE/NAME [default: the only one that has this tier].
    #[arg(long, value_parser = parse_fleet)]
    pub(crate) fleet: Option<FleetKey>,
    /// Where IngressClass parameters of scope Cluster look for the `GatewayConfig`.
    #[arg(long, default_value = "gatefleet-system")]
    pub(crate) default_namespace: String,
    /// Write the snapshot there (`.json`, else YAML) for `gatefleet-proxy --snapshot`; `-` [default]: to standard
    /// output. Findings go to standard error. Listeners bind the ports that they advertise.
    #[arg(long)]
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
        "translate: no GatewayConfig in {dir} has a {tier} tier: add one, or choose another --tier"
    )]
    NoTier { dir: String, tier: Tier },
    #[error("translate: GatewayConfig {fleet} with a {tier} tier is not in {dir}: correct --fleet")]
    NoFleet { dir: String, tier: Tier, fleet: FleetKey },
    #[error("translate: several GatewayConfigs have a {tier} tier: choose with --fleet {choices}")]
    Several { tier: Tier, choices: String },
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
    let mut findings = Findings { lines: complaints, refused: false };
    findings.refused = !findings.lines.is_empty();
    let mut state = ClusterState::default();
    let places = load(manifests, &mut state, &mut findings);
    let options = Options {
        default_namespace: args.default_namespace.clone(),
        ports: PortRecord::Advertised,
    };
    let output = Pipeline::new(options).update(&state, Timestamp::now());
    findings.add_all(&output, &places);
    let tier = match choose(&args, &output) {
        Ok(tier) => tier,
        Err(error) => {
            // What is missing may be in a file that cannot be read.
            findings.print(&mut io::stderr())?;
            return Err(error.into());
        }
    };
    findings.add_missing_endpoints(&state, &output, &tier);
    findings.print(&mut io::stderr())?;
    let file = args.snapshot.as_deref().filter(|path| *path != Path::new("-"));
    let text = snapshot(&output, &tier, file)?;
    match file {
        None => io::stdout().write_all(text.as_bytes())?,
        Some(path) => replace(path, &text)
            .map_err(|source| TranslateError::Write { path: path.display().to_string(), source })?,
    }
    Ok(if findings.refused { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Where every object was declared: `FILE: line N`.
type Places = BTreeMap<ObjectKey, String>;

fn load(manifests: Vec<Manifest>, state: &mut ClusterState, findings: &mut Findings) -> Places {
    let mut places = Places::new();
    for Manifest { file, line, value } in manifests {
        let place = format!("{}: line {line}", file.display());
        match state.insert_manifest(value) {
            Ok(keys) => places.extend(keys.into_iter().map(|key| (key, place.clone()))),
            Err(error) => {
                findings.refused = true;
                findings.lines.push(format!("{place}: {error}"));
            }
        }
    }
    places
}

fn choose(args: &Args, output: &RoutesOutput) -> Result<TierKey, TranslateError> {
    let (dir, tier) = (args.dir.display().to_string(), args.tier);
    let all: Vec<&TierKey> = output.tiers.keys().filter(|key| key.tier == tier).collect();
    match (&args.fleet, all.as_slice()) {
        (Some(fleet), all) => all
            .iter()
            .find(|key| key.fleet == *fleet)
            .map(|key| (*key).clone())
            .ok_or_else(|| TranslateError::NoFleet { dir, tier, fleet: fleet.clone() }),
        (None, []) => Err(TranslateError::NoTier { dir, tier }),
        (None, [only]) => Ok((*only).clone()),
        (None, several) => {
            let choices: Vec<String> = several.iter().map(|key| key.fleet.to_string()).collect();
            Err(TranslateError::Several { tier, choices: choices.join(" or ") })
        }
    }
}

fn snapshot(output: &RoutesOutput, tier: &TierKey, path: Option<&Path>) -> io::Result<String> {
    let json = path.and_then(Path::extension).is_some_and(|end| end == "json");
    let resources = output.tiers.get(tier).into_iter().flat_map(|tier| tier.resources.values());
    let resources = resources.map(|one| (*one.resource).clone());
    let format = if json { Format::Json } else { Format::Yaml };
    write_snapshot(&sorted_snapshot(resources, Vec::new()), format)
}

/// Whoever follows the file sees the old text or the new one, never a part.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let mut partial = path.as_os_str().to_owned();
    partial.push(".partial");
    fs::write(&partial, text)?;
    fs::rename(&partial, path)
}

/// What there is to tell, one line each.
struct Findings {
    lines: Vec<String>,
    refused: bool,
}

impl Findings {
    fn add_all(&mut self, output: &RoutesOutput, places: &Places) {
        let routes = output.ingresses.values().flat_map(|outcome| &outcome.diagnostics);
        for diagnostic in output.findings.iter().chain(routes) {
            self.add(diagnostic, places);
        }
    }

    fn add(&mut self, diagnostic: &Diagnostic, places: &Places) {
        let severity = match diagnostic.severity() {
            Severity::Refused => "refused",
            Severity::Warning => "warning",
            Severity::Info => "note",
        };
        self.refused |= diagnostic.severity() == Severity::Refused;
        let place =
            places.get(&diagnostic.object).map(|place| format!("{place}: ")).unwrap_or_default();
        self.lines.push(format!("{place}{severity}: {diagnostic}"));
    }

    /// A directory has no controller that makes EndpointSlices of pods.
    fn add_missing_endpoints(
        &mut self,
        state: &ClusterState,
        output: &RoutesOutput,
        tier: &TierKey,
    ) {
        let resources = output.tiers.get(tier).into_iter().flat_map(|tier| tier.resources.keys());
        let services = resources.filter_map(|name| {
            let (namespace, rest) = name.strip_prefix("endpoints/")?.split_once('/')?;
            Some((namespace, rest.split_once('/')?.0))
        });
        for (namespace, service) in services {
            if state.slices_of(namespace, service).next().is_none() {
                let key = ObjectKey::new(Kind::Service, namespace, service);
                self.lines.push(format!(
                    "note: {key}: it has no EndpointSlice in the directory, so its requests get 503: add one"
                ));
            }
        }
    }

    fn print(&self, to: &mut dyn Write) -> io::Result<()> {
        self.lines.iter().try_for_each(|line| writeln!(to, "{line}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(dir: &Path, snapshot: &Path) -> Args {
        Args {
            dir: dir.to_owned(),
            tier: Tier::NorthSouth,
            fleet: None,
            default_namespace: "gatefleet-system".to_owned(),
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
        assert!(error.contains("has a north-south tier"), "{error}");
    }
}
