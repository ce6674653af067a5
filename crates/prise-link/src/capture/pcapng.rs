//! The blocks of a pcapng file (draft-ietf-opsawg-pcapng): section header, interfaces, enhanced packets.

use crate::tap::Direction;
use prise_wire::time::Instant;
use prise_wire::{Frame, Medium};
use std::time::{SystemTime, UNIX_EPOCH};

mod block {
    pub(super) const SECTION_HEADER: u32 = 0x0a0d_0d0a;
    pub(super) const INTERFACE: u32 = 1;
    pub(super) const ENHANCED_PACKET: u32 = 6;
}

mod option {
    pub(super) const END: u16 = 0;
    pub(super) const SHB_OS: u16 = 3;
    pub(super) const SHB_APPLICATION: u16 = 4;
    pub(super) const IF_NAME: u16 = 2;
    pub(super) const IF_TIMESTAMP_RESOLUTION: u16 = 9;
    pub(super) const EPB_FLAGS: u16 = 2;
}

/// Written in the byte order of the machine, which readers detect by it.
const BYTE_ORDER_MAGIC: u32 = 0x1a2b_3c4d;

/// LINKTYPE_ETHERNET.
const LINK_TYPE_ETHERNET: u16 = 1;
/// LINKTYPE_RAW: IPv4 or IPv6, told apart by the version.
const LINK_TYPE_RAW: u16 = 101;

/// What the wall says when the stack's clock says something.
#[derive(Clone, Copy, Debug)]
pub struct WallClock {
    /// Nanoseconds of the Unix epoch at the stack's origin; negative if the origin is before the epoch.
    origin: i128,
}

impl WallClock {
    /// The wall says `wall` at `now`.
    pub fn new(now: Instant, wall: SystemTime) -> Self {
        let since_epoch = match wall.duration_since(UNIX_EPOCH) {
            Ok(after) => after.as_nanos().cast_signed(),
            Err(before) => -before.duration().as_nanos().cast_signed(),
        };
        Self {
            origin: since_epoch - i128::from(now.as_nanos()),
        }
    }

    /// Nanoseconds since the Unix epoch, none before it.
    pub(super) fn nanos(&self, now: Instant) -> u64 {
        u64::try_from(self.origin + i128::from(now.as_nanos())).unwrap_or(0)
    }
}

/// Blocks that have yet to be written.
#[derive(Debug)]
pub(super) struct Writer {
    pub(super) buffer: Vec<u8>,
    interfaces: u32,
}

impl Writer {
    pub(super) const fn new() -> Self {
        Self {
            buffer: Vec::new(),
            interfaces: 0,
        }
    }

    fn u16(&mut self, value: u16) {
        self.buffer.extend_from_slice(&value.to_ne_bytes());
    }

    fn u32(&mut self, value: u32) {
        self.buffer.extend_from_slice(&value.to_ne_bytes());
    }

    /// Fills up to a multiple of four octets from `start` on.
    fn pad(&mut self, start: usize) {
        let len = self.buffer.len() - start;
        self.buffer.resize(start + len.next_multiple_of(4), 0);
    }

    fn option(&mut self, code: u16, value: &[u8]) {
        // Names are cut rather than the file broken.
        let value = &value[..value.len().min(usize::from(u16::MAX))];
        self.u16(code);
        self.u16(value.len() as u16);
        let start = self.buffer.len();
        self.buffer.extend_from_slice(value);
        self.pad(start);
    }

    /// A block around what `content` writes.
    fn block(&mut self, kind: u32, content: impl FnOnce(&mut Self)) {
        let start = self.buffer.len();
        self.u32(kind);
        self.u32(0);
        content(self);
        let len = (self.buffer.len() - start + 4) as u32;
        self.u32(len);
        self.buffer[start + 4..start + 8].copy_from_slice(&len.to_ne_bytes());
    }

    pub(super) fn section_header(&mut self) {
        self.block(block::SECTION_HEADER, |out| {
            out.u32(BYTE_ORDER_MAGIC);
            out.u16(1);
            out.u16(0);
            // The section's length is not known yet.
            out.buffer.extend_from_slice(&(-1i64).to_ne_bytes());
            out.option(option::SHB_OS, std::env::consts::OS.as_bytes());
            out.option(
                option::SHB_APPLICATION,
                concat!("prise ", env!("CARGO_PKG_VERSION")).as_bytes(),
            );
            out.option(option::END, &[]);
        });
    }

    /// Adds an interface and returns its number.
    pub(super) fn interface(&mut self, name: &str, medium: Medium) -> u32 {
        self.block(block::INTERFACE, |out| {
            out.u16(match medium {
                Medium::Ethernet => LINK_TYPE_ETHERNET,
                Medium::Ip => LINK_TYPE_RAW,
            });
            out.u16(0);
            // No limit to the length of packets.
            out.u32(0);
            out.option(option::IF_NAME, name.as_bytes());
            // Nanoseconds: ten to the minus ninth.
            out.option(option::IF_TIMESTAMP_RESOLUTION, &[9]);
            out.option(option::END, &[]);
        });
        self.interfaces += 1;
        self.interfaces - 1
    }

    pub(super) fn packet(&mut self, interface: u32, nanos: u64, direction: Direction, packet: &Frame) {
        self.block(block::ENHANCED_PACKET, |out| {
            out.u32(interface);
            out.u32((nanos >> 32) as u32);
            out.u32(nanos as u32);
            let len = packet.total_len() as u32;
            out.u32(len);
            out.u32(len);
            let start = out.buffer.len();
            packet.slices().for_each(|slice| out.buffer.extend_from_slice(slice));
            out.pad(start);
            let flags: u32 = match direction {
                Direction::Inbound => 1,
                Direction::Outbound => 2,
            };
            out.option(option::EPB_FLAGS, &flags.to_ne_bytes());
            out.option(option::END, &[]);
        });
    }
}
