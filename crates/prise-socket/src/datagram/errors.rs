//! What ICMP says about datagrams: `sk_err` and the error queue (`__udp4_lib_err`, `__udp6_lib_err`, `ping_err`, `raw_err`; `ip(7)`).

use alloc::collections::VecDeque;
use core::net::IpAddr;

use prise_stack::{IcmpError, IcmpReport};
use prise_wire::Payload;

use crate::option::Opt;
use crate::socket::{Flag, Socket, Transport};
use crate::{Errno, ErrorOrigin, ErrorReport, Family, Host, SocketId};

/// What waits on a socket's error queue, with the octets that each entry is charged.
#[derive(Debug, Default)]
pub(crate) struct ErrorQueue {
    entries: VecDeque<(ErrorReport, usize)>,
    charged: usize,
}

impl ErrorQueue {
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn push(&mut self, report: ErrorReport, charge: usize) {
        self.charged += charge;
        self.entries.push_back((report, charge));
    }

    fn pop(&mut self) -> Option<ErrorReport> {
        let (report, charge) = self.entries.pop_front()?;
        self.charged -= charge;
        Some(report)
    }

    fn front(&self) -> Option<&ErrorReport> {
        self.entries.front().map(|(report, _)| report)
    }

    pub(super) fn back_mut(&mut self) -> Option<&mut ErrorReport> {
        self.entries.back_mut().map(|(report, _)| report)
    }
}

/// What Linux charges an entry with such a packet (`skb->truesize`): a small one lies in a head of one size, others in the next power of two up to
/// four pages, or in pages.
fn truesize(packet: usize) -> usize {
    /// `sizeof(struct sk_buff)`.
    const BUFFER: usize = 256;
    /// `sizeof(struct skb_shared_info)`, behind the octets.
    const SHARED: usize = 320;
    /// `SKB_SMALL_HEAD_SIZE`, rounded.
    const SMALL: usize = 576;
    const PAGES: usize = 16_384;
    let head = packet + SHARED;
    BUFFER
        + if head <= SMALL {
            SMALL
        } else if head <= PAGES {
            head.next_power_of_two()
        } else {
            SMALL + packet
        }
}

impl Host {
    /// Fetches what ICMP has said since the last time.
    pub(crate) fn collect_datagram_errors(&mut self, s: SocketId) {
        while let Some(report) = self.icmp_report(s) {
            self.take_report(s, &report);
        }
    }

    fn icmp_report(&mut self, s: SocketId) -> Option<IcmpReport> {
        match self.sockets.get(s)?.transport {
            Transport::Udp(id) => self.stack.udp_error(id),
            Transport::Ping(id) => self.stack.icmp_error(id),
            Transport::Raw(id) => self.stack.raw_error(id),
            Transport::None | Transport::Elsewhere | Transport::Connection(_) | Transport::Listener(_) => None,
        }
    }

    /// `recvmsg(2)` with `MSG_ERRQUEUE`: the oldest error that `IP_RECVERR` queued; `EAGAIN` if none.
    pub fn recv_error(&mut self, s: SocketId) -> Result<ErrorReport, Errno> {
        self.collect_error(s);
        let socket = self.socket_mut(s)?;
        let Some(extra) = &mut socket.extra else {
            return Err(Errno::EAGAIN);
        };
        let report = extra.errors.pop().ok_or(Errno::EAGAIN)?;
        // sock_dequeue_err_skb: the pending error is the next one's, or no more if this was what ICMP had said.
        match extra.errors.front() {
            Some(next) if next.origin.is_icmp() => socket.error = next.errno,
            _ if report.origin.is_icmp() => socket.error = None,
            _ => {}
        }
        self.settle_errors(s);
        Ok(report)
    }

    /// Queues an entry, unless it finds no room beside what waits to be received: then it is lost, and those before it stay (`sock_queue_err_skb`,
    /// which counts no drop).
    pub(super) fn queue_error(&mut self, s: SocketId, report: ErrorReport) {
        let charge = truesize(report.payload.len());
        let Some(socket) = self.sockets.get(s) else { return };
        let held = socket.extra.as_ref().map_or(0, |extra| extra.errors.charged);
        if self.hold_errors(s, held + charge)
            && let Some(socket) = self.sockets.get_mut(s)
        {
            socket.extra_mut().errors.push(report, charge);
        }
    }

    /// Queues a notice that must not be lost, for the octets that it is about could never be used again (`__msg_zerocopy_callback`). It is charged
    /// nothing, and those who queue it let it take the place of one behind which nothing else was queued, so that others bound their number.
    pub(super) fn queue_notice(&mut self, s: SocketId, report: ErrorReport) {
        if let Some(socket) = self.sockets.get_mut(s) {
            socket.extra_mut().errors.push(report, 0);
        }
    }

    /// Forgets all entries (`skb_errqueue_purge`).
    pub(crate) fn purge_errors(&mut self, s: SocketId) {
        if let Some(extra) = self.sockets.get_mut(s).and_then(|socket| socket.extra.as_mut()) {
            extra.errors = ErrorQueue::default();
            self.settle_errors(s);
        }
    }

    /// Entries have gone: they are charged no more.
    fn settle_errors(&mut self, s: SocketId) {
        let extra = self.sockets.get(s).and_then(|socket| socket.extra.as_ref());
        let held = extra.map_or(0, |extra| extra.errors.charged);
        // Less is never refused.
        let _ = self.hold_errors(s, held);
    }

    /// Charges the error queue in place of what was charged for it before; see [`prise_stack::Stack::udp_hold`].
    fn hold_errors(&mut self, s: SocketId, octets: usize) -> bool {
        match self.sockets.get(s).map(|socket| socket.transport) {
            Some(Transport::Udp(id)) => self.stack.udp_hold(id, octets),
            Some(Transport::Ping(id)) => self.stack.icmp_hold(id, octets),
            Some(Transport::Raw(id)) => self.stack.raw_hold(id, octets),
            _ => false,
        }
    }

    /// A program that did not ask for all errors learns of those that are final, and only if it is connected: otherwise it could not tell which of
    /// its datagrams is meant.
    fn take_report(&mut self, s: SocketId, report: &IcmpReport) {
        let Some(socket) = self.sockets.get_mut(s) else { return };
        let destination = report.destination.ip();
        let (errno, is_final) = socket.judge(report);
        let (asked, connected) = (socket.receives_errors(destination), socket.remote().is_some());
        if asked || is_final && connected {
            socket.error = Some(errno);
        }
        if asked {
            let entry = socket.entry(errno, report);
            self.queue_error(s, entry);
        }
    }
}

impl Host {
    /// Whether `recv_error` has something to give: what keeps `POLLERR` up (`sock_queue_err_skb`).
    pub fn has_queued_errors(&self, s: SocketId) -> bool {
        let extra = self.sockets.get(s).and_then(|socket| socket.extra.as_ref());
        extra.is_some_and(|extra| !extra.errors.is_empty())
    }

    /// Whether the next call is told that nobody is where a datagram went: of a socket with a peer, or that asked for errors (`udp_err`).
    pub fn is_told_of_errors(&self, s: SocketId) -> bool {
        let asks = |socket: &Socket| socket.has(Flag::ReceiveErrors) || socket.has(Flag::V6ReceiveErrors);
        self.named_peer(s).is_some() || self.sockets.get(s).is_some_and(asks)
    }
}

impl Socket {
    /// Whether errors about that destination are to be queued (`IP_RECVERR`, `IPV6_RECVERR`).
    pub(super) fn receives_errors(&self, destination: IpAddr) -> bool {
        match destination.to_canonical() {
            IpAddr::V4(_) => self.has(Flag::ReceiveErrors),
            IpAddr::V6(_) => self.has(Flag::V6ReceiveErrors),
        }
    }

    /// The error, and whether it is final: of a packet that was too big, if the program wants to find the path's MTU.
    fn judge(&self, report: &IcmpReport) -> (Errno, bool) {
        let destination = report.destination.ip();
        let (errno, mut is_final) = errno_of(report.error, destination);
        if matches!(report.error, IcmpError::PacketTooBig { .. }) {
            let opt = if destination.is_ipv4() {
                Opt::MtuDiscover
            } else {
                Opt::V6MtuDiscover
            };
            is_final = self.value(opt) != 0;
        }
        (errno, is_final)
    }

    fn entry(&self, errno: Errno, report: &IcmpReport) -> ErrorReport {
        let v4 = report.destination.is_ipv4();
        let (kind, code) = if v4 {
            report.error.type_and_code_v4()
        } else {
            report.error.type_and_code_v6()
        }
        .unwrap_or_default();
        let info = match report.error {
            IcmpError::PacketTooBig { mtu } => mtu,
            IcmpError::ParameterProblem { pointer }
            | IcmpError::OptionUnrecognized { pointer }
            | IcmpError::BadLength { pointer }
            | IcmpError::HeaderChainIncomplete { pointer } => pointer,
            _ => 0,
        };
        let offender = match (self.family, report.offender) {
            (Family::Inet6, IpAddr::V4(v4)) => IpAddr::V6(v4.to_ipv6_mapped()),
            (_, addr) => addr,
        };
        ErrorReport {
            errno: Some(errno),
            origin: if v4 { ErrorOrigin::Icmp } else { ErrorOrigin::Icmp6 },
            kind,
            code,
            info,
            data: 0,
            offender: Some(offender),
            destination: self.present(report.destination),
            payload: Payload::from(report.payload.to_vec()),
            link: None,
            timestamp: None,
        }
    }
}

/// Number and finality of an ICMP error: `icmp_err_convert` for IPv4, `icmpv6_err_convert` for IPv6.
const fn errno_of(error: IcmpError, destination: IpAddr) -> (Errno, bool) {
    let v4 = destination.is_ipv4();
    match error {
        IcmpError::NetworkUnreachable | IcmpError::NetworkUnreachableForTos => (Errno::ENETUNREACH, false),
        IcmpError::HostUnreachable | IcmpError::HostUnreachableForTos | IcmpError::BeyondScope => {
            (Errno::EHOSTUNREACH, false)
        }
        IcmpError::ProtocolUnreachable if v4 => (Errno::ENOPROTOOPT, true),
        IcmpError::PortUnreachable => (Errno::ECONNREFUSED, true),
        IcmpError::PacketTooBig { .. } => (Errno::EMSGSIZE, false),
        IcmpError::SourceRouteFailed => (Errno::EOPNOTSUPP, false),
        IcmpError::NetworkUnknown | IcmpError::NetworkProhibited => (Errno::ENETUNREACH, true),
        IcmpError::HostUnknown => (Errno::EHOSTDOWN, true),
        IcmpError::SourceIsolated => (Errno::ENONET, true),
        IcmpError::HostProhibited | IcmpError::PrecedenceViolation | IcmpError::PrecedenceCutoff => {
            (Errno::EHOSTUNREACH, true)
        }
        IcmpError::Prohibited if v4 => (Errno::EHOSTUNREACH, true),
        IcmpError::Prohibited | IcmpError::PolicyFailed | IcmpError::RejectRoute => (Errno::EACCES, true),
        IcmpError::HopLimitExceeded | IcmpError::ReassemblyTimeExceeded => (Errno::EHOSTUNREACH, false),
        IcmpError::ProtocolUnreachable
        | IcmpError::ParameterProblem { .. }
        | IcmpError::OptionMissing
        | IcmpError::BadLength { .. }
        | IcmpError::HeaderChainIncomplete { .. }
        | IcmpError::OptionUnrecognized { .. } => (Errno::EPROTO, true),
    }
}
