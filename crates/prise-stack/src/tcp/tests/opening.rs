//! Fast Open and Accurate ECN between two stacks, on wires that lose, reorder and mark.

use prise_wire::{Body, Checksum, Ipv4Header, SeqNum, TcpFlags, protocol};

use super::*;

const CLIENT: ([u8; 4], u16) = ([10, 0, 0, 1], 40_000);
const SERVER: ([u8; 4], u16) = ([10, 0, 0, 2], 80);

fn accurate() -> TcpConfig {
    TcpConfig {
        ecn: EcnPolicy::from_number(3).expect("a policy"),
        ..TcpConfig::default()
    }
}

/// A connection on which both sides speak Accurate ECN.
fn connect_accurately(world: &mut World) -> [ConnId; 2] {
    let listener = world.listen(80);
    world.stacks[1].tcp_set_listener_config(listener, accurate());
    let (now, local, remote) = (world.now, SocketAddr::from(CLIENT), SocketAddr::from(SERVER));
    let client = world.stacks[0].tcp_connect(now, local, remote, None, &accurate(), 7);
    world.run_for(Duration::from_secs(30));
    let server = world.stacks[1].tcp_accept(listener, 9).expect("a connection");
    [client.expect("the tuple is free"), server]
}

// rfc: 9768 §3.2.2
#[test]
fn each_mark_is_counted_once_on_both_sides() {
    for seed in 0..20 {
        let mut world = World::with_links(seed, 1500, if seed % 2 == 0 { 0 } else { 65_535 });
        let ids = connect_accurately(&mut world);
        world.mark = 100;
        world.rate = 20_000_000;
        world.transfer(ids, 300_000);
        world.run_for(Duration::from_secs(2));
        let info = [0, 1].map(|side| world.stacks[side].tcp_info(world.now, ids[side]).expect("it lives"));
        for (sender, receiver) in [(0, 1), (1, 0)] {
            assert!(info[receiver].received_ce > 3, "{}", info[receiver].received_ce);
            assert_eq!(info[sender].delivered_ce, info[receiver].received_ce, "seed {seed}");
            assert_eq!(info[sender].delivered_octets, info[receiver].received_octets);
        }
        let marks = info[0].received_octets.ce + info[0].received_octets.ect0;
        assert_eq!(marks, 300_000, "all data was ECN-capable, none was sent twice");
        assert!(info[0].ssthresh < u32::MAX);
    }
}

// rfc: 9768 §3.2.2.5.2
#[test]
fn marks_are_not_lost_with_the_acknowledgments_that_told_of_them() {
    for seed in 0..20 {
        let mut world = World::new(seed);
        let ids = connect_accurately(&mut world);
        world.mark = 100;
        world.loss = 30;
        world.reorder = 30;
        world.transfer(ids, 300_000);
        world.loss = 0;
        // What comes last is told to the end.
        world.transfer(ids, 2000);
        world.run_for(Duration::from_secs(5));
        let told = world.stacks[0]
            .tcp_info(world.now, ids[0])
            .expect("it lives")
            .delivered_ce;
        let seen = world.stacks[1]
            .tcp_info(world.now, ids[1])
            .expect("it lives")
            .received_ce;
        // Where acknowledgments were lost and no option told of octets, the safe count is taken: three bits too many, never
        // too few (appendix A.2).
        assert!(
            told >= seen && (told - seen).is_multiple_of(8),
            "seed {seed}: {told} told, {seen} seen"
        );
        world.close_both(ids);
        world.assert_empty();
    }
}

#[test]
fn trains_are_not_used_where_the_counter_would_have_cwr() {
    let mut world = World::with_links(3, 1500, 65_535);
    let ids = connect_accurately(&mut world);
    world.mark = 100;
    world.transfer(ids, 400_000);
    let trains = |flagged: bool| {
        let is = |(_, header, len): &&(usize, TcpHeader, usize)| *len > 1500 && header.flags.cwr() == flagged;
        world.log.iter().filter(is).count()
    };
    assert!(trains(false) > 0);
    assert_eq!(trains(true), 0);
}

/// Opens a connection with data; answers what the client knows and what the server got.
fn open_fast(world: &mut World, listener: ListenerId, from: u16) -> (ConnId, Vec<u8>) {
    let (local, remote) = (SocketAddr::from((CLIENT.0, from)), SocketAddr::from(SERVER));
    let now = world.now;
    let config = TcpConfig::default();
    let client = world.stacks[0].tcp_connect_deferred(now, local, remote, None, &config, 7);
    let client = client.expect("the tuple is free");
    let data: Vec<u8> = (0..600_u32).map(|i| (i * 7) as u8).collect();
    let mut payload = Payload::from(data.clone());
    world.stacks[0]
        .tcp_fast_open(now, client, &mut payload)
        .expect("it was deferred");
    for _ in 0..1000 {
        world.run_for(Duration::from_millis(100));
        let now = world.now;
        // Waits for the handshake where the SYN has not taken all.
        let _waits = world.stacks[0].tcp_send(now, client, &mut payload, false, false);
        if payload.is_empty()
            && world.stacks[0]
                .tcp_info(now, client)
                .is_some_and(|info| info.send_queue == 0)
        {
            break;
        }
    }
    let server = world.stacks[1].tcp_accept(listener, 9).expect("a connection");
    let now = world.now;
    let got = world.stacks[1].tcp_receive(now, server, 10_000).expect("data");
    assert_eq!(got.as_slice(), data, "each octet once and in order");
    let now = world.now;
    world.stacks[1].tcp_close(now, server);
    (client, got.as_slice().to_vec())
}

// rfc: 7413 §4.2.2
#[test]
fn data_in_the_syn_arrives_once_whatever_is_lost() {
    let mut early = 0;
    for seed in 0..40 {
        let mut world = World::new(seed);
        let settings = FastOpenSettings::from_bits(3);
        world.stacks[1].tcp_set_fast_open_settings(settings);
        let listener = world.listen(80);
        let config = TcpConfig {
            fast_open_queue: 16,
            ..TcpConfig::default()
        };
        world.stacks[1].tcp_set_listener_config(listener, config);
        for attempt in 0..4 {
            world.loss = if attempt == 0 { 0 } else { 200 };
            world.duplicate = 100;
            let (client, _) = open_fast(&mut world, listener, 40_000 + attempt);
            let now = world.now;
            let info = world.stacks[0].tcp_info(now, client).expect("it lives");
            early += u32::from(info.syn_data);
            assert!(attempt > 0 || info.fast_open_failure == FastOpenFailure::NoCookie);
            world.loss = 0;
            world.stacks[0].tcp_close(now, client);
            world.run_for(Duration::from_secs(600));
        }
        world.assert_empty();
    }
    assert!(early > 40, "{early} of 120 went with the SYN");
}

// rfc: 7413 §5.1
#[test]
fn a_listener_that_has_gone_forgets_its_pending_connections() {
    let mut world = World::new(1);
    world.stacks[1].tcp_set_fast_open_settings(FastOpenSettings::from_bits(3));
    let listener = world.listen(80);
    let config = TcpConfig {
        fast_open_queue: 1,
        fast_open_without_cookie: true,
        ..TcpConfig::default()
    };
    world.stacks[1].tcp_set_listener_config(listener, config.clone());
    // The handshake's last segment is lost.
    world.filter = Some(|side, header, _| side == 1 || header.flags.syn());
    let now = world.now;
    let (local, remote) = (SocketAddr::from(CLIENT), SocketAddr::from(SERVER));
    let client = world.stacks[0]
        .tcp_connect_deferred(now, local, remote, None, &config, 7)
        .expect("the tuple is free");
    let mut data = Payload::copy_from(b"early");
    world.stacks[0].tcp_fast_open(now, client, &mut data).expect("deferred");
    world.run_for(Duration::from_millis(100));
    let server = world.stacks[1]
        .tcp_accept(listener, 9)
        .expect("before the handshake's end");
    assert_eq!(world.stacks[1].tcp_state(server), State::SynReceived);
    assert!(world.stacks[1].tcp_is_open(server));
    let now = world.now;
    world.stacks[1].tcp_unlisten(now, listener);
    world.filter = None;
    world.run_for(Duration::from_secs(3));
    assert_eq!(world.stacks[1].tcp_state(server), State::Established);
    let now = world.now;
    assert_eq!(
        world.stacks[1].tcp_receive(now, server, 10).expect("data").as_slice(),
        b"early"
    );
}

// rfc: 7413 §4.2.2
#[test]
fn a_syn_that_comes_thrice_at_once_gets_its_syn_ack() {
    let mut world = World::new(1);
    world.stacks[1].tcp_set_fast_open_settings(FastOpenSettings::from_bits(2));
    let listener = world.listen(80);
    let config = TcpConfig {
        fast_open_queue: 1,
        fast_open_without_cookie: true,
        ..TcpConfig::default()
    };
    world.stacks[1].tcp_set_listener_config(listener, config);
    let syn = TcpHeader {
        source_port: CLIENT.1,
        destination_port: SERVER.1,
        flags: TcpFlags::SYN,
        ..TcpHeader::default()
    };
    // The third is beyond what duplicates may ask for, and the first has not been answered yet.
    for _ in 0..3 {
        let mut frame = Frame::with_header(&syn, Body::from(Payload::copy_from(b"early")));
        let len = frame.total_len();
        frame.push_header(&Ipv4Header::new(CLIENT.0.into(), SERVER.0.into(), protocol::TCP, len));
        frame.offload.checksum = Checksum::Verified;
        world.deliver(1, frame);
    }
    world.run_for(Duration::ZERO);
    let answers: Vec<_> = world.log.iter().filter(|(side, ..)| *side == 1).collect();
    assert!(
        matches!(answers[..], [(_, header, 0)] if header.flags.syn() && header.ack == Some(SeqNum(6))),
        "{answers:?}"
    );
}

#[test]
fn what_a_listener_has_begun_ends_with_it_and_is_not_its_successors() {
    let mut world = World::new(31);
    let first = world.listen(80);
    // The handshake's last segment is lost.
    world.filter = Some(|side, header, _| side == 1 || header.flags.syn());
    let client = world.open(40_000, 80);
    world.run_for(Duration::from_millis(100));
    assert_eq!(world.stacks[1].tcp.half_open.len(), 1);
    let now = world.now;
    world.stacks[1].tcp_unlisten(now, first);
    assert_eq!(world.stacks[1].tcp.half_open.len(), 0);
    let second = world.listen(81);
    world.filter = None;
    let mut data = Payload::from(alloc::vec![7; 100]);
    assert_eq!(world.stacks[0].tcp_send(now, client, &mut data, false, false), Ok(100));
    world.run_for(Duration::from_secs(1));
    assert_eq!(world.stacks[1].tcp_accept(second, 9), None, "it came to another port");
    assert_eq!(world.stacks[0].tcp_take_error(client), Some(TcpError::Reset));
}

#[test]
fn an_answer_is_sent_again_more_often_than_a_shift_can_count() {
    let mut world = World::new(32);
    let tuning = Tuning {
        syn_ack_retries: 40,
        ..Tuning::default()
    };
    let listener = world.listen(80);
    let config = TcpConfig {
        tuning: Some(Arc::new(tuning)),
        ..TcpConfig::default()
    };
    world.stacks[1].tcp_set_listener_config(listener, config);
    world.filter = Some(|side, header, _| side == 1 || header.flags.syn());
    let client = world.open(40_000, 80);
    world.run_for(Duration::from_millis(100));
    let now = world.now;
    world.stacks[0].tcp_abort(now, client);
    world.filter = Some(|side, _, _| side == 1);
    world.log.clear();
    world.run_for(Duration::from_secs(3 * 3600));
    let answers = world.log.iter().filter(|(side, _, _)| *side == 1).count();
    assert_eq!(answers, 40);
    assert_eq!(world.stacks[1].tcp.half_open.len(), 0);
}

#[test]
fn two_ends_in_time_wait_that_remember_different_connections_do_not_answer_each_other_for_ever() {
    let mut world = World::new(33);
    let ids = world.connect();
    let now = world.now;
    // Both close at once, and both are in TIME-WAIT.
    world.stacks[0].tcp_close(now, ids.0);
    world.stacks[1].tcp_close(now, ids.1);
    world.run_for(Duration::from_secs(1));
    assert_eq!(world.stacks.each_ref().map(|stack| stack.tcp.time_wait.len()), [1, 1]);
    // What one of them remembers is not what the other does.
    let index = world.stacks[1].tcp.time_wait.iter().next().expect("a record").0;
    let record = world.stacks[1].tcp.time_wait.get_mut(index).expect("a record");
    record.displace(1000);
    let tuple = record.tuple;
    let header = record.acknowledgment(timestamp_clock(world.now));
    let now = world.now;
    reset::send(now, &mut world.stacks[1].net, &tuple, &header, &Manner::default());
    world.log.clear();
    world.run_for(Duration::from_secs(10));
    assert!(
        world.log.len() <= 1 + 2 * 20 + 2,
        "one in half a second: {}",
        world.log.len()
    );
}

/// `rsk_rcv_wnd` of Linux: the listener's program makes its buffer smaller, or larger, while somebody's handshake is under way.
#[test]
fn a_syn_ack_that_is_sent_again_offers_what_the_first_one_did() {
    for buffer in [20_000, 5000, 50_000] {
        let mut world = World::new(34);
        let listener = world.listen(80);
        let of_buffer = |octets| TcpConfig {
            receive_buffer: Some(octets),
            ..TcpConfig::default()
        };
        world.stacks[1].tcp_set_listener_config(listener, of_buffer(20_000));
        // The handshake's last segment is lost.
        world.filter = Some(|side, header, _| side == 1 || header.flags.syn());
        world.open(40_000, 80);
        world.run_for(Duration::from_millis(100));
        world.stacks[1].tcp_set_listener_config(listener, of_buffer(buffer));
        world.run_for(Duration::from_millis(1500));
        let answers = world.log.iter().filter(|(side, ..)| *side == 1);
        let told: Vec<u16> = answers.map(|(_, header, _)| header.window).collect();
        assert!(told.len() > 1 && told.iter().all(|told| *told == 20_000), "{told:?}");
        world.filter = None;
        world.run_for(Duration::from_secs(5));
        let server = world.stacks[1].tcp_accept(listener, 9).expect("a connection");
        let info = world.stacks[1].tcp_info(world.now, server).expect("it lives");
        assert!(info.receive_window >= 20_000, "{}", info.receive_window);
    }
}
