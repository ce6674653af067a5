//! Neighbor discovery for IPv6 (RFC 4861).

use crate::octets::{array, from, ipv6_at, u8_at, u16_at, u32_at};
use crate::{Emit, MacAddr};
use core::net::Ipv6Addr;

/// The hop limit of every valid message: it has not crossed a router (RFC 4861 §6.1, §7.1).
pub const HOP_LIMIT: u8 = 255;

/// ICMPv6 types.
pub mod kind {
    /// RFC 4861 §4.1.
    pub const ROUTER_SOLICITATION: u8 = 133;
    /// RFC 4861 §4.2.
    pub const ROUTER_ADVERTISEMENT: u8 = 134;
    /// RFC 4861 §4.3.
    pub const NEIGHBOR_SOLICITATION: u8 = 135;
    /// RFC 4861 §4.4.
    pub const NEIGHBOR_ADVERTISEMENT: u8 = 136;
    /// RFC 4861 §4.5.
    pub const REDIRECT: u8 = 137;
}

mod option_kind {
    pub(super) const SOURCE_LINK_ADDRESS: u8 = 1;
    pub(super) const TARGET_LINK_ADDRESS: u8 = 2;
    pub(super) const PREFIX: u8 = 3;
    pub(super) const REDIRECTED: u8 = 4;
    pub(super) const MTU: u8 = 5;
    pub(super) const RDNSS: u8 = 25;
}

/// Prefixes that are read from a router advertisement; more are not.
pub const PREFIXES_MAX: usize = 4;

/// Name servers that are read from a router advertisement; more are not.
pub const NAME_SERVERS_MAX: usize = 4;

/// A neighbor discovery message with the options that mean something in it; others are skipped (RFC 4861 §4.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NdpMessage<'a> {
    /// Routers, advertise yourselves.
    RouterSolicitation {
        /// The sender's link address.
        source_link: Option<MacAddr>,
    },
    /// A router and what it says of the link.
    RouterAdvertisement(RouterAdvertisement),
    /// Who has the target?
    NeighborSolicitation {
        /// The address asked for: never multicast.
        target: Ipv6Addr,
        /// The sender's link address; absent in duplicate address detection.
        source_link: Option<MacAddr>,
    },
    /// The sender has the target.
    NeighborAdvertisement(NeighborAdvertisement),
    /// There is a better first hop.
    Redirect {
        /// The better first hop; the destination itself if that is a neighbor.
        target: Ipv6Addr,
        /// For packets to this address.
        destination: Ipv6Addr,
        /// The target's link address.
        target_link: Option<MacAddr>,
        /// The front of the packet that caused this.
        redirected: &'a [u8],
    },
}

/// RFC 4861 §4.4.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NeighborAdvertisement {
    /// The sender is a router.
    pub router: bool,
    /// This answers a solicitation: reachability is confirmed.
    pub solicited: bool,
    /// Replace a link address that is already known.
    pub override_known: bool,
    /// The address that is advertised.
    pub target: Ipv6Addr,
    /// The sender's link address.
    pub target_link: Option<MacAddr>,
}

/// RFC 4861 §4.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct RouterAdvertisement {
    /// The hop limit to send with; zero says nothing.
    pub hop_limit: u8,
    /// Addresses are to be had by DHCPv6.
    pub managed: bool,
    /// Other configuration is to be had by DHCPv6.
    pub other: bool,
    /// Seconds for which the sender is a default router; zero if it is none.
    pub router_lifetime: u16,
    /// Milliseconds for which a neighbor stays reachable after confirmation; zero says nothing.
    pub reachable_time: u32,
    /// Milliseconds between solicitations; zero says nothing.
    pub retransmit_time: u32,
    /// The router's link address.
    pub source_link: Option<MacAddr>,
    /// The link's MTU.
    pub mtu: Option<u32>,
    /// Prefixes of the link, those present first.
    pub prefixes: [Option<PrefixInformation>; PREFIXES_MAX],
    /// Name servers (RFC 8106 §5.1), those present first.
    pub name_servers: [Option<NameServer>; NAME_SERVERS_MAX],
}

/// RFC 4861 §4.6.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PrefixInformation {
    /// The prefix; bits beyond its length are not cleared.
    pub prefix: Ipv6Addr,
    /// At most 128.
    pub prefix_len: u8,
    /// Addresses with this prefix are neighbors.
    pub on_link: bool,
    /// Addresses may be made from this prefix (RFC 4862).
    pub autonomous: bool,
    /// Seconds; all ones for ever.
    pub valid_lifetime: u32,
    /// Seconds; all ones for ever.
    pub preferred_lifetime: u32,
}

/// One address of a recursive DNS server option.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NameServer {
    /// The server.
    pub address: Ipv6Addr,
    /// Seconds; all ones for ever, zero to forget it.
    pub lifetime: u32,
}

/// Why an ICMPv6 message of a neighbor discovery type is not valid (RFC 4861 §6.1, §7.1, §8.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MalformedNdp {
    /// Not a type of this module.
    Kind,
    /// The code is not zero.
    Code,
    /// Fewer octets than the type needs, or an option goes beyond the end.
    Truncated,
    /// An option of length zero.
    OptionLength,
    /// The target is multicast.
    Target,
}

impl<'a> NdpMessage<'a> {
    /// Reads a whole ICMPv6 message. Its checksum, hop limit and addresses are the caller's to check.
    pub fn parse(octets: &'a [u8]) -> Result<Self, MalformedNdp> {
        let [kind, code] = array(octets, 0).ok_or(MalformedNdp::Truncated)?;
        let fixed_len = match kind {
            kind::ROUTER_SOLICITATION => 8,
            kind::ROUTER_ADVERTISEMENT => 16,
            kind::NEIGHBOR_SOLICITATION | kind::NEIGHBOR_ADVERTISEMENT => 24,
            kind::REDIRECT => 40,
            _ => return Err(MalformedNdp::Kind),
        };
        if code != 0 {
            return Err(MalformedNdp::Code);
        }
        if octets.len() < fixed_len {
            return Err(MalformedNdp::Truncated);
        }
        let options = Options::check(from(octets, fixed_len))?;
        let target = ipv6_at(octets, 8);
        if matches!(
            kind,
            kind::NEIGHBOR_SOLICITATION | kind::NEIGHBOR_ADVERTISEMENT | kind::REDIRECT
        ) && target.is_multicast()
        {
            return Err(MalformedNdp::Target);
        }
        Ok(match kind {
            kind::ROUTER_SOLICITATION => Self::RouterSolicitation {
                source_link: options.source_link(),
            },
            kind::ROUTER_ADVERTISEMENT => Self::RouterAdvertisement(RouterAdvertisement::read(octets, options)),
            kind::NEIGHBOR_SOLICITATION => Self::NeighborSolicitation {
                target,
                source_link: options.source_link(),
            },
            kind::NEIGHBOR_ADVERTISEMENT => Self::NeighborAdvertisement(NeighborAdvertisement {
                router: octets[4] & 0x80 != 0,
                solicited: octets[4] & 0x40 != 0,
                override_known: octets[4] & 0x20 != 0,
                target,
                target_link: options.target_link(),
            }),
            _ => Self::Redirect {
                target,
                destination: ipv6_at(octets, 24),
                target_link: options.target_link(),
                redirected: options
                    .find(option_kind::REDIRECTED)
                    .map_or(&[], |option| from(option, 8)),
            },
        })
    }
}

/// Options whose lengths have been checked.
#[derive(Clone, Copy)]
struct Options<'a>(&'a [u8]);

impl<'a> Options<'a> {
    fn check(octets: &'a [u8]) -> Result<Self, MalformedNdp> {
        let mut rest = octets;
        while !rest.is_empty() {
            let len = usize::from(u8_at(rest, 1)) * 8;
            if rest.len() >= 2 && len == 0 {
                return Err(MalformedNdp::OptionLength);
            }
            rest = rest.get(len.max(2)..).ok_or(MalformedNdp::Truncated)?;
        }
        Ok(Self(octets))
    }

    /// The options, each with its kind and length.
    fn iter(self) -> impl Iterator<Item = &'a [u8]> {
        let mut rest = self.0;
        core::iter::from_fn(move || {
            let (option, after) = rest.split_at_checked(usize::from(u8_at(rest, 1)) * 8)?;
            rest = after;
            (!option.is_empty()).then_some(option)
        })
    }

    /// The first option of this kind.
    fn find(self, kind: u8) -> Option<&'a [u8]> {
        self.iter().find(|option| option[0] == kind)
    }

    fn source_link(self) -> Option<MacAddr> {
        link_address(self.find(option_kind::SOURCE_LINK_ADDRESS)?)
    }

    fn target_link(self) -> Option<MacAddr> {
        link_address(self.find(option_kind::TARGET_LINK_ADDRESS)?)
    }
}

/// The Ethernet address of a link address option; those of other lengths are another medium's.
fn link_address(option: &[u8]) -> Option<MacAddr> {
    (option.len() == 8).then(|| array(option, 2).map(MacAddr))?
}

impl RouterAdvertisement {
    fn read(octets: &[u8], options: Options<'_>) -> Self {
        let mut advertisement = Self {
            hop_limit: u8_at(octets, 4),
            managed: u8_at(octets, 5) & 0x80 != 0,
            other: u8_at(octets, 5) & 0x40 != 0,
            router_lifetime: u16_at(octets, 6),
            reachable_time: u32_at(octets, 8),
            retransmit_time: u32_at(octets, 12),
            source_link: options.source_link(),
            mtu: options
                .find(option_kind::MTU)
                .filter(|option| option.len() == 8)
                .map(|option| u32_at(option, 4)),
            prefixes: [None; PREFIXES_MAX],
            name_servers: [None; NAME_SERVERS_MAX],
        };
        let prefixes = options.iter().filter_map(PrefixInformation::read);
        advertisement
            .prefixes
            .iter_mut()
            .zip(prefixes)
            .for_each(|(slot, prefix)| *slot = Some(prefix));
        let servers = options
            .iter()
            .filter(|option| option[0] == option_kind::RDNSS)
            .flat_map(|option| {
                let addresses = from(option, 8).as_chunks::<16>().0;
                addresses.iter().map(|address| NameServer {
                    address: (*address).into(),
                    lifetime: u32_at(option, 4),
                })
            });
        advertisement
            .name_servers
            .iter_mut()
            .zip(servers)
            .for_each(|(slot, server)| *slot = Some(server));
        advertisement
    }

    fn server_count(&self) -> usize {
        self.name_servers.iter().flatten().count()
    }
}

impl PrefixInformation {
    const LEN: usize = 32;

    fn read(option: &[u8]) -> Option<Self> {
        let valid = u8_at(option, 0) == option_kind::PREFIX && option.len() == Self::LEN && u8_at(option, 2) <= 128;
        valid.then(|| Self {
            prefix: ipv6_at(option, 16),
            prefix_len: u8_at(option, 2),
            on_link: u8_at(option, 3) & 0x80 != 0,
            autonomous: u8_at(option, 3) & 0x40 != 0,
            valid_lifetime: u32_at(option, 4),
            preferred_lifetime: u32_at(option, 8),
        })
    }

    fn emit(&self, out: &mut [u8]) {
        out[0] = option_kind::PREFIX;
        out[1] = (Self::LEN / 8) as u8;
        out[2] = self.prefix_len;
        out[3] = u8::from(self.on_link) << 7 | u8::from(self.autonomous) << 6;
        out[4..8].copy_from_slice(&self.valid_lifetime.to_be_bytes());
        out[8..12].copy_from_slice(&self.preferred_lifetime.to_be_bytes());
        out[16..32].copy_from_slice(&self.prefix.octets());
    }
}

/// Octets of a link address option, if there is one.
fn link_len(mac: Option<MacAddr>) -> usize {
    if mac.is_some() { 8 } else { 0 }
}

/// Writes a link address option, if there is one.
fn emit_link(kind: u8, mac: Option<MacAddr>, out: &mut [u8]) {
    if let Some(mac) = mac {
        out[0] = kind;
        out[1] = 1;
        out[2..8].copy_from_slice(&mac.octets());
    }
}

/// How much of a redirected packet fits into the option and the smallest MTU.
fn redirected_len(redirected: &[u8]) -> usize {
    const MAX: usize = crate::ipv6::MTU_MIN - crate::ipv6::HEADER_LEN - 40 - 8 - 8;
    redirected.len().min(MAX) & !7
}

impl Emit for NdpMessage<'_> {
    fn emit_len(&self) -> usize {
        match self {
            Self::RouterSolicitation { source_link } => 8 + link_len(*source_link),
            Self::RouterAdvertisement(ra) => {
                let mtu = if ra.mtu.is_some() { 8 } else { 0 };
                let prefixes = ra.prefixes.iter().flatten().count() * PrefixInformation::LEN;
                let servers = ra.server_count() * (8 + 16);
                16 + link_len(ra.source_link) + mtu + prefixes + servers
            }
            Self::NeighborSolicitation { source_link, .. } => 24 + link_len(*source_link),
            Self::NeighborAdvertisement(na) => 24 + link_len(na.target_link),
            Self::Redirect {
                target_link,
                redirected,
                ..
            } => {
                let quoted = redirected_len(redirected);
                40 + link_len(*target_link) + if quoted > 0 { 8 + quoted } else { 0 }
            }
        }
    }

    /// Writes the message with the checksum field zero: see [`emit_message`](super::emit_message).
    fn emit(&self, out: &mut [u8]) {
        let len = self.emit_len();
        let out = &mut out[..len];
        out.fill(0);
        match self {
            Self::RouterSolicitation { source_link } => {
                out[0] = kind::ROUTER_SOLICITATION;
                emit_link(option_kind::SOURCE_LINK_ADDRESS, *source_link, &mut out[8..]);
            }
            Self::RouterAdvertisement(advertisement) => emit_router_advertisement(advertisement, out),
            Self::NeighborSolicitation { target, source_link } => {
                out[0] = kind::NEIGHBOR_SOLICITATION;
                out[8..24].copy_from_slice(&target.octets());
                emit_link(option_kind::SOURCE_LINK_ADDRESS, *source_link, &mut out[24..]);
            }
            Self::NeighborAdvertisement(advertisement) => {
                let NeighborAdvertisement {
                    router,
                    solicited,
                    override_known,
                    target,
                    target_link,
                } = advertisement;
                out[0] = kind::NEIGHBOR_ADVERTISEMENT;
                out[4] = u8::from(*router) << 7 | u8::from(*solicited) << 6 | u8::from(*override_known) << 5;
                out[8..24].copy_from_slice(&target.octets());
                emit_link(option_kind::TARGET_LINK_ADDRESS, *target_link, &mut out[24..]);
            }
            Self::Redirect {
                target,
                destination,
                target_link,
                redirected,
            } => {
                out[0] = kind::REDIRECT;
                out[8..24].copy_from_slice(&target.octets());
                out[24..40].copy_from_slice(&destination.octets());
                emit_link(option_kind::TARGET_LINK_ADDRESS, *target_link, &mut out[40..]);
                let quoted = redirected_len(redirected);
                if quoted > 0 {
                    let option = &mut out[40 + link_len(*target_link)..];
                    option[0] = option_kind::REDIRECTED;
                    option[1] = (1 + quoted / 8) as u8;
                    option[8..].copy_from_slice(&redirected[..quoted]);
                }
            }
        }
    }
}

fn emit_router_advertisement(advertisement: &RouterAdvertisement, out: &mut [u8]) {
    out[0] = kind::ROUTER_ADVERTISEMENT;
    out[4] = advertisement.hop_limit;
    out[5] = u8::from(advertisement.managed) << 7 | u8::from(advertisement.other) << 6;
    out[6..8].copy_from_slice(&advertisement.router_lifetime.to_be_bytes());
    out[8..12].copy_from_slice(&advertisement.reachable_time.to_be_bytes());
    out[12..16].copy_from_slice(&advertisement.retransmit_time.to_be_bytes());
    let mut at = 16;
    emit_link(
        option_kind::SOURCE_LINK_ADDRESS,
        advertisement.source_link,
        &mut out[at..],
    );
    at += link_len(advertisement.source_link);
    if let Some(mtu) = advertisement.mtu {
        out[at..at + 2].copy_from_slice(&[option_kind::MTU, 1]);
        out[at + 4..at + 8].copy_from_slice(&mtu.to_be_bytes());
        at += 8;
    }
    for prefix in advertisement.prefixes.iter().flatten() {
        prefix.emit(&mut out[at..at + PrefixInformation::LEN]);
        at += PrefixInformation::LEN;
    }
    for server in advertisement.name_servers.iter().flatten() {
        out[at..at + 2].copy_from_slice(&[option_kind::RDNSS, 3]);
        out[at + 4..at + 8].copy_from_slice(&server.lifetime.to_be_bytes());
        out[at + 8..at + 24].copy_from_slice(&server.address.octets());
        at += 24;
    }
}

/// The multicast group at which the holder of `address` listens for solicitations (RFC 4291 §2.7.1).
pub const fn solicited_node(address: Ipv6Addr) -> Ipv6Addr {
    const PREFIX: u128 = 0xff02_0000_0000_0000_0000_0001_ff00_0000;
    Ipv6Addr::from_bits(PREFIX | address.to_bits() & 0x00ff_ffff)
}
