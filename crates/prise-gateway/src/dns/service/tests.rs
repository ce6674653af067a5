use super::*;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::net::{Ipv4Addr, TcpListener, UdpSocket};

struct Fake;

impl Resolve for Fake {
    fn addresses(&self, name: &str) -> Result<Vec<IpAddr>, ResolveError> {
        match name {
            "both.test" => Ok(vec!["192.0.2.1".parse().unwrap(), "2001:db8::1".parse().unwrap()]),
            "four.test" => Ok(vec!["192.0.2.1".parse().unwrap()]),
            "empty.test" => Err(ResolveError::NoData),
            "later.test" => Err(ResolveError::TryAgain),
            _ => Err(ResolveError::NoName),
        }
    }

    fn name(&self, address: IpAddr) -> Result<String, ResolveError> {
        match address.to_string().as_str() {
            "192.0.2.1" => Ok("both.test".into()),
            _ => Err(ResolveError::NoName),
        }
    }
}

struct World {
    service: Service,
    poll: Poll,
    policy: Policy,
    learned: Learned,
    records: Records,
    tally: Tally,
}

const SERVED: Client = Client::Direct {
    number: 7,
    asker: Asker {
        transport: Transport::Udp,
        guest: ASKER,
    },
};
const ASKER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 40_053);

impl World {
    fn new() -> Self {
        let poll = Poll::new().unwrap();
        let gateway = vec!["10.0.2.2".parse().unwrap(), "fd00:2::2".parse().unwrap()];
        let servers = ["127.0.0.1".parse().unwrap()];
        let service = Service::new(Arc::new(Fake), &servers, gateway, 1, &poll).unwrap();
        Self {
            service,
            poll,
            policy: Policy::default(),
            learned: Learned::default(),
            records: Records::new(true),
            tally: Tally::new(),
        }
    }

    fn with<T>(&mut self, act: impl FnOnce(&mut Service, &mut Surroundings<'_>) -> T) -> T {
        let mut around = Surroundings {
            poll: &self.poll,
            policy: &self.policy,
            learned: &mut self.learned,
            records: &mut self.records,
            tally: &mut self.tally,
        };
        act(&mut self.service, &mut around)
    }

    /// Waits (at most five seconds) for the gateway's epoll and serves what it says, once.
    fn turn(&mut self) {
        let limit = Timespec { tv_sec: 5, tv_nsec: 0 };
        let ready = poll(&mut [PollFd::new(&self.poll.fd(), PollFlags::IN)], Some(&limit)).unwrap();
        assert_eq!(ready, 1, "nothing happened in time");
        let mut occurrences = Vec::new();
        self.poll.take(&mut occurrences);
        for occurrence in occurrences {
            self.with(|service, around| match occurrence.source {
                Source::Resolver => service.on_resolver(Instant::ZERO, around),
                Source::Forward => service.on_forward(Instant::ZERO, occurrence.key, around),
                other => panic!("an event of {other:?}"),
            });
        }
    }

    fn ask(&mut self, client: Client, message: Vec<u8>) -> Reply {
        self.with(|service, around| service.ask(Instant::ZERO, client, message.into(), around));
        loop {
            if let Some(reply) = self.service.reply() {
                assert_eq!(reply.client, client);
                return reply;
            }
            self.turn();
        }
    }

    /// The code and the data of the answers, without owner, class and lifetime.
    fn resolve(&mut self, name: &str, kind: RecordType) -> (u8, Vec<Vec<u8>>) {
        let message = self.ask(SERVED, query(name, kind)).message;
        let mut at = query(name, kind).len();
        let count = u16::from_be_bytes([message[6], message[7]]);
        let data = (0..count).map(|_| {
            let end = at + 12 + usize::from(message[at + 11]);
            let data = message[at + 12..end].to_vec();
            at = end;
            data
        });
        (message[3] & 0x0f, data.collect())
    }
}

fn query(name: &str, kind: RecordType) -> Vec<u8> {
    let mut message = b"\x00\x2a\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00".to_vec();
    message.extend_from_slice(Name::from_text(name).unwrap().wire());
    message.extend_from_slice(&kind.0.to_be_bytes());
    message.extend_from_slice(&[0, 1]);
    message
}

const TXT: RecordType = RecordType(16);

#[test]
fn addresses_come_from_the_hosts_resolver() {
    let mut world = World::new();
    assert_eq!(world.resolve("both.test", RecordType::A), (0, vec![vec![192, 0, 2, 1]]));
    let v6: core::net::Ipv6Addr = "2001:db8::1".parse().unwrap();
    assert_eq!(
        world.resolve("both.test", RecordType::AAAA),
        (0, vec![v6.octets().to_vec()])
    );
}

#[test]
fn no_such_name_and_no_such_record_are_told_apart() {
    let mut world = World::new();
    assert_eq!(world.resolve("four.test", RecordType::AAAA), (0, vec![]));
    assert_eq!(world.resolve("empty.test", RecordType::A), (0, vec![]));
    assert_eq!(world.resolve("none.test", RecordType::A), (3, vec![]));
    assert_eq!(world.resolve("later.test", RecordType::A), (2, vec![]));
}

#[test]
fn pointers_come_from_the_hosts_resolver_and_the_gateway_names_itself() {
    let mut world = World::new();
    let both = b"\x04both\x04test\x00".to_vec();
    assert_eq!(
        world.resolve("1.2.0.192.in-addr.arpa", RecordType::PTR),
        (0, vec![both])
    );
    assert_eq!(world.resolve("2.2.0.192.in-addr.arpa", RecordType::PTR), (3, vec![]));
    let host = b"\x04host\x05prise\x08internal\x00".to_vec();
    assert_eq!(world.resolve("2.2.0.10.in-addr.arpa", RecordType::PTR), (0, vec![host]));
}

#[test]
fn names_of_the_guests_world_are_answered_here() {
    let mut world = World::new();
    assert_eq!(
        world.resolve("Host.Prise.Internal", RecordType::A),
        (0, vec![vec![10, 0, 2, 2]])
    );
    assert_eq!(world.resolve("host.prise.internal", TXT), (0, vec![]));
    assert_eq!(world.resolve("other.prise.internal", RecordType::A), (3, vec![]));
    assert_eq!(world.resolve("localhost", RecordType::A), (0, vec![vec![127, 0, 0, 1]]));
    assert_eq!(world.resolve("a.localhost", TXT), (0, vec![]));
}

#[test]
fn two_clients_with_one_question_share_one_lookup() {
    let mut world = World::new();
    world.with(|service, around| {
        for kind in [RecordType::A, RecordType::AAAA] {
            service.ask(Instant::ZERO, SERVED, query("both.test", kind).into(), around);
        }
    });
    assert_eq!(world.service.waiting.len(), 1);
    let mut replies = Vec::new();
    while replies.len() < 2 {
        world.turn();
        replies.extend(core::iter::from_fn(|| world.service.reply()));
    }
    assert!(replies.iter().all(|reply| reply.message[7] == 1));
    assert_eq!(world.service.waiting_count, 0);
}

#[test]
fn lookups_beyond_the_bound_fail_at_once_and_are_counted() {
    let mut world = World::new();
    world.service.waiting_count = WAITING_MAX;
    assert_eq!(world.resolve("both.test", RecordType::A), (2, vec![]));
    assert_eq!(world.tally.discarded(Discard::DnsLookupLimit), 1);
}

#[test]
fn a_forbidden_name_does_not_exist_and_nobody_is_asked() {
    let mut world = World::new();
    let everyone = crate::Rule {
        decision: Decision::Deny,
        subject: crate::Subject::Any,
        ports: crate::Ports::all(),
    };
    world.policy = Policy::new(vec![everyone]);
    for kind in [RecordType::A, TXT, RecordType::PTR] {
        assert_eq!(world.resolve("both.test", kind), (3, vec![]));
    }
    assert!(world.service.waiting.is_empty());
    assert_eq!(world.tally.discarded(Discard::DnsDenied), 3);
    let record = world.records.pop().unwrap();
    assert!(matches!(
        record.fact,
        Fact::Lookup {
            answer: LookupAnswer::Denied,
            ..
        }
    ));
    assert_eq!(
        world.resolve(HOST_NAME, RecordType::A).0,
        0,
        "what is answered here tells nobody anything"
    );
}

/// A name server that answers every query with `tail` behind the echoed question; `break_id` answers wrongly first.
fn udp_server(tail: &'static [u8], break_id: bool) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut buffer = [0; 1500];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            let mut response = buffer[..length].to_vec();
            response[2] |= 0x80;
            response[7] = 1;
            response.extend_from_slice(tail);
            if break_id {
                let mut forged = response.clone();
                forged[0] ^= 0x55;
                socket.send_to(&forged, from).unwrap();
            }
            socket.send_to(&response, from).unwrap();
        }
    });
    address
}

#[test]
fn other_questions_are_forwarded_and_forged_answers_ignored() {
    let mut world = World::new();
    let answer = b"\xc0\x0c\x00\x10\x00\x01\x00\x00\x00\x05\x00\x03\x02hi";
    world.service.set_servers(vec![udp_server(answer, true)]);
    let reply = world.ask(SERVED, query("both.test", TXT));
    assert_eq!(&reply.message[..2], [0, 0x2a]);
    assert!(reply.message.ends_with(answer));
    assert_eq!(world.tally.discarded(Discard::DnsResponseUnknown), 1);
}

#[test]
fn a_server_that_refuses_gives_way_to_the_next() {
    let mut world = World::new();
    let closed = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let answer = b"\xc0\x0c\x00\x10\x00\x01\x00\x00\x00\x05\x00\x03\x02hi";
    world.service.set_servers(vec![closed, udp_server(answer, false)]);
    let reply = world.ask(SERVED, query("both.test", TXT));
    assert!(reply.message.ends_with(answer));
}

#[test]
fn servers_that_are_silent_end_in_a_failure_that_is_told() {
    let mut world = World::new();
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    world.service.set_servers(vec![silent.local_addr().unwrap()]);
    world.with(|service, around| service.ask(Instant::ZERO, SERVED, query("a.test", TXT).into(), around));
    let mut now = Instant::ZERO;
    while let Some(at) = world.service.next_deadline() {
        assert!(at > now);
        now = at;
        world.with(|service, around| service.expire(now, around));
    }
    let reply = world.service.reply().unwrap();
    assert_eq!(reply.message[3] & 0x0f, 2);
    assert_eq!(world.tally.discarded(Discard::DnsForwardTimeout), 1);
    assert!(now >= Instant::from_secs(4), "both attempts had their time");
}

#[test]
fn a_stream_client_is_forwarded_over_a_stream() {
    use std::io::{Read, Write};
    let mut world = World::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    world.service.set_servers(vec![listener.local_addr().unwrap()]);
    let large = [0x61; 3000];
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut length = [0; 2];
        stream.read_exact(&mut length).unwrap();
        let mut message = vec![0; usize::from(u16::from_be_bytes(length))];
        stream.read_exact(&mut message).unwrap();
        message[2] |= 0x80;
        message.extend_from_slice(&large);
        stream.write_all(&(message.len() as u16).to_be_bytes()).unwrap();
        stream.write_all(&message).unwrap();
    });
    let key = Key {
        index: 3,
        generation: 1,
    };
    let reply = world.ask(Client::Tcp(key), query("both.test", TXT));
    server.join().unwrap();
    assert!(reply.message.ends_with(&large));
    assert_eq!(&reply.message[..2], [0, 0x2a]);
}

#[test]
fn lookups_are_recorded() {
    let mut world = World::new();
    world.resolve("four.test", RecordType::A);
    let record = world.records.pop().unwrap();
    assert_eq!(
        record.fact,
        Fact::Lookup {
            guest: Some(ASKER),
            name: "four.test".into(),
            kind: 1,
            answer: LookupAnswer::Told {
                code: ResponseCode::NoError,
                addresses: vec!["192.0.2.1".parse().unwrap()],
            },
        }
    );
}
