//! Leases of flow labels and their ends (`net/ipv6/ip6_flowlabel.c`); what programs see besides is in `examples/guests/flow_labels.py`.

mod world;

use core::net::{Ipv6Addr, SocketAddrV6};
use core::time::Duration;

use prise_socket::{Asker, Control, Errno, Family, Flags, Kind, SocketId};
use prise_wire::Payload;
use world::World;

const GET: u8 = 0;
const PUT: u8 = 1;
const RENEW: u8 = 2;
const CREATE: u16 = 1;
const EXCLUSIVE: u8 = 1;
const OF_USER: u8 = 3;
const ANYBODY: u8 = 255;
const OF_PROCESS: u8 = 2;
const SOMEBODY: Asker = Asker {
    thread: 70,
    shown_thread: 7,
    user: 1000,
    administers: false,
};

/// Two sockets of one host.
struct Labels {
    world: World,
    sockets: [SocketId; 2],
}

impl Labels {
    fn new() -> Self {
        let mut world = World::new(1);
        let sockets = [0, 1].map(|_| {
            world.hosts[0]
                .socket(Family::Inet6, Kind::Datagram, 0)
                .expect("a socket")
        });
        Self { world, sockets }
    }

    fn ask(
        &mut self,
        who: usize,
        action: u8,
        (label, share): (u32, u8),
        linger: u16,
        asker: Asker,
    ) -> Result<(), Errno> {
        let mut request = vec![0xfd; 16];
        request.extend(label.to_be_bytes());
        request.extend([action, share]);
        for number in [CREATE, 0, linger, 0, 0] {
            request.extend(number.to_le_bytes());
        }
        let (now, s) = (self.world.now, self.sockets[who]);
        self.world.hosts[0].manage_flow_label(now, s, &request, asker).map(drop)
    }

    fn wait(&mut self, seconds: u64) {
        self.world.now += Duration::from_secs(seconds);
    }

    fn listed(&mut self) -> Vec<(u32, u32, i64)> {
        let now = self.world.now;
        let rows = self.world.hosts[0].leased_labels(now);
        rows.iter().map(|row| (row.label, row.users, row.expires)).collect()
    }
}

#[test]
fn a_label_that_was_given_back_is_free_after_it_has_lingered() {
    let mut labels = Labels::new();
    assert_eq!(labels.ask(0, GET, (5, EXCLUSIVE), 0, SOMEBODY), Ok(()));
    labels.wait(100);
    assert_eq!(labels.ask(1, GET, (5, ANYBODY), 0, SOMEBODY), Err(Errno::EPERM));
    assert_eq!(labels.ask(0, PUT, (5, 0), 0, SOMEBODY), Ok(()));
    assert_eq!(labels.listed(), [(5, 0, 6)]);
    labels.wait(5);
    assert_eq!(
        labels.ask(1, GET, (5, ANYBODY), 0, SOMEBODY),
        Err(Errno::EPERM),
        "and is looked at once more"
    );
    labels.wait(7);
    assert_eq!(labels.listed(), []);
    assert_eq!(labels.ask(1, GET, (5, ANYBODY), 0, SOMEBODY), Ok(()));
}

#[test]
fn who_renews_a_label_has_it_linger_for_longer() {
    let mut labels = Labels::new();
    assert_eq!(labels.ask(0, GET, (5, EXCLUSIVE), 0, SOMEBODY), Ok(()));
    assert_eq!(labels.ask(0, RENEW, (5, 0), 40, SOMEBODY), Ok(()));
    assert_eq!(labels.ask(0, RENEW, (5, 0), 151, SOMEBODY), Err(Errno::EPERM));
    assert_eq!(
        labels.ask(1, RENEW, (5, 0), 40, SOMEBODY),
        Err(Errno::ESRCH),
        "not its own"
    );
    let root = Asker { user: 0, ..SOMEBODY };
    assert_eq!(
        labels.ask(1, RENEW, (5, 0), 160, root),
        Err(Errno::ESRCH),
        "without the capability"
    );
    let root = Asker {
        administers: true,
        ..SOMEBODY
    };
    assert_eq!(
        labels.ask(1, RENEW, (5, 0), 160, root),
        Ok(()),
        "who administers the network may"
    );
    assert_eq!(labels.ask(0, PUT, (5, 0), 0, SOMEBODY), Ok(()));
    labels.wait(159);
    assert_eq!(labels.ask(1, GET, (5, ANYBODY), 0, SOMEBODY), Err(Errno::EPERM));
}

#[test]
fn a_socket_that_is_closed_gives_its_labels_back() {
    let mut labels = Labels::new();
    for label in [5, 0x105, 6] {
        assert_eq!(labels.ask(0, GET, (label, OF_USER), 0, SOMEBODY), Ok(()));
    }
    assert_eq!(labels.ask(1, GET, (5, OF_USER), 0, SOMEBODY), Ok(()));
    let another = Asker { user: 1001, ..SOMEBODY };
    assert_eq!(labels.ask(1, GET, (6, OF_USER), 0, another), Err(Errno::EPERM));
    let (now, s) = (labels.world.now, labels.sockets[0]);
    labels.world.hosts[0].close(now, s);
    assert_eq!(labels.listed(), [(0x105, 0, 6), (5, 1, 6), (6, 0, 6)]);
    labels.wait(7);
    assert_eq!(labels.listed(), [(5, 1, -1)]);
}

#[test]
fn a_label_of_a_process_is_that_of_one_thread_whatever_its_number_is_called() {
    let mut labels = Labels::new();
    assert_eq!(labels.ask(0, GET, (5, OF_PROCESS), 0, SOMEBODY), Ok(()));
    assert_eq!(labels.ask(1, GET, (5, OF_PROCESS), 0, SOMEBODY), Ok(()));
    let of_that_number = Asker { thread: 71, ..SOMEBODY };
    assert_eq!(
        labels.ask(1, GET, (5, OF_PROCESS), 0, of_that_number),
        Err(Errno::EPERM)
    );
    let now = labels.world.now;
    assert_eq!(labels.world.hosts[0].leased_labels(now)[0].owner, SOMEBODY.shown_thread);
}

#[test]
fn leases_are_bounded() {
    let mut labels = Labels::new();
    let leases = (1..).take_while(|label| labels.ask(0, GET, (*label, ANYBODY), 0, SOMEBODY).is_ok());
    assert_eq!(leases.count(), 32);
    assert_eq!(labels.ask(0, GET, (99, ANYBODY), 0, SOMEBODY), Err(Errno::ENOBUFS));
    assert_eq!(labels.ask(1, GET, (99, ANYBODY), 0, SOMEBODY), Ok(()));
}

#[test]
fn a_label_that_a_socket_leases_again_is_counted_and_takes_no_room() {
    const TIMES: u32 = 10_000;
    let mut labels = Labels::new();
    for _ in 0..TIMES {
        assert_eq!(labels.ask(0, GET, (5, ANYBODY), 0, SOMEBODY), Ok(()));
    }
    assert_eq!(labels.listed(), [(5, TIMES, 6)]);
    assert_eq!(labels.ask(0, PUT, (5, 0), 0, SOMEBODY), Ok(()));
    assert_eq!(labels.listed(), [(5, TIMES - 1, 6)]);
    let (now, s) = (labels.world.now, labels.sockets[0]);
    labels.world.hosts[0].close(now, s);
    assert_eq!(labels.listed(), [(5, 0, 6)]);
}

#[test]
fn a_label_that_lingers_is_leased_again_where_there_is_room() {
    let mut labels = Labels::new();
    assert_eq!(labels.ask(1, GET, (99, ANYBODY), 0, SOMEBODY), Ok(()));
    for label in 1..=31 {
        assert_eq!(labels.ask(0, GET, (label, ANYBODY), 0, SOMEBODY), Ok(()));
    }
    assert_eq!(labels.ask(0, GET, (1, ANYBODY), 0, SOMEBODY), Ok(()), "somebody has it");
    assert_eq!(labels.ask(0, GET, (99, ANYBODY), 0, SOMEBODY), Ok(()), "and this");
    assert_eq!(labels.ask(0, PUT, (99, 0), 0, SOMEBODY), Ok(()));
    assert_eq!(labels.ask(1, PUT, (99, 0), 0, SOMEBODY), Ok(()));
    assert_eq!(labels.ask(0, GET, (99, ANYBODY), 0, SOMEBODY), Err(Errno::ENOBUFS));
    assert_eq!(labels.ask(1, GET, (99, ANYBODY), 0, SOMEBODY), Ok(()));
}

#[test]
fn labels_must_be_leased_as_long_as_some_label_is_not_everybodys() {
    let mut labels = Labels::new();
    let sends = |labels: &mut Labels| {
        let to = SocketAddrV6::new(Ipv6Addr::LOCALHOST, 9, 0, 0).into();
        let control = Control {
            flow_info: Some(7),
            ..Control::default()
        };
        let (now, s) = (labels.world.now, labels.sockets[1]);
        labels.world.hosts[0]
            .send_to(now, s, Payload::copy_from(b"x"), Flags::default(), Some(to), &control)
            .map(drop)
    };
    assert_eq!(sends(&mut labels), Ok(()));
    for (share, sent) in [(ANYBODY, Ok(())), (EXCLUSIVE, Err(Errno::EINVAL))] {
        let label = share.into();
        assert_eq!(labels.ask(0, GET, (label, share), 0, SOMEBODY), Ok(()));
        assert_eq!(sends(&mut labels), sent);
        labels.wait(100);
        assert_eq!(sends(&mut labels), sent, "somebody has it");
        assert_eq!(labels.ask(0, PUT, (label, 0), 0, SOMEBODY), Ok(()));
        labels.wait(5);
        assert_eq!(sends(&mut labels), sent, "it lingers");
        labels.wait(1);
        assert_eq!(sends(&mut labels), Ok(()));
    }
}
