//! Published ports: the host's sockets that clients find.

use core::fmt;
use core::net::SocketAddr;
use core::num::NonZeroU16;
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::{self, sockopt};

use crate::config::{Publish, PublishAddress};
use crate::host::{self, Kind};
use crate::record::Transport;

/// Clients that the kernel keeps waiting for us; it cuts this to net.core.somaxconn.
const BACKLOG: i32 = 4096;

/// How often another port is tried when the host's free choice for IPv4 turns out to be taken for IPv6.
const PORT_TRIES: usize = 16;

/// Why a port could not be published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublishError {
    /// The host's address that was tried.
    pub address: SocketAddr,
    /// TCP or UDP.
    pub transport: Transport,
    /// What the kernel said.
    errno: Errno,
}

impl PublishError {
    pub(crate) const fn new(address: SocketAddr, transport: Transport, errno: Errno) -> Self {
        Self {
            address,
            transport,
            errno,
        }
    }

    /// What to say while the guest runs: its ports are what they are.
    pub fn while_running(&self) -> impl fmt::Display {
        fmt::from_fn(move |f| {
            let (protocol, list) = self.words();
            write!(
                f,
                "the published {protocol} port {} is closed to the host's clients: ",
                self.address
            )?;
            match self.errno {
                Errno::ADDRINUSE => write!(
                    f,
                    "another program of this host uses it; stop that one (`{list}` names it)"
                )?,
                other => write!(f, "{}", std::io::Error::from(other))?,
            }
            f.write_str("; it opens when the program listens there the next time")
        })
    }

    /// The transport's name, and what lists its sockets.
    fn words(&self) -> (&'static str, &'static str) {
        match self.transport {
            Transport::Tcp => ("TCP", "ss -ltnp"),
            Transport::Udp => ("UDP", "ss -lunp"),
        }
    }

    /// The errno that the kernel gave.
    pub fn errno(&self) -> i32 {
        self.errno.raw_os_error()
    }
}

impl fmt::Display for PublishError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, errno, .. } = *self;
        let (protocol, list) = self.words();
        write!(f, "cannot publish {protocol} port {address}: ")?;
        match errno {
            Errno::ADDRINUSE => write!(
                f,
                "another program of this host uses it; stop that one (`{list}` names it) or publish another port"
            ),
            Errno::ACCESS | Errno::PERM => write!(
                f,
                "the host does not let you use ports this low; publish a higher one, such as -p {}:{}",
                u32::from(address.port()) + 8000,
                address.port()
            ),
            Errno::ADDRNOTAVAIL => f.write_str("the host does not have this address; name one of its own or none"),
            Errno::AFNOSUPPORT => f.write_str("the host does not speak this address family"),
            other => write!(f, "{}", std::io::Error::from(other)),
        }
    }
}

impl core::error::Error for PublishError {}

/// A socket of the host that is bound to a published address.
#[derive(Debug)]
pub(crate) struct Bound {
    pub(crate) socket: OwnedFd,
    pub(crate) address: SocketAddr,
    pub(crate) guest_port: NonZeroU16,
    pub(crate) transport: Transport,
}

/// Binds everything that is to be published; TCP sockets do not listen yet.
pub(crate) fn bind(publish: &Publish) -> Result<Vec<Bound>, PublishError> {
    let mut tries = 0;
    loop {
        tries += 1;
        match bind_all(publish) {
            Err(error) if publish.port == 0 && error.errno == Errno::ADDRINUSE && tries < PORT_TRIES => {}
            result => return result,
        }
    }
}

fn bind_all(publish: &Publish) -> Result<Vec<Bound>, PublishError> {
    let mut port = publish.port;
    let mut bound: Vec<Bound> = Vec::new();
    for ip in publish.address.to_bind() {
        let address = SocketAddr::new(ip, port);
        let optional = !bound.is_empty() && !matches!(publish.address, PublishAddress::Only(_));
        match bind_one(publish.transport, address) {
            Ok(socket) => {
                let address = host::local_address(&socket).unwrap_or(address);
                port = address.port();
                bound.push(Bound {
                    socket,
                    address,
                    guest_port: publish.guest_port,
                    transport: publish.transport,
                });
            }
            // A host without IPv6 is no reason to fail.
            Err(Errno::AFNOSUPPORT | Errno::ADDRNOTAVAIL) if optional => {}
            Err(errno) => {
                let transport = publish.transport;
                return Err(PublishError {
                    address,
                    transport,
                    errno,
                });
            }
        }
    }
    Ok(bound)
}

fn bind_one(transport: Transport, address: SocketAddr) -> Result<OwnedFd, Errno> {
    let kind = match transport {
        Transport::Tcp => Kind::Stream,
        Transport::Udp => Kind::Datagram,
    };
    let socket = host::socket(kind, address.ip())?;
    if address.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, true)?;
    }
    match net::bind(&socket, &address) {
        // Old connections in TIME-WAIT must not keep a new run from its port.
        Err(Errno::ADDRINUSE) if transport == Transport::Tcp => {
            sockopt::set_socket_reuseaddr(&socket, true)?;
            net::bind(&socket, &address)?;
            sockopt::set_socket_reuseaddr(&socket, false)?;
        }
        bound => bound?,
    }
    Ok(socket)
}

/// Lets others be bound to an address that nobody listens at (`SO_REUSEADDR`), or keeps it: between the program's listeners it would
/// otherwise be anybody's who asks for that, as most servers do.
pub(crate) fn share(bound: &Bound, shared: bool) {
    // An option of every stream; nothing can go wrong.
    let _ = sockopt::set_socket_reuseaddr(&bound.socket, shared);
}

/// Lets clients in.
pub(crate) fn listen(bound: &Bound) -> Result<(), PublishError> {
    // The kernel looks again for who has the address, and finds what is in TIME-WAIT there.
    share(bound, true);
    net::listen(&bound.socket, BACKLOG).map_err(|errno| {
        share(bound, false);
        PublishError {
            address: bound.address,
            transport: bound.transport,
            errno,
        }
    })
}

/// Turns clients away while keeping the port: Linux takes a listening socket back to bound by shutdown(2). Those who
/// were waiting are reset.
pub(crate) fn unlisten(bound: &Bound) {
    // A socket that does not listen is what we want; nothing else can go wrong.
    let _ = net::shutdown(&bound.socket, net::Shutdown::Both);
    share(bound, false);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::ErrorKind;
    use std::net::{IpAddr, TcpListener, TcpStream};

    fn publish(address: PublishAddress, port: u16, transport: Transport) -> Publish {
        let guest_port = NonZeroU16::new(80).unwrap();
        Publish {
            address,
            port,
            guest_port,
            transport,
        }
    }

    #[test]
    fn both_families_get_one_port() {
        for transport in [Transport::Tcp, Transport::Udp] {
            let bound = bind(&publish(PublishAddress::Loopback, 0, transport)).unwrap();
            assert!(bound[0].address.is_ipv4());
            assert_ne!(bound[0].address.port(), 0);
            assert!(bound.iter().all(|one| one.address.port() == bound[0].address.port()));
        }
    }

    #[test]
    fn a_port_in_use_is_told_with_the_way_out() {
        let owner = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = owner.local_addr().unwrap();
        let error = bind(&publish(PublishAddress::Loopback, address.port(), Transport::Tcp)).unwrap_err();
        assert_eq!(error.address, address);
        let sentence = error.to_string();
        assert!(
            sentence.contains("another program") && sentence.contains("ss -ltnp"),
            "{sentence}"
        );
    }

    #[test]
    fn an_address_of_another_host_is_told() {
        let stranger = PublishAddress::Only(IpAddr::from([203, 0, 113, 77]));
        let error = bind(&publish(stranger, 0, Transport::Udp)).unwrap_err();
        assert_eq!(error.errno, Errno::ADDRNOTAVAIL);
        assert!(error.to_string().contains("does not have this address"));
    }

    #[test]
    fn a_port_can_be_closed_and_opened_again() {
        let only = PublishAddress::Only(IpAddr::from([127, 0, 0, 1]));
        let bound = bind(&publish(only, 0, Transport::Tcp)).unwrap().remove(0);
        // The kernel's own choice of port is only kept over an unlisten if it is bound by number.
        let port = bound.address.port();
        drop(bound);
        let bound = bind(&publish(only, port, Transport::Tcp)).unwrap().remove(0);
        let connect = || {
            TcpStream::connect(bound.address)
                .map(drop)
                .map_err(|error| error.kind())
        };
        assert_eq!(connect(), Err(ErrorKind::ConnectionRefused));
        for _ in 0..2 {
            listen(&bound).unwrap();
            assert_eq!(connect(), Ok(()));
            unlisten(&bound);
            assert_eq!(connect(), Err(ErrorKind::ConnectionRefused));
        }
    }

    /// std's listeners ask for `SO_REUSEADDR`.
    #[test]
    fn a_port_at_which_nobody_listens_yet_is_nobody_elses() {
        let only = PublishAddress::Only(IpAddr::from([127, 0, 0, 1]));
        let port = bind(&publish(only, 0, Transport::Tcp)).unwrap()[0].address.port();
        let bound = bind(&publish(only, port, Transport::Tcp)).unwrap().remove(0);
        let take = || TcpListener::bind(bound.address).map(drop).map_err(|error| error.kind());
        assert_eq!(take(), Err(ErrorKind::AddrInUse));
        share(&bound, true);
        assert_eq!(take(), Ok(()));
        share(&bound, false);
        assert_eq!(take(), Err(ErrorKind::AddrInUse));
        listen(&bound).unwrap();
        unlisten(&bound);
        assert_eq!(take(), Err(ErrorKind::AddrInUse));
    }

    #[test]
    fn what_lingers_at_a_port_keeps_nobody_from_it() {
        use std::io::Read;
        let only = PublishAddress::Only(IpAddr::from([127, 0, 0, 1]));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let mut client = TcpStream::connect(address).unwrap();
        // Who closes first has the TIME-WAIT.
        drop((listener.accept().unwrap(), listener));
        assert_eq!(client.read(&mut [0]).unwrap(), 0);
        drop(client);
        let bound = bind(&publish(only, address.port(), Transport::Tcp)).unwrap().remove(0);
        listen(&bound).unwrap();
        assert!(TcpStream::connect(address).is_ok());
    }
}
