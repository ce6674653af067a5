//! The network name space of packet sockets, and what it has to have of the run's links.

use core::fmt;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use prise_stack::{Link, Stack};
use prise_sys::interface::{self, InterfaceName};
use prise_sys::name_space::NetworkSpace;
use prise_sys::tun;
use prise_wire::Medium;
use rustix::fs::{Mode, OFlags, openat};
use rustix::io::Errno;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsmount, fsopen};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};

/// Why there are no packet sockets: the step that failed.
#[derive(Debug)]
pub(crate) enum OpenError {
    /// unshare(2), setns(2), or a thread that calls it.
    Space(io::Error),
    /// IPv6 stays on.
    Silence(io::Error),
    /// An interface cannot be made or set up.
    Link { name: String, error: io::Error },
    /// A fallback tunnel has the number.
    NumberTaken { name: String, index: u32 },
    /// The supervisor's own sockets there.
    Sockets(io::Error),
}

impl From<io::Error> for OpenError {
    fn from(error: io::Error) -> Self {
        Self::Space(error)
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Space(error) => write!(
                f,
                "no network name space can be made for them ({error}); that needs CAP_SYS_ADMIN"
            ),
            Self::Silence(error) => write!(
                f,
                "IPv6 cannot be turned off in their network name space ({error}); that needs a /proc/sys that can be written, or that \
                 a proc may be mounted"
            ),
            Self::Link { name, error } => write!(
                f,
                "{name} cannot be made in their network name space ({error}); that needs CAP_NET_ADMIN and /dev/net/tun"
            ),
            Self::NumberTaken { name, index } => write!(
                f,
                "{name} cannot have its number {index} in their network name space, since the kernel makes tunnels in each (tunl0, sit0, \
                 …); sysctl net.core.fb_tunnels_only_for_init_net=1 keeps them from new ones"
            ),
            Self::Sockets(error) => write!(f, "prise cannot have its own in their network name space ({error})"),
        }
    }
}

/// What the name space has to know of a link.
#[derive(Debug)]
pub(super) struct Shown {
    name: String,
    index: u32,
    mtu: u32,
    medium: Medium,
    mac: Option<[u8; 6]>,
    is_loopback: bool,
}

impl Shown {
    fn of(link: &Link) -> Self {
        Self {
            name: link.name().to_owned(),
            index: link.id().interface_index(),
            mtu: link.mtu(),
            medium: link.medium(),
            mac: link.mac().map(|mac| mac.0),
            is_loopback: link.is_loopback(),
        }
    }

    fn set_up(&self, control: BorrowedFd<'_>) -> Result<Option<File>, OpenError> {
        let failed = |error| OpenError::Link {
            name: self.name.clone(),
            error,
        };
        let name = InterfaceName::new(&self.name).map_err(failed)?;
        let device = if self.is_loopback {
            // `lo` is there, with the number 1, and has no other side.
            None
        } else {
            Some(self.device(name)?)
        };
        self.set_up_as(control, name).map_err(failed)?;
        Ok(device)
    }

    /// Makes the interface; answers its other side.
    fn device(&self, name: InterfaceName) -> Result<File, OpenError> {
        let kind = match self.medium {
            Medium::Ethernet => tun::Kind::Ethernet,
            Medium::Ip => tun::Kind::Ip,
        };
        tun::create(name, kind, self.index).map_err(|error| {
            let name = self.name.clone();
            match error.kind() {
                io::ErrorKind::ResourceBusy => OpenError::NumberTaken {
                    name,
                    index: self.index,
                },
                _ => OpenError::Link { name, error },
            }
        })
    }

    fn set_up_as(&self, control: BorrowedFd<'_>, name: InterfaceName) -> io::Result<()> {
        if let Some(mac) = self.mac {
            interface::set_mac(control, name, mac)?;
        }
        interface::set_mtu(control, name, self.mtu)?;
        interface::set_up(control, name)?;
        if self.is_loopback {
            // Linux gives it 127.0.0.1, and its stack would answer what is shown there.
            interface::take_ipv4_address(control, name)?;
        }
        Ok(())
    }
}

/// A name space with these links, and for each the other side of its interface (`lo` is its own).
pub(super) fn with_links(stack: &Stack) -> Result<(NetworkSpace, Vec<Option<File>>), OpenError> {
    let space = NetworkSpace::new()?;
    let links: Vec<Shown> = stack.links().iter().map(Shown::of).collect();
    let devices = space.within(|| {
        let control = socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None);
        let control = control.map_err(|error| OpenError::Sockets(error.into()))?;
        be_silent().map_err(|error| OpenError::Silence(error.into()))?;
        links.iter().map(|link| link.set_up(control.as_fd())).collect()
    })?;
    Ok((space, devices))
}

/// Keeps the kernel's stack from having addresses of IPv6 in the caller's network name space, and from asking for routers.
fn be_silent() -> rustix::io::Result<()> {
    let proc = rustix::fs::open("/proc", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    match without_ipv6(&proc) {
        // Containers mount /proc/sys for reading, also what there is of the caller's name space. A proc that is mounted nowhere is whole.
        Err(Errno::ROFS | Errno::ACCESS) => without_ipv6(&own_proc()?),
        done => done,
    }
}

/// Turns IPv6 off by this proc(5).
fn without_ipv6(proc: &OwnedFd) -> rustix::io::Result<()> {
    for group in ["all", "default"] {
        let path = format!("sys/net/ipv6/conf/{group}/disable_ipv6");
        match openat(proc, path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty()) {
            // A kernel without IPv6.
            Err(Errno::NOENT) => (),
            Err(error) => return Err(error),
            Ok(file) => drop(rustix::io::write(&file, b"1")?),
        }
    }
    Ok(())
}

/// A proc of the caller's that is mounted nowhere (fsmount(2), Linux 5.2). Needs `CAP_SYS_ADMIN`.
fn own_proc() -> rustix::io::Result<OwnedFd> {
    let context = fsopen("proc", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_create(context.as_fd())?;
    fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interface_whose_number_another_has_is_refused_by_that_reason() {
        if let Err(error) = File::open("/dev/net/tun") {
            eprintln!("skipped: /dev/net/tun cannot be opened: {error}");
            return;
        }
        let eth0 = Shown {
            name: "eth0".to_owned(),
            index: 2,
            mtu: 1500,
            medium: Medium::Ethernet,
            mac: None,
            is_loopback: false,
        };
        let space = NetworkSpace::new().unwrap();
        let refused = space.within(|| -> Result<_, OpenError> {
            let _tunnel = tun::create(InterfaceName::new("sit0")?, tun::Kind::Ip, 2)?;
            Ok(eth0.device(InterfaceName::new("eth0")?))
        });
        let refused = refused.unwrap().unwrap_err();
        assert!(matches!(refused, OpenError::NumberTaken { index: 2, .. }), "{refused}");
    }

    #[test]
    fn a_proc_of_ones_own_turns_ipv6_off_in_the_callers_name_space_only() {
        let Ok(space) = NetworkSpace::new() else {
            eprintln!("skipped: no network name space can be made here (CAP_SYS_ADMIN)");
            return;
        };
        let told = || std::fs::read_to_string("/proc/sys/net/ipv6/conf/all/disable_ipv6").ok();
        let before = told();
        let within = space.within(|| {
            without_ipv6(&own_proc()?)?;
            Ok::<_, io::Error>(told())
        });
        let within = within.unwrap();
        assert!(within.is_none_or(|within| within == "1\n"), "IPv6 is off");
        assert_eq!(told(), before);
    }
}
