//! What a gateway is given at birth.

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::num::NonZeroU16;
use std::sync::Arc;

use prise_wire::{MacAddr, Medium};

use crate::dns::{HostResolver, Resolve};
use crate::policy::Policy;
use crate::record::Transport;

/// The addresses of the guest's world on the host link. Fixed by default, so that scripts may rely on them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Addresses {
    /// The guest's own.
    pub guest_v4: Ipv4Addr,
    /// The guest's own.
    pub guest_v6: Ipv6Addr,
    /// The gateway, which also stands for the host's 127.0.0.1.
    pub gateway_v4: Ipv4Addr,
    /// The gateway, which also stands for the host's `::1`.
    pub gateway_v6: Ipv6Addr,
    /// The name server.
    pub name_server_v4: Ipv4Addr,
    /// The name server.
    pub name_server_v6: Ipv6Addr,
    /// Length of the prefix that all of the IPv4 addresses share.
    pub prefix_len_v4: u8,
    /// Length of the prefix that all of the IPv6 addresses share.
    pub prefix_len_v6: u8,
}

impl Default for Addresses {
    fn default() -> Self {
        let v6 = |last| Ipv6Addr::new(0xfd00, 2, 0, 0, 0, 0, 0, last);
        Self {
            guest_v4: Ipv4Addr::new(10, 0, 2, 15),
            guest_v6: v6(0x15),
            gateway_v4: Ipv4Addr::new(10, 0, 2, 2),
            gateway_v6: v6(2),
            name_server_v4: Ipv4Addr::new(10, 0, 2, 3),
            name_server_v6: v6(3),
            prefix_len_v4: 24,
            prefix_len_v6: 64,
        }
    }
}

impl Addresses {
    /// The guest's address of the family of `like`.
    pub fn guest(&self, like: IpAddr) -> IpAddr {
        match like {
            IpAddr::V4(_) => self.guest_v4.into(),
            IpAddr::V6(_) => self.guest_v6.into(),
        }
    }

    /// The gateway's address of the family of `like`.
    pub fn gateway(&self, like: IpAddr) -> IpAddr {
        match like {
            IpAddr::V4(_) => self.gateway_v4.into(),
            IpAddr::V6(_) => self.gateway_v6.into(),
        }
    }

    /// Whether it is the gateway's address, and so the host itself.
    pub fn is_gateway(&self, address: IpAddr) -> bool {
        address == self.gateway(address)
    }

    /// Whether it is the name server's own address.
    pub fn is_name_server(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(v4) => v4 == self.name_server_v4,
            IpAddr::V6(v6) => v6 == self.name_server_v6,
        }
    }
}

/// The host's addresses that a published port listens on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PublishAddress {
    /// Every address: 0.0.0.0 and `::`.
    Everywhere,
    /// This machine only: 127.0.0.1 and, where the host has it, `::1`.
    Loopback,
    /// One address.
    Only(IpAddr),
}

impl PublishAddress {
    /// The addresses to bind. Where there are two, the second may be missing on the host.
    pub(crate) fn to_bind(self) -> impl Iterator<Item = IpAddr> {
        let (first, second) = match self {
            Self::Everywhere => (Ipv4Addr::UNSPECIFIED.into(), Some(Ipv6Addr::UNSPECIFIED.into())),
            Self::Loopback => (Ipv4Addr::LOCALHOST.into(), Some(Ipv6Addr::LOCALHOST.into())),
            Self::Only(address) => (address, None),
        };
        core::iter::once(first).chain(second)
    }
}

/// One published port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Publish {
    /// Where the host listens.
    pub address: PublishAddress,
    /// The host's port; 0 lets the host pick one ([`Gateway::published`](crate::Gateway::published) tells which).
    pub port: u16,
    /// The guest's port.
    pub guest_port: NonZeroU16,
    /// TCP or UDP.
    pub transport: Transport,
}

/// Bounds on what one guest may have under way. Beyond them: back-pressure, or a counted refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// TCP connections, those being made included; each holds one descriptor.
    pub connections: usize,
    /// Connects that wait for the host's network; a guest that scans a dead network must not eat every descriptor.
    pub pending_connects: usize,
    /// UDP endpoints of the guest with a host socket.
    pub udp_mappings: usize,
    /// Identifiers of echo requests with a host socket.
    pub echo_mappings: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 16_384,
            pending_connects: 4_096,
            udp_mappings: 2_048,
            echo_mappings: 64,
        }
    }
}

/// What a gateway is given at birth.
#[derive(Clone)]
pub struct GatewayConfig {
    /// The guest's world.
    pub addresses: Addresses,
    /// What the frames between guest and gateway begin with.
    pub medium: Medium,
    /// The gateway's own hardware address, on Ethernet.
    pub mac: MacAddr,
    /// The guest's hardware address, if it is known beforehand: then nobody asks for it over the wire.
    pub guest_mac: Option<MacAddr>,
    /// The largest IP packet on the wire between guest and gateway.
    pub mtu: u32,
    /// The largest unit of segmentation offload on that wire; 0 for none.
    pub gso_max: u32,
    /// Secret that keys the stack's tables.
    pub hash_key: [u64; 2],
    /// Seed of everything random.
    pub seed: [u8; 32],
    /// Ports of the host that lead to the guest.
    pub publish: Vec<Publish>,
    /// Whether published TCP ports let clients in from the start (and keep them waiting while the guest is asked), or only
    /// while the guest listens, as [`Gateway::guest_listens`](crate::Gateway::guest_listens) is told.
    pub open_ports: bool,
    /// Whether the clients of published TCP ports are left to the driver ([`Gateway::client`](crate::Gateway::caller)).
    pub hand_over: bool,
    /// What may be under way.
    pub limits: Limits,
    /// The guest's own name, which is answered with its own addresses.
    pub hostname: Option<String>,
    /// What the guest may reach.
    pub policy: Policy,
    /// Whether to keep [`Record`](crate::Record)s.
    pub records: bool,
    /// Who resolves names.
    pub resolver: Arc<dyn Resolve>,
    /// The host's name servers: queries for them are answered here, and what the resolver cannot answer goes to them.
    pub name_servers: Vec<IpAddr>,
}

/// The gateway's hardware address unless another is configured.
pub const MAC: MacAddr = MacAddr([0x52, 0x55, 10, 0, 2, 2]);

impl GatewayConfig {
    /// The defaults: nothing published, everything allowed, the host's resolver and name servers.
    pub fn new(hash_key: [u64; 2], seed: [u8; 32]) -> Self {
        Self {
            addresses: Addresses::default(),
            medium: Medium::Ethernet,
            mac: MAC,
            guest_mac: None,
            mtu: 1500,
            gso_max: 65_535,
            hash_key,
            seed,
            publish: Vec::new(),
            open_ports: true,
            hand_over: false,
            limits: Limits::default(),
            hostname: None,
            policy: Policy::default(),
            records: false,
            resolver: Arc::new(HostResolver),
            name_servers: crate::dns::host_name_servers(),
        }
    }
}

impl fmt::Debug for GatewayConfig {
    /// Without the secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GatewayConfig")
            .field("addresses", &self.addresses)
            .field("mtu", &self.mtu)
            .field("publish", &self.publish)
            .field("limits", &self.limits)
            .field("policy", &self.policy)
            .field("name_servers", &self.name_servers)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_guests_world_is_the_documented_one() {
        let addresses = Addresses::default();
        assert_eq!(addresses.guest_v6, "fd00:2::15".parse::<Ipv6Addr>().unwrap());
        assert!(addresses.is_gateway(IpAddr::from([10, 0, 2, 2])));
        assert!(!addresses.is_gateway(IpAddr::from([10, 0, 2, 3])));
        assert!(addresses.is_name_server(IpAddr::from([10, 0, 2, 3])));
    }
}
