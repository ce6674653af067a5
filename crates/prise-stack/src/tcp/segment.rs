//! A segment as it arrived: header, options and payload by reference.

use alloc::sync::Arc;
use core::num::NonZeroU16;

use prise_wire::{Body, Instant, Ipv4Options, SackBlock, SeqNum, TcpFlags, TcpHeader, TcpOptions};

/// The ECN field in the type of service or traffic class (RFC 3168 §5).
const ECN_MASK: u8 = 3;
pub(crate) const ECN_CE: u8 = 3;
/// ECT(0): what an ECN-capable sender sets.
pub(crate) const ECN_ECT0: u8 = 2;

/// One arriving segment. Coalescing links deliver units of up to 64 KiB: one segment with several segments' data.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) seq: SeqNum,
    pub(crate) ack: Option<SeqNum>,
    pub(crate) flags: TcpFlags,
    /// The window field, not scaled.
    pub(crate) window: u16,
    pub(crate) urgent: u16,
    pub(crate) options: TcpOptions,
    pub(crate) body: Body,
    pub(crate) at: Instant,
    /// The ECN field of the IP header (RFC 3168 §5).
    pub(crate) ecn: u8,
    /// Traffic class and flow label, as IPv6's header has them; 0 of IPv4.
    pub(crate) flow_info: u32,
    /// The hops that it had left.
    pub(crate) hop_limit: u8,
    /// What to answer the options of IPv4 with that it came with.
    pub(crate) ip_options: Option<Arc<Ipv4Options>>,
    /// The size of the segments that it consists of, where a link has coalesced them.
    pub(crate) unit: Option<NonZeroU16>,
}

impl Segment {
    pub(crate) fn new(header: &TcpHeader, body: Body, at: Instant, tos: u8) -> Self {
        Self {
            seq: header.seq,
            ack: header.ack,
            flags: header.flags,
            window: header.window,
            urgent: header.urgent,
            options: header.options,
            body,
            at,
            ecn: tos & ECN_MASK,
            flow_info: 0,
            hop_limit: u8::MAX,
            ip_options: None,
            unit: None,
        }
    }

    /// Moves the segment out, payload and all.
    pub(crate) fn take(&mut self) -> Self {
        Self {
            body: core::mem::take(&mut self.body),
            ip_options: self.ip_options.take(),
            ..*self
        }
    }

    /// `SEG.LEN`: octets of data, and one each for SYN and FIN.
    pub(crate) fn len(&self) -> u32 {
        self.data_len() + u32::from(self.flags.syn()) + u32::from(self.flags.fin())
    }

    /// Octets of data.
    pub(crate) fn data_len(&self) -> u32 {
        self.body.len() as u32
    }

    /// The peer's segment size, by this unit.
    pub(crate) fn unit_len(&self) -> u32 {
        self.unit
            .map_or(self.data_len(), |unit| self.data_len().min(unit.get().into()))
    }

    /// How many segments the peer sent it as.
    pub(crate) fn count(&self) -> u32 {
        self.unit
            .map_or(1, |unit| self.data_len().div_ceil(unit.get().into()).max(1))
    }

    /// The sequence number after the segment.
    pub(crate) fn end(&self) -> SeqNum {
        self.seq + self.len()
    }

    /// A block that lies in `(una, nxt]`, the only place where a selective acknowledgment makes sense.
    pub(crate) fn plausible(block: SackBlock, una: SeqNum, nxt: SeqNum) -> bool {
        block.left.precedes(block.right) && una.precedes_or_equals(block.left) && block.right.precedes_or_equals(nxt)
    }
}
