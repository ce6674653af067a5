//! What the tests of this crate stand on: hosts with a loopback and one other link, and a wire carried by hand.

use crate::udp::{UdpConfig, UdpId};
use crate::{Discard, Event, Family, LinkConfig, LinkId, Local, Route, Stack, StackConfig};
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use prise_wire::{Checksum, Frame, Instant, IpCidr, MacAddr, Medium};

/// One host.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) stack: Stack,
    pub(crate) lo: LinkId,
    pub(crate) eth: LinkId,
    pub(crate) medium: Medium,
}

/// How a host's `eth0` is.
#[derive(Clone, Copy)]
pub(crate) struct Eth {
    pub(crate) medium: Medium,
    pub(crate) mtu: u32,
    pub(crate) transparent: bool,
    pub(crate) checksum_offload: bool,
}

impl Default for Eth {
    fn default() -> Self {
        Self {
            medium: Medium::Ethernet,
            mtu: 1500,
            transparent: false,
            checksum_offload: false,
        }
    }
}

pub(crate) fn ms(millis: u64) -> Instant {
    Instant::from_millis(millis)
}

pub(crate) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

pub(crate) fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

pub(crate) fn cidr(text: &str) -> IpCidr {
    text.parse().unwrap()
}

/// The hardware address of host `number`.
pub(crate) fn mac(number: u8) -> MacAddr {
    MacAddr([0x02, 0, 0, 0, 0, number])
}

/// Host `number`: 10.0.2.number/24 and fd00:2::number/64 on Ethernet.
pub(crate) fn node(number: u8) -> Node {
    node_with(number, Eth::default())
}

pub(crate) fn node_with(number: u8, eth: Eth) -> Node {
    let mut node = bare(number, eth);
    node.stack
        .add_address(ms(0), node.eth, cidr(&std::format!("10.0.2.{number}/24")));
    node.stack
        .add_address(ms(0), node.eth, cidr(&std::format!("fd00:2::{number:x}/64")));
    // Membership reports of the beginning are nobody's concern.
    while node.stack.transmit(ms(0), node.eth).is_some() {}
    node
}

/// A host whose `eth0` has no address yet.
pub(crate) fn bare(number: u8, eth: Eth) -> Node {
    let mut stack = Stack::new(&StackConfig::new([1, number.into()], [number; 32]));
    let config = LinkConfig {
        name: "lo",
        medium: Medium::Ip,
        mac: None,
        mtu: 65_536,
        gso_max: 0,
        checksum_offload: true,
        loopback: true,
        transparent: false,
    };
    let lo = stack.add_link(&config).unwrap();
    stack.add_address(ms(0), lo, cidr("127.0.0.1/8"));
    stack.add_address(ms(0), lo, cidr("::1/128"));
    let Eth {
        medium,
        mtu,
        transparent,
        checksum_offload,
    } = eth;
    let mac = (medium == Medium::Ethernet).then(|| mac(number));
    let config = LinkConfig {
        name: "eth0",
        medium,
        mac,
        mtu,
        gso_max: 0,
        checksum_offload,
        loopback: false,
        transparent,
    };
    let eth = stack.add_link(&config).unwrap();
    Node { stack, lo, eth, medium }
}

impl Node {
    /// All that waits to be transmitted on `eth0`.
    pub(crate) fn sent(&mut self, now: Instant) -> Vec<Frame> {
        core::iter::from_fn(|| self.stack.transmit(now, self.eth)).collect()
    }

    /// Takes a frame in as if it had come over a wire.
    pub(crate) fn receive(&mut self, now: Instant, frame: Frame) {
        self.stack.receive(now, self.eth, [frame]);
    }

    /// Carries what is on `lo` round until nothing more comes.
    pub(crate) fn pump_lo(&mut self, now: Instant) {
        while let Some(frame) = self.stack.transmit(now, self.lo) {
            self.stack.receive(now, self.lo, [frame]);
        }
    }

    /// How often something was discarded for that reason.
    pub(crate) fn discarded(&self, reason: Discard) -> u64 {
        self.stack.discards().get(reason)
    }

    pub(crate) fn events(&mut self) -> Vec<Event> {
        core::iter::from_fn(|| self.stack.event()).collect()
    }

    pub(crate) fn default_route(&mut self, gateway: &str) {
        let gateway = ip(gateway);
        let prefix = if gateway.is_ipv4() {
            IpCidr::ALL_V4
        } else {
            IpCidr::ALL_V6
        };
        self.stack.add_route(Route {
            prefix,
            gateway: Some(gateway),
            link: self.eth,
            source: None,
            metric: 0,
        });
    }

    /// A UDP socket on the wildcard of both families.
    pub(crate) fn udp(&mut self, port: u16) -> UdpId {
        self.stack
            .udp_bind(&UdpConfig::new(Local::wildcard(Family::Dual, port), port.into()))
    }

    /// A UDP socket on one endpoint.
    pub(crate) fn udp_at(&mut self, endpoint: &str) -> UdpId {
        let endpoint = at(endpoint);
        self.stack
            .udp_bind(&UdpConfig::new(Local::endpoint(endpoint), endpoint.port().into()))
    }

    /// What a socket has received, payloads only.
    pub(crate) fn payloads(&mut self, id: UdpId) -> Vec<Vec<u8>> {
        core::iter::from_fn(|| self.stack.udp_receive(id))
            .map(|datagram| datagram.payload.to_vec())
            .collect()
    }
}

/// Carries frames between two hosts until neither has more to say, as a real wire would: contiguous, checksums complete, to be
/// verified. Gives back all frames, with the position of their sender.
pub(crate) fn exchange(now: Instant, a: &mut Node, b: &mut Node) -> Vec<(usize, Frame)> {
    let nodes = [a, b];
    let mut log = Vec::new();
    loop {
        let mut quiet = true;
        for from in 0..2 {
            while let Some(frame) = nodes[from].stack.transmit(now, nodes[from].eth) {
                quiet = false;
                let frame = over_the_wire(nodes[from].medium, frame);
                log.push((from, frame.clone()));
                let to = 1 - from;
                let eth = nodes[to].eth;
                nodes[to].stack.receive(now, eth, [frame]);
            }
        }
        if quiet {
            return log;
        }
    }
}

/// A frame as the receiver's driver would hand it over.
pub(crate) fn over_the_wire(medium: Medium, mut frame: Frame) -> Frame {
    frame.complete_checksum();
    let frame = Frame::from_contiguous(medium, frame.to_vec().into());
    assert_eq!(frame.offload.checksum, Checksum::Unverified);
    frame
}
