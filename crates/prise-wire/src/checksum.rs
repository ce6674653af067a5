//! The Internet checksum (RFC 1071) in pieces that can be computed anywhere and combined later.
//!
//! A *sum* here is a folded one's-complement sum of 16-bit big-endian words, not yet inverted; a *checksum* is the
//! inverted sum as it stands in a header.
//!
//! ```
//! use prise_wire::checksum;
//! let packet = [0x45, 0, 0, 28, 0, 0];
//! let (front, back) = packet.split_at(2);
//! let whole = checksum::sum(&packet);
//! assert_eq!(checksum::combine(checksum::sum(front), checksum::sum(back)), whole);
//! ```

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The folded one's-complement sum of `data`, an odd last octet padded with zero on the right.
pub fn sum(data: &[u8]) -> u16 {
    // Four chains of additions, since one waits for its own carry: twice as fast as one, and faster than the vectors
    // of the x86-64 baseline.
    let mut chains = [0; 4];
    let (blocks, rest) = data.as_chunks::<32>();
    for block in blocks {
        for (chain, word) in chains.iter_mut().zip(block.as_chunks::<8>().0) {
            *chain = add(*chain, u64::from_ne_bytes(*word));
        }
    }
    let mut total = chains.into_iter().fold(0, add);
    let (words, rest) = rest.as_chunks::<8>();
    for word in words {
        total = add(total, u64::from_ne_bytes(*word));
    }
    // Headers are short: what is left of them goes by halves rather than through a copy.
    let (half, rest) = rest.as_chunks::<4>();
    for half in half {
        total = add(total, u64::from(u32::from_ne_bytes(*half)));
    }
    let (quarter, rest) = rest.as_chunks::<2>();
    for quarter in quarter {
        total = add(total, u64::from(u16::from_ne_bytes(*quarter)));
    }
    if let [last] = rest {
        total = add(total, u64::from(u16::from_ne_bytes([*last, 0])));
    }
    // The sum of byte-swapped words is the byte-swapped sum (RFC 1071 §2 B): one swap at the end is enough.
    u16::from_be(fold(total))
}

/// One's-complement addition of 64-bit words.
const fn add(a: u64, b: u64) -> u64 {
    let (sum, carry) = a.overflowing_add(b);
    sum + carry as u64
}

/// Folds a wide one's-complement sum into 16 bits.
pub const fn fold(sum: u64) -> u16 {
    let sum = (sum >> 32) + (sum & 0xffff_ffff);
    let sum = (sum >> 32) + (sum & 0xffff_ffff);
    let sum = (sum >> 16) + (sum & 0xffff);
    let sum = (sum >> 16) + (sum & 0xffff);
    sum as u16
}

/// The sum of two pieces, the first of which has an even number of octets.
pub const fn combine(a: u16, b: u16) -> u16 {
    let (sum, carry) = a.overflowing_add(b);
    sum + carry as u16
}

/// The sum of two pieces, the first of which has `first_len` octets.
pub const fn combine_at(a: u16, first_len: usize, b: u16) -> u16 {
    combine(a, if first_len.is_multiple_of(2) { b } else { b.swap_bytes() })
}

/// The sum of slices as if they were one.
pub fn sum_pieces<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> u16 {
    let mut total = 0;
    let mut len = 0;
    for piece in pieces {
        total = combine_at(total, len, sum(piece));
        len += piece.len();
    }
    total
}

/// What stands in the header: the inverted sum.
pub const fn finish(sum: u16) -> u16 {
    !sum
}

/// Like [`finish`], but never zero, which in UDP means "no checksum" (RFC 768; RFC 8200 §8.1).
pub const fn finish_nonzero(sum: u16) -> u16 {
    if sum == 0xffff { 0xffff } else { !sum }
}

/// Whether `sum`, over data that includes its checksum (and the pseudo-header), says that the data is intact.
pub const fn is_valid(sum: u16) -> bool {
    sum == 0xffff
}

/// The sum of the IPv4 pseudo-header (RFC 9293 §3.1); `len` is that of the transport header and its payload.
pub fn pseudo_header_v4(source: Ipv4Addr, destination: Ipv4Addr, protocol: u8, len: usize) -> u16 {
    let addresses = u64::from(source.to_bits()) + u64::from(destination.to_bits());
    fold(addresses + u64::from(protocol) + len as u64)
}

/// The sum of the IPv6 pseudo-header (RFC 8200 §8.1); `len` is that of the upper-layer header and its payload.
pub fn pseudo_header_v6(source: Ipv6Addr, destination: Ipv6Addr, protocol: u8, len: usize) -> u16 {
    let mut total = u64::from(protocol) + len as u64;
    for segment in source.segments().into_iter().chain(destination.segments()) {
        total += u64::from(segment);
    }
    fold(total)
}

/// The sum of the pseudo-header of either version. Addresses of different versions have no pseudo-header; their sum
/// is that of the second one's version with the first mapped, so that the result is wrong on the wire, not a panic.
pub fn pseudo_header(source: IpAddr, destination: IpAddr, protocol: u8, len: usize) -> u16 {
    match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => pseudo_header_v4(source, destination, protocol, len),
        (source, destination) => pseudo_header_v6(to_v6(source), to_v6(destination), protocol, len),
    }
}

/// The address itself, or its IPv4-mapped form.
fn to_v6(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    }
}

/// The checksum after one 16-bit word it covers changed from `old` to `new` (RFC 1624 §3, equation 3).
pub const fn update(checksum: u16, old: u16, new: u16) -> u16 {
    !combine(combine(!checksum, !old), new)
}
