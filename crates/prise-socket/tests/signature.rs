//! `TCP_MD5SIG` and `TCP_MD5SIG_EXT`: what Linux 6.18 was seen to answer, and who has the keys.

mod world;

use std::net::IpAddr;

use prise_socket::{Errno, Family, Kind};
use world::World;

const TCP: i32 = 6;
const MD5SIG: i32 = 14;
const MD5SIG_EXT: i32 = 32;
const PREFIX: u8 = 1;
const INTERFACE: u8 = 2;

/// A `struct tcp_md5sig`.
struct Request {
    address: &'static str,
    flags: u8,
    prefix: u8,
    key_len: u16,
    interface: i32,
}

const PLAIN: Request = Request {
    address: "127.0.0.1",
    flags: 0,
    prefix: 0,
    key_len: 3,
    interface: 0,
};

impl Request {
    fn octets(&self) -> Vec<u8> {
        let mut octets = vec![0; 216];
        match self.address.parse().expect("an address") {
            IpAddr::V4(v4) => {
                octets[..2].copy_from_slice(&2_u16.to_le_bytes());
                octets[4..8].copy_from_slice(&v4.octets());
            }
            IpAddr::V6(v6) => {
                octets[..2].copy_from_slice(&10_u16.to_le_bytes());
                octets[8..24].copy_from_slice(&v6.octets());
            }
        }
        octets[128] = self.flags;
        octets[129] = self.prefix;
        octets[130..132].copy_from_slice(&self.key_len.to_le_bytes());
        octets[132..136].copy_from_slice(&self.interface.to_le_bytes());
        octets[136..139].copy_from_slice(b"key");
        octets
    }
}

#[test]
fn keys_are_set_and_forgotten_as_the_kernel_answers() {
    let v4 = |name, request: Request, answer| (Family::Inet, name, request, answer);
    let v6 = |name, request: Request, answer| (Family::Inet6, name, request, answer);
    let none = |address| Request {
        address,
        key_len: 0,
        ..PLAIN
    };
    let network = |address, prefix| Request {
        address,
        flags: PREFIX,
        prefix,
        ..PLAIN
    };
    let mut world = World::new(2);
    let mut socket = |family| world.hosts[0].socket(family, Kind::Stream, 0).expect("a socket");
    let sockets = [socket(Family::Inet), socket(Family::Inet6)];
    for (step, (family, name, request, answer)) in [
        v4(MD5SIG, none("127.0.0.1"), Err(Errno::ENOENT)),
        v4(MD5SIG, PLAIN, Ok(())),
        v4(MD5SIG, none("127.0.0.1"), Ok(())),
        v4(MD5SIG, none("127.0.0.1"), Err(Errno::ENOENT)),
        v4(MD5SIG_EXT, network("10.0.0.0", 33), Err(Errno::EINVAL)),
        v4(MD5SIG_EXT, network("10.0.0.1", 8), Ok(())),
        // The address is compared as it was given.
        v4(
            MD5SIG_EXT,
            Request {
                key_len: 0,
                ..network("10.0.0.2", 8)
            },
            Err(Errno::ENOENT),
        ),
        v4(
            MD5SIG_EXT,
            Request {
                key_len: 0,
                ..network("10.0.0.1", 8)
            },
            Ok(()),
        ),
        // Only the newer option looks at the flags.
        v4(MD5SIG, network("10.0.0.2", 99), Ok(())),
        v4(
            MD5SIG_EXT,
            Request {
                flags: INTERFACE,
                ..PLAIN
            },
            Ok(()),
        ),
        v4(
            MD5SIG_EXT,
            Request {
                flags: INTERFACE,
                interface: 1,
                ..PLAIN
            },
            Err(Errno::EINVAL),
        ),
        v4(MD5SIG, Request { key_len: 81, ..PLAIN }, Err(Errno::EINVAL)),
        v4(
            MD5SIG,
            Request {
                address: "::1",
                ..PLAIN
            },
            Err(Errno::EINVAL),
        ),
        v6(
            MD5SIG,
            Request {
                address: "::1",
                ..PLAIN
            },
            Ok(()),
        ),
        v6(MD5SIG, PLAIN, Err(Errno::EINVAL)),
        v6(
            MD5SIG,
            Request {
                address: "::ffff:1.2.3.4",
                ..PLAIN
            },
            Ok(()),
        ),
        v6(MD5SIG_EXT, network("::ffff:1.2.3.4", 33), Err(Errno::EINVAL)),
        v6(MD5SIG_EXT, network("fd00::", 129), Err(Errno::EINVAL)),
        v6(MD5SIG_EXT, network("fd00::", 16), Ok(())),
    ]
    .into_iter()
    .enumerate()
    {
        let s = sockets[usize::from(family == Family::Inet6)];
        let now = world.now;
        let set = world.hosts[0].set_option(now, s, TCP, name, &request.octets());
        assert_eq!(set, answer, "step {step}");
    }
}

#[test]
fn a_short_request_is_none_and_keys_are_told_to_nobody() {
    let mut world = World::new(1);
    let stream = world.tcp(0, Family::Inet);
    let datagram = world.udp(0, Family::Inet);
    let now = world.now;
    let host = &mut world.hosts[0];
    let short = &PLAIN.octets()[..215];
    assert_eq!(host.set_option(now, stream, TCP, MD5SIG, short), Err(Errno::EINVAL));
    for name in [MD5SIG, MD5SIG_EXT] {
        let told = host.option(now, stream, TCP, name, &mut vec![0; 216]);
        assert_eq!(told, Err(Errno::ENOPROTOOPT));
    }
    let refused = host.set_option(now, datagram, TCP, MD5SIG, &PLAIN.octets());
    assert!(refused.is_err(), "{refused:?}");
}

#[test]
fn an_accepted_connection_has_the_listeners_keys() {
    let mut world = World::new(2);
    let now = world.now;
    let everybody = Request {
        address: "0.0.0.0",
        flags: PREFIX,
        ..PLAIN
    }
    .octets();
    let listener = world.listener(1, "10.0.0.2:80");
    assert_eq!(
        world.hosts[1].set_option(now, listener, TCP, MD5SIG_EXT, &everybody),
        Ok(())
    );
    let client = world.tcp(0, Family::Inet);
    assert_eq!(
        world.hosts[0].set_option(now, client, TCP, MD5SIG_EXT, &everybody),
        Ok(())
    );
    assert_eq!(world.connect(0, client, "10.0.0.2:80"), Err(Errno::EINPROGRESS));
    world.settle();
    let (accepted, _) = world.accept(1, listener).expect("a connection");
    assert!(world.hosts[1].is_signed(accepted));
    // Without one nobody is heard.
    let stranger = world.tcp(0, Family::Inet);
    assert_eq!(world.connect(0, stranger, "10.0.0.2:80"), Err(Errno::EINPROGRESS));
    world.settle();
    assert_eq!(world.accept(1, listener), Err(Errno::EAGAIN));
}
