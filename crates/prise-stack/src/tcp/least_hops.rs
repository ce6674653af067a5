//! The generalized TTL security mechanism (RFC 5082): who knows that his peers are near believes nothing that comes from farther away.
//!
//! Each hop takes one away, so that what arrives with 255 was sent by a neighbor. A listener's word is for who begins, a connection's for
//! what belongs to it and for errors about what it has sent. Half-open connections and TIME-WAIT have no program's word, as on Linux
//! (`tcp_v4_rcv`, `tcp_v4_err` and their like of IPv6). Looked at as the first thing about a segment that has found its owner; only a signature
//! has been checked before.

use super::Tcp;
use super::connection::Connection;
use super::segment::Segment;
use super::tuple::FourTuple;
use crate::link::LinkId;

impl Connection {
    /// Whether what has so many hops left comes from too far away.
    pub(crate) fn is_too_far(&self, hops: u8) -> bool {
        hops < self.config.least_hops.of(&self.tuple)
    }
}

impl Tcp {
    /// The same of a segment that belongs to a connection.
    pub(crate) fn is_too_far_for_connection(&self, index: u32, seg: &Segment) -> bool {
        self.heeds_hops
            && self
                .connections
                .get(index)
                .is_some_and(|connection| connection.is_too_far(seg.hop_limit))
    }

    /// The same of a segment that a listener would take.
    pub(crate) fn is_too_far_for_listener(&self, link: LinkId, tuple: &FourTuple, seg: &Segment) -> bool {
        if !self.heeds_hops {
            return false;
        }
        let listener = self
            .listener_of(link, tuple)
            .and_then(|index| self.listeners.get(index));
        listener.is_some_and(|listener| seg.hop_limit < listener.config.least_hops.of(tuple))
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;
    use core::net::{Ipv4Addr, SocketAddr};
    use core::time::Duration;

    use prise_wire::{Body, Checksum, Frame, Icmpv4Header, Ipv4Header, Payload, protocol};

    use crate::Stack;
    use crate::net::Discard;
    use crate::tcp::tests::World;
    use crate::tcp::{ConnId, PerVersion, ReceiveError, State, TcpConfig};

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
