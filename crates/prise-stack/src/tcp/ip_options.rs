//! Options of IPv4 on a connection (RFC 791 §3.1, RFC 1122 §4.2.3.8; ip(7) `IP_OPTIONS`).
//!
//! What a program sets goes with every segment, and segments shrink by as much. Who is connected to answers with what the SYN came with (after
//! a SYN cookie, the segment that brings it back): a route that was recorded goes back as it is (`ip_options_echo`; source routes are not
//! honoured, RFC 7126). The program reads there what is answered with, and may set something else. What belongs to no connection, or to one
//! in TIME-WAIT, is answered with what it came with itself.

use alloc::sync::Arc;
use core::net::IpAddr;

use prise_wire::{Frame, Ipv4Options, ipv4};

use super::config::TcpConfig;
use super::connection::Connection;
use super::segment::Segment;
use super::tuple::FourTuple;

/// What to answer with to a packet whose header lies at `network_at` and ends at `transport_at`, to our address; none to most. `answers`,
/// whether anybody will, is asked only of one that has options.
pub(super) fn to_answer_with(
    frame: &Frame,
    network_at: usize,
    transport_at: usize,
    own: IpAddr,
    answers: impl FnOnce() -> bool,
) -> Option<Arc<Ipv4Options>> {
    let (IpAddr::V4(own), true) = (own, transport_at > network_at + ipv4::HEADER_LEN && answers()) else {
        return None;
    };
    let octets = frame.head().get(network_at + ipv4::HEADER_LEN..transport_at)?;
    let mut came_with = Ipv4Options::copy_from(octets);
    came_with.record_route(own);
    Some(Arc::new(came_with.echoed())).filter(|options| !options.is_empty())
}

impl TcpConfig {
    /// What the segments of that connection carry: with our address in the route that is recorded.
    pub(crate) fn ip_options_of(&self, tuple: &FourTuple) -> Ipv4Options {
        let (Some(options), IpAddr::V4(own)) = (self.ip_options.as_deref(), tuple.local_ip()) else {
            return Ipv4Options::NONE;
        };
        let mut options = *options;
        options.record_route(own);
        options
    }

    /// A listener's, for a connection that a segment makes: it answers with what that came with.
    pub(crate) fn answering(self: &Arc<Self>, seg: &Segment) -> Arc<Self> {
        let mut config = self.clone();
        if config.ip_options != seg.ip_options {
            Arc::make_mut(&mut config).ip_options.clone_from(&seg.ip_options);
        }
        config
    }
}

impl Connection {
    /// What its segments carry.
    pub(crate) fn ip_options(&self) -> Ipv4Options {
        self.config.ip_options_of(&self.tuple)
    }

    /// What these take of each segment.
    pub(crate) fn ip_options_room(&self) -> u32 {
        let options = self.config.ip_options.as_deref().filter(|_| self.tuple.is_v4());
        options.map_or(0, |options| options.padded_len() as u32)
    }
}

#[cfg(test)]
mod tests {
    use alloc::sync::Arc;
    use alloc::vec;
    use alloc::vec::Vec;
    use core::net::SocketAddr;
    use core::time::Duration;

    use prise_wire::{Ipv4Header, Ipv4Options, Payload};

    use crate::tcp::tests::World;
    use crate::tcp::{ConnId, State, TcpConfig};

    const ROUTE: [u8; 11] = [7, 11, 4, 0, 0, 0, 0, 0, 0, 0, 0];

    fn recording() -> TcpConfig {
        TcpConfig {
            ip_options: Some(Arc::new(Ipv4Options::padded(&ROUTE))),
            ..TcpConfig::default()
        }
    }

    /// A client that records routes, and who it is connected to.
    fn connect(world: &mut World) -> [ConnId; 2] {
        let listener = world.listen(80);
        let (local, remote) = ("10.0.0.1:40000", "10.0.0.2:80");
        let ends: [SocketAddr; 2] = [local, remote].map(|end| end.parse().expect("an endpoint"));
        let client = world.stacks[0].tcp_connect(world.now, ends[0], ends[1], None, &recording(), 7);
        world.run_for(Duration::from_millis(500));
        let server = world.stacks[1].tcp_accept(listener, 9).expect("a connection to accept");
        [client.expect("the tuple is free"), server]
    }

    /// The options and the octets of data of what a side sends when it may send so much.
    fn sends(world: &mut World, side: usize, id: ConnId, len: usize) -> Vec<(Ipv4Options, usize)> {
        let (now, link) = (world.now, world.links[side]);
        let mut data = Payload::from(vec![7; len]);
        let sent = world.stacks[side].tcp_send(now, id, &mut data, false, false);
        assert_eq!(sent.ok(), Some(len));
        let frames = core::iter::from_fn(|| world.stacks[side].transmit(now, link));
        let seen = |frame: prise_wire::Frame| {
            let header = Ipv4Header::parse(frame.head()).expect("a header");
            (header.options, frame.body().len())
        };
        frames.map(seen).collect()
    }

    // rfc: 9293 MAY-11
    #[test]
    fn every_segment_carries_the_options_and_is_shorter_by_them() {
        for gso_max in [0, 65_535] {
            let mut world = World::with_links(5, 1500, gso_max);
            let [client, server] = connect(&mut world);
            let mut own = ROUTE;
            own[2..7].copy_from_slice(&[8, 10, 0, 0, 1]);
            // 12 of timestamps, 12 of these.
            let whole = (Ipv4Options::padded(&own), 1436);
            assert_eq!(sends(&mut world, 0, client, 2872), [whole, whole]);
            // RFC 1122 §4.2.3.8: what the handshake came with is answered with, the route of both.
            let both = [7, 11, 12, 10, 0, 0, 1, 10, 0, 0, 2];
            let options = world.stacks[1].tcp_config(server).and_then(|it| it.ip_options.clone());
            assert_eq!(options.as_deref(), Some(&Ipv4Options::padded(&both)));
            let whole = (Ipv4Options::padded(&both), 1436);
            assert_eq!(sends(&mut world, 1, server, 2872), [whole, whole]);
        }
    }

    // rfc: 9293 MAY-11
    #[test]
    fn the_route_of_the_syn_counts_when_its_answer_is_lost() {
        let mut world = World::new(7);
        // The first SYN-ACK is lost, and all that answers the next.
        world.filter = Some(|side, header, _| side == 0 && header.flags.syn());
        let listener = world.listen(80);
        let ends: [SocketAddr; 2] = ["10.0.0.1:40000", "10.0.0.2:80"].map(|end| end.parse().expect("an endpoint"));
        let client = world.stacks[0].tcp_connect(world.now, ends[0], ends[1], None, &recording(), 7);
        let client = client.expect("the tuple is free");
        world.run_for(Duration::from_millis(500));
        // What completes the handshake is without a route.
        world.stacks[0].tcp_set_config(world.now, client, TcpConfig::default());
        world.filter = None;
        world.run_for(Duration::from_secs(2));
        let server = world.stacks[1].tcp_accept(listener, 9).expect("a connection to accept");
        let both = [7, 11, 12, 10, 0, 0, 1, 10, 0, 0, 2];
        let options = world.stacks[1].tcp_config(server).and_then(|it| it.ip_options.clone());
        assert_eq!(options.as_deref(), Some(&Ipv4Options::padded(&both)));
    }

    #[test]
    fn a_listeners_own_are_not_its_connections() {
        let mut world = World::new(8);
        let listener = world.listen(80);
        world.stacks[1].tcp_set_listener_config(listener, recording());
        let client = world.open(40_000, 80);
        world.run_for(Duration::from_millis(500));
        let server = world.stacks[1].tcp_accept(listener, 9).expect("a connection to accept");
        assert_eq!(
            world.stacks[1].tcp_config(server).map(|it| it.ip_options.clone()),
            Some(None)
        );
        assert_eq!(sends(&mut world, 1, server, 1448), [(Ipv4Options::NONE, 1448)]);
        assert_eq!(world.stacks[0].tcp_state(client), State::Established);
    }

    #[test]
    fn a_small_segment_size_and_long_options_do_not_make_segments_of_an_octet() {
        let mut world = World::new(9);
        let listener = world.listen(80);
        let smallest = TcpConfig {
            max_segment: Some(48),
            ..TcpConfig::default()
        };
        world.stacks[1].tcp_set_listener_config(listener, smallest);
        let route: Vec<u8> = [7, 39, 4].into_iter().chain([0; 36]).collect();
        let config = TcpConfig {
            ip_options: Some(Arc::new(Ipv4Options::padded(&route))),
            ..TcpConfig::default()
        };
        let ends: [SocketAddr; 2] = ["10.0.0.1:40000", "10.0.0.2:80"].map(|end| end.parse().expect("an endpoint"));
        let client = world.stacks[0].tcp_connect(world.now, ends[0], ends[1], None, &config, 7);
        let client = client.expect("the tuple is free");
        world.run_for(Duration::from_millis(500));
        let server = world.stacks[1].tcp_accept(listener, 9).expect("a connection to accept");
        // 48 without 12 of timestamps, as on Linux.
        for (side, id) in [client, server].into_iter().enumerate() {
            let lengths: Vec<usize> = sends(&mut world, side, id, 72).into_iter().map(|it| it.1).collect();
            assert_eq!(lengths, [36, 36]);
        }
    }

    #[test]
    fn what_is_taken_off_is_sent_no_more_and_leaves_its_room() {
        let mut world = World::new(6);
        let [client, server] = connect(&mut world);
        world.stacks[0].tcp_set_config(world.now, client, TcpConfig::default());
        assert_eq!(sends(&mut world, 0, client, 1448), [(Ipv4Options::NONE, 1448)]);
        // The frames were taken off the link: they are sent again.
        world.run_for(Duration::from_secs(2));
        let received = world.stacks[1].tcp_receive(world.now, server, 2000);
        assert_eq!(received.map(|it| it.len()), Ok(1448));
        world.transfer([client, server], 100_000);
        world.close_both([client, server]);
        world.assert_empty();
    }
}
