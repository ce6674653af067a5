//! How long a connection keeps trying while its peer is silent, or keeps its window shut: R2 of RFC 9293 §3.8.3, the probes of
//! §3.8.6.1, and Linux's bounds for connections that no program holds any more. `timers` asks here whenever something is due.

use core::time::Duration;

use prise_wire::Instant;

use super::connection::{Connection, Moment, Stamp};
use super::loss::rtt::RTO_MAX;

/// Linux's `tcp_retries2`.
const RETRIES: u8 = 15;
/// An orphan has nobody to tell: `tcp_orphan_retries` of 0 means so many.
const RETRIES_OF_ORPHAN: u8 = 8;
/// What Linux reckons a first timeout to be (`TCP_RTO_MIN`).
const FIRST_TIMEOUT: u64 = 200;

/// RFC 9293 §3.8.3's R2, as Linux has it, where no timeout is bounded otherwise.
pub(crate) const GIVE_UP: Duration = time_of(RETRIES, RTO_MAX);
/// The same for an orphan.
pub(crate) const GIVE_UP_ORPHAN: Duration = time_of(RETRIES_OF_ORPHAN, RTO_MAX);

/// A [`Moment`] wraps after 71 minutes; a user timeout that is longer than this is measured by a [`Stamp`].
const LONG: Duration = Duration::from_secs(1800);

/// The time in which so many retransmissions leave that back off no further than to `most` (`tcp_model_timeout`).
const fn time_of(retries: u8, most: Duration) -> Duration {
    let most = most.as_millis() as u64;
    let ratio = most / FIRST_TIMEOUT;
    let doublings = if ratio == 0 { 0 } else { ratio.ilog2() };
    let retries = retries as u32;
    let doubled = if retries < doublings { retries } else { doublings };
    Duration::from_millis(((2 << doubled) - 1) * FIRST_TIMEOUT + (retries - doubled) as u64 * most)
}

impl Connection {
    /// What is unacknowledged begins to be so now: the user timeout counts from here.
    pub(crate) fn begin_trouble(&mut self, at: Instant) {
        self.trouble_since = Moment::at(at);
        if let Some(rare) = &mut self.rare {
            rare.long_trouble_since = None;
        }
    }

    /// Since when that has been so.
    pub(crate) fn trouble(&self, now: Instant) -> Duration {
        let long = self.rare.as_ref().and_then(|rare| rare.long_trouble_since);
        long.map_or_else(|| self.trouble_since.age(now), |since| since.age(now))
    }

    /// A timer has come in trouble, as it does every two minutes: lets it last for longer than a [`Moment`] can say.
    pub(crate) fn note_trouble(&mut self, now: Instant) {
        if self.user_timeout().is_some_and(|limit| limit > LONG) {
            let since = Stamp::at(now - self.trouble_since.age(now));
            self.rare().long_trouble_since.get_or_insert(since);
        }
    }

    pub(super) fn user_timeout_passed(&self, now: Instant) -> bool {
        self.user_timeout().is_some_and(|limit| self.trouble(now) >= limit)
    }

    /// Whether no timeout is backed off any further.
    fn is_backed_off_fully(&self) -> bool {
        self.rto() >= self.config.rto_limit()
    }

    /// Whether what is sent again is given up.
    pub(super) fn gave_up(&self, now: Instant) -> bool {
        if self.user_timeout().is_some() {
            return self.user_timeout_passed(now);
        }
        let most = self.config.rto_limit();
        if self.is_orphan() {
            // Linux thinks the peer dead where no further back-off is possible.
            return self.is_backed_off_fully() || self.trouble(now) >= time_of(RETRIES_OF_ORPHAN, most);
        }
        if self.snd.wnd == 0 && self.is_synchronized() {
            // The peer has taken its window back, and what is sent again asks about it: as long as there are answers the connection
            // lives (MUST-37; `tcp_rtx_probe0_timed_out`).
            let silence = self.last_received.age(now).min(self.trouble(now));
            return silence >= 2 * most;
        }
        self.trouble(now) >= time_of(RETRIES, most)
    }

    /// Whether a shut window is asked about no longer. As long as the peer answers only a user timeout ends the connection (MUST-37), or
    /// where no program holds it, that probes have become as rare as they may: a host may take back what it needs (RFC 6429 §3;
    /// `tcp_probe_timer`).
    pub(super) fn gave_up_probing(&self, now: Instant) -> bool {
        let passed = self.user_timeout_passed(now);
        let silent = if self.config.user_timeout.is_some() {
            passed || self.probes_out >= RETRIES
        } else if self.user_timeout().is_some() {
            // What both ends agree on (RFC 5482) bounds the peer's silence, not its patience.
            passed && self.probes_out > 0
        } else {
            self.probes_out >= RETRIES
        };
        silent || self.is_orphan() && (self.probes_out >= RETRIES_OF_ORPHAN || self.is_backed_off_fully())
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use prise_wire::Payload;

    use super::*;
    use crate::tcp::tests::World;
    use crate::tcp::{ConnId, TcpConfig, TcpError};

    /// A connection whose client has a user timeout of two hours, and writes 200,000 octets.
    fn patient(seed: u8) -> (World, ConnId) {
        let mut world = World::new(seed);
        let (client, _) = world.connect();
        let config = TcpConfig {
            user_timeout: Some(Duration::from_secs(7200)),
            ..TcpConfig::default()
        };
        let now = world.now;
        world.stacks[0].tcp_set_config(now, client, config);
        for _ in 0..20 {
            let now = world.now;
            let mut data = Payload::from(vec![7; 10_000]);
            let _ = world.stacks[0].tcp_send(now, client, &mut data, false, false);
            world.run_for(Duration::from_millis(100));
        }
        (world, client)
    }

    fn ends_after_two_hours(mut world: World, client: ConnId) {
        world.run_for(Duration::from_secs(7190));
        assert_eq!(world.stacks[0].tcp_error(client), None);
        world.run_for(Duration::from_secs(20));
        assert_eq!(world.stacks[0].tcp_error(client), Some(TcpError::TimedOut));
    }

    #[test]
    fn a_user_timeout_of_hours_bounds_how_long_a_window_stays_shut() {
        let (world, client) = patient(1);
        let info = world.stacks[0].tcp_info(world.now, client).expect("it lives");
        assert_eq!(info.send_window, 0, "nobody reads");
        ends_after_two_hours(world, client);
    }

    #[test]
    fn a_user_timeout_of_hours_bounds_how_long_octets_are_sent_again() {
        let (mut world, client) = patient(2);
        let server = ConnId::from_key(world.stacks[1].tcp.connections.entry_mut(0).expect("the other end").0);
        while world.stacks[1]
            .tcp_receive(world.now, server, 1 << 20)
            .is_ok_and(|got| !got.is_empty())
        {
            world.run_for(Duration::from_millis(500));
        }
        world.filter = Some(|_, _, _| false);
        let now = world.now;
        let mut data = Payload::from(vec![7; 10]);
        assert_eq!(world.stacks[0].tcp_send(now, client, &mut data, false, false), Ok(10));
        ends_after_two_hours(world, client);
    }

    #[test]
    fn the_time_of_retransmissions_is_that_of_linux() {
        let seconds = Duration::from_secs;
        let millis = Duration::from_millis;
        assert_eq!([GIVE_UP, GIVE_UP_ORPHAN], [millis(924_600), millis(102_200)]);
        assert_eq!(time_of(RETRIES, seconds(1)), millis(14_400));
        assert_eq!(time_of(RETRIES_OF_ORPHAN, seconds(1)), millis(7_400));
        assert_eq!(
            time_of(RETRIES, millis(100)),
            millis(1_700),
            "shorter than the first timeout"
        );
    }
}
