//! The user timeout option, RFC 5482: ends tell each other how long they keep octets that nobody acknowledges, and may adapt to it.
//!
//! Off unless [`Tuning::user_timeout_option`](super::Tuning::user_timeout_option) says otherwise, as on Linux, which has no such option.
//! The option goes along in the SYNs, in the first segment after them that has room, and when a program sets another timeout. What a
//! peer says is bounded, so that it can neither end a connection in a moment nor keep it for days.

use core::time::Duration;

use prise_wire::TcpHeader;
use prise_wire::tcp::UserTimeout;

use super::config::TcpConfig;
use super::connection::Connection;
use super::giving_up::{GIVE_UP, GIVE_UP_ORPHAN};
use super::segment::Segment;

/// How the option is used: the variables of RFC 5482 §3. That this exists is `ENABLED`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UserTimeoutExchange {
    /// `ADV_UTO`, what the peer is told where a program has not set `TCP_USER_TIMEOUT`. Whole seconds up to 9 hours, then minutes.
    pub advertised: Duration,
    /// `CHANGEABLE`: whether what the peer says changes the timeout. `None`: unless the program has set `TCP_USER_TIMEOUT`.
    pub changeable: Option<bool>,
    /// `L_LIMIT`. The retransmission timeout is one, too.
    pub least: Duration,
    /// `U_LIMIT`. For connections that no program holds any more it is that of orphans.
    pub most: Duration,
}

impl UserTimeoutExchange {
    /// What holds where nobody has decided anything: the default timeout, 100 seconds at least (§3.1) and an hour at most.
    pub const DEFAULT: Self = Self {
        advertised: GIVE_UP,
        changeable: None,
        least: Duration::from_secs(100),
        most: Duration::from_secs(3600),
    };
}

impl Default for UserTimeoutExchange {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// The option's first SYNs that got no answer: after so many it is left out, lest it be what keeps them from arriving (§4.1).
const TRIED_MAX: u8 = 2;

/// What an option says; zero is reserved and says nothing (§3.4).
fn told(option: UserTimeout) -> Option<Duration> {
    let seconds = option.seconds();
    (seconds > 0).then(|| Duration::from_secs(u64::from(seconds)))
}

/// The option of a SYN-ACK that has been sent so many times before.
pub(crate) fn of_syn_ack(config: &TcpConfig, retries: u8) -> Option<UserTimeout> {
    let exchange = config.tuning().user_timeout_option.filter(|_| retries < TRIED_MAX)?;
    Some(option_for(config.user_timeout.unwrap_or(exchange.advertised)))
}

/// The option for a timeout: seconds rounded up, minutes where they are too many; never zero.
pub(crate) fn option_for(timeout: Duration) -> UserTimeout {
    const MOST: u64 = 0x7fff;
    let whole = timeout.as_secs() + u64::from(timeout.subsec_nanos() > 0);
    let seconds = whole.max(1);
    let minutes = seconds > MOST;
    let value = if minutes { seconds.div_ceil(60) } else { seconds };
    UserTimeout {
        value: value.min(MOST) as u16,
        minutes,
    }
}

impl Connection {
    /// `ENABLED`, and the rest.
    fn timeout_exchange(&self) -> Option<&UserTimeoutExchange> {
        self.config.tuning().user_timeout_option.as_ref()
    }

    /// `ADV_UTO`: the program's own timeout before that of the host.
    fn advertised_timeout(&self, exchange: &UserTimeoutExchange) -> Duration {
        self.config.user_timeout.unwrap_or(exchange.advertised)
    }

    /// `REMOTE_UTO`.
    pub(crate) fn remote_timeout(&self) -> Option<Duration> {
        self.rare.as_ref()?.remote_timeout
    }

    /// `USER_TIMEOUT`, if it is not the default: the program's word, or what both ends agree on (§3.1). Before the handshake has
    /// ended it is never the peer's (§3.3).
    pub(crate) fn user_timeout(&self) -> Option<Duration> {
        let own = self.config.user_timeout;
        let Some(exchange) = self.timeout_exchange().filter(|_| self.is_synchronized()) else {
            return own;
        };
        if !exchange.changeable.unwrap_or(own.is_none()) {
            return own;
        }
        let remote = self.remote_timeout().unwrap_or(Duration::ZERO);
        // One round of retransmission always has its time.
        let least = exchange.least.max(2 * self.rtt.rto(self.config.rto_min));
        let adopted = self
            .advertised_timeout(exchange)
            .max(remote)
            .max(least)
            .min(exchange.most.max(least));
        Some(if self.is_orphan() {
            adopted.min(GIVE_UP_ORPHAN)
        } else {
            adopted
        })
    }

    /// What an acceptable segment of the peer's says of its timeout.
    pub(crate) fn take_user_timeout(&mut self, seg: &Segment) {
        if self.timeout_exchange().is_some()
            && let Some(timeout) = seg.options.user_timeout.and_then(told)
        {
            self.rare().remote_timeout = Some(timeout);
        }
    }

    /// Likewise of the SYN that a half-open record has remembered.
    pub(crate) fn take_timeout_of_syn(&mut self, field: u16) {
        if let Some(timeout) = told(UserTimeout::from_field(field)) {
            self.rare().remote_timeout = Some(timeout);
        }
    }

    /// The next segment that has room tells the peer our timeout (§3).
    pub(crate) fn tell_user_timeout_soon(&mut self) {
        let enabled = self.timeout_exchange().is_some();
        self.flags.set_user_timeout_due(enabled);
    }

    /// Puts the option into a segment; `room`: octets that its data leave.
    pub(crate) fn tell_user_timeout(&mut self, header: &mut TcpHeader, room: u32) {
        let Some(exchange) = self.timeout_exchange() else {
            return;
        };
        let syn = header.flags.syn();
        let wanted = if syn {
            self.backoff < TRIED_MAX
        } else {
            self.flags.user_timeout_due() && room >= 4 && header.options.sack.is_empty()
        };
        if wanted {
            header.options.user_timeout = Some(option_for(self.advertised_timeout(exchange)));
            self.flags.set_user_timeout_due(syn && self.flags.user_timeout_due());
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::sync::Arc;

    use prise_wire::Payload;

    use super::*;
    use crate::tcp::tests::World;
    use crate::tcp::{ConnId, Tuning};

    // rfc: 5482 §3.3 §3.4
    #[test]
    fn an_option_counts_seconds_while_they_fit_then_minutes_and_is_never_zero() {
        let option = |seconds| option_for(Duration::from_secs(seconds));
        assert_eq!(
            option(0),
            UserTimeout {
                value: 1,
                minutes: false
            }
        );
        assert_eq!(
            option(32_767),
            UserTimeout {
                value: 32_767,
                minutes: false
            }
        );
        assert_eq!(
            option(32_768),
            UserTimeout {
                value: 547,
                minutes: true
            }
        );
        assert_eq!(
            option(u64::MAX),
            UserTimeout {
                value: 32_767,
                minutes: true
            }
        );
        assert_eq!(option_for(Duration::from_millis(1001)).seconds(), 2, "rounded up");
    }

    fn world_with(exchange: UserTimeoutExchange) -> (World, ConnId, ConnId) {
        let mut world = World::new(9);
        let (client, server) = world.connect();
        let config = TcpConfig {
            tuning: Some(Arc::new(Tuning {
                user_timeout_option: Some(exchange),
                ..Tuning::DEFAULT
            })),
            ..TcpConfig::default()
        };
        for (side, id) in [client, server].into_iter().enumerate() {
            let now = world.now;
            world.stacks[side].tcp_set_config(now, id, config.clone());
        }
        (world, client, server)
    }

    fn write(world: &mut World, side: usize, id: ConnId) {
        let now = world.now;
        let sent = world.stacks[side].tcp_send(now, id, &mut Payload::from(alloc::vec![1; 100]), false, false);
        assert_eq!(sent, Ok(100));
        world.run_for(Duration::from_secs(1));
    }

    #[test]
    fn the_timeout_of_a_peer_is_shown_and_bounded() {
        let seconds = Duration::from_secs;
        let (mut world, client, server) = world_with(UserTimeoutExchange {
            advertised: seconds(7200),
            least: seconds(5),
            most: seconds(600),
            changeable: None,
        });
        write(&mut world, 0, client);
        let told = world.stacks[1].tcp_info(world.now, server).expect("it lives");
        assert_eq!(told.peer_user_timeout, Some(seconds(7200)));
        assert_eq!(told.user_timeout, Some(seconds(600)));
        let told = world.stacks[0].tcp_info(world.now, client).expect("it lives");
        assert_eq!(
            (told.peer_user_timeout, told.user_timeout),
            (Some(seconds(7200)), Some(seconds(600)))
        );
    }

    #[test]
    fn the_timeout_is_longer_than_the_retransmission_timeout() {
        let exchange = UserTimeoutExchange {
            advertised: Duration::from_secs(1),
            least: Duration::from_millis(1),
            most: Duration::from_millis(1),
            changeable: None,
        };
        let (mut world, client, _) = world_with(exchange);
        write(&mut world, 0, client);
        let told = world.stacks[0].tcp_info(world.now, client).expect("it lives");
        assert!(
            told.user_timeout.is_some_and(|timeout| timeout > told.rto),
            "{:?} {:?}",
            told.user_timeout,
            told.rto
        );
    }
}
