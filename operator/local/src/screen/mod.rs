//! What the user sees: a table that follows the fleets, lines to paste, and what happens to the directory.

mod table;

use std::fmt::Debug;
use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use futures::{StreamExt as _, stream::BoxStream};
use gatefleet_crds::GatewayConfig;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::networking::v1::{Ingress, IngressClass};
use kube::api::ListParams;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use crate::directory::Notice;
use crate::network::Ports;
use table::{Fleet, Objects};

/// How the user is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Presentation {
    /// The whole screen is drawn again after each change.
    Terminal,
    /// One line for each change.
    #[default]
    Lines,
}

impl Presentation {
    /// What suits the process's standard output.
    pub fn for_stdout() -> Self {
        use std::io::IsTerminal as _;
        if io::stdout().is_terminal() { Self::Terminal } else { Self::Lines }
    }
}

/// The table comes at the latest so long after the start, however little is known.
const PATIENCE: Duration = Duration::from_secs(2);
/// Changes are gathered for so long at least.
const QUIET: Duration = Duration::from_millis(50);
/// So many notices stay on a terminal.
const NOTICES: usize = 8;

/// What is told once, and where.
pub(crate) struct Screen<W> {
    pub(crate) client: Client,
    pub(crate) ports: Ports,
    pub(crate) presentation: Presentation,
    pub(crate) out: W,
    /// The lines above the table.
    pub(crate) header: Vec<String>,
}

/// The lines above the table: what this is, what it costs to end it, how to talk to it.
pub(crate) fn header(directory: &Path, kubeconfig: &Path, ports: Ports) -> Vec<String> {
    let mut lines = vec![format!(
        "gatefleet local follows {}. Everything is in memory: Ctrl-C ends it and discards what kubectl applied.",
        directory.display()
    )];
    lines.extend(ports.remark().map(str::to_owned));
    lines.push(String::new());
    lines.push(format!("  export KUBECONFIG={}", shell_path(kubeconfig)));
    lines.push(String::new());
    lines
}

fn shell_path(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |character: char| character.is_ascii_alphanumeric() || "/._-".contains(character);
    if text.chars().all(plain) { text } else { table::quote(&text) }
}

#[derive(Debug, Default)]
struct Shown {
    fleets: Vec<Fleet>,
    curls: Vec<String>,
    notices: Vec<String>,
    table: bool,
}

impl<W: Write> Screen<W> {
    /// Follows fleets and notices until it is dropped.
    ///
    /// # Errors
    /// When the output is closed.
    pub(crate) async fn run(
        mut self,
        mut notices: mpsc::UnboundedReceiver<Notice>,
    ) -> io::Result<()> {
        let mut changes = changes(&self.client);
        let mut shown = Shown::default();
        let deadline = Instant::now() + PATIENCE;
        let header = std::mem::take(&mut self.header);
        self.print(&header)?;
        self.header = header;
        let mut look = Some(Instant::now());
        let mut quiet = QUIET;
        loop {
            let due = async {
                match look {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                Some(notice) = notices.recv() => self.note(&mut shown, notice)?,
                // More is usually on the way.
                Some(()) = changes.next() => look = look.or(Some(Instant::now() + quiet)),
                () = sleep_until(deadline), if look.is_none() && !shown.table => {
                    look = Some(Instant::now());
                }
                () = due => {
                    look = None;
                    let begun = Instant::now();
                    if let Some(objects) = observe(&self.client).await {
                        self.show(&mut shown, &objects, begun >= deadline)?;
                    }
                    // Thousands of Ingresses take long to read: most of the time is to stay with those who serve them.
                    quiet = QUIET.max(begun.elapsed() * 5);
                }
            }
        }
    }

    fn note(&mut self, shown: &mut Shown, notice: Notice) -> io::Result<()> {
        let line = match notice {
            Notice::Done(text) => text,
            Notice::Wrong(text) => format!("WRONG {text}"),
        };
        if self.presentation == Presentation::Lines {
            self.print(std::slice::from_ref(&line))?;
        }
        shown.notices.push(line);
        let surplus = shown.notices.len().saturating_sub(NOTICES);
        shown.notices.drain(..surplus);
        match self.presentation {
            Presentation::Terminal => self.redraw(shown),
            Presentation::Lines => Ok(()),
        }
    }

    fn show(&mut self, shown: &mut Shown, objects: &Objects, late: bool) -> io::Result<()> {
        let fleets = table::observe(objects, self.ports);
        let curls = table::curls(objects, &fleets);
        if fleets == shown.fleets && curls == shown.curls && (shown.table || !late) {
            return Ok(());
        }
        let before = std::mem::replace(&mut shown.fleets, fleets);
        let curls_before = std::mem::replace(&mut shown.curls, curls);
        let placed = |fleet: &Fleet| fleet.tiers.iter().all(|tier| tier.address.is_some());
        let complete = !shown.fleets.is_empty() && shown.fleets.iter().all(placed);
        if self.presentation == Presentation::Terminal {
            shown.table = true;
            return self.redraw(shown);
        }
        if shown.table {
            let lines = changed_lines(&before, &curls_before, shown);
            return self.print(&lines);
        }
        if complete || late {
            shown.table = true;
            return self.print(&table_lines(shown));
        }
        Ok(())
    }

    fn redraw(&mut self, shown: &Shown) -> io::Result<()> {
        let mut lines = self.header.clone();
        lines.extend(table_lines(shown));
        lines.extend(shown.notices.iter().cloned());
        // Home, the lines with what stood behind them erased, then everything below.
        let mut screen = String::from("\x1b[H");
        for line in lines {
            screen.push_str(&line);
            screen.push_str("\x1b[K\n");
        }
        screen.push_str("\x1b[J");
        self.out.write_all(screen.as_bytes())?;
        self.out.flush()
    }

    fn print(&mut self, lines: &[String]) -> io::Result<()> {
        for line in lines {
            writeln!(self.out, "{line}")?;
        }
        self.out.flush()
    }
}

fn table_lines(shown: &Shown) -> Vec<String> {
    let mut lines = if shown.fleets.is_empty() {
        vec!["No GatewayConfig is declared yet: add one to the directory, or apply one with kubectl.".to_owned()]
    } else {
        table::lines(&shown.fleets)
    };
    lines.push(String::new());
    lines.extend(shown.curls.iter().map(|curl| format!("  {curl}")));
    if !shown.curls.is_empty() {
        lines.push(String::new());
    }
    lines
}

/// One line for each tier and fleet that is not as before, and for each new `curl` line.
fn changed_lines(before: &[Fleet], curls_before: &[String], shown: &Shown) -> Vec<String> {
    let mut lines = Vec::new();
    for fleet in &shown.fleets {
        let old = before.iter().find(|old| old.name == fleet.name);
        if old == Some(fleet) {
            continue;
        }
        for tier in &fleet.tiers {
            let same = old.is_some_and(|old| old.phase == fleet.phase && old.tiers.contains(tier));
            if !same {
                lines.push(format!(
                    "{} {} {} {} {}",
                    fleet.name,
                    tier.name,
                    tier.place(),
                    tier.proxies,
                    fleet.phase
                ));
            }
        }
        if old.is_none_or(|old| old.message != fleet.message) && !fleet.message.is_empty() {
            lines.push(format!("{}: {}", fleet.name, fleet.message));
        }
    }
    let gone = before.iter().filter(|old| shown.fleets.iter().all(|fleet| fleet.name != old.name));
    lines.extend(gone.map(|old| format!("{}: deleted", old.name)));
    let new = shown.curls.iter().filter(|curl| !curls_before.contains(curl));
    lines.extend(new.map(|curl| format!("  {curl}")));
    lines
}

async fn observe(client: &Client) -> Option<Objects> {
    Some(Objects {
        fleets: list::<GatewayConfig>(client).await?,
        services: list::<Service>(client).await?,
        classes: list::<IngressClass>(client).await?,
        ingresses: list::<Ingress>(client).await?,
    })
}

async fn list<K>(client: &Client) -> Option<Vec<serde_json::Value>>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Serialize,
{
    let found = Api::<K>::all(client.clone()).list(&ListParams::default()).await.ok()?;
    Some(found.items.iter().filter_map(|item| serde_json::to_value(item).ok()).collect())
}

fn changes(client: &Client) -> BoxStream<'static, ()> {
    futures::stream::select_all([
        watch::<GatewayConfig>(client),
        watch::<Service>(client),
        watch::<IngressClass>(client),
        watch::<Ingress>(client),
    ])
    .boxed()
}

fn watch<K>(client: &Client) -> BoxStream<'static, ()>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let events = watcher(Api::<K>::all(client.clone()), watcher::Config::default());
    events.default_backoff().filter_map(|event| std::future::ready(event.ok().map(drop))).boxed()
}
