//! What every part of the gateway stands on: the stack, the epoll, the addresses, the policy and the books.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use prise_stack::{IcmpError, LinkId, QuotedFlow, Stack};
use prise_wire::Instant;

use crate::config::Addresses;
use crate::dns::Surroundings;
use crate::learned::Learned;
use crate::policy::{Asked, Decision, Policy};
use crate::poll::Poll;
use crate::record::{Fact, FlowNumber, Records, Refused, Transport};
use crate::tally::{Discard, Tally};

/// The port of DNS, RFC 1035 §4.2.
const DNS_PORT: u16 = 53;

/// Where a guest's packet is to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Destination {
    /// A name server: answered here.
    NameServer,
    /// A host socket's business; the address as the host knows it.
    Host(SocketAddr),
    /// A port of the name server's own address that nobody serves.
    Closed,
    /// An address that no packet may leave for.
    Martian,
    /// A group or everyone.
    Group,
}

/// The parts that all others share. Lent, never kept.
#[derive(Debug)]
pub(crate) struct Ground {
    pub(crate) stack: Stack,
    pub(crate) link: LinkId,
    pub(crate) poll: Poll,
    pub(crate) addresses: Addresses,
    pub(crate) name_servers: Vec<IpAddr>,
    pub(crate) policy: Policy,
    pub(crate) learned: Learned,
    pub(crate) records: Records,
    pub(crate) tally: Tally,
}

impl Ground {
    /// Where a packet for `dialled` is to go.
    pub(crate) fn destination(&self, dialled: SocketAddr) -> Destination {
        let ip = dialled.ip();
        let ours = self.addresses.is_name_server(ip);
        if dialled.port() == DNS_PORT && (ours || self.name_servers.contains(&ip)) {
            return Destination::NameServer;
        }
        if ours {
            return Destination::Closed;
        }
        if self.addresses.is_gateway(ip) {
            return Destination::Host(SocketAddr::new(loopback(ip), dialled.port()));
        }
        if ip.is_multicast() || ip == IpAddr::V4(Ipv4Addr::BROADCAST) {
            return Destination::Group;
        }
        if ip.is_loopback() || ip.is_unspecified() || ip == self.addresses.guest(ip) || is_scoped_or_mapped(ip) {
            return Destination::Martian;
        }
        Destination::Host(dialled)
    }

    /// The endpoint under which the guest sees `peer`, one of the host's: the host's own loopback is the gateway, and
    /// so is anyone who claims the guest's own address.
    pub(crate) fn shown(&self, peer: SocketAddr) -> SocketAddr {
        let ip = peer.ip();
        let impossible = ip.is_loopback() || ip.is_unspecified() || ip == self.addresses.guest(ip);
        let ip = if impossible { self.addresses.gateway(ip) } else { ip };
        SocketAddr::new(ip, peer.port())
    }

    /// A client of a published port, as the guest sees it, and the guest's endpoint.
    pub(crate) fn client(&self, client: SocketAddr, port: u16) -> (SocketAddr, SocketAddr) {
        let shown = self.shown(client);
        (shown, SocketAddr::new(self.addresses.guest(shown.ip()), port))
    }

    /// What the policy says of an attempt to reach `remote`, an endpoint of the host's network.
    pub(crate) fn decide(&self, now: Instant, remote: SocketAddr) -> Decision {
        let asked = Asked {
            endpoint: remote,
            is_host: self.addresses.is_gateway(remote.ip()),
        };
        self.policy.for_endpoint(now, asked, &self.learned)
    }

    /// What the policy says of an attempt of the guest's, wherever it goes. What the gateway answers itself is allowed:
    /// names are judged one by one; and so is what goes nowhere, whose own error is the truer one.
    pub(crate) fn judge(&self, now: Instant, dialled: SocketAddr) -> Decision {
        match self.destination(dialled) {
            Destination::Host(_) => self.decide(now, dialled),
            Destination::NameServer | Destination::Closed | Destination::Martian | Destination::Group => {
                Decision::Allow
            }
        }
    }

    /// Notes that a flow was not let through.
    pub(crate) fn refuse(
        &mut self,
        now: Instant,
        transport: Transport,
        guest: SocketAddr,
        remote: SocketAddr,
        reason: Refused,
    ) {
        if let Refused::Gateway(reason) = reason {
            self.tally.discard(reason);
        }
        self.note(now, || Fact::Refused {
            transport,
            guest,
            remote,
            reason,
        });
    }

    /// Notes a fact for whoever keeps records.
    pub(crate) fn note(&mut self, now: Instant, fact: impl FnOnce() -> Fact) {
        self.records.push(&mut self.tally, now, fact);
    }

    /// Tells the guest of an ICMP error, by default in the name of whoever finds such an error: the destination that its
    /// port is closed, the gateway everything else.
    pub(crate) fn tell(&mut self, now: Instant, offender: Option<IpAddr>, flow: &QuotedFlow, error: IcmpError) {
        let dialled = flow.dst.ip();
        let finder = if error == IcmpError::PortUnreachable {
            dialled
        } else {
            self.addresses.gateway(dialled)
        };
        let offender = Some(offender.unwrap_or(finder));
        self.stack.icmp_error_for(now, self.link, offender, flow, error);
    }

    pub(crate) fn discard(&mut self, reason: Discard) {
        self.tally.discard(reason);
    }

    pub(crate) fn next_flow(&mut self) -> FlowNumber {
        self.records.next_flow()
    }

    /// What the name service needs.
    pub(crate) fn surroundings(&mut self) -> Surroundings<'_> {
        Surroundings {
            poll: &self.poll,
            policy: &self.policy,
            learned: &mut self.learned,
            records: &mut self.records,
            tally: &mut self.tally,
        }
    }
}

/// The host's loopback address of the family of `like`.
pub(crate) fn loopback(like: IpAddr) -> IpAddr {
    match like {
        IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    }
}

/// Link-local addresses mean nothing without the link, and v4-mapped ones would reach IPv4 behind IPv6's back.
fn is_scoped_or_mapped(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(_) => false,
        IpAddr::V6(v6) => v6.is_unicast_link_local() || v6.to_ipv4_mapped().is_some(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prise_stack::StackConfig;
    use prise_wire::Instant;

    fn ground() -> Ground {
        let mut stack = Stack::new(&StackConfig::new([1, 2], [3; 32]));
        let link = prise_stack::LinkConfig {
            name: "host",
            medium: prise_wire::Medium::Ip,
            mac: None,
            mtu: 1500,
            gso_max: 0,
            checksum_offload: true,
            loopback: false,
            transparent: true,
        };
        let link = stack.add_link(&link).unwrap();
        Ground {
            stack,
            link,
            poll: Poll::new().unwrap(),
            addresses: Addresses::default(),
            name_servers: vec![IpAddr::from([192, 0, 2, 53])],
            policy: Policy::default(),
            learned: Learned::default(),
            records: Records::new(false),
            tally: Tally::new(),
        }
    }

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn addresses_that_mean_the_hosts_inside_never_reach_it() {
        let ground = ground();
        for martian in [
            "127.0.0.1:80",
            "127.5.5.5:80",
            "0.0.0.0:80",
            "10.0.2.15:80",
            "[::1]:80",
            "[::]:80",
            "[fd00:2::15]:80",
            "[fe80::1]:80",
            "[::ffff:127.0.0.1]:80",
            "[::ffff:192.0.2.1]:80",
        ] {
            assert_eq!(ground.destination(at(martian)), Destination::Martian, "{martian}");
        }
        for group in ["224.0.0.251:5353", "255.255.255.255:68", "[ff02::fb]:5353"] {
            assert_eq!(ground.destination(at(group)), Destination::Group, "{group}");
        }
    }

    #[test]
    fn the_gateway_is_the_hosts_loopback_and_the_name_servers_are_ours() {
        let ground = ground();
        let host = |text| Destination::Host(at(text));
        assert_eq!(ground.destination(at("10.0.2.2:80")), host("127.0.0.1:80"));
        assert_eq!(ground.destination(at("[fd00:2::2]:53")), host("[::1]:53"));
        assert_eq!(ground.destination(at("198.51.100.1:53")), host("198.51.100.1:53"));
        assert_eq!(ground.destination(at("192.0.2.53:853")), host("192.0.2.53:853"));
        for name_server in ["10.0.2.3:53", "[fd00:2::3]:53", "192.0.2.53:53"] {
            assert_eq!(ground.destination(at(name_server)), Destination::NameServer);
        }
        assert_eq!(ground.destination(at("10.0.2.3:80")), Destination::Closed);
    }

    #[test]
    fn the_guest_never_sees_itself_or_loopback_at_the_other_end() {
        let mut ground = ground();
        assert_eq!(ground.shown(at("127.0.0.9:5")), at("10.0.2.2:5"));
        assert_eq!(ground.shown(at("[::1]:5")), at("[fd00:2::2]:5"));
        assert_eq!(ground.shown(at("10.0.2.15:5")), at("10.0.2.2:5"));
        assert_eq!(ground.shown(at("198.51.100.1:5")), at("198.51.100.1:5"));
        let reason = Refused::Gateway(Discard::UdpMartian);
        ground.refuse(
            Instant::ZERO,
            Transport::Udp,
            at("10.0.2.15:5"),
            at("127.0.0.1:5"),
            reason,
        );
        assert_eq!(ground.tally.discarded(Discard::UdpMartian), 1);
    }
}
