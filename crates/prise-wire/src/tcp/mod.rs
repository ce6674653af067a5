//! The Transmission Control Protocol's segments (RFC 9293 §3.1).

mod flags;
mod options;
mod sack;

use crate::octets::{from, u8_at, u16_at, u32_at};
use crate::{Emit, SeqNum, checksum};
pub use flags::TcpFlags;
pub use options::{
    AccEcn, AccEcnOrder, FastOpenCookie, TcpOptions, Timestamps, UserTimeout, acc_ecn_size, option_kind,
};
pub use sack::{SackBlock, SackBlocks};

/// Octets of a header without options.
pub const HEADER_LEN: usize = 20;

/// Octets of a header with as many options as fit.
pub const HEADER_MAX: usize = 60;

/// Octets of options that fit into a header.
pub const OPTIONS_MAX: usize = HEADER_MAX - HEADER_LEN;

/// Where the checksum field stands in the header.
pub const CHECKSUM_OFFSET: u16 = 16;

/// Why octets are not a TCP segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MalformedTcp {
    /// Fewer octets than a header, or than the data offset says.
    Truncated,
    /// The data offset is less than a header.
    DataOffset,
}

/// A whole TCP segment whose data offset has been checked; the checksum has not.
#[derive(Clone, Copy, Debug)]
pub struct TcpSegment<'a> {
    octets: &'a [u8],
}

impl<'a> TcpSegment<'a> {
    /// Checks that the header and its options are all there.
    pub fn parse(octets: &'a [u8]) -> Result<Self, MalformedTcp> {
        if octets.len() < HEADER_LEN {
            return Err(MalformedTcp::Truncated);
        }
        let view = Self { octets };
        if view.header_len() < HEADER_LEN {
            return Err(MalformedTcp::DataOffset);
        }
        if octets.len() < view.header_len() {
            return Err(MalformedTcp::Truncated);
        }
        Ok(view)
    }

    /// The sender's port.
    pub fn source_port(&self) -> u16 {
        u16_at(self.octets, 0)
    }

    /// The receiver's port.
    pub fn destination_port(&self) -> u16 {
        u16_at(self.octets, 2)
    }

    /// SEG.SEQ.
    pub fn seq(&self) -> SeqNum {
        SeqNum(u32_at(self.octets, 4))
    }

    /// SEG.ACK, if the ACK bit is set.
    pub fn ack(&self) -> Option<SeqNum> {
        self.flags()
            .contains(TcpFlags::ACK)
            .then(|| SeqNum(u32_at(self.octets, 8)))
    }

    /// Octets of header and options: where the payload begins.
    pub fn header_len(&self) -> usize {
        usize::from(u8_at(self.octets, 12) >> 4) * 4
    }

    /// The control bits.
    pub fn flags(&self) -> TcpFlags {
        TcpFlags::from_bits(u16_at(self.octets, 12))
    }

    /// The window field, not scaled.
    pub fn window(&self) -> u16 {
        u16_at(self.octets, 14)
    }

    /// The checksum field.
    pub fn checksum(&self) -> u16 {
        u16_at(self.octets, 16)
    }

    /// The urgent pointer.
    pub fn urgent(&self) -> u16 {
        u16_at(self.octets, 18)
    }

    /// The octets of the options.
    pub fn options(&self) -> &'a [u8] {
        self.octets.get(HEADER_LEN..self.header_len()).unwrap_or(&[])
    }

    /// The segment's payload.
    pub fn payload(&self) -> &'a [u8] {
        from(self.octets, self.header_len())
    }

    /// Whether the checksum holds, given the sum of the pseudo-header.
    pub fn is_checksum_valid(&self, pseudo_header: u16) -> bool {
        checksum::is_valid(checksum::combine(pseudo_header, checksum::sum(self.octets)))
    }

    /// All fields and options.
    pub fn header(&self) -> TcpHeader {
        TcpHeader {
            source_port: self.source_port(),
            destination_port: self.destination_port(),
            seq: self.seq(),
            ack: self.ack(),
            flags: self.flags(),
            window: self.window(),
            checksum: self.checksum(),
            urgent: self.urgent(),
            options: TcpOptions::parse(self.options()),
        }
    }
}

/// The fields and options of a TCP header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct TcpHeader {
    /// The sender's port.
    pub source_port: u16,
    /// The receiver's port.
    pub destination_port: u16,
    /// SEG.SEQ.
    pub seq: SeqNum,
    /// SEG.ACK; the ACK bit is sent if, and only if, this is set.
    pub ack: Option<SeqNum>,
    /// The control bits. A parsed header has ACK here too; an emitted one takes it from `ack` alone.
    pub flags: TcpFlags,
    /// The window field, not scaled.
    pub window: u16,
    /// As on the wire.
    pub checksum: u16,
    /// The urgent pointer; meaningful with URG only.
    pub urgent: u16,
    /// The options that prise knows.
    pub options: TcpOptions,
}

impl TcpHeader {
    /// Reads the header at the front of `octets`, and says how long it is.
    pub fn parse(octets: &[u8]) -> Result<(Self, usize), MalformedTcp> {
        let view = TcpSegment::parse(octets)?;
        Ok((view.header(), view.header_len()))
    }

    /// Octets of header and options when emitted.
    pub fn header_len(&self) -> usize {
        HEADER_LEN + self.options.emit_len()
    }
}

impl Emit for TcpHeader {
    fn emit_len(&self) -> usize {
        self.header_len()
    }

    fn emit(&self, out: &mut [u8]) {
        let Self {
            source_port,
            destination_port,
            seq,
            ack,
            flags,
            window,
            checksum,
            urgent,
            options,
        } = self;
        let header_len = self.header_len();
        let flags = match ack {
            Some(_) => *flags | TcpFlags::ACK,
            None => flags.without(TcpFlags::ACK),
        };
        out[0..2].copy_from_slice(&source_port.to_be_bytes());
        out[2..4].copy_from_slice(&destination_port.to_be_bytes());
        out[4..8].copy_from_slice(&seq.0.to_be_bytes());
        out[8..12].copy_from_slice(&ack.map_or(0, |ack| ack.0).to_be_bytes());
        out[12..14].copy_from_slice(&((header_len as u16 / 4) << 12 | flags.bits()).to_be_bytes());
        out[14..16].copy_from_slice(&window.to_be_bytes());
        out[16..18].copy_from_slice(&checksum.to_be_bytes());
        out[18..20].copy_from_slice(&urgent.to_be_bytes());
        options.emit(&mut out[HEADER_LEN..header_len]);
    }
}
