//! The passive open: a SYN at a listener, the half-open connection, the accept queue (RFC 9293 §3.10.7.2).

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use prise_wire::{FastOpenCookie, Instant, Ipv4Options, SeqNum, TcpHeader};

use super::acc_ecn::{AccEcnOption, AccEcnState, Ecn, EcnAgreement};
use super::birth::{Agreement, offered_window, own_mss, window_shift};
use super::config::TcpConfig;
use super::connection::{Moment, Reader, timestamp_clock};
use super::demux::Owner;
use super::fast_open::Opening;
use super::half_open::{HalfOpen, Origin};
use super::reset::{self, Manner};
use super::segment::Segment;
use super::tuning::SynCookies;
use super::tuple::FourTuple;
use super::{PendingId, SYN_ACK_TIMEOUT, Tcp, Timer};
use crate::event::{Event, Events};
use crate::link::LinkId;
use crate::net::{Discard, Net};
use crate::slab::Key;
use crate::wheel::TimerId;

/// Intercepted connections that wait for the gateway.
const PENDING_MAX: usize = 4096;

/// What a half-open connection costs: its record, two table entries, its timer.
const HALF_OPEN_COST: usize = 128;
/// What the options of IPv4 cost that its SYN came with: 40 octets, counted references, an entry.
const OPTIONS_COST: usize = 96;

/// A cookie lives two of its ticks (RFC 4987 §3.6); the listener believes cookies for so long after the last one.
const COOKIE_LIFETIME: Duration = Duration::from_secs(128);

/// What becomes of a SYN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Admission {
    /// It is remembered.
    Kept,
    /// It is answered and forgotten.
    ByCookie,
    /// It is dropped.
    Refused,
}

/// Which SYN-ACK it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SynAck {
    /// The first, with a Fast Open cookie if the client asked for one.
    Fresh(Option<FastOpenCookie>),
    /// Another.
    Again,
    /// One that is a SYN cookie itself.
    Cookie,
}

impl Tcp {
    /// No connection of this four-tuple exists.
    pub(crate) fn arrival_at_listener(
        &mut self,
        net: &mut Net,
        events: &mut Events,
        link: LinkId,
        tuple: FourTuple,
        seg: &mut Segment,
    ) {
        if seg.flags.rst() {
            net.discard(Discard::TcpNoSocket);
            return;
        }
        if seg.ack.is_some() && !seg.flags.syn() && self.arrival_of_cookie(net, events, link, tuple, seg) {
            return;
        }
        if seg.ack.is_some() {
            net.discard(Discard::TcpNoSocket);
            let keys = self.signature_keys(link, &tuple);
            reset::reply(seg.at, net, &tuple, seg, keys.as_deref());
            return;
        }
        if !seg.flags.syn() || seg.flags.fin() {
            self.arrival_of_nonsense(net, link, &tuple, seg);
            return;
        }
        self.arrival_of_syn(net, events, link, tuple, seg, None);
    }

    /// The listener that would take a connection.
    pub(crate) fn listener_of(&self, link: LinkId, tuple: &FourTuple) -> Option<u32> {
        let flow = self.tuples.hash(tuple);
        self.listening.find(tuple.local_ip(), tuple.local_port, link, flow)
    }

    /// Whether a listener, or the gateway, would take a connection.
    pub(crate) fn is_wanted(&self, net: &Net, link: LinkId, tuple: &FourTuple) -> bool {
        self.listener_of(link, tuple).is_some() || (self.intercept.is_some() && net.link_is_transparent(link))
    }

    /// Neither SYN, ACK nor RST, or a SYN that ends as it begins: a listener drops it (§3.10.7.2, fourth; for SYN with FIN
    /// as Linux and every packet filter do), a closed port answers.
    fn arrival_of_nonsense(&mut self, net: &mut Net, link: LinkId, tuple: &FourTuple, seg: &Segment) {
        if self.listener_of(link, tuple).is_some() {
            net.discard(Discard::TcpNoSyn);
        } else {
            net.discard(Discard::TcpNoSocket);
            reset::reply(seg.at, net, tuple, seg, None);
        }
    }

    /// A SYN without ACK; `above` is the lower bound for our ISN when TIME-WAIT is reopened.
    pub(crate) fn arrival_of_syn(
        &mut self,
        net: &mut Net,
        events: &mut Events,
        link: LinkId,
        tuple: FourTuple,
        seg: &Segment,
        above: Option<SeqNum>,
    ) {
        let origin = match self.listener_of(link, &tuple) {
            Some(index) => Origin::Listener { index },
            None if self.intercept.is_some() && net.link_is_transparent(link) => Origin::Intercepted,
            None => {
                net.discard(Discard::TcpNoSocket);
                reset::reply(seg.at, net, &tuple, seg, None);
                return;
            }
        };
        let admission = self.admission(net, origin);
        if admission == Admission::Refused {
            return;
        }
        let isn = self.secrets.isn(seg.at, &tuple);
        let iss = above.map_or(isn, |above| above.later(isn));
        let most = match origin {
            Origin::Listener { index } => self.listeners.get(index).map(|listener| listener.config.ecn.answer),
            Origin::Intercepted => None,
        };
        let most = most.unwrap_or(self.default_config.ecn.answer);
        let mut record = HalfOpen::new(tuple, iss, seg, origin, link, most);
        let config = self.listener_config(&record);
        record.restrict(config.tuning());
        if config.signs_for(tuple.remote_ip()) {
            record.choose_sack();
        }
        if matches!(origin, Origin::Listener { .. }) {
            let mss = own_mss(net, &tuple, &config).link;
            let window = offered_window(&config, mss, record.timestamps());
            record.tell_window(window, window_shift(&config));
        }
        if admission == Admission::ByCookie {
            self.answer_with_cookie(net, record, seg);
            return;
        }
        let mut cookie = None;
        if let Origin::Listener { index } = origin {
            match self.judge_fast_open(net, index, &record, seg) {
                Opening::AtOnce(cookie) => {
                    if let Some((listener, _)) = self.listeners.entry_mut(index) {
                        self.open_at_once(net, events, listener, &record, seg, cookie);
                    }
                    return;
                }
                Opening::Handshake(fresh) => cookie = fresh,
            }
        }
        let key = self.half_open.insert(record);
        if let (Origin::Listener { .. }, Some(options)) = (origin, &seg.ip_options) {
            self.half_open_options.insert(key.index, options.clone());
        }
        self.charge_half_open();
        self.tuples.insert(&tuple, Owner::HalfOpen(key.index));
        match origin {
            Origin::Listener { index } => {
                if let Some(listener) = self.listeners.get_mut(index) {
                    listener.half_open += 1;
                }
                if let Some(record) = self.half_open.get(key.index) {
                    self.transmit_syn_ack(seg.at, net, record, SynAck::Fresh(cookie), seg.ip_options.as_deref());
                }
                self.arm_half_open(seg.at, key.index);
            }
            Origin::Intercepted => {
                let token = self.intercept.unwrap_or_default();
                let (local, remote) = (tuple.local(), tuple.remote());
                events.push(Event::Intercepted {
                    token,
                    id: PendingId::from_key(key),
                    local,
                    remote,
                });
            }
        }
    }

    fn admission(&self, net: &mut Net, origin: Origin) -> Admission {
        if self.memory.is_exhausted() {
            net.discard(Discard::TcpMemorySyn);
            return Admission::Refused;
        }
        match origin {
            Origin::Listener { index } => {
                let Some(listener) = self.listeners.get(index) else {
                    return Admission::Refused;
                };
                if listener.is_full() {
                    net.discard(Discard::TcpAcceptQueueFull);
                    return Admission::Refused;
                }
                let full = listener.half_open >= self.memory.syn_backlog();
                match listener.config.tuning().syn_cookies {
                    SynCookies::Always => Admission::ByCookie,
                    SynCookies::WhenFull if full => Admission::ByCookie,
                    SynCookies::Never if full => {
                        net.discard(Discard::TcpSynQueueFull);
                        Admission::Refused
                    }
                    SynCookies::WhenFull | SynCookies::Never => Admission::Kept,
                }
            }
            Origin::Intercepted if self.half_open.len() < PENDING_MAX => Admission::Kept,
            Origin::Intercepted => {
                net.discard(Discard::TcpSynQueueFull);
                Admission::Refused
            }
        }
    }

    fn listener_config(&self, record: &HalfOpen) -> Arc<TcpConfig> {
        match record.origin() {
            Origin::Listener { index } => self.listeners.get(index).map(|listener| listener.config.clone()),
            Origin::Intercepted => None,
        }
        .unwrap_or_else(|| self.default_config.clone())
    }

    /// Whether what its listener takes is listed by mapped addresses.
    pub(super) fn is_listed_mapped(&self, record: &HalfOpen) -> bool {
        match record.origin() {
            Origin::Listener { index } => self.listeners.get(index).is_some_and(|it| it.config.listed_mapped),
            Origin::Intercepted => false,
        }
    }

    fn listener_config_at(&self, index: u32) -> Arc<TcpConfig> {
        let record = self.half_open.get(index);
        record.map_or_else(|| self.default_config.clone(), |record| self.listener_config(record))
    }

    fn send_syn_ack(&mut self, now: Instant, net: &mut Net, index: u32) {
        if let Some(record) = self.half_open.get(index) {
            let options = self.half_open_options.get(&index).map(|options| &**options);
            self.transmit_syn_ack(now, net, record, SynAck::Again, options);
        }
    }

    fn transmit_syn_ack(
        &self,
        now: Instant,
        net: &mut Net,
        record: &HalfOpen,
        kind: SynAck,
        options: Option<&Ipv4Options>,
    ) {
        let cookie = kind == SynAck::Cookie;
        let config = self.listener_config(record);
        let mss = own_mss(net, &record.tuple, &config).link;
        let mut timestamp = timestamp_clock(now).wrapping_add(self.secrets.timestamp_offset(&record.tuple));
        if cookie {
            timestamp = super::cookie::mark_timestamp(timestamp, record);
        }
        let told = record.told_window();
        let window = told.unwrap_or_else(|| offered_window(&config, mss, record.timestamps()));
        let mut header = record.syn_ack(mss, window, timestamp);
        if cookie && !record.timestamps() {
            // Nothing but the segment size can be remembered then.
            header.options.window_scale = None;
            header.options.sack_permitted = false;
        }
        header.options.user_timeout = super::user_timeout::of_syn_ack(&config, record.retries);
        if let SynAck::Fresh(cookie) = kind {
            header.options.fast_open = cookie;
            let EcnAgreement { kind, syn_field, .. } = record.ecn();
            if kind == Ecn::Accurate && config.ecn.option != AccEcnOption::Never {
                header.options.acc_ecn = Some(AccEcnState::new(syn_field).counters());
            }
        }
        send_for(now, net, &config, &record.tuple, &header, options);
    }

    fn arm_half_open(&mut self, now: Instant, index: u32) {
        let Some(record) = self.half_open.get(index) else {
            return;
        };
        // The host may allow more repetitions than can be counted so.
        let wait = SYN_ACK_TIMEOUT * (1 << record.retries.min(16));
        let deadline = now + wait.min(self.listener_config_at(index).rto_limit());
        let Some(record) = self.half_open.get_mut(index) else {
            return;
        };
        if record.timer.is_none() {
            record.timer = self.wheel.insert(deadline, Timer::HalfOpen(index).pack());
        } else {
            self.wheel.reset(record.timer, deadline);
        }
    }

    /// The SYN-ACK was not answered.
    pub(crate) fn expire_half_open(&mut self, now: Instant, net: &mut Net, index: u32) {
        let Some(record) = self.half_open.get_mut(index) else {
            return;
        };
        record.timer = TimerId::NONE;
        let listener = match record.origin() {
            Origin::Listener { index } => self.listeners.get(index),
            Origin::Intercepted => None,
        };
        let lives = listener.is_some();
        let retries = listener.map_or(0, |listener| listener.config.tuning().syn_ack_retries);
        let deferred = listener.map_or(0, |listener| listener.config.defer_accept);
        // Who has answered and says nothing is asked again only when the wait for data ends (`syn_ack_recalc`).
        let waits = record.is_completed() && record.retries < deferred;
        if record.retries >= retries && !waits || !lives {
            net.discard(Discard::TcpHandshakeTimedOut);
            self.forget_half_open(index);
            return;
        }
        record.retries += 1;
        if !waits || record.retries >= deferred {
            self.send_syn_ack(now, net, index);
        }
        self.arm_half_open(now, index);
    }

    fn charge_half_open(&mut self) {
        let (records, options) = (self.half_open.len(), self.half_open_options.len());
        self.half_open_charge
            .set(records * HALF_OPEN_COST + options * OPTIONS_COST);
    }

    /// Takes a half-open connection out of all tables.
    pub(crate) fn forget_half_open(&mut self, index: u32) -> Option<HalfOpen> {
        let record = self.half_open.remove(index)?;
        self.half_open_options.remove(&index);
        self.charge_half_open();
        self.tuples.remove(&record.tuple, Owner::HalfOpen(index));
        if !record.timer.is_none() {
            self.wheel.cancel(record.timer);
        }
        if let Origin::Listener { index } = record.origin()
            && let Some(listener) = self.listeners.get_mut(index)
        {
            listener.half_open = listener.half_open.saturating_sub(1);
        }
        Some(record)
    }

    /// A listener goes, and with it what it has begun: its place may be another listener's soon, who must not be given the connection.
    pub(crate) fn forget_half_open_of(&mut self, listener: u32) {
        let origin = Origin::Listener { index: listener };
        let of_it = self.half_open.iter().filter(|(_, record)| record.origin() == origin);
        let gone: Vec<u32> = of_it.map(|(index, _)| index).collect();
        for index in gone {
            self.forget_half_open(index);
        }
    }

    /// What our SYN-ACK to that half-open connection offers.
    fn offered_window_at(&self, net: &Net, index: u32) -> u16 {
        let config = self.listener_config_at(index);
        self.half_open.get(index).map_or(0, |record| {
            record.told_window().unwrap_or_else(|| {
                let mss = own_mss(net, &record.tuple, &config).link;
                offered_window(&config, mss, record.timestamps())
            })
        })
    }

    /// A segment for a half-open connection: §3.10.7.4 for SYN-RECEIVED.
    pub(crate) fn arrival_at_half_open(&mut self, net: &mut Net, events: &mut Events, index: u32, seg: Segment) {
        let Some(record) = self.half_open.get_mut(index) else {
            return;
        };
        let tuple = record.tuple;
        if seg.flags.rst() {
            // RFC 9293 §3.10.7.4, second: exact, in the window, anywhere (RFC 5961 §3.2).
            let next = record.irs + 1;
            let window = u32::from(self.offered_window_at(net, index));
            if seg.seq == next {
                self.forget_half_open(index);
                net.discard(Discard::TcpReset);
            } else if seg.seq.is_within(next, window) {
                net.discard(Discard::TcpChallenged);
                self.acknowledge_half_open(&seg, net, index);
            } else {
                net.discard(Discard::TcpOutOfWindow);
            }
            return;
        }
        if record.origin() == Origin::Intercepted {
            // The gateway has not answered yet; a SYN again changes nothing.
            net.discard(Discard::TcpDuplicateSyn);
            return;
        }
        if seg.flags.syn() {
            if seg.seq == record.irs && seg.ack.is_none() {
                if !self.answers_half_open(&seg, index) {
                    return net.discard(Discard::TcpChallengeLimited);
                }
                net.discard(Discard::TcpDuplicateSyn);
                if let Some(record) = self.half_open.get_mut(index) {
                    record.forget_time();
                    record.meet_syn_again(&seg);
                }
                self.send_syn_ack(seg.at, net, index);
            } else {
                net.discard(Discard::TcpOutOfWindow);
                self.acknowledge_half_open(&seg, net, index);
            }
            return;
        }
        let Some(ack) = seg.ack else {
            net.discard(Discard::TcpNoAck);
            return;
        };
        if ack != record.iss + 1 {
            net.discard(Discard::TcpAckOfUnsent);
            let config = self.listener_config_at(index);
            reset::reply(seg.at, net, &tuple, &seg, config.signature_keys.as_deref());
            return;
        }
        if let Some(timestamps) = seg.options.timestamps
            && record.timestamps()
        {
            if timestamps.value.wrapping_sub(record.ts_recent()).cast_signed() < 0 {
                net.discard(Discard::TcpStaleTimestamp);
                self.acknowledge_half_open(&seg, net, index);
                return;
            }
            // As RFC 7323 §4.3 has it: what came out of order must not make stale what it has overtaken.
            if seg.seq.precedes_or_equals(record.irs + 1) {
                record.set_ts_recent(timestamps.value);
            }
        }
        let next = record.irs + 1;
        let window = u32::from(self.offered_window_at(net, index));
        if seg.seq != next && !seg.seq.is_within(next, window) {
            net.discard(Discard::TcpOutOfWindow);
            self.acknowledge_half_open(&seg, net, index);
            return;
        }
        self.complete(net, events, index, seg);
    }

    /// Whether a segment that does not fit, or comes again, is answered now (RFC 5961 §7).
    fn answers_half_open(&mut self, seg: &Segment, index: u32) -> bool {
        let interval = self.listener_config_at(index).tuning().challenge_interval;
        let record = self.half_open.get_mut(index);
        record.is_some_and(|record| record.limit.allows(seg, interval))
    }

    /// What does not fit is answered by `<SEQ=SND.NXT><ACK=RCV.NXT><CTL=ACK>` (§3.10.7.4, first; RFC 5961 §4.2): a peer
    /// that has lost its connection resets ours then. Not more often than the host allows (RFC 5961 §7).
    fn acknowledge_half_open(&mut self, seg: &Segment, net: &mut Net, index: u32) {
        let now = seg.at;
        if !self.answers_half_open(seg, index) {
            return net.discard(Discard::TcpChallengeLimited);
        }
        let Some(record) = self.half_open.get(index) else {
            return;
        };
        let config = self.listener_config(record);
        let timestamp = timestamp_clock(now).wrapping_add(self.secrets.timestamp_offset(&record.tuple));
        let header = record.acknowledgment(self.offered_window_at(net, index), timestamp);
        send_for(now, net, &config, &record.tuple, &header, seg.ip_options.as_deref());
    }

    /// The handshake is complete: a connection is made and queued, if there is room and nothing defers it.
    fn complete(&mut self, net: &mut Net, events: &mut Events, index: u32, mut seg: Segment) {
        let Some(record) = self.half_open.get_mut(index) else {
            return;
        };
        let Origin::Listener { index: listener_index } = record.origin() else {
            return;
        };
        let Some((listener_key, listener)) = self.listeners.entry_mut(listener_index) else {
            let tuple = record.tuple;
            self.forget_half_open(index);
            reset::reply(seg.at, net, &tuple, &seg, None);
            return;
        };
        if listener.is_full() {
            // Linux: the ACK is forgotten, and the SYN-ACK sent again gives the peer another chance to send it.
            record.set_completed();
            net.discard(Discard::TcpAcceptQueueFull);
            return;
        }
        if record.retries < listener.config.defer_accept && seg.data_len() == 0 && !seg.flags.fin() {
            record.set_completed();
            net.discard(Discard::TcpDeferred);
            return;
        }
        let retried = record.retries > 0 && !record.is_completed();
        let retransmissions = u32::from(record.retries);
        let agreement = record.agreement();
        let answered_at = record.answered_at();
        let (tuple, link) = (record.tuple, record.link);
        // The SYN's options count, and not this segment's (`ireq_opt` of Linux).
        seg.ip_options = self.half_open_options.remove(&index);
        self.forget_half_open(index);
        let clock = timestamp_clock(seg.at);
        let left = match seg.options.timestamps {
            Some(timestamps) if agreement.timestamps => {
                Some(timestamps.echo.wrapping_sub(self.secrets.timestamp_offset(&tuple)))
            }
            _ => answered_at,
        };
        let rtt = left
            .filter(|_| !retried)
            .map(|left| Duration::from_millis(clock.wrapping_sub(left).max(1).into()));
        let Some(key) = self.promote(net, events, listener_key, (tuple, link), agreement, &seg) else {
            return;
        };
        if let Some(connection) = self.connections.find_mut(key) {
            connection.flags.set_syn_retransmitted(retried);
            connection.statistics.retransmissions = retransmissions;
            // The echoed timestamp, or the record, tells when the SYN-ACK left, in milliseconds.
            connection.trouble_since = Moment::at(seg.at - rtt.filter(|rtt| rtt.as_secs() < 60).unwrap_or_default());
        }
        self.arrival_at_connection(net, key.index, seg);
    }

    /// A completed handshake becomes a connection in the listener's accept queue.
    fn promote(
        &mut self,
        net: &mut Net,
        events: &mut Events,
        listener_key: Key,
        (tuple, link): (FourTuple, LinkId),
        agreement: Agreement,
        seg: &Segment,
    ) -> Option<Key> {
        let listener = self.listeners.find_mut(listener_key)?;
        let (config, token, device) = (listener.config.answering(seg), listener.token, listener.local.device);
        let key = self.adopt(seg.at, net, tuple, link, agreement, config);
        net.tcp_counters.passive_opens += 1;
        if let Some(connection) = self.connections.find_mut(key) {
            connection.device = device;
            connection.came_with = seg.flow_info;
            connection.reader = Reader::Nobody;
            connection.snd.nxt = connection.snd.iss + 1;
        }
        self.listeners.find_mut(listener_key)?.queue.push_back(key);
        let id = super::ListenerId::from_key(listener_key);
        events.push(Event::Listener { token, id });
        Some(key)
    }

    /// The last segment of a handshake that only a cookie remembers. Answers whether it was one.
    fn arrival_of_cookie(
        &mut self,
        net: &mut Net,
        events: &mut Events,
        link: LinkId,
        tuple: FourTuple,
        seg: &mut Segment,
    ) -> bool {
        let Some(index) = self.listener_of(link, &tuple) else {
            return false;
        };
        let Some((key, listener)) = self.listeners.entry_mut(index) else {
            return false;
        };
        // Cookies are believed only near the time when they were handed out.
        if listener.cookies_until <= seg.at {
            return false;
        }
        let full = listener.is_full();
        let Some(agreement) = super::cookie::taste(&self.secrets, &tuple, seg) else {
            return false;
        };
        if full {
            net.discard(Discard::TcpAcceptQueueFull);
            return true;
        }
        if let Some(key) = self.promote(net, events, key, (tuple, link), agreement, seg) {
            self.arrival_at_connection(net, key.index, seg.take());
        }
        true
    }

    /// Answers a SYN without keeping anything of it.
    fn answer_with_cookie(&mut self, net: &mut Net, mut record: HalfOpen, seg: &Segment) {
        let now = seg.at;
        record.forgo_accurate_ecn();
        if record.tuple.is_v4() {
            record.mss = record
                .mss
                .min(self.listener_config(&record).tuning().cookie_segment_max);
        }
        record.iss = super::cookie::bake(&self.secrets, now, &record);
        if let Origin::Listener { index } = record.origin()
            && let Some(listener) = self.listeners.get_mut(index)
        {
            listener.cookies_until = now + COOKIE_LIFETIME;
        }
        net.discard(Discard::TcpSynCookie);
        self.transmit_syn_ack(now, net, &record, SynAck::Cookie, seg.ip_options.as_deref());
    }
}

/// Sends a segment of a half-open connection, by its listener's settings.
fn send_for(
    now: Instant,
    net: &mut Net,
    config: &TcpConfig,
    tuple: &FourTuple,
    header: &TcpHeader,
    options: Option<&Ipv4Options>,
) {
    let manner = Manner {
        options,
        ..Manner::of(config, tuple)
    };
    reset::send(now, net, tuple, header, &manner);
}
