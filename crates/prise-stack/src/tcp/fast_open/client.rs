//! The client: data in the SYN if there is a cookie for the server, else a request for one (RFC 7413 §4.1.3, §4.3; Linux's
//! `tcp_send_syn_data` and `tcp_rcv_fastopen_synack`).

use core::net::{IpAddr, SocketAddr};

use prise_wire::{Body, FastOpenCookie, Instant, Payload, SeqNum};

use super::cache::Answer;
use super::{FastOpenFailure, FastOpens, Lesson, Shape};
use crate::link::LinkId;
use crate::net::Net;
use crate::stack::Stack;
use crate::tcp::arrival::is_between;
use crate::tcp::config::TcpConfig;
use crate::tcp::connection::{Connection, Stamp};
use crate::tcp::error::{ConnectError, SendError};
use crate::tcp::info::State;
use crate::tcp::segment::Segment;
use crate::tcp::{ConnId, Tcp};

/// Room that the SYN leaves for options, ours and those that boxes on the way add.
const OPTIONS_RESERVED: u32 = 40;
/// Without a timeout that ends the connection, this one in a row is taken for a black hole.
const THIRD_TIMEOUT: u8 = 2;

/// How a SYN may open.
#[derive(Clone, Copy, Debug)]
enum Start {
    /// Data may go along, with this cookie if any; to a server that was seen to take segments of this size.
    Data(Option<FastOpenCookie>, Option<u16>),
    /// It asks for a cookie.
    Ask(Shape),
    /// As if there were no Fast Open.
    Plain,
}

impl FastOpens {
    /// `tcp_fastopen_cookie_check`.
    fn start(&mut self, now: Instant, local: IpAddr, server: IpAddr, without_cookie: bool) -> Start {
        let known = self.cache.find(now, local, server);
        if self.black_hole.pauses(now, self.settings.black_hole_timeout) {
            return Start::Plain;
        }
        if known.is_some_and(|entry| entry.is_silent(now)) {
            return Start::Plain;
        }
        let mss = known.map(|entry| entry.mss);
        if without_cookie || self.settings.client_without_cookie {
            return Start::Data(None, mss);
        }
        match known {
            Some(entry) if entry.cookie.is_some() => Start::Data(entry.cookie, mss),
            known => Start::Ask(known.map_or(Shape::Standard, |entry| entry.shape)),
        }
    }
}

impl Stack {
    /// An active open whose SYN waits for [`tcp_fast_open`](Self::tcp_fast_open), which may put data into it.
    ///
    /// # Errors
    /// As [`tcp_connect`](Self::tcp_connect).
    pub fn tcp_connect_deferred(
        &mut self,
        now: Instant,
        local: SocketAddr,
        remote: SocketAddr,
        device: Option<LinkId>,
        config: &TcpConfig,
        token: u32,
    ) -> Result<ConnId, ConnectError> {
        let id = self.tcp_prepare(now, local, remote, device, config, token)?;
        if let Some(connection) = self.tcp.connections.find_mut(id.key()) {
            connection.flags.set_syn_deferred(true);
        }
        Ok(id)
    }

    /// Whether data could go in the SYN of a connection that was deferred; if not, there is nothing to wait for.
    pub fn tcp_may_fast_open(&mut self, now: Instant, id: ConnId) -> bool {
        let Some(connection) = self.tcp.connections.find(id.key()) else {
            return false;
        };
        let without_cookie = connection.config.fast_open_without_cookie;
        let (local, server) = (connection.tuple.local_ip(), connection.tuple.remote_ip());
        let start = self.tcp.fast_opens.start(now, local, server, without_cookie);
        matches!(start, Start::Data(..))
    }

    /// Whether the connection's SYN still waits.
    pub fn tcp_is_deferred(&self, id: ConnId) -> bool {
        let connection = self.tcp.connections.find(id.key());
        connection.is_some_and(|connection| connection.flags.syn_deferred() && connection.state == State::SynSent)
    }

    /// Sends the SYN of a deferred connection, with octets from the front of `data` if there is a cookie, else with a
    /// request for one. Answers how many octets went along.
    ///
    /// # Errors
    /// [`SendError::Closed`] if no SYN waits.
    pub fn tcp_fast_open(&mut self, now: Instant, id: ConnId, data: &mut Payload) -> Result<usize, SendError> {
        let Tcp {
            connections,
            fast_opens,
            ..
        } = &mut self.tcp;
        let connection = connections.find_mut(id.key()).ok_or(SendError::Closed)?;
        if !connection.flags.syn_deferred() || connection.state != State::SynSent {
            return Err(SendError::Closed);
        }
        let (local, server) = (connection.tuple.local_ip(), connection.tuple.remote_ip());
        let start = fast_opens.start(now, local, server, connection.config.fast_open_without_cookie);
        let on_trial = fast_opens.black_hole.was_met() && !matches!(start, Start::Plain);
        connection.rare().fast_open.on_trial = on_trial;
        let taken = connection.start_fast(start, data);
        connection.flags.set_syn_deferred(false);
        connection.flags.set_syn_due(true);
        self.tcp.settle(now, &mut self.net, id.key().index);
        Ok(taken as usize)
    }
}

impl Tcp {
    /// What the connection has learnt is remembered for others; and its listener hears of the end of its handshake.
    #[cold]
    pub(in crate::tcp) fn settle_fast_open(&mut self, now: Instant, net: &Net, index: u32) {
        self.settle_pending(now, index);
        let Some(connection) = self.connections.get_mut(index) else {
            return;
        };
        let pair = (connection.tuple.local_ip(), connection.tuple.remote_ip());
        let route = net.route(pair.1, Some(pair.0), connection.device);
        let is_loopback = route.is_ok_and(|route| route.loopback);
        let lesson = connection.rare.as_mut().and_then(|rare| rare.fast_open.lesson.take());
        let fast_opens = &mut self.fast_opens;
        match lesson {
            Some(Lesson::Answered(answer)) => fast_opens.cache.learn(now, pair, answer),
            Some(Lesson::BlackHole) if !fast_opens.settings.black_hole_timeout.is_zero() => {
                fast_opens.black_hole.meet(now);
            }
            Some(Lesson::Recovered) if !is_loopback => fast_opens.black_hole.forget(),
            Some(Lesson::BlackHole | Lesson::Recovered) | None => {}
        }
    }
}

impl Connection {
    /// Prepares the SYN.
    fn start_fast(&mut self, start: Start, data: &mut Payload) -> u32 {
        match start {
            Start::Data(cookie, mss) => {
                let size = mss.map_or(self.mss, |mss| mss.min(self.mss));
                let room = u32::from(size).saturating_sub(OPTIONS_RESERVED);
                let taken = self.sending().queue.push(data, room);
                let fast_open = &mut self.rare().fast_open;
                fast_open.option = cookie;
                fast_open.syn_data = taken > 0;
                if let Some(cookie) = cookie {
                    fast_open.asked = Some(shape_of(&cookie));
                }
                taken
            }
            Start::Ask(shape) => {
                let fast_open = &mut self.rare().fast_open;
                let request = FastOpenCookie::REQUEST.in_experimental_shape(shape == Shape::Experimental);
                fast_open.option = Some(request);
                fast_open.asked = Some(shape);
                fast_open.failure = FastOpenFailure::NoCookie;
                0
            }
            Start::Plain => 0,
        }
    }

    /// What goes along in the SYN.
    pub(crate) fn syn_data(&mut self, now: Instant) -> Body {
        let len = self.queued();
        if len == 0 || self.flags.passive() {
            return Body::new();
        }
        let start = self.snd.iss + 1;
        self.snd.nxt = start + len;
        self.statistics.data_segments_out = 1;
        let sending = self.sending();
        let body = sending.queue.range(0, len);
        let snapshot = sending.rate.on_send(now, true, len);
        sending.flight.push(start, len, now, snapshot);
        sending.flight.mark_pushed();
        self.last_sent = Stamp::at(now);
        body
    }

    /// Whether an acknowledgment in SYN-SENT is of something that was sent: the SYN, perhaps data with it.
    pub(crate) fn acknowledges_syn(&self, ack: SeqNum) -> bool {
        is_between(self.snd.iss, ack, self.snd.nxt)
    }

    /// The SYN-ACK has come: what became of the data and of the request.
    pub(crate) fn conclude_fast_open(&mut self, seg: &Segment, ack: SeqNum) {
        let Some(fast_open) = self.rare.as_ref().map(|rare| rare.fast_open) else {
            return;
        };
        if fast_open.asked.is_none() && !fast_open.syn_data {
            return;
        }
        if self.snd.una.precedes(ack) {
            self.take_sack(seg, ack, false);
        }
        let again = self.flags.syn_retransmitted();
        // A cookie that nobody asked for is none.
        let cookie = seg.options.fast_open.filter(|_| fast_open.asked.is_some());
        let next_shape = match fast_open.asked {
            Some(shape) if cookie.is_none() && !again && !fast_open.syn_data => Some(other(shape)),
            _ => None,
        };
        let mss = seg.options.mss.unwrap_or(536).max(crate::tcp::MSS_MIN);
        let left = !self.flight_is_empty();
        let taken = fast_open.syn_data && !left;
        let fast_open = &mut self.rare().fast_open;
        fast_open.data_taken = taken;
        fast_open.lesson = Some(Lesson::Answered(Answer {
            mss,
            cookie: cookie.filter(|cookie| !cookie.is_request()),
            next_shape,
            // The answer is to the SYN without data (RFC 7413 §4.2.2).
            lost: again && left && cookie.is_none(),
        }));
        if left {
            fast_open.failure = if again {
                FastOpenFailure::SynRetransmitted
            } else {
                FastOpenFailure::DataNotAcknowledged
            };
            self.lose_syn_data();
        }
    }

    /// The data of the SYN have not arrived, which says nothing of congestion: they go again at once.
    pub(crate) fn lose_syn_data(&mut self) {
        let nxt = self.snd.nxt;
        if let Some(sending) = self.sending.as_deref_mut()
            && !sending.flight.is_empty()
        {
            sending.flight.lose_all();
            sending.recovery.enter_repacking(nxt);
        }
    }

    /// A retransmission timeout; `expired`: the last. The third in a row, or an end before that, on a connection that tried
    /// Fast Open is taken for a black hole.
    pub(crate) fn suspect_black_hole(&mut self, expired: bool) {
        let timeouts = self.backoff;
        let Some(fast_open) = self.rare.as_mut().map(|rare| &mut rare.fast_open) else {
            return;
        };
        let tried = fast_open.asked.is_some() || fast_open.syn_data;
        if tried && (timeouts == THIRD_TIMEOUT || (timeouts < THIRD_TIMEOUT && expired)) {
            fast_open.lesson = Some(Lesson::BlackHole);
        }
    }

    /// The connection ends: one that got nothing but a FIN out of order met a black hole behind the handshake; one that got
    /// data while Fast Open was on trial has shown that there is none any more.
    pub(crate) fn judge_path(&mut self) {
        if self.state == State::SynSent {
            return self.judge_silence();
        }
        let data = self.statistics.data_segments_in > 0;
        let lone_fin = self.rcv.fin.is_some_and(|fin| self.rcv.nxt.precedes(fin));
        let holes = self.receiving.as_ref().is_some_and(|receiving| receiving.has_holes());
        let Some(fast_open) = self.rare.as_mut().map(|rare| &mut rare.fast_open) else {
            return;
        };
        if fast_open.asked.is_none() {
            return;
        }
        if !data && lone_fin && !holes {
            fast_open.lesson = Some(Lesson::BlackHole);
        } else if data && fast_open.on_trial {
            fast_open.lesson = Some(Lesson::Recovered);
        }
    }
}

impl Connection {
    /// The connection ends without an answer to its SYN.
    fn judge_silence(&mut self) {
        let timed_out = self.flags.syn_retransmitted();
        let mss = self.mss;
        let Some(fast_open) = self.rare.as_mut().map(|rare| &mut rare.fast_open) else {
            return;
        };
        if fast_open.syn_data && timed_out && fast_open.lesson.is_none() {
            fast_open.lesson = Some(Lesson::Answered(Answer {
                mss,
                cookie: None,
                next_shape: None,
                lost: true,
            }));
        }
    }
}

fn shape_of(cookie: &FastOpenCookie) -> Shape {
    if cookie.is_experimental() {
        Shape::Experimental
    } else {
        Shape::Standard
    }
}

/// The other shape: asked for in one without an answer, the next request goes in the other, as on Linux.
fn other(shape: Shape) -> Shape {
    match shape {
        Shape::Standard => Shape::Experimental,
        Shape::Experimental => Shape::Standard,
    }
}
