//! The way in: from a link's frame to a packet for a transport.

use super::{Delivered, Discard, Net};
use crate::link::LinkId;
use prise_wire::{Frame, Instant, Ipv4Header, Ipv6Header, Medium, ipv4, ipv6};

impl Net {
    /// Takes a frame through link and IP; what comes out is for a transport here.
    pub(crate) fn input(&mut self, _now: Instant, link: LinkId, frame: Frame) -> Option<Delivered> {
        let Some(receiver) = self.links.get_mut(link.position()) else {
            self.discard(Discard::UnknownLink);
            return None;
        };
        receiver.count_received(&frame);
        if receiver.medium() == Medium::Ethernet {
            self.discard(Discard::LinkProtocolUnknown);
            return None;
        }
        let version = frame.head().first().map(|octet| octet >> 4);
        let delivered = match version {
            Some(4) => self.input_ipv4(link, frame, 0),
            Some(6) => self.input_ipv6(link, frame, 0),
            _ => Err(Discard::IpMalformed),
        };
        delivered.map_err(|reason| self.discard(reason)).ok()
    }

    fn input_ipv4(&mut self, link: LinkId, mut frame: Frame, at: usize) -> Result<Delivered, Discard> {
        let header = Ipv4Header::parse(&frame.head()[at..]).map_err(|_| Discard::IpMalformed)?;
        if usize::from(header.total_len) + at > frame.total_len() {
            return Err(Discard::IpMalformed);
        }
        if !ipv4::is_checksum_valid(&frame.head()[at..]) {
            return Err(Discard::IpChecksum);
        }
        frame.truncate(at + usize::from(header.total_len));
        let dst = header.destination.into();
        if !self.is_local(dst) && !self.link_is_transparent(link) {
            return Err(Discard::IpNotForUs);
        }
        Ok(Delivered {
            link,
            src: header.source.into(),
            dst,
            protocol: header.protocol,
            tos: header.tos,
            hop_limit: header.hop_limit,
            unicast: true,
            checksum_ok: frame.offload.checksum.is_trusted(),
            frame,
            network_at: at,
            transport_at: at + header.header_len(),
        })
    }

    fn input_ipv6(&mut self, link: LinkId, mut frame: Frame, at: usize) -> Result<Delivered, Discard> {
        let header = Ipv6Header::parse(&frame.head()[at..]).map_err(|_| Discard::IpMalformed)?;
        let end = at + ipv6::HEADER_LEN + usize::from(header.payload_len);
        if end > frame.total_len() {
            return Err(Discard::IpMalformed);
        }
        frame.truncate(end);
        let dst = header.destination.into();
        if !self.is_local(dst) && !self.link_is_transparent(link) {
            return Err(Discard::IpNotForUs);
        }
        Ok(Delivered {
            link,
            src: header.source.into(),
            dst,
            protocol: header.next_header,
            tos: header.traffic_class,
            hop_limit: header.hop_limit,
            unicast: true,
            checksum_ok: frame.offload.checksum.is_trusted(),
            frame,
            network_at: at,
            transport_at: at + ipv6::HEADER_LEN,
        })
    }
}
