//! Signed connections between two stacks, and segments that Linux 6.18 signed.

use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

use prise_wire::{Body, Frame, IpCidr, Payload, TcpFlags, TcpHeader};

use super::{SignatureKey, SignatureKeys};
use crate::net::{Discard, FlowLabel};
use crate::tcp::hostile_tests::forged;
use crate::tcp::tests::World;
use crate::tcp::{ConnId, ListenerId, TcpConfig, TcpError};

const SERVER: &str = "10.0.0.2:80";

fn keys(list: &[(&str, &[u8])]) -> SignatureKeys {
    let mut keys = SignatureKeys::default();
    for (peers, key) in list {
        assert!(keys.set(peers.parse().expect("a network"), key));
    }
    keys
}

fn signing(peers: &str, key: &[u8]) -> TcpConfig {
    TcpConfig {
        signature_keys: Some(Arc::new(keys(&[(peers, key)]))),
        ..TcpConfig::default()
    }
}

/// A listener with a key for everybody, and a client with one for it, whose SYN has left.
fn begin(world: &mut World, ours: &TcpConfig) -> (ConnId, ListenerId) {
    let listener = world.listen(80);
    world.stacks[1].tcp_set_listener_config(listener, signing("10.0.0.0/24", b"secret"));
    let (local, remote) = (
        SocketAddr::from(([10, 0, 0, 1], 40_000)),
        SERVER.parse().expect("an endpoint"),
    );
    let client = world.stacks[0].tcp_connect(world.now, local, remote, None, ours, 7);
    world.run_for(Duration::from_millis(500));
    (client.expect("the tuple is free"), listener)
}

fn connect(world: &mut World) -> [ConnId; 2] {
    let (client, listener) = begin(world, &signing("10.0.0.2/32", b"secret"));
    let server = world.stacks[1].tcp_accept(listener, 9).expect("a connection to accept");
    [client, server]
}

fn discards(world: &World, side: usize, reason: Discard) -> u64 {
    world.stacks[side].discards().get(reason)
}

// rfc: 2385 §2.0
#[test]
fn every_segment_of_a_signed_connection_has_a_signature_of_its_own() {
    // On a link that splits units, too.
    for gso_max in [0, 65_535] {
        let mut world = World::with_links(1, 1500, gso_max);
        let ids = connect(&mut world);
        world.transfer(ids, 300_000);
        world.close_both(ids);
        world.assert_empty();
        let mut seen = Vec::new();
        for (_, header, len) in &world.log {
            let signature = header.options.signature.expect("a signature");
            assert!(*len <= 1440, "{len} octets beside 20 of options");
            seen.push(signature);
        }
        assert!(world.log.iter().any(|(_, _, len)| *len == 1440));
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), world.log.len());
        for side in 0..2 {
            assert_eq!(discards(&world, side, Discard::TcpSignatureWrong), 0);
        }
        assert!(world.stacks.iter().all(|stack| stack.tcp.marked_waits.is_empty()));
    }
}

#[test]
fn time_wait_remembers_keys_and_no_label_of_ipv4() {
    for (ours, remembered) in [(TcpConfig::default(), 0), (signing("10.0.0.2/32", b"secret"), 1)] {
        let ours = TcpConfig {
            flow_label: FlowLabel::Given(5),
            ..ours
        };
        let mut world = World::new(1);
        let (client, server) = if remembered == 0 {
            let listener = world.listen(80);
            let (local, remote) = (SocketAddr::from(([10, 0, 0, 1], 40_000)), SERVER.parse().unwrap());
            let client = world.stacks[0].tcp_connect(world.now, local, remote, None, &ours, 7);
            world.run_for(Duration::from_millis(500));
            (client.unwrap(), world.stacks[1].tcp_accept(listener, 9).unwrap())
        } else {
            let (client, listener) = begin(&mut world, &ours);
            (client, world.stacks[1].tcp_accept(listener, 9).unwrap())
        };
        for (side, id) in [(0, client), (1, server)] {
            world.stacks[side].tcp_close(world.now, id);
            world.run_for(Duration::from_secs(1));
        }
        let tcp = &world.stacks[0].tcp;
        assert_eq!((tcp.time_wait.len(), tcp.marked_waits.len()), (1, remembered));
    }
}

// rfc: 2385 §4.3
#[test]
fn a_signed_syn_has_no_timestamps_for_which_there_is_no_room_beside_sack() {
    let mut world = World::new(2);
    connect(&mut world);
    for (_, header, _) in &world.log[..2] {
        let options = header.options;
        assert!(options.sack_permitted && options.mss.is_some() && options.window_scale.is_some());
        assert_eq!(options.timestamps, None);
        assert!(header.header_len() <= 60);
    }
}

// rfc: 2385 §4.3
#[test]
fn streams_survive_loss_although_sack_has_less_room() {
    let mut most = 0;
    for seed in 0..10 {
        let mut world = World::new(seed);
        world.loss = 30;
        let listener = world.listen(80);
        world.stacks[1].tcp_set_listener_config(listener, signing("10.0.0.0/24", b"secret"));
        let (local, remote) = (
            SocketAddr::from(([10, 0, 0, 1], 40_000)),
            SERVER.parse().expect("an endpoint"),
        );
        let config = signing("10.0.0.2/32", b"secret");
        let client = world.stacks[0].tcp_connect(world.now, local, remote, None, &config, 7);
        world.run_for(Duration::from_secs(60));
        let server = world.stacks[1].tcp_accept(listener, 9).expect("a connection");
        world.transfer([client.expect("the tuple is free"), server], 200_000);
        let blocks = world.log.iter().map(|(_, header, _)| header.options.sack.len());
        most = blocks.fold(most, usize::max);
    }
    assert_eq!(most, 2, "of four that unsigned segments have room for");
}

// rfc: 2385 §2.0
#[test]
fn what_is_not_signed_is_dropped_without_an_answer() {
    let mut world = World::new(3);
    begin(&mut world, &TcpConfig::default());
    assert_eq!(discards(&world, 1, Discard::TcpSignatureMissing), 1);
    assert!(world.log.iter().all(|(side, _, _)| *side == 0), "{:?}", world.log);
}

// rfc: 2385 §2.0
#[test]
fn what_another_key_has_signed_is_dropped_without_an_answer() {
    let mut world = World::new(4);
    begin(&mut world, &signing("10.0.0.2/32", b"Secret"));
    assert_eq!(discards(&world, 1, Discard::TcpSignatureWrong), 1);
    assert!(world.log.iter().all(|(side, _, _)| *side == 0), "{:?}", world.log);
}

#[test]
fn what_is_signed_where_there_is_no_key_is_dropped_without_an_answer() {
    let mut world = World::new(5);
    let (local, remote) = (
        SocketAddr::from(([10, 0, 0, 1], 40_000)),
        "10.0.0.2:81".parse().expect("an endpoint"),
    );
    let config = signing("10.0.0.2/32", b"secret");
    let client = world.stacks[0].tcp_connect(world.now, local, remote, None, &config, 7);
    world.run_for(Duration::from_millis(500));
    // A closed port, and no reset.
    assert_eq!(discards(&world, 1, Discard::TcpSignatureUnexpected), 1);
    assert_eq!(world.stacks[0].tcp_take_error(client.expect("the tuple is free")), None);
}

/// The attack that the signature is there for (RFC 2385 §1).
// rfc: 2385 §2.0
#[test]
fn a_forged_reset_in_the_window_does_not_end_a_signed_connection() {
    let mut world = World::new(6);
    let ids = connect(&mut world);
    let (_, last, _) = world.log.last().expect("a handshake");
    let guess = TcpHeader {
        source_port: 40_000,
        destination_port: 80,
        seq: last.seq,
        flags: TcpFlags::RST,
        ..TcpHeader::default()
    };
    for signature in [None, Some([0; 16])] {
        let mut header = guess;
        header.options.signature = signature;
        world.deliver(1, forged(&header));
    }
    assert_eq!(discards(&world, 1, Discard::TcpSignatureMissing), 1);
    assert_eq!(discards(&world, 1, Discard::TcpSignatureWrong), 1);
    world.transfer(ids, 10_000);
}

// rfc: 2385 §4.1
#[test]
fn the_reset_of_a_signed_connection_is_signed_and_believed() {
    let mut world = World::new(7);
    let [client, server] = connect(&mut world);
    world.stacks[0].tcp_abort(world.now, client);
    world.run_for(Duration::from_secs(1));
    let (_, reset, _) = world.log.last().expect("a reset");
    assert!(reset.flags.rst() && reset.options.signature.is_some());
    assert_eq!(world.stacks[1].tcp_take_error(server), Some(TcpError::Reset));
}

#[test]
fn a_fin_sent_again_into_time_wait_is_acknowledged_with_a_signature() {
    let mut world = World::new(8);
    let [client, server] = connect(&mut world);
    world.stacks[0].tcp_close(world.now, client);
    world.run_for(Duration::from_millis(100));
    // The acknowledgment of the last FIN is lost.
    world.filter = Some(|side, header, _| side == 1 || header.flags.fin());
    world.stacks[1].tcp_close(world.now, server);
    world.run_for(Duration::from_millis(100));
    world.filter = None;
    world.run_for(Duration::from_secs(100));
    world.assert_empty();
    assert!(
        world
            .log
            .iter()
            .all(|(_, header, _)| header.options.signature.is_some())
    );
    assert_eq!(discards(&world, 1, Discard::TcpSignatureMissing), 0);
}

#[test]
fn a_key_set_on_an_established_connection_signs_from_then_on() {
    let mut world = World::new(9);
    let (client, server) = world.connect();
    let already = world.log.len();
    let now = world.now;
    world.stacks[0].tcp_set_config(now, client, signing("10.0.0.2/32", b"later"));
    world.stacks[1].tcp_set_config(now, server, signing("10.0.0.1/32", b"later"));
    world.transfer([client, server], 50_000);
    assert!(
        world.log[already..]
            .iter()
            .all(|(_, header, _)| header.options.signature.is_some())
    );
}

#[test]
fn the_longest_prefix_has_the_key_and_a_key_is_forgotten_by_its_exact_peers() {
    let mut keys = keys(&[("10.0.0.0/8", b"wide"), ("10.0.0.2/32", b"near"), ("fd00::/16", b"six")]);
    let of = |peer: &str| -> Option<Vec<u8>> {
        let peer: IpAddr = peer.parse().expect("an address");
        keys.for_peer(peer).map(|key| key.octets.clone())
    };
    assert_eq!(of("10.0.0.2").as_deref(), Some(&b"near"[..]));
    assert_eq!(of("10.9.9.9").as_deref(), Some(&b"wide"[..]));
    assert_eq!(of("fd00::7").as_deref(), Some(&b"six"[..]));
    assert_eq!(of("192.0.2.1"), None);
    let network = |text: &str| text.parse::<IpCidr>().expect("a network");
    assert!(
        !keys.remove(network("10.0.0.1/8")),
        "as Linux, which compares the address as it was given"
    );
    assert!(keys.remove(network("10.0.0.0/8")));
    assert!(keys.for_peer("10.9.9.9".parse().expect("an address")).is_none());
    assert!(keys.set(network("10.0.0.2/32"), b"new") && keys.0.len() == 2);
    assert!(!keys.set(network("10.0.0.3/32"), &[0; 81]));
    assert!(!format!("{keys:?}").contains("110"), "a key is not shown");
}

/// What `socket(2)`s of Linux 6.18 with the key "secret" said to each other over its loopback.
// rfc: 2385 §2.0
#[test]
fn the_digest_is_the_one_that_linux_makes() {
    const V4_SYN: &str =
        "aec000b37da41b3700000000d002ffd7fe3c000001011312c3da31afaf27b69b1538a8370b8fd7510204ffd7010104020103030a";
    const V4_DATA: &str = "aec000b37da41b3889cd21e8a0180040fe3500000101131205d14f863810f72f0c9896937edfdf5268656c6c6f";
    const V6_DATA: &str = "bc6400b3f0a564671bd0d130a018004000350000010113128aeac5fa405d76818c8a8a605f3bcf0568656c6c6f";
    let key = SignatureKey {
        peers: IpCidr::ALL_V4,
        octets: b"secret".to_vec(),
    };
    for (address, text) in [("127.0.0.1", V4_SYN), ("127.0.0.1", V4_DATA), ("::1", V6_DATA)] {
        let address: IpAddr = address.parse().expect("an address");
        let octet = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).expect("hexadecimal");
        let octets: Vec<u8> = (0..text.len()).step_by(2).map(octet).collect();
        let (header, len) = TcpHeader::parse(&octets).expect("a segment");
        let fixed = octets.first_chunk().expect("a header");
        let data = [&octets[len..]];
        let digest = key.digest((address, address), fixed, octets.len(), data.into_iter());
        assert_eq!(header.options.signature, Some(digest));
        // And the other way: the same header, signed by us, is the same octets.
        let mut ours = Frame::with_header(&header, Body::from(Payload::copy_from(&octets[len..])));
        let keys = SignatureKeys(alloc::vec![SignatureKey {
            peers: IpCidr::host(address),
            ..key.clone()
        }]);
        ours.head_mut()[super::DIGEST_AT..super::DIGEST_AT + 16].fill(0);
        super::sign(&mut ours, header.header_len(), (address, address), Some(&keys));
        assert_eq!(ours.to_vec(), octets);
    }
}
