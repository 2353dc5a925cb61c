//! The addresses a broker listens on, and what it tells clients about them.
//!
//! * A host name is listened on at every address that it resolves to.
//! * `127.0.0.1` is listened on at `::1` too, where the machine has it: clients that are told `localhost` try that first.
//! * A wildcard (`0.0.0.0`, `::` or nothing) advertises the address from which this machine reaches others, unless
//!   `advertised.listeners` says better.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, ToSocketAddrs as _, UdpSocket};

use highwater_core::config::Listener;
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};

/// Connections that may wait to be accepted: as many as the kernel allows.
const BACKLOG: i32 = 4096;
/// How often a free port is looked for that several addresses of one listener can share.
const FREE_PORT_ATTEMPTS_MAX: usize = 16;
/// An address that belongs to nobody (RFC 5737): asking the kernel for a route to it sends nothing.
const SOMEWHERE_ELSE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 9);

/// A socket that listens.
#[derive(Debug)]
pub struct Bound {
    /// Which of the configured listeners it serves.
    pub listener: usize,
    /// The socket, in non-blocking mode.
    pub socket: TcpListener,
    /// Where it listens.
    pub address: SocketAddr,
}

/// Why a broker cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Another process listens there.
    #[error("cannot listen on {0}: the port is in use; stop what uses it, or choose another with --listen HOST:PORT")]
    InUse(String),
    /// The host name has no address.
    #[error("cannot listen on {address}: the host name cannot be resolved: {error}")]
    Unresolved {
        /// What was asked for.
        address: String,
        /// What the resolver said.
        error: io::Error,
    },
    /// The operating system refuses for another reason.
    #[error("cannot listen on {address}: {error}")]
    Io {
        /// What was asked for.
        address: String,
        /// What the operating system said.
        error: io::Error,
    },
}

/// Listens on all of `listeners`, and completes them with the ports that were free and the addresses to advertise.
///
/// # Errors
/// One of them cannot be listened on.
pub fn bind(listeners: &mut [Listener]) -> Result<Vec<Bound>, BindError> {
    let mut bound = Vec::new();
    for (index, listener) in listeners.iter_mut().enumerate() {
        let sockets = bind_listener(listener)?;
        let port = sockets[0].1.port();
        listener.port = port;
        if listener.advertised_port == 0 {
            listener.advertised_port = port;
        }
        if listener.advertised_host.is_empty() {
            listener.advertised_host = own_address().to_string();
        }
        bound.extend(sockets.into_iter().map(|(socket, address)| Bound { listener: index, socket, address }));
    }
    // After all that was asked for, so that a companion takes nobody's place.
    for at in 0..bound.len() {
        bound.extend(companion(&bound[at]));
    }
    Ok(bound)
}

/// What is wrong with the address that a listener advertises, if clients may not reach it. May ask a name server.
pub fn advertised_problem(listener: &Listener) -> Option<String> {
    let (host, port) = (&listener.advertised_host, listener.advertised_port);
    let addresses: Vec<SocketAddr> = match (host.as_str(), port).to_socket_addrs() {
        Ok(addresses) => addresses.collect(),
        Err(error) => return Some(format!("clients are told {host}:{port}, which cannot be resolved: {error}")),
    };
    let is_local = |listen: &str| listen == "localhost" || listen.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
    if addresses.iter().all(|address| address.ip().is_loopback()) && !is_local(&listener.host) {
        return Some(format!(
            "clients are told {host}:{port}, which only clients on this machine can reach; set advertised.listeners"
        ));
    }
    None
}

type Sockets = Vec<(TcpListener, SocketAddr)>;

fn bind_listener(listener: &Listener) -> Result<Sockets, BindError> {
    let shown = shown(&listener.host, listener.port);
    let hosts = addresses(&listener.host).map_err(|error| BindError::Unresolved { address: shown.clone(), error })?;
    let attempts = if listener.port == 0 && hosts.len() > 1 { FREE_PORT_ATTEMPTS_MAX } else { 1 };
    let mut last = io::ErrorKind::AddrNotAvailable.into();
    for _ in 0..attempts {
        match bind_all(&hosts, listener.port) {
            Ok(sockets) => return Ok(sockets),
            Err(error) => last = error,
        }
    }
    Err(match last.kind() {
        io::ErrorKind::AddrInUse => BindError::InUse(shown),
        _ => BindError::Io { address: shown, error: last },
    })
}

/// Listens on all of `hosts` at the same port. An address family that this machine lacks is left out, unless there is
/// no other.
fn bind_all(hosts: &[IpAddr], mut port: u16) -> io::Result<Sockets> {
    let mut sockets = Vec::new();
    let mut lacking = None;
    for &host in hosts {
        match listen(SocketAddr::new(host, port)) {
            Ok(socket) => {
                let address = socket.local_addr()?;
                port = address.port();
                sockets.push((socket, address));
            }
            Err(error) if is_lacking(&error) => lacking = Some(error),
            Err(error) => return Err(error),
        }
    }
    match lacking {
        Some(error) if sockets.is_empty() => Err(error),
        _ => Ok(sockets),
    }
}

fn addresses(host: &str) -> io::Result<Vec<IpAddr>> {
    if host.is_empty() {
        // One socket for both families where there are both, else one for the family that there is.
        let both = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
        let has_ipv6 = listen(SocketAddr::new(both, 0)).is_ok();
        return Ok(vec![if has_ipv6 { both } else { IpAddr::V4(Ipv4Addr::UNSPECIFIED) }]);
    }
    let mut addresses: Vec<IpAddr> = (host, 0).to_socket_addrs()?.map(|address| address.ip()).collect();
    addresses.sort_unstable();
    addresses.dedup();
    Ok(addresses)
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
    // A restarted broker takes its port back although old connections still linger on it.
    sockopt::set_socket_reuseaddr(&socket, true)?;
    rustix::net::bind(&socket, &address)?;
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(socket.into())
}

/// The other loopback address, if this one is `127.0.0.1` and that one is there and free.
fn companion(bound: &Bound) -> Option<Bound> {
    if bound.address.ip() != IpAddr::V4(Ipv4Addr::LOCALHOST) {
        return None;
    }
    let address = SocketAddr::new(IpAddr::V6(Ipv6Addr::LOCALHOST), bound.address.port());
    let socket = listen(address).ok()?;
    Some(Bound { listener: bound.listener, socket, address })
}

fn is_lacking(error: &io::Error) -> bool {
    let lacking = [rustix::io::Errno::ADDRNOTAVAIL, rustix::io::Errno::AFNOSUPPORT];
    error.raw_os_error().is_some_and(|code| lacking.iter().any(|errno| errno.raw_os_error() == code))
}

/// The address from which this machine reaches others; loopback if it reaches nobody.
fn own_address() -> IpAddr {
    let route = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).and_then(|socket| {
        socket.connect(SOMEWHERE_ELSE)?;
        socket.local_addr()
    });
    route.map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |address| address.ip())
}

fn shown(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listeners(host: &str, port: u16) -> Vec<Listener> {
        let config = highwater_core::config::BrokerConfig::default();
        let advertised_host = if matches!(host, "" | "0.0.0.0") { String::new() } else { host.to_owned() };
        let listener = config.listeners[0].clone();
        vec![Listener { host: host.to_owned(), port, advertised_host, advertised_port: port, ..listener }]
    }

    #[test]
    fn a_free_port_is_found_listened_on_and_advertised() {
        let mut listeners = listeners("127.0.0.1", 0);
        let bound = bind(&mut listeners).unwrap();
        assert_ne!(listeners[0].port, 0);
        assert_eq!(listeners[0].advertised_port, listeners[0].port);
        assert!(bound.iter().all(|bound| bound.listener == 0 && bound.address.port() == listeners[0].port));
    }

    #[test]
    fn a_port_in_use_is_refused_by_name() {
        let mut first = listeners("127.0.0.1", 0);
        let _bound = bind(&mut first).unwrap();
        let message = bind(&mut listeners("127.0.0.1", first[0].port)).unwrap_err().to_string();
        assert!(message.starts_with(&format!("cannot listen on 127.0.0.1:{}: the port is in use", first[0].port)));
    }

    #[test]
    fn both_loopback_addresses_serve_whoever_is_told_localhost() {
        let mut listeners = listeners("localhost", 0);
        let bound = bind(&mut listeners).unwrap();
        let has_ipv6 = TcpListener::bind("[::1]:0").is_ok();
        assert_eq!(bound.iter().any(|bound| bound.address.is_ipv6()), has_ipv6);
        assert!(bound.iter().any(|bound| bound.address.is_ipv4()));
    }

    #[test]
    fn a_wildcard_advertises_an_address_that_is_not_one() {
        let mut listeners = listeners("0.0.0.0", 0);
        bind(&mut listeners).unwrap();
        let advertised: IpAddr = listeners[0].advertised_host.parse().unwrap();
        assert!(!advertised.is_unspecified());
    }

    #[test]
    fn an_address_that_no_client_can_reach_is_warned_about() {
        let mut told = listeners("0.0.0.0", 9092).remove(0);
        told.advertised_host = "127.0.0.1".to_owned();
        assert!(advertised_problem(&told).unwrap().contains("only clients on this machine"));
        told.advertised_host = "no such host".to_owned();
        assert!(advertised_problem(&told).unwrap().contains("cannot be resolved"));
        assert_eq!(advertised_problem(&listeners("127.0.0.1", 9092)[0]), None);
    }
}
