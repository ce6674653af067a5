//! Connections within the run that bear one name inside and outside, of which nothing is remembered.
//!
//! ```text
//! the client     127.0.0.1:k ── connect(2), made here, marked ── the kernel's name is the run's
//! the listener   127.0.0.1:L ── accept(2), let through ────────── the peer's name is the run's, its own is looked up
//! ```
//! A new stream that connects to 127.0.0.1 comes from 127.0.0.1, in the run as in the host's kernel, and its port is picked: so it may be
//! the kernel's pick. Nothing is then between the two names of the client, and the kernel's accept(2) tells the right one. What is
//! left to translate is the listener's port, one entry for each listener ([`crate::handed::places`]). Both ends are adopted by their names when
//! somebody asks, as connections that leave are ([`crate::handed::marked`]).
//!
//! *Who is let through.* Anybody of the host may connect to the listener's port, so accept(2) is left to the kernel only where its queue
//! holds exactly those that the run has sent, by number: who comes after the count stands behind them. What was granted
//! counts until the queue shows that it was taken; so there is one grant at a time, and who calls meanwhile waits for the next look
//! (a *crowd*). Listeners that see strangers or crowds are served the long way from then on ([`crate::handed::native_accept`]).

use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::ops::Range;
use core::time::Duration;
use std::collections::VecDeque;
use std::os::fd::{AsFd, OwnedFd};

use prise_shortcut::chart::Mark;
use prise_socket::{Errno, Family};
use prise_sys::sockopt as options;
use prise_wire::Instant;
use rustix::fs::{OFlags, fcntl_getfl};

use crate::calls::{Found, Target};
use crate::guest::notify::{Answer, Call, DONE, Judged};
use crate::guest::sockaddr::canonical;
use crate::handed::Stage;
use crate::handed::dial::connect_without_waiting;
use crate::handed::late::{Late, has_gone_on};
use crate::handed::lingering::Ends;
use crate::handed::marked;
use crate::handed::native_accept::Seen;
use crate::handed::native_listener::{Expected, Names, NativeListener, own_name};
use crate::handed::noted::{Noted, is_tcp};
use crate::socket::{Holder, Slot};
use crate::supervisor::Supervisor;

pub(crate) const HOME: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// The names of the last clients that were let through: what of them is in TIME-WAIT holds the listener's port when it is closed.
const GIVEN_MAX: usize = 16;

/// A crowd is looked at again so soon.
pub(crate) const CROWD_INTERVAL: Duration = Duration::from_micros(50);

/// Whoever has not taken what was granted after this time is stopped, or gone.
const GRANT_LASTS: Duration = Duration::from_secs(1);

/// An accept(2) that was left to the kernel.
#[derive(Debug, Clone, Copy)]
struct Grant {
    names: Names,
    tid: u32,
    at: Instant,
    /// Somebody else waits for it to be taken.
    is_crowded: bool,
    /// Its thread has called again, or is known to be late.
    is_settled: bool,
}

/// What a listener lets through.
#[derive(Debug, Default)]
pub(crate) struct Grants {
    /// The last one, until the queue shows that it was taken.
    open: Option<Grant>,
    crowds: Crowds,
    /// Threads that had perhaps not taken theirs when the supervisor took somebody.
    late: Late,
    /// The names of the last clients that were let through.
    given: VecDeque<Names>,
}

/// How often a call of a listener's found another before it that the kernel had perhaps not made yet.
#[derive(Debug, Default)]
pub(crate) struct Crowds {
    met: u8,
    is_over: bool,
}

impl Crowds {
    /// After so many the supervisor accepts itself.
    pub(crate) const MAX: u8 = 16;

    /// Whether the supervisor accepts itself, for good.
    pub(crate) fn is_over(&self) -> bool {
        self.is_over
    }

    /// It does from now on.
    pub(crate) fn end(&mut self) {
        self.is_over = true;
    }

    /// There is one before a call; each call makes one crowd at most, which it remembers in `is_crowded`.
    pub(crate) fn meet(&mut self, is_crowded: &mut bool) {
        self.met = self.met.saturating_add(u8::from(!core::mem::replace(is_crowded, true)));
        self.is_over |= self.met >= Self::MAX;
    }
}

/// What accept(2) is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Granted {
    /// The kernel does it.
    Native,
    /// Another call was left to the kernel and has perhaps not been made yet.
    Crowded,
    /// The supervisor does it.
    No,
}

impl Grants {
    /// A stranger has come.
    pub(crate) fn end(&mut self) {
        self.crowds.end();
    }

    /// The names of the last clients that were let through.
    pub(crate) fn given(&self) -> impl Iterator<Item = Names> {
        self.given.iter().copied()
    }

    /// The client of a call that was left to the kernel and did not take it.
    pub(crate) fn take_back(&mut self, from: SocketAddr) -> Option<Names> {
        self.give_up_waiting();
        self.open.take_if(|grant| grant.names.shown == from).map(|it| it.names)
    }

    /// Whether a call that was left to the kernel may yet find somebody though the supervisor accepts itself.
    pub(crate) fn may_come(&mut self) -> bool {
        self.give_up_waiting();
        self.late.may_come(has_gone_on)
    }

    /// A thread calls again: its last call is over.
    pub(crate) fn has_returned(&mut self, tid: u32) {
        self.late.has_returned(tid);
        if let Some(grant) = self.open.as_mut().filter(|it| it.tid == tid) {
            grant.is_settled = true;
        }
    }

    /// The supervisor accepts, whatever becomes of the call that was granted last.
    fn give_up_waiting(&mut self) {
        if let Some(grant) = &mut self.open
            && !core::mem::replace(&mut grant.is_settled, true)
        {
            self.late.note(grant.tid);
        }
    }

    /// Who calls has [returned](Self::has_returned). `waiting` connections are in the queue, of which `expected` are known not to be granted
    /// to anybody. `all_plain`: each of these is called the same within the run.
    fn judge(
        &mut self,
        tid: u32,
        waiting: usize,
        expected: &mut VecDeque<Expected>,
        all_plain: bool,
        now: Instant,
    ) -> Granted {
        if waiting == expected.len() && !may_be_elsewhere(expected) {
            self.open = None;
            let next = if all_plain && !self.crowds.is_over() {
                expected.pop_front()
            } else {
                None
            };
            let Some(names) = next.map(|it| it.names) else {
                return Granted::No;
            };
            self.open = Some(Grant {
                names,
                tid,
                at: now,
                is_crowded: false,
                is_settled: false,
            });
            if self.given.len() == GIVEN_MAX {
                self.given.pop_front();
            }
            self.given.push_back(names);
            return Granted::Native;
        }
        match &mut self.open {
            Some(it) if !it.is_settled && now.saturating_since(it.at) < GRANT_LASTS => {
                self.crowds.meet(&mut it.is_crowded);
                Granted::Crowded
            }
            _ => Granted::No,
        }
    }

    /// Whether there is anything to judge.
    fn matter(&self, all_plain: bool, expected: usize) -> bool {
        self.open.is_some() || all_plain && expected > 0 && !self.crowds.is_over()
    }
}

/// Whether it is not known of all clients that they are in the queue: some still shook hands when that was looked at last.
fn may_be_elsewhere(expected: &VecDeque<Expected>) -> bool {
    expected.iter().any(Expected::is_underway)
}

/// Where `struct tcp_info` (linux/tcp.h) has `tcpi_unacked`: of a listener, the connections in its queue.
pub(crate) const UNACKED: Range<usize> = 24..28;

/// How many connections wait in the queue of a listener of the kernel's.
pub(crate) fn queue_of(listener: &OwnedFd) -> Option<u32> {
    let info = options::get(listener.as_fd(), libc::IPPROTO_TCP, libc::TCP_INFO, UNACKED.end).ok()?;
    Some(u32::from_ne_bytes(info.get(UNACKED)?.try_into().ok()?))
}

impl Supervisor {
    /// connect(2) of a new stream to a listener of the run. None where it is not for us to make without a socket.
    pub(crate) fn connect_plainly(
        &mut self,
        call: &Call,
        found: &Found,
        local: IpAddr,
        guest: SocketAddr,
    ) -> Option<Judged> {
        use rustix::io::Errno as E;
        if local != HOME || guest.ip() != HOME || !self.hands.inside() || !self.listens_natively() {
            return None;
        }
        let link = self.loopback()?;
        let listener = self
            .sockets
            .by_id(self.host.listener_for(link, guest, SocketAddr::new(local, 0))?)?;
        // A published one can be reached through the gateway, too, where it has another name.
        let native = self.native_listener(listener).filter(|it| it.publication().is_none());
        let at = native.map(NativeListener::at)?;
        let copy = &found.copy;
        if at.ip() != HOME || self.shares_its_port(listener) || !is_tcp(copy) || !self.hands.is_at_home(copy) {
            return None;
        }
        let flags = fcntl_getfl(copy).ok()?;
        if flags.contains(OFlags::NONBLOCK) {
            // Whether it stands is asked by another connect(2), which must find it known.
            return None;
        }
        let connected = connect_without_waiting(copy, at, flags);
        match connected {
            Ok(()) | Err(E::INPROGRESS) => (),
            // Closed a moment ago, or of another family: the long way says that as Linux does.
            Err(_) => return None,
        }
        let shown = own_name(copy).ok()?;
        self.places_note(at, guest.port(), listener);
        let is_plain = connected.is_ok() && self.host.could_pick(shown.port()) && marked::mark(copy, Mark::Within);
        if !is_plain {
            return Some(self.enter_client(call, found, (at, listener), guest, connected.is_err()));
        }
        self.hands.note_marked();
        self.still = true;
        let names = Names { guest, shown };
        self.expect_client(listener, Expected::plain(names));
        if self.listening(listener).is_some_and(|it| !it.waiting.is_empty()) {
            self.answer(call, DONE);
            self.attend_listener(listener);
            return Some(Ok(Answer::Settled));
        }
        Some(DONE)
    }

    /// A connection was made whose name is another in the run, or that does not stand yet: it is a socket of the run's from the start.
    fn enter_client(
        &mut self,
        call: &Call,
        found: &Found,
        (at, listener): (SocketAddr, Slot),
        guest: SocketAddr,
        underway: bool,
    ) -> Judged {
        let stage = if underway {
            Stage::Connecting(at)
        } else {
            Stage::Connected
        };
        let (tid, fd) = (call.tid, call.fd());
        let noted = Noted {
            cookie: found.cookie,
            family: Family::Inet,
            seen: guest,
            stage,
            holder: Holder { tid, fd },
            process: self.guests.process(tid),
        };
        let copy = found.copy.try_clone().map_err(|_| Errno::ENFILE)?;
        let from = own_name(&copy).map_err(crate::guest::notify::errno)?;
        let mut socket = self.socket_of(&noted, &copy)?;
        let shown = canonical(self.host.local_addr(socket.id)?);
        socket.ends = Some(Box::new(Ends::between(from, at)));
        let slot = self.sockets.insert(socket);
        let target = Target { slot, copy };
        self.enter_ledger(&target);
        let names = Names { guest, shown };
        self.expect_client(listener, Expected::known(from, names, slot, underway));
        self.arrived(listener);
        if underway {
            return Ok(self.wait_for_handshake(call, &target, Errno::EINPROGRESS));
        }
        DONE
    }

    /// Whether accept(2) may be left to the kernel. `room`: how long the name may be, if that has been read.
    pub(crate) fn grant(
        &mut self,
        call: &Call,
        listener: Slot,
        copy: &OwnedFd,
        room: Option<i32>,
        seen: Seen,
    ) -> Granted {
        let Some(native) = self.native_listener_mut(listener) else {
            return Granted::No;
        };
        native.has_returned(call.tid);
        if native.publication().is_some() {
            return self.grant_directly(call, listener, copy, room, seen);
        }
        if self.connections_waiting(listener) > 0 {
            return Granted::No;
        }
        let now = self.now;
        let Some(native) = self.native_listener_mut(listener) else {
            return Granted::No;
        };
        let all_plain = native.expects_plain_clients_only();
        let (grants, expected) = native.grants_and_expected();
        if !grants.matter(all_plain, expected.len()) {
            return Granted::No;
        }
        let Some(mut waiting) = queue_of(copy) else {
            return Granted::No;
        };
        if waiting as usize == expected.len() && may_be_elsewhere(expected) {
            self.look_at_handshakes(listener);
            // Who has finished since the queue was counted is not in that number.
            waiting = queue_of(copy).unwrap_or(0);
        }
        let Some(native) = self.native_listener_mut(listener) else {
            return Granted::No;
        };
        let (grants, expected) = native.grants_and_expected();
        let granted = grants.judge(call.tid, waiting as usize, expected, all_plain, now);
        if granted == Granted::Crowded {
            self.crowds.push(listener);
        }
        granted
    }

    /// Finds out whose handshake is over by now, of clients that are known.
    fn look_at_handshakes(&mut self, listener: Slot) {
        let Some(native) = self.native_listener_mut(listener) else {
            return;
        };
        let mut expected = core::mem::take(native.grants_and_expected().1);
        for client in &mut expected {
            client.look_again(|slot| self.copy_of(slot));
        }
        if let Some(native) = self.native_listener_mut(listener) {
            *native.grants_and_expected().1 = expected;
        }
    }

    /// Looks again at listeners where somebody waits for another's accept(2).
    pub(crate) fn attend_crowds(&mut self) {
        for listener in core::mem::take(&mut self.crowds) {
            self.attend_listener(listener);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Instant = Instant::from_nanos(1 << 40);
    const PLAIN: bool = true;

    /// A thread calls accept(2).
    fn call(
        grants: &mut Grants,
        tid: u32,
        waiting: usize,
        expected: &mut VecDeque<Expected>,
        all_plain: bool,
        now: Instant,
    ) -> Granted {
        grants.has_returned(tid);
        grants.judge(tid, waiting, expected, all_plain, now)
    }

    fn client(port: u16) -> SocketAddr {
        SocketAddr::new(HOME, port)
    }

    fn expected(ports: &[u16]) -> VecDeque<Expected> {
        let names = |&port: &u16| Names {
            guest: client(80),
            shown: client(port),
        };
        ports.iter().map(names).map(Expected::plain).collect()
    }

    #[test]
    fn the_kernel_gives_out_those_who_were_sent_while_nobody_else_is_there() {
        let (mut grants, mut queue) = (Grants::default(), expected(&[40_000, 40_001]));
        assert_eq!(call(&mut grants, 7, 2, &mut queue, PLAIN, NOW), Granted::Native);
        assert_eq!(call(&mut grants, 7, 1, &mut queue, PLAIN, NOW), Granted::Native);
        assert_eq!(
            call(&mut grants, 7, 0, &mut queue, PLAIN, NOW),
            Granted::No,
            "nobody waits"
        );
        let given: Vec<SocketAddr> = grants.given.iter().map(|it| it.shown).collect();
        assert_eq!(given, [client(40_000), client(40_001)]);
    }

    #[test]
    fn with_a_stranger_in_the_queue_nothing_is_granted_and_nothing_after_that() {
        let (mut grants, mut queue) = (Grants::default(), expected(&[40_000]));
        assert_eq!(call(&mut grants, 7, 2, &mut queue, PLAIN, NOW), Granted::No);
        grants.end();
        assert_eq!(call(&mut grants, 7, 1, &mut queue, PLAIN, NOW), Granted::No);
        assert_eq!(queue.len(), 1, "who was sent is served the long way");
        assert!(!grants.matter(PLAIN, queue.len()));
    }

    #[test]
    fn who_calls_before_another_has_taken_what_was_granted_waits() {
        let (mut grants, mut queue) = (Grants::default(), expected(&[40_000, 40_001]));
        assert_eq!(call(&mut grants, 7, 2, &mut queue, PLAIN, NOW), Granted::Native);
        assert_eq!(call(&mut grants, 8, 2, &mut queue, PLAIN, NOW), Granted::Crowded);
        assert_eq!(call(&mut grants, 8, 1, &mut queue, PLAIN, NOW), Granted::Native);
        assert_eq!(
            call(&mut grants, 7, 1, &mut queue, PLAIN, NOW + GRANT_LASTS),
            Granted::No
        );
    }

    #[test]
    fn who_has_not_taken_its_client_and_calls_again_is_given_it_the_long_way() {
        let (mut grants, mut queue) = (Grants::default(), expected(&[40_000]));
        assert_eq!(call(&mut grants, 7, 1, &mut queue, PLAIN, NOW), Granted::Native);
        assert_eq!(call(&mut grants, 7, 1, &mut queue, PLAIN, NOW), Granted::No);
        assert!(grants.take_back(client(50_000)).is_none());
        assert_eq!(grants.take_back(client(40_000)).map(|it| it.guest), Some(client(80)));
        assert!(grants.take_back(client(40_000)).is_none(), "once");
        assert!(!grants.late.may_come(|_| false), "its thread is not under way any more");
    }

    #[test]
    fn a_thread_whose_client_is_given_to_another_is_late() {
        let (mut grants, mut queue) = (Grants::default(), expected(&[40_000]));
        assert_eq!(call(&mut grants, 7, 1, &mut queue, PLAIN, NOW), Granted::Native);
        assert_eq!(
            call(&mut grants, 8, 1, &mut queue, PLAIN, NOW + GRANT_LASTS),
            Granted::No
        );
        assert!(grants.take_back(client(40_000)).is_some());
        assert!(grants.late.may_come(|_| false));
        grants.has_returned(7);
        assert!(!grants.late.may_come(|_| false), "it has come back");
    }

    #[test]
    fn who_still_shakes_hands_does_not_count_for_who_was_taken() {
        let (mut grants, mut queue) = (Grants::default(), expected(&[40_000]));
        assert_eq!(call(&mut grants, 7, 1, &mut queue, PLAIN, NOW), Granted::Native);
        let names = Names {
            guest: client(80),
            shown: client(40_001),
        };
        queue.push_back(Expected::known(client(40_001), names, Slot::NONE, true));
        assert_eq!(
            call(&mut grants, 8, 1, &mut queue, !PLAIN, NOW),
            Granted::Crowded,
            "it may yet be taken"
        );
        grants.has_returned(7);
        assert_eq!(call(&mut grants, 8, 1, &mut queue, !PLAIN, NOW), Granted::No);
        assert!(grants.take_back(client(40_000)).is_some(), "the one in the queue");
    }

    #[test]
    fn a_listener_that_is_crowded_again_and_again_is_served_the_long_way() {
        let mut grants = Grants::default();
        for _ in 0..Crowds::MAX {
            let mut queue = expected(&[40_000]);
            assert_eq!(call(&mut grants, 7, 1, &mut queue, PLAIN, NOW), Granted::Native);
            for _ in 0..2 {
                assert_eq!(call(&mut grants, 8, 1, &mut queue, PLAIN, NOW), Granted::Crowded);
            }
        }
        let mut queue = expected(&[40_000]);
        assert_eq!(call(&mut grants, 8, 1, &mut queue, PLAIN, NOW), Granted::No);
    }

    #[test]
    fn the_queue_of_a_listener_is_counted() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap();
        let listener = OwnedFd::from(listener);
        assert_eq!(queue_of(&listener), Some(0));
        let _clients = [0; 2].map(|_| std::net::TcpStream::connect(at).unwrap());
        assert_eq!(queue_of(&listener), Some(2));
    }
}
