//! What is known about a client's connection.

use std::{net::SocketAddr, sync::Arc};

/// Facts about one accepted connection.
#[derive(Debug, Clone)]
pub struct ConnectionInfo {
    /// The peer, after a PROXY protocol header.
    pub peer: SocketAddr,
    /// The local end.
    pub local: SocketAddr,
    /// Scope whose virtual hosts answer.
    pub scope: Arc<str>,
    /// Listener resource that accepted it.
    pub listener: Arc<str>,
    /// Port that clients know the listener by (X-Forwarded-Port).
    pub advertised_port: u16,
    /// Ports that clients know the scope's listeners by (redirects).
    pub advertised: AdvertisedPorts,
    /// Present on TLS connections.
    pub tls: Option<TlsInfo>,
}

impl ConnectionInfo {
    /// The scheme of the connection itself.
    pub fn scheme(&self) -> Scheme {
        if self.tls.is_some() { Scheme::Https } else { Scheme::Http }
    }
}

/// Advertised ports of a scope, one per scheme.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AdvertisedPorts {
    /// Of its HTTP listener; absent: 80.
    pub http: Option<u16>,
    /// Of its HTTPS listener; absent: 443.
    pub https: Option<u16>,
}

/// Facts about a TLS connection.
#[derive(Debug, Clone, Default)]
pub struct TlsInfo {
    /// Server name of the `ClientHello`, in lower case.
    pub server_name: Option<Arc<str>>,
    /// ALPN chose HTTP/2.
    pub http2: bool,
}

/// URI scheme of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// Plaintext.
    Http,
    /// TLS.
    Https,
}

impl Scheme {
    /// "http" or "https".
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// The port that is not printed.
    pub fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}
