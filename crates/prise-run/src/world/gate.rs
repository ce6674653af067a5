//! The gateway as the device of `eth0`, shared: frames reach it as a link, maybe through an impairment and a capture,
//! and the supervisor asks it for what is not a frame.

use core::net::{IpAddr, SocketAddr};
use std::cell::RefCell;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;

use prise_gateway::dns::Asker;
use prise_gateway::{
    Addresses, Caller, Decision, Discard, Gateway, GatewayConfig, GatewayError, PublishAddress, PublishError, Record,
};
use prise_link::Link;
use prise_wire::{Frame, Instant, Medium, Payload};

use crate::start::config::{Publish, RunConfig, Transport};
use crate::start::outcome::RunError;

/// A gateway in several hands of one thread.
#[derive(Clone)]
pub(crate) struct Gate {
    gateway: Rc<RefCell<Gateway>>,
    /// A copy of the gateway's descriptor, to be borrowed without borrowing the gateway.
    poll: Rc<OwnedFd>,
    /// The guest's TCP ports that the host's addresses lead to.
    published: Rc<[u16]>,
}

impl core::fmt::Debug for Gate {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Gate").field("poll", &self.poll).finish_non_exhaustive()
    }
}

impl Gate {
    /// Makes the gateway of a run and publishes its ports; with `hands` their clients are told by [`Gate::caller`].
    pub(crate) fn open(
        config: &RunConfig,
        hands: bool,
        hash_key: [u64; 2],
        seed: [u8; 32],
        now: Instant,
    ) -> Result<Self, RunError> {
        let mut gateway = GatewayConfig::new(hash_key, seed);
        // Callers are refused while nobody listens, as they would be if the program ran on the host.
        gateway.open_ports = false;
        gateway.guest_mac = Some(crate::world::MAC);
        gateway.hostname.clone_from(&config.hostname);
        gateway.policy = config.policy.clone();
        gateway.records = config.audit.is_some();
        gateway.hand_over = hands;
        gateway.publish = config.publish.iter().copied().map(publish).collect();
        for asked in &config.addresses {
            let addresses = &mut gateway.addresses;
            let (gateway, name_server) = (asked.gateway(), asked.name_server());
            match (asked.address(), gateway, name_server) {
                (IpAddr::V4(guest), IpAddr::V4(gateway), IpAddr::V4(name_server)) => {
                    (addresses.guest_v4, addresses.prefix_len_v4) = (guest, asked.prefix_len());
                    (addresses.gateway_v4, addresses.name_server_v4) = (gateway, name_server);
                }
                (IpAddr::V6(guest), IpAddr::V6(gateway), IpAddr::V6(name_server)) => {
                    (addresses.guest_v6, addresses.prefix_len_v6) = (guest, asked.prefix_len());
                    (addresses.gateway_v6, addresses.name_server_v6) = (gateway, name_server);
                }
                // An address's neighbors are of its own family.
                _ => {}
            }
        }
        let mut gateway = Gateway::new(now, gateway).map_err(|error| refused(config, &error))?;
        gateway.driver_tells();
        let setup = |error| RunError::Setup {
            step: "watch the host link",
            error,
        };
        let poll = gateway.epoll_fd().try_clone_to_owned().map_err(setup)?;
        let tcp = config
            .publish
            .iter()
            .filter(|publish| publish.transport == Transport::Tcp);
        Ok(Self {
            published: tcp.map(|publish| publish.guest_port.get()).collect(),
            gateway: Rc::new(RefCell::new(gateway)),
            poll: Rc::new(poll),
        })
    }

    /// The addresses of the guest and its neighbors.
    pub(crate) fn addresses(&self) -> Addresses {
        *self.gateway.borrow().addresses()
    }

    /// The gateway's descriptor is readable.
    pub(crate) fn attend(&self) {
        self.gateway.borrow_mut().attend();
    }

    /// Octets of the guest's that the host's sockets have not taken yet.
    pub(crate) fn octets_held(&self) -> usize {
        self.gateway.borrow().octets_held()
    }

    /// Whether the host's addresses lead to a TCP port of the guest's.
    pub(crate) fn publishes(&self, port: u16) -> bool {
        self.published.contains(&port)
    }

    /// Tells whether the guest listens on a published port.
    pub(crate) fn guest_listens(&self, port: u16, ipv6: bool, listens: bool) {
        self.gateway.borrow_mut().guest_listens(port, ipv6, listens);
    }

    /// Why a port at which the guest listens is not open to the host's clients.
    pub(crate) fn refused_port(&self) -> Option<PublishError> {
        self.gateway.borrow_mut().refused_port()
    }

    /// The host's addresses that lead to a TCP port of the guest's and where nobody listens.
    pub(crate) fn shut_addresses(&self, port: u16) -> Vec<SocketAddr> {
        self.gateway.borrow().shut_addresses(port)
    }

    /// A listener of the run's takes clients at one of these itself, or is about to, or no longer does.
    pub(crate) fn set_aside(&self, address: SocketAddr, aside: bool) {
        self.gateway.borrow_mut().set_aside(address, aside);
    }

    /// Such an address is shared while that listener is bound to it, or kept.
    pub(crate) fn share(&self, address: SocketAddr, shared: bool) {
        self.gateway.borrow_mut().share(address, shared);
    }

    /// A client of a published port, as the guest sees it, and the guest's endpoint.
    pub(crate) fn client(&self, client: SocketAddr, port: u16) -> (SocketAddr, SocketAddr) {
        self.gateway.borrow().client(client, port)
    }

    /// The next client of a published port that may be given to the guest as it is.
    pub(crate) fn caller(&self) -> Option<Caller> {
        self.gateway.borrow_mut().caller()
    }

    /// Lets the gateway ask the guest for a client, and carry its octets.
    pub(crate) fn admit(&self, now: Instant, caller: Caller) {
        self.gateway.borrow_mut().admit(now, caller);
    }

    /// The endpoint of the host's network that a connection to `dialled` leads to, if one does.
    pub(crate) fn host_endpoint(&self, dialled: SocketAddr) -> Option<SocketAddr> {
        self.gateway.borrow().host_endpoint(dialled)
    }

    /// What the guest calls an endpoint of the host's network.
    pub(crate) fn guest_endpoint(&self, to: SocketAddr) -> SocketAddr {
        self.gateway.borrow().guest_endpoint(to)
    }

    /// What the policy says of an attempt to reach `dialled`.
    pub(crate) fn judge(&self, now: Instant, dialled: SocketAddr) -> Decision {
        self.gateway.borrow().judge(now, dialled)
    }

    /// The same of a datagram from a port of the guest's, which may answer the clients of a published port.
    pub(crate) fn judge_datagram(&self, now: Instant, port: u16, dialled: SocketAddr) -> Decision {
        self.gateway.borrow().judge_datagram(now, port, dialled)
    }

    /// The name that led to `address`.
    pub(crate) fn name_of(&self, now: Instant, address: IpAddr) -> Option<String> {
        self.gateway.borrow().name_of(now, address).map(str::to_owned)
    }

    /// The next fact for the audit.
    pub(crate) fn record(&self) -> Option<Record> {
        self.gateway.borrow_mut().record()
    }

    /// Notes the end of all flows, for the audit.
    pub(crate) fn close_records(&self, now: Instant) {
        self.gateway.borrow_mut().close_records(now);
    }

    /// Facts that were lost because too many came at once.
    pub(crate) fn records_lost(&self) -> u64 {
        self.gateway.borrow().tally().discarded(Discard::RecordLost)
    }

    /// The host's name servers at loopback addresses, which in the guest are the guest's own.
    pub(crate) fn loopback_name_servers(&self) -> Vec<IpAddr> {
        self.gateway
            .borrow()
            .name_servers()
            .iter()
            .copied()
            .filter(IpAddr::is_loopback)
            .collect()
    }

    /// Answers a query that never left the guest; the answer comes by [`Gate::resolved`] with the same number.
    pub(crate) fn resolve(&self, now: Instant, number: u64, asker: SocketAddr, query: Payload) {
        let asker = Asker {
            transport: prise_gateway::Transport::Udp,
            guest: asker,
        };
        self.gateway.borrow_mut().resolve(now, number, asker, query);
    }

    /// The next answer.
    pub(crate) fn resolved(&self) -> Option<(u64, Vec<u8>)> {
        self.gateway.borrow_mut().resolved()
    }
}

fn publish(publish: Publish) -> prise_gateway::Publish {
    prise_gateway::Publish {
        // What is written is what is bound: 0.0.0.0 is every IPv4 address, [::] every IPv6 address.
        address: publish
            .host_address
            .map_or(PublishAddress::Loopback, PublishAddress::Only),
        port: publish.host_port.get(),
        guest_port: publish.guest_port,
        transport: match publish.transport {
            Transport::Tcp => prise_gateway::Transport::Tcp,
            Transport::Udp => prise_gateway::Transport::Udp,
        },
    }
}

fn refused(config: &RunConfig, error: &GatewayError) -> RunError {
    let setup = |error| RunError::Setup {
        step: "open the host link",
        error,
    };
    match error {
        GatewayError::Publish(failed) => {
            let error = io::Error::from_raw_os_error(failed.errno());
            let asked = config.publish.iter().find(|asked| {
                asked.host_port.get() == failed.address.port() && publish(**asked).transport == failed.transport
            });
            match asked {
                Some(&publish) => RunError::Publish { publish, error },
                None => setup(error),
            }
        }
        other => setup(io::Error::other(other.to_string())),
    }
}

impl Link for Gate {
    fn medium(&self) -> Medium {
        self.gateway.borrow().medium()
    }

    fn mtu(&self) -> u32 {
        self.gateway.borrow().mtu()
    }

    fn gso_max(&self) -> u32 {
        self.gateway.borrow().gso_max()
    }

    fn checksum_offload(&self) -> bool {
        self.gateway.borrow().checksum_offload()
    }

    fn send(&mut self, now: Instant, frame: Frame) -> Result<(), Frame> {
        self.gateway.borrow_mut().send(now, frame)
    }

    fn receive(&mut self, now: Instant) -> Option<Frame> {
        self.gateway.borrow_mut().receive(now)
    }

    fn flush(&mut self, now: Instant) {
        self.gateway.borrow_mut().flush(now);
    }

    fn next_deadline(&self) -> Option<Instant> {
        self.gateway.borrow().next_deadline()
    }

    fn poll_fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.poll.as_fd())
    }
}
