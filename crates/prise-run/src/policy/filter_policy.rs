//! The rules that a policy adds to the filter of every guest: what could carry octets past the supervisor, or have a
//! process beyond the run do so, is refused. See docs/security.md, which names each.

use prise_sys::seccomp::{Assembler, Field, Verdict};

use crate::start::filter::on_call;

/// Families whose sockets are ours, or reach nobody but the kernel and the run's own processes. All others are refused:
/// each is a network of its own (vsock, Bluetooth, TIPC, XDP …).
const FAMILIES: [i32; 6] = [
    libc::AF_UNIX,
    libc::AF_INET,
    libc::AF_INET6,
    libc::AF_NETLINK,
    libc::AF_PACKET,
    libc::AF_ALG,
];

/// Calls that are refused outright, and why they would be ways out.
const REFUSED: [(i64, i32); 6] = [
    // An inherited or received ring would do everything.
    (libc::SYS_io_uring_enter, libc::ENOSYS),
    (libc::SYS_io_uring_register, libc::ENOSYS),
    // The kernel asks a program of the host for what a key names: "dns_resolver" keys are lookups.
    (libc::SYS_add_key, libc::EPERM),
    (libc::SYS_request_key, libc::EPERM),
    (libc::SYS_keyctl, libc::EPERM),
    // Programs of the kernel's that see every socket.
    (libc::SYS_bpf, libc::EPERM),
];

/// Calls that look into another process, refused where no Landlock domain confines them to the run.
const TRACING: [i64; 5] = [
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_pidfd_getfd,
    libc::SYS_kcmp,
];

/// Requests that type into the user's terminal: a shell beyond the run would read it (ioctl_tty(2)).
const TYPING: [u32; 2] = [libc::TIOCSTI as u32, libc::TIOCLINUX as u32];

/// Writes the rules. `may_trace`: a domain keeps the guests' tracing within the run.
pub(crate) fn write(p: &mut Assembler, may_trace: bool) {
    for (number, errno) in REFUSED {
        on_call(p, number, |p| p.verdict(Verdict::Fail(errno as u16)));
    }
    if !may_trace {
        for number in TRACING {
            on_call(p, number, |p| p.verdict(Verdict::Fail(libc::EPERM as u16)));
        }
    }
    only_families(p, libc::SYS_socket, &FAMILIES);
    only_families(p, libc::SYS_socketpair, &[libc::AF_UNIX]);
    let (other, refused) = (p.label(), p.label());
    p.load(Field::Number);
    p.unless_equal(libc::SYS_ioctl as u32, other);
    p.load(Field::ArgLow(1));
    for request in TYPING {
        p.if_equal(request, refused);
    }
    let done = p.label();
    p.load(Field::Number);
    p.if_equal(libc::SYS_ioctl as u32, done);
    p.place(refused);
    p.verdict(Verdict::Fail(libc::EPERM as u16));
    p.place(other);
    p.place(done);
    p.load(Field::Number);
}

/// Refuses the call for every family but these, and goes on with the rules that follow for these.
fn only_families(p: &mut Assembler, number: i64, families: &[i32]) {
    let (other, known) = (p.label(), p.label());
    p.load(Field::Number);
    p.unless_equal(number as u32, other);
    p.load(Field::ArgLow(0));
    for &family in families {
        p.if_equal(family as u32, known);
    }
    p.verdict(Verdict::Fail(libc::EAFNOSUPPORT as u16));
    p.place(known);
    p.place(other);
    p.load(Field::Number);
}
