//! The generalized TTL security mechanism (RFC 5082): who knows that his peers are near believes nothing that comes from farther away.
//!
//! Each hop takes one away, so that what arrives with 255 was sent by a neighbor. A listener's word is for who begins, a connection's for
//! what belongs to it and for errors about what it has sent. Half-open connections and TIME-WAIT have no program's word, as on Linux
//! (`tcp_v4_rcv`, `tcp_v4_err` and their like of IPv6). Looked at as the first thing about a segment that has found its owner, before its
//! signature: that is dearer (§3).

use super::Tcp;
use super::connection::Connection;
use super::demux::Owner;
use super::tuple::FourTuple;
use crate::link::LinkId;

impl Connection {
    /// Whether what has so many hops left comes from too far away.
    pub(crate) fn is_too_far(&self, hops: u8) -> bool {
        hops < self.config.least_hops.of(&self.tuple)
    }
}

impl Tcp {
    /// The same of a segment with so many hops left, by whose it would be.
    pub(crate) fn is_too_far(&self, link: LinkId, tuple: &FourTuple, owner: Option<Owner>, hops: u8) -> bool {
        match owner {
            _ if !self.heeds_hops => false,
            Some(Owner::Connection(index)) => {
                let connection = self.connections.get(index);
                connection.is_some_and(|connection| connection.is_too_far(hops))
            }
            Some(Owner::HalfOpen(_) | Owner::TimeWait(_)) => false,
            None => self.is_too_far_for_listener(link, tuple, hops),
        }
    }

    /// The same of a segment that a listener would take.
    pub(crate) fn is_too_far_for_listener(&self, link: LinkId, tuple: &FourTuple, hops: u8) -> bool {
        if !self.heeds_hops {
            return false;
        }
        let listener = self
            .listener_of(link, tuple)
            .and_then(|index| self.listeners.get(index));
        listener.is_some_and(|listener| hops < listener.config.least_hops.of(tuple))
    }
}

#[cfg(test)]
mod tests {
    use alloc::sync::Arc;
    use alloc::vec::Vec;
    use core::net::{Ipv4Addr, SocketAddr};
    use core::time::Duration;

    use prise_wire::{Body, Checksum, Frame, Icmpv4Header, Ipv4Header, Medium, Payload, protocol};

    use crate::fixture::{Eth, at, exchange, ms, node_with};
    use crate::net::Discard;
    use crate::tcp::tests::World;
    use crate::tcp::{ConnId, ListenConfig, PerVersion, ReceiveError, SignatureKeys, State, TcpConfig};
    use crate::{Local, Stack};

    const NEAR: PerVersion = PerVersion { v4: 100, v6: 0 };

    fn too_far(stack: &Stack) -> u64 {
        stack.discards().get(Discard::TcpTooFar)
    }

    fn set_hops(world: &mut World, id: ConnId, hops: u8) {
        let config = TcpConfig {
            hop_limit: PerVersion { v4: hops, v6: 1 },
            ..TcpConfig::default()
        };
        world.stacks[0].tcp_set_config(world.now, id, config);
    }

    // rfc: 5082 §3/2
    #[test]
    fn a_listener_does_not_hear_who_is_too_far_away() {
        let mut world = World::new(3);
        let listener = world.listen(80);
        let config = TcpConfig {
            least_hops: NEAR,
            ..TcpConfig::default()
        };
        world.stacks[1].tcp_set_listener_config(listener, config);
        let client = world.open(40_000, 80);
        world.run_for(Duration::from_millis(500));
        assert_eq!(world.stacks[0].tcp_state(client), State::SynSent);
        assert_eq!((too_far(&world.stacks[1]), world.stacks[1].tcp_records()[2]), (1, 0));

        set_hops(&mut world, client, 100);
        world.run_for(Duration::from_secs(2));
        let server = world.stacks[1].tcp_accept(listener, 9).expect("the SYN came again");
        assert_eq!(world.stacks[1].tcp_config(server).map(|it| it.least_hops), Some(NEAR));

        set_hops(&mut world, client, 99);
        let mut data = Payload::from(Vec::from("far"));
        let now = world.now;
        let sent = world.stacks[0].tcp_send(now, client, &mut data, true, false);
        assert_eq!(sent.ok(), Some(3));
        world.run_for(Duration::from_millis(50));
        let received = world.stacks[1].tcp_receive(now, server, 10);
        assert_eq!(received.map(|it| it.len()), Err(ReceiveError::WouldBlock));
        set_hops(&mut world, client, 255);
        world.run_for(Duration::from_secs(2));
        let now = world.now;
        assert_eq!(world.stacks[1].tcp_receive(now, server, 10).map(|it| it.len()), Ok(3));
    }

    // rfc: 5082 §3/2
    #[test]
    fn over_ipv6_its_own_number_counts() {
        let medium = Medium::Ip;
        let [mut a, mut b] = [1, 2].map(|number| {
            node_with(
                number,
                Eth {
                    medium,
                    ..Eth::default()
                },
            )
        });
        let config = |least: u8| TcpConfig {
            least_hops: PerVersion { v4: 255, v6: least },
            ..TcpConfig::default()
        };
        let (from, to) = (at("[fd00:2::1]:9001"), at("[fd00:2::2]:9000"));
        let listen = |config| ListenConfig {
            local: Local::endpoint(to),
            backlog: 1,
            reuse_port: false,
            config,
            token: 1,
        };
        let listener = b.stack.tcp_listen(listen(config(65))).expect("nobody listens");
        let client = a.stack.tcp_connect(ms(0), from, to, None, &config(64), 2);
        let client = client.expect("the tuple is free");
        exchange(ms(0), &mut a, &mut b);
        assert_eq!((too_far(&b.stack), a.stack.tcp_state(client)), (1, State::SynSent));
        b.stack.tcp_set_listener_config(listener, config(64));
        a.stack.expire(ms(1500));
        exchange(ms(1500), &mut a, &mut b);
        let server = b.stack.tcp_accept(listener, 9).expect("the SYN came again");
        b.stack.tcp_set_config(ms(1500), server, config(65));
        a.stack.tcp_abort(ms(1500), client);
        exchange(ms(1500), &mut a, &mut b);
        assert_eq!((too_far(&b.stack), b.stack.tcp_state(server)), (2, State::Established));
    }

    #[test]
    fn of_what_is_too_far_away_the_signature_is_not_looked_at() {
        let mut world = World::new(6);
        let listener = world.listen(80);
        let mut keys = SignatureKeys::default();
        assert!(keys.set("10.0.0.1/32".parse().expect("a prefix"), b"key"));
        let config = TcpConfig {
            least_hops: NEAR,
            signature_keys: Some(Arc::new(keys)),
            ..TcpConfig::default()
        };
        world.stacks[1].tcp_set_listener_config(listener, config);
        world.open(40_000, 80);
        world.run_for(Duration::from_millis(500));
        let missing = world.stacks[1].discards().get(Discard::TcpSignatureMissing);
        assert_eq!((too_far(&world.stacks[1]), missing), (1, 0));
    }

    /// What leaves outside a connection's queue, too (SYN-ACK, last acknowledgment, reset), has the program's number of hops.
    // rfc: 5082 §3
    #[test]
    fn neighbors_who_believe_only_each_other_open_close_and_reset() {
        let neighborly = TcpConfig {
            hop_limit: PerVersion::both(255),
            least_hops: PerVersion::both(255),
            ..TcpConfig::default()
        };
        let mut world = World::new(5);
        let listener = world.listen(80);
        world.stacks[1].tcp_set_listener_config(listener, neighborly.clone());
        let open = |world: &mut World, from: u16| {
            let ends = [("10.0.0.1", from), ("10.0.0.2", 80)];
            let [local, remote] = ends.map(|(addr, port)| SocketAddr::new(addr.parse().expect("an address"), port));
            let client = world.stacks[0].tcp_connect(world.now, local, remote, None, &neighborly, 7);
            let client = client.expect("the tuple is free");
            world.run_for(Duration::from_millis(500));
            let server = world.stacks[1].tcp_accept(listener, 9).expect("a connection to accept");
            [client, server]
        };
        let ids = open(&mut world, 40_000);
        world.transfer(ids, 10_000);
        world.close_both(ids);
        world.assert_empty();

        let [client, server] = open(&mut world, 40_001);
        let now = world.now;
        world.stacks[0].tcp_abort(now, client);
        world.run_for(Duration::from_millis(500));
        assert_eq!(world.stacks[1].tcp_state(server), State::Closed);
        assert_eq!(world.stacks.each_ref().map(too_far), [0, 0]);
    }

    /// What ICMP errors quote was sent by ourselves, with few hops left only if they come from afar.
    // rfc: 5082 §3/3
    #[test]
    fn an_error_about_a_segment_that_was_quoted_far_away_is_not_believed() {
        for (hops, state) in [(99, State::SynSent), (100, State::Closed)] {
            let mut world = World::new(4);
            let client = world.open(40_000, 80);
            let config = TcpConfig {
                least_hops: NEAR,
                ..TcpConfig::default()
            };
            let now = world.now;
            world.stacks[0].tcp_set_config(now, client, config);
            world.filter = Some(|_, _, _| false);
            world.run_for(Duration::from_millis(5));
            let (_, syn, _) = world.log[0];

            let mut quoted = Frame::with_header(&syn, Body::new());
            let (own, peer) = (Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2));
            let len = quoted.total_len();
            let mut header = Ipv4Header::new(own, peer, protocol::TCP, len);
            header.hop_limit = hops;
            quoted.push_header(&header);
            let body = Body::from(Payload::copy_from(quoted.head()));
            let unreachable = Icmpv4Header::DestinationUnreachable {
                code: 1,
                next_hop_mtu: 0,
            };
            let mut error = Frame::with_header(&unreachable, body);
            error.offload.checksum = Checksum::Verified;
            let len = error.total_len();
            error.push_header(&Ipv4Header::new(peer, own, protocol::ICMPV4, len));
            world.deliver(0, error);
            assert_eq!(world.stacks[0].tcp_state(client), state, "{hops}");
            assert_eq!(too_far(&world.stacks[0]), u64::from(hops < 100));
        }
    }
}
