//! What one `prise run` is asked to do, as typed values.
//!
//! The command line (prise-cli) parses text into these types and [`crate::run`] obeys them; afterwards nobody checks a
//! value again. Everything that could be wrong on its own (a port 0, a loss of 140 %) cannot be expressed here.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::num::NonZeroU16;
use std::ffi::OsString;
use std::path::PathBuf;

pub use prise_gateway::{Decision, Policy, Ports, Rule, Subject};
pub use prise_link::{BurstLoss, ImpairmentConfig, Probability};
pub use prise_socket::{SysctlError, Sysctls};
pub use prise_stack::CongestionAlgorithm;

/// One run: the program, the world it is given and what is kept of it.
#[derive(Debug, Clone, PartialEq)]
pub struct RunConfig {
    /// The program: looked up in `PATH` as `execvp(3)` does when it holds no slash.
    pub program: OsString,
    /// Its arguments, without its own name.
    pub args: Vec<OsString>,
    /// Host addresses that lead to the program's ports.
    pub publish: Vec<Publish>,
    /// Where packets leave.
    pub link: LinkChoice,
    /// What happens to packets on `eth0`, in each direction: a delay is one way's. `lo` is never impaired.
    pub impairment: ImpairmentConfig,
    /// What the program may reach.
    pub policy: Policy,
    /// A file that receives a line for each connection, lookup and denial.
    pub audit: Option<PathBuf>,
    /// A pcapng file that receives every packet.
    pub capture: Option<PathBuf>,
    /// Addresses of `eth0`. An entry replaces the default of its family (10.0.2.15/24, fd00:2::15/64).
    pub addresses: Vec<InterfaceAddress>,
    /// The guest's host name; `None` keeps the host's.
    pub hostname: Option<String>,
    /// Whether files of /proc/net show the run's sockets, links and routes: every open for reading costs more then, and
    /// nothing if not.
    pub proc_net: bool,
    /// Whether connections may go without our stack where nobody needs their packets: as the host kernel's own.
    pub join: bool,
    /// Whether the program may be loaded with a library that makes connections which leave the run, accepts clients of published ports, and opens the host's files,
    /// without asking, where nobody has to be asked.
    pub preload: bool,
    /// What the administrator of the guest's host decides.
    pub sysctls: Sysctls,
    /// What connections over a link run where their program does not choose, by the link's name.
    pub congestion: Vec<(String, CongestionAlgorithm)>,
}

impl RunConfig {
    /// A run of `program` with every default: the host link, nothing published, nothing impaired.
    pub fn new(program: impl Into<OsString>) -> Self {
        Self {
            program: program.into(),
            args: Vec::new(),
            publish: Vec::new(),
            link: LinkChoice::Host,
            impairment: ImpairmentConfig::default(),
            policy: Policy::default(),
            audit: None,
            capture: None,
            addresses: Vec::new(),
            hostname: None,
            proc_net: true,
            join: true,
            preload: true,
            sysctls: Sysctls::default(),
            congestion: Vec::new(),
        }
    }

    /// Whether connections that leave the run may be the host kernel's own: nobody needs to know of them, no packets are to be
    /// impaired or captured, no octets counted, nothing refused.
    pub(crate) fn hands_over(&self) -> bool {
        self.pairs_up() && self.link == LinkChoice::Host && self.impairment.is_none()
    }

    /// Whether connections within the run may be; what impairs the way out does not touch them.
    pub(crate) fn pairs_up(&self) -> bool {
        self.join && self.capture.is_none() && self.audit.is_none() && self.policy.is_empty()
    }
}

/// A transport that ports belong to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Transport {
    /// RFC 9293.
    Tcp,
    /// RFC 768.
    Udp,
}

/// One `-p [ADDR:]PORT[:GUEST_PORT][/udp]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Publish {
    /// The host's address to listen on. `None` is the host's loopback, 127.0.0.1 and, where the host has it, ::1: what
    /// is published is open to this machine only, unless an address is named.
    pub host_address: Option<IpAddr>,
    /// The host's port.
    pub host_port: NonZeroU16,
    /// The program's port.
    pub guest_port: NonZeroU16,
    /// TCP unless `/udp` was said.
    pub transport: Transport,
}

/// Where packets leave the guest's world.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum LinkChoice {
    /// Through the host's own sockets: the gateway.
    Host,
    /// Nowhere. `eth0` exists and its addresses answer inside the guest; every other destination is unreachable.
    None,
    /// A TUN device of the host, by name.
    Tun(String),
}

/// An address of the guest's `eth0` with the length of its network's prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct InterfaceAddress {
    address: IpAddr,
    prefix_len: u8,
}

impl InterfaceAddress {
    /// `None` where the address cannot be a host's own (unspecified, multicast, loopback, its network's first or, for
    /// IPv4, last), where it is the gateway's or the name server's, or where the prefix leaves no room for those.
    pub fn new(address: IpAddr, prefix_len: u8) -> Option<Self> {
        let this = Self { address, prefix_len };
        let longest = if address.is_ipv4() { 29 } else { 125 };
        if prefix_len > longest || address.is_unspecified() || address.is_multicast() || address.is_loopback() {
            return None;
        }
        let broadcast = address.is_ipv4() && address == this.neighbor(u128::MAX);
        let taken = [this.neighbor(0), this.gateway(), this.name_server()].contains(&address) || broadcast;
        (!taken).then_some(this)
    }

    /// The host's own address.
    pub fn address(self) -> IpAddr {
        self.address
    }

    /// How many leading bits name the network.
    pub fn prefix_len(self) -> u8 {
        self.prefix_len
    }

    /// The network's gateway, which is also the host itself: its second address.
    pub fn gateway(self) -> IpAddr {
        self.neighbor(2)
    }

    /// The network's name server: its third address.
    pub fn name_server(self) -> IpAddr {
        self.neighbor(3)
    }

    /// The address with the number `host` (as many low bits of it as the prefix leaves) in this network.
    fn neighbor(self, host: u128) -> IpAddr {
        let host_mask = |bits: u32| {
            u128::MAX
                .checked_shr(u32::from(self.prefix_len) + 128 - bits)
                .unwrap_or(0)
        };
        match self.address {
            IpAddr::V4(v4) => {
                let mask = host_mask(32) as u32;
                Ipv4Addr::from_bits((v4.to_bits() & !mask) | (host as u32 & mask)).into()
            }
            IpAddr::V6(v6) => {
                let mask = host_mask(128);
                Ipv6Addr::from_bits((v6.to_bits() & !mask) | (host & mask)).into()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(address: &str, prefix_len: u8) -> Option<(IpAddr, IpAddr)> {
        InterfaceAddress::new(address.parse().unwrap(), prefix_len).map(|a| (a.gateway(), a.name_server()))
    }

    #[test]
    fn gateway_and_name_server_are_the_second_and_third_of_the_network() {
        let pair = |gateway: &str, server: &str| Some((gateway.parse().unwrap(), server.parse().unwrap()));
        assert_eq!(network("10.0.2.15", 24), pair("10.0.2.2", "10.0.2.3"));
        assert_eq!(network("192.168.7.77", 28), pair("192.168.7.66", "192.168.7.67"));
        assert_eq!(network("fd00:2::15", 64), pair("fd00:2::2", "fd00:2::3"));
        assert_eq!(network("10.1.2.3", 0), pair("0.0.0.2", "0.0.0.3"));
    }

    #[test]
    fn the_gateways_address_is_nobody_elses() {
        for (address, prefix_len) in [
            ("10.0.2.2", 24),
            ("10.0.2.3", 24),
            ("10.0.2.0", 24),
            ("10.0.2.255", 24),
            ("fd00::2", 64),
        ] {
            assert_eq!(network(address, prefix_len), None, "{address}");
        }
    }
}
