//! Metrics in the `OpenMetrics` text format. The table below is all there is; the reference is generated from it.

use std::fmt;

use gatefleet_channel::{ChannelState, Outcome};
use gatefleet_transport::{
    BackendView, CertificateView,
    observe::{DURATION_BUCKETS, Handshake, Statistics},
};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet, text::encode},
    metrics::MetricType,
    registry::Registry,
};

use super::Sources;

/// One metric: what it is called, what it means, and how it is read.
struct Metric {
    name: &'static str,
    help: &'static str,
    labels: &'static [&'static str],
    read: Read,
}

/// How samples come out of a scrape.
enum Read {
    Counter(fn(&Scrape) -> Vec<Sample>),
    Gauge(fn(&Scrape) -> Vec<Sample>),
    Durations(fn(&Scrape, &mut MetricEncoder<'_>) -> fmt::Result),
}

impl Read {
    fn kind(&self) -> MetricType {
        match self {
            Self::Counter(_) => MetricType::Counter,
            Self::Gauge(_) => MetricType::Gauge,
            Self::Durations(_) => MetricType::Histogram,
        }
    }
}

/// Label values, in the order of [`Metric::labels`], and a number.
type Sample = (Vec<String>, u64);

/// Everything that metrics are made of, at one moment.
#[derive(Debug)]
struct Scrape {
    statistics: Statistics,
    backends: Vec<BackendView>,
    certificates: Vec<CertificateView>,
    channel: ChannelState,
    ready: bool,
}

/// All metrics, in their order in the reference.
const METRICS: &[Metric] = &[
    Metric {
        name: "gatefleet_requests",
        help: "Requests that ended, by the rule that matched (empty: none), the chosen backend (empty: none) and the \
               first digit of the status (0: none could be sent).",
        labels: &["rule", "backend", "status_class"],
        read: Read::Counter(requests),
    },
    Metric {
        name: "gatefleet_request_duration_seconds",
        help: "From the first byte of a request to the last of its response, by backend.",
        labels: &["backend"],
        read: Read::Durations(durations),
    },
    Metric {
        name: "gatefleet_request_failures",
        help: "Requests that something went wrong with, by what.",
        labels: &["reason"],
        read: Read::Counter(failures),
    },
    Metric {
        name: "gatefleet_request_retries",
        help: "Tries after the first, by rule and backend.",
        labels: &["rule", "backend"],
        read: Read::Counter(|s| by_route(s, |route| route.retries)),
    },
    Metric {
        name: "gatefleet_request_body_bytes",
        help: "Bytes of request bodies, by rule and backend.",
        labels: &["rule", "backend"],
        read: Read::Counter(|s| by_route(s, |route| route.body_in)),
    },
    Metric {
        name: "gatefleet_response_body_bytes",
        help: "Bytes of response bodies, by rule and backend.",
        labels: &["rule", "backend"],
        read: Read::Counter(|s| by_route(s, |route| route.body_out)),
    },
    Metric {
        name: "gatefleet_connections_accepted",
        help: "Connections accepted from clients.",
        labels: &[],
        read: Read::Counter(|s| one(s.statistics.accepted)),
    },
    Metric {
        name: "gatefleet_connections_open",
        help: "Open connections of clients.",
        labels: &[],
        read: Read::Gauge(|s| one(s.statistics.open_connections())),
    },
    Metric {
        name: "gatefleet_accept_failures",
        help: "Failed accepts, such as for lack of file descriptors.",
        labels: &[],
        read: Read::Counter(|s| one(s.statistics.accept_failed)),
    },
    Metric {
        name: "gatefleet_accept_pauses",
        help: "Pauses of accepting because limits.maxConnections was reached.",
        labels: &[],
        read: Read::Counter(|s| one(s.statistics.limited)),
    },
    Metric {
        name: "gatefleet_tls_handshakes",
        help: "TLS handshakes with clients, by outcome: done, failed, unknown_name, timed_out.",
        labels: &["outcome"],
        read: Read::Counter(handshakes),
    },
    Metric {
        name: "gatefleet_upstream_connects",
        help: "Connections begun towards endpoints, by backend.",
        labels: &["backend"],
        read: Read::Counter(|s| by_backend(s, |backend| backend.connects)),
    },
    Metric {
        name: "gatefleet_upstream_connect_failures",
        help: "Connects that failed, by backend and reason: refused, timed_out, tls.",
        labels: &["backend", "reason"],
        read: Read::Counter(connect_failures),
    },
    Metric {
        name: "gatefleet_upstream_connections_open",
        help: "Open connections towards endpoints, idle ones included, by backend.",
        labels: &["backend"],
        read: Read::Gauge(|s| by_backend(s, |backend| wide(backend.open))),
    },
    Metric {
        name: "gatefleet_upstream_pending",
        help: "Requests that wait for a connection, by backend.",
        labels: &["backend"],
        read: Read::Gauge(|s| by_backend(s, |backend| wide(backend.pending))),
    },
    Metric {
        name: "gatefleet_upstream_overflows",
        help: "Requests turned away because limits towards the backend were reached.",
        labels: &["backend"],
        read: Read::Counter(|s| by_backend(s, |backend| backend.overflowed)),
    },
    Metric {
        name: "gatefleet_upstream_endpoints",
        help: "Endpoints of a backend.",
        labels: &["backend"],
        read: Read::Gauge(|s| by_backend(s, |backend| wide(backend.endpoints.len()))),
    },
    Metric {
        name: "gatefleet_certificate_not_after_seconds",
        help: "When a certificate ends, in seconds since the epoch. One that has ended is served still: clients decide.",
        labels: &["certificate"],
        read: Read::Gauge(certificates),
    },
    Metric {
        name: "gatefleet_config_installs",
        help: "Configurations installed on every thread.",
        labels: &[],
        read: Read::Counter(|s| one(s.channel.installs)),
    },
    Metric {
        name: "gatefleet_config_resources",
        help: "Resources by outcome: installed, refused (its last good version serves, if there is one), \
               dependency_refused.",
        labels: &["outcome"],
        read: Read::Gauge(outcomes),
    },
    Metric {
        name: "gatefleet_config_servers_connected",
        help: "Configuration servers with a live stream.",
        labels: &[],
        read: Read::Gauge(|s| one(wide(s.channel.connected.len()))),
    },
    Metric {
        name: "gatefleet_config_regressed",
        help: "1 while the configuration in use is older than one that was in use before.",
        labels: &[],
        read: Read::Gauge(|s| one(u64::from(s.channel.watermark_regressed))),
    },
    Metric {
        name: "gatefleet_ready",
        help: "1 while the proxy is ready.",
        labels: &[],
        read: Read::Gauge(|s| one(u64::from(s.ready))),
    },
    Metric {
        name: "gatefleet_access_log_lines_dropped",
        help: "Access log lines dropped because nobody read them fast enough.",
        labels: &[],
        read: Read::Counter(|s| one(s.statistics.log_lines_dropped)),
    },
    Metric {
        name: "gatefleet_build_info",
        help: "1, with the version of this program.",
        labels: &["version"],
        read: Read::Gauge(|_| vec![(vec![env!("CARGO_PKG_VERSION").to_owned()], 1)]),
    },
];

fn one(value: u64) -> Vec<Sample> {
    vec![(Vec::new(), value)]
}

fn wide(value: usize) -> u64 {
    u64::try_from(value).unwrap_or(u64::MAX)
}

fn requests(scrape: &Scrape) -> Vec<Sample> {
    let mut samples = Vec::new();
    for ((rule, backend), route) in &scrape.statistics.routes {
        for (class, count) in route.by_class.iter().enumerate().filter(|(_, count)| **count > 0) {
            samples.push((vec![rule.clone(), backend.clone(), class.to_string()], *count));
        }
    }
    samples
}

fn by_route(
    scrape: &Scrape,
    value: fn(&gatefleet_transport::observe::RouteStatistics) -> u64,
) -> Vec<Sample> {
    let routes = scrape.statistics.routes.iter();
    routes.map(|((rule, backend), r)| (vec![rule.clone(), backend.clone()], value(r))).collect()
}

fn by_backend(scrape: &Scrape, value: fn(&BackendView) -> u64) -> Vec<Sample> {
    scrape.backends.iter().map(|backend| (vec![backend.name.clone()], value(backend))).collect()
}

fn failures(scrape: &Scrape) -> Vec<Sample> {
    let failures = &scrape.statistics.failures;
    let mut samples: Vec<Sample> =
        failures.iter().map(|(reason, count)| (vec![format!("{reason:?}")], *count)).collect();
    samples.sort();
    samples
}

fn handshakes(scrape: &Scrape) -> Vec<Sample> {
    let name = |outcome: Handshake| match outcome {
        Handshake::Done => "done",
        Handshake::Failed => "failed",
        Handshake::UnknownName => "unknown_name",
        Handshake::TimedOut => "timed_out",
    };
    let counts = Handshake::ALL.into_iter().zip(scrape.statistics.handshakes);
    counts.map(|(outcome, count)| (vec![name(outcome).to_owned()], count)).collect()
}

fn connect_failures(scrape: &Scrape) -> Vec<Sample> {
    let mut samples = Vec::new();
    for backend in &scrape.backends {
        let reasons = [
            ("refused", backend.refused),
            ("timed_out", backend.timed_out),
            ("tls", backend.tls_failed),
        ];
        samples.extend(reasons.map(|(r, count)| (vec![backend.name.clone(), r.to_owned()], count)));
    }
    samples
}

fn certificates(scrape: &Scrape) -> Vec<Sample> {
    let ends = |c: &CertificateView| u64::try_from(c.not_after).unwrap_or_default();
    scrape.certificates.iter().map(|c| (vec![c.name.clone()], ends(c))).collect()
}

fn outcomes(scrape: &Scrape) -> Vec<Sample> {
    let all = || scrape.channel.outcomes.values();
    let count = |fits: fn(&Outcome) -> bool| wide(all().filter(|outcome| fits(outcome)).count());
    let counts = [
        ("installed", count(|o| matches!(o, Outcome::Installed { .. }))),
        ("refused", count(|o| matches!(o, Outcome::Refused { .. }))),
        ("dependency_refused", count(|o| matches!(o, Outcome::DependencyRefused { .. }))),
    ];
    counts.map(|(name, count)| (vec![name.to_owned()], count)).into()
}

fn durations(scrape: &Scrape, encoder: &mut MetricEncoder<'_>) -> fmt::Result {
    let mut sums =
        std::collections::BTreeMap::<&str, gatefleet_transport::observe::Histogram>::new();
    for ((_, backend), route) in &scrape.statistics.routes {
        let sum = sums.entry(backend).or_default();
        sum.sum_us += route.durations.sum_us;
        for (total, count) in sum.buckets.iter_mut().zip(route.durations.buckets) {
            *total += count;
        }
    }
    for (backend, histogram) in sums {
        let count = histogram.buckets.iter().sum();
        // Bounds are round numbers, so the text shows them as they are meant.
        let bounds = DURATION_BUCKETS.iter().map(|micros| seconds(*micros)).chain([f64::INFINITY]);
        let buckets: Vec<(f64, u64)> = bounds.zip(histogram.buckets).collect();
        encoder.encode_family(&[("backend", backend)])?.encode_histogram::<NoLabelSet>(
            seconds(histogram.sum_us),
            count,
            &buckets,
            None,
        )?;
    }
    Ok(())
}

fn seconds(micros: u64) -> f64 {
    std::time::Duration::from_micros(micros).as_secs_f64()
}

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for metric in METRICS {
            let kind = metric.read.kind();
            let help = metric.help.trim_end_matches('.');
            let mut encoder = encoder.encode_descriptor(metric.name, help, None, kind)?;
            let (samples, is_counter) = match &metric.read {
                Read::Counter(read) => (read(self), true),
                Read::Gauge(read) => (read(self), false),
                Read::Durations(encode) => {
                    encode(self, &mut encoder)?;
                    continue;
                }
            };
            for (values, number) in samples {
                let labels: Vec<_> = metric.labels.iter().copied().zip(values).collect();
                if labels.is_empty() {
                    sample(&mut encoder, is_counter, number)?;
                } else {
                    sample(&mut encoder.encode_family(&labels)?, is_counter, number)?;
                }
            }
        }
        Ok(())
    }
}

fn sample(encoder: &mut MetricEncoder<'_>, is_counter: bool, number: u64) -> fmt::Result {
    if is_counter {
        encoder.encode_counter::<NoLabelSet, _, u64>(&number, None)
    } else {
        encoder.encode_gauge(&i64::try_from(number).unwrap_or(i64::MAX))
    }
}

/// All metrics now.
pub(super) async fn render(sources: &Sources) -> String {
    let scrape = Scrape {
        statistics: sources.data_path.statistics(),
        backends: sources.data_path.backends().await,
        certificates: sources.data_path.certificates().await,
        channel: sources.channel.borrow().clone(),
        ready: sources.readiness.obstacle().is_none(),
    };
    text(scrape)
}

fn text(scrape: Scrape) -> String {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(scrape));
    let mut text = String::new();
    // Writing into a string cannot fail.
    let _ = encode(&mut text, &registry);
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect_file;
    use gatefleet_transport::{EndpointView, observe::RouteStatistics};

    fn reference() -> String {
        let mut page = String::from(
            "<!-- Generated from proxy/app/src/operations/metrics.rs; written by `UPDATE_EXPECT=1 cargo test -p \
             gatefleet-proxy`. -->\n# Metrics of a proxy\n\nThe status port (9701) serves them at `/metrics` in the \
             OpenMetrics text format. Counters are sums since\nthe start of the process, over all its threads; their \
             names end in `_total` there.\n\n| metric | type | labels | meaning |\n|---|---|---|---|\n",
        );
        for metric in METRICS {
            let labels: Vec<_> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
            let (suffix, kind) = match metric.read {
                Read::Counter(_) => ("_total", "counter"),
                Read::Gauge(_) => ("", "gauge"),
                Read::Durations(_) => ("", "histogram"),
            };
            let row = format!(
                "| `{}{suffix}` | {kind} | {} | {} |\n",
                metric.name,
                labels.join(", "),
                metric.help
            );
            page.push_str(&row);
        }
        page
    }

    #[test]
    fn the_reference_is_fresh() {
        expect_file!["../../../../docs/reference/metrics.md"].assert_eq(&reference());
    }

    fn scrape() -> Scrape {
        let mut statistics = Statistics { accepted: 5, closed: 2, ..Default::default() };
        let mut route = RouteStatistics { by_class: [0, 0, 7, 0, 0, 1], ..Default::default() };
        route.durations.buckets[0] = 6;
        route.durations.buckets[14] = 2;
        route.durations.sum_us = 31_000_000;
        statistics.routes.insert(("Ingress/a/b/0".into(), "backend/a/b/80".into()), route);
        let backend = BackendView {
            name: "backend/a/b/80".into(),
            endpoints: vec![EndpointView {
                addresses: vec!["127.0.0.1:80".parse().unwrap()],
                terminating: false,
                avoided: false,
            }],
            open: 3,
            pending: 0,
            connects: 9,
            refused: 1,
            timed_out: 0,
            tls_failed: 0,
            overflowed: 0,
        };
        Scrape {
            statistics,
            backends: vec![backend],
            certificates: vec![CertificateView {
                name: "certificate/a".into(),
                names: vec!["a.example".into()],
                not_before: 1,
                not_after: 2_000_000_000,
            }],
            channel: ChannelState::default(),
            ready: true,
        }
    }

    #[test]
    fn samples_carry_their_labels() {
        let text = text(scrape());
        for line in [
            "gatefleet_requests_total{rule=\"Ingress/a/b/0\",backend=\"backend/a/b/80\",status_class=\"2\"} 7",
            "gatefleet_requests_total{rule=\"Ingress/a/b/0\",backend=\"backend/a/b/80\",status_class=\"5\"} 1",
            "gatefleet_request_duration_seconds_count{backend=\"backend/a/b/80\"} 8",
            "gatefleet_request_duration_seconds_bucket{le=\"0.0005\",backend=\"backend/a/b/80\"} 6",
            "gatefleet_request_duration_seconds_bucket{le=\"10.0\",backend=\"backend/a/b/80\"} 6",
            "gatefleet_request_duration_seconds_bucket{le=\"+Inf\",backend=\"backend/a/b/80\"} 8",
            "gatefleet_request_duration_seconds_sum{backend=\"backend/a/b/80\"} 31.0",
            "gatefleet_connections_open 3",
            "gatefleet_upstream_connect_failures_total{backend=\"backend/a/b/80\",reason=\"refused\"} 1",
            "gatefleet_upstream_endpoints{backend=\"backend/a/b/80\"} 1",
            "gatefleet_ready 1",
            "gatefleet_certificate_not_after_seconds{certificate=\"certificate/a\"} 2000000000",
        ] {
            assert!(text.lines().any(|one| one == line), "no {line} in\n{text}");
        }
    }

    #[test]
    fn everything_that_is_scraped_stands_in_the_table() {
        let text = text(scrape());
        for line in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
            let name = line.split(' ').next().unwrap();
            assert!(METRICS.iter().any(|metric| metric.name == name), "{name}");
        }
        let types = text.lines().filter(|line| line.starts_with("# TYPE ")).count();
        assert_eq!(types, METRICS.len());
    }
}
