//! What a link takes nothing of: its queue is full, or drops whatever comes. A driver that sees it says so
//! (`Stack::tcp_held`) in place of fetching, and TCP hears, as Linux's does of its own queues: what could leave is neither under way nor lost; it is offered again each half second
//! (`TCP_RESOURCE_PROBE_INTERVAL`), and the user timeout counts.

use alloc::vec::Vec;
use core::time::Duration;

use prise_wire::Instant;

use super::Tcp;
use super::connection::Connection;
use super::deadlines::Retransmit;
use super::error::TcpError;
use crate::link::LinkId;
use crate::net::Net;
use crate::slab::Key;
use crate::stack::Stack;

/// How often an offer is repeated: it costs the network nothing.
const INTERVAL: Duration = Duration::from_millis(500);

impl Stack {
    /// The link has no room for what is ready to leave by it. To be said whenever [`transmit`](Self::transmit) is not called for that reason:
    /// connections then count how long their data have been waiting, and end by `TCP_USER_TIMEOUT` as if a peer were silent.
    pub fn tcp_held(&mut self, now: Instant, link: LinkId) {
        self.tcp.hold(now, &mut self.net, link);
    }
}

impl Tcp {
    fn hold(&mut self, now: Instant, net: &mut Net, link: LinkId) {
        let waiting = self.ready.get(link.position());
        let waiting: Vec<Key> = waiting.iter().flat_map(|queue| queue.iter().copied()).collect();
        for key in waiting {
            let Some(connection) = self.connections.find_mut(key) else {
                continue;
            };
            if connection.begins_to_be_held() {
                let wait = connection.rto();
                connection.deadlines.arm(Retransmit::Held, now + wait);
                self.settle(now, net, key.index);
            }
        }
    }
}

impl Connection {
    /// It has data to send, and nothing else will look after them.
    fn begins_to_be_held(&self) -> bool {
        let idle = self.deadlines.retransmit == Instant::FAR_FUTURE;
        idle && self.is_synchronized() && self.flight_is_empty() && self.has_unsent()
    }

    /// Still nothing has left.
    pub(super) fn on_held(&mut self, now: Instant) {
        if !self.flight_is_empty() || !self.has_unsent() {
            return;
        }
        self.note_trouble(now);
        if self.probes_out == 0 {
            self.begin_trouble(now);
        } else if self.gave_up(now) {
            return self.end(Some(TcpError::TimedOut));
        }
        self.probes_out = self.probes_out.saturating_add(1);
        self.deadlines.arm(Retransmit::Held, now + INTERVAL);
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use prise_wire::Payload;

    use super::*;
    use crate::tcp::TcpConfig;
    use crate::tcp::tests::World;

    /// A connection with a user timeout, ten octets of which the link does not take.
    fn held(world: &mut World) -> (crate::tcp::ConnId, crate::tcp::ConnId) {
        let (client, server) = world.connect();
        let config = TcpConfig {
            user_timeout: Some(Duration::from_secs(3)),
            ..TcpConfig::default()
        };
        let now = world.now;
        world.stacks[0].tcp_set_config(now, client, config);
        let mut data = Payload::from(vec![7; 10]);
        assert_eq!(world.stacks[0].tcp_send(now, client, &mut data, false, false), Ok(10));
        world.stacks[0].tcp_held(now, world.links[0]);
        (client, server)
    }

    /// The next deadline comes, and the link still takes nothing.
    fn pass(world: &mut World) {
        world.now = world.stacks[0].next_deadline().expect("a deadline");
        let now = world.now;
        world.stacks[0].expire(now);
        world.stacks[0].tcp_held(now, world.links[0]);
    }

    #[test]
    fn data_that_a_link_does_not_take_are_offered_until_the_user_timeout() {
        let mut world = World::new(1);
        let (client, _) = held(&mut world);
        let mut offers = 0;
        // Some wake-ups come before anything is due.
        for _ in 0..1000 {
            if world.stacks[0].tcp_error(client).is_some() {
                break;
            }
            let info = world.stacks[0].tcp_info(world.now, client).expect("it lives");
            assert_eq!(info.backoff, 0);
            offers = info.probes;
            pass(&mut world);
        }
        assert_eq!(offers, 6, "in three seconds");
        assert_eq!(world.stacks[0].tcp_error(client), Some(TcpError::TimedOut));
    }

    #[test]
    fn data_leave_as_soon_as_the_link_takes_them() {
        let mut world = World::new(2);
        let (client, server) = held(&mut world);
        pass(&mut world);
        world.run_for(Duration::from_secs(1));
        let now = world.now;
        let got = world.stacks[1].tcp_receive(now, server, 100).expect("octets");
        assert_eq!(got.len(), 10);
        let info = world.stacks[0].tcp_info(now, client).expect("it lives");
        assert_eq!((info.probes, info.total_retransmissions), (0, 0));
    }
}
