//! Published ports whose clients come to the program's own listener.
//!
//! ```text
//! by the gateway   client ── the gateway's listener ── supervisor ── hidden, shown by a token ── accept(2)
//! directly         client ── the program's listener, which is the kernel's ──────────────────── accept(2)
//! ```
//! A listener that is the kernel's ([`crate::handed::native_listener`]) is bound to a published address of the host itself, if whoever comes there
//! is its client and nobody else's. The gateway keeps the address, bound and shut, and lets the listener have it: its clients then
//! wait in the program's own queue, by the program's own backlog, and nobody is woken but who accepts.
//!
//! *One address.* A socket has one; clients of a listener's other published addresses come by the gateway. An IPv4 one is preferred
//! where the listener serves both families, because clients of the run come there too.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use prise_socket::Family;

use crate::handed::native_listener::Names;
use crate::socket::{Role, Slot};
use crate::supervisor::Supervisor;

/// A published address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Publication {
    /// The host's.
    pub(crate) address: SocketAddr,
    /// The guest's port.
    port: u16,
}

impl Publication {
    /// Where clients of the run find the listener.
    pub(crate) fn place_within(self) -> SocketAddr {
        let ip = match self.address.ip() {
            IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
            named => named,
        };
        SocketAddr::new(ip, self.address.port())
    }
}

impl Supervisor {
    /// A published address at which all clients are this listener's.
    pub(crate) fn publication_of(&mut self, slot: Slot) -> Option<Publication> {
        let socket = self.sockets.get(slot)?;
        let (id, family) = (socket.id, socket.family);
        let info = self.host.info(id)?;
        let port = info.local.port();
        if !self.hands.outside() || !self.gate.as_ref()?.publishes(port) || self.shares_its_port(slot) {
            return None;
        }
        let serves_both = family == Family::Inet6 && info.local.ip().is_unspecified() && !info.v6_only;
        let fits = |address: &SocketAddr| match family {
            Family::Inet => address.is_ipv4(),
            Family::Inet6 => address.is_ipv4() || !serves_both,
        };
        let gate = self.gate.as_ref()?;
        let outside = self.outside()?;
        let is_its = |address: &SocketAddr| {
            let (shown, guest) = gate.client(SocketAddr::new(address.ip(), 1), port);
            self.host.listener_at(outside, guest, shown) == Some(id)
        };
        let addresses = gate.shut_addresses(port);
        let address = addresses.into_iter().find(|it| fits(it) && is_its(it))?;
        Some(Publication { address, port })
    }

    /// Whether other listeners may join this one at its port (`SO_REUSEPORT`): the run chooses among them.
    pub(crate) fn shares_its_port(&mut self, slot: Slot) -> bool {
        let Some(id) = self.sockets.get(slot).map(|socket| socket.id) else {
            return true;
        };
        let mut value = Vec::new();
        let told = self
            .host
            .option(self.now, id, libc::SOL_SOCKET, libc::SO_REUSEPORT, &mut value);
        told.is_err() || value.iter().any(|&octet| octet != 0)
    }

    /// The run's names for a client who has come to a published address.
    pub(crate) fn names_of_client(&self, publication: Publication, client: SocketAddr) -> Option<Names> {
        let published = publication.address.ip();
        // Only the host itself comes to its loopback, whichever of its addresses it comes from.
        let from = if published.is_loopback() {
            published
        } else {
            client.ip()
        };
        let client = SocketAddr::new(from, client.port());
        let (shown, guest) = self.gate.as_ref()?.client(client, publication.port);
        Some(Names { guest, shown })
    }

    /// A listener takes the clients of its published address, or is about to, or no longer does.
    pub(crate) fn set_aside(&self, publication: Option<Publication>, aside: bool) {
        if let (Some(gate), Some(publication)) = (&self.gate, publication) {
            gate.set_aside(publication.address, aside);
        }
    }

    /// Makes a listener of a stream while others may be bound to its published address, which is the gateway's, too. Once it listens they
    /// may not: closed, it would leave the address to anybody until the supervisor hears of that.
    pub(crate) fn open_at<T>(&self, publication: Option<Publication>, open: impl FnOnce() -> T) -> T {
        let share = |shared| {
            if let (Some(gate), Some(publication)) = (&self.gate, publication) {
                gate.share(publication.address, shared);
            }
        };
        share(true);
        let opened = open();
        share(false);
        opened
    }

    /// Clients of a published address are the gateway's again.
    pub(crate) fn return_address(&self, role: &Role) {
        if let Role::Listener(listening) = role {
            self.set_aside(listening.publication(), false);
        }
    }
}
