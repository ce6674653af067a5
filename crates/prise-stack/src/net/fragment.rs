//! Fragmentation at the source (RFC 791 §3.2, RFC 8200 §4.5): what exceeds the path's MTU and may be cut, is.

use super::{Discard, IpOut, Net, RouteInfo};
use core::net::IpAddr;
use prise_wire::{Emit, FragmentHeader, Frame, Head, Instant, Ipv4Header, Ipv6Header, ipv6, protocol};

/// Octets of a fragment header.
const FRAGMENT_HEADER_LEN: usize = ipv6::extension::FRAGMENT_HEADER_LEN;

impl Net {
    /// Sends a transport unit that is too large in as many fragments as it takes. Its checksum is complete.
    pub(super) fn send_fragments(&mut self, now: Instant, out: &IpOut, route: &RouteInfo, mut unit: Frame) {
        unit.complete_checksum();
        // All carry that of the flow, whose ports only the first one shows.
        let label = self.flow_label(out, &unit);
        let header_len = match out.dst {
            IpAddr::V4(_) => out.header_len(),
            IpAddr::V6(_) => out.header_len() + FRAGMENT_HEADER_LEN,
        };
        // All but the last carry a multiple of eight octets.
        let room = (route.mtu as usize).saturating_sub(header_len) & !7;
        if room == 0 || unit.total_len() > usize::from(u16::MAX) {
            return self.discard(Discard::OutputOverflow);
        }
        let identification = match out.dst {
            IpAddr::V4(_) => u32::from(self.next_identification(out)),
            IpAddr::V6(_) => self.random().next_u32(),
        };
        let mut rest = unit.into_payload(0);
        let mut offset = 0;
        while !rest.is_empty() {
            let data = rest.split_to(room);
            let len = data.len();
            let fragment = FragmentHeader {
                next_header: out.protocol,
                offset: offset as u16,
                more_fragments: !rest.is_empty(),
                identification,
            };
            let mut frame = Frame::new(Head::new(), data);
            push_header(out, label, fragment, &mut frame);
            self.ip_counters[usize::from(out.dst.is_ipv6())].fragments_sent += 1;
            self.send_wrapped(now, route.link, route.next_hop, frame);
            offset += len;
        }
        self.ip_counters[usize::from(out.dst.is_ipv6())].fragmented += 1;
    }
}

fn push_header(out: &IpOut, label: u32, fragment: FragmentHeader, frame: &mut Frame) {
    match (out.src, out.dst) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => {
            let mut header = Ipv4Header::new(src, dst, out.protocol, frame.total_len() + out.options.padded_len());
            header.options = match fragment.offset {
                0 => *out.options,
                _ => out.options.for_later_fragments(),
            };
            header.hop_limit = out.hop_limit;
            header.tos = out.tos;
            header.identification = fragment.identification as u16;
            header.more_fragments = fragment.more_fragments;
            header.fragment_offset = fragment.offset;
            frame.push_header(&header);
        }
        (IpAddr::V6(src), IpAddr::V6(dst)) => {
            let mut head = [0; FRAGMENT_HEADER_LEN];
            fragment.emit(&mut head);
            frame.push_front(&head);
            let mut header = Ipv6Header::new(src, dst, protocol::IPV6_FRAGMENT, frame.total_len());
            header.hop_limit = out.hop_limit;
            header.traffic_class = out.tos;
            header.flow_label = label;
            frame.push_header(&header);
        }
        // Mixed versions were refused with the route.
        _ => {}
    }
}
