//! Segmentation in software: a train of segments becomes the packets that a wire would carry.

use super::{Body, Checksum, Frame, Gso, GsoKind, Head, IpVersion, Layout, Medium, Offload};
use crate::octets::{array, ipv4_at, ipv6_at, u8_at, u16_at, u32_at};
use crate::{TcpFlags, checksum, protocol, tcp, udp};

/// The packets of a frame, in order.
#[derive(Clone, Debug)]
pub struct Segments {
    state: State,
    complete: bool,
}

#[derive(Clone, Debug)]
enum State {
    Single(Frame),
    Train(Train),
    Done,
}

/// What is left of a frame that is being cut.
#[derive(Clone, Debug)]
struct Train {
    /// The headers of the next segment, but for lengths and checksums.
    head: Head,
    rest: Body,
    layout: Layout,
    size: usize,
    /// UDP over IPv4 without a checksum stays without.
    no_checksum: bool,
    first: bool,
}

impl Segments {
    pub(super) fn new(frame: Frame, medium: Medium, complete: bool) -> Self {
        let train = frame.offload.gso.and_then(|gso| Train::layout(&frame, gso, medium));
        let state = match train {
            Some((layout, size)) => State::Train(Train::new(frame, layout, size)),
            None => State::Single(frame),
        };
        Self { state, complete }
    }
}

impl Iterator for Segments {
    type Item = Frame;

    fn next(&mut self) -> Option<Frame> {
        let mut frame = match &mut self.state {
            State::Train(train) => train.next()?,
            state => match core::mem::replace(state, State::Done) {
                State::Single(mut frame) => {
                    frame.offload.gso = None;
                    frame
                }
                _ => return None,
            },
        };
        if self.complete {
            frame.complete_checksum();
        }
        Some(frame)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = match &self.state {
            State::Single(_) => 1,
            State::Train(train) => train.rest.len().div_ceil(train.size),
            State::Done => 0,
        };
        (left, Some(left))
    }
}

impl ExactSizeIterator for Segments {}

impl Train {
    /// The places of the headers and the size of a segment, if this frame is a train that needs cutting.
    fn layout(frame: &Frame, gso: Gso, medium: Medium) -> Option<(Layout, usize)> {
        let layout = frame.layout(medium)?;
        let size = usize::from(gso.size);
        let expected = match gso.kind {
            GsoKind::Tcp4 => (IpVersion::V4, protocol::TCP),
            GsoKind::Tcp6 => (IpVersion::V6, protocol::TCP),
            GsoKind::Udp4 => (IpVersion::V4, protocol::UDP),
            GsoKind::Udp6 => (IpVersion::V6, protocol::UDP),
        };
        let transport = frame.head().get(layout.transport_at..)?;
        let header_len = match layout.protocol {
            protocol::TCP => usize::from(u8_at(transport, 12) >> 4) * 4,
            _ => udp::HEADER_LEN,
        };
        let minimum = if layout.protocol == protocol::TCP {
            tcp::HEADER_LEN
        } else {
            udp::HEADER_LEN
        };
        let headers_match = (layout.version, layout.protocol) == expected
            && !layout.is_fragment
            && header_len >= minimum
            && transport.len() == header_len;
        (headers_match && size > 0 && frame.body().len() > size).then_some((layout, size))
    }

    fn new(frame: Frame, layout: Layout, size: usize) -> Self {
        let (head, rest, offload) = frame.into_parts();
        let no_checksum = layout.protocol == protocol::UDP
            && layout.version == IpVersion::V4
            && !matches!(offload.checksum, Checksum::Partial { .. })
            && u16_at(&head, layout.transport_at + usize::from(udp::CHECKSUM_OFFSET)) == 0;
        Self {
            head,
            rest,
            layout,
            size,
            no_checksum,
            first: true,
        }
    }

    fn next(&mut self) -> Option<Frame> {
        if self.rest.is_empty() {
            return None;
        }
        let body = self.rest.split_to(self.size);
        let last = self.rest.is_empty();
        let mut head = self.head.clone();
        self.fix_network(&mut head, body.len());
        self.fix_transport(&mut head, body.len(), last);
        self.advance(body.len());
        let offset = if self.layout.protocol == protocol::TCP {
            tcp::CHECKSUM_OFFSET
        } else {
            udp::CHECKSUM_OFFSET
        };
        let checksum = if self.no_checksum {
            Checksum::Unverified
        } else {
            Checksum::Partial {
                start: self.layout.transport_at as u16,
                offset,
            }
        };
        let mut frame = Frame::new(head, body);
        frame.offload = Offload { checksum, gso: None };
        Some(frame)
    }

    /// Sets the IP length and, in IPv4, the header checksum.
    fn fix_network(&self, head: &mut Head, payload: usize) {
        let Layout {
            network_at: at,
            transport_at,
            ..
        } = self.layout;
        match self.layout.version {
            IpVersion::V4 => {
                let total_len = head.len() - at + payload;
                put_u16(head, at + 2, total_len as u16);
                put_u16(head, at + 10, 0);
                let checksum = checksum::finish(checksum::sum(&head[at..transport_at]));
                put_u16(head, at + 10, checksum);
            }
            IpVersion::V6 => {
                let payload_len = head.len() - at - crate::ipv6::HEADER_LEN + payload;
                put_u16(head, at + 4, payload_len as u16);
            }
        }
    }

    /// Sets flags or length of the transport header, and the pseudo-header's sum in its checksum field.
    fn fix_transport(&self, head: &mut Head, payload: usize, last: bool) {
        let Layout {
            network_at,
            transport_at: at,
            ..
        } = self.layout;
        let transport_len = head.len() - at + payload;
        let field = if self.layout.protocol == protocol::TCP {
            let mut flags = TcpFlags::from_bits(u16_at(head, at + 12));
            if !last {
                flags = flags.without(TcpFlags::FIN | TcpFlags::PSH);
            }
            if !self.first {
                flags = flags.without(TcpFlags::CWR);
            }
            let data_offset = u16_at(head, at + 12) & 0xf000;
            put_u16(head, at + 12, data_offset | flags.bits());
            at + usize::from(tcp::CHECKSUM_OFFSET)
        } else {
            put_u16(head, at + 4, transport_len as u16);
            at + usize::from(udp::CHECKSUM_OFFSET)
        };
        if self.no_checksum {
            return;
        }
        let pseudo_header = match self.layout.version {
            IpVersion::V4 => checksum::pseudo_header_v4(
                ipv4_at(head, network_at + 12),
                ipv4_at(head, network_at + 16),
                self.layout.protocol,
                transport_len,
            ),
            IpVersion::V6 => checksum::pseudo_header_v6(
                ipv6_at(head, network_at + 8),
                ipv6_at(head, network_at + 24),
                self.layout.protocol,
                transport_len,
            ),
        };
        put_u16(head, field, pseudo_header);
    }

    /// Makes the template that of the next segment.
    fn advance(&mut self, payload: usize) {
        self.first = false;
        let Layout {
            network_at,
            transport_at,
            version,
            ..
        } = self.layout;
        if version == IpVersion::V4 {
            let identification = u16_at(&self.head, network_at + 4).wrapping_add(1);
            put_u16(&mut self.head, network_at + 4, identification);
        }
        if self.layout.protocol == protocol::TCP {
            let seq = u32_at(&self.head, transport_at + 4).wrapping_add(payload as u32);
            self.head[transport_at + 4..transport_at + 8].copy_from_slice(&seq.to_be_bytes());
        }
    }
}

/// Writes a 16-bit field whose place [`Layout`] has vouched for.
fn put_u16(head: &mut Head, at: usize, value: u16) {
    debug_assert!(
        array::<2>(head, at).is_some(),
        "the layout was checked when the train was made"
    );
    if let Some(field) = head.get_mut(at..at + 2) {
        field.copy_from_slice(&value.to_be_bytes());
    }
}
