//! Links: what the stack knows of each, the queue of frames that wait to be transmitted, and the counters.

use crate::tcp::CongestionAlgorithm;
use alloc::collections::VecDeque;
use alloc::string::String;
use prise_wire::{Frame, MacAddr, Medium};

/// The longest name of a link, in octets: Linux's `IFNAMSIZ` less the terminating zero.
pub const LINK_NAME_MAX: usize = 15;

/// How many links a stack may have: one bit each in a [`LinkSet`].
pub const LINKS_MAX: usize = 64;

/// Octets that wait on a link before senders are told to wait; TCP is pulled and never queues here.
pub(crate) const LINK_QUEUE_OCTETS: usize = 1 << 20;

/// Frames that wait on a link before further ones are dropped, whoever sends them: Linux's `txqueuelen`.
const LINK_QUEUE_FRAMES: usize = 1000;

/// A link of one stack; its number plus one is the interface index of Linux's interfaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LinkId(u8);

impl LinkId {
    /// The link with that position, counted from zero in the order of [`Stack::add_link`](crate::Stack::add_link).
    pub const fn new(position: u8) -> Option<Self> {
        if (position as usize) < LINKS_MAX {
            Some(Self(position))
        } else {
            None
        }
    }

    /// The position, counted from zero.
    pub const fn position(self) -> usize {
        self.0 as usize
    }

    /// The interface index that programs see (`if_nametoindex(3)`), counted from one.
    pub const fn interface_index(self) -> u32 {
        self.0 as u32 + 1
    }

    /// The link with that interface index, if there can be one.
    pub const fn from_interface_index(index: u32) -> Option<Self> {
        if index >= 1 && index <= LINKS_MAX as u32 {
            Some(Self((index - 1) as u8))
        } else {
            None
        }
    }
}

/// A set of links, one bit each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkSet(u64);

impl LinkSet {
    /// No link.
    pub const EMPTY: Self = Self(0);

    /// Adds a link.
    pub const fn insert(&mut self, link: LinkId) {
        self.0 |= 1 << link.0;
    }

    /// Takes a link out.
    pub const fn remove(&mut self, link: LinkId) {
        self.0 &= !(1 << link.0);
    }

    /// Whether the link is in.
    pub const fn contains(self, link: LinkId) -> bool {
        self.0 & (1 << link.0) != 0
    }

    /// Whether no link is in.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The links of either set.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The links in the set, in order.
    pub fn iter(self) -> impl Iterator<Item = LinkId> {
        let mut rest = self.0;
        core::iter::from_fn(move || {
            let position = rest.trailing_zeros();
            rest &= rest.wrapping_sub(1);
            LinkId::new(position as u8)
        })
    }
}

impl FromIterator<LinkId> for LinkSet {
    fn from_iter<I: IntoIterator<Item = LinkId>>(links: I) -> Self {
        let mut set = Self::EMPTY;
        for link in links {
            set.insert(link);
        }
        set
    }
}

/// What [`Stack::add_link`](crate::Stack::add_link) is told about a link.
#[derive(Clone, Copy, Debug)]
pub struct LinkConfig<'a> {
    /// The name that programs see, at most [`LINK_NAME_MAX`] octets.
    pub name: &'a str,
    /// Ethernet frames or bare IP packets.
    pub medium: Medium,
    /// The station's own hardware address; Ethernet links need one.
    pub mac: Option<MacAddr>,
    /// The largest IP packet, in octets.
    pub mtu: u32,
    /// The largest unit that the link splits itself, in octets of IP packet; 0 if it splits nothing.
    pub gso_max: u32,
    /// Whether the link completes transport checksums ([`Checksum::Partial`](prise_wire::Checksum::Partial)).
    pub checksum_offload: bool,
    /// What is transmitted comes back by the same link: `lo`.
    pub loopback: bool,
    /// The gateway's side of a wire: packets for any destination are taken as our own, and every hardware address
    /// that is asked for, except the peer's own, is answered with ours.
    pub transparent: bool,
}

/// Traffic of one link since it was added.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkCounters {
    /// Frames received.
    pub received_frames: u64,
    /// Octets received, link headers included.
    pub received_octets: u64,
    /// Frames received and discarded below the transport.
    pub received_discards: u64,
    /// Frames handed to the driver.
    pub transmitted_frames: u64,
    /// Octets handed to the driver, link headers included.
    pub transmitted_octets: u64,
    /// Frames that found the transmit queue full.
    pub transmit_discards: u64,
}

/// One link, as the stack keeps it.
#[derive(Debug)]
pub struct Link {
    id: LinkId,
    name: String,
    medium: Medium,
    mac: Option<MacAddr>,
    mtu: u32,
    gso_max: u32,
    checksum_offload: bool,
    congestion: Option<CongestionAlgorithm>,
    loopback: bool,
    transparent: bool,
    pub(crate) counters: LinkCounters,
    queue: VecDeque<Frame>,
    queue_octets: usize,
}

impl Link {
    pub(crate) fn new(id: LinkId, config: &LinkConfig<'_>) -> Self {
        Self {
            id,
            name: config.name.into(),
            medium: config.medium,
            mac: config.mac,
            mtu: config.mtu,
            gso_max: config.gso_max,
            checksum_offload: config.checksum_offload,
            congestion: None,
            loopback: config.loopback,
            transparent: config.transparent,
            counters: LinkCounters::default(),
            queue: VecDeque::new(),
            queue_octets: 0,
        }
    }

    /// Its identity in this stack.
    pub fn id(&self) -> LinkId {
        self.id
    }

    /// The name that programs see.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Ethernet frames or bare IP packets.
    pub fn medium(&self) -> Medium {
        self.medium
    }

    /// The station's hardware address, on Ethernet.
    pub fn mac(&self) -> Option<MacAddr> {
        self.mac
    }

    /// The largest IP packet, in octets.
    pub fn mtu(&self) -> u32 {
        self.mtu
    }

    /// The largest unit that the link splits itself; 0 if it splits nothing.
    pub fn gso_max(&self) -> u32 {
        self.gso_max
    }

    /// The congestion control of connections over it whose programs have not chosen one.
    pub fn congestion(&self) -> Option<CongestionAlgorithm> {
        self.congestion
    }

    pub(crate) fn set_congestion(&mut self, algorithm: Option<CongestionAlgorithm>) {
        self.congestion = algorithm;
    }

    /// Whether the link completes transport checksums.
    pub fn checksum_offload(&self) -> bool {
        self.checksum_offload
    }

    /// Whether what is transmitted comes back by the same link.
    pub fn is_loopback(&self) -> bool {
        self.loopback
    }

    /// Whether packets for any destination are taken as our own.
    pub fn is_transparent(&self) -> bool {
        self.transparent
    }

    /// Traffic so far.
    pub fn counters(&self) -> &LinkCounters {
        &self.counters
    }

    pub(crate) fn has_room(&self) -> bool {
        self.queue_octets < LINK_QUEUE_OCTETS && self.queue.len() < LINK_QUEUE_FRAMES
    }

    /// Whether enough of the queue has drained to tell those who wait: half of it, so that they are not told one by one.
    pub(crate) fn is_half_empty(&self) -> bool {
        self.queue_octets < LINK_QUEUE_OCTETS / 2 && self.queue.len() < LINK_QUEUE_FRAMES / 2
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.queue.is_empty()
    }

    /// Queues a frame, or hands it back when the queue is full.
    pub(crate) fn enqueue(&mut self, frame: Frame) -> Result<(), Frame> {
        if self.queue.len() >= LINK_QUEUE_FRAMES {
            self.counters.transmit_discards += 1;
            return Err(frame);
        }
        self.queue_octets += frame.total_len();
        self.queue.push_back(frame);
        Ok(())
    }

    pub(crate) fn dequeue(&mut self) -> Option<Frame> {
        let frame = self.queue.pop_front()?;
        self.queue_octets -= frame.total_len();
        Some(frame)
    }

    pub(crate) fn count_received(&mut self, frame: &Frame) {
        self.counters.received_frames += 1;
        self.counters.received_octets += frame.total_len() as u64;
    }

    pub(crate) fn count_transmitted(&mut self, frame: &Frame) {
        self.count_besides(frame.total_len());
    }

    pub(crate) fn count_besides(&mut self, octets: usize) {
        self.counters.transmitted_frames += 1;
        self.counters.transmitted_octets += octets as u64;
    }

    pub(crate) fn discard_besides(&mut self, frames: u32) {
        self.counters.transmit_discards += u64::from(frames);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_of_links_lists_its_members_in_order() {
        let ids = [63, 0, 5].map(|n| LinkId::new(n).unwrap());
        let set: LinkSet = ids.into_iter().collect();
        assert!(set.iter().map(LinkId::position).eq([0, 5, 63]));
        assert!(LinkSet::EMPTY.iter().next().is_none());
        assert_eq!(LinkId::new(64), None);
        assert_eq!(LinkId::from_interface_index(0), None);
        assert_eq!(LinkId::from_interface_index(1), LinkId::new(0));
    }
}
