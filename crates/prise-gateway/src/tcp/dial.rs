//! Outbound: the host connects first, and only then does the guest get its SYN-ACK. So what the guest sees, and when, is
//! what the network said.

use core::net::SocketAddr;

use prise_stack::{IcmpError, PendingId, Refusal};
use prise_wire::Instant;
use rustix::io::Errno;

use super::flow::HostSide;
use super::{Connection, Connections, Ends, INTEREST, Stage};
use crate::ground::{Destination, Ground};
use crate::host::{self, Kind};
use crate::policy::Decision;
use crate::poll::{EventFlags, Source};
use crate::record::{Direction, Refused, Transport};
use crate::slots::Key;
use crate::tally::Discard;

/// A connect that the host has under way.
#[derive(Debug)]
pub(super) struct Dial {
    request: Request,
}

/// A connection that the guest asks for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Request {
    pub(crate) pending: PendingId,
    pub(crate) guest: SocketAddr,
    pub(crate) dialled: SocketAddr,
}

impl Connections {
    /// The guest wants a connection: asks the policy, then the host.
    pub(crate) fn on_request(&mut self, now: Instant, request: Request, ground: &mut Ground) {
        if let Err((refusal, reason)) = self.try_dial(now, request, ground) {
            refuse(now, request, refusal, reason, ground);
        }
    }

    fn try_dial(&mut self, now: Instant, request: Request, ground: &mut Ground) -> Result<(), (Refusal, Refused)> {
        let gateway = |refusal, reason| (refusal, Refused::Gateway(reason));
        let to = match ground.destination(request.dialled) {
            Destination::Host(to) => to,
            Destination::NameServer | Destination::Closed => {
                return Err((Refusal::Reset, Refused::Host(Errno::CONNREFUSED.raw_os_error())));
            }
            Destination::Martian | Destination::Group => {
                let unreachable = Refusal::Icmp(IcmpError::NetworkUnreachable);
                return Err(gateway(unreachable, Discard::ConnectMartian));
            }
        };
        if ground.decide(now, request.dialled) == Decision::Deny {
            return Err(gateway(Refusal::Icmp(IcmpError::Prohibited), Discard::ConnectDenied));
        }
        if !self.has_room() {
            return Err(gateway(Refusal::Drop, Discard::ConnectionLimit));
        }
        if self.pending >= self.limits.pending_connects {
            return Err(gateway(Refusal::Drop, Discard::PendingConnectLimit));
        }
        let failed = |errno: Errno| {
            if host::is_exhausted(errno) {
                gateway(Refusal::Drop, Discard::DescriptorsExhausted)
            } else {
                (host::refusal(errno), Refused::Host(errno.raw_os_error()))
            }
        };
        let socket = host::socket(Kind::Stream, to.ip()).map_err(failed)?;
        host::tune_stream(&socket);
        host::connect(&socket, to).map_err(failed)?;
        let key = self.slots.next_key();
        let added = ground.poll.add(&socket, Source::Connection, key, INTEREST);
        added.map_err(|_| gateway(Refusal::Drop, Discard::DescriptorsExhausted))?;
        let stage = Stage::Dial(Dial { request });
        self.slots.insert(Connection { socket, stage });
        self.pending += 1;
        Ok(())
    }

    /// The host's connect is done, one way or the other.
    pub(super) fn on_dialled(&mut self, now: Instant, key: Key, flags: EventFlags, ground: &mut Ground) {
        if !flags.intersects(EventFlags::OUT | EventFlags::ERR | EventFlags::HUP) {
            return;
        }
        let Some(Connection {
            socket,
            stage: Stage::Dial(dial),
        }) = self.slots.get(key)
        else {
            return;
        };
        let request = dial.request;
        self.pending -= 1;
        if let Err(errno) = host::take_error(socket) {
            self.slots.remove(key);
            let reason = Refused::Host(errno.raw_os_error());
            return refuse(now, request, host::refusal(errno), reason, ground);
        }
        let Request {
            pending,
            guest,
            dialled,
        } = request;
        let Ok(conn) = ground.stack.tcp_admit(now, pending, &self.config, key.index) else {
            if let Some(connection) = self.slots.remove(key) {
                host::reset(connection.socket);
            }
            let reason = Refused::Gateway(Discard::ConnectAbandoned);
            return ground.refuse(now, Transport::Tcp, guest, dialled, reason);
        };
        let mut host = HostSide::default();
        host.learn(flags);
        let ends = Ends {
            direction: Direction::Outbound,
            guest,
            remote: dialled,
        };
        self.open(now, key, conn, host, ends, ground);
    }
}

/// Tells the guest, and the record.
fn refuse(now: Instant, request: Request, refusal: Refusal, reason: Refused, ground: &mut Ground) {
    if refusal == Refusal::Drop && matches!(reason, Refused::Host(_)) {
        ground.discard(Discard::ConnectUnexplained);
    }
    ground.stack.tcp_refuse(now, request.pending, refusal);
    ground.refuse(now, Transport::Tcp, request.guest, request.dialled, reason);
}
