//! Timers of the RFCs, held against what a host shows each time it has had its turn. All in the host's own time.
//!
//! * TIME-WAIT lasts 60 s (RFC 9293 §3.4.2 says twice the maximum segment lifetime, which is 30 s in Linux): a record that goes
//!   earlier was hit by a segment or taken for a new connection (RFC 6191), one that stays longer has heard something since.
//! * While octets wait to be sent or to be acknowledged, something is sent at least every 120 s: a retransmission (RFC 6298
//!   §2.5) or a probe of a shut window (RFC 9293 §3.8.6.1).
//! * A connection with keepalive that hears nothing is probed and given up within the times that its program has set
//!   (RFC 9293 §3.8.4, tcp(7)).

use crate::node::Node;
use prise_socket::SocketId;
use prise_stack::{State, TcpInfo};
use prise_wire::Instant;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

const TIME_WAIT: Duration = Duration::from_secs(60);
/// The most between two attempts to move what waits (Linux's `TCP_RTO_MAX`).
const ATTEMPT_MAX: Duration = Duration::from_secs(120);
/// What a timer may be late by: the wheel's steps, and pacing.
const LATE: Duration = Duration::from_secs(1);
/// Silence that is worth a look at the options of keepalive.
const SILENCE: Duration = Duration::from_secs(2);

/// `SOL_SOCKET SO_KEEPALIVE`, then `IPPROTO_TCP` with `TCP_KEEPIDLE`, `TCP_KEEPINTVL`, `TCP_KEEPCNT`.
const KEEPALIVE: [(i32, i32); 4] = [(1, 9), (6, 4), (6, 5), (6, 6)];

type Tuple = (SocketAddr, SocketAddr);

/// A TIME-WAIT record: since when it was there, by the host's clock and by the world's.
#[derive(Clone, Copy, Debug)]
struct Wait {
    since: Instant,
    world: Instant,
}

/// What was seen of a connection.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    /// Segments sent, and when the last was, or nothing waited any more.
    segments: u32,
    attempt: Instant,
    /// Since when keepalive has been set to give up after this much silence.
    keepalive: Option<(Duration, Instant)>,
}

/// What was seen of all hosts.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    waits: HashMap<(usize, Tuple), Wait>,
    seen: HashMap<(usize, SocketId), Seen>,
}

impl Timers {
    /// A host has had its turn.
    pub(crate) fn look(&mut self, now: Instant, node: &Node) -> Result<(), String> {
        let time = node.time(now);
        let waiting = |state| state == State::TimeWait;
        let there: Vec<Tuple> = match node.host.stack().tcp_records() {
            [.., 0] => Vec::new(),
            _ => node
                .host
                .stack()
                .tcp_unowned()
                .filter(|it| waiting(it.state))
                .map(|it| (it.local, it.remote))
                .collect(),
        };
        let number = node.number();
        let mut gone = Vec::new();
        for (&(host, tuple), wait) in &self.waits {
            if host == number && !there.contains(&tuple) {
                gone.push(tuple);
                // What came in this turn may have been a reset or a SYN; and who has lost power has lost its records.
                let struck = node.heard == Some(time) || node.disturbed.is_some_and(|at| at >= wait.world);
                if !struck && !taken(node, tuple) && time - wait.since < TIME_WAIT {
                    return Err(format!("{tuple:?} was in TIME-WAIT for {:?} only", time - wait.since));
                }
            }
        }
        for tuple in gone {
            self.waits.remove(&(number, tuple));
        }
        for tuple in there {
            let fresh = Wait {
                since: time,
                world: now,
            };
            let wait = self.waits.entry((number, tuple)).or_insert(fresh);
            let since = node.heard.map_or(wait.since, |heard| heard.max(wait.since));
            if time - since > TIME_WAIT + LATE {
                return Err(format!("{tuple:?} is still in TIME-WAIT after {:?}", time - wait.since));
            }
        }
        Ok(())
    }

    /// The same for a connection of it.
    pub(crate) fn look_at(
        &mut self,
        now: Instant,
        node: &mut Node,
        socket: SocketId,
        info: &TcpInfo,
    ) -> Result<(), String> {
        let time = node.time(now);
        let calm = node.disturbed.is_none_or(|at| now - at > ATTEMPT_MAX * 2);
        let seen = self.seen.entry((node.number(), socket)).or_default();
        if seen.judge_attempts(time, info) && calm {
            return Err(format!("nothing was sent for {:?}", time - seen.attempt));
        }
        let silence = info.since_data_received.min(info.since_ack_received);
        if silence < SILENCE || info.state != State::Established || info.in_flight + info.unsent > 0 {
            seen.keepalive = None;
            return Ok(());
        }
        let limit = patience(node, time, socket, info.user_timeout);
        seen.keepalive = limit.map(|limit| match seen.keepalive {
            Some((known, since)) if known == limit => (limit, since),
            _ => (limit, time),
        });
        match seen.keepalive {
            Some((limit, since)) if calm && silence.min(time - since) > limit + LATE => {
                Err(format!("keepalive has heard nothing for {silence:?}"))
            }
            _ => Ok(()),
        }
    }
}

/// Whether a connection has this tuple.
fn taken(node: &Node, (local, remote): Tuple) -> bool {
    let ours = |socket| {
        node.host
            .info(socket)
            .is_some_and(|it| (it.local, it.remote) == (local, Some(remote)))
    };
    node.host.sockets().any(ours)
        || node
            .host
            .stack()
            .tcp_unowned()
            .any(|it| (it.local, it.remote) == (local, remote))
}

/// How much silence a connection bears; `None` without keepalive.
fn patience(node: &mut Node, time: Instant, socket: SocketId, user_timeout: Option<Duration>) -> Option<Duration> {
    let mut values = [0_u64; 4];
    for (value, (level, name)) in values.iter_mut().zip(KEEPALIVE) {
        let mut out = vec![0; 4];
        node.host.option(time, socket, level, name, &mut out).ok()?;
        *value = u64::from(u32::from_ne_bytes(*out.first_chunk()?));
    }
    let [on, idle, interval, probes] = values;
    let whole = Duration::from_secs(idle + interval * (probes + 1));
    // With a user timeout the first probe after it decides (RFC 5482 §4.2).
    let told = user_timeout.map(|limit| limit + Duration::from_secs(interval));
    (on != 0).then(|| told.map_or(whole, |told| whole.max(told)))
}

impl Seen {
    /// Whether nothing has been sent for too long though something waits.
    fn judge_attempts(&mut self, time: Instant, info: &TcpInfo) -> bool {
        let synchronized = !matches!(
            info.state,
            State::Closed | State::Listen | State::SynSent | State::SynReceived | State::TimeWait
        );
        let waits = synchronized && info.in_flight + info.unsent > 0;
        if !waits || self.segments != info.segments_out {
            self.segments = info.segments_out;
            self.attempt = time;
        }
        waits && time - self.attempt > ATTEMPT_MAX + LATE
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;
    use prise_socket::{Family, Kind};

    const S: Duration = Duration::from_secs(1);

    fn node() -> Node {
        Node::new("host", 0, &mut Random::new(1), Instant::ZERO)
    }

    /// The host talks to itself and is left with one TIME-WAIT record.
    fn with_time_wait(node: &mut Node) {
        let (now, host) = (Instant::ZERO, &mut node.host);
        let at = "127.0.0.1:7".parse().expect("an address");
        let listener = host.socket(Family::Inet, Kind::Stream, 0).expect("a socket");
        host.bind(now, listener, at).expect("free");
        host.listen(now, listener, 1).expect("bound");
        let client = host.socket(Family::Inet, Kind::Stream, 0).expect("a socket");
        let _ = host.connect(now, client, at);
        settle(node);
        let (server, _) = node.host.accept(now, listener).expect("connected");
        for socket in [client, server, listener] {
            node.host.close(now, socket);
            settle(node);
        }
        assert_eq!(node.host.stack().tcp_records(), [0, 0, 0, 1]);
    }

    fn settle(node: &mut Node) {
        let links: Vec<_> = node.host.links_ready().iter().collect();
        for link in links {
            while let Some(frame) = node.host.transmit(Instant::ZERO, link) {
                node.host.receive(Instant::ZERO, link, [frame]);
            }
        }
    }

    #[test]
    fn time_wait_that_lasts_a_minute_is_right() {
        let (mut timers, mut node) = (Timers::default(), node());
        with_time_wait(&mut node);
        assert_eq!(timers.look(Instant::ZERO, &node), Ok(()));
        node.host.expire(Instant::ZERO + 59 * S);
        assert_eq!(timers.look(Instant::ZERO + 59 * S, &node), Ok(()));
        node.host.expire(Instant::ZERO + 60 * S + LATE);
        assert_eq!(node.host.stack().tcp_records(), [0; 4]);
        assert_eq!(timers.look(Instant::ZERO + 60 * S + LATE, &node), Ok(()));
    }

    #[test]
    fn time_wait_that_ends_early_or_never_is_an_offence() {
        let (mut timers, mut before) = (Timers::default(), node());
        with_time_wait(&mut before);
        assert_eq!(timers.look(Instant::ZERO, &before), Ok(()));
        let late = timers.look(Instant::ZERO + 62 * S, &before);
        assert!(late.is_err_and(|what| what.contains("still in TIME-WAIT")));
        let early = timers.look(Instant::ZERO + 30 * S, &node());
        assert!(early.is_err_and(|what| what.contains("30s only")));
    }

    #[test]
    fn octets_that_nobody_tries_to_move_are_an_offence() {
        let mut seen = Seen::default();
        let mut node = node();
        with_time_wait(&mut node);
        let socket = node.host.socket(Family::Inet, Kind::Stream, 0).expect("a socket");
        let at = "127.0.0.1:9".parse().expect("an address");
        let _ = node.host.connect(Instant::ZERO, socket, at);
        let mut info = node.host.tcp_info(Instant::ZERO, socket).expect("a connection");
        (info.state, info.unsent, info.in_flight) = (State::Established, 1, 0);
        assert!(!seen.judge_attempts(Instant::ZERO, &info));
        assert!(!seen.judge_attempts(Instant::ZERO + 120 * S, &info));
        assert!(seen.judge_attempts(Instant::ZERO + 122 * S, &info));
        info.segments_out += 1;
        assert!(!seen.judge_attempts(Instant::ZERO + 122 * S, &info));
    }
}
