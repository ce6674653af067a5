//! What requests of ioctl(2) about interfaces are told.

#[allow(dead_code, reason = "the kept inputs are played by another test")]
#[path = "../../../fuzz/src/target.rs"]
mod target;
#[allow(dead_code, reason = "the fuzz targets themselves are run by another test")]
#[path = "../../../fuzz/src/view.rs"]
mod view;

use prise_socket::Errno;
use prise_view::ioctl::{self, Asked, Kind, On};

/// ETHTOOL_GSET, GDRVINFO, GLINK, SRINGPARAM, GTSO, GPERMADDR, GFLAGS, GET_TS_INFO.
const SETTINGS: u32 = 0x01;
const DRIVER: u32 = 0x03;
const LINK: u32 = 0x0a;
const SET_RINGS: u32 = 0x11;
const SEGMENTATION: u32 = 0x1e;
const ADDRESS: u32 = 0x20;
const FLAGS: u32 = 0x25;
const TIME_STAMPING: u32 = 0x41;

fn ask(name: &str, command: u32, word: u32, is_admin: bool) -> Result<Vec<u8>, Errno> {
    let mut request = [0; ioctl::REQUEST_LEN];
    request[..name.len()].copy_from_slice(name.as_bytes());
    let asked = Asked {
        command,
        word: &|| Ok(word),
        is_admin: &|| is_admin,
    };
    ioctl::ethtool(view::host().stack(), &request, &asked)
}

#[test]
fn a_driver_tells_of_its_link_and_is_changed_by_nobody() {
    let word = |value: u32| Ok(value.to_ne_bytes().to_vec());
    for name in ["lo", "eth0", "eth0:1"] {
        assert_eq!(ask(name, LINK, 0, false), word(1), "{name}");
        assert_eq!(ask(name, SEGMENTATION, 0, false), word(1), "{name}");
        assert_eq!(ask(name, FLAGS, 0, false), word(0), "{name}");
        assert_eq!(ask(name, SETTINGS, 0, false), Err(Errno::EOPNOTSUPP), "{name}");
        assert_eq!(ask(name, SET_RINGS, 0, false), Err(Errno::EPERM), "{name}");
        assert_eq!(ask(name, SET_RINGS, 0, true), Err(Errno::EOPNOTSUPP), "{name}");
        let stamping = ask(name, TIME_STAMPING, 0, false).expect("an answer");
        assert_eq!(
            (&stamping[..8], stamping.len()),
            (&[0x1a, 0, 0, 0, 0xff, 0xff, 0xff, 0xff][..], 40)
        );
    }
    for command in [DRIVER, LINK, SET_RINGS] {
        assert_eq!(ask("eth1", command, 0, false), Err(Errno::ENODEV));
    }
}

#[test]
fn lo_has_no_driver_and_an_address_of_zeros() {
    assert_eq!(ask("lo", DRIVER, 0, false), Err(Errno::EOPNOTSUPP));
    let driver = ask("eth0", DRIVER, 0, false).expect("an answer");
    assert_eq!((&driver[..6], driver.len()), (&b"prise\0"[..], 192));
    assert_eq!(ask("lo", ADDRESS, 32, false), Ok(vec![6, 0, 0, 0, 0, 0, 0, 0, 0, 0]));
    assert_eq!(ask("lo", ADDRESS, 5, false), Err(Errno::ETOOSMALL));
    let of_link = ask("eth0", ADDRESS, 6, false).expect("an answer");
    assert!(of_link[4..].iter().any(|octet| *octet != 0));
}

#[test]
fn packet_sockets_tell_of_addresses_of_ipv4_and_of_nothing_else_of_its() {
    const GET: [u32; 4] = [0x8915, 0x8917, 0x8919, 0x891b];
    for request in GET {
        assert_eq!(ioctl::kind(On::Packet, request), Kind::Interface, "{request:x}");
        assert_eq!(
            ioctl::kind(On::Other, request),
            Kind::Refused(Errno::ENOTTY),
            "{request:x}"
        );
    }
    assert_eq!(ioctl::kind(On::Packet, ioctl::ARP), Kind::Neighbor);
    // SIOCGIFPFLAGS, SIOCRTMSG.
    for request in [0x8935, 0x890d] {
        assert_eq!(
            ioctl::kind(On::Packet, request),
            Kind::Refused(Errno::ENOTTY),
            "{request:x}"
        );
    }
}

fn change(on: On, request: u32, name: &str, word: u16) -> Result<(), Errno> {
    let Kind::Change { len, .. } = ioctl::kind(on, request) else {
        panic!("{request:x} is no change");
    };
    let mut given = vec![0; len];
    given[..name.len()].copy_from_slice(name.as_bytes());
    if len >= ioctl::REQUEST_LEN {
        given[16..18].copy_from_slice(&word.to_ne_bytes());
    }
    ioctl::change(view::host().stack(), on, request, &given)
}

#[test]
fn who_may_change_links_hears_first_what_the_request_lacks() {
    // SIOCSIFADDR, SIOCSIFDSTADDR, SIOCSIFBRDADDR, SIOCSIFNETMASK: the family, then the link.
    for request in [0x8916, 0x8918, 0x891a, 0x891c] {
        for on in [On::Inet, On::Packet] {
            assert_eq!(change(on, request, "nobody", 0), Err(Errno::EINVAL), "{request:x}");
            assert_eq!(change(on, request, "nobody", 2), Err(Errno::ENODEV), "{request:x}");
            assert_eq!(change(on, request, "eth0", 2), Err(Errno::EPERM), "{request:x}");
        }
    }
    // SIOCSIFNAME, SIOCGMIIPHY, SIOCBONDENSLAVE, SIOCBRADDIF, SIOCSIFSLAVE.
    let told = [
        (0x8923, Errno::EPERM),
        (0x8947, Errno::EOPNOTSUPP),
        (0x8990, Errno::EOPNOTSUPP),
        (0x89a2, Errno::EOPNOTSUPP),
        (0x8930, Errno::EINVAL),
    ];
    for (request, errno) in told {
        for on in [On::Inet, On::Inet6, On::Packet, On::Other] {
            assert_eq!(change(on, request, "nobody", 0), Err(Errno::ENODEV), "{request:x}");
            assert_eq!(change(on, request, "eth0", 0), Err(errno), "{request:x}");
        }
    }
    // SIOCADDRT, SIOCSARP; SIOCSIFADDR of IPv6, whose link is a number; SIOCBRADDBR.
    assert_eq!(change(On::Inet, 0x890b, "", 0), Err(Errno::EAFNOSUPPORT));
    assert_eq!(change(On::Inet, 0x8955, "", 0), Err(Errno::EPFNOSUPPORT));
    assert_eq!(change(On::Inet6, 0x8916, "", 0), Err(Errno::ENODEV));
    assert_eq!(change(On::Inet6, 0x89a0, "br0", 0), Err(Errno::EPERM));
}

#[test]
fn what_no_driver_has_is_told_of_a_link_that_is_there() {
    let ask = |name: &str, request| {
        let mut given = [0; ioctl::REQUEST_LEN];
        given[..name.len()].copy_from_slice(name.as_bytes());
        assert_eq!(ioctl::kind(On::Other, request), Kind::Interface, "{request:x}");
        ioctl::answer(view::host().stack(), request, &given).expect_err("nobody has it")
    };
    // SIOCGIFSLAVE, SIOCWANDEV, SIOCBONDSLAVEINFOQUERY, SIOCGHWTSTAMP.
    for (request, errno) in [
        (0x8929, Errno::EINVAL),
        (0x894a, Errno::EOPNOTSUPP),
        (0x8993, Errno::EOPNOTSUPP),
        (0x89b1, Errno::EOPNOTSUPP),
    ] {
        assert_eq!(ask("nobody", request), Errno::ENODEV, "{request:x}");
        assert_eq!(ask("lo", request), errno, "{request:x}");
    }
}
