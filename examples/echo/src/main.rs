//! `gatefleet-echo`: the small HTTP/1.1 backend that the examples and the tests put behind a fleet.
//!
//! In: a text, a port. Out: that text on every path, and a few paths and query parameters that make it useful to tests:
//!
//! | request | answer |
//! |---|---|
//! | any path | the text and a newline |
//! | `/healthz` | `ok` |
//! | `/echo` | the request as JSON: method, path, query, version, headers, body, and the pod's name |
//! | any path with `Upgrade: websocket` | every text, binary and ping frame comes back |
//! | `?bytes=N` | a body of N bytes instead of the text |
//! | `?delay_ms=D` | the head and half of the body at once, the rest D milliseconds later |
//! | `?wait_ms=D` | nothing at all for D milliseconds |
//! | `?status=C` | status C |
//! | `?chunked` | the same body without a `Content-Length` |
//!
//! On SIGTERM it goes on accepting for the drain delay, answers with `Connection: close`, then finishes what is in flight and exits:
//! a caller that follows endpoint readiness loses nothing. It must not be used as anything but an example: it has no limits.

mod body;
mod frames;
mod reply;
mod serve;
mod sha1;

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;

/// A small HTTP backend for examples and tests.
#[derive(Debug, Parser)]
#[command(name = "gatefleet-echo", version)]
struct Arguments {
    /// Port to listen on.
    #[arg(long, env = "PORT", default_value_t = 8080)]
    port: u16,
    /// Address to listen on; `GATEFLEET_BIND`, which local mode sets, wins over it.
    #[arg(long, default_value_t = IpAddr::V6(Ipv6Addr::UNSPECIFIED))]
    address: IpAddr,
    /// The answer to every path.
    #[arg(long, default_value = "gatefleet-echo")]
    text: String,
    /// Name to show in answers; in a pod, `HOSTNAME` is the pod's name.
    #[arg(long, env = "HOSTNAME", default_value = "")]
    pod: String,
    /// How long new connections are still accepted after SIGTERM, in milliseconds.
    #[arg(long, default_value_t = 1000)]
    drain_ms: u64,
    /// Milliseconds before it listens: a slow start, for tests of probes.
    #[arg(long, default_value_t = 0)]
    start_ms: u64,
    /// Where local mode wants this process to listen.
    #[arg(long, env = "GATEFLEET_BIND", hide = true)]
    bind: Option<IpAddr>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let address = SocketAddr::new(arguments.bind.unwrap_or(arguments.address), arguments.port);
    tokio::time::sleep(Duration::from_millis(arguments.start_ms)).await;
    let identity = Arc::new(reply::Identity { text: arguments.text, pod: arguments.pod });
    match serve::serve(address, identity, Duration::from_millis(arguments.drain_ms)).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            serve::say(&format!("gatefleet-echo: {error}"));
            ExitCode::FAILURE
        }
    }
}
