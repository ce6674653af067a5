//! Extension headers and the fragment header (RFC 8200 §4): the way from the fixed header to the upper layer.

use super::HEADER_LEN;
use crate::octets::{array, u8_at, u16_at, u32_at};
use crate::{Emit, protocol};

/// A sender has no use for more extension headers than this, an attacker has (RFC 9098 §7); what comes after is
/// not looked for.
pub const EXTENSIONS_MAX: usize = 8;

/// Octets of a fragment header.
pub const FRAGMENT_HEADER_LEN: usize = 8;

/// The option that asks every router to look at the packet (RFC 2711).
pub const OPTION_ROUTER_ALERT: u8 = 5;
/// One octet of padding.
pub const OPTION_PAD1: u8 = 0;
/// Two or more octets of padding.
pub const OPTION_PADN: u8 = 1;

/// The hop-by-hop header with a router alert as MLD sends it, its next header being ICMPv6 (RFC 3810 §5).
pub const MLD_HOP_BY_HOP: [u8; 8] = [protocol::ICMPV6, 0, OPTION_ROUTER_ALERT, 2, 0, 0, OPTION_PADN, 0];

/// Where the upper layer of a packet is, and what was on the way. All places count from the fixed header's start, as
/// the pointer of an ICMPv6 parameter problem does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chain {
    /// The first protocol that is not an extension header (see [`protocol`]).
    pub upper: u8,
    /// Where its header begins. In a fragment other than the first this is where the fragment's data begins.
    pub upper_at: usize,
    /// Where the next-header field that names it is.
    pub next_header_at: usize,
    /// The fragment header, and where it is.
    pub fragment: Option<(usize, FragmentHeader)>,
    /// The value of the hop-by-hop router alert option (zero for MLD).
    pub router_alert: Option<u16>,
}

/// Why there is no way to the upper layer, and how the sender is to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ExtensionProblem {
    /// The packet ends within a header. A first fragment that does is discarded too (RFC 7112 §5).
    Truncated,
    /// More than [`EXTENSIONS_MAX`] headers.
    TooMany,
    /// Hop-by-hop options that do not come first: parameter problem, code 1 (RFC 8200 §4.1).
    HopByHopNotFirst {
        /// The next-header field that names them.
        pointer: u32,
    },
    /// A routing header with hops left, which hosts do not follow: parameter problem, code 0 (RFC 8200 §4.4, RFC 5095).
    RoutingType {
        /// The routing type field.
        pointer: u32,
    },
    /// A second fragment header.
    NestedFragment,
    /// An option that may not be skipped: silent discard, or parameter problem code 2 (RFC 8200 §4.2).
    UnknownOption {
        /// The option's type field.
        pointer: u32,
        /// Whether the sender is to be told.
        report: Report,
    },
}

/// Whether the sender of an option that nobody knows is told of it: the top bits of the option's type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Report {
    /// Never.
    Never,
    /// Unless the packet was sent to a multicast address.
    IfUnicast,
    /// Always.
    Always,
}

/// Walks from the fixed header at the front of `packet` to the upper layer. The fixed header has been checked.
pub fn walk(packet: &[u8]) -> Result<Chain, ExtensionProblem> {
    let mut chain = Chain {
        upper: u8_at(packet, 6),
        upper_at: HEADER_LEN,
        next_header_at: 6,
        fragment: None,
        router_alert: None,
    };
    for _ in 0..EXTENSIONS_MAX {
        let at = chain.upper_at;
        let len = match chain.upper {
            protocol::HOP_BY_HOP if at != HEADER_LEN => {
                return Err(ExtensionProblem::HopByHopNotFirst {
                    pointer: chain.next_header_at as u32,
                });
            }
            protocol::HOP_BY_HOP | protocol::IPV6_DESTINATION => {
                let len = extension_len(packet, at)?;
                check_options(packet, at, len, &mut chain.router_alert)?;
                len
            }
            protocol::IPV6_ROUTING => {
                let len = extension_len(packet, at)?;
                if u8_at(packet, at + 3) != 0 {
                    return Err(ExtensionProblem::RoutingType { pointer: at as u32 + 2 });
                }
                len
            }
            protocol::IPV6_FRAGMENT if chain.fragment.is_some() => return Err(ExtensionProblem::NestedFragment),
            protocol::IPV6_FRAGMENT => {
                let header = FragmentHeader::parse(packet.get(at..).unwrap_or(&[]));
                let header = header.ok_or(ExtensionProblem::Truncated)?;
                chain.fragment = Some((at, header));
                FRAGMENT_HEADER_LEN
            }
            _ => return Ok(chain),
        };
        chain.next_header_at = at;
        chain.upper = u8_at(packet, at);
        chain.upper_at = at + len;
        // What follows is the middle of the original packet, not a header.
        if chain.fragment.is_some_and(|(_, fragment)| fragment.offset != 0) {
            return Ok(chain);
        }
    }
    if is_extension(chain.upper) {
        Err(ExtensionProblem::TooMany)
    } else {
        Ok(chain)
    }
}

/// Whether a next-header value is one of the headers that [`walk`] steps over.
pub const fn is_extension(next_header: u8) -> bool {
    matches!(
        next_header,
        protocol::HOP_BY_HOP | protocol::IPV6_ROUTING | protocol::IPV6_FRAGMENT | protocol::IPV6_DESTINATION
    )
}

/// Octets of the extension header at `at`, all of which are there.
fn extension_len(packet: &[u8], at: usize) -> Result<usize, ExtensionProblem> {
    let [_, units] = array(packet, at).ok_or(ExtensionProblem::Truncated)?;
    let len = (usize::from(units) + 1) * 8;
    if packet.len() < at + len {
        Err(ExtensionProblem::Truncated)
    } else {
        Ok(len)
    }
}

/// Looks through the options of the header at `at` for one that may not be skipped.
fn check_options(packet: &[u8], at: usize, len: usize, alert: &mut Option<u16>) -> Result<(), ExtensionProblem> {
    let end = at + len;
    let mut option_at = at + 2;
    while option_at < end {
        let kind = u8_at(packet, option_at);
        if kind == OPTION_PAD1 {
            option_at += 1;
            continue;
        }
        let next = option_at + 2 + usize::from(u8_at(packet, option_at + 1));
        if next > end {
            return Err(ExtensionProblem::Truncated);
        }
        match kind {
            OPTION_PADN => {}
            OPTION_ROUTER_ALERT if next - option_at == 4 => *alert = Some(u16_at(packet, option_at + 2)),
            _ => check_unknown(kind, option_at)?,
        }
        option_at = next;
    }
    Ok(())
}

/// What an option that nobody knows asks for, by its top two bits (RFC 8200 §4.2).
fn check_unknown(kind: u8, at: usize) -> Result<(), ExtensionProblem> {
    let report = match kind >> 6 {
        0 => return Ok(()),
        1 => Report::Never,
        2 => Report::Always,
        _ => Report::IfUnicast,
    };
    Err(ExtensionProblem::UnknownOption {
        pointer: at as u32,
        report,
    })
}

/// The fragment header (RFC 8200 §4.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FragmentHeader {
    /// What the original packet's fragmentable part begins with.
    pub next_header: u8,
    /// Where in the fragmentable part this fragment's data begins, in octets: a multiple of eight.
    pub offset: u16,
    /// Fragments with higher offsets follow.
    pub more_fragments: bool,
    /// Tells the fragments of one packet from those of another.
    pub identification: u32,
}

impl FragmentHeader {
    /// Reads the header at the front of `octets`.
    pub fn parse(octets: &[u8]) -> Option<Self> {
        let octets = octets.get(..FRAGMENT_HEADER_LEN)?;
        let field = u16_at(octets, 2);
        Some(Self {
            next_header: u8_at(octets, 0),
            offset: field & 0xfff8,
            more_fragments: field & 1 != 0,
            identification: u32_at(octets, 4),
        })
    }

    /// Whether the "fragment" is the whole packet (RFC 6946): not to be kept waiting for others.
    pub const fn is_atomic(&self) -> bool {
        self.offset == 0 && !self.more_fragments
    }
}

impl Emit for FragmentHeader {
    fn emit_len(&self) -> usize {
        FRAGMENT_HEADER_LEN
    }

    fn emit(&self, out: &mut [u8]) {
        let Self {
            next_header,
            offset,
            more_fragments,
            identification,
        } = *self;
        out[0] = next_header;
        out[1] = 0;
        out[2..4].copy_from_slice(&(offset & 0xfff8 | more_fragments as u16).to_be_bytes());
        out[4..8].copy_from_slice(&identification.to_be_bytes());
    }
}
