//! TCP (RFC 9293).
//!
//! Four records by shape of data: [`half_open::Listener`], [`half_open::HalfOpen`], [`connection::Connection`] and
//! [`time_wait::TimeWait`]. A segment finds its record through [`demux`]; the record's own files process it; then
//! [`Tcp::settle`] is the one place that carries the consequences out: ready list, timer, events, end.

mod acc_ecn;
mod ack;
mod answer_limit;
mod arrival;
mod birth;
mod config;
mod congestion;
mod connection;
mod cookie;
mod deadlines;
mod demux;
mod error;
mod fast_open;
mod flags;
mod giving_up;
mod half_open;
mod held;
#[cfg(test)]
mod hostile_tests;
mod icmp;
mod info;
mod ip_options;
mod isn;
mod least_hops;
mod listen;
mod loss;
#[cfg(test)]
mod memory_tests;
mod orphans;
mod paws;
mod plpmtud;
#[cfg(test)]
mod plpmtud_tests;
mod rare;
mod receive;
mod reset;
mod segment;
mod send;
mod signature;
#[cfg(test)]
mod tests;
mod time_wait;
mod timers;
mod trouble;
mod tuning;
mod tuple;
mod user_timeout;
mod verbs;

use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::num::NonZeroU16;
use core::ops::ControlFlow;
use core::time::Duration;

use prise_wire::{Frame, Instant, Ipv4Options, TcpHeader};

pub use acc_ecn::{AccEcnOption, Ecn, EcnOctets, EcnPolicy};
pub use config::{CongestionAlgorithm, Keepalive, Linger, ListenConfig, PerVersion, TcpConfig};
pub use error::{AdmitError, ConnectError, ListenError, ReceiveError, SendError, TcpError, UrgentError};
pub use fast_open::{FastOpenFailure, FastOpenKeys, FastOpenSettings};
pub use info::{LossState, State, TcpInfo};
pub use plpmtud::MtuProbing;
pub use receive::acks::QuickAck;
pub use send::stamps::{Stamp, StampKind, StampsWanted};
pub use signature::{SignatureKeys, segment_signature};
pub use tuning::{BufferAccounting, SynCookies, TimeWaitReuse, Tuning};
pub use user_timeout::UserTimeoutExchange;
pub use verbs::{Refusal, SocketSummary, TupleUse};

use self::connection::{Connection, timestamp_clock};
use self::demux::{ListenTable, Owner, TupleTable};
use self::fast_open::FastOpens;
use self::half_open::{HalfOpen, Listener};
use self::isn::Secrets;
use self::orphans::Orphans;
use self::reset::Manner;
use self::segment::Segment;
use self::send::output::NextSegment;
use self::time_wait::{Marks, TIME_WAIT, TimeWait, Verdict};
use self::timers::Consequence;
use self::tuple::FourTuple;
use crate::event::{Event, Events, Ready};
use crate::hash::HashKey;
use crate::link::{LinkId, LinkSet};
use crate::memory::{Charge, Memory};
use crate::net::{Delivered, Discard, IpOut, Net};
use crate::random::Random;
use crate::slab::{Key, Slab, identifier};
use crate::wheel::Wheel;

/// The smallest segment size that a peer can talk us into: less only multiplies headers (Linux's
/// `TCP_MIN_MSS` is 88, of which 40 may be options).
pub(crate) const MSS_MIN: u16 = 48;

/// TIME-WAIT records kept at once; beyond it the connection is simply forgotten (Linux's `tcp_max_tw_buckets`).
const TIME_WAIT_MAX: usize = 65_536;

identifier! {
    /// A connection of one stack. Never means another one, even after it is gone.
    ConnId
}
identifier! {
    /// A listener of one stack.
    ListenerId
}
identifier! {
    /// A connection that waits for the gateway's word.
    PendingId
}

/// Which record a timer belongs to; packed into the wheel's key.
#[derive(Clone, Copy)]
enum Timer {
    Connection(u32),
    HalfOpen(u32),
    TimeWait(u32),
}

impl Timer {
    fn pack(self) -> u64 {
        match self {
            Self::Connection(index) => u64::from(index),
            Self::HalfOpen(index) => 1 << 32 | u64::from(index),
            Self::TimeWait(index) => 2 << 32 | u64::from(index),
        }
    }

    fn unpack(key: u64) -> Self {
        match key >> 32 {
            0 => Self::Connection(key as u32),
            1 => Self::HalfOpen(key as u32),
            _ => Self::TimeWait(key as u32),
        }
    }
}

/// All of TCP's state.
#[derive(Debug)]
pub(crate) struct Tcp {
    connections: Slab<Connection>,
    listeners: Slab<Listener>,
    half_open: Slab<HalfOpen>,
    time_wait: Slab<TimeWait>,
    tuples: TupleTable,
    waiting: TupleTable,
    listening: ListenTable,
    wheel: Wheel,
    /// Connections that have something to send, by link: round robin.
    ready: Vec<VecDeque<Key>>,
    links_ready: LinkSet,
    /// Connections with something to tell, in order.
    announced: VecDeque<Key>,
    /// Four-tuples of connections that their programs had closed and that are free now, not yet told.
    left: VecDeque<FourTuple>,
    secrets: Secrets,
    /// The owner of connections that nobody listens for, on transparent links.
    intercept: Option<u32>,
    default_config: Arc<TcpConfig>,
    fast_opens: FastOpens,
    /// What connections run where neither program nor link says otherwise.
    pub(crate) default_congestion: CongestionAlgorithm,
    orphans: Orphans,
    memory: Memory,
    /// Some socket has had keys: from now on unsigned segments must be judged, too.
    signs: bool,
    /// Some socket has asked how far what it hears may come from.
    heeds_hops: bool,
    /// What few of those in TIME-WAIT answer with besides.
    marked_waits: BTreeMap<u32, Marks>,
    /// What to answer with to those half-open connections whose SYN came with options of IPv4.
    half_open_options: BTreeMap<u32, Arc<Ipv4Options>>,
    /// What half-open connections cost.
    half_open_charge: Charge,
}

impl Tcp {
    pub(crate) fn new(hash: HashKey, random: &mut Random, memory: Memory) -> Self {
        let mut pair = || [random.next_u64(), random.next_u64()];
        let secrets = Secrets::new([pair(), pair(), pair()]);
        let fast_opens = FastOpens::new(&secrets);
        Self {
            connections: Slab::new(),
            listeners: Slab::new(),
            half_open: Slab::new(),
            time_wait: Slab::new(),
            tuples: TupleTable::new(hash),
            waiting: TupleTable::new(hash),
            listening: ListenTable::new(),
            wheel: Wheel::new(),
            ready: Vec::new(),
            links_ready: LinkSet::EMPTY,
            announced: VecDeque::new(),
            left: VecDeque::new(),
            secrets,
            intercept: None,
            default_config: Arc::new(TcpConfig::default()),
            fast_opens,
            default_congestion: CongestionAlgorithm::default(),
            orphans: Orphans::default(),
            signs: false,
            heeds_hops: false,
            marked_waits: BTreeMap::new(),
            half_open_options: BTreeMap::new(),
            half_open_charge: Charge::of(&memory),
            memory,
        }
    }

    /// Some of what a program may ask of all segments is looked for only once somebody has asked.
    fn heed(&mut self, config: &TcpConfig) {
        self.signs |= config.signature_keys.is_some();
        self.heeds_hops |= config.least_hops != PerVersion::default();
    }

    /// A segment has come in.
    pub(crate) fn arrival(&mut self, now: Instant, net: &mut Net, events: &mut Events, packet: Delivered<'_>) {
        let Delivered {
            link,
            src,
            dst,
            frame,
            transport_at,
            checksum_ok,
            unicast,
            tos,
            flow_label,
            hop_limit,
            network_at,
            ..
        } = packet;
        net.tcp_counters.received += segments(frame, frame.total_len().saturating_sub(transport_at));
        if !checksum_ok {
            net.tcp_counters.errors += 1;
            net.discard(Discard::TcpChecksum);
            return;
        }
        let parsed = frame.head().get(transport_at..).map(TcpHeader::parse);
        let Some(Ok((header, len))) = parsed else {
            net.tcp_counters.errors += 1;
            net.discard(Discard::TcpMalformed);
            return;
        };
        // Port 0 is a port like any other, on which nobody can listen: Linux resets too.
        if !unicast {
            net.discard(Discard::TcpMalformed);
            return;
        }
        let tuple = FourTuple::new(
            SocketAddr::new(dst, header.destination_port),
            SocketAddr::new(src, header.source_port),
        );
        let owner = self.owner(&tuple);
        // Cheaper than a signature, which a flood from afar would have us compute (RFC 5082 §3).
        if self.is_too_far(link, &tuple, owner, hop_limit) {
            return net.discard(Discard::TcpTooFar);
        }
        if let ControlFlow::Break(reason) = self.check_signature(link, &tuple, &header, frame, (transport_at, len)) {
            return net.discard(reason);
        }
        let answers = || !owner.is_some_and(|owner| self.is_established(owner));
        let ip_options = ip_options::to_answer_with(frame, network_at, transport_at, dst, answers);
        let mut seg = Segment::new(&header, frame.take_payload(transport_at + len), now, tos);
        seg.ip_options = ip_options;
        seg.hop_limit = hop_limit;
        if src.is_ipv6() {
            seg.flow_info = u32::from(tos) << 20 | flow_label;
        }
        // A train whose segments are empty is none.
        seg.unit = frame.offload.gso.and_then(|gso| NonZeroU16::new(gso.size));
        match owner {
            Some(Owner::Connection(index)) => self.arrival_at_connection(net, index, seg),
            Some(Owner::HalfOpen(index)) => self.arrival_at_half_open(net, events, index, seg),
            Some(Owner::TimeWait(index)) => self.arrival_in_time_wait(net, events, link, index, &seg),
            None => self.arrival_at_listener(net, events, link, tuple, &mut seg),
        }
    }

    fn owner(&self, tuple: &FourTuple) -> Option<Owner> {
        self.tuples
            .find(tuple, |owner| match owner {
                Owner::Connection(index) => self.connections.get(index).is_some_and(|it| it.tuple == *tuple),
                Owner::HalfOpen(index) => self.half_open.get(index).is_some_and(|it| it.tuple == *tuple),
                Owner::TimeWait(_) => false,
            })
            .or_else(|| self.waiting_owner(tuple))
    }

    /// An established connection answers nobody with what his segments came with.
    fn is_established(&self, owner: Owner) -> bool {
        let Owner::Connection(index) = owner else {
            return false;
        };
        let connection = self.connections.get(index);
        connection.is_some_and(|it| it.state == State::Established)
    }

    fn waiting_owner(&self, tuple: &FourTuple) -> Option<Owner> {
        self.waiting.find(tuple, |owner| match owner {
            Owner::TimeWait(index) => self.time_wait.get(index).is_some_and(|it| it.tuple == *tuple),
            _ => false,
        })
    }

    fn arrival_at_connection(&mut self, net: &mut Net, index: u32, mut seg: Segment) {
        if self.memory.is_under_pressure() {
            self.relieve(seg.at, net, index, &seg);
        }
        let Some(connection) = self.connections.get_mut(index) else {
            return;
        };
        let at = seg.at;
        let was = connection.state;
        let una = connection.snd.una;
        let verdict = connection.arrival(&mut seg);
        if connection.state == State::Closed {
            match was {
                State::SynSent | State::SynReceived => net.tcp_counters.attempt_fails += 1,
                State::Established | State::CloseWait => net.tcp_counters.established_resets += 1,
                _ => {}
            }
        }
        if connection.snd.una != una {
            net.confirm_path(at, connection.tuple.remote_ip());
        }
        if let ControlFlow::Break(reason) = verdict {
            net.discard(reason);
            let (tuple, keys) = (connection.tuple, connection.config.signature_keys.as_deref());
            let handshake = matches!(was, State::SynSent | State::SynReceived);
            match reason {
                // §3.10.7.3 first, §3.10.7.4 fifth: an ACK of what was never sent.
                Discard::TcpAckOfUnsent if handshake => reset::reply(at, net, &tuple, &seg, keys),
                // What it acknowledges is what the peer expects: it believes the reset at once (RFC 5961 §3.2).
                Discard::TcpNobodyReads => reset::reply(at, net, &tuple, &seg, keys),
                _ => {}
            }
        }
        self.settle(at, net, index);
    }

    /// Under pressure what waits behind a hole goes, the farthest first, until the connection holds no more than its share,
    /// what now comes in order included; and with nothing left, the oldest orphan.
    fn relieve(&mut self, now: Instant, net: &mut Net, index: u32, seg: &Segment) {
        let share = self.memory.share();
        if let Some(connection) = self.connections.get_mut(index)
            && let Some(receiving) = connection.receiving.as_deref_mut()
        {
            let in_order = seg.seq.precedes_or_equals(connection.rcv.nxt) && connection.rcv.nxt.precedes(seg.end());
            let coming = if in_order { seg.data_len() } else { 0 };
            if receiving.prune(share.saturating_sub(coming)) {
                net.discard(Discard::TcpOutOfOrderPruned);
            }
        }
        if self.memory.is_exhausted() {
            self.reset_oldest_orphan(now, net);
        }
    }

    fn arrival_in_time_wait(&mut self, net: &mut Net, events: &mut Events, link: LinkId, index: u32, seg: &Segment) {
        let Some(record) = self.time_wait.get(index) else {
            return;
        };
        let tuple = record.tuple;
        match record.judge(seg) {
            Verdict::Acknowledge { restart } => {
                if restart {
                    self.wheel.reset(record.timer, seg.at + TIME_WAIT);
                }
                self.answer_in_time_wait(net, index, seg);
            }
            // Nobody would take the new connection: the old one stays protected.
            Verdict::Reopen { .. } if !self.is_wanted(net, link, &tuple) => self.answer_in_time_wait(net, index, seg),
            Verdict::Reopen { .. } if self.is_too_far_for_listener(link, &tuple, seg.hop_limit) => {
                net.discard(Discard::TcpTooFar);
            }
            Verdict::Reopen { above } => {
                self.forget_time_wait(index);
                self.arrival_of_syn(net, events, link, tuple, seg, Some(above));
            }
            Verdict::Ignore => net.discard(Discard::TcpTimeWait),
            Verdict::Assassination => net.discard(Discard::TcpTimeWaitReset),
        }
    }

    /// Whether an active open may take over what is in TIME-WAIT there.
    fn is_free_to_pick(&self, now: Instant, index: u32, tuning: &Tuning) -> bool {
        self.time_wait
            .get(index)
            .is_some_and(|record| record.is_free_to_pick(now, self.wheel.deadline(record.timer), tuning))
    }

    fn answer_in_time_wait(&mut self, net: &mut Net, index: u32, seg: &Segment) {
        let interval = self.default_config.tuning().challenge_interval;
        let marks = self.marked_waits.get(&index);
        let Some(record) = self.time_wait.get_mut(index) else {
            return;
        };
        if !record.limit.allows(seg, interval) {
            return net.discard(Discard::TcpChallengeLimited);
        }
        let header = record.acknowledgment(timestamp_clock(seg.at));
        let manner = Manner {
            keys: marks.and_then(|marks| marks.keys.as_deref()),
            flow_label: marks.map(|marks| marks.flow_label).unwrap_or_default(),
            options: seg.ip_options.as_deref(),
            ..Manner::default()
        };
        reset::send(seg.at, net, &record.tuple, &header, &manner);
        net.discard(Discard::TcpTimeWait);
    }

    fn forget_time_wait(&mut self, index: u32) {
        if let Some(record) = self.time_wait.remove(index) {
            self.waiting.remove(&record.tuple, Owner::TimeWait(index));
            self.marked_waits.remove(&index);
            if record.is_closed() {
                self.left.push_back(record.tuple);
            }
            if !record.timer.is_none() {
                self.wheel.cancel(record.timer);
            }
        }
    }

    /// Pulled by the link when its own queue is empty: the next connection's next segment.
    pub(crate) fn transmit(
        &mut self,
        now: Instant,
        link: LinkId,
        net: &mut Net,
        _events: &mut Events,
    ) -> Option<Frame> {
        loop {
            let queue = self.ready.get_mut(link.position())?;
            let Some(key) = queue.pop_front() else {
                self.links_ready.remove(link);
                return None;
            };
            let Some(connection) = self.connections.find_mut(key) else {
                continue;
            };
            connection.flags.set_listed(false);
            let frame = Self::next_frame(now, net, connection);
            self.settle(now, net, key.index);
            if frame.is_some() {
                return frame;
            }
        }
    }

    fn next_frame(now: Instant, net: &mut Net, connection: &mut Connection) -> Option<Frame> {
        let (src, dst) = (connection.tuple.local_ip(), connection.tuple.remote_ip());
        let Ok(route) = net.route(dst, Some(src), connection.device) else {
            net.discard(Discard::TcpNoRoute);
            // The segment is lost; its timer decides what becomes of the connection.
            connection.forget_output(now);
            return None;
        };
        connection.link = route.link;
        connection.follow_path_mtu(route.mtu);
        let unit_max = connection.unit_max(&route);
        connection.flags.set_link_splits(route.gso_max != 0);
        let next = connection.next_segment(now, unit_max);
        if next == NextSegment::Nothing {
            connection.arm_persist(now, unit_max);
            return None;
        }
        let frame = connection.emit(now, next, &route)?;
        net.tcp_counters.sent += segments(&frame, frame.total_len());
        net.tcp_counters.retransmitted += u64::from(matches!(next, NextSegment::Retransmit { .. }));
        let out = IpOut {
            src,
            dst,
            protocol: prise_wire::protocol::TCP,
            hop_limit: connection.config.hop_limit.of(&connection.tuple),
            tos: connection.config.tos.of(&connection.tuple) & !3 | connection.ecn_codepoint(next),
            flow_label: connection.config.flow_label,
            dont_fragment: true,
            options: &connection.ip_options(),
        };
        net.encapsulate(now, &out, &route, frame)
    }

    pub(crate) fn links_ready(&self) -> LinkSet {
        self.links_ready
    }

    /// Lets every timer that is due act.
    pub(crate) fn expire(&mut self, now: Instant, net: &mut Net, _events: &mut Events) {
        while let Some(key) = self.wheel.pop(now) {
            match Timer::unpack(key) {
                Timer::Connection(index) => self.expire_connection(now, net, index),
                Timer::HalfOpen(index) => self.expire_half_open(now, net, index),
                Timer::TimeWait(index) => {
                    if let Some(record) = self.time_wait.get_mut(index) {
                        record.timer = crate::wheel::TimerId::NONE;
                    }
                    self.forget_time_wait(index);
                }
            }
        }
    }

    fn expire_connection(&mut self, now: Instant, net: &mut Net, index: u32) {
        let Some(connection) = self.connections.get_mut(index) else {
            return;
        };
        connection.deadlines.fired();
        let farewell = reset::Farewell::new(connection, now);
        if connection.on_deadline(now) == Consequence::Reset {
            farewell.send(now, net);
        }
        if let Some(mtu) = connection.take_doubted_mtu() {
            Self::lower_path_mtu(now, net, connection, mtu);
        }
        self.settle(now, net, index);
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.wheel.next_deadline()
    }

    /// The next connection with something to tell.
    pub(crate) fn event(&mut self) -> Option<Event> {
        while let Some(key) = self.announced.pop_front() {
            let Some(connection) = self.connections.find_mut(key) else {
                continue;
            };
            connection.flags.set_announced(false);
            let ready = core::mem::take(&mut connection.raised);
            if !ready.is_empty() {
                return Some(Event::Tcp {
                    token: connection.token,
                    id: ConnId::from_key(key),
                    ready,
                });
            }
        }
        let tuple = self.left.pop_front()?;
        Some(Event::Released {
            local: tuple.local(),
            remote: tuple.remote(),
        })
    }

    /// The consequences of whatever a connection has just gone through, in one place.
    fn settle(&mut self, now: Instant, net: &mut Net, index: u32) {
        let fast_open = self
            .connections
            .get(index)
            .and_then(|connection| connection.rare.as_deref());
        if fast_open.is_some_and(|rare| rare.fast_open.is_unsettled()) {
            self.settle_fast_open(now, net, index);
        }
        let Some((key, connection)) = self.connections.entry_mut(index) else {
            return;
        };
        connection.account(&self.memory);
        match connection.state {
            State::TimeWait => {
                self.leave_for_time_wait(now, net, index);
                return self.settle_end(key);
            }
            State::Closed => return self.settle_end(key),
            _ => {}
        }
        if !connection.flags.listed() && connection.has_output(now) {
            connection.flags.set_listed(true);
            let link = connection.link;
            let position = link.position();
            if self.ready.len() <= position {
                self.ready.resize_with(position + 1, VecDeque::new);
            }
            self.ready[position].push_back(key);
            self.links_ready.insert(link);
        }
        let pace = connection.settle_pace(now);
        connection
            .deadlines
            .settle(&mut self.wheel, Timer::Connection(index).pack(), pace);
        if !connection.raised.is_empty() && !connection.flags.announced() {
            if connection.is_orphan() {
                connection.raised = Ready::NONE;
            } else {
                connection.flags.set_announced(true);
                self.announced.push_back(key);
            }
        }
    }

    fn leave_for_time_wait(&mut self, now: Instant, net: &mut Net, index: u32) {
        let Some(connection) = self.connections.get_mut(index) else {
            return;
        };
        connection.state = State::Closed;
        connection.sending = None;
        let tuple = connection.tuple;
        let mut record = TimeWait::new(connection);
        connection.flags.set_left_for_time_wait(true);
        if connection.acks.now {
            // The acknowledgment of the FIN that brought us here: nobody else will send it.
            let header = record.acknowledgment(timestamp_clock(now));
            // It has what any other acknowledgment of this connection has.
            let mut manner = Manner::of(&connection.config, &tuple);
            manner.tos |= connection.ecn_codepoint(NextSegment::Ack);
            let options = connection.ip_options();
            manner.options = Some(&options);
            reset::send(now, net, &tuple, &header, &manner);
        }
        let marks = Marks::of(connection);
        self.tuples.remove(&tuple, Owner::Connection(index));
        if self.time_wait.len() >= TIME_WAIT_MAX {
            return;
        }
        record.timer = crate::wheel::TimerId::NONE;
        let key = self.time_wait.insert(record);
        if let Some(marks) = marks {
            self.marked_waits.insert(key.index, marks);
        }
        let timer = self.wheel.insert(now + TIME_WAIT, Timer::TimeWait(key.index).pack());
        if let Some(record) = self.time_wait.get_mut(key.index) {
            record.timer = timer;
        }
        self.waiting.insert(&tuple, Owner::TimeWait(key.index));
    }

    /// The program has closed a connection that has ended; unless TIME-WAIT still holds its four-tuple, that is free.
    fn let_go(&mut self, tuple: &FourTuple, waits: bool) {
        if waits
            && let Some(Owner::TimeWait(index)) = self.owner(tuple)
            && let Some(record) = self.time_wait.get_mut(index)
        {
            record.set_closed();
        } else {
            self.left.push_back(*tuple);
        }
    }

    /// A connection that has ended: out of the tables; its record goes once the program has let go.
    fn settle_end(&mut self, key: Key) {
        let Some(connection) = self.connections.find_mut(key) else {
            return;
        };
        connection.deadlines.cancel(&mut self.wheel);
        connection.deadlines = deadlines::Deadlines::new();
        if !connection.flags.gone() {
            connection.flags.set_gone(true);
            if !connection.flags.left_for_time_wait() {
                let tuple = connection.tuple;
                self.tuples.remove(&tuple, Owner::Connection(key.index));
            }
        }
        let Some(connection) = self.connections.find_mut(key) else {
            return;
        };
        if connection.flags.released() {
            let (tuple, waits) = (connection.tuple, connection.flags.left_for_time_wait());
            if connection.flags.counted_as_orphan() {
                self.bury_orphan();
            }
            self.connections.remove(key.index);
            self.let_go(&tuple, waits);
        } else if !connection.raised.is_empty() && !connection.flags.announced() && !connection.is_orphan() {
            connection.flags.set_announced(true);
            self.announced.push_back(key);
        }
    }
}

/// How long a quiet SYN-ACK waits before it is sent again, doubled each time: RFC 6298 §2.1.
const SYN_ACK_TIMEOUT: Duration = Duration::from_secs(1);

/// How many segments a unit of `len` octets is, header included; what is cut on its way counts so often.
fn segments(frame: &Frame, len: usize) -> u64 {
    match frame.offload.gso {
        Some(gso) if gso.size > 0 => len.div_ceil(usize::from(gso.size)).max(1) as u64,
        _ => 1,
    }
}
