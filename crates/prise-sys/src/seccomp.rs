//! seccomp(2): a filter that decides by the numbers of a call, and the listener that answers the calls it sets aside
//! (seccomp_unotify(2)).
//!
//! [`Assembler`] writes the classic BPF program; nothing in it can loop or look at memory. [`Listener`] is the
//! descriptor on which the judged calls of all filtered tasks arrive.

use core::mem::zeroed;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// Octet offsets within `struct seccomp_data`: what a filter can look at.
const NR_OFFSET: u32 = 0;
const ARCH_OFFSET: u32 = 4;
const ARGS_OFFSET: u32 = 16;

/// `AUDIT_ARCH_X86_64`, linux/audit.h: `EM_X86_64 | __AUDIT_ARCH_64BIT | __AUDIT_ARCH_LE`.
pub const ARCH_X86_64: u32 = 0x3e | 0x8000_0000 | 0x4000_0000;

/// A longer program is refused by the kernel (`BPF_MAXINSNS`, linux/bpf_common.h).
const INSTRUCTIONS_MAX: usize = 4096;

/// What becomes of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It runs as if there were no filter.
    Allow,
    /// It fails with this errno without running.
    Fail(u16),
    /// The listener decides.
    Notify,
    /// It does not run; its thread gets `SIGSYS` instead ([`crate::trap`]).
    Trap,
}

impl Verdict {
    fn raw(self) -> u32 {
        match self {
            Self::Allow => libc::SECCOMP_RET_ALLOW,
            Self::Fail(errno) => libc::SECCOMP_RET_ERRNO | u32::from(errno),
            Self::Notify => libc::SECCOMP_RET_USER_NOTIF,
            Self::Trap => libc::SECCOMP_RET_TRAP,
        }
    }
}

/// What a filter can load into the accumulator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// The architecture of the call (`AUDIT_ARCH_*`).
    Arch,
    /// The system call's number.
    Number,
    /// The lower half of an argument, 0 to 5.
    ArgLow(u8),
    /// The upper half of an argument, 0 to 5.
    ArgHigh(u8),
}

impl Field {
    fn offset(self) -> u32 {
        match self {
            Self::Number => NR_OFFSET,
            Self::Arch => ARCH_OFFSET,
            Self::ArgLow(index) => ARGS_OFFSET + u32::from(index) * 8,
            Self::ArgHigh(index) => ARGS_OFFSET + u32::from(index) * 8 + 4,
        }
    }
}

/// A place in the program that jumps lead to; always ahead of the jump, as BPF demands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Label(usize);

/// Writes a filter, instruction by instruction.
///
/// ```
/// use prise_sys::seccomp::{Assembler, Field, Verdict};
/// let mut program = Assembler::new();
/// let other = program.label();
/// program.load(Field::Number);
/// program.unless_equal(41, other);
/// program.verdict(Verdict::Notify);
/// program.place(other);
/// program.verdict(Verdict::Allow);
/// assert_eq!(program.finish().len(), 4);
/// ```
#[derive(Debug, Default)]
pub struct Assembler {
    code: Vec<libc::sock_filter>,
    /// Where each label was placed.
    labels: Vec<Option<usize>>,
    /// Jumps whose target was not known when they were written: instruction, label, which arm.
    jumps: Vec<(usize, Label, Arm)>,
}

#[derive(Debug, Clone, Copy)]
enum Arm {
    True,
    False,
}

/// A finished filter.
#[derive(Debug, Clone)]
pub struct Program(Vec<libc::sock_filter>);

impl Program {
    /// How many instructions it has.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether it has none; [`Assembler::finish`] never makes such a one.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Assembler {
    /// An empty program.
    pub fn new() -> Self {
        Self::default()
    }

    /// A new label, to be placed later.
    pub fn label(&mut self) -> Label {
        self.labels.push(None);
        Label(self.labels.len() - 1)
    }

    /// The next instruction is where `label` leads.
    pub fn place(&mut self, label: Label) {
        assert!(self.labels[label.0].is_none(), "a label has one place");
        self.labels[label.0] = Some(self.code.len());
    }

    /// Loads a field for the comparisons that follow.
    pub fn load(&mut self, field: Field) {
        self.push(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, field.offset());
    }

    /// Goes on when the loaded field equals `value`, else at `label`.
    pub fn unless_equal(&mut self, value: u32, label: Label) {
        self.jump(libc::BPF_JEQ, value, label, Arm::False);
    }

    /// Goes on at `label` when the loaded field equals `value`.
    pub fn if_equal(&mut self, value: u32, label: Label) {
        self.jump(libc::BPF_JEQ, value, label, Arm::True);
    }

    /// Goes on at `label` when the loaded field has any of the bits of `value`.
    pub fn if_any(&mut self, value: u32, label: Label) {
        self.jump(libc::BPF_JSET, value, label, Arm::True);
    }

    /// Goes on at `label` when the loaded field, unsigned, is `value` or more.
    pub fn if_at_least(&mut self, value: u32, label: Label) {
        self.jump(libc::BPF_JGE, value, label, Arm::True);
    }

    /// Goes on when the loaded field, unsigned, is `value` or more, else at `label`.
    pub fn unless_at_least(&mut self, value: u32, label: Label) {
        self.jump(libc::BPF_JGE, value, label, Arm::False);
    }

    /// Ends with a verdict.
    pub fn verdict(&mut self, verdict: Verdict) {
        self.push(libc::BPF_RET | libc::BPF_K, verdict.raw());
    }

    /// Resolves the jumps.
    ///
    /// # Panics
    /// When a label was never placed, a jump is longer than 255 instructions, or the program too long: mistakes of the
    /// filter's author that no input can cause.
    pub fn finish(mut self) -> Program {
        for (at, label, arm) in self.jumps {
            let target = self.labels[label.0].expect("every label is placed");
            let distance = u8::try_from(target - at - 1).expect("a conditional jump reaches 255 instructions");
            match arm {
                Arm::True => self.code[at].jt = distance,
                Arm::False => self.code[at].jf = distance,
            }
        }
        assert!(!self.code.is_empty() && self.code.len() <= INSTRUCTIONS_MAX);
        Program(self.code)
    }

    fn jump(&mut self, comparison: u32, value: u32, label: Label, arm: Arm) {
        self.jumps.push((self.code.len(), label, arm));
        self.push(libc::BPF_JMP | comparison | libc::BPF_K, value);
    }

    fn push(&mut self, code: u32, k: u32) {
        self.code.push(libc::sock_filter {
            code: code as u16,
            jt: 0,
            jf: 0,
            k,
        });
    }
}

/// Installs the filter on the calling thread and gives the number of its listener.
///
/// Called between fork and exec: allocates nothing and takes no lock. The error is an errno.
pub(crate) fn install(program: &Program) -> Result<i32, i32> {
    let header = libc::sock_fprog {
        len: program.0.len() as u16,
        filter: program.0.as_ptr().cast_mut(),
    };
    let flags = libc::SECCOMP_FILTER_FLAG_NEW_LISTENER | libc::SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
    // SAFETY: `header` describes the live instructions of `program`, which the kernel copies and does not change.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            flags,
            &raw const header,
        )
    };
    if fd < 0 { Err(crate::errno()) } else { Ok(fd as i32) }
}

/// Installs a filter without a listener on every thread of the process.
///
/// `EACCES` if the process may neither filter itself nor has given up gaining privileges.
pub(crate) fn install_everywhere(program: &Program) -> io::Result<()> {
    let header = libc::sock_fprog {
        len: program.0.len() as u16,
        filter: program.0.as_ptr().cast_mut(),
    };
    // SAFETY: `header` describes the live instructions of `program`, which the kernel copies and does not change.
    let result = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            libc::SECCOMP_FILTER_FLAG_TSYNC,
            &raw const header,
        )
    };
    match result {
        0 => Ok(()),
        ..0 => Err(io::Error::last_os_error()),
        thread => Err(io::Error::other(format!("thread {thread} has a filter of its own"))),
    }
}

/// A call that waits for an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Notification {
    /// Names the call until it is answered or its thread is gone.
    pub id: u64,
    /// The thread that calls, in the listener's PID namespace.
    pub tid: u32,
    /// The architecture whose call it is (`AUDIT_ARCH_*`).
    pub arch: u32,
    /// The system call's number.
    pub number: i32,
    /// Its arguments, as they stand in the registers.
    pub args: [u64; 6],
}

/// The descriptor on which judged calls arrive.
#[derive(Debug)]
pub struct Listener(OwnedFd);

impl Listener {
    /// Takes over a descriptor that [`crate::launch`] received from the filtered child.
    pub(crate) fn new(fd: OwnedFd) -> Self {
        Self(fd)
    }

    /// Waits for the next call. `None`: its thread was killed meanwhile, or a signal came to the caller.
    ///
    /// Blocks when nothing is pending, whatever the descriptor's flags: look with epoll(7) first.
    pub fn receive(&self) -> io::Result<Option<Notification>> {
        // SAFETY: the structure holds integers only; all zeros is what the kernel demands of it.
        let mut raw: libc::seccomp_notif = unsafe { zeroed() };
        // SAFETY: the kernel fills the structure, whose size the request's number carries.
        let result = unsafe { libc::ioctl(self.0.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_RECV, &raw mut raw) };
        if result < 0 {
            return match crate::errno() {
                libc::ENOENT | libc::EINTR => Ok(None),
                errno => Err(io::Error::from_raw_os_error(errno)),
            };
        }
        Ok(Some(Notification {
            id: raw.id,
            tid: raw.pid,
            arch: raw.data.arch,
            number: raw.data.nr,
            args: raw.data.args,
        }))
    }

    /// The call returns `value`. An error (`ENOENT`) means that its thread is gone.
    pub fn succeed(&self, id: u64, value: i64) -> io::Result<()> {
        self.send(id, value, 0, 0)
    }

    /// The call fails with `errno`; 512 (`ERESTARTSYS`) only while a signal is pending for its thread.
    pub fn fail(&self, id: u64, errno: i32) -> io::Result<()> {
        self.send(id, 0, -errno, 0)
    }

    /// The call runs natively, with its registers as they are.
    pub fn proceed(&self, id: u64) -> io::Result<()> {
        self.send(id, 0, 0, libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE as u32)
    }

    /// Installs a copy of `fd` in the caller's descriptor table and answers with its number, in one step.
    /// `EMFILE`: the caller's table is full, and the call still waits.
    pub fn install(&self, id: u64, fd: BorrowedFd<'_>, close_on_exec: bool) -> io::Result<i32> {
        let request = libc::seccomp_notif_addfd {
            id,
            flags: libc::SECCOMP_ADDFD_FLAG_SEND as u32,
            srcfd: fd.as_raw_fd() as u32,
            newfd: 0,
            newfd_flags: if close_on_exec { libc::O_CLOEXEC as u32 } else { 0 },
        };
        // SAFETY: the kernel reads the structure, whose size the request's number carries.
        crate::check(unsafe { libc::ioctl(self.0.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_ADDFD, &raw const request) })
    }

    /// Puts a copy of `fd` in the place of the caller's descriptor `target`; the call still waits.
    pub fn replace(&self, id: u64, fd: BorrowedFd<'_>, target: i32, close_on_exec: bool) -> io::Result<()> {
        let request = libc::seccomp_notif_addfd {
            id,
            flags: libc::SECCOMP_ADDFD_FLAG_SETFD as u32,
            srcfd: fd.as_raw_fd() as u32,
            newfd: target as u32,
            newfd_flags: if close_on_exec { libc::O_CLOEXEC as u32 } else { 0 },
        };
        // SAFETY: the kernel reads the structure, whose size the request's number carries.
        crate::check(unsafe { libc::ioctl(self.0.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_ADDFD, &raw const request) })
            .map(drop)
    }

    /// Whether the call still waits.
    pub fn is_waiting(&self, id: u64) -> bool {
        // SAFETY: the kernel reads one integer.
        unsafe { libc::ioctl(self.0.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_ID_VALID, &raw const id) == 0 }
    }

    /// Whether a call wakes the listener, and the answer the caller, on the processor of who wakes (Linux 6.6): where one caller and the
    /// listener hand over to each other, an unpinned round trip costs four times as much without.
    pub fn wake_on_same_processor(&self, wish: bool) -> io::Result<()> {
        const SYNC_WAKE_UP: libc::c_ulong = 1;
        let flags = if wish { SYNC_WAKE_UP } else { 0 };
        // SAFETY: the flags travel by value.
        crate::check(unsafe { libc::ioctl(self.0.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_SET_FLAGS, flags) }).map(drop)
    }

    fn send(&self, id: u64, val: i64, error: i32, flags: u32) -> io::Result<()> {
        let response = libc::seccomp_notif_resp { id, val, error, flags };
        // SAFETY: the kernel reads the structure, whose size the request's number carries.
        crate::check(unsafe { libc::ioctl(self.0.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_SEND, &raw const response) })
            .map(drop)
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jumps_lead_to_their_labels() {
        let mut assembler = Assembler::new();
        let (notify, allow) = (assembler.label(), assembler.label());
        assembler.load(Field::Number);
        assembler.if_equal(7, notify);
        assembler.unless_equal(8, allow);
        assembler.place(notify);
        assembler.verdict(Verdict::Notify);
        assembler.place(allow);
        assembler.verdict(Verdict::Allow);
        let program = assembler.finish();
        let arms: Vec<_> = program.0.iter().map(|i| (i.jt, i.jf)).collect();
        assert_eq!(arms, [(0, 0), (1, 0), (0, 1), (0, 0), (0, 0)]);
    }

    #[test]
    fn halves_of_arguments_lie_where_seccomp_data_has_them() {
        assert_eq!(Field::ArgLow(0).offset(), 16);
        assert_eq!(Field::ArgHigh(4).offset(), 52);
    }
}
