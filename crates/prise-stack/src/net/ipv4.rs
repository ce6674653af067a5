//! IPv4 input (RFC 791, RFC 1122 §3.2.1, RFC 1812 §5.3.7 for martians).

use super::input::Arrival;
use super::reassembly::{Fragment, FragmentKey, Reassembled};
use super::{Delivered, Discard, Net};
use crate::link::Link;
use core::net::Ipv4Addr;
use prise_wire::ipv4::{self, OPTION_END, OPTION_NOP};
use prise_wire::{Checksum, Frame, Head, Instant, Ipv4Header};

impl Net {
    pub(super) fn input_ipv4<'f>(
        &mut self,
        now: Instant,
        arrival: Arrival,
        frame: &'f mut Frame,
    ) -> Result<Option<Delivered<'f>>, Discard> {
        self.ip_counters[0].received += 1;
        let at = arrival.at;
        if !frame.pull(at + ipv4::HEADER_LEN) {
            return Err(Discard::IpMalformed);
        }
        let header_len = usize::from(frame.head()[at] & 0x0f) * 4;
        if !frame.pull(at + header_len) {
            return Err(Discard::IpMalformed);
        }
        let octets = &frame.head()[at..];
        let header = Ipv4Header::parse(octets).map_err(|_| Discard::IpMalformed)?;
        if !ipv4::is_checksum_valid(octets) {
            return Err(Discard::IpChecksum);
        }
        let end = at + usize::from(header.total_len);
        if end > frame.total_len() {
            return Err(Discard::IpMalformed);
        }
        frame.truncate(end);
        let unicast = self.accept_ipv4(arrival, &header)?;
        if header_len > ipv4::HEADER_LEN {
            check_options(&header)?;
        }
        if header.is_fragment() {
            return self.input_fragment_v4(now, arrival, unicast && arrival.link_unicast, &header, frame);
        }
        self.ip_counters[0].delivered += 1;
        Ok(Some(Delivered {
            link: self.link_reached(arrival.link, header.destination.into()),
            src: header.source.into(),
            dst: header.destination.into(),
            protocol: header.protocol,
            tos: header.tos,
            flow_label: 0,
            hop_limit: header.hop_limit,
            unicast: unicast && arrival.link_unicast,
            checksum_ok: frame.offload.checksum.is_trusted(),
            fragmented: arrival.reassembled,
            frame,
            network_at: at,
            transport_at: at + header_len,
        }))
    }

    /// Whether the packet is for us, and if so whether for us alone.
    fn accept_ipv4(&self, arrival: Arrival, header: &Ipv4Header) -> Result<bool, Discard> {
        let link = self.link(arrival.link).ok_or(Discard::UnknownLink)?;
        let (src, dst) = (header.source, header.destination);
        if !arrival.looped && self.is_martian_source_v4(link, src, dst) {
            return Err(Discard::IpMartianSource);
        }
        if self.is_local(dst.into()) {
            if dst.is_loopback() && !link.is_loopback() {
                return Err(Discard::IpMartianDestination);
            }
            return accept_unicast(arrival);
        }
        if self.addresses.is_broadcast(link.id(), dst.into()) {
            return Ok(false);
        }
        if dst.is_multicast() {
            let joined = self.groups.admits(link.id(), dst.into(), src.into());
            return if joined {
                Ok(false)
            } else {
                Err(Discard::IpGroupNotJoined)
            };
        }
        if dst.is_loopback() || dst.octets()[0] == 0 || dst.octets()[0] >= 240 {
            return Err(Discard::IpMartianDestination);
        }
        if link.is_transparent() {
            accept_unicast(arrival)
        } else {
            Err(Discard::IpNotForUs)
        }
    }

    /// RFC 1122 §3.2.1.3; a packet from our own address did not come from us.
    fn is_martian_source_v4(&self, link: &Link, src: Ipv4Addr, dst: Ipv4Addr) -> bool {
        if link.is_loopback() {
            return src.is_multicast() || src.is_broadcast();
        }
        match src.octets()[0] {
            127 | 224.. => true,
            // A host that does not know its address yet asks everybody (RFC 1122 §3.2.1.3 (a)).
            0 => !(src.is_unspecified() && dst.is_broadcast()),
            _ => self.is_local(src.into()) || self.addresses.is_broadcast(link.id(), src.into()),
        }
    }

    fn input_fragment_v4<'f>(
        &mut self,
        now: Instant,
        arrival: Arrival,
        unicast: bool,
        header: &Ipv4Header,
        frame: &'f mut Frame,
    ) -> Result<Option<Delivered<'f>>, Discard> {
        self.ip_counters[0].fragments_received += 1;
        let offset = usize::from(header.fragment_offset);
        let len = header.payload_len();
        // All but the last carry a multiple of eight octets, and the whole fits an IPv4 packet.
        if len == 0 || (header.more_fragments && !len.is_multiple_of(8)) || offset + len + header.header_len() > 0xffff
        {
            return Err(Discard::FragmentMalformed);
        }
        let key = FragmentKey::new(
            header.source.into(),
            header.destination.into(),
            header.identification.into(),
            header.protocol,
        );
        let data_at = arrival.at + header.header_len();
        let fragment = Fragment {
            link: arrival.link,
            unicast,
            headers: Head::copy_from(&frame.head()[arrival.at..data_at]),
            offset,
            more: header.more_fragments,
            ecn: header.tos & 3,
            trusted: frame.offload.checksum.is_trusted(),
            data: frame.take_payload(data_at),
        };
        let Some(whole) = self.reassemble(now, key, fragment)? else {
            return Ok(None);
        };
        *frame = rebuild(whole).ok_or(Discard::FragmentMalformed)?;
        self.input_ipv4(
            now,
            Arrival {
                at: 0,
                reassembled: true,
                ..arrival
            },
            frame,
        )
    }

    /// Adds a fragment to its datagram, for either version.
    pub(super) fn reassemble(
        &mut self,
        now: Instant,
        key: FragmentKey,
        fragment: Fragment,
    ) -> Result<Option<Reassembled>, Discard> {
        let is_v6 = !key.is_ipv4();
        let mut evicted = 0;
        let whole = self.reassembly.add(now, key, fragment, &mut evicted);
        for _ in 0..evicted {
            self.discard(Discard::ReassemblyEvicted);
        }
        if matches!(whole, Ok(Some(_))) {
            self.ip_counters[usize::from(is_v6)].reassembled += 1;
        }
        whole
    }
}

/// A host must drop what was broadcast on the link but is addressed to one (RFC 1122 §3.3.6).
pub(super) fn accept_unicast(arrival: Arrival) -> Result<bool, Discard> {
    if arrival.link_unicast {
        Ok(true)
    } else {
        Err(Discard::IpLinkBroadcast)
    }
}

/// Options must be well-formed, and must not route.
fn check_options(header: &Ipv4Header) -> Result<(), Discard> {
    if header.options.has_source_route() {
        return Err(Discard::IpSourceRoute);
    }
    let mut rest: &[u8] = &header.options;
    loop {
        match *rest {
            [] | [OPTION_END, ..] => return Ok(()),
            [OPTION_NOP, ref after @ ..] => rest = after,
            [_, len, ..] if len >= 2 => {
                rest = rest.get(usize::from(len)..).ok_or(Discard::IpOptionsMalformed)?;
            }
            _ => return Err(Discard::IpOptionsMalformed),
        }
    }
}

/// The packet that the fragments were made of.
fn rebuild(whole: Reassembled) -> Option<Frame> {
    let Reassembled {
        headers,
        data,
        ecn,
        trusted,
    } = whole;
    let mut header = Ipv4Header::parse(&headers).ok()?;
    header.total_len = u16::try_from(header.header_len() + data.len()).ok()?;
    header.fragment_offset = 0;
    header.more_fragments = false;
    header.tos = header.tos & !3 | ecn;
    let mut frame = Frame::with_header(&header, data.into());
    if trusted {
        frame.offload.checksum = Checksum::Verified;
    }
    Some(frame)
}
