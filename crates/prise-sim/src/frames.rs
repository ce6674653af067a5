//! What a simulated wire does with frames: cuts trains, fills in checksums, and reads them for the trace and the watch.

use prise_wire::{Frame, IpVersion, Ipv4Packet, Ipv6Packet, Medium, TcpHeader, checksum, protocol};
use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// The packets that a frame stands for, with complete checksums.
pub(crate) fn cut(medium: Medium, frame: Frame) -> impl Iterator<Item = Frame> {
    frame.segments(medium)
}

/// A TCP segment as it was seen on a wire.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    pub(crate) source: SocketAddr,
    pub(crate) destination: SocketAddr,
    pub(crate) header: TcpHeader,
    /// Octets of data.
    pub(crate) len: usize,
    pub(crate) checksum_ok: bool,
}

/// The TCP segment in a frame, if there is a whole one.
pub(crate) fn tcp(medium: Medium, frame: &Frame) -> Option<Seen> {
    let layout = frame.layout(medium)?;
    if layout.protocol != protocol::TCP || layout.is_fragment {
        return None;
    }
    let (src, dst) = addresses(frame.head().get(layout.network_at..)?, layout.version)?;
    let (header, header_len) = TcpHeader::parse(frame.head().get(layout.transport_at..)?).ok()?;
    let octets = frame.total_len() - layout.transport_at;
    let pseudo = checksum::pseudo_header(src, dst, protocol::TCP, octets);
    let sum = checksum::combine(pseudo, frame.sum_from(layout.transport_at));
    Some(Seen {
        source: SocketAddr::new(src, header.source_port),
        destination: SocketAddr::new(dst, header.destination_port),
        header,
        len: octets.saturating_sub(header_len),
        checksum_ok: checksum::is_valid(sum),
    })
}

/// Source and destination, read from the IP header alone: its payload need not be there.
fn addresses(header: &[u8], version: IpVersion) -> Option<(IpAddr, IpAddr)> {
    fn at<const N: usize>(octets: &[u8], at: usize) -> Option<[u8; N]> {
        octets.get(at..)?.first_chunk().copied()
    }
    Some(match version {
        IpVersion::V4 => (at::<4>(header, 12)?.into(), at::<4>(header, 16)?.into()),
        IpVersion::V6 => (at::<16>(header, 8)?.into(), at::<16>(header, 24)?.into()),
    })
}

/// A frame in words, for the trace. Not TCP: see [`Seen`].
pub(crate) struct Words<'a>(pub(crate) Medium, pub(crate) &'a Frame);

impl fmt::Display for Words<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(medium, frame) = *self;
        let octets = frame.to_vec();
        let Some(layout) = frame.layout(medium) else {
            let ether_type = octets.get(12..14).unwrap_or(&[]);
            return write!(f, "{medium:?} {ether_type:02x?} length {}", octets.len());
        };
        let Some((src, dst)) = octets
            .get(layout.network_at..)
            .and_then(|ip| addresses(ip, layout.version))
        else {
            return write!(f, "cut {:?} length {}", layout.version, octets.len());
        };
        let protocol = layout.protocol;
        write!(f, "{src} > {dst} protocol {protocol} length {}", octets.len())?;
        if layout.is_fragment {
            f.write_str(" fragment")?;
        }
        let ip = &octets[layout.network_at..];
        let whole = match layout.version {
            IpVersion::V4 => Ipv4Packet::parse(ip).is_ok(),
            IpVersion::V6 => Ipv6Packet::parse(ip).is_ok(),
        };
        if !whole {
            f.write_str(" malformed")?;
        }
        if let (false, Some(first)) = (
            layout.is_later_fragment,
            octets.get(layout.transport_at..layout.transport_at + 4),
        ) {
            write!(f, " [{first:02x?}]")?;
        }
        Ok(())
    }
}
