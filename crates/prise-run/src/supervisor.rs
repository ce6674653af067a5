//! The supervisor's loop: one thread, one sleep, everything that happens in one place.
//!
//! A turn: sleep; take what the ends of sockets tell; judge at most one call; then *settle*: frames through the links,
//! the host's events to the pumps and to the calls that wait, until nothing moves. What a turn began is finished within
//! it as far as it can be: a connect over `lo` is answered in the turn in which it was asked for.

use prise_socket::{Errno, Host, Readiness, SocketId};
use prise_sys::seccomp::Listener;
use prise_sys::signal::Interrupts;
use prise_wire::Instant;
use rustix::event::epoll::EventFlags;

use crate::busy_poll::BusyPoll;
use crate::calls::process::Closed;
use crate::clock;
use crate::complaints::Complaints;
use crate::guest::Guests;
use crate::guest::notify::{Answer, Call, ERESTARTSYS, Judged};
use crate::handed::Hands;
use crate::handed::adopted::Native;
use crate::handed::lingering::Lingering;
use crate::handed::native_listener::Strangers;
use crate::handed::places::Places;
use crate::handed::plain::CROWD_INTERVAL;
use crate::netlink::NetlinkSockets;
use crate::policy::audit::Audit;
use crate::policy::local_sockets::LocalSockets;
use crate::poller::{Patience, Poller, Source};
use crate::report::answers::Answers;
use crate::socket::attach::Attacher;
use crate::socket::closes::Closes;
use crate::socket::conduit::Conduits;
use crate::socket::inet_pair::InetPairs;
use crate::socket::keeping::Keeping;
use crate::socket::ledger::Ledger;
use crate::socket::{Role, Slot, Sockets};
use crate::start::config::Policy;
use crate::start::outcome::{Exit, RunError};
use crate::start::program::Program;
use crate::start::shortcut::Shortcut;
use crate::waiting::parked::{ParkId, Parking};
use crate::wakes::Wakes;
use crate::world::World;
use crate::world::gate::Gate;
use crate::world::mirror::Mirror;
use crate::world::names::Names;

/// Rounds of frames and events before new calls are looked at, though more might move.
const ROUNDS_MAX: usize = 64;

/// The largest datagram that a program can write, and more.
const SCRATCH: usize = 256 << 10;

/// Everything of one run.
#[derive(Debug)]
pub(crate) struct Supervisor {
    pub(crate) host: Host,
    pub(crate) world: World,
    /// The far end of `eth0`, where there is one.
    pub(crate) gate: Option<Gate>,
    /// Where packet sockets are, from the first one on.
    pub(crate) mirror: Option<Box<Mirror>>,
    /// There was no way to have that. A further attempt would cost a name space, and fail.
    pub(crate) has_no_mirror: bool,
    /// Name servers within the guest.
    pub(crate) names: Names,
    pub(crate) sockets: Sockets,
    pub(crate) netlink: NetlinkSockets,
    pub(crate) parked: Parking,
    /// The guests' objects, where they cannot be fetched.
    pub(crate) keeping: Option<Keeping>,
    pub(crate) guests: Guests,
    pub(crate) calls: Listener,
    wakes: Wakes,
    pub(crate) busy_poll: BusyPoll,
    pub(crate) conduits: Conduits,
    pub(crate) poller: Poller,
    pub(crate) ledger: Ledger,
    /// Which connections go without the supervisor.
    pub(crate) hands: Hands,
    /// The leave that the program has to make such without asking.
    pub(crate) shortcut: Option<Shortcut>,
    /// What is left of those that were closed.
    pub(crate) lingering: Lingering,
    /// What the kernel's listeners are called within the run.
    pub(crate) places: Places,
    /// Listeners where somebody waits until another accept(2) is made.
    pub(crate) crowds: Vec<Slot>,
    /// For an accept(2) that must not wait, from the first one on.
    pub(crate) interrupts: Option<Interrupts>,
    /// Who came to the run's listeners without being its affair.
    pub(crate) strangers: Strangers,
    /// The objects of datagram sockets that can be refused.
    pub(crate) inet_pairs: InetPairs,
    pub(crate) attacher: Attacher,
    /// Tells of the close of listeners, where that can be had.
    pub(crate) closes: Option<Closes>,
    /// The time of this turn.
    pub(crate) now: Instant,
    /// Connects that are to be answered, or put to wait, at the end of the turn.
    pub(crate) asked: Vec<Slot>,
    /// Calls that have had their part of the last turn.
    pub(crate) unfinished: Vec<ParkId>,
    /// Connects whose end is known, told a round later: by then the listener has the connection, as on Linux, where the
    /// last segment of a handshake on `lo` arrives before connect(2) returns.
    decided: Vec<Slot>,
    /// Listeners that have connections: attended after those.
    arrived: Vec<Slot>,
    /// For what is read to be copied at once.
    pub(crate) scratch: Vec<u8>,
    pub(crate) program: Program,
    pub(crate) answers: Answers,
    /// What the guests may reach.
    pub(crate) policy: Policy,
    pub(crate) audit: Option<Audit>,
    /// The guests' own AF_UNIX names, under a policy.
    pub(crate) local_sockets: Option<LocalSockets>,
    /// The processes that asked to be closed to others.
    pub(crate) closed: Closed,
    /// The guest's own name.
    pub(crate) hostname: Option<String>,
    /// The call that was judged has begun nothing that a turn would have to finish.
    pub(crate) still: bool,
    /// Sockets were closed because nobody had them open any more.
    pub(crate) swept: bool,
    /// When something is to be done although nothing happens, as it stood after the last turn that was not still.
    due: Option<Instant>,
    /// The call that is being tried again: it waits already.
    pub(crate) retrying: Option<u64>,
    /// The program and its arguments, to be shown.
    pub(crate) command: Vec<String>,
    /// No filtered task is left.
    pub(crate) guests_gone: bool,
    pub(crate) complaints: Complaints,
    /// When whoever waits at a terminal is told of what the program has left behind.
    pub(crate) tell_of_left_behind: Option<Instant>,
}

/// What [`Supervisor::new`] is given.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) host: Host,
    pub(crate) world: World,
    pub(crate) gate: Option<Gate>,
    pub(crate) calls: Listener,
    pub(crate) program: Program,
    pub(crate) answers: Answers,
    pub(crate) policy: Policy,
    pub(crate) audit: Option<Audit>,
    pub(crate) hostname: Option<String>,
    /// The program and its arguments, to be shown.
    pub(crate) command: Vec<String>,
    /// Whether connections that leave the run may.
    pub(crate) hands: bool,
    /// Whether those between its processes may.
    pub(crate) pairs: bool,
    /// What of streams is the kernel's from birth.
    pub(crate) native: Native,
    /// Tells of closes, where that can be had.
    pub(crate) closes: Option<Closes>,
    /// Whether descriptors of programs can be fetched (pidfd_getfd(2)).
    pub(crate) fetches: bool,
    /// Connections that are made without asking.
    pub(crate) shortcut: Option<Shortcut>,
}

impl Supervisor {
    pub(crate) fn new(parts: Parts) -> Result<Self, RunError> {
        let setup = |step| move |error| RunError::Setup { step, error };
        let poller = Poller::new().map_err(setup("watch descriptors"))?;
        let watch = setup("watch the program");
        poller.watch(&parts.program.pidfd, Source::Program).map_err(watch)?;
        poller.watch(&parts.program.signals, Source::Signals).map_err(watch)?;
        if let Some(fd) = parts.world.poll_fd() {
            poller.watch(fd, Source::Link).map_err(setup("watch the link"))?;
        }
        poller
            .watch(&parts.answers, Source::Inspection)
            .map_err(setup("listen for prise ss"))?;
        if let Some(closes) = &parts.closes {
            poller.watch(closes, Source::Closes).map_err(setup("watch sockets"))?;
        }
        let mut parts = parts;
        let mut hands = Hands::new(parts.hands, parts.pairs, parts.native).map_err(setup("watch sockets"))?;
        let mut ledger = Ledger::new().map_err(setup("watch sockets"))?;
        if parts.shortcut.as_ref().is_some_and(Shortcut::has_sockets) {
            hands.note_marked();
            ledger.mark_entries();
        }
        let names = Names::open(&mut parts.host, parts.gate.as_ref(), clock::now());
        Ok(Self {
            names,
            host: parts.host,
            world: parts.world,
            gate: parts.gate,
            mirror: None,
            has_no_mirror: false,
            sockets: Sockets::default(),
            netlink: NetlinkSockets::default(),
            parked: Parking::default(),
            guests: if parts.fetches {
                Guests::default()
            } else {
                Guests::without_descriptors()
            },
            keeping: if parts.fetches {
                None
            } else {
                Some(Keeping::new().map_err(setup("make sockets"))?)
            },
            wakes: Wakes::new(&parts.calls),
            busy_poll: BusyPoll::default(),
            conduits: Conduits::default(),
            calls: parts.calls,
            poller,
            hands,
            shortcut: parts.shortcut,
            lingering: Lingering::default(),
            places: Places::default(),
            crowds: Vec::new(),
            interrupts: None,
            strangers: Strangers::default(),
            inet_pairs: InetPairs::default(),
            ledger,
            closes: parts.closes,
            attacher: Attacher::new().map_err(setup("make sockets"))?,
            now: clock::now(),
            asked: Vec::new(),
            unfinished: Vec::new(),
            decided: Vec::new(),
            arrived: Vec::new(),
            scratch: vec![0; SCRATCH],
            program: parts.program,
            answers: parts.answers,
            local_sockets: if parts.policy.is_empty() {
                None
            } else {
                Some(LocalSockets::new().map_err(setup("ask for AF_UNIX sockets (sock_diag)"))?)
            },
            closed: Closed::default(),
            hostname: parts.hostname,
            still: false,
            swept: false,
            due: None,
            retrying: None,
            audit: parts.audit,
            policy: parts.policy,
            command: parts.command,
            guests_gone: false,
            complaints: Complaints::default(),
            tell_of_left_behind: None,
        })
    }

    /// Serves the guests until the last of them has gone and what they wrote is delivered.
    pub(crate) fn run(mut self) -> Result<Exit, RunError> {
        let mut ready = Vec::new();
        self.due = self.next_due();
        while !self.guests_gone || self.program.exit.is_none() {
            self.turn(&mut ready)?;
        }
        self.deliver_what_is_left(&mut ready)?;
        self.finish_audit();
        Ok(self.program.exit.unwrap_or(Exit::Code(0)))
    }

    fn turn(&mut self, ready: &mut Vec<(Source, EventFlags)>) -> Result<(), RunError> {
        let setup = |error| RunError::Setup {
            step: "wait for the program",
            error,
        };
        let began = clock::now();
        let patience = Patience {
            awake: self.busy_poll.begin_wait(),
            timeout: self.due.map(|due| due.saturating_since(began)),
        };
        let calls = (!self.guests_gone).then_some(&self.calls);
        self.poller
            .wait(calls, self.parked.held(), patience, ready)
            .map_err(setup)?;
        self.now = clock::now();
        self.guests.keep_reserve();
        let lasted = self.now.saturating_since(began);
        self.busy_poll.end_wait((!ready.is_empty()).then_some(lasted));
        // Taken at once, because until then a signal makes the call fail, whatever it is; judged after what the ends tell,
        // because a close that came before the call must be known.
        let call = self.next_call(ready);
        (self.still, self.swept) = (false, false);
        for &(source, events) in &*ready {
            match source {
                Source::Socket(slot) => self.on_end(slot, events),
                Source::Arrival(slot) => self.on_held_listener(slot, events),
                Source::Signals => self.program.forward_signals(&self.guests),
                Source::Program => {
                    self.program.reap();
                    if self.program.exit.is_some() {
                        self.poller.forget(&self.program.pidfd);
                        self.expect_left_behind();
                    }
                }
                Source::Link => self.attend_link(),
                Source::Calls => (),
                Source::Inspection => self.answer_inspection(),
                Source::Closes => self.hear_of_closes(),
                Source::Sent => self.put_what_was_sent(),
            }
        }
        self.go_on();
        self.attend_crowds();
        if let Some(call) = call {
            self.still = false;
            let mut judged = self.judge(&call);
            if matches!(judged, Err(Errno::EMFILE | Errno::ENFILE)) && self.is_exhausted() {
                judged = self.judge_with_room(&call, judged);
            }
            self.answer(&call, judged);
        }
        if self.still
            && !self.swept
            && self.unfinished.is_empty()
            && self.crowds.is_empty()
            && ready.len() == 1
            && self.due.is_none_or(|due| due > self.now)
        {
            // The caller goes on meanwhile; the sooner the supervisor sleeps, the less it is in the way.
            if !self.sweep_is_due() {
                return Ok(());
            }
            self.sweep();
        }
        self.look_at_kept();
        self.look_at_inet_pairs();
        self.look_at_packet_sockets();
        self.look_at_left_behind();
        if self.parked.look_is_due(self.now) {
            self.look_at_parked();
        }
        for id in self.parked.overdue(self.now) {
            self.give_up(id);
        }
        self.settle();
        self.due = self.next_due();
        Ok(())
    }

    /// A call for which no descriptors were left: tasks that have ended, transfers that rest, and closed sockets that nothing told of may
    /// have some.
    fn judge_with_room(&mut self, call: &Call, judged: Judged) -> Judged {
        let found = self.guests.forget_ended() + self.conduits.give_up_empty();
        let sweeps = !self.ledger.is_resting(self.now);
        if sweeps {
            self.sweep();
        }
        let judged = if sweeps || found > 0 { self.judge(call) } else { judged };
        if matches!(judged, Err(Errno::EMFILE | Errno::ENFILE)) {
            self.complain_of_exhaustion();
        }
        judged
    }

    /// The link has something to receive.
    pub(crate) fn attend_link(&mut self) {
        self.world.attend();
        if let Some(gate) = &self.gate {
            gate.attend();
        }
    }

    /// When something is to be done although nothing happens.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        let next = [
            (!self.unfinished.is_empty()).then_some(self.now),
            (!self.crowds.is_empty()).then_some(self.now + CROWD_INTERVAL),
            self.host.next_deadline(),
            self.world.next_deadline(),
            self.parked.next_deadline(),
            self.keeping.as_ref().and_then(Keeping::next_deadline),
            self.inet_pairs.next_deadline(),
            self.left_behind_due(),
            self.conduits.next_deadline(),
        ];
        next.into_iter().flatten().min()
    }

    /// The call that waits, if one does; and whether calls can come at all.
    fn next_call(&mut self, ready: &[(Source, EventFlags)]) -> Option<Call> {
        let &(_, events) = ready.iter().find(|(source, _)| *source == Source::Calls)?;
        if events.contains(EventFlags::IN) {
            // An error is no call, and none that would come again.
            let call = self.calls.receive().ok().flatten().map(Call::from)?;
            self.wakes.note(call.tid, &self.calls);
            return Some(call);
        }
        if events.contains(EventFlags::HUP) {
            self.guests_gone = true;
        }
        None
    }

    /// Answers a call. That its thread is gone is no error of ours.
    pub(crate) fn answer(&self, call: &Call, judged: Judged) {
        let _ = match judged {
            Ok(Answer::Value(value)) => self.calls.succeed(call.id, value),
            Ok(Answer::Native) => self.calls.proceed(call.id),
            Ok(Answer::Settled | Answer::Unfinished) => Ok(()),
            Err(errno) => self.calls.fail(call.id, errno.raw()),
        };
    }

    /// Lets the kernel run the signal handlers of a call's thread, and restart the call or fail it with `EINTR`.
    pub(crate) fn restart(&self, call: &Call) {
        let _ = self.calls.fail(call.id, ERESTARTSYS);
    }

    /// A connection has come to a listener.
    pub(crate) fn arrived(&mut self, slot: Slot) {
        self.arrived.push(slot);
    }

    /// Moves everything that can move.
    pub(crate) fn settle(&mut self) {
        self.end_rests();
        for _ in 0..ROUNDS_MAX {
            if self.host.next_deadline().is_some_and(|due| due <= self.now) {
                self.host.expire(self.now);
            }
            let decided = core::mem::take(&mut self.decided);
            let mut moved = self.world.exchange(&mut self.host, self.now);
            // Before anybody is told: a program that knows of a connection cannot have it taken off the record.
            self.write_audit();
            while let Some((id, readiness)) = self.host.event() {
                moved = true;
                self.on_ready(id, readiness);
            }
            moved |= self.hands.take_callers() && self.receive_callers();
            moved |= self.names.attend(&mut self.host, self.gate.as_ref(), self.now);
            // Who is told that it is connected finds the listener readable.
            let arrived = core::mem::take(&mut self.arrived);
            for &slot in &arrived {
                self.show_connections(slot);
            }
            for &slot in &decided {
                self.attend(slot);
            }
            for slot in arrived {
                self.attend(slot);
            }
            if !moved && decided.is_empty() {
                if self.asked.is_empty() {
                    break;
                }
                self.answer_asked();
            }
        }
        for slot in core::mem::take(&mut self.decided) {
            self.attend(slot);
        }
        self.answer_asked();
        self.world.flush(self.now);
        self.write_audit();
    }

    fn on_ready(&mut self, id: SocketId, _readiness: Readiness) {
        let Some(slot) = self.sockets.by_id(id) else { return };
        match self.sockets.get(slot).map(|socket| &socket.role) {
            Some(Role::Connecting(_)) => self.decided.push(slot),
            Some(Role::Listener(_)) => self.arrived.push(slot),
            _ => self.attend(slot),
        }
    }

    /// Does for a socket whatever its state allows now.
    pub(crate) fn attend(&mut self, slot: Slot) {
        let Some(socket) = self.sockets.get(slot) else { return };
        match socket.role {
            Role::Fresh | Role::Ended(_) => (),
            Role::Listener(_) => self.attend_listener(slot),
            Role::Connecting(_) => self.attend_connecting(slot),
            Role::Stream(_) => self.attend_stream(slot),
            Role::Handed(_) => self.attend_handed(slot),
            Role::Datagram(_) => self.attend_datagram(slot),
        }
    }

    /// Something happened at the supervisor's end of a socket.
    pub(crate) fn on_end(&mut self, slot: Slot, events: EventFlags) {
        if slot.is_netlink() {
            self.attend_netlink(slot);
            if events.contains(EventFlags::HUP) {
                self.close_netlink(slot);
            }
            return;
        }
        let Some(socket) = self.sockets.get_mut(slot) else {
            return;
        };
        match &mut socket.role {
            Role::Ended(_) => {
                if events.contains(EventFlags::ERR) && socket.was_left_unread() {
                    self.close(slot, true);
                }
            }
            Role::Fresh => (),
            Role::Listener(listening) if listening.ended => (),
            Role::Listener(listening) if listening.is_native() => self.on_native_listener(slot),
            Role::Listener(_) | Role::Connecting(_) => {
                if events.contains(EventFlags::HUP) {
                    self.close(slot, false);
                }
            }
            Role::Handed(_) => self.attend_handed(slot),
            Role::Stream(stream) => {
                stream.note(events);
                if events.contains(EventFlags::PRI) {
                    self.expect_urgent(slot);
                }
                self.attend_stream(slot);
            }
            Role::Datagram(datagram) => {
                if events.contains(EventFlags::OUT) {
                    datagram.full = false;
                }
                self.attend_datagram(slot);
            }
        }
    }
}
