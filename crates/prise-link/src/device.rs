//! What TUN devices and packet sockets share: one packet a system call, behind a virtio-net header.

use crate::virtio;
use prise_wire::{Frame, Instant, Medium, Payload};
use rustix::buffer::spare_capacity;
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, IoSlice, Write};
use std::os::fd::{AsFd, BorrowedFd};

/// The largest packet with its headers: a train of 64 KiB behind Ethernet and virtio-net headers.
const READ_MAX: usize = 65_536 + 256;

/// Packets shorter than this are copied out of the buffer; longer ones take the buffer with them. Below it a copy is
/// cheaper than a new buffer, and does not pin one.
const COPY_BELOW: usize = 16 * 1024;

/// Slices that one write gathers; a packet of more pieces is joined first. Far below the kernel's limit of 1024, since
/// the kernel allocates for more than 8.
const SLICES_MAX: usize = 32;

/// Segments of one train that wait because the device was full in the middle of it.
type Backlog = VecDeque<Frame>;

/// A descriptor that reads and writes frames behind virtio-net headers.
#[derive(Debug)]
pub(crate) struct Device {
    file: File,
    medium: Medium,
    /// Which trains the kernel cuts.
    tcp_trains: bool,
    udp_trains: bool,
    buffer: Vec<u8>,
    backlog: Backlog,
    counters: DeviceCounters,
}

/// What a device did not carry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeviceCounters {
    /// Received, but not a frame: a broken virtio-net header.
    pub malformed: u64,
    /// Sent, but refused by the kernel: the interface is down, or the packet is longer than its MTU.
    pub refused: u64,
    /// Reads that failed other than for want of packets: the interface is down or gone.
    pub read_failures: u64,
}

impl Device {
    pub(crate) fn new(file: File, medium: Medium, tcp_trains: bool, udp_trains: bool) -> Self {
        let counters = DeviceCounters::default();
        Self {
            file,
            medium,
            tcp_trains,
            udp_trains,
            buffer: Vec::new(),
            backlog: Backlog::new(),
            counters,
        }
    }

    pub(crate) const fn medium(&self) -> Medium {
        self.medium
    }

    pub(crate) const fn counters(&self) -> DeviceCounters {
        self.counters
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    pub(crate) fn send(&mut self, _now: Instant, frame: Frame) -> Result<(), Frame> {
        self.drain();
        if !self.backlog.is_empty() {
            return Err(frame);
        }
        if virtio::needs_cutting(frame.offload, self.tcp_trains, self.udp_trains) {
            self.backlog.extend(frame.segments(self.medium));
            self.drain();
            return Ok(());
        }
        if self.write(&frame) { Ok(()) } else { Err(frame) }
    }

    /// Writes what was left of a train.
    pub(crate) fn drain(&mut self) {
        while let Some(frame) = self.backlog.pop_front() {
            if !self.write(&frame) {
                self.backlog.push_front(frame);
                return;
            }
        }
    }

    /// Writes one frame; false if there is no room. What the kernel refuses is lost, as on any link, and counted: so is
    /// what does not fit into an interface's queue (`ENOBUFS`), since nothing tells when there is room again.
    fn write(&mut self, frame: &Frame) -> bool {
        let header = virtio::header(frame);
        let mut slices = [IoSlice::new(&[]); SLICES_MAX];
        let pieces = frame.body().piece_count();
        let joined = if pieces + 2 > SLICES_MAX {
            frame.to_vec()
        } else {
            Vec::new()
        };
        let mut count = 0;
        let parts = frame.slices().filter(|_| joined.is_empty()).chain([&joined[..]]);
        for (slot, part) in slices.iter_mut().zip([&header[..]].into_iter().chain(parts)) {
            *slot = IoSlice::new(part);
            count += 1;
        }
        loop {
            match self.file.write_vectored(&slices[..count]) {
                Ok(_) => return true,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
                Err(_) => {
                    self.counters.refused += 1;
                    return true;
                }
            }
        }
    }

    pub(crate) fn receive(&mut self, _now: Instant) -> Option<Frame> {
        loop {
            self.buffer.clear();
            self.buffer.reserve_exact(READ_MAX);
            match rustix::io::read(&self.file, spare_capacity(&mut self.buffer)) {
                Ok(0) | Err(rustix::io::Errno::AGAIN) => return None,
                Ok(_) => {}
                Err(rustix::io::Errno::INTR) => continue,
                Err(_) => {
                    self.counters.read_failures += 1;
                    return None;
                }
            }
            let octets = if self.buffer.len() < COPY_BELOW {
                Payload::copy_from(&self.buffer)
            } else {
                Payload::from(core::mem::take(&mut self.buffer))
            };
            match virtio::frame(self.medium, octets) {
                Ok(frame) => return Some(frame),
                Err(virtio::Malformed::Truncated | virtio::Malformed::Gso | virtio::Malformed::Checksum) => {
                    self.counters.malformed += 1;
                }
            }
        }
    }
}
