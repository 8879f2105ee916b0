//! One container: a process that is started, probed, restarted and ended.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, Pod};
use tokio::process::Child;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use super::environment::Invocation;
use super::image::{ImageError, Programs};
use super::log::Log;
use super::probe::{Check, Role, Verdict};
use super::process::{self, Launcher, Signal};

/// How long an obstacle (a missing program) is left before the next look.
const RETRY: Duration = Duration::from_secs(1);
/// A run of at least this length forgives the crashes before it.
const HEALTHY_RUN: Duration = Duration::from_secs(10);
/// The longest pause between two starts.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// How a container is to end: absent, it is to run; else within this long.
pub(crate) type Stop = watch::Receiver<Option<Duration>>;

/// What is known of one container.
#[derive(Clone, Debug)]
pub(crate) struct ContainerState {
    pub(crate) phase: ContainerPhase,
    /// How the run before this one ended.
    pub(crate) last: Option<Termination>,
    pub(crate) ready: bool,
    pub(crate) started: bool,
    pub(crate) restarts: i32,
    pub(crate) log: Log,
    pub(crate) previous_log: Option<Log>,
}

/// Where a container stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ContainerPhase {
    Waiting { reason: &'static str, message: String },
    Running { since: Timestamp },
    Terminated(Termination),
}

/// The end of one run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Termination {
    pub(crate) code: i32,
    pub(crate) signal: Option<i32>,
    pub(crate) since: Timestamp,
    pub(crate) at: Timestamp,
    /// The last lines of its output, when it failed.
    pub(crate) message: String,
}

impl ContainerState {
    pub(crate) fn new() -> Self {
        Self {
            phase: ContainerPhase::Waiting { reason: "ContainerCreating", message: String::new() },
            last: None,
            ready: false,
            started: false,
            restarts: 0,
            log: Log::new(),
            previous_log: None,
        }
    }
}

/// When a container that ended is started again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RestartPolicy {
    Always,
    OnFailure,
    Never,
}

impl RestartPolicy {
    pub(crate) fn parse(text: Option<&str>) -> Self {
        match text {
            Some("Never") => Self::Never,
            Some("OnFailure") => Self::OnFailure,
            _ => Self::Always,
        }
    }

    fn wants(self, end: &Termination) -> bool {
        match self {
            Self::Always => true,
            Self::OnFailure => end.code != 0,
            Self::Never => false,
        }
    }
}

/// What a container needs to run.
#[derive(Clone, Debug)]
pub(crate) struct Runner {
    pub(crate) pod: Arc<Pod>,
    pub(crate) container: Container,
    pub(crate) address: Ipv4Addr,
    pub(crate) root: PathBuf,
    pub(crate) programs: Arc<Programs>,
    pub(crate) launcher: Arc<Launcher>,
    pub(crate) policy: RestartPolicy,
    pub(crate) state: watch::Sender<ContainerState>,
    pub(crate) stop: Stop,
}

impl Runner {
    /// Runs the container until it is to stop, or its policy leaves it ended.
    pub(crate) async fn run(mut self) {
        let mut crashes = 0;
        while self.stop.borrow().is_none() {
            let child = match self.start().await {
                Ok(child) => child,
                Err((reason, message)) => {
                    self.wait(reason, message, RETRY).await;
                    continue;
                }
            };
            let begun = Instant::now();
            let end = self.attend(child).await;
            let again = self.policy.wants(&end) && self.stop.borrow().is_none();
            let message = format!("the process ended: {}", end.message);
            self.state.send_modify(|state| {
                state.ready = false;
                state.started = false;
                state.last = Some(end.clone());
                state.phase = if again {
                    let message = message.clone();
                    ContainerPhase::Waiting { reason: "CrashLoopBackOff", message }
                } else {
                    ContainerPhase::Terminated(end)
                };
                state.log.end();
            });
            if !again {
                return;
            }
            crashes = if begun.elapsed() >= HEALTHY_RUN { 0 } else { crashes };
            self.wait("CrashLoopBackOff", message, pause(crashes)).await;
            crashes += 1;
        }
    }

    /// Starts the process, or says why not in the words of the kubelet.
    async fn start(&mut self) -> Result<Child, (&'static str, String)> {
        let image = self.container.image.as_deref().unwrap_or_default();
        let missing = |error: ImageError| ("ErrImageNeverPull", error.to_string());
        let program = self.programs.resolve(image).map_err(missing)?;
        let address = self.address.to_string();
        let invocation = Invocation::compose(&self.pod, &self.container, &address);
        let mut words = invocation.command.iter();
        let program = match words.next() {
            Some(named) => self.programs.resolve(named).unwrap_or_else(|_| PathBuf::from(named)),
            None => program,
        };
        let mut command = std::process::Command::new(&program);
        command
            .args(words)
            .args(&invocation.arguments)
            .env_clear()
            .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
            .env("HOSTNAME", self.pod.metadata.name.as_deref().unwrap_or_default())
            .envs(&invocation.environment)
            .env("GATEFLEET_ROOT", &self.root)
            .env("GATEFLEET_BIND", &address)
            .current_dir(&self.root)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = self.launcher.spawn(command).await.map_err(|error| {
            ("RunContainerError", format!("start {}: {error}", program.display()))
        })?;
        self.note_start(&mut child);
        Ok(child)
    }

    fn note_start(&self, child: &mut Child) {
        let log = Log::new();
        if let Some(output) = child.stdout.take() {
            tokio::spawn(log.clone().copy(output));
        }
        if let Some(output) = child.stderr.take() {
            tokio::spawn(log.clone().copy(output));
        }
        self.state.send_modify(|state| {
            if state.last.is_some() {
                state.restarts += 1;
                state.previous_log = Some(std::mem::replace(&mut state.log, log));
            } else {
                state.log = log;
            }
            state.phase = ContainerPhase::Running { since: Timestamp::now() };
            state.started = self.container.startup_probe.is_none();
            state.ready = state.started && self.container.readiness_probe.is_none();
        });
    }

    /// Follows a process to its end: probes it, and ends it when it is to stop or does not live.
    async fn attend(&mut self, mut child: Child) -> Termination {
        let since = Timestamp::now();
        let (verdicts, mut told) = mpsc::channel(4);
        let mut probes = JoinSet::new();
        self.probe(&mut probes, &verdicts, self.container.startup_probe.is_none());
        let mut kill_at: Option<Instant> = None;
        loop {
            let deadline = async {
                match kill_at {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                status = child.wait() => return self.termination(since, status.ok()).await,
                Some(verdict) = told.recv() => {
                    if let Some(grace) = self.judge(verdict, &mut probes, &verdicts) {
                        process::send(Signal::Terminate, &child);
                        kill_at = kill_at.or(Some(Instant::now() + grace));
                    }
                }
                grace = stopped(&mut self.stop) => {
                    process::send(Signal::Terminate, &child);
                    let at = Instant::now() + grace;
                    kill_at = Some(kill_at.map_or(at, |earlier| earlier.min(at)));
                }
                () = deadline => {
                    process::send(Signal::Kill, &child);
                    kill_at = Some(Instant::now() + RETRY);
                }
            }
        }
    }

    /// Starts the startup probe, or, once it has passed, the others.
    fn probe(&self, probes: &mut JoinSet<()>, verdicts: &mpsc::Sender<Verdict>, started: bool) {
        let container = &self.container;
        let wanted = if started {
            vec![
                (Role::Readiness, &container.readiness_probe),
                (Role::Liveness, &container.liveness_probe),
            ]
        } else {
            vec![(Role::Startup, &container.startup_probe)]
        };
        for (role, probe) in wanted.into_iter().filter(|(_, probe)| probe.is_some()) {
            let check = Check::parse(role, probe.as_ref(), container, self.address);
            let verdicts = verdicts.clone();
            probes.spawn(async move {
                let Some(check) = check else {
                    // What cannot be asked is taken for granted, and an event says so; the container may have ended meanwhile.
                    let _ = verdicts.send(Verdict { role, outcome: Ok(()) }).await;
                    return;
                };
                check.watch(verdicts).await;
            });
        }
    }

    /// Takes a verdict over into the state; the grace within which the process must end, if it must.
    fn judge(
        &self,
        verdict: Verdict,
        probes: &mut JoinSet<()>,
        verdicts: &mpsc::Sender<Verdict>,
    ) -> Option<Duration> {
        match (verdict.role, verdict.outcome) {
            (Role::Readiness, outcome) => {
                self.state.send_modify(|state| state.ready = outcome.is_ok());
            }
            (Role::Startup, Ok(())) => {
                self.probe(probes, verdicts, true);
                self.state.send_modify(|state| {
                    state.started = true;
                    state.ready = self.container.readiness_probe.is_none();
                });
            }
            (Role::Liveness, Ok(())) => {}
            (Role::Liveness | Role::Startup, Err(reason)) => {
                let line = format!("gatefleet local: restarting, the probe failed: {reason}");
                self.state.borrow().log.push(line.into());
                return Some(grace_of(&self.pod));
            }
        }
        None
    }

    async fn termination(&self, since: Timestamp, status: Option<ExitStatus>) -> Termination {
        use std::os::unix::process::ExitStatusExt as _;
        // The readers of its output are a step behind the process.
        sleep(Duration::from_millis(10)).await;
        let signal = status.and_then(|status| status.signal());
        let code =
            status.and_then(|status| status.code()).unwrap_or_else(|| 128 + signal.unwrap_or(0));
        let message = if code == 0 { String::new() } else { self.state.borrow().log.last(3) };
        Termination { code, signal, since, at: Timestamp::now(), message }
    }

    async fn wait(&mut self, reason: &'static str, message: String, pause: Duration) {
        if pause.is_zero() {
            return;
        }
        self.state.send_if_modified(|state| {
            let phase = ContainerPhase::Waiting { reason, message };
            let changed = state.phase != phase;
            state.phase = phase;
            changed
        });
        tokio::select! {
            () = sleep(pause) => {}
            _ = stopped(&mut self.stop) => {}
        }
    }
}

/// The pause before the next start after so many crashes in a row: none, 1 s, 2 s, 4 s … 30 s.
fn pause(crashes: u32) -> Duration {
    match crashes {
        0 => Duration::ZERO,
        _ => Duration::from_secs(1 << (crashes - 1).min(5)).min(LONGEST_PAUSE),
    }
}

/// How long a pod's processes get to end: its own setting, else 30 s as in Kubernetes.
pub(crate) fn grace_of(pod: &Pod) -> Duration {
    let seconds = pod
        .metadata
        .deletion_grace_period_seconds
        .or_else(|| pod.spec.as_ref().and_then(|spec| spec.termination_grace_period_seconds));
    Duration::from_secs(seconds.and_then(|seconds| u64::try_from(seconds).ok()).unwrap_or(30))
}

/// Returns at the next change towards an end; never when nobody can ask for one any more.
async fn stopped(stop: &mut Stop) -> Duration {
    loop {
        if stop.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
        if let Some(grace) = *stop.borrow_and_update() {
            return grace;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crashes_are_answered_at_once_then_slower() {
        let pauses: Vec<_> = (0..8).map(|crashes| pause(crashes).as_secs()).collect();
        assert_eq!(pauses, [0, 1, 2, 4, 8, 16, 30, 30]);
    }
}
