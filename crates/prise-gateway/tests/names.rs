//! Name service, as the guest's resolver sees it.

mod world;

use std::net::SocketAddr;

use prise_gateway::dns::Asker;
use prise_gateway::{Decision, Fact, LookupAnswer, Policy, Ports, Rule, Subject, Transport};
use prise_stack::{Local, Ready, UdpConfig, UdpSend};
use prise_wire::Payload;

use world::{World, config};

fn query(id: u8, name: &str, kind: u8) -> Vec<u8> {
    let mut message = vec![0, id, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        message.push(u8::try_from(label.len()).unwrap());
        message.extend_from_slice(label.as_bytes());
    }
    message.extend_from_slice(&[0, 0, kind, 0, 1]);
    message
}

fn code(response: &[u8]) -> u8 {
    response[3] & 0x0f
}

fn is_truncated(response: &[u8]) -> bool {
    response[2] & 2 != 0
}

fn count(response: &[u8]) -> u16 {
    u16::from_be_bytes([response[6], response[7]])
}

fn ask_udp(world: &mut World, from: &str, server: &str, message: Vec<u8>) -> Vec<u8> {
    let token = world.token();
    let socket = world
        .guest
        .udp_bind(&UdpConfig::new(Local::endpoint(from.parse().unwrap()), token));
    let server: SocketAddr = server.parse().unwrap();
    let now = world.now();
    world
        .guest
        .udp_send(now, socket, UdpSend::new(server, Payload::from(message)))
        .unwrap();
    let response = world.until("a response", |world| world.guest.udp_receive(socket));
    assert_eq!(response.src, server, "resolvers check who answers");
    response.payload.to_vec()
}

#[test]
fn every_server_that_a_program_may_ask_answers() {
    let mut world = World::new(config());
    // The third is what this test's resolv.conf names.
    for (from, server) in [
        ("10.0.2.15:5000", "10.0.2.3:53"),
        ("[fd00:2::15]:5000", "[fd00:2::3]:53"),
        ("10.0.2.15:5001", "192.0.2.53:53"),
    ] {
        let response = ask_udp(&mut world, from, server, query(1, "both.test", 1));
        assert_eq!((code(&response), count(&response)), (0, 1));
        assert!(response.ends_with(&[192, 0, 2, 1]));
    }
    assert_eq!(
        world.gateway.name_servers(),
        ["192.0.2.53".parse::<std::net::IpAddr>().unwrap()]
    );
}

#[test]
fn the_host_has_a_name_in_the_guest() {
    let mut world = World::new(config());
    let response = ask_udp(
        &mut world,
        "10.0.2.15:5000",
        "10.0.2.3:53",
        query(1, "host.prise.internal", 1),
    );
    assert!(response.ends_with(&[10, 0, 2, 2]));
    let response = ask_udp(
        &mut world,
        "10.0.2.15:5001",
        "10.0.2.3:53",
        query(2, "host.prise.internal", 28),
    );
    assert!(response.ends_with(&[0xfd, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2]));
}

#[test]
fn failures_are_told_apart() {
    let mut world = World::new(config());
    let mut ask = |port: u16, name| {
        ask_udp(
            &mut world,
            &format!("10.0.2.15:{port}"),
            "10.0.2.3:53",
            query(1, name, 1),
        )
    };
    assert_eq!(code(&ask(5000, "no.such.name.test")), 3);
    assert_eq!(code(&ask(5001, "later.test")), 2);
}

#[test]
fn a_large_answer_is_cut_over_udp_and_whole_over_tcp() {
    let mut world = World::new(config());
    let response = ask_udp(&mut world, "10.0.2.15:5000", "10.0.2.3:53", query(1, "many.test", 1));
    assert!(is_truncated(&response));
    let (token, conn) = world.connect("10.0.2.3:53".parse().unwrap());
    world.connected(token, conn).unwrap();
    // Two at once, the second in two pieces.
    let frame = |message: Vec<u8>| [&u16::try_from(message.len()).unwrap().to_be_bytes()[..], &message].concat();
    let both = [frame(query(2, "many.test", 1)), frame(query(3, "nobody.test", 1))].concat();
    world.send(conn, &both[..both.len() - 4]);
    world.send(conn, &both[both.len() - 4..]);
    world.shutdown(conn);
    let mut answers = world.read_to_end(conn);
    let mut seen = Vec::new();
    while !answers.is_empty() {
        let length = usize::from(u16::from_be_bytes([answers[0], answers[1]]));
        let rest = answers.split_off(2 + length);
        let message = answers.split_off(2);
        assert!(!is_truncated(&message));
        seen.push((message[1], code(&message), count(&message)));
        answers = rest;
    }
    seen.sort_unstable();
    assert_eq!(seen, [(2, 0, 200), (3, 3, 0)]);
    assert!(!world.told(token, Ready::ERROR));
}

#[test]
fn a_driver_can_ask_for_clients_that_the_gateway_cannot_see() {
    let mut world = World::new(config());
    let now = world.now();
    let asker = Asker {
        transport: Transport::Udp,
        guest: "127.0.0.1:40053".parse().unwrap(),
    };
    world.gateway.resolve(now, 42, asker, query(9, "both.test", 28).into());
    let (number, response) = world.until("a response", |world| world.gateway.resolved());
    assert_eq!((number, response[1], count(&response)), (42, 9, 1));
}

#[test]
fn lookups_are_on_record() {
    let mut world = World::new(config());
    ask_udp(&mut world, "10.0.2.15:5000", "10.0.2.3:53", query(1, "BOTH.test", 1));
    let record = world.gateway.record().unwrap();
    let Fact::Lookup {
        guest, name, answer, ..
    } = record.fact
    else {
        panic!("not a lookup");
    };
    let LookupAnswer::Told { addresses, .. } = answer else {
        panic!("not answered");
    };
    assert_eq!(
        (guest, name.as_str()),
        (Some("10.0.2.15:5000".parse().unwrap()), "both.test")
    );
    assert_eq!(addresses, ["192.0.2.1".parse::<std::net::IpAddr>().unwrap()]);
}

#[test]
fn an_address_is_open_to_those_whom_an_allowed_name_led_there() {
    let mut config = config();
    config.policy = Policy::new(vec![Rule {
        decision: Decision::Allow,
        subject: Subject::Name("both.test".into()),
        ports: Ports::ranges(vec![(443, 443)]),
    }]);
    let mut world = World::new(config);
    let (at, elsewhere) = ("192.0.2.1:443".parse().unwrap(), "192.0.2.1:80".parse().unwrap());
    let now = world.now();
    assert_eq!(world.gateway.judge(now, at), Decision::Deny);
    ask_udp(&mut world, "10.0.2.15:5000", "10.0.2.3:53", query(1, "both.test", 1));
    assert_eq!(world.gateway.judge(now, at), Decision::Allow);
    assert_eq!(world.gateway.judge(now, elsewhere), Decision::Deny);
    assert_eq!(world.gateway.name_of(now, at.ip()), Some("both.test"));
}
