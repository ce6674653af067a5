//! The way out: IP and link headers around a transport segment.

use super::{Discard, IpOut, Net, RouteInfo};
use crate::link::LinkId;
use core::net::IpAddr;
use prise_wire::{Frame, Instant, Ipv4Header, Ipv6Header, Medium, ipv4};

impl Net {
    /// Wraps IP and link headers around a transport segment for the caller to transmit at once.
    ///
    /// None if the packet waits for its neighbor's address or was dropped and counted.
    pub(crate) fn encapsulate(
        &mut self,
        now: Instant,
        out: &IpOut,
        route: &RouteInfo,
        mut frame: Frame,
    ) -> Option<Frame> {
        if !self.push_ip_header(out, &mut frame) {
            return None;
        }
        self.push_link_header(now, route.link, route.next_hop, frame)
    }

    /// Wraps headers around a transport segment and queues it on its link.
    pub(crate) fn send(&mut self, now: Instant, out: &IpOut, route: &RouteInfo, frame: Frame) {
        if let Some(frame) = self.encapsulate(now, out, route, frame) {
            self.enqueue(route.link, frame);
        }
    }

    fn push_ip_header(&mut self, out: &IpOut, frame: &mut Frame) -> bool {
        let payload_len = frame.total_len();
        match (out.src, out.dst) {
            (IpAddr::V4(src), IpAddr::V4(dst)) if payload_len + ipv4::HEADER_LEN <= usize::from(u16::MAX) => {
                let mut header = Ipv4Header::new(src, dst, out.protocol, payload_len);
                header.hop_limit = out.hop_limit;
                header.tos = out.tos;
                header.dont_fragment = out.dont_fragment;
                frame.push_header(&header);
                true
            }
            (IpAddr::V6(src), IpAddr::V6(dst)) if payload_len <= usize::from(u16::MAX) => {
                let mut header = Ipv6Header::new(src, dst, out.protocol, payload_len);
                header.hop_limit = out.hop_limit;
                header.traffic_class = out.tos;
                frame.push_header(&header);
                true
            }
            _ => {
                self.discard(Discard::OutputOverflow);
                false
            }
        }
    }

    fn push_link_header(&mut self, _now: Instant, link: LinkId, _next_hop: IpAddr, frame: Frame) -> Option<Frame> {
        match self.link(link)?.medium() {
            Medium::Ip => Some(frame),
            Medium::Ethernet => {
                self.discard(Discard::NeighborUnreachable);
                None
            }
        }
    }

    /// Puts a finished frame into its link's queue.
    fn enqueue(&mut self, link: LinkId, frame: Frame) {
        let Some(queue) = self.links.get_mut(link.position()) else {
            return;
        };
        match queue.enqueue(frame) {
            Ok(()) => self.ready.insert(link),
            Err(_) => self.discard(Discard::LinkQueueFull),
        }
    }
}
