//! `SOL_RAW` and `SOL_ICMPV6`: `raw(7)`, RFC 3542 §3.

use super::{Call, Entry, Get, On, Opt, Query, Set, entry};
use crate::socket::{Flag, IcmpFilter};
use crate::{Errno, protocol};

pub(super) const RAW: &[Entry] = &[
    entry(1, On::RAW4, Set::Octets(set_icmp_filter), Get::Octets(icmp_filter)),
    entry(7, On::RAW6, Set::Number(set_checksum), Get::Number(checksum)),
    // IPV6_HDRINCL.
    entry(
        36,
        On::RAW6,
        Set::Flag(Flag::HeaderIncluded),
        Get::Flag(Flag::HeaderIncluded),
    ),
];

/// rawv6_setsockopt reads a number before it looks at the name.
pub(super) const fn reads_number_first(on: On) -> bool {
    On::RAW6.has(on)
}

pub(super) const ICMPV6: &[Entry] = &[entry(
    1,
    On::RAW6,
    Set::Octets(set_icmpv6_filter),
    Get::Octets(icmpv6_filter),
)];

/// `ICMP_FILTER`: a bit for each type from 0 to 31 that is not wanted. Shorter values set its first octets.
fn set_icmp_filter(call: &mut Call<'_>) -> Result<(), Errno> {
    if call.socket().protocol != protocol::ICMP {
        return Err(Errno::EOPNOTSUPP);
    }
    set_filter(call, 4);
    Ok(())
}

/// `ICMPV6_FILTER`: a bit for each of the 256 types.
fn set_icmpv6_filter(call: &mut Call<'_>) -> Result<(), Errno> {
    if call.socket().protocol != protocol::ICMPV6 {
        return Err(Errno::EOPNOTSUPP);
    }
    set_filter(call, 32);
    Ok(())
}

fn set_filter(call: &mut Call<'_>, size: usize) {
    let mut octets = octets_of(call.socket().icmp_filter());
    let given = &call.value[..call.value.len().min(size)];
    octets[..given.len()].copy_from_slice(given);
    let mut words = [0; 8];
    for (word, octets) in words.iter_mut().zip(octets.as_chunks::<4>().0) {
        *word = u32::from_le_bytes(*octets);
    }
    call.socket().extra_mut().icmp_filter = Some(IcmpFilter(words));
}

fn icmp_filter(query: &mut Query<'_>) -> Result<(), Errno> {
    if query.socket().protocol != protocol::ICMP {
        return Err(Errno::EOPNOTSUPP);
    }
    let octets = octets_of(query.socket().icmp_filter());
    query.put(&octets[..4]);
    Ok(())
}

fn icmpv6_filter(query: &mut Query<'_>) -> Result<(), Errno> {
    if query.socket().protocol != protocol::ICMPV6 {
        return Err(Errno::EOPNOTSUPP);
    }
    let octets = octets_of(query.socket().icmp_filter());
    query.put(&octets);
    Ok(())
}

fn octets_of(filter: IcmpFilter) -> [u8; 32] {
    let mut octets = [0; 32];
    for (octets, word) in octets.as_chunks_mut::<4>().0.iter_mut().zip(filter.0) {
        *octets = word.to_le_bytes();
    }
    octets
}

impl crate::socket::Socket {
    /// The filter in force; at first everything passes.
    pub(crate) fn icmp_filter(&self) -> IcmpFilter {
        self.extra
            .as_ref()
            .and_then(|extra| extra.icmp_filter)
            .unwrap_or(IcmpFilter([0; 8]))
    }
}

/// `IPV6_CHECKSUM`: where the checksum lies that is computed for the program, an even offset, or −1. At the level of IPv6 ICMPv6's cannot be moved
/// (RFC 3542 §3.1).
pub(super) fn set_checksum(call: &mut Call<'_>, offset: i32) -> Result<(), Errno> {
    let fixed = call.level == super::level::IPV6 && call.socket().protocol == protocol::ICMPV6;
    if fixed || offset > 0 && offset % 2 != 0 {
        return Err(Errno::EINVAL);
    }
    call.socket().set_value(Opt::ChecksumOffset, offset.max(-1).into());
    Ok(())
}

pub(super) fn checksum(query: &mut Query<'_>) -> Result<i32, Errno> {
    Ok(query.socket().checksum_option() as i32)
}

impl crate::socket::Socket {
    fn checksum_option(&self) -> i64 {
        /// ICMPv6 has it after type and code.
        const ICMPV6: i64 = 2;
        let default = if self.protocol == protocol::ICMPV6 { ICMPV6 } else { -1 };
        self.value_set(Opt::ChecksumOffset).unwrap_or(default)
    }

    /// Where the checksum of a raw IPv6 packet lies, if it is to be computed.
    pub(crate) fn checksum_offset(&self) -> Option<usize> {
        usize::try_from(self.checksum_option()).ok()
    }
}
