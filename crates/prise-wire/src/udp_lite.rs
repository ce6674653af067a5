//! UDP-Lite (RFC 3828): UDP whose checksum need not cover everything.
//!
//! The header is UDP's, with one difference: where UDP has the length, UDP-Lite has the *checksum coverage*, and the
//! length is IP's. So [`UdpHeader`](crate::UdpHeader) serves both, its field `len` being the coverage here.

use crate::udp::HEADER_LEN;

/// A coverage field that no datagram may have: the checksum covers at least the header, and not more than there is
/// (RFC 3828 §3.1). Zero is fine: it stands for everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MalformedCoverage;

/// How many octets of a datagram of `len` octets, header included, its checksum covers.
///
/// ```
/// use prise_wire::udp_lite::covered;
/// assert_eq!(covered(0, 100), Ok(100));
/// assert_eq!(covered(8, 100), Ok(8));
/// assert!(covered(7, 100).is_err());
/// assert!(covered(101, 100).is_err());
/// ```
pub fn covered(field: u16, len: usize) -> Result<usize, MalformedCoverage> {
    match usize::from(field) {
        0 => Ok(len),
        octets if (HEADER_LEN..=len).contains(&octets) => Ok(octets),
        _ => Err(MalformedCoverage),
    }
}
