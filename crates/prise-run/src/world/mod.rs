//! The guest's links and how frames get through them: `lo`, and `eth0` whose other end is the gateway or nothing.

pub(crate) mod capture_file;
pub(crate) mod gate;
pub(crate) mod mirror;
pub(crate) mod names;

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::BorrowedFd;

use prise_link::{Link, Tap, Tapped};
use prise_socket::Host;
use prise_stack::{IpCidr, LinkConfig, LinkId, Route};
use prise_wire::{Frame, Instant, MacAddr, Medium};

use crate::start::config::InterfaceAddress;

/// `eth0`'s default addresses: fixed, so that scripts may rely on them.
pub(crate) const ADDRESS_V4: (Ipv4Addr, u8) = (Ipv4Addr::new(10, 0, 2, 15), 24);
pub(crate) const ADDRESS_V6: (Ipv6Addr, u8) = (Ipv6Addr::new(0xfd00, 2, 0, 0, 0, 0, 0, 0x15), 64);

/// The guest's hardware address on `eth0`: locally administered (IEEE 802, the second bit).
pub(crate) const MAC: MacAddr = MacAddr([0x02, 0x50, 0x52, 0x49, 0x53, 0x45]);

/// Frames that pass a link in one round, before others get their turn.
const ROUND_FRAMES: usize = 256;

/// A link of the host's, with the device behind it.
struct Wire {
    id: LinkId,
    device: Box<dyn Link>,
    /// Transmitted by the host, not yet taken by the device.
    stalled: Option<Frame>,
    /// The device may have something: it was given frames, gave some, or its descriptor is readable. To ask one that has
    /// nothing costs a system call, and each turn asks twice.
    attention: bool,
}

impl Wire {
    fn wants_attention(&self, now: Instant) -> bool {
        self.attention || self.device.next_deadline().is_some_and(|deadline| deadline <= now)
    }
}

impl core::fmt::Debug for Wire {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Wire")
            .field("id", &self.id)
            .field("stalled", &self.stalled.is_some())
            .finish_non_exhaustive()
    }
}

/// All links.
#[derive(Debug)]
pub(crate) struct World {
    /// `lo` is the first.
    wires: Vec<Wire>,
    arrived: Vec<Frame>,
    /// What passes is written to a file (`--capture`).
    is_captured: bool,
}

impl World {
    /// Gives the host its `lo`.
    pub(crate) fn new(host: &mut Host, lo: Box<dyn Link>, now: Instant) -> Option<Self> {
        let id = host.stack_mut().add_link(&LinkConfig {
            name: "lo",
            medium: lo.medium(),
            mac: None,
            mtu: lo.mtu(),
            gso_max: lo.gso_max(),
            checksum_offload: lo.checksum_offload(),
            loopback: true,
            transparent: false,
        })?;
        for cidr in [
            IpCidr::new(Ipv4Addr::LOCALHOST.into(), 8),
            IpCidr::new(Ipv6Addr::LOCALHOST.into(), 128),
        ] {
            host.stack_mut().add_address(now, id, cidr?);
        }
        let lo = Wire {
            id,
            device: lo,
            stalled: None,
            attention: true,
        };
        Some(Self {
            wires: vec![lo],
            arrived: Vec::new(),
            is_captured: false,
        })
    }

    /// The loopback link.
    pub(crate) fn lo(&self) -> LinkId {
        self.wires[0].id
    }

    /// Whether what passes is written to a file, from the start on.
    pub(crate) const fn is_captured(&self) -> bool {
        self.is_captured
    }

    /// Writes what passes `lo` to a file.
    pub(crate) fn capture_lo<T: Tap + 'static>(&mut self, tap: T) {
        self.is_captured = true;
        self.tap([(self.lo(), tap)]);
    }

    /// Gives the host its `eth0`. `gateway`: the hardware address of the gateway there, if there is one. Both ends know each
    /// other beforehand, so that a bad line impairs what the guest does and not how neighbors find each other.
    pub(crate) fn add_eth0(
        &mut self,
        host: &mut Host,
        device: Box<dyn Link>,
        addresses: &[InterfaceAddress],
        gateway: Option<MacAddr>,
        now: Instant,
    ) -> Option<LinkId> {
        let id = host.stack_mut().add_link(&LinkConfig {
            name: "eth0",
            medium: device.medium(),
            mac: (device.medium() == Medium::Ethernet).then_some(MAC),
            mtu: device.mtu(),
            gso_max: device.gso_max(),
            checksum_offload: device.checksum_offload(),
            loopback: false,
            transparent: false,
        })?;
        for own in interface_addresses(addresses) {
            let cidr = IpCidr::new(own.address(), own.prefix_len())?;
            host.stack_mut().add_address(now, id, cidr);
            if let Some(mac) = gateway {
                host.stack_mut().add_neighbor(now, id, own.gateway(), mac);
                host.stack_mut().add_neighbor(now, id, own.name_server(), mac);
                let ipv4 = own.address().is_ipv4();
                host.stack_mut().add_route(Route {
                    prefix: if ipv4 { IpCidr::ALL_V4 } else { IpCidr::ALL_V6 },
                    gateway: Some(own.gateway()),
                    link: id,
                    source: None,
                    metric: 0,
                });
            }
        }
        self.wires.push(Wire {
            id,
            device,
            stalled: None,
            attention: true,
        });
        Some(id)
    }

    /// The descriptor that is readable while a device has something to receive.
    pub(crate) fn poll_fd(&self) -> Option<BorrowedFd<'_>> {
        self.wires.iter().find_map(|wire| wire.device.poll_fd())
    }

    /// Passes frames between host and devices, both ways; whether any passed.
    pub(crate) fn exchange(&mut self, host: &mut Host, now: Instant) -> bool {
        let mut passed = false;
        for wire in &mut self.wires {
            for _ in 0..ROUND_FRAMES {
                let Some(frame) = wire.stalled.take().or_else(|| host.transmit(now, wire.id)) else {
                    break;
                };
                match wire.device.send(now, frame) {
                    Ok(()) => {
                        passed = true;
                        wire.attention = true;
                    }
                    Err(frame) => {
                        wire.stalled = Some(frame);
                        break;
                    }
                }
            }
            if !wire.wants_attention(now) {
                continue;
            }
            wire.attention = false;
            while self.arrived.len() < ROUND_FRAMES
                && let Some(frame) = wire.device.receive(now)
            {
                self.arrived.push(frame);
            }
            if !self.arrived.is_empty() {
                passed = true;
                wire.attention = true;
                host.receive(now, wire.id, self.arrived.drain(..));
            }
        }
        passed
    }

    /// Lets somebody look at links.
    pub(crate) fn tap<T: Tap + 'static>(&mut self, taps: impl IntoIterator<Item = (LinkId, T)>) {
        for (id, tap) in taps {
            if let Some(wire) = self.wires.iter_mut().find(|wire| wire.id == id) {
                let device = core::mem::replace(&mut wire.device, Box::new(Nowhere));
                wire.device = Box::new(Tapped::with(device, tap));
            }
        }
    }

    /// Puts a frame on a link, beside what the host transmits. Where the link has no room it is lost, and counted as the host's own
    /// would be.
    pub(crate) fn put(&mut self, host: &mut Host, now: Instant, link: LinkId, frame: Frame) {
        let Some(wire) = self.wires.iter_mut().find(|wire| wire.id == link) else {
            return;
        };
        let octets = frame.total_len();
        if !host.stack_mut().may_arrive_from_beside(link, &frame) {
            host.stack_mut().count_besides(link, octets);
            return;
        }
        let taken = wire.device.send(now, frame).is_ok();
        wire.attention = true;
        if taken {
            host.stack_mut().count_besides(link, octets);
        } else {
            host.stack_mut().discard_besides(link, 1);
        }
    }

    /// The descriptor of [`poll_fd`](Self::poll_fd) is readable.
    pub(crate) fn attend(&mut self) {
        for wire in &mut self.wires {
            wire.attention |= wire.device.poll_fd().is_some();
        }
    }

    /// The turn is over.
    pub(crate) fn flush(&mut self, now: Instant) {
        for wire in &mut self.wires {
            wire.device.flush(now);
        }
    }

    /// When a device is to be asked again.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.wires.iter().filter_map(|wire| wire.device.next_deadline()).min()
    }
}

/// The addresses asked for, and the default of each family for which none was.
fn interface_addresses(asked: &[InterfaceAddress]) -> Vec<InterfaceAddress> {
    let mut all = asked.to_vec();
    for (address, prefix_len) in [
        (IpAddr::V4(ADDRESS_V4.0), ADDRESS_V4.1),
        (IpAddr::V6(ADDRESS_V6.0), ADDRESS_V6.1),
    ] {
        if !all.iter().any(|have| have.address().is_ipv4() == address.is_ipv4()) {
            all.extend(InterfaceAddress::new(address, prefix_len));
        }
    }
    all
}

/// The far end of `eth0` where there is none: takes every frame, brings none.
#[derive(Debug)]
pub(crate) struct Nowhere;

impl Link for Nowhere {
    fn medium(&self) -> Medium {
        Medium::Ip
    }

    fn mtu(&self) -> u32 {
        1500
    }

    fn send(&mut self, _now: Instant, _frame: Frame) -> Result<(), Frame> {
        Ok(())
    }

    fn receive(&mut self, _now: Instant) -> Option<Frame> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_asked_address_replaces_the_default_of_its_family_only() {
        let asked = [InterfaceAddress::new("192.0.2.7".parse().unwrap(), 24).unwrap()];
        let texts: Vec<String> = interface_addresses(&asked)
            .iter()
            .map(|own| format!("{}/{}", own.address(), own.prefix_len()))
            .collect();
        assert_eq!(texts, ["192.0.2.7/24", "fd00:2::15/64"]);
    }
}
