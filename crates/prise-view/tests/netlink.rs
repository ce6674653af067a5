//! What `ip` and `ss` ask, and what they are told.

#[allow(dead_code, reason = "the kept inputs are played by another test")]
#[path = "../../../fuzz/src/target.rs"]
mod target;
#[allow(dead_code, reason = "the fuzz targets themselves are run by another test")]
#[path = "../../../fuzz/src/view.rs"]
mod view;

use prise_socket::{Errno, Host};
use prise_view::netlink::{Attributes, Message, Protocol, Socket, requests};
use view::{ask, host};

const REQUEST: u16 = 1;
const ACK: u16 = 4;
const DUMP: u16 = 0x300;
const PORT: u32 = 42;

fn socket(protocol: Protocol) -> Socket {
    let mut socket = Socket::new(protocol, 3);
    socket.bind(PORT, 0).expect("it has no port");
    socket
}

/// Every message of an answer: type, flags, body.
fn messages(answers: &[Vec<u8>]) -> Vec<(u16, u16, Vec<u8>)> {
    answers
        .iter()
        .flat_map(|answer| requests(answer))
        .map(|message| {
            assert_eq!(message.sequence, 7);
            assert_eq!(message.octets[12..16], PORT.to_ne_bytes());
            (message.kind, message.flags, message.body.to_vec())
        })
        .collect()
}

fn asked(host: &mut Host, socket: &mut Socket, kind: u16, flags: u16, body: &[u8]) -> Vec<(u16, u16, Vec<u8>)> {
    let question = Message::new(kind, REQUEST | flags, 7, 0).with(body).finish();
    messages(&ask(host, socket, false, &question))
}

/// The error of an answer that is nothing else.
fn error(answer: &[(u16, u16, Vec<u8>)]) -> Option<Errno> {
    let [(2, _, body)] = answer else { panic!("{answer:?}") };
    Errno::from_raw(-i32::from_ne_bytes(*body.first_chunk().expect("a code")))
}

fn names(answer: &[(u16, u16, Vec<u8>)]) -> Vec<String> {
    let links = answer.iter().filter(|it| it.0 == 16);
    links
        .map(|it| String::from_utf8(Attributes::new(&it.2[16..]).text(3).expect("a name").to_vec()).expect("text"))
        .collect()
}

#[test]
fn links_are_listed_to_whoever_sends_a_family_or_a_whole_header() {
    let mut host = host();
    for body in [&[0; 1][..], &[0; 16]] {
        let answer = asked(&mut host, &mut socket(Protocol::Route), 18, DUMP, body);
        assert_eq!(names(&answer), ["lo", "eth0"]);
        let (kind, flags, code) = answer.last().expect("an end");
        assert_eq!((*kind, *flags, code.as_slice()), (3, 2, [0; 4].as_slice()));
    }
}

#[test]
fn one_link_is_found_by_name_or_index_and_others_are_not_there() {
    let mut host = host();
    let by = |index: u32, name: &str| {
        let mut body = vec![0; 16];
        body[4..8].copy_from_slice(&index.to_ne_bytes());
        let mut message = Message::new(18, REQUEST, 7, 0).with(&body);
        if !name.is_empty() {
            message.text(3, name);
        }
        message.finish()
    };
    let mut ask_for = |index, name| messages(&ask(&mut host, &mut socket(Protocol::Route), false, &by(index, name)));
    assert_eq!(names(&ask_for(2, "")), ["eth0"]);
    assert_eq!(names(&ask_for(0, "lo")), ["lo"]);
    assert_eq!(error(&ask_for(9, "")), Some(Errno::ENODEV));
    assert_eq!(error(&ask_for(0, "wlan0")), Some(Errno::ENODEV));
    assert_eq!(error(&ask_for(0, "")), Some(Errno::EINVAL));
}

#[test]
fn success_is_acknowledged_on_demand_and_failure_always() {
    let mut host = host();
    let mut body = vec![0; 16];
    body[4] = 1;
    let answer = asked(&mut host, &mut socket(Protocol::Route), 18, ACK, &body);
    assert_eq!((answer[0].0, answer[1].0, answer.len()), (16, 2, 2));
    assert_eq!(answer[1].1 & 0x100, 0x100, "only the header is quoted");
    assert_eq!(error(&answer[1..]), None);
    for changes in [16, 17, 19, 20, 21, 24, 25, 28, 29] {
        let answer = asked(&mut host, &mut socket(Protocol::Route), changes, 0, &body);
        assert_eq!(error(&answer), Some(Errno::EPERM), "{changes}");
        assert_eq!(answer[0].2.len(), 4 + 16 + 16, "all of it is quoted");
    }
    let answer = asked(&mut host, &mut socket(Protocol::Route), 200, 0, &body);
    assert_eq!(error(&answer), Some(Errno::EOPNOTSUPP));
}

#[test]
fn who_may_change_links_may_set_one_up_that_is_up() {
    let mut host = host();
    let mut body = vec![0; 16];
    (body[4], body[8], body[12]) = (1, 1, 1);
    let up = Message::new(16, REQUEST | ACK, 7, 0).with(&body).finish();
    assert_eq!(
        error(&messages(&ask(&mut host, &mut socket(Protocol::Route), true, &up))),
        None
    );
    body[8] = 0;
    let down = Message::new(16, REQUEST | ACK, 7, 0).with(&body).finish();
    let answer = messages(&ask(&mut host, &mut socket(Protocol::Route), true, &down));
    assert_eq!(error(&answer), Some(Errno::EPERM));
}

#[test]
fn addresses_and_routes_are_those_of_the_host_in_the_family_that_is_asked_for() {
    let mut host = host();
    for (family, addresses, routes) in [(0, 5, 11), (2, 2, 7), (10, 3, 6)] {
        let mut of = |kind, len| {
            let mut body = vec![0; len];
            body[0] = family;
            asked(&mut host, &mut socket(Protocol::Route), kind, DUMP, &body).len() - 1
        };
        assert_eq!(of(22, 8), addresses, "family {family}");
        let listed = of(26, 12);
        assert!(listed >= routes, "family {family}: {listed}");
    }
}

#[test]
fn a_program_that_wants_strict_checks_gets_what_it_names_and_no_more() {
    let mut host = host();
    let mut strict = socket(Protocol::Route);
    strict.set_option(270, 12, &1_i32.to_ne_bytes()).expect("strict checks");
    let of_lo = [2, 0, 0, 0, 1, 0, 0, 0];
    let answer = asked(&mut host, &mut strict, 22, DUMP, &of_lo);
    assert_eq!(
        (answer.len(), answer[0].1 & 0x20),
        (2, 0x20),
        "one address, and the list says that it is filtered"
    );
    assert_eq!(
        asked(&mut host, &mut socket(Protocol::Route), 22, DUMP, &of_lo).len(),
        3,
        "else all"
    );
    assert_eq!(
        error(&asked(&mut host, &mut strict, 22, DUMP, &[0; 4])),
        Some(Errno::EINVAL)
    );
    let of_nobody = [2, 0, 0, 0, 9, 0, 0, 0];
    assert_eq!(
        error(&asked(&mut host, &mut strict, 22, DUMP, &of_nobody)),
        Some(Errno::ENODEV)
    );
}

#[test]
fn lists_come_in_datagrams_that_fit_a_page() {
    let mut host = host();
    let question = Message::new(18, REQUEST | DUMP, 7, 0).with(&[0; 16]).finish();
    for answer in ask(&mut host, &mut socket(Protocol::Route), false, &question) {
        assert!(answer.len() <= 4096, "{}", answer.len());
    }
}

/// `struct inet_diag_req_v2` for every state.
fn sockets_of(family: u8, protocol: u8) -> Vec<u8> {
    let mut body = vec![0; 56];
    (body[0], body[1]) = (family, protocol);
    body[4..8].copy_from_slice(&0xfff_u32.to_ne_bytes());
    body
}

#[test]
fn sockets_are_listed_by_family_protocol_and_state() {
    let mut host = host();
    for (family, protocol, expected) in [(10, 6, 1), (2, 6, 0), (2, 17, 2), (10, 17, 0), (2, 136, 0), (2, 255, 0)] {
        let body = sockets_of(family, protocol);
        let answer = asked(&mut host, &mut socket(Protocol::SocketDiag), 20, DUMP, &body);
        assert_eq!(answer.len() - 1, expected, "{family} {protocol}");
        for (kind, _, line) in &answer[..expected] {
            assert_eq!(
                (*kind, line[0], line[68..72].to_vec()),
                (20, family, 4711_u32.to_ne_bytes().to_vec())
            );
        }
    }
    let mut closed_only = sockets_of(10, 6);
    closed_only[4..8].copy_from_slice(&(1_u32 << 7).to_ne_bytes());
    assert_eq!(
        asked(&mut host, &mut socket(Protocol::SocketDiag), 20, DUMP, &closed_only).len(),
        1
    );
    // Of other families the host's /proc tells, where ss looks when it is told so.
    let answer = asked(
        &mut host,
        &mut socket(Protocol::SocketDiag),
        20,
        DUMP,
        &[38, 0, 0, 0, 0, 0, 0, 0],
    );
    assert_eq!(error(&answer), Some(Errno::ENOENT));
    let answer = asked(
        &mut host,
        &mut socket(Protocol::SocketDiag),
        20,
        DUMP,
        &sockets_of(2, 33),
    );
    assert_eq!(answer, [(3, 2, (-2_i32).to_ne_bytes().to_vec())], "an end with ENOENT");
}

#[test]
fn sockets_of_unix_are_what_the_driver_tells() {
    let mut host = host();
    let mut question = vec![0; 24];
    question[0] = 1;
    let mut diag = socket(Protocol::SocketDiag);
    let answer = asked(&mut host, &mut diag, 20, DUMP, &question);
    let kinds: Vec<_> = answer.iter().map(|it| (it.0, it.1, it.2.len())).collect();
    assert_eq!(kinds, [(20, 2, 16), (20, 2, 16), (3, 2, 4)]);
    assert_eq!(answer[0].2[4], 77, "its number");
    let one = asked(&mut host, &mut diag, 20, 0, &question);
    assert_eq!(error(&one), Some(Errno::ENOENT));
    let short = asked(&mut host, &mut diag, 20, DUMP, &question[..8]);
    assert_eq!(error(&short), Some(Errno::EINVAL));
}

#[test]
fn packet_sockets_are_what_the_driver_tells_as_a_list_of_all() {
    let mut host = host();
    let mut ask_for = |protocol: u8, length, flags| {
        let question: Vec<u8> = [17, protocol].into_iter().chain([0; 18]).take(length).collect();
        asked(&mut host, &mut socket(Protocol::SocketDiag), 20, flags, &question)
    };
    let answer = ask_for(0, 20, DUMP);
    let kinds: Vec<_> = answer.iter().map(|it| (it.0, it.1, it.2.len())).collect();
    assert_eq!(kinds, [(20, 2, 16), (3, 2, 4)]);
    assert_eq!(
        answer[0].2[..5],
        [17, 3, 3, 0, 79],
        "its family, type, protocol and number"
    );
    assert_eq!(error(&ask_for(3, 20, DUMP)), Some(Errno::EINVAL));
    assert_eq!(error(&ask_for(0, 12, DUMP)), Some(Errno::EINVAL));
    assert_eq!(error(&ask_for(0, 20, 0)), Some(Errno::EOPNOTSUPP));
}

#[test]
fn netlink_sockets_that_have_a_name_are_listed_by_protocol() {
    let mut host = host();
    let mut ask_for = |protocol: u8, shown: u8, flags| {
        let mut question = vec![0; 20];
        (question[0], question[1], question[8]) = (16, protocol, shown);
        asked(&mut host, &mut socket(Protocol::SocketDiag), 20, flags, &question)
    };
    let every = ask_for(255, 2, DUMP);
    assert_eq!(every.len(), 2, "one, and the end");
    let (_, _, row) = &every[0];
    assert_eq!(row[..4], [16, 3, 0, 7]);
    assert_eq!(row[4..8], 4711_u32.to_ne_bytes());
    assert_eq!(row[16..20], 78_u32.to_ne_bytes());
    assert_eq!(Attributes::new(&row[28..]).get(1), Some(&1_u64.to_ne_bytes()[..]));
    assert_eq!(ask_for(0, 0, DUMP)[0].2.len(), 28, "without its groups");
    assert_eq!(ask_for(4, 0, DUMP).len(), 1, "of another protocol there is none");
    assert_eq!(
        ask_for(32, 0, DUMP),
        [(3, 2, (-2_i32).to_ne_bytes().to_vec())],
        "an end with ENOENT"
    );
    assert_eq!(error(&ask_for(255, 0, 0)), Some(Errno::EOPNOTSUPP));
}

#[test]
fn no_family_has_so_great_a_number() {
    let answer = asked(&mut host(), &mut socket(Protocol::SocketDiag), 20, DUMP, &[46, 0]);
    assert_eq!(error(&answer), Some(Errno::EINVAL));
}

#[test]
fn one_socket_is_found_by_its_port_and_nobody_kills_it() {
    let mut host = host();
    let mut body = sockets_of(10, 6);
    body[8..10].copy_from_slice(&8080_u16.to_be_bytes());
    let answer = asked(&mut host, &mut socket(Protocol::SocketDiag), 20, 0, &body);
    assert_eq!((answer.len(), answer[0].0, answer[0].2[1]), (1, 20, 10));
    assert_eq!(
        error(&asked(&mut host, &mut socket(Protocol::SocketDiag), 21, 0, &body)),
        Some(Errno::EPERM)
    );
    body[9] = 1;
    assert_eq!(
        error(&asked(&mut host, &mut socket(Protocol::SocketDiag), 20, 0, &body)),
        Some(Errno::ENOENT)
    );
}

#[test]
fn options_read_as_they_were_set() {
    let mut it = socket(Protocol::Route);
    for name in [3, 4, 5, 10, 11, 12] {
        for value in [1_i32, 0] {
            it.set_option(270, name, &value.to_ne_bytes()).expect("an option");
            let shown = it.option(270, name, 4).expect("an option").expect("netlink's own");
            assert_eq!(shown, (value.to_ne_bytes().to_vec(), 4), "{name}");
        }
    }
    assert_eq!(
        it.option(270, 9, 8),
        Ok(Some((vec![], 0))),
        "no list before there are groups"
    );
    it.set_option(270, 1, &5_i32.to_ne_bytes()).expect("a group");
    assert_eq!(it.groups(), 1 << 4);
    let listed = it.option(270, 9, 8).expect("an option").expect("netlink's own");
    assert_eq!(listed, (vec![1 << 4, 0, 0, 0, 0, 0, 0, 0], 8));
    assert_eq!(it.set_option(270, 1, &0_i32.to_ne_bytes()), Err(Errno::EINVAL));
    assert_eq!(it.set_option(270, 1, &99_i32.to_ne_bytes()), Err(Errno::EINVAL));
    it.set_option(270, 2, &5_i32.to_ne_bytes()).expect("a group");
    assert_eq!(it.groups(), 0);
    assert_eq!(it.set_option(270, 8, &1_i32.to_ne_bytes()), Err(Errno::EPERM));
    assert_eq!(it.set_option(270, 77, &1_i32.to_ne_bytes()), Err(Errno::ENOPROTOOPT));
    it.set_option(270, 3, &[1]).expect("too short, it is 0");
    assert_eq!(it.option(270, 3, 4), Ok(Some((vec![0; 4], 4))));
    assert_eq!(it.option(270, 8, 4), Ok(Some((vec![0; 4], 4))));
    let number = |it: &mut Socket, name| it.option(1, name, 4).expect("an option").expect("known").0;
    assert_eq!(number(&mut it, 39), 16_i32.to_ne_bytes(), "SO_DOMAIN");
    assert_eq!(number(&mut it, 3), 3_i32.to_ne_bytes(), "SO_TYPE");
    assert_eq!(number(&mut it, 38), 0_i32.to_ne_bytes(), "SO_PROTOCOL");
    assert_eq!(it.option(1, 8, 4), Ok(None), "buffers are the driver's");
}

#[test]
fn options_of_unix_sockets_are_none_of_netlinks_and_its_peer_is_no_process() {
    let mut it = socket(Protocol::Route);
    // SO_PEEK_OFF, SO_PASSPIDFD, SO_PASSRIGHTS.
    for name in [42, 76, 83] {
        assert!(Socket::refuses(1, name));
        assert_eq!(it.option(1, name, 4), Err(Errno::EOPNOTSUPP), "{name}");
    }
    assert!(!Socket::refuses(1, 7) && !Socket::refuses(270, 42));
    // SO_PEERGROUPS, SO_PEERPIDFD, SO_PEERCRED.
    for name in [59, 77] {
        assert_eq!(it.option(1, name, 4), Err(Errno::ENODATA), "{name}");
    }
    let nobody = vec![0, 0, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255];
    assert_eq!(it.option(1, 17, 64), Ok(Some((nobody.clone(), 12))));
    assert_eq!(it.option(1, 17, 8), Ok(Some((nobody[..8].to_vec(), 8))));
}
