//! `SO_TIMESTAMPING` of what datagram, ping and raw sockets send: the error queue tells when each left, with the packet itself unless only
//! the stamp is wanted (`__skb_tstamp_tx`; the kernel's `Documentation/networking/timestamping.rst`). And `SO_ZEROCOPY` of UDP.

use alloc::vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use prise_wire::ipv4::Ipv4Header;
use prise_wire::ipv6::Ipv6Header;
use prise_wire::udp::UdpHeader;
use prise_wire::{Emit, EtherType, EthernetHeader, Instant, MacAddr, Payload};

use super::ip_options;
use super::send::Way;
use crate::option::Opt;
use crate::option::stamping::{STAMP_ONLY, TIMED, WITH_CONTROL};
use crate::socket::{Flag, Socket, Transport};
use crate::transmit_stamp::{NUMBERED, SCHEDULED, SENT};
use crate::{Control, Errno, ErrorOrigin, ErrorReport, Family, Flags, Host, Kind, SocketId};

/// Which stamps the program wants of one datagram.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Stamps {
    scheduled: bool,
    sent: bool,
    number: Option<u32>,
}

impl Stamps {
    /// As the socket has it, unless control data asks for others of this datagram.
    pub(super) fn wanted(socket: &Socket, control: &Control) -> Self {
        let flags = control.stamps.map_or(socket.value(Opt::Timestamping), i64::from);
        Self {
            scheduled: flags & SCHEDULED != 0,
            sent: flags & SENT != 0,
            number: control.stamp_number,
        }
    }

    pub(super) const fn are_wanted(self) -> bool {
        self.scheduled || self.sent
    }
}

impl Host {
    /// What `__sock_cmsg_send` refuses.
    pub(super) fn check_control(&self, s: SocketId, control: &Control) -> Result<(), Errno> {
        let socket = self.socket_ref(s)?;
        let privileged = socket.owner(self.owner) == 0;
        if (control.mark.is_some() || control.priority.is_some_and(|it| !(0..=6).contains(&it))) && !privileged {
            return Err(Errno::EPERM);
        }
        let untimed = control.transmit_time.is_some() && socket.value(Opt::TransmitTime) & TIMED == 0;
        let unnumbered = control.stamp_number.is_some() && socket.value(Opt::Timestamping) & NUMBERED == 0;
        if untimed || unnumbered {
            return Err(Errno::EINVAL);
        }
        match &control.options {
            Some(options) => ip_options::check(options, privileged),
            None => Ok(()),
        }
    }

    /// A datagram was sent: queued and on its way at once, for nothing here holds it back.
    pub(super) fn stamp_sent(&mut self, now: Instant, s: SocketId, way: &Way, payload: &Payload) {
        /// `SCM_TSTAMP_SCHED`, `SCM_TSTAMP_SND`.
        const KINDS: [u32; 2] = [1, 0];
        let Some(socket) = self.sockets.get_mut(s) else { return };
        let flags = socket.value(Opt::Timestamping);
        let number = if flags & NUMBERED == 0 {
            0
        } else {
            way.stamps.number.unwrap_or_else(|| {
                let next = socket.value(Opt::StampBase) as u32;
                socket.set_value(Opt::StampBase, next.wrapping_add(1).into());
                next
            })
        };
        let has_packet = flags & STAMP_ONLY == 0;
        let payload = if has_packet {
            socket.packet(way, payload)
        } else {
            Payload::new()
        };
        // Who has sent the packet (`ipv6_datagram_support_cmsg`, `ipv4_datagram_support_cmsg`).
        let names_sender = has_packet && (socket.family == Family::Inet6 || flags & WITH_CONTROL != 0);
        let offender = way.source.filter(|_| names_sender);
        let stamp = ErrorReport {
            errno: Some(Errno::ENOMSG),
            origin: ErrorOrigin::Timestamping,
            kind: 0,
            code: 0,
            info: 0,
            data: number,
            offender,
            destination: socket.present(way.destination),
            payload,
            link: None,
            timestamp: Some(now),
        };
        for (info, _) in KINDS
            .into_iter()
            .zip([way.stamps.scheduled, way.stamps.sent])
            .filter(|it| it.1)
        {
            self.queue_error(s, ErrorReport { info, ..stamp.clone() });
        }
    }
}

impl Host {
    /// `MSG_ZEROCOPY`: the octets were copied and may be used again. Notices that follow each other are one (`skb_zerocopy_notify_extend`).
    pub(super) fn tell_zero_copied(&mut self, s: SocketId, flags: Flags) {
        /// `SO_EE_CODE_ZEROCOPY_COPIED`.
        const COPIED: u8 = 1;
        let Some(socket) = self.sockets.get_mut(s) else { return };
        if !flags.contains(Flags::ZEROCOPY) || socket.value(Opt::ZeroCopy) == 0 {
            return;
        }
        let number = socket.value(Opt::ZeroCopies) as u32;
        socket.set_value(Opt::ZeroCopies, number.wrapping_add(1).into());
        if let Some(last) = socket.extra_mut().errors.back_mut()
            && last.origin == ErrorOrigin::ZeroCopy
        {
            last.data = number;
            return;
        }
        let destination = socket.unspecified();
        let notice = ErrorReport {
            errno: None,
            origin: ErrorOrigin::ZeroCopy,
            kind: 0,
            code: COPIED,
            info: number,
            data: number,
            offender: None,
            destination,
            payload: Payload::new(),
            link: None,
            timestamp: None,
        };
        self.queue_notice(s, notice);
    }
}

impl Socket {
    fn unspecified(&self) -> SocketAddr {
        let addr = match self.family {
            Family::Inet => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            Family::Inet6 => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        };
        SocketAddr::new(addr, 0)
    }

    /// The packet with all its headers, from the link's on. Its checksums are left to the link, as `lo` and offloading leave them.
    fn packet(&self, way: &Way, payload: &Payload) -> Payload {
        let mut headers = vec![];
        let mut put = |header: &dyn Emit| {
            let at = headers.len();
            headers.resize(at + header.emit_len(), 0);
            header.emit(&mut headers[at..]);
        };
        let udp = UdpHeader {
            source_port: self.port,
            destination_port: way.destination.port(),
            len: u16::try_from(payload.len() + 8).unwrap_or(u16::MAX),
            checksum: 0,
        };
        let is_udp = matches!(self.transport, Transport::Udp(_));
        let len = payload.len() + if is_udp { udp.emit_len() } else { 0 };
        let nobody = MacAddr([0; 6]);
        let has_header = self.kind == Kind::Raw && self.has(Flag::HeaderIncluded);
        match (way.source, way.destination.ip()) {
            (Some(IpAddr::V4(source)), IpAddr::V4(destination)) => {
                put(&EthernetHeader::new(nobody, nobody, EtherType::IPV4));
                let mut ip = Ipv4Header::new(source, destination, self.protocol, len);
                (ip.hop_limit, ip.tos) = (way.hop_limit, way.tos);
                if !has_header {
                    put(&ip);
                }
            }
            (Some(IpAddr::V6(source)), IpAddr::V6(destination)) => {
                put(&EthernetHeader::new(nobody, nobody, EtherType::IPV6));
                let mut ip = Ipv6Header::new(source, destination, self.protocol, len);
                (ip.hop_limit, ip.traffic_class) = (way.hop_limit, way.tos);
                if !has_header {
                    put(&ip);
                }
            }
            _ => {}
        }
        if is_udp {
            put(&udp);
        }
        headers.extend_from_slice(payload);
        headers.into()
    }
}
