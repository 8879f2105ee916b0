//! Sockets that listen: one per thread and address, opened together.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener},
    num::NonZeroUsize,
    sync::{Mutex, PoisonError},
};

use socket2::{Domain, Protocol, Socket, Type};

/// Connections that may wait to be accepted; the kernel cuts it to `net.core.somaxconn`.
const BACKLOG: i32 = 65_535;

/// Why an address cannot be bound.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BindError {
    /// Somebody else listens there.
    #[error(
        "port {} is in use on {}; stop what listens there or choose another port", .0.port(), .0.ip()
    )]
    InUse(SocketAddr),
    /// A port below 1024 (or another protected one) without the capability.
    #[error(
        "port {} needs a privilege (NET_BIND_SERVICE); choose a port above 1023 or grant it", .0.port()
    )]
    Denied(SocketAddr),
    /// The address belongs to no interface here.
    #[error("address {} is not one of this machine; correct the bind address", .0.ip())]
    NotLocal(SocketAddr),
    /// Anything else.
    #[error("cannot listen on {0}: {1}")]
    Other(SocketAddr, io::Error),
}

impl BindError {
    fn new(address: SocketAddr, error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::AddrInUse => Self::InUse(address),
            io::ErrorKind::PermissionDenied => Self::Denied(address),
            io::ErrorKind::AddrNotAvailable => Self::NotLocal(address),
            _ => Self::Other(address, error),
        }
    }
}

/// The address that means every interface: `[::]` for both families, `0.0.0.0` where the kernel
/// has no IPv6.
pub(crate) fn unspecified() -> IpAddr {
    match Socket::new(Domain::IPV6, Type::STREAM, Some(Protocol::TCP)) {
        Ok(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        Err(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
    }
}

/// The sockets of one address. Threads take theirs when they begin to serve it; what nobody took is
/// closed when the last owner lets go.
#[derive(Debug)]
pub(crate) struct Bound {
    address: SocketAddr,
    sockets: Mutex<Vec<Option<TcpListener>>>,
}

impl Bound {
    /// Opens an address for a number of threads.
    ///
    /// The first socket is bound alone, because the kernel lets two processes of one user share a
    /// port silently when both ask for it.
    ///
    /// # Errors
    /// When the address is taken, not local, or needs a privilege.
    pub(crate) fn open(address: SocketAddr, threads: NonZeroUsize) -> Result<Self, BindError> {
        let open = |shared| {
            listen(address, shared).map(Some).map_err(|error| BindError::new(address, error))
        };
        let mut sockets = vec![open(Sharing::Claims)?];
        // The kernel may have chosen the port.
        let chosen = sockets.first().and_then(Option::as_ref).map(TcpListener::local_addr);
        let address = match chosen {
            Some(Ok(chosen)) => chosen,
            _ => address,
        };
        for _ in 1..threads.get() {
            let socket = listen(address, Sharing::Joins);
            sockets.push(Some(socket.map_err(|error| BindError::new(address, error))?));
        }
        Ok(Self { address, sockets: Mutex::new(sockets) })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Hands a thread its socket, once.
    pub(crate) fn take(&self, thread: usize) -> Option<TcpListener> {
        let mut sockets = self.sockets.lock().unwrap_or_else(PoisonError::into_inner);
        sockets.get_mut(thread)?.take()
    }
}

/// Whether a socket claims an address alone or joins those that did.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sharing {
    Claims,
    Joins,
}

fn listen(address: SocketAddr, sharing: Sharing) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    if sharing == Sharing::Joins {
        socket.set_reuse_port(true)?;
    }
    socket.bind(&address.into())?;
    if sharing == Sharing::Claims {
        socket.set_reuse_port(true)?;
    }
    socket.listen(BACKLOG)?;
    // Accepted sockets inherit it.
    socket.set_tcp_nodelay(true)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpStream;

    fn two() -> NonZeroUsize {
        NonZeroUsize::new(2).unwrap()
    }

    fn loopback() -> SocketAddr {
        (Ipv4Addr::LOCALHOST, 0).into()
    }

    #[test]
    fn every_thread_gets_connections() {
        let bound = Bound::open(loopback(), two()).unwrap();
        let sockets = [bound.take(0).unwrap(), bound.take(1).unwrap()];
        assert!(bound.take(0).is_none(), "handed out once");
        let clients: Vec<_> =
            (0..64).map(|_| TcpStream::connect(bound.address()).unwrap()).collect();
        let count = |l: &TcpListener| std::iter::from_fn(|| l.accept().ok()).count();
        let counts = sockets.each_ref().map(count);
        assert_eq!(counts.iter().sum::<usize>(), clients.len());
        assert!(counts.iter().all(|&n| n > 0), "one thread got all: {counts:?}");
    }

    #[test]
    fn a_port_in_use_is_named_with_the_remedy() {
        let other = TcpListener::bind(loopback()).unwrap();
        let address = other.local_addr().unwrap();
        let error = Bound::open(address, two()).unwrap_err().to_string();
        let expected = format!("port {} is in use on 127.0.0.1; stop", address.port());
        assert!(error.starts_with(&expected), "{error}");
        // Our own kind of socket is no exception.
        let ours = Bound::open(loopback(), two()).unwrap();
        assert!(matches!(Bound::open(ours.address(), two()), Err(BindError::InUse(_))));
    }

    #[test]
    fn the_unspecified_address_takes_both_families() {
        let bound = Bound::open((unspecified(), 0).into(), two()).unwrap();
        assert!(TcpStream::connect((Ipv4Addr::LOCALHOST, bound.address().port())).is_ok());
    }
}
