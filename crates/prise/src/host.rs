//! Hosts: machines of one's own, with their own addresses, ports and sockets.

use crate::driver::{Port, Shard};
use crate::net::{TcpListener, TcpStream, UdpSocket};
use crate::network::Network;
use prise_link::ImpairmentConfig;
use prise_socket::{Host as Machine, HostConfig};
use prise_stack::{IpCidr, LinkConfig, Route, StackConfig};
use prise_wire::Medium;
use std::cell::RefCell;
use std::io;
use std::marker::PhantomData;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::{Arc, OnceLock};

/// The largest train of segments that a link in memory carries at once.
const GSO_MAX: u32 = 65_535;

/// One host: a TCP/IP stack with its links, addresses and sockets, in this process.
///
/// It lives as long as a handle to it, or a socket on it, does. Every host has a loopback link with `127.0.0.0/8` and
/// `::1` of its own, so that servers and clients on one host need no network at all.
///
/// Sockets are opened on a host by its own methods, or by the types of [`prise::net`](crate::net), which use the
/// [current](Host::current) host.
///
/// ```
/// use prise::Host;
/// use prise::net::{TcpListener, TcpStream};
/// use std::io::{Read, Write};
///
/// # fn main() -> std::io::Result<()> {
/// let host = Host::builder().build()?;
/// let listener = host.tcp_listen("127.0.0.1:80")?;
/// let mut client = host.tcp_connect("127.0.0.1:80")?;
/// let (mut server, _) = listener.accept()?;
/// client.write_all(b"hello")?;
/// let mut greeting = [0; 5];
/// server.read_exact(&mut greeting)?;
/// assert_eq!(&greeting, b"hello");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Host {
    shard: Arc<Shard>,
}

impl Host {
    /// Begins a new host.
    pub fn builder() -> HostBuilder {
        HostBuilder::default()
    }

    /// The host on which `prise::net` opens sockets on this thread: the one [entered](Host::enter) last, or the process's
    /// [default](Host::set_default).
    pub fn current() -> Self {
        let entered = CURRENT.with_borrow(|entered| entered.last().cloned());
        entered.unwrap_or_else(|| DEFAULT.get_or_init(Self::lone).clone())
    }

    /// A host with a loopback link and nothing else.
    fn lone() -> Self {
        Self::builder()
            .build()
            .expect("only addresses and links that were asked for can be wrong")
    }

    /// Makes this the host of all threads that have not entered another. False, and nothing changed, if there is one
    /// already: it was set before, or a socket has been opened without one, on a host of its own with a loopback link.
    pub fn set_default(&self) -> bool {
        DEFAULT.set(self.clone()).is_ok()
    }

    /// Makes this the current host of this thread until the guard is dropped.
    ///
    /// ```
    /// # use prise::{Host, net::UdpSocket};
    /// # fn main() -> std::io::Result<()> {
    /// let host = Host::builder().build()?;
    /// let entered = host.enter();
    /// let socket = UdpSocket::bind("127.0.0.1:53")?; // port 53 of this host
    /// # drop((entered, socket));
    /// # Ok(())
    /// # }
    /// ```
    pub fn enter(&self) -> Entered {
        CURRENT.with_borrow_mut(|entered| entered.push(self.clone()));
        Entered { thread: PhantomData }
    }

    /// Opens a TCP connection from this host; see [`TcpStream::connect`].
    pub fn tcp_connect(&self, addr: impl ToSocketAddrs) -> io::Result<TcpStream> {
        let _entered = self.enter();
        TcpStream::connect(addr)
    }

    /// Listens for TCP connections on this host; see [`TcpListener::bind`].
    pub fn tcp_listen(&self, addr: impl ToSocketAddrs) -> io::Result<TcpListener> {
        let _entered = self.enter();
        TcpListener::bind(addr)
    }

    /// Opens a UDP socket on this host; see [`UdpSocket::bind`].
    pub fn udp_bind(&self, addr: impl ToSocketAddrs) -> io::Result<UdpSocket> {
        let _entered = self.enter();
        UdpSocket::bind(addr)
    }

    /// The addresses of the host's links, loopback included.
    pub fn addresses(&self) -> Vec<IpAddr> {
        self.shard.look(|machine| {
            machine
                .stack()
                .addresses()
                .iter()
                .map(|address| address.cidr.address())
                .collect()
        })
    }

    /// How many sockets are open on the host.
    pub fn open_sockets(&self) -> usize {
        self.shard.look(|machine| machine.sockets().count())
    }

    pub(crate) const fn shard(&self) -> &Arc<Shard> {
        &self.shard
    }
}

static DEFAULT: OnceLock<Host> = OnceLock::new();

thread_local! {
    static CURRENT: RefCell<Vec<Host>> = const { RefCell::new(Vec::new()) };
}

/// While it lives, its host is the thread's current one. See [`Host::enter`].
#[derive(Debug)]
#[must_use = "the host is left again when this is dropped"]
pub struct Entered {
    /// It belongs to the thread on which it was made.
    thread: PhantomData<*const ()>,
}

impl Drop for Entered {
    fn drop(&mut self) {
        let Self { thread: PhantomData } = self;
        // Not there any more if the thread itself is ending.
        let _ = CURRENT.try_with(|entered| entered.borrow_mut().pop());
    }
}

/// What a new host will be like. See [`Host::builder`].
#[derive(Debug, Default)]
pub struct HostBuilder {
    seed: Option<u64>,
    attachments: Vec<Attachment>,
    gateways: Vec<IpAddr>,
}

#[derive(Debug)]
struct Attachment {
    network: Network,
    addresses: Vec<String>,
}

impl HostBuilder {
    /// Gives the host a link to a network, with these addresses: `"10.0.0.1/24"`, `"fd00::1/64"`.
    #[must_use]
    pub fn attach(mut self, network: &Network, addresses: &[&str]) -> Self {
        self.attachments.push(Attachment {
            network: network.clone(),
            addresses: addresses.iter().map(|&address| address.to_owned()).collect(),
        });
        self
    }

    /// Sends everything that is not on a network of the host's through this neighbor, on the first network.
    #[must_use]
    pub fn gateway(mut self, gateway: IpAddr) -> Self {
        self.gateways.push(gateway);
        self
    }

    /// Draws initial sequence numbers, ports and the like from this seed instead of the system's entropy. For tests only:
    /// who knows the seed can forge segments.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Makes the host.
    ///
    /// # Errors
    /// `InvalidInput` for an address that is none, and for more links than a host can have.
    pub fn build(self) -> io::Result<Host> {
        let Self {
            seed,
            attachments,
            gateways,
        } = self;
        let mut machine = Machine::new(&HostConfig {
            stack: secrets(seed)?,
            owner: 0,
        });
        let mut ports = Vec::new();
        add_link(
            &mut machine,
            "lo",
            65_536,
            true,
            &["127.0.0.1/8".to_owned(), "::1/128".to_owned()],
        )?;
        ports.push(Port::Loopback);
        for (number, Attachment { network, addresses }) in attachments.iter().enumerate() {
            let cidrs = add_link(&mut machine, &format!("eth{number}"), network.mtu, false, addresses)?;
            let addresses = cidrs.iter().map(|cidr| cidr.address());
            let number = number as u64;
            let line = ImpairmentConfig {
                seed: network.line.seed.wrapping_add(number),
                ..network.line
            };
            let port = network.wire.add_port(addresses, &line);
            ports.push(Port::Wire(Arc::clone(&network.wire), port));
        }
        add_gateways(&mut machine, &gateways)?;
        Ok(Host {
            shard: Shard::new(machine, ports),
        })
    }
}

/// What the stack's secrets are drawn from.
fn secrets(seed: Option<u64>) -> io::Result<StackConfig> {
    let mut drawn = [0; 48];
    if let Some(seed) = seed {
        for (chunk, word) in drawn.chunks_exact_mut(8).zip(seed..) {
            chunk.copy_from_slice(&word.to_le_bytes());
        }
    } else {
        let mut filled = 0;
        while filled < drawn.len() {
            filled += rustix::rand::getrandom(&mut drawn[filled..], rustix::rand::GetRandomFlags::empty())?;
        }
    }
    let word = |at: usize| u64::from_le_bytes(std::array::from_fn(|i| drawn[at + i]));
    Ok(StackConfig::new(
        [word(0), word(8)],
        std::array::from_fn(|i| drawn[16 + i]),
    ))
}

fn invalid(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, what)
}

/// Adds a link in memory, which cuts nothing and sums nothing: frames stay whole.
fn add_link(
    machine: &mut Machine,
    name: &str,
    mtu: u32,
    loopback: bool,
    addresses: &[String],
) -> io::Result<Vec<IpCidr>> {
    let link = machine
        .stack_mut()
        .add_link(&LinkConfig {
            name,
            medium: Medium::Ip,
            mac: None,
            mtu,
            gso_max: GSO_MAX,
            checksum_offload: true,
            loopback,
            transparent: false,
        })
        .ok_or_else(|| invalid("a host cannot have so many links".to_owned()))?;
    let mut cidrs = Vec::new();
    for address in addresses {
        let cidr: IpCidr = address.parse().map_err(|_| {
            invalid(format!(
                "{address:?} is not an address with a prefix length, as in 10.0.0.1/24"
            ))
        })?;
        machine.stack_mut().add_address(crate::driver::now(), link, cidr);
        cidrs.push(cidr);
    }
    Ok(cidrs)
}

fn add_gateways(machine: &mut Machine, gateways: &[IpAddr]) -> io::Result<()> {
    for &gateway in gateways {
        let first = machine.stack().links().get(1).map(prise_stack::Link::id);
        let link = first.ok_or_else(|| invalid("a gateway needs a network to be on".to_owned()))?;
        let everywhere = if gateway.is_ipv4() { "0.0.0.0/0" } else { "::/0" };
        machine.stack_mut().add_route(Route {
            prefix: everywhere.parse().expect("written correctly"),
            gateway: Some(gateway),
            link,
            source: None,
            metric: 0,
        });
    }
    Ok(())
}

/// The addresses that `addr` stands for, tried in order: the first success, or the last error.
pub(crate) fn try_each<T>(
    addr: impl ToSocketAddrs,
    mut attempt: impl FnMut(&Host, SocketAddr) -> io::Result<T>,
) -> io::Result<T> {
    let host = Host::current();
    let mut last = None;
    for addr in addr.to_socket_addrs()? {
        match attempt(&host, addr) {
            Ok(value) => return Ok(value),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| invalid("could not resolve to any addresses".to_owned())))
}
