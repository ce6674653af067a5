//! Options of IPv4 on a connection (RFC 791 §3.1, RFC 1122 §4.2.3.8; ip(7) `IP_OPTIONS`).
//!
//! What a program sets goes with every segment, and segments shrink by as much. Who is connected to answers with what the segments of the
//! handshake came with: a route that was recorded goes back as it is (`ip_options_echo`; source routes are not honoured, RFC 7126). The
//! program reads there what is answered with, and may set something else. Unlike Linux, a SYN-ACK that is sent again is without options, as
//! nothing of a half-open connection remembers them, and so is what belongs to no connection or to TIME-WAIT.

use alloc::sync::Arc;
use core::net::IpAddr;

use prise_wire::{Frame, Ipv4Options, ipv4};

use super::connection::Connection;
use super::segment::Segment;

/// What to answer with to a packet whose header lies at `network_at` and ends at `transport_at`, to our address; none to most.
pub(super) fn to_answer_with(
    frame: &Frame,
    network_at: usize,
    transport_at: usize,
    own: IpAddr,
) -> Option<Arc<Ipv4Options>> {
    let (IpAddr::V4(own), true) = (own, transport_at > network_at + ipv4::HEADER_LEN) else {
        return None;
    };
    let octets = frame.head().get(network_at + ipv4::HEADER_LEN..transport_at)?;
    let mut came_with = Ipv4Options::copy_from(octets);
    came_with.record_route(own);
    Some(Arc::new(came_with.echoed())).filter(|options| !options.is_empty())
}

impl Connection {
    /// What its segments carry: with our address in the route that is recorded.
    pub(crate) fn ip_options(&self) -> Ipv4Options {
        let (Some(options), IpAddr::V4(own)) = (self.config.ip_options.as_deref(), self.tuple.local_ip()) else {
            return Ipv4Options::NONE;
        };
        let mut options = *options;
        options.record_route(own);
        options
    }

    /// What these take of each segment.
    pub(crate) fn ip_options_room(&self) -> u32 {
        let options = self.config.ip_options.as_deref().filter(|_| self.tuple.is_v4());
        options.map_or(0, |options| options.padded_len() as u32)
    }

    /// Made by a segment of the handshake: it is answered with what that came with.
    pub(crate) fn answer_ip_options(&mut self, seg: &Segment) {
        if seg.ip_options.is_some() {
            Arc::make_mut(&mut self.config).ip_options.clone_from(&seg.ip_options);
        }
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
    use crate::tcp::{ConnId, TcpConfig};

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
