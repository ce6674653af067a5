//! connect(2) of a stream that may be handed ([`crate::handed`]): where it leads, and the kernel's connect in the program's stead.
//!
//! It is made here, on a copy of the program's descriptor and without waiting, so that the address means what it means in the run
//! and no call is let through that was judged. A call that waits is parked, and asks again when the kernel's connect is over.

use core::net::{Ipv4Addr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};

use prise_socket::{Destination, Errno, Family, SocketId};
use rustix::event::PollFlags;
use rustix::event::epoll::EventFlags;
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::net::{AddressFamily, connect, getsockname, sockopt};

use crate::calls::Target;
use crate::guest::notify::{Answer, Call, DONE, Judged, errno};
use crate::guest::sockaddr::{canonical, for_family};
use crate::handed::adopted::is_closed;
use crate::handed::marked::take_failure;
use crate::handed::native_listener::{Names, own_name};
use crate::handed::{Handed, Stage};
use crate::socket::unix;
use crate::socket::{Role, Slot};
use crate::supervisor::Supervisor;
use crate::waiting::parked::Wish;

/// How a connection is handed.
struct Leg {
    /// Where it leads, as the run names it.
    seen: SocketAddr,
    /// The same in the host's network.
    to: SocketAddr,
    whom: Whom,
}

/// Who is at the other end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whom {
    /// Somebody outside of the run.
    Stranger,
    /// A listener of the run that is the kernel's own.
    Listener,
    /// Another listener of the run.
    Neighbor,
    /// No listener: the kernel refuses.
    Nobody,
}

/// What becomes of a connect(2).
pub(crate) enum Way {
    /// It was decided.
    Judged(Judged),
    /// It is the run's own affair, or has to be pumped.
    Inside(Target),
}

/// A place of the host's as a stream's object calls it. An end that was accepted from a pair is IPv4's, whatever its socket is.
fn named_for(object: &OwnedFd, family: Family, at: SocketAddr) -> SocketAddr {
    if family == Family::Inet6 && sockopt::socket_domain(object) == Ok(AddressFamily::INET) {
        return canonical(at);
    }
    for_family(at, family)
}

impl Supervisor {
    /// A stream that was seen while it connected may have failed since, and its program have been told so by the kernel: it is new then, and the
    /// next connect(2) looks at its address.
    pub(crate) fn forget_told_failure(&mut self, target: &Target) {
        let socket = self.sockets.get(target.slot);
        let may_have_failed =
            socket.is_some_and(|it| matches!(&it.role, Role::Handed(handed) if handed.stage != Stage::Idle));
        if may_have_failed && take_failure(&target.copy) {
            self.let_go_of_peer(target);
        }
    }

    /// A stream that was shut while it connected is new again. A call that waits for it is told first.
    pub(crate) fn forget_given_up(&mut self, target: &Target) {
        let is_connecting =
            |role: &Role| matches!(role, Role::Handed(handed) if matches!(handed.stage, Stage::Connecting(_)));
        let socket = self.sockets.get(target.slot);
        if socket.is_some_and(|it| is_connecting(&it.role))
            && has_given_up(&target.copy)
            && self.parked.waiting_on(target.slot).is_empty()
        {
            self.let_go_of_peer(target);
        }
    }

    /// connect(2) of a stream: made by the host's kernel where it leaves the run and may be handed.
    pub(crate) fn connect_outside(&mut self, call: &Call, target: Target, remote: SocketAddr) -> Result<Way, Errno> {
        if !self.hands.are_allowed() {
            return Ok(Way::Inside(target));
        }
        let socket = self.entry(target.slot)?;
        let id = socket.id;
        let born_handed = match socket.role {
            Role::Fresh => false,
            Role::Handed(Handed { stage: Stage::Idle }) => true,
            Role::Handed(_) => return Ok(Way::Judged(self.connect_again(call, &target))),
            // The kernel's object is tied to its place.
            Role::Listener(ref listening) if listening.ended && listening.is_native() => {
                if self.host.leads_to(id, remote).is_none() {
                    // Nowhere, and the object stays what it is.
                    return Ok(Way::Inside(target));
                }
                // Where the kernel's cannot follow on it (O_ASYNC), our TCP can.
                return match self.renewed_natively(call, &target) {
                    Ok(target) => self.connect_outside(call, target, remote),
                    Err(_) => Ok(Way::Inside(target)),
                };
            }
            _ => return Ok(Way::Inside(target)),
        };
        let process = self.guests.process(call.tid);
        // What is known when connect(2) returns needs no object that shows it.
        let shows_failure = born_handed || !unix::blocks(&target.copy);
        let Some(leg) = self.leg(id, remote, shows_failure) else {
            self.hands.note(process, false);
            return Ok(Way::Inside(target));
        };
        if leg.whom != Whom::Nobody {
            self.hands.note(process, true);
        }
        let target = if born_handed && is_tied(&target.copy, leg.to) {
            // Where nothing can take its place the kernel says what there is to say.
            self.untied(call, &target).unwrap_or(target)
        } else if born_handed {
            target
        } else {
            match self.replace_by_hosts(call, target) {
                Ok(target) => target,
                Err(target) => return Ok(Way::Inside(target)),
            }
        };
        if self.host.connect_elsewhere(id, leg.seen).is_err() {
            // No port that is nobody else's: the stack can share one.
            return self.unused(call, target).map(Way::Inside);
        }
        let to = named_for(&target.copy, self.entry(target.slot)?.family, leg.to);
        self.set_stage(target.slot, Stage::Connecting(to));
        match leg.whom {
            Whom::Listener => self.dial_within(call, target, leg.seen),
            Whom::Neighbor => self.dial_neighbor(call, target, (leg.seen, to)),
            Whom::Stranger | Whom::Nobody => Ok(Way::Judged(self.dial(call, &target, to, false))),
        }
    }

    /// How a connection from `id` to `remote` can be handed, if it can.
    fn leg(&mut self, id: SocketId, remote: SocketAddr, shows_failure: bool) -> Option<Leg> {
        match self.host.leads_to(id, remote)? {
            Destination::Outside(seen) if self.hands.outside() => Some(Leg {
                seen,
                to: self.gate.as_ref()?.host_endpoint(seen)?,
                whom: Whom::Stranger,
            }),
            Destination::Own { local, remote: seen } if self.hands.inside() => {
                // Which port it will come from decides nothing yet but which of several equal listeners gets it.
                let from = SocketAddr::new(local, 0);
                if self.nobody_listens(id, seen, from) {
                    return shows_failure.then_some(Leg {
                        seen,
                        to: self.hands.meeting().ok()?.nobody(),
                        whom: Whom::Nobody,
                    });
                }
                if let Some(listener) = self.native_listener_within(seen, from) {
                    // The kernel's ends are IPv4's: they would heed the wrong one of both, or none.
                    if canonical(seen).is_ipv6() && self.is_about_hops(id, listener) {
                        return None;
                    }
                    return Some(Leg {
                        seen,
                        to: self.native_listener(listener)?.at(),
                        whom: Whom::Listener,
                    });
                }
                let neighbor = self.listener_within(seen, from)?;
                // No listener of the kernel's hears the handshake of a pair, which is made at once.
                if self.is_about_hops(id, neighbor) || self.host.defers_connect(id) {
                    return None;
                }
                Some(Leg {
                    seen,
                    to: self.hands.meeting().ok()?.at(),
                    whom: Whom::Neighbor,
                })
            }
            _ => None,
        }
    }

    /// Whether one of both has said from how far away it is to be reached (`IP_MINTTL`, `IPV6_MINHOPCOUNT`).
    fn is_about_hops(&self, id: SocketId, listener: Slot) -> bool {
        let listener = self.sockets.get(listener).map(|listener| listener.id);
        [Some(id), listener]
            .into_iter()
            .flatten()
            .any(|id| self.host.has_least_hops(id))
    }

    /// Connects the program's socket to a listener of the kernel's.
    fn dial_within(&mut self, call: &Call, target: Target, seen: SocketAddr) -> Result<Way, Errno> {
        use rustix::io::Errno as E;
        let socket = self.entry(target.slot)?;
        let (id, family) = (socket.id, socket.family);
        let names = Names {
            guest: seen,
            shown: canonical(self.host.local_addr(id)?),
        };
        let flags = fcntl_getfl(&target.copy).map_err(errno)?;
        let (connected, to) = match self.dial_listener(&target, names, |at| {
            connect_without_waiting(&target.copy, named_for(&target.copy, family, at), flags)
        }) {
            Ok((connected, at)) => (connected, named_for(&target.copy, family, at)),
            Err(E::CONNREFUSED) => {
                self.let_go_of_peer(&target);
                return Ok(Way::Judged(Err(Errno::ECONNREFUSED)));
            }
            Err(_) => {
                // No port or no route of the host's: our TCP has its own.
                self.let_go_of_peer(&target);
                return self.unused(call, target).map(Way::Inside);
            }
        };
        self.set_stage(target.slot, Stage::Connecting(to));
        Ok(Way::Judged(match self.dialled(target.slot, connected.is_ok(), flags) {
            Some(judged) => judged,
            None => Ok(self.wait_for_handshake(call, &target, Errno::EINPROGRESS)),
        }))
    }

    /// What connect(2) within the run says once it is begun; none if it is to wait.
    fn dialled(&mut self, slot: Slot, connected: bool, flags: OFlags) -> Option<Judged> {
        // A call that would not wait is told so even where the end is known, and finds it out by poll(2) or another connect(2): unless the
        // kernel holds the SYN back for the first octets.
        if flags.contains(OFlags::NONBLOCK) && !connected {
            return Some(Err(Errno::EINPROGRESS));
        }
        connected.then(|| {
            self.set_stage(slot, Stage::Connected);
            DONE
        })
    }

    /// Makes a pair of the program's socket and one that waits at the listener.
    fn dial_neighbor(
        &mut self,
        call: &Call,
        target: Target,
        (seen, to): (SocketAddr, SocketAddr),
    ) -> Result<Way, Errno> {
        use rustix::io::Errno as E;
        let Target { slot, copy } = &target;
        let id = self.entry(*slot)?.id;
        let shown = canonical(self.host.local_addr(id)?);
        let flags = fcntl_getfl(copy).map_err(errno)?;
        let listener = self.listener_within(seen, shown);
        let connected = match listener {
            Some(_) => connect_without_waiting(copy, to, flags),
            None => Err(E::CONNREFUSED),
        };
        let begun = matches!(connected, Ok(()) | Err(E::INPROGRESS));
        let paired = |listener| self.pair(copy, listener, (seen, shown)).is_ok();
        if !(begun && listener.is_some_and(paired)) {
            // With a listener that has room only a loopback that cannot be used prevents it, now and later.
            if listener.is_some() {
                self.hands.give_up_inside();
            }
            self.let_go_of_peer(&target);
            return self.unused(call, target).map(Way::Inside);
        }
        self.note_ends(target.slot, &target.copy);
        Ok(Way::Judged(match self.dialled(target.slot, connected.is_ok(), flags) {
            Some(judged) => judged,
            None => self.dial(call, &target, to, false),
        }))
    }

    /// Makes the kernel's connect, or asks how far it is; a blocking call waits.
    fn dial(&mut self, call: &Call, target: &Target, to: SocketAddr, again: bool) -> Judged {
        match self.try_dial(target, to, again) {
            Err(still @ (Errno::EINPROGRESS | Errno::EALREADY)) if unix::blocks(&target.copy) => {
                Ok(self.wait_for_handshake(call, target, still))
            }
            judged => judged,
        }
    }

    /// The same without waiting.
    fn try_dial(&mut self, target: &Target, to: SocketAddr, again: bool) -> Judged {
        use rustix::io::Errno as E;
        let flags = fcntl_getfl(&target.copy).map_err(errno)?;
        let connected = connect_without_waiting(&target.copy, to, flags);
        if !again && matches!(connected, Ok(()) | Err(E::INPROGRESS)) {
            self.note_way(target, to);
        }
        match connected {
            Ok(()) => {
                self.set_stage(target.slot, Stage::Connected);
                DONE
            }
            Err(still @ (E::INPROGRESS | E::ALREADY)) => Err(errno(still)),
            Err(E::ISCONN) => {
                self.set_stage(target.slot, Stage::Connected);
                Err(Errno::EISCONN)
            }
            // Shut while it connected (SS_DISCONNECTING): only AF_UNSPEC lets it connect again, and its name stays.
            Err(E::INVAL) if again => Err(Errno::EINVAL),
            Err(error) => {
                self.let_go_of_peer(target);
                Err(errno(error))
            }
        }
    }

    /// A blocking call waits; one whose time is over is told that it is `still` so.
    pub(crate) fn wait_for_handshake(&mut self, call: &Call, target: &Target, still: Errno) -> Answer {
        self.watch_handed(target, false);
        let timeout = sockopt::socket_timeout(&target.copy, sockopt::Timeout::Send);
        self.park(call, target.slot, Wish::Connect(still), timeout.ok().flatten());
        Answer::Settled
    }

    /// connect(2) once more.
    fn connect_again(&mut self, call: &Call, target: &Target) -> Judged {
        let to = self.leads_on(target.slot)?;
        self.dial(call, target, to, true)
    }

    /// The same for a call that waits.
    fn asked_again(&mut self, target: &Target) -> Judged {
        use rustix::io::Errno as E;
        let to = self.leads_on(target.slot)?;
        let error = is_closed(&target.copy).then(|| sockopt::socket_error(&target.copy));
        match error {
            // Shut while it connected (inet_shutdown, net/ipv4/af_inet.c): it is a new stream, which would connect once more.
            Some(Ok(Err(E::CONNRESET))) => {
                self.let_go_of_peer(target);
                Err(Errno::ECONNRESET)
            }
            // The error has been told, and connect(2) has only to end what it was about.
            Some(Ok(Err(error))) => {
                let _ = self.try_dial(target, to, true);
                Err(errno(error))
            }
            _ => self.try_dial(target, to, true),
        }
    }

    /// Where a connect leads that was made and whose end was not yet seen.
    fn leads_on(&mut self, slot: Slot) -> Result<SocketAddr, Errno> {
        match self.entry(slot)?.role {
            Role::Handed(Handed {
                stage: Stage::Connecting(to),
            }) => Ok(to),
            _ => Err(Errno::EISCONN),
        }
    }

    /// connect(2) with `AF_UNSPEC`.
    pub(crate) fn disconnect_handed(&mut self, target: &Target) -> Judged {
        self.leave_what_is_over(target);
        rustix::net::connect_unspec(&target.copy).map_err(errno)?;
        if sockopt::socket_domain(&target.copy) == Ok(AddressFamily::INET6) {
            // A client of a published port came to an address of IPv6, by which the kernel speaks nothing else (`inet6_bind`); what the program
            // may connect to next is the run's affair. Who has bound it to a port keeps what that made of it.
            let _ = sockopt::set_ipv6_v6only(&target.copy, false);
        }
        self.let_go_of_peer(target);
        DONE
    }

    /// The socket is as before connect(2).
    fn let_go_of_peer(&mut self, target: &Target) {
        let Some(socket) = self.sockets.get(target.slot) else {
            return;
        };
        // What connect(2) has given it, or its listener.
        let own = self.host.local_addr(socket.id).map(canonical);
        if own.is_ok_and(|own| own.is_ipv6()) {
            speak_own_version(&target.copy);
        }
        // Fails only for what is no socket.
        let _ = self.host.disconnect(self.now, socket.id);
        self.set_stage(target.slot, Stage::Idle);
        self.bring_back(target);
    }

    /// A blocking connect wants to know when the kernel's is over; `again`: it was told of something else.
    fn watch_handed(&mut self, target: &Target, again: bool) {
        let (poller, slot) = (&self.poller, target.slot);
        // One that was shut hangs up already, which cannot be masked: it is told of each change, and asked for once.
        let hangs_up = unix::shows(&target.copy, PollFlags::HUP);
        if hangs_up && again {
            return;
        }
        let once = if hangs_up { EventFlags::ET } else { EventFlags::ONESHOT };
        let interest = EventFlags::OUT | once;
        // Unwatched, the call still sees signals and its timeout.
        let _ = self
            .ledger
            .through_door(target.copy.as_fd(), |door| poller.watch_once(door, slot, interest));
    }

    /// The kernel's connect may be over.
    pub(crate) fn attend_handed(&mut self, slot: Slot) {
        for id in self.parked.waiting_on(slot) {
            let Some(parked) = self.parked.remove(id) else { continue };
            let Some(target) = self.target_again(&parked.call, slot) else {
                self.answer(&parked.call, Err(Errno::EBADF));
                continue;
            };
            match self.asked_again(&target) {
                Err(Errno::EINPROGRESS | Errno::EALREADY) => {
                    // With its place and its deadline.
                    self.parked.restore(id, parked, self.now);
                    self.watch_handed(&target, true);
                }
                judged => self.answer(&parked.call, judged),
            }
        }
    }
}

/// connect(2) on an open file that others share: without waiting, whatever its flags say.
pub(crate) fn connect_without_waiting(copy: &OwnedFd, to: SocketAddr, flags: OFlags) -> Result<(), rustix::io::Errno> {
    if flags.contains(OFlags::NONBLOCK) {
        return connect(copy, &to);
    }
    fcntl_setfl(copy, flags | OFlags::NONBLOCK)?;
    let connected = match connect(copy, &to) {
        // On loopback the handshake is over by now.
        Err(rustix::io::Errno::INPROGRESS) => match connect(copy, &to) {
            Err(rustix::io::Errno::ALREADY) => Err(rustix::io::Errno::INPROGRESS),
            other => other,
        },
        other => other,
    };
    fcntl_setfl(copy, flags)?;
    connected
}

/// Whether a stream without a peer cannot be connected to that place of the host's network: one that was accepted and disconnected has its
/// listener's address, from which nothing leaves the host.
fn is_tied(copy: &OwnedFd, to: SocketAddr) -> bool {
    let to = canonical(to).ip();
    own_name(copy).is_ok_and(|own| {
        let is_near = to.is_loopback() && to.is_ipv4() == own.is_ipv4();
        !(own.ip().is_unspecified() || is_near)
    })
}

/// A stream of IPv6 that has had a peer by IPv6 in the run, and perhaps one by IPv4 in the kernel, speaks IPv6 to the next one: the kernel
/// would go on with IPv4, whatever the address, but for a connect(2) by IPv4 that fails at once (`tcp_v6_connect`, net/ipv6/tcp_ipv6.c).
fn speak_own_version(copy: &OwnedFd) {
    let everybody = SocketAddr::new(Ipv4Addr::BROADCAST.to_ipv6_mapped().into(), 1);
    // No stream leads there; nor does one that speaks IPv6 only, and never spoke anything else.
    let _ = connect(copy, &everybody);
}

/// Whether a stream has given its peer up: it was shut while it connected (`inet_shutdown`, net/ipv4/af_inet.c), or its connect(2) has failed, of which its
/// program was told. Its address is gone then, unless bind(2) gave it that; the port is shown still.
pub(crate) fn has_given_up(copy: &OwnedFd) -> bool {
    let name = || SocketAddr::try_from(getsockname(copy).ok()?).ok();
    is_closed(copy) && name().is_some_and(|it| it.ip().is_unspecified())
}
