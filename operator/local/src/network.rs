//! Which loopback addresses and ports this `local` has for itself.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use crate::Error;

/// The API server's port, on the first address of the Services' range: binding it is what claims the ranges.
const API_PORT: u16 = 26443;
/// Pairs of /16 ranges that exist: 127.244/127.96 up to 127.254/127.106.
const PAIRS: u8 = 11;
/// What is added to ports below 1024 when they cannot be bound.
const OFFSET: u16 = 8000;

/// A pair of loopback ranges: 127.244.0.0/16 for pods and 127.96.0.0/16 for Services, or the n-th after them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    index: u8,
}

impl Network {
    /// Takes the first pair that no other `gatefleet local` on this machine holds. The returned socket is the claim, and serves the API.
    ///
    /// # Errors
    /// [`Error::Ranges`] when all are taken.
    pub fn claim() -> Result<(Self, TcpListener), Error> {
        let mut last = io::Error::from(io::ErrorKind::AddrInUse);
        for index in 0..PAIRS {
            let network = Self { index };
            match TcpListener::bind(network.api()) {
                Ok(listener) => return Ok((network, listener)),
                Err(error) => last = error,
            }
        }
        Err(Error::Ranges { port: API_PORT, source: last })
    }

    /// Where the API server listens.
    pub fn api(self) -> SocketAddr {
        SocketAddr::from((self.service(1), API_PORT))
    }

    /// Where the operator's configuration server listens: a free port of the API server's address.
    pub fn channel(self) -> SocketAddr {
        SocketAddr::from((self.service(1), 0))
    }

    /// The address of the one node, where ports of nodes are served: the API server's.
    pub fn node(self) -> Ipv4Addr {
        self.service(1)
    }

    /// The Services' range in CIDR notation.
    pub fn services(self) -> String {
        format!("{}/16", self.service(0))
    }

    /// The n-th address of the Services' range.
    pub fn service(self, n: u16) -> Ipv4Addr {
        let [high, low] = n.to_be_bytes();
        Ipv4Addr::new(127, 96 + self.index, high, low)
    }

    /// The n-th address of the pods' range.
    pub fn pod(self, n: u16) -> Ipv4Addr {
        let [high, low] = n.to_be_bytes();
        Ipv4Addr::new(127, 244 + self.index, high, low)
    }
}

/// Where Services' ports are offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ports {
    /// Each port at its own number.
    Same,
    /// Ports below 1024 at 8000 more, for the reason given.
    Raised(RaisedBecause),
}

/// Why ports below 1024 are offered higher.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RaisedBecause {
    /// Only root may bind them (or `net.ipv4.ip_unprivileged_port_start`).
    NotAllowed,
    /// Another program has port 80 on every address.
    InUse,
}

impl Ports {
    /// Finds out by binding port 80, once.
    ///
    /// # Errors
    /// [`Error::Ports`] when the raised port cannot be bound either.
    pub fn probe(network: Network) -> Result<Self, Error> {
        let bind = |port| {
            let address = SocketAddr::from((network.service(1), port));
            TcpListener::bind(address).map_err(|source| (address, source))
        };
        let because = match bind(80) {
            Ok(_) => return Ok(Self::Same),
            Err((_, error)) if error.kind() == io::ErrorKind::PermissionDenied => {
                RaisedBecause::NotAllowed
            }
            Err(_) => RaisedBecause::InUse,
        };
        match bind(80 + OFFSET) {
            Ok(_) => Ok(Self::Raised(because)),
            Err((address, source)) => Err(Error::Ports { address, source }),
        }
    }

    /// The number at which a Service's port is offered.
    pub fn offered(self, port: u16) -> u16 {
        match self {
            Self::Raised(_) if port < 1024 => port + OFFSET,
            _ => port,
        }
    }

    /// A sentence for the user, when there is something to say.
    pub fn remark(self) -> Option<&'static str> {
        match self {
            Self::Same => None,
            Self::Raised(RaisedBecause::NotAllowed) => Some(
                "An ordinary user cannot listen below port 1024: such ports are offered 8000 higher (80 at 8080, 443 at 8443).",
            ),
            Self::Raised(RaisedBecause::InUse) => Some(
                "Another program listens on port 80 of all addresses: ports below 1024 are offered 8000 higher (80 at 8080, 443 at 8443).",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_claim_takes_the_next_pair() {
        let (first, _first) = Network::claim().unwrap();
        let (second, _second) = Network::claim().unwrap();
        assert_ne!(first, second);
        assert_ne!(first.pod(1), second.pod(1));
        assert_ne!(first.services(), second.services());
    }

    #[test]
    fn numbers_become_addresses() {
        let network = Network { index: 1 };
        assert_eq!(network.pod(258), Ipv4Addr::new(127, 245, 1, 2));
        assert_eq!(network.service(3), Ipv4Addr::new(127, 97, 0, 3));
        assert_eq!(network.services(), "127.97.0.0/16");
    }

    #[test]
    fn only_low_ports_are_raised() {
        let raised = Ports::Raised(RaisedBecause::NotAllowed);
        assert_eq!(
            (raised.offered(80), raised.offered(443), raised.offered(3000)),
            (8080, 8443, 3000)
        );
        assert_eq!(Ports::Same.offered(80), 80);
    }
}
