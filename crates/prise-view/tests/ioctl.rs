//! What requests of ioctl(2) about interfaces are told.

#[allow(dead_code, reason = "the kept inputs are played by another test")]
#[path = "../../../fuzz/src/target.rs"]
mod target;
#[allow(dead_code, reason = "the fuzz targets themselves are run by another test")]
#[path = "../../../fuzz/src/view.rs"]
mod view;

use prise_socket::Errno;
use prise_view::ioctl;

/// ETHTOOL_GDRVINFO, ETHTOOL_GLINK, ETHTOOL_SRINGPARAM.
const DRIVER: u32 = 0x03;
const LINK: u32 = 0x0a;
const SET_RINGS: u32 = 0x11;

#[test]
fn a_driver_tells_of_its_link_and_of_nothing_else_and_is_changed_by_nobody() {
    let host = view::host();
    let ask = |name: &str, command, is_admin: bool| {
        let mut request = [0; ioctl::REQUEST_LEN];
        request[..name.len()].copy_from_slice(name.as_bytes());
        ioctl::ethtool(host.stack(), &request, command, || is_admin)
    };
    for name in ["lo", "eth0", "eth0:1"] {
        assert_eq!(ask(name, LINK, false), Ok(1), "{name}");
        assert_eq!(ask(name, DRIVER, false), Err(Errno::EOPNOTSUPP), "{name}");
        assert_eq!(ask(name, SET_RINGS, false), Err(Errno::EPERM), "{name}");
        assert_eq!(ask(name, SET_RINGS, true), Err(Errno::EOPNOTSUPP), "{name}");
    }
    for command in [DRIVER, LINK, SET_RINGS] {
        assert_eq!(ask("eth1", command, false), Err(Errno::ENODEV));
    }
}
