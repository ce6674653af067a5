//! What requests of ioctl(2) about interfaces are told.

#[allow(dead_code, reason = "the kept inputs are played by another test")]
#[path = "../../../fuzz/src/target.rs"]
mod target;
#[allow(dead_code, reason = "the fuzz targets themselves are run by another test")]
#[path = "../../../fuzz/src/view.rs"]
mod view;

use prise_socket::Errno;
use prise_view::ioctl::{self, Asked};

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
