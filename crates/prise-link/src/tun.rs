//! A TUN device: the kernel's side routes bare IP packets to and from it.

use crate::Link;
use crate::device::{Device, DeviceCounters};
use prise_sys::interface::{self, InterfaceName};
use prise_sys::tun::{self, TunOffload};
use prise_wire::{Frame, Instant, Medium};
use rustix::net::{AddressFamily, SocketType};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

/// A TUN device with checksum and segmentation offload where the kernel grants it.
#[derive(Debug)]
pub struct TunLink {
    device: Device,
    mtu: u32,
    offload: TunOffload,
}

impl TunLink {
    /// Attaches to the TUN device `name`. It is created if it does not exist, which needs `CAP_NET_ADMIN`; one that was
    /// made for this user (`ip tuntap add … user …`) needs nothing.
    pub fn open(name: &str) -> io::Result<Self> {
        let name = InterfaceName::new(name)?;
        let tun::Tun { file, offload } = tun::open(name)?;
        let socket = rustix::net::socket(AddressFamily::INET, SocketType::DGRAM, None)?;
        let mtu = interface::mtu(socket.as_fd(), name)?;
        let (tcp, udp) = (offload != TunOffload::None, offload == TunOffload::TcpAndUdp);
        Ok(Self {
            device: Device::new(file, Medium::Ip, tcp, udp),
            mtu,
            offload,
        })
    }

    /// What the device did not carry so far.
    pub const fn counters(&self) -> DeviceCounters {
        self.device.counters()
    }

    /// What the kernel granted.
    pub const fn offload(&self) -> TunOffload {
        self.offload
    }
}

impl Link for TunLink {
    fn medium(&self) -> Medium {
        self.device.medium()
    }

    fn mtu(&self) -> u32 {
        self.mtu
    }

    fn gso_max(&self) -> u32 {
        if self.offload == TunOffload::None {
            0
        } else {
            u16::MAX.into()
        }
    }

    fn checksum_offload(&self) -> bool {
        self.offload != TunOffload::None
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
