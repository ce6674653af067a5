//! A router of a world: an element of the fabric, not a host. It takes packets from one wire and puts them on another, as
//! RFC 1812 has it do: a wrong header checksum and a spent hop limit end a packet's way, and one that does not fit is
//! answered with an error, unless the router is one of those that never say a word.

use crate::icmp::{self, Report};
use prise_wire::{Frame, IpVersion, Ipv4Header, Ipv6Header, Medium, ipv4};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A router of a world, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouterId(pub(crate) usize);

/// What became of packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RouterCounters {
    /// Packets that came by any wire.
    pub received: u64,
    /// Put on another wire.
    pub forwarded: u64,
    /// Damaged on the way here.
    pub damaged: u64,
    /// For nobody that is known here.
    pub unroutable: u64,
    /// Their hop limit was spent.
    pub expired: u64,
    /// Larger than the next wire takes.
    pub too_big: u64,
    /// Errors sent.
    pub errors: u64,
}

#[derive(Debug)]
pub(crate) struct Router {
    pub(crate) name: String,
    addresses: (Ipv4Addr, Ipv6Addr),
    /// By which wire an address is reached, from which end.
    routes: Vec<(IpAddr, Way)>,
    /// Says when a packet does not fit.
    speaks: bool,
    pub(crate) counters: RouterCounters,
}

/// A wire, and the end of it that is here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Way {
    pub(crate) wire: usize,
    pub(crate) end: usize,
    pub(crate) mtu: u32,
}

impl Router {
    pub(crate) fn new(name: &str, number: u8, speaks: bool) -> Self {
        Self {
            name: name.to_owned(),
            addresses: (
                Ipv4Addr::new(10, 255, 0, number + 1),
                Ipv6Addr::new(0xfd00, 0xffff, 0, 0, 0, 0, 0, u16::from(number) + 1),
            ),
            routes: Vec::new(),
            speaks,
            counters: RouterCounters::default(),
        }
    }

    /// From now on packets for `address` go this way.
    pub(crate) fn route(&mut self, address: IpAddr, way: Way) {
        self.routes.retain(|(known, _)| *known != address);
        self.routes.push((address, way));
    }

    fn way(&self, to: IpAddr) -> Option<Way> {
        self.routes.iter().find(|(known, _)| *known == to).map(|(_, way)| *way)
    }

    /// What is to be put on which wire for a packet that has come.
    pub(crate) fn forward(&mut self, mut frame: Frame) -> Option<(Way, Frame)> {
        self.counters.received += 1;
        let Some((from, to, hops)) = look(&frame) else {
            self.counters.damaged += 1;
            return None;
        };
        let Some(way) = self.way(to) else {
            self.counters.unroutable += 1;
            return None;
        };
        if hops <= 1 {
            self.counters.expired += 1;
            return self.complain(&frame, from, Report::TimeExceeded);
        }
        if frame.total_len() > way.mtu as usize {
            self.counters.too_big += 1;
            return self.complain(&frame, from, Report::TooBig { mtu: way.mtu });
        }
        spend_hop(frame.head_mut());
        self.counters.forwarded += 1;
        Some((way, frame))
    }

    /// An error about a packet, on its way to the packet's source.
    fn complain(&mut self, frame: &Frame, from: IpAddr, report: Report) -> Option<(Way, Frame)> {
        if !self.speaks {
            return None;
        }
        let way = self.way(from)?;
        let own = match from {
            IpAddr::V4(_) => self.addresses.0.into(),
            IpAddr::V6(_) => self.addresses.1.into(),
        };
        let error = icmp::about(&frame.to_vec(), report, own)?;
        self.counters.errors += 1;
        Some((way, error))
    }
}

/// Source, destination and hop limit, if the header holds together.
fn look(frame: &Frame) -> Option<(IpAddr, IpAddr, u8)> {
    let layout = frame.layout(Medium::Ip)?;
    match layout.version {
        IpVersion::V4 => {
            let header = Ipv4Header::parse(frame.head()).ok()?;
            if !ipv4::is_checksum_valid(frame.head().get(..header.header_len())?) {
                return None;
            }
            Some((header.source.into(), header.destination.into(), header.hop_limit))
        }
        IpVersion::V6 => {
            let header = Ipv6Header::parse(frame.head()).ok()?;
            Some((header.source.into(), header.destination.into(), header.hop_limit))
        }
    }
}

/// One hop less; the checksum of version 4 follows (RFC 1624).
fn spend_hop(head: &mut [u8]) {
    if head[0] >> 4 == 6 {
        head[7] -= 1;
        return;
    }
    head[8] -= 1;
    let sum = u32::from(u16::from_be_bytes([head[10], head[11]])) + 0x100;
    let folded = (sum & 0xffff) + (sum >> 16);
    head[10..12].copy_from_slice(&(folded as u16).to_be_bytes());
}
