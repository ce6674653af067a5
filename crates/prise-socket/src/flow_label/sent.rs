//! Which traffic class and flow label a socket sends, by option, by a peer's name or by control data (`net/ipv6/datagram.c`), and whether it may:
//! asked by whoever connects a socket or sends a message.

use core::net::SocketAddr;

use prise_stack::FlowLabel;
use prise_wire::Instant;

use super::LABEL;
use crate::option::Opt;
use crate::socket::{Flag, Socket};
use crate::{Control, Errno, Family, Host, SocketId};

/// The bits of `sin6_flowinfo` that are anything (`IPV6_FLOWINFO_MASK`).
const INFO: u32 = 0x0fff_ffff;
/// The two bits of ECN in it, which are TCP's own on a stream (`IP6_ECN_flow_init`).
const ECN: u32 = 3 << 20;

/// Which option sends `sin6_flowinfo` is a bit of [`Opt::Receive6`] (`IPV6_FLOWINFO_SEND`).
pub(crate) const SEND_BIT: u8 = 7;

impl Host {
    /// Traffic class and label of a message to who was named, or to the peer, and what is wrong with them (`udpv6_sendmsg`,
    /// `ip6_datagram_send_ctl`).
    pub(crate) fn flow_info_to_send(
        &self,
        now: Instant,
        s: SocketId,
        named: Option<SocketAddr>,
        control: &Control,
    ) -> Result<u32, Errno> {
        let socket = self.socket_ref(s)?;
        if socket.family != Family::Inet6 {
            return Ok(0);
        }
        let info = match named {
            Some(_) => socket.flow_info_named(named),
            None => socket.value(Opt::FlowInfo) as u32,
        };
        if named.is_some() {
            self.check_leased(now, socket, info)?;
        }
        let Some(given) = control.flow_info else {
            return Ok(info);
        };
        // All that is compared is the version, which the name's has not.
        if info != 0 && given & !INFO != 0 {
            return Err(Errno::EINVAL);
        }
        self.check_leased(now, socket, given & INFO)?;
        Ok(given & INFO)
    }

    /// The traffic class and label that `connect(2)` names for all that is sent from then on (`tcp_v6_connect`, `__ip6_datagram_connect`).
    pub(crate) fn flow_info_to_connect(&self, now: Instant, s: SocketId, remote: SocketAddr) -> Result<u32, Errno> {
        let socket = self.socket_ref(s)?;
        let info = socket.flow_info_named(Some(remote));
        let info = if socket.kind == crate::Kind::Stream {
            info & !ECN
        } else {
            info
        };
        self.check_leased(now, socket, info)?;
        Ok(info)
    }

    /// `fl6_sock_lookup`.
    fn check_leased(&self, now: Instant, socket: &Socket, info: u32) -> Result<(), Errno> {
        let label = info & LABEL;
        if label == 0 || socket.has_leased(label) || !self.flow_labels.are_heeded(now) {
            return Ok(());
        }
        Err(Errno::EINVAL)
    }
}

impl Socket {
    /// Whether names of peers say what class and label to send, and tell it (`IPV6_FLOWINFO_SEND`).
    pub(crate) fn sends_flow_info(&self) -> bool {
        self.value(Opt::Receive6) >> SEND_BIT & 1 != 0
    }

    fn flow_info_named(&self, named: Option<SocketAddr>) -> u32 {
        match named {
            Some(SocketAddr::V6(v6)) if self.sends_flow_info() && v6.ip().to_ipv4_mapped().is_none() => {
                v6.flowinfo() & INFO
            }
            _ => 0,
        }
    }

    /// Remembers what `connect(2)` has named.
    pub(crate) fn set_flow_info(&mut self, info: u32) {
        if info == 0 {
            self.unset_value(Opt::FlowInfo);
        } else {
            self.set_value(Opt::FlowInfo, info.into());
        }
    }

    /// The label of packets with that class and label, if it has one, else the flow's unless the socket does without
    /// (`ip6_make_flowlabel`, `IPV6_AUTOFLOWLABEL`).
    pub(crate) fn flow_label(&self, info: u32) -> FlowLabel {
        match info & LABEL {
            0 if !self.has(Flag::V6AutoFlowLabelOff) => FlowLabel::OfFlow,
            label => FlowLabel::Given(label),
        }
    }

    /// A peer's name with what is sent to it, where names tell it (`inet6_getname`).
    pub(crate) fn with_flow_info(&self, peer: SocketAddr) -> SocketAddr {
        match peer {
            SocketAddr::V6(mut v6) if self.sends_flow_info() => {
                v6.set_flowinfo(self.value(Opt::FlowInfo) as u32);
                v6.into()
            }
            _ => peer,
        }
    }
}
