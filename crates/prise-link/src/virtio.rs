//! The virtio-net header (Virtual I/O Device 1.2 §5.1.6): how the kernel and a link tell each other what is still to be
//! done to a packet. TUN devices and packet sockets both put it before every packet, in the machine's byte order.

use prise_wire::{Checksum, Frame, Gso, GsoKind, Layout, Medium, Offload, Payload, TcpFlags, protocol};

/// Octets of the header.
pub(crate) const HEADER_LEN: usize = 10;

const FLAG_NEEDS_CSUM: u8 = 1;
const FLAG_DATA_VALID: u8 = 2;

const GSO_NONE: u8 = 0;
const GSO_TCP4: u8 = 1;
const GSO_TCP6: u8 = 4;
const GSO_UDP: u8 = 5;
/// CWR is for the first segment only.
const GSO_ECN: u8 = 0x80;

/// The header for a frame. Trains come with a partial checksum only: [`needs_cutting`] has sorted out others.
pub(crate) fn header(frame: &Frame) -> [u8; HEADER_LEN] {
    let (flags, start, offset) = match frame.offload.checksum {
        Checksum::Partial { start, offset } => (FLAG_NEEDS_CSUM, start, offset),
        // Not read on the way out: the kernel has no use for somebody else's word.
        Checksum::Verified | Checksum::Unverified => (0, 0, 0),
    };
    let (gso_type, header_len, size) = match frame.offload.gso {
        Some(Gso { kind, size }) => {
            let kind_type = match kind {
                GsoKind::Tcp4 => GSO_TCP4,
                GsoKind::Tcp6 => GSO_TCP6,
                GsoKind::Udp4 | GsoKind::Udp6 => GSO_UDP,
            };
            let ecn = if kind.is_tcp() && has_cwr(frame, start) {
                GSO_ECN
            } else {
                0
            };
            (kind_type | ecn, frame.head().len() as u16, size)
        }
        None => (GSO_NONE, 0, 0),
    };
    let mut header = [0; HEADER_LEN];
    header[0] = flags;
    header[1] = gso_type;
    for (field, value) in header[2..]
        .as_chunks_mut::<2>()
        .0
        .iter_mut()
        .zip([header_len, size, start, offset])
    {
        *field = value.to_ne_bytes();
    }
    header
}

/// Whether the TCP header at `start` has CWR set.
fn has_cwr(frame: &Frame, start: u16) -> bool {
    let flags = frame.head().get(usize::from(start) + 13);
    flags.is_some_and(|flags| TcpFlags::from_bits((*flags).into()).cwr())
}

/// Whether a train has to be cut here, because a device that takes trains of these kinds would not take this one.
pub(crate) fn needs_cutting(offload: Offload, tcp: bool, udp: bool) -> bool {
    offload.gso.is_some_and(|gso| {
        let taken = if gso.kind.is_tcp() { tcp } else { udp };
        !taken || !matches!(offload.checksum, Checksum::Partial { .. })
    })
}

/// Why what a device handed over is not a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Malformed {
    /// Fewer octets than the header.
    Truncated,
    /// A train of a kind that was not agreed upon, or of empty segments.
    Gso,
    /// The checksum field lies beyond the packet.
    Checksum,
}

/// Makes a frame of the header and packet in `octets`.
pub(crate) fn frame(medium: Medium, mut octets: Payload) -> Result<Frame, Malformed> {
    let header = *octets.first_chunk::<HEADER_LEN>().ok_or(Malformed::Truncated)?;
    octets.trim_front(HEADER_LEN);
    let len = octets.len();
    let field = |at: usize| u16::from_ne_bytes([header[at], header[at + 1]]);
    let (size, start, offset) = (field(4), field(6), field(8));
    let mut frame = Frame::from_contiguous(medium, octets);
    frame.offload.checksum = match header[0] {
        flags if flags & FLAG_NEEDS_CSUM != 0 => {
            if usize::from(start) + usize::from(offset) + 2 > len {
                return Err(Malformed::Checksum);
            }
            Checksum::Partial { start, offset }
        }
        flags if flags & FLAG_DATA_VALID != 0 => Checksum::Verified,
        _ => Checksum::Unverified,
    };
    frame.offload.gso = match header[1] & !GSO_ECN {
        GSO_NONE => None,
        // As Linux reads the header (`__virtio_net_hdr_to_skb`).
        _ if size == 0 => return Err(Malformed::Gso),
        GSO_TCP4 => Some(Gso {
            kind: GsoKind::Tcp4,
            size,
        }),
        GSO_TCP6 => Some(Gso {
            kind: GsoKind::Tcp6,
            size,
        }),
        GSO_UDP => {
            let layout = frame.layout(medium).filter(|layout| layout.protocol == protocol::UDP);
            let kind = layout.map(udp_kind).ok_or(Malformed::Gso)?;
            Some(Gso { kind, size })
        }
        _ => return Err(Malformed::Gso),
    };
    Ok(frame)
}

fn udp_kind(layout: Layout) -> GsoKind {
    match layout.version {
        prise_wire::IpVersion::V4 => GsoKind::Udp4,
        prise_wire::IpVersion::V6 => GsoKind::Udp6,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prise_wire::{Body, Head};

    fn frame_of(header: [u8; HEADER_LEN], packet: &[u8]) -> Result<Frame, Malformed> {
        frame(Medium::Ip, [&header[..], packet].concat().into())
    }

    #[test]
    fn what_is_written_is_what_is_read() {
        let mut packet = vec![0; 60];
        packet[0] = 0x45;
        packet[9] = protocol::TCP;
        packet[32] = 0x50;
        packet[33] = 0x80;
        let mut sent = Frame::new(Head::copy_from(&packet[..40]), Body::from(packet[40..].to_vec()));
        sent.offload.checksum = Checksum::Partial { start: 20, offset: 16 };
        sent.offload.gso = Some(Gso {
            kind: GsoKind::Tcp4,
            size: 10,
        });
        let header = header(&sent);
        assert_eq!(header[1], GSO_TCP4 | GSO_ECN);
        let received = frame_of(header, &packet).expect("well-formed");
        assert_eq!(received, sent);
        assert_eq!(received.head().len(), 40);
    }

    #[test]
    fn a_checksum_beyond_the_packet_is_refused() {
        let mut header = [0; HEADER_LEN];
        header[0] = FLAG_NEEDS_CSUM;
        header[6..8].copy_from_slice(&30u16.to_ne_bytes());
        header[8..10].copy_from_slice(&16u16.to_ne_bytes());
        assert_eq!(frame_of(header, &[0x45; 47]), Err(Malformed::Checksum));
        assert!(frame_of(header, &[0x45; 48]).is_ok());
    }

    #[test]
    fn trains_of_an_unknown_kind_are_refused() {
        let mut header = [0; HEADER_LEN];
        header[1] = 3;
        assert_eq!(frame_of(header, &[0x45; 60]), Err(Malformed::Gso));
        header[1] = GSO_UDP;
        assert_eq!(frame_of(header, &[0x45; 60]), Err(Malformed::Gso));
        assert_eq!(frame(Medium::Ip, Payload::from(&[0; 9])), Err(Malformed::Truncated));
    }

    #[test]
    fn trains_of_empty_segments_are_refused() {
        let mut packet = [0; 60];
        packet[0] = 0x45;
        packet[9] = protocol::UDP;
        for (kind, size, taken) in [
            (GSO_TCP4, 0, false),
            (GSO_TCP4 | GSO_ECN, 0, false),
            (GSO_TCP6, 0, false),
            (GSO_UDP, 0, false),
            (GSO_NONE, 0, true),
            (GSO_TCP4, 1, true),
            (GSO_UDP, 1, true),
        ] {
            let mut header = [0; HEADER_LEN];
            header[1] = kind;
            header[4..6].copy_from_slice(&u16::to_ne_bytes(size));
            let read = frame_of(header, &packet);
            assert_eq!(read.is_ok(), taken, "kind {kind}, size {size}");
            assert!(read.is_ok() || read == Err(Malformed::Gso));
        }
    }
}
