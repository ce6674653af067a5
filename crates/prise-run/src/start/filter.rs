//! Which calls are judged by the supervisor: the seccomp filter of every guest.
//!
//! The filter sees numbers only, never memory. It lets everything run natively that may: data calls on sockets, and all
//! calls that are about something else. A call that is sent on by mistake costs a round trip; one that is allowed by
//! mistake would show the program an AF_UNIX socket, so every rule says why its calls are harmless.

use prise_sys::launch::Confinement;
use prise_sys::seccomp::{ARCH_X86_64, Assembler, Field, Program, Verdict};

use crate::calls::ioctl::{SIOCGSTAMP_NEW, SIOCGSTAMPNS_NEW};
use crate::handed::adopted::Native;
use crate::handed::chosen;
use crate::policy::filter_policy;

/// Calls of the x32 ABI have this bit in their numbers (asm/unistd.h, `__X32_SYSCALL_BIT`).
const X32_SYSCALL_BIT: u32 = 0x4000_0000;

/// Calls about sockets whose every use is judged.
const ALWAYS: [i64; 12] = [
    libc::SYS_connect,
    libc::SYS_accept,
    libc::SYS_accept4,
    libc::SYS_bind,
    libc::SYS_listen,
    libc::SYS_shutdown,
    libc::SYS_getsockname,
    libc::SYS_getpeername,
    libc::SYS_sendmsg,
    libc::SYS_recvmsg,
    libc::SYS_sendmmsg,
    libc::SYS_recvmmsg,
];

/// Those of them that the preloaded library makes ([`pass_library`]).
const OF_LIBRARY: [i64; 4] = [
    libc::SYS_connect,
    libc::SYS_accept,
    libc::SYS_accept4,
    libc::SYS_getpeername,
];

/// The families that are ours; AF_PACKET is refused, all others are the kernel's but for a part of AF_NETLINK.
const FAMILIES: [i32; 3] = [libc::AF_INET, libc::AF_INET6, libc::AF_PACKET];

/// Netlink families that have nothing to do with the network (linux/netlink.h): messages between programs, SELinux, audit,
/// process events, device events, cryptography.
const NATIVE_NETLINK: [i32; 6] = [2, 7, 9, 11, 15, 21];

/// Octets of a request for a list in the C library musl, `send(2)` of which it expects the answer to be there at once.
const SHORT_REQUEST: u32 = 20;

/// The room that strace(1) has for the name of a socket's protocol (`system.sockprotoname`, its src/util.c).
const STRACES_ROOM: u32 = 255;

/// Flags of send(2) that an AF_UNIX datagram socket refuses and UDP refuses otherwise, or that it knows nothing of.
const SEND_FLAGS: i32 = libc::MSG_OOB | libc::MSG_ZEROCOPY;

/// Flags of recv(2) that mean another thing to the kernel's object: a stream's octets discarded, the queue of errors, urgent data.
const RECEIVE_FLAGS: i32 = libc::MSG_TRUNC | libc::MSG_ERRQUEUE | libc::MSG_OOB;

/// Timeouts of calls that run natively are kept by the kernel's object; the supervisor reads them from there.
pub(crate) const NATIVE_OPTIONS: [i32; 4] = [libc::SO_RCVTIMEO, libc::SO_SNDTIMEO, SO_RCVTIMEO_NEW, SO_SNDTIMEO_NEW];
/// asm-generic/socket.h; libc has the names for other architectures only.
const SO_RCVTIMEO_NEW: i32 = 66;
const SO_SNDTIMEO_NEW: i32 = 67;

/// The options of a level that are about nothing but the connection: where every stream is the kernel's own object, the kernel alone keeps
/// them, and says of wrong values what Linux says. On other Internet sockets, which are AF_UNIX objects, those of tcp(7) are
/// `EOPNOTSUPP` then, where Linux says `ENOPROTOOPT`.
fn options_of_streams(level: i32) -> impl Iterator<Item = i32> {
    // Nothing is kept of this one: it is over with the next acknowledgment.
    const QUICKACK: (i32, i32) = (libc::IPPROTO_TCP, libc::TCP_QUICKACK);
    let all = chosen::KEPT_BY_KERNEL.into_iter().chain([QUICKACK]);
    all.filter(move |it| it.0 == level).map(|it| it.1)
}

/// `ioctl` requests of sockets (linux/sockios.h) that are judged: from `SIOCATMARK` on. Before it lie owners, which
/// are the descriptor's.
const SOCKET_IOCTLS: core::ops::Range<u32> = 0x8905..0x8a00;

/// What the run was asked for that needs calls judged which have nothing to do with sockets.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked {
    /// A host name of its own.
    pub(crate) hostname: bool,
    /// Files of /proc/net.
    pub(crate) proc_net: bool,
    /// What of TCP streams is the kernel's without anybody being asked.
    pub(crate) native: Native,
    /// What a call shows that the preloaded library makes ([`crate::start::shortcut`]), if there is one.
    pub(crate) token: Option<Token>,
}

/// What a call shows that the preloaded library makes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Token {
    pub(crate) number: u64,
    /// Whether it is for calls on sockets, too, and not only for open(2).
    pub(crate) of_sockets: bool,
}

/// What socket(2) is asked for a stream with: `SOCK_STREAM` and whichever flags there are.
const STREAMS: [i32; 4] = [
    libc::SOCK_STREAM,
    libc::SOCK_STREAM | libc::SOCK_NONBLOCK,
    libc::SOCK_STREAM | libc::SOCK_CLOEXEC,
    libc::SOCK_STREAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC,
];

/// The flags with which files of /proc/net may be opened besides for reading: none of them matters to such a file. `O_LARGEFILE` has
/// another number in the C library (0) than in the kernel; grep sets `O_NOCTTY`.
pub(crate) const READING: u32 =
    0o100_000 | (libc::O_CLOEXEC | libc::O_NOCTTY | libc::O_NONBLOCK | libc::O_NOFOLLOW) as u32;

/// The filter; `confinement` adds what a policy needs.
pub(crate) fn program(confinement: Option<&Confinement>, asked: Asked) -> Program {
    assert!(
        confinement.is_none() || asked.token.is_none(),
        "under a policy every call is judged"
    );
    let of_sockets = asked.token.filter(|it| it.of_sockets);
    let mut p = Assembler::new();
    refuse_foreign_calls(&mut p);
    if let Some(confinement) = confinement {
        filter_policy::write(&mut p, confinement.domain.is_some());
    }
    for number in ALWAYS {
        on_call(&mut p, number, |p| {
            if OF_LIBRARY.contains(&number) {
                pass_library(p, of_sockets);
            }
            p.verdict(Verdict::Notify);
        });
    }
    judge_sockets(&mut p, asked.native.families);
    judge_messages(&mut p);
    judge_options(&mut p, asked.native.listeners, of_sockets);
    judge_socket_requests(&mut p);
    judge_own_calls(&mut p, asked.token.is_some());
    judge_values(&mut p, libc::SYS_getxattr, 3, [STRACES_ROOM]);
    if asked.hostname {
        on_call(&mut p, libc::SYS_uname, |p| p.verdict(Verdict::Notify));
    }
    if asked.proc_net {
        judge_opens(&mut p, asked.token);
    }
    // A ring would do all of the above behind the filter's back. Programs fall back when there is none.
    on_call(&mut p, libc::SYS_io_uring_setup, |p| {
        p.verdict(Verdict::Fail(libc::ENOSYS as u16));
    });
    p.verdict(Verdict::Allow);
    p.finish()
}

/// Lets a call pass that shows the token, in a register that means nothing to it.
fn pass_library(p: &mut Assembler, token: Option<Token>) {
    let Some(Token { number: token, .. }) = token else {
        return;
    };
    let other = p.label();
    p.load(Field::ArgLow(5));
    p.unless_equal(token as u32, other);
    p.load(Field::ArgHigh(5));
    p.unless_equal((token >> 32) as u32, other);
    p.verdict(Verdict::Allow);
    p.place(other);
}

/// setsockopt(2) and getsockopt(2). Where every TCP stream is the kernel's own, it keeps what only the connection knows.
fn judge_options(p: &mut Assembler, of_streams: bool, token: Option<Token>) {
    for number in [libc::SYS_setsockopt, libc::SYS_getsockopt] {
        on_call(p, number, |p| {
            if number == libc::SYS_getsockopt {
                pass_library(p, token);
            }
            let (judged, native, of_tcp) = (p.label(), p.label(), p.label());
            p.load(Field::ArgLow(1));
            if of_streams {
                p.if_equal(libc::IPPROTO_TCP as u32, of_tcp);
            }
            p.unless_equal(libc::SOL_SOCKET as u32, judged);
            p.load(Field::ArgLow(2));
            for option in NATIVE_OPTIONS {
                p.if_equal(option as u32, native);
            }
            if of_streams {
                for option in options_of_streams(libc::SOL_SOCKET) {
                    p.if_equal(option as u32, native);
                }
            }
            p.place(judged);
            p.verdict(Verdict::Notify);
            p.place(of_tcp);
            p.load(Field::ArgLow(2));
            for option in options_of_streams(libc::IPPROTO_TCP) {
                p.if_equal(option as u32, native);
            }
            p.verdict(Verdict::Notify);
            p.place(native);
            p.verdict(Verdict::Allow);
        });
    }
}

/// sendto(2) and recvfrom(2). Without an address they are send(2) and recv(2), which run natively, unless a flag says what
/// the kernel's object would take for something else.
fn judge_messages(p: &mut Assembler) {
    for (number, flags) in [(libc::SYS_sendto, SEND_FLAGS), (libc::SYS_recvfrom, RECEIVE_FLAGS)] {
        on_call(p, number, |p| {
            let judged = p.label();
            for half in [Field::ArgLow(4), Field::ArgHigh(4)] {
                let zero = p.label();
                p.load(half);
                p.if_equal(0, zero);
                p.verdict(Verdict::Notify);
                p.place(zero);
            }
            p.load(Field::ArgLow(3));
            p.if_any(flags as u32, judged);
            if number == libc::SYS_sendto {
                p.load(Field::ArgLow(2));
                p.if_equal(SHORT_REQUEST, judged);
            } else {
                // Who looks at all that he asks for waits for it; an AF_UNIX stream shows what is there.
                let looks = p.label();
                p.if_any(libc::MSG_PEEK as u32, looks);
                p.verdict(Verdict::Allow);
                p.place(looks);
                p.if_any(libc::MSG_WAITALL as u32, judged);
            }
            p.verdict(Verdict::Allow);
            p.place(judged);
            p.verdict(Verdict::Notify);
        });
    }
}

/// ioctl(2) with requests of sockets.
fn judge_socket_requests(p: &mut Assembler) {
    on_call(p, libc::SYS_ioctl, |p| {
        let (judged, native) = (p.label(), p.label());
        p.load(Field::ArgLow(1));
        for request in [libc::TIOCOUTQ as u32, SIOCGSTAMP_NEW, SIOCGSTAMPNS_NEW] {
            p.if_equal(request, judged);
        }
        p.if_at_least(SOCKET_IOCTLS.end, native);
        p.if_at_least(SOCKET_IOCTLS.start, judged);
        p.place(native);
        p.verdict(Verdict::Allow);
        p.place(judged);
        p.verdict(Verdict::Notify);
    });
}

/// prctl(2) where a program closes itself to others, and asks whether it is closed; where it `has_library`, filters of its own, too.
fn judge_own_calls(p: &mut Assembler, has_library: bool) {
    let dumpable = [libc::PR_SET_DUMPABLE, libc::PR_GET_DUMPABLE];
    let filters = has_library.then_some(libc::PR_SET_SECCOMP);
    judge_values(
        p,
        libc::SYS_prctl,
        0,
        dumpable.into_iter().chain(filters).map(|it| it as u32),
    );
    if has_library {
        judge_values(p, libc::SYS_seccomp, 0, [libc::SECCOMP_SET_MODE_FILTER]);
    }
}

/// socket(2) of the families that are ours, and of netlink where it is about the network.
fn judge_sockets(p: &mut Assembler, native_streams: &[i32]) {
    on_call(p, libc::SYS_socket, |p| {
        let (ours, native) = (p.label(), p.label());
        p.load(Field::ArgLow(0));
        let perhaps = p.label();
        for &family in native_streams {
            p.if_equal(family as u32, perhaps);
        }
        for family in FAMILIES {
            p.if_equal(family as u32, ours);
        }
        p.unless_equal(libc::AF_NETLINK as u32, native);
        p.load(Field::ArgLow(2));
        for protocol in NATIVE_NETLINK {
            p.if_equal(protocol as u32, native);
        }
        p.verdict(Verdict::Notify);
        p.place(perhaps);
        let stream = p.label();
        p.load(Field::ArgLow(1));
        for kind in STREAMS {
            p.if_equal(kind as u32, stream);
        }
        p.verdict(Verdict::Notify);
        p.place(stream);
        p.load(Field::ArgLow(2));
        for protocol in [0, libc::IPPROTO_TCP] {
            p.if_equal(protocol as u32, native);
        }
        p.place(ours);
        p.verdict(Verdict::Notify);
        p.place(native);
        p.verdict(Verdict::Allow);
    });
}

/// Opens for reading, whose paths only the supervisor can see.
fn judge_opens(p: &mut Assembler, token: Option<Token>) {
    for (number, flags) in [(libc::SYS_open, 1), (libc::SYS_openat, 2)] {
        on_call(p, number, |p| {
            let native = p.label();
            if number == libc::SYS_openat {
                pass_library(p, token);
            }
            p.load(Field::ArgLow(flags));
            p.if_any(!READING, native);
            p.verdict(Verdict::Notify);
            p.place(native);
            p.verdict(Verdict::Allow);
        });
    }
    // Its flags are in memory, out of a filter's sight.
    on_call(p, libc::SYS_openat2, |p| p.verdict(Verdict::Notify));
}

/// The other doors into the same kernel: i386 and x32 have numbers of their own, which the rules below do not know.
fn refuse_foreign_calls(p: &mut Assembler) {
    let refused = Verdict::Fail(libc::ENOSYS as u16);
    let (native, known) = (p.label(), p.label());
    p.load(Field::Arch);
    p.if_equal(ARCH_X86_64, native);
    // Refused too, once the supervisor has said why.
    p.verdict(Verdict::Notify);
    p.place(native);
    p.load(Field::Number);
    p.unless_at_least(X32_SYSCALL_BIT, known);
    p.verdict(refused);
    p.place(known);
}

/// A call is judged where the low half of this argument has one of the values.
fn judge_values(p: &mut Assembler, number: i64, argument: u8, values: impl IntoIterator<Item = u32>) {
    on_call(p, number, |p| {
        let judged = p.label();
        p.load(Field::ArgLow(argument));
        for value in values {
            p.if_equal(value, judged);
        }
        p.verdict(Verdict::Allow);
        p.place(judged);
        p.verdict(Verdict::Notify);
    });
}

/// Writes the rule of one call; the call's number is loaded before and after.
pub(crate) fn on_call(p: &mut Assembler, number: i64, rule: impl FnOnce(&mut Assembler)) {
    let other = p.label();
    p.unless_equal(number as u32, other);
    rule(p);
    p.place(other);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_filter_assembles_and_stays_small() {
        let asked = Asked {
            hostname: true,
            proc_net: false,
            native: Native {
                families: &[libc::AF_INET, libc::AF_INET6],
                listeners: true,
            },
            token: Some(Token {
                number: u64::MAX,
                of_sockets: true,
            }),
        };
        let program = program(None, asked);
        assert!(program.len() < 185, "{} instructions", program.len());
        let confined = super::program(
            Some(&Confinement { domain: None }),
            Asked {
                proc_net: true,
                native: Native {
                    families: &[],
                    listeners: false,
                },
                token: None,
                ..asked
            },
        );
        assert!(confined.len() < 230, "{} instructions", confined.len());
    }
}
