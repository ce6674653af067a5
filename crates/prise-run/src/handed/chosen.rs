//! The options that a program has set on a stream, for an object of the host kernel's that takes the stream's place.
//!
//! Only those that are about the connection itself: what names addresses, devices, ports or memory stays with the host of
//! the run, where it means something.

use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::sync::OnceLock;

use prise_sys::sockopt;

/// So many options are remembered for one socket: more than there are that are passed on.
const CHOICES_MAX: usize = 64;

/// asm-generic/socket.h; libc has these names for other architectures only.
pub(crate) const SO_TIMESTAMP_NEW: i32 = 63;
pub(crate) const SO_TIMESTAMPNS_NEW: i32 = 64;
pub(crate) const SO_TIMESTAMPING_NEW: i32 = 65;
const SO_MAX_PACING_RATE: i32 = 47;
/// include/uapi/linux/tcp.h.
const TCP_MD5SIG_EXT: i32 = 32;

/// Options of socket(7) that are about the connection.
const OF_SOCKETS: [i32; 15] = [
    libc::SO_SNDBUF,
    libc::SO_RCVBUF,
    libc::SO_KEEPALIVE,
    libc::SO_OOBINLINE,
    libc::SO_PRIORITY,
    libc::SO_LINGER,
    libc::SO_RCVLOWAT,
    libc::SO_TIMESTAMP,
    libc::SO_TIMESTAMPNS,
    libc::SO_TIMESTAMPING,
    SO_TIMESTAMP_NEW,
    SO_TIMESTAMPNS_NEW,
    SO_TIMESTAMPING_NEW,
    libc::SO_ZEROCOPY,
    SO_MAX_PACING_RATE,
];

/// Options of socket(7) that only the kernel can tell of a connection that is its own.
const TOLD_BY_KERNEL: [i32; 3] = [libc::SO_ERROR, SO_MEMINFO, libc::SO_INCOMING_CPU];
const SO_MEMINFO: i32 = 55;

/// Options of ip(7) that are about the connection.
const OF_IP: [i32; 6] = [
    libc::IP_TOS,
    libc::IP_TTL,
    libc::IP_MTU_DISCOVER,
    libc::IP_RECVERR,
    libc::IP_MINTTL,
    libc::IP_OPTIONS,
];

/// Options of ipv6(7) that are about the connection.
const OF_IPV6: [i32; 4] = [
    libc::IPV6_UNICAST_HOPS,
    libc::IPV6_TCLASS,
    libc::IPV6_MTU_DISCOVER,
    libc::IPV6_RECVERR,
];

/// Options that programs may have set while the kernel alone was asked; all of them are an `int`.
pub(crate) const KEPT_BY_KERNEL: [(i32, i32); 7] = [
    (libc::IPPROTO_TCP, libc::TCP_NODELAY),
    (libc::IPPROTO_TCP, libc::TCP_CORK),
    (libc::IPPROTO_TCP, libc::TCP_KEEPIDLE),
    (libc::IPPROTO_TCP, libc::TCP_KEEPINTVL),
    (libc::IPPROTO_TCP, libc::TCP_KEEPCNT),
    (libc::IPPROTO_TCP, libc::TCP_USER_TIMEOUT),
    (libc::SOL_SOCKET, libc::SO_KEEPALIVE),
];

/// What these options are on a socket that nobody has asked anything.
static USUAL: OnceLock<Vec<Option<Vec<u8>>>> = OnceLock::new();

fn kept_by(object: &OwnedFd) -> impl Iterator<Item = Option<Vec<u8>>> {
    KEPT_BY_KERNEL
        .map(|(level, name)| sockopt::get(object.as_fd(), level, name, size_of::<i32>()).ok())
        .into_iter()
}

/// What a connection that the kernel's listener did not accept itself would have inherited from it.
pub(crate) fn inherit(listener: &OwnedFd, accepted: &OwnedFd, fresh: impl FnOnce() -> Option<OwnedFd>) {
    let usual = USUAL.get_or_init(|| fresh().iter().flat_map(kept_by).collect());
    for (index, value) in kept_by(listener).enumerate() {
        if let Some(value) = value
            && usual.get(index).and_then(Option::as_ref) != Some(&value)
        {
            let (level, name) = KEPT_BY_KERNEL[index];
            // It was taken there, so it is here.
            let _ = sockopt::set(accepted.as_fd(), level, name, &value);
        }
    }
}

/// One option with its value.
type Choice = (i32, i32, Box<[u8]>);

/// What a program has chosen, shared with the connections that a listener's accept(2) gives out, unless some of it is the listener's alone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Chosen(Option<Rc<Vec<Choice>>>);

impl Chosen {
    /// Remembers an option, if it is one to be passed on.
    pub(crate) fn note(&mut self, level: i32, name: i32, value: &[u8]) {
        if !is_of_connection(level, name) {
            return;
        }
        let choices = Rc::make_mut(self.0.get_or_insert_default());
        // Set again, it is the last value that counts, and the last place: some depend on others.
        choices.retain(|(l, n, v)| (*l, *n) != (level, name) || subject(level, name, v) != subject(level, name, value));
        if choices.len() < CHOICES_MAX {
            choices.push((level, name, value.into()));
        }
    }

    /// What a connection has of its listener's: options of IPv4 it has from its peer, and no priority.
    pub(crate) fn of_accepted(&self) -> Self {
        const PRIORITY: (i32, i32) = (libc::SOL_SOCKET, libc::SO_PRIORITY);
        const OPTIONS: (i32, i32) = (libc::IPPROTO_IP, libc::IP_OPTIONS);
        let is_own = |(level, name, _): &Choice| [PRIORITY, OPTIONS].contains(&(*level, *name));
        let gives_priority = |(level, name, _): &Choice| (*level, *name) == (libc::IPPROTO_IP, libc::IP_TOS);
        match &self.0 {
            Some(choices) if choices.iter().any(|choice| is_own(choice) || gives_priority(choice)) => {
                let mut inherited: Vec<Choice> = choices.iter().filter(|choice| !is_own(choice)).cloned().collect();
                // What IP_TOS sets is not there either (`sk_clone`).
                inherited.push((PRIORITY.0, PRIORITY.1, [0; 4].into()));
                Self(Some(Rc::new(inherited)))
            }
            shared => Self(shared.clone()),
        }
    }

    /// Sets everything on the kernel's object.
    pub(crate) fn apply(&self, object: &OwnedFd) {
        for (level, name, value) in self.0.iter().flat_map(|choices| choices.iter()) {
            // What the host's kernel refuses is not to be had there.
            let _ = sockopt::set(object.as_fd(), *level, *name, value);
        }
    }
}

/// Which peers an option is about, where it is set once for each: `TCP_MD5SIG`.
fn subject(level: i32, name: i32, value: &[u8]) -> &[u8] {
    /// `struct tcp_md5sig` up to the length of the key.
    const PEERS_LEN: usize = 130;
    if is_signature(level, name) {
        value.get(..PEERS_LEN).unwrap_or(value)
    } else {
        &[]
    }
}

/// Keys for peers by their addresses, which at the kernel's object of a listener are others than in the run.
pub(crate) fn is_signature(level: i32, name: i32) -> bool {
    level == libc::IPPROTO_TCP && matches!(name, libc::TCP_MD5SIG | TCP_MD5SIG_EXT)
}

/// Whether an option governs the connection, and so the kernel's object that carries it.
pub(crate) fn is_of_connection(level: i32, name: i32) -> bool {
    match level {
        libc::IPPROTO_TCP => name != libc::TCP_CONGESTION,
        libc::SOL_SOCKET => OF_SOCKETS.contains(&name),
        libc::IPPROTO_IP => OF_IP.contains(&name),
        libc::IPPROTO_IPV6 => OF_IPV6.contains(&name),
        _ => false,
    }
}

/// Whether nobody but the kernel can do what an option asks, because it sees each send: stamps of sending, and notices of sends
/// that were not copied.
pub(crate) fn is_kernels_alone(level: i32, name: i32) -> bool {
    level == libc::SOL_SOCKET && matches!(name, libc::SO_TIMESTAMPING | SO_TIMESTAMPING_NEW | libc::SO_ZEROCOPY)
}

/// Whether of a connection that is the kernel's the kernel tells an option.
pub(crate) fn is_told_by_kernel(level: i32, name: i32) -> bool {
    match level {
        libc::IPPROTO_TCP => true,
        libc::SOL_SOCKET => OF_SOCKETS.contains(&name) || TOLD_BY_KERNEL.contains(&name),
        libc::IPPROTO_IP => matches!(name, libc::IP_MTU | libc::IP_OPTIONS),
        // IPV6_MTU is the host's to tell: the kernel's end may be a socket of IPv4.
        _ => false,
    }
}
