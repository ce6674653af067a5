//! What ICMP errors about our segments do (RFC 9293 §3.9.2.2, RFC 5927, RFC 6069): they end what has not been opened yet, tell the
//! program of an open connection what may be wrong, and take timeouts back that no congestion had caused.

use core::time::Duration;

use prise_wire::{Instant, SeqNum};

use super::Tcp;
use super::connection::Connection;
use super::deadlines::Retransmit;
use super::demux::Owner;
use super::error::TcpError;
use super::half_open::{HalfOpen, Origin};
use super::info::State;
use super::tuple::FourTuple;
use crate::event::Ready;
use crate::net::{Discard, IcmpError, Net, Quoted};

impl Tcp {
    /// An ICMP error quotes a segment of ours.
    pub(crate) fn icmp_error(&mut self, now: Instant, net: &mut Net, quoted: Quoted, error: IcmpError) {
        let tuple = FourTuple::new(quoted.local, quoted.remote);
        match self.owner(&tuple) {
            Some(Owner::Connection(index)) => self.icmp_error_of_connection(now, net, index, quoted, error),
            Some(Owner::HalfOpen(index)) => self.icmp_error_of_half_open(net, index, quoted.seq, error),
            Some(Owner::TimeWait(_)) | None => net.discard(Discard::IcmpNoOwner),
        }
    }

    fn icmp_error_of_connection(&mut self, now: Instant, net: &mut Net, index: u32, quoted: Quoted, error: IcmpError) {
        let Some(connection) = self.connections.get_mut(index) else {
            return;
        };
        let seq = quoted.seq;
        if connection.is_too_far(quoted.hop_limit) {
            net.discard(Discard::TcpTooFar);
        } else if !connection.icmp_error(now, seq, error) {
            // RFC 5927 §4: it does not quote anything in flight, so it is forged or stale.
            net.discard(Discard::TcpIcmpForged);
        } else if let IcmpError::PacketTooBig { mtu } = error {
            if connection.doubt_path_mtu(mtu, seq) {
                net.discard(Discard::TcpIcmpDoubted);
            } else {
                Self::lower_path_mtu(now, net, connection, mtu);
            }
        }
        self.settle(now, net, index);
    }

    /// The SYN-ACK has not arrived. Who began the handshake will begin again if he can; the listener's program never knew of him.
    fn icmp_error_of_half_open(&mut self, net: &mut Net, index: u32, seq: SeqNum, error: IcmpError) {
        let Some(record) = self.half_open.get(index) else {
            return;
        };
        if seq != record.iss || record.origin() == Origin::Intercepted {
            net.discard(Discard::TcpIcmpForged);
        } else if record.is_ended_by(error) {
            net.discard(Discard::TcpHandshakeUnreachable);
            self.forget_half_open(index);
        } else {
            net.discard(Discard::IcmpNoOwner);
        }
    }

    pub(super) fn lower_path_mtu(now: Instant, net: &mut Net, connection: &mut Connection, mtu: u32) {
        let (local, remote) = (connection.tuple.local_ip(), connection.tuple.remote_ip());
        net.lower_path_mtu(now, remote, mtu);
        if let Ok(route) = net.route(remote, Some(local), connection.device) {
            connection.obey_path_mtu(now, route.mtu);
        }
    }
}

impl HalfOpen {
    /// Whether that error is the end of it: Linux's choice (`tcp_v4_err`, `tcp_v6_err`), which differs between the versions of IP.
    fn is_ended_by(&self, error: IcmpError) -> bool {
        match error {
            IcmpError::NetworkUnreachable
            | IcmpError::HostUnreachable
            | IcmpError::HopLimitExceeded
            | IcmpError::ReassemblyTimeExceeded => self.tuple.is_v4(),
            IcmpError::PortUnreachable
            | IcmpError::ProtocolUnreachable
            | IcmpError::Prohibited
            | IcmpError::PolicyFailed
            | IcmpError::RejectRoute => !self.tuple.is_v4(),
            IcmpError::ParameterProblem { .. } => true,
            _ => false,
        }
    }
}

impl Connection {
    /// An ICMP error that quotes `seq`; answers whether it was credible (RFC 5927 §4.1: it must be in flight).
    fn icmp_error(&mut self, now: Instant, seq: SeqNum, error: IcmpError) -> bool {
        let in_flight = self.snd.una.precedes_or_equals(seq) && seq.precedes(self.snd.nxt);
        if !in_flight {
            return false;
        }
        if let IcmpError::PacketTooBig { .. } = error {
            return true;
        }
        let Some(cause) = TcpError::from_icmp(error) else {
            return true;
        };
        if matches!(self.state, State::SynSent | State::SynReceived) {
            self.end(Some(cause));
            return true;
        }
        // RFC 9293 §3.9.2.2: soft for an established connection.
        self.soft_error = Some(cause);
        if self.config.report_errors && self.error.is_none() {
            self.error = self.soft_error.take();
            self.raise(Ready::ERROR);
        }
        let no_way = match error {
            IcmpError::NetworkUnreachable => true,
            IcmpError::HostUnreachable => self.tuple.is_v4(),
            _ => false,
        };
        if no_way && seq == self.snd.una {
            self.revert_back_off(now);
        }
        true
    }

    /// RFC 6069: what was sent again after a timeout found no way, so there was no congestion. One back-off is taken back, and the timeout
    /// counted from when the segment was last sent.
    fn revert_back_off(&mut self, now: Instant) {
        let Some(sending) = self.sending.as_deref() else { return };
        let timed_out = sending.recovery.timeouts > 0 && self.deadlines.armed(Retransmit::Rto);
        let Some(front) = sending.flight.front().filter(|_| timed_out && self.backoff > 0) else {
            return;
        };
        let passed = now.saturating_since(front.sent_at);
        self.backoff -= 1;
        let left = self.rto().saturating_sub(passed);
        if left == Duration::ZERO {
            self.on_timeout(now);
        } else {
            self.arm_timeout(Retransmit::Rto, now, left);
        }
    }
}

#[cfg(test)]
mod tests {
    use core::net::SocketAddr;

    use prise_wire::{Body, TcpHeader};

    use super::*;
    use crate::link::LinkId;
    use crate::tcp::acc_ecn::Ecn;
    use crate::tcp::segment::Segment;

    fn half_open(local: &str, remote: &str) -> HalfOpen {
        let ends: [SocketAddr; 2] = [local, remote].map(|end| end.parse().expect("an endpoint"));
        let syn = Segment::new(&TcpHeader::default(), Body::new(), Instant::ZERO, 0);
        let origin = Origin::Listener { index: 0 };
        let tuple = FourTuple::new(ends[0], ends[1]);
        let link = LinkId::new(0).expect("there is one");
        HalfOpen::new(tuple, SeqNum(0), &syn, origin, link, Ecn::None)
    }

    #[test]
    fn what_ends_a_half_open_connection_is_linuxs_choice_for_each_version() {
        let v4 = half_open("10.0.0.1:80", "10.0.0.2:5000");
        let v6 = half_open("[fd00::1]:80", "[fd00::2]:5000");
        for (error, over_v4, over_v6) in [
            (IcmpError::HostUnreachable, true, false),
            (IcmpError::NetworkUnreachable, true, false),
            (IcmpError::HopLimitExceeded, true, false),
            (IcmpError::PortUnreachable, false, true),
            (IcmpError::Prohibited, false, true),
            (IcmpError::ProtocolUnreachable, false, true),
            (IcmpError::ParameterProblem { pointer: 0 }, true, true),
            (IcmpError::PacketTooBig { mtu: 1280 }, false, false),
        ] {
            assert_eq!(
                (v4.is_ended_by(error), v6.is_ended_by(error)),
                (over_v4, over_v6),
                "{error:?}"
            );
        }
    }
}
