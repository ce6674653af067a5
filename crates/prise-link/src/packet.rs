//! A packet socket: the stack as one more station on an Ethernet interface of the host.

use crate::Link;
use crate::device::{Device, DeviceCounters};
use prise_sys::interface::InterfaceName;
use prise_sys::packet;
use prise_wire::{Frame, Instant, MacAddr, Medium};
use std::io;
use std::os::fd::BorrowedFd;

/// A packet socket with checksum and segmentation offload: the kernel or the card cuts what we send, and hands over
/// trains that it has coalesced.
#[derive(Debug)]
pub struct PacketLink {
    device: Device,
    mtu: u32,
    mac: MacAddr,
}

impl PacketLink {
    /// Opens the Ethernet interface `name`, which needs `CAP_NET_RAW`.
    pub fn open(name: &str) -> io::Result<Self> {
        let packet::PacketSocket { file, mac, mtu } = packet::open(InterfaceName::new(name)?)?;
        // Trains of datagrams are left out: kernels before 6.2 refuse them here, and there is no way to ask.
        Ok(Self {
            device: Device::new(file, Medium::Ethernet, true, false),
            mtu,
            mac: MacAddr(mac),
        })
    }

    /// The interface's own address. The stack may use it if the host's stack does not use the interface, or another.
    pub const fn interface_mac(&self) -> MacAddr {
        self.mac
    }

    /// What the device did not carry so far.
    pub const fn counters(&self) -> DeviceCounters {
        self.device.counters()
    }
}

impl Link for PacketLink {
    fn medium(&self) -> Medium {
        self.device.medium()
    }

    fn mtu(&self) -> u32 {
        self.mtu
    }

    fn gso_max(&self) -> u32 {
        u16::MAX.into()
    }

    fn checksum_offload(&self) -> bool {
        true
    }

    fn send(&mut self, now: Instant, frame: Frame) -> Result<(), Frame> {
        self.device.send(now, frame)
    }

    fn receive(&mut self, now: Instant) -> Option<Frame> {
        self.device.receive(now)
    }

    fn flush(&mut self, _now: Instant) {
        self.device.drain();
    }

    fn poll_fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.device.fd())
    }
}
