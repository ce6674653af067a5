//! The server: a SYN with a good cookie opens the connection at once, its data are there before the handshake ends
//! (RFC 7413 §4.2; Linux's `tcp_try_fastopen`).

use prise_wire::{Body, FastOpenCookie, Instant, SeqNum};

use super::cookie::Verdict;
use super::{PendingQueue, SHOT_LIFETIME};
use crate::event::{Event, Events};
use crate::net::{Discard, Net};
use crate::slab::Key;
use crate::tcp::connection::{Connection, Reader, Stamp};
use crate::tcp::half_open::HalfOpen;
use crate::tcp::info::State;
use crate::tcp::receive::reassembly::Arrived;
use crate::tcp::segment::Segment;
use crate::tcp::{ListenerId, Tcp};

/// What a SYN gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::tcp) enum Opening {
    /// The usual handshake, its SYN-ACK with this cookie if any.
    Handshake(Option<FastOpenCookie>),
    /// A connection at once, its SYN-ACK with this cookie if any.
    AtOnce(Option<FastOpenCookie>),
}

impl Tcp {
    /// Judges the SYN at the listener. The length of the queue is looked at before the cookie, so that a flood costs no hash.
    pub(in crate::tcp) fn judge_fast_open(
        &mut self,
        net: &mut Net,
        index: u32,
        record: &HalfOpen,
        seg: &Segment,
    ) -> Opening {
        let none = Opening::Handshake(None);
        let settings = self.fast_opens.settings;
        let given = seg.options.fast_open;
        let Some(listener) = self.listeners.get_mut(index) else {
            return none;
        };
        let limit = match listener.config.fast_open_queue {
            0 if settings.every_listener => listener.backlog,
            limit => limit,
        };
        if !settings.server || limit == 0 || (seg.data_len() == 0 && given.is_none()) {
            return none;
        }
        if !listener.fast_open.get_or_insert_default().has_room(limit, seg.at) {
            net.discard(Discard::TcpFastOpenQueueFull);
            return none;
        }
        if settings.server_without_cookie || listener.config.fast_open_without_cookie {
            return Opening::AtOnce(None);
        }
        let Some(given) = given else { return none };
        let keys = listener.config.fast_open_keys.unwrap_or(self.fast_opens.keys);
        let (client, server) = (record.tuple.remote_ip(), record.tuple.local_ip());
        let fresh = keys.bake(client, server);
        let fresh = fresh.map(|cookie| cookie.in_experimental_shape(given.is_experimental()));
        if given.is_request() {
            return Opening::Handshake(fresh);
        }
        match keys.judge(&given, client, server) {
            Verdict::Valid => Opening::AtOnce(None),
            Verdict::Outdated => Opening::AtOnce(fresh),
            Verdict::Invalid => {
                net.discard(Discard::TcpFastOpenCookie);
                Opening::Handshake(fresh)
            }
        }
    }

    /// Makes the connection, puts it into the accept queue, and sends its SYN-ACK.
    pub(in crate::tcp) fn open_at_once(
        &mut self,
        net: &mut Net,
        events: &mut Events,
        listener_key: Key,
        record: &HalfOpen,
        seg: &Segment,
        cookie: Option<FastOpenCookie>,
    ) {
        let Some(listener) = self.listeners.find_mut(listener_key) else {
            return;
        };
        let (config, token, device) = (listener.config.answering(seg), listener.token, listener.local.device);
        let key = self.adopt(seg.at, net, record.tuple, record.link, record.agreement(), config);
        if let Some(connection) = self.connections.find_mut(key) {
            connection.device = device;
            connection.came_with = seg.flow_info;
            connection.reader = Reader::Nobody;
            connection.flags.set_early(true);
            connection.flags.set_syn_due(true);
            let fast_open = &mut connection.rare().fast_open;
            fast_open.option = cookie;
            fast_open.pending_at = Some(listener_key);
            connection.take_syn_data(seg.at, seg.body.clone());
        }
        if let Some(listener) = self.listeners.find_mut(listener_key) {
            listener.queue.push_back(key);
            listener.fast_open.get_or_insert_default().pending += 1;
        }
        let id = ListenerId::from_key(listener_key);
        events.push(Event::Listener { token, id });
        self.settle(seg.at, net, key.index);
    }

    /// The handshake of a connection that was opened at once has ended, well or not: its listener no longer counts it.
    pub(super) fn settle_pending(&mut self, now: Instant, index: u32) {
        let Some(connection) = self.connections.get_mut(index) else {
            return;
        };
        if connection.state == State::SynReceived {
            return;
        }
        let accepted = connection.reader != Reader::Nobody;
        let Some(fast_open) = connection.rare.as_mut().map(|rare| &mut rare.fast_open) else {
            return;
        };
        let (shot, listener) = (fast_open.shot, fast_open.pending_at.take());
        let listener = listener.and_then(|key| self.listeners.find_mut(key));
        let Some(queue) = listener.and_then(|listener| listener.fast_open.as_deref_mut()) else {
            return;
        };
        let PendingQueue { pending, shot: list } = queue;
        *pending = pending.saturating_sub(1);
        // One that nobody has accepted still fills the accept queue, which is limit enough.
        if shot && accepted {
            list.push_back(now + SHOT_LIFETIME);
        }
    }
}

impl Connection {
    /// Whether the handshake has not ended and data may flow nevertheless: our SYN-ACK has left.
    pub(crate) fn is_early(&self) -> bool {
        self.state == State::SynReceived && self.flags.early() && self.snd.nxt != self.snd.iss
    }

    /// The data of the SYN that opened this connection.
    fn take_syn_data(&mut self, now: Instant, mut body: Body) {
        self.statistics.segments_in = 1;
        self.rare().fast_open.data_taken = !body.is_empty();
        if body.is_empty() {
            return;
        }
        // More than the window that the SYN-ACK will offer cannot have been meant.
        body.truncate(self.rcv.window.remaining(self.rcv.nxt) as usize);
        let next = self.rcv.nxt;
        let arrived = self.receiving.get_or_insert_default().insert(next, next, body);
        if let Arrived::InOrder { octets, .. } = arrived {
            let offered = self.rcv.window.remaining(next);
            self.rcv.nxt += octets;
            // The SYN-ACK's window counts from behind the data that it acknowledges.
            let promised = offered.min(self.rcv.window.limit().saturating_sub(octets));
            self.rcv.window.start_at(self.rcv.nxt, promised);
            self.kernel_window_begins();
            self.count_truesize(next, octets, octets, octets);
            self.statistics.data_segments_in = 1;
            self.statistics.bytes_received = u64::from(octets);
            self.last_data = Stamp::at(now);
        }
    }

    /// The SYN again, data and all: the SYN-ACK was lost, or is late. Answers whether it was that.
    pub(crate) fn is_syn_again(&self, seg: &Segment) -> bool {
        let syn_only = seg.flags.syn() && !seg.flags.rst() && seg.ack.is_none();
        self.state == State::SynReceived && self.flags.early() && syn_only && seg.seq == self.rcv.irs
    }

    /// A valid RST has come: before the handshake's end that is worth remembering.
    pub(crate) fn note_shot(&mut self) {
        if self.state == State::SynReceived && self.flags.early() {
            self.rare().fast_open.shot = true;
        }
    }

    /// `snd.nxt - snd.una`, the SYN left out.
    pub(crate) fn outstanding(&self) -> u32 {
        let start: SeqNum = self.queue_start();
        if start.precedes(self.snd.nxt) {
            self.snd.nxt.distance_from(start)
        } else {
            0
        }
    }
}
