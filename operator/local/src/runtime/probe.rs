//! Probes: what is asked of a container, and what the answers add up to.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, Probe};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

/// What a probe decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Whether the others count yet.
    Startup,
    /// Whether traffic is wanted.
    Readiness,
    /// Whether the process must be restarted.
    Liveness,
}

/// A change of a probe's verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) role: Role,
    pub(crate) outcome: Result<(), String>,
}

/// A probe that local mode can carry out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Check {
    role: Role,
    target: SocketAddr,
    /// The request line and headers of an HTTP probe; absent: connecting is enough.
    request: Option<String>,
    initial_delay: Duration,
    period: Duration,
    timeout: Duration,
    successes: u32,
    failures: u32,
}

/// How soon a probe that does not hold yet is repeated: a start is not to wait for a whole period.
const EAGER: Duration = Duration::from_millis(100);

impl Check {
    /// Understands a probe of `container`; nothing for kinds that local mode leaves out (exec, gRPC, HTTPS).
    pub(crate) fn parse(
        role: Role,
        probe: Option<&Probe>,
        container: &Container,
        address: Ipv4Addr,
    ) -> Option<Self> {
        let probe = probe?;
        let (port, request) = if let Some(http) = &probe.http_get {
            if http.scheme.as_deref().is_some_and(|scheme| scheme != "HTTP") {
                return None;
            }
            let mut request = format!(
                "GET {} HTTP/1.1\r\nuser-agent: gatefleet-local\r\nconnection: close\r\n",
                http.path.as_deref().unwrap_or("/")
            );
            let headers = http.http_headers.as_deref().unwrap_or_default();
            if !headers.iter().any(|header| header.name.eq_ignore_ascii_case("host")) {
                request.push_str("host: probe\r\n");
            }
            for header in headers {
                for part in [&header.name, ": ", &header.value, "\r\n"] {
                    request.push_str(part);
                }
            }
            request.push_str("\r\n");
            (&http.port, Some(request))
        } else {
            (&probe.tcp_socket.as_ref()?.port, None)
        };
        let seconds = |value: Option<i32>, default: u64| {
            Duration::from_secs(
                value.and_then(|value| u64::try_from(value).ok()).unwrap_or(default),
            )
        };
        let count = |value: Option<i32>, default| {
            value.and_then(|value| u32::try_from(value).ok()).unwrap_or(default).max(1)
        };
        Some(Self {
            role,
            target: SocketAddr::from((address, resolve_port(port, container)?)),
            request,
            initial_delay: seconds(probe.initial_delay_seconds, 0),
            period: seconds(probe.period_seconds, 10).max(EAGER),
            timeout: seconds(probe.timeout_seconds, 1).max(EAGER),
            successes: count(probe.success_threshold, 1),
            failures: count(probe.failure_threshold, 3),
        })
    }

    /// Probes until the receiver is gone, and tells each change of the verdict. Readiness starts as "no", liveness as "yes".
    pub(crate) async fn watch(self, verdicts: mpsc::Sender<Verdict>) {
        tokio::time::sleep(self.initial_delay).await;
        let mut tally = Tally::new(&self);
        let mut counted = Instant::now();
        loop {
            let outcome = self.attempt().await;
            let due = outcome.is_ok() || counted.elapsed() >= self.period;
            if due {
                counted = Instant::now();
                if tally.count(outcome.is_ok()) {
                    let verdict = Verdict { role: self.role, outcome };
                    if verdicts.send(verdict).await.is_err() || self.role == Role::Startup {
                        return;
                    }
                }
            }
            let wait = if tally.holds { self.period } else { EAGER };
            tokio::time::sleep(wait).await;
        }
    }

    async fn attempt(&self) -> Result<(), String> {
        match timeout(self.timeout, self.ask()).await {
            Ok(answer) => answer,
            Err(_) => Err(format!("no answer from {} within {:?}", self.target, self.timeout)),
        }
    }

    async fn ask(&self) -> Result<(), String> {
        let said = |error: std::io::Error| format!("{}: {error}", self.target);
        let mut stream = TcpStream::connect(self.target).await.map_err(said)?;
        let Some(request) = &self.request else { return Ok(()) };
        stream.write_all(request.as_bytes()).await.map_err(said)?;
        let mut head = [0; 12];
        stream.read_exact(&mut head).await.map_err(said)?;
        let status =
            head.strip_prefix(b"HTTP/1.").and_then(|rest| rest.get(2..5)).unwrap_or(b"???");
        match status {
            [b'2' | b'3', _, _] => Ok(()),
            _ => Err(format!("{} answered {}", self.target, String::from_utf8_lossy(status))),
        }
    }
}

/// Consecutive answers, and what they amount to.
#[derive(Debug)]
struct Tally {
    holds: bool,
    successes: u32,
    failures: u32,
    streak: u32,
    /// Whether even a "no" is news: a startup that fails for long enough.
    fresh: bool,
}

impl Tally {
    fn new(check: &Check) -> Self {
        let holds = check.role == Role::Liveness;
        Self {
            holds,
            successes: check.successes,
            failures: check.failures,
            streak: 0,
            fresh: !holds,
        }
    }

    /// Takes one answer; true when the verdict is news.
    fn count(&mut self, success: bool) -> bool {
        if success == self.holds && (success || !self.fresh) {
            self.streak = 0;
            return false;
        }
        self.streak += 1;
        if self.streak < if success { self.successes } else { self.failures } {
            return false;
        }
        self.streak = 0;
        self.fresh = false;
        self.holds = success;
        true
    }
}

/// A port by number, or by the name that a container gives it.
pub(crate) fn resolve_port(port: &IntOrString, container: &Container) -> Option<u16> {
    let number = match port {
        IntOrString::Int(number) => *number,
        IntOrString::String(name) => match name.parse() {
            Ok(number) => number,
            Err(_) => {
                container
                    .ports
                    .iter()
                    .flatten()
                    .find(|port| port.name.as_ref() == Some(name))?
                    .container_port
            }
        },
    };
    u16::try_from(number).ok().filter(|number| *number > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(role: Role, probe: serde_json::Value) -> Option<Check> {
        let container: Container = serde_json::from_value(
            json!({"name": "c", "ports": [{"name": "http", "containerPort": 3000}]}),
        )
        .unwrap();
        let probe: Probe = serde_json::from_value(probe).unwrap();
        Check::parse(role, Some(&probe), &container, Ipv4Addr::LOCALHOST)
    }

    #[test]
    fn understands_http_and_tcp_and_leaves_out_the_rest() {
        let http = check(Role::Readiness, json!({"httpGet": {"path": "/healthz", "port": "http"}}))
            .unwrap();
        assert_eq!(http.target.port(), 3000);
        assert!(http.request.unwrap().starts_with("GET /healthz HTTP/1.1\r\n"));
        assert_eq!(http.period, Duration::from_secs(10));
        assert!(
            check(Role::Liveness, json!({"tcpSocket": {"port": 9701}})).unwrap().request.is_none()
        );
        for left_out in [
            json!({"exec": {"command": ["true"]}}),
            json!({"httpGet": {"port": 1, "scheme": "HTTPS"}}),
            json!({"tcpSocket": {"port": "unknown"}}),
        ] {
            assert_eq!(check(Role::Readiness, left_out.clone()), None, "{left_out}");
        }
    }

    #[test]
    fn thresholds_count_consecutive_answers() {
        let verdicts = |role, probe, answers: &[u8]| {
            let mut tally = Tally::new(&check(role, probe).unwrap());
            let told = answers.iter().filter(|answer| tally.count(**answer == b'+')).count();
            (told, tally.holds)
        };
        let probe = json!({"tcpSocket": {"port": 1}, "failureThreshold": 3, "successThreshold": 2});
        assert_eq!(verdicts(Role::Readiness, probe.clone(), b"+"), (0, false));
        assert_eq!(verdicts(Role::Readiness, probe.clone(), b"++"), (1, true));
        assert_eq!(verdicts(Role::Readiness, probe.clone(), b"++--+-+"), (1, true));
        assert_eq!(verdicts(Role::Readiness, probe.clone(), b"++---"), (2, false));
        assert_eq!(verdicts(Role::Liveness, probe.clone(), b"+--+--"), (0, true));
        assert_eq!(verdicts(Role::Liveness, probe.clone(), b"---"), (1, false));
        assert_eq!(verdicts(Role::Startup, probe, b"---"), (1, false));
    }
}
