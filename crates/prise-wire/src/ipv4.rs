//! The Internet Protocol, version 4 (RFC 791).

use crate::octets::{from, ipv4_at, u8_at, u16_at};
use crate::{Emit, checksum};
use core::fmt;
use core::net::Ipv4Addr;

/// Octets of a header without options.
pub const HEADER_LEN: usize = 20;

/// Octets of a header with as many options as fit.
pub const HEADER_MAX: usize = 60;

/// Octets of options that fit into a header.
pub const OPTIONS_MAX: usize = HEADER_MAX - HEADER_LEN;

/// The smallest MTU of a link that carries IPv4 (RFC 791 §3.2).
pub const MTU_MIN: usize = 68;

const DONT_FRAGMENT: u16 = 0x4000;
const MORE_FRAGMENTS: u16 = 0x2000;
const OFFSET_MASK: u16 = 0x1fff;

/// Why octets are not an IPv4 packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MalformedIpv4 {
    /// Fewer octets than the header says it has, or than a header has.
    Truncated,
    /// The version is not 4.
    Version,
    /// The header length is less than 20 octets.
    HeaderLength,
    /// The total length is less than the header.
    TotalLength,
    /// The total length is more than there is.
    PayloadTruncated,
}

/// A whole IPv4 packet whose lengths have been checked; the header checksum has not.
#[derive(Clone, Copy, Debug)]
pub struct Ipv4Packet<'a> {
    octets: &'a [u8],
}

impl<'a> Ipv4Packet<'a> {
    /// Checks the header and cuts the packet to its total length: what follows is link padding.
    pub fn parse(octets: &'a [u8]) -> Result<Self, MalformedIpv4> {
        check_header(octets)?;
        let total_len = usize::from(u16_at(octets, 2));
        octets
            .get(..total_len)
            .map(|octets| Self { octets })
            .ok_or(MalformedIpv4::PayloadTruncated)
    }

    /// The header's fields.
    pub fn header(&self) -> Ipv4Header {
        Ipv4Header::read(self.octets)
    }

    /// Octets of the header.
    pub fn header_len(&self) -> usize {
        header_len(self.octets)
    }

    /// What the packet carries.
    pub fn payload(&self) -> &'a [u8] {
        from(self.octets, self.header_len())
    }
}

/// Octets of the header that begins `octets`.
fn header_len(octets: &[u8]) -> usize {
    usize::from(u8_at(octets, 0) & 0x0f) * 4
}

/// Checks all of a header that does not depend on the payload, except the checksum.
fn check_header(octets: &[u8]) -> Result<(), MalformedIpv4> {
    if octets.len() < HEADER_LEN {
        return Err(MalformedIpv4::Truncated);
    }
    if octets[0] >> 4 != 4 {
        return Err(MalformedIpv4::Version);
    }
    let header_len = header_len(octets);
    if header_len < HEADER_LEN {
        return Err(MalformedIpv4::HeaderLength);
    }
    if octets.len() < header_len {
        return Err(MalformedIpv4::Truncated);
    }
    if usize::from(u16_at(octets, 2)) < header_len {
        return Err(MalformedIpv4::TotalLength);
    }
    Ok(())
}

/// The fields of an IPv4 header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ipv4Header {
    /// The sender.
    pub source: Ipv4Addr,
    /// The receiver.
    pub destination: Ipv4Addr,
    /// What the packet carries (see [`protocol`](crate::protocol)).
    pub protocol: u8,
    /// Time to live, in hops.
    pub hop_limit: u8,
    /// The former type of service: six bits of DSCP, two of ECN (RFC 2474, RFC 3168).
    pub tos: u8,
    /// Tells the fragments of one packet from those of another.
    pub identification: u16,
    /// Routers must not fragment.
    pub dont_fragment: bool,
    /// Fragments with higher offsets follow.
    pub more_fragments: bool,
    /// Where in the original payload this fragment's begins, in octets: a multiple of eight.
    pub fragment_offset: u16,
    /// Octets of header and payload.
    pub total_len: u16,
    /// Options, as on the wire, without their padding's meaning being looked at.
    pub options: Ipv4Options,
}

impl Ipv4Header {
    /// A header without options or fragmentation for `payload_len` octets (at most 65,515, else the length saturates).
    pub fn new(source: Ipv4Addr, destination: Ipv4Addr, protocol: u8, payload_len: usize) -> Self {
        Self {
            source,
            destination,
            protocol,
            hop_limit: 64,
            tos: 0,
            identification: 0,
            dont_fragment: false,
            more_fragments: false,
            fragment_offset: 0,
            total_len: u16::try_from(payload_len + HEADER_LEN).unwrap_or(u16::MAX),
            options: Ipv4Options::default(),
        }
    }

    /// Reads and checks the header at the front of `octets`, which need not hold the payload: whether the total length
    /// fits what arrived is the caller's to check, and so is [`is_checksum_valid`].
    pub fn parse(octets: &[u8]) -> Result<Self, MalformedIpv4> {
        check_header(octets)?;
        Ok(Self::read(octets))
    }

    /// Reads a header that has been checked.
    fn read(octets: &[u8]) -> Self {
        let fragmentation = u16_at(octets, 6);
        Self {
            source: ipv4_at(octets, 12),
            destination: ipv4_at(octets, 16),
            protocol: u8_at(octets, 9),
            hop_limit: u8_at(octets, 8),
            tos: u8_at(octets, 1),
            identification: u16_at(octets, 4),
            dont_fragment: fragmentation & DONT_FRAGMENT != 0,
            more_fragments: fragmentation & MORE_FRAGMENTS != 0,
            fragment_offset: (fragmentation & OFFSET_MASK) * 8,
            total_len: u16_at(octets, 2),
            options: Ipv4Options::copy_from(octets.get(HEADER_LEN..header_len(octets)).unwrap_or(&[])),
        }
    }

    /// Octets of the header.
    pub fn header_len(&self) -> usize {
        HEADER_LEN + self.options.padded_len()
    }

    /// Octets of the payload.
    pub fn payload_len(&self) -> usize {
        usize::from(self.total_len).saturating_sub(self.header_len())
    }

    /// Whether this packet is a fragment of a larger one.
    pub const fn is_fragment(&self) -> bool {
        self.more_fragments || self.fragment_offset != 0
    }
}

/// Whether the checksum of the header at the front of `octets` holds.
pub fn is_checksum_valid(octets: &[u8]) -> bool {
    octets
        .get(..header_len(octets))
        .is_some_and(|header| checksum::is_valid(checksum::sum(header)))
}

impl Emit for Ipv4Header {
    fn emit_len(&self) -> usize {
        self.header_len()
    }

    /// Writes the header with its checksum.
    fn emit(&self, out: &mut [u8]) {
        let header_len = self.header_len();
        let out = &mut out[..header_len];
        out[0] = 0x40 | (header_len / 4) as u8;
        out[1] = self.tos;
        out[2..4].copy_from_slice(&self.total_len.to_be_bytes());
        out[4..6].copy_from_slice(&self.identification.to_be_bytes());
        let mut fragmentation = (self.fragment_offset / 8) & OFFSET_MASK;
        if self.dont_fragment {
            fragmentation |= DONT_FRAGMENT;
        }
        if self.more_fragments {
            fragmentation |= MORE_FRAGMENTS;
        }
        out[6..8].copy_from_slice(&fragmentation.to_be_bytes());
        out[8] = self.hop_limit;
        out[9] = self.protocol;
        out[10..12].fill(0);
        out[12..16].copy_from_slice(&self.source.octets());
        out[16..20].copy_from_slice(&self.destination.octets());
        out[HEADER_LEN..].fill(0);
        out[HEADER_LEN..HEADER_LEN + self.options.len()].copy_from_slice(&self.options);
        let checksum = checksum::finish(checksum::sum(out));
        out[10..12].copy_from_slice(&checksum.to_be_bytes());
    }
}

/// The octets of a header's options, inline.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ipv4Options {
    octets: [u8; OPTIONS_MAX],
    len: u8,
}

impl Ipv4Options {
    /// None.
    pub const NONE: Self = Self {
        octets: [0; OPTIONS_MAX],
        len: 0,
    };

    /// The first octets of `octets`, at most [`OPTIONS_MAX`] of them.
    pub fn copy_from(octets: &[u8]) -> Self {
        let len = octets.len().min(OPTIONS_MAX);
        let mut options = Self {
            octets: [0; OPTIONS_MAX],
            len: len as u8,
        };
        options.octets[..len].copy_from_slice(&octets[..len]);
        options
    }

    /// The same, filled up to whole words with ends of the list, of which there are no more than ends behind the first.
    pub fn padded(octets: &[u8]) -> Self {
        let mut options = Self::copy_from(octets);
        options.len = options.padded_len() as u8;
        let mut at = 0;
        while let Some(&kind) = options.get(at) {
            match (kind, options.get(at + 1)) {
                (OPTION_END, _) => {
                    options.octets[at..].fill(OPTION_END);
                    break;
                }
                (OPTION_NOP, _) => at += 1,
                (_, Some(&len)) if len >= 2 => at += usize::from(len),
                _ => break,
            }
        }
        options
    }

    /// Octets that these options take in a header: a multiple of four.
    pub const fn padded_len(&self) -> usize {
        (self.len as usize).next_multiple_of(4)
    }

    /// The options one by one. The iterator ends at the end-of-list option or where an option's length is wrong.
    pub fn iter(&self) -> impl Iterator<Item = Ipv4Option<'_>> {
        let mut rest: &[u8] = self;
        core::iter::from_fn(move || {
            while let [OPTION_NOP, after @ ..] = rest {
                rest = after;
            }
            let (&kind, &len) = (rest.first()?, rest.get(1)?);
            let len = usize::from(len);
            if kind == OPTION_END || len < 2 {
                return None;
            }
            let data = rest.get(2..len)?;
            rest = &rest[len..];
            Some(Ipv4Option { kind, data })
        })
    }

    /// Writes an address into the next free place of a route that is recorded (RFC 791 §3.1).
    pub fn record_route(&mut self, address: Ipv4Addr) {
        let mut at = 0;
        while let Some(&kind) = self.get(at) {
            if kind == OPTION_NOP {
                at += 1;
                continue;
            }
            let Some(&len) = self.get(at + 1).filter(|len| kind != OPTION_END && **len >= 2) else {
                return;
            };
            let end = at + usize::from(len);
            if kind == OPTION_RECORD_ROUTE
                && let Some(&pointer) = self.get(at + 2)
                && (ROUTE_POINTER_MIN..=len).contains(&pointer)
            {
                let place = at + usize::from(pointer) - 1;
                if place + 4 <= end && end <= self.len() {
                    self.octets[place..place + 4].copy_from_slice(&address.octets());
                    self.octets[at + 2] = pointer + 4;
                }
            }
            at = end;
        }
    }

    /// What to answer with to a packet that came with these: the route that was recorded. Linux's `ip_options_echo` has time stamps and
    /// labels (CIPSO), too: they are left out.
    #[must_use]
    pub fn echoed(&self) -> Self {
        let mut echoed = Self::NONE;
        for option in self.iter().filter(|option| option.kind == OPTION_RECORD_ROUTE) {
            let (at, len) = (usize::from(echoed.len), option.data.len() + 2);
            // They came in one header: there is room for all.
            echoed.octets[at] = option.kind;
            echoed.octets[at + 1] = len as u8;
            echoed.octets[at + 2..at + len].copy_from_slice(option.data);
            echoed.len += len as u8;
        }
        echoed.len = echoed.padded_len() as u8;
        echoed
    }

    /// What fragments after the first carry: options without the copied flag are no operations there, so that all headers are as long
    /// (RFC 791 §3.1; Linux's `ip_options_fragment`).
    #[must_use]
    pub fn for_later_fragments(&self) -> Self {
        let mut later = *self;
        let mut at = 0;
        while let Some(&kind) = self.get(at) {
            let len = match (kind, self.get(at + 1)) {
                (OPTION_END, _) => break,
                (OPTION_NOP, _) => 1,
                (_, Some(&len)) if len >= 2 => usize::from(len),
                _ => break,
            };
            let end = (at + len).min(self.len());
            if kind & OPTION_COPIED == 0 {
                later.octets[at..end].fill(OPTION_NOP);
            }
            at = end;
        }
        later
    }

    /// Whether the packet asks to be routed by its source, which hosts do not honour (RFC 7126 §4.3, §4.4).
    pub fn has_source_route(&self) -> bool {
        self.iter()
            .any(|option| matches!(option.kind, OPTION_LOOSE_SOURCE_ROUTE | OPTION_STRICT_SOURCE_ROUTE))
    }
}

/// Where the first address of a recorded route lies, counted from 1.
pub const ROUTE_POINTER_MIN: u8 = 4;

/// Of an option's kind: every fragment carries it.
const OPTION_COPIED: u8 = 0x80;

/// End of the option list (RFC 791).
pub const OPTION_END: u8 = 0;
/// No operation (RFC 791).
pub const OPTION_NOP: u8 = 1;
/// Record route (RFC 791).
pub const OPTION_RECORD_ROUTE: u8 = 7;
/// Internet timestamp (RFC 791).
pub const OPTION_TIMESTAMP: u8 = 68;
/// Loose source and record route (RFC 791).
pub const OPTION_LOOSE_SOURCE_ROUTE: u8 = 131;
/// Strict source and record route (RFC 791).
pub const OPTION_STRICT_SOURCE_ROUTE: u8 = 137;
/// Router alert (RFC 2113).
pub const OPTION_ROUTER_ALERT: u8 = 148;

/// The router alert option as IGMP sends it (RFC 3376 §4).
pub const ROUTER_ALERT: [u8; 4] = [OPTION_ROUTER_ALERT, 4, 0, 0];

/// One option that has a length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ipv4Option<'a> {
    /// Copy flag, class and number in one octet.
    pub kind: u8,
    /// What follows kind and length.
    pub data: &'a [u8],
}

impl Default for Ipv4Options {
    fn default() -> Self {
        Self::NONE
    }
}

impl core::ops::Deref for Ipv4Options {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.octets[..usize::from(self.len)]
    }
}

impl fmt::Debug for Ipv4Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02x?}", &**self)
    }
}
