//! System calls that the process answers itself: a seccomp filter turns them into `SIGSYS` (`SECCOMP_RET_TRAP`, seccomp(2)), and the
//! handler puts the answer where the call's result would have been.
//!
//! For a library that was loaded into somebody else's process and must answer calls which that process makes directly on descriptors
//! of the library's. Only descriptors from a number on are looked at, so that nothing else in the process, and no program it
//! starts, notices; the library keeps its own up there ([`raise`]).

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::sync::OnceLock;

use crate::seccomp::{ARCH_X86_64, Assembler, Field, Verdict, install_everywhere};

/// In the sixth argument, which none of the trapped calls has: this call is to run.
const PASS: u64 = 0x7072_6973;

/// `getsockopt(2)` on one of the library's descriptors.
#[derive(Debug)]
pub struct OptionCall {
    /// The descriptor.
    pub fd: i32,
    /// `SOL_SOCKET`, `IPPROTO_TCP` …
    pub level: i32,
    /// The option.
    pub name: i32,
    /// Octets of room for the value.
    pub room: usize,
}

/// What the library answers. An error is an errno; `None`: the descriptor is not the library's, and the call runs.
pub trait Answers: Send + Sync {
    /// `getsockopt(2)`: the value, which is cut to the room.
    fn option(&self, call: &OptionCall) -> Option<Result<Vec<u8>, i32>>;
    /// `sendfile(2)` to `fd`: how much of these octets, read from the file, was taken.
    fn send(&self, fd: i32, octets: Vec<u8>) -> Option<Result<usize, i32>>;
}

static ANSWERS: OnceLock<Box<dyn Answers>> = OnceLock::new();

/// From now on `getsockopt` and `sendfile` on descriptors from `first` on are `answers`' to answer, in every thread.
///
/// Gives up gaining privileges by exec (`PR_SET_NO_NEW_PRIVS`) where the process may not filter itself otherwise. A second call changes
/// nothing.
pub fn install(first: i32, answers: Box<dyn Answers>) -> io::Result<()> {
    if ANSWERS.set(answers).is_err() {
        return Ok(());
    }
    // SAFETY: all zeros is a valid `sigaction`.
    let mut action: libc::sigaction = unsafe { core::mem::zeroed() };
    let handler: extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void) = on_trap;
    action.sa_sigaction = handler as libc::sighandler_t;
    action.sa_flags = libc::SA_SIGINFO | libc::SA_NODEFER;
    // SAFETY: the structure is initialised, and the handler has the signature that SA_SIGINFO asks for.
    crate::check(unsafe { libc::sigaction(libc::SIGSYS, &raw const action, core::ptr::null_mut()) })?;
    let program = filter(first);
    if install_everywhere(&program).is_ok() {
        return Ok(());
    }
    // SAFETY: no memory is involved.
    crate::check(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) })?;
    install_everywhere(&program)
}

fn filter(first: i32) -> crate::seccomp::Program {
    let mut program = Assembler::new();
    let (allow, look) = (program.label(), program.label());
    program.load(Field::Arch);
    program.unless_equal(ARCH_X86_64, allow);
    program.load(Field::Number);
    program.if_equal(libc::SYS_getsockopt as u32, look);
    program.unless_equal(libc::SYS_sendfile as u32, allow);
    program.place(look);
    program.load(Field::ArgLow(5));
    program.if_equal(PASS as u32, allow);
    program.load(Field::ArgLow(0));
    program.if_at_least(i32::MAX as u32, allow);
    program.unless_at_least(first as u32, allow);
    program.verdict(Verdict::Trap);
    program.place(allow);
    program.verdict(Verdict::Allow);
    program.finish()
}

/// A copy of a descriptor with a number not below `first`, closed on exec.
pub fn raise(fd: BorrowedFd<'_>, first: i32) -> io::Result<OwnedFd> {
    // SAFETY: no memory is involved; the new descriptor is ours.
    let raised = crate::check(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_DUPFD_CLOEXEC, first) })?;
    // SAFETY: fcntl has just made it, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(raised) })
}

/// The handler. It interrupts a call, not computation: the thread is between two instructions of libc's wrapper and holds no lock of
/// the allocator's or ours, so that allocating and locking here are as good as anywhere.
extern "C" fn on_trap(_signal: libc::c_int, _info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the kernel hands a `ucontext_t` to a handler with SA_SIGINFO, and nobody else uses it meanwhile.
    let registers = unsafe { &mut (*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs };
    let at = |index: libc::c_int| registers[index as usize] as u64;
    let args = [libc::REG_RDI, libc::REG_RSI, libc::REG_RDX, libc::REG_R10, libc::REG_R8].map(at);
    let number = at(libc::REG_RAX) as libc::c_long;
    let errno_before = crate::errno();
    let answer = ANSWERS.get().and_then(|answers| match number {
        libc::SYS_getsockopt => answer_option(answers.as_ref(), args),
        libc::SYS_sendfile => answer_send(answers.as_ref(), args),
        _ => None,
    });
    let result = answer.unwrap_or_else(|| pass(number, args));
    // SAFETY: errno's location is always valid for the calling thread.
    unsafe { *libc::__errno_location() = errno_before };
    registers[libc::REG_RAX as usize] = result;
}

/// Runs the call after all.
fn pass(number: libc::c_long, args: [u64; 5]) -> i64 {
    // SAFETY: exactly the call that the program made, with its own arguments.
    let result = unsafe { libc::syscall(number, args[0], args[1], args[2], args[3], args[4], PASS) };
    if result < 0 { -i64::from(crate::errno()) } else { result }
}

fn answer_option(answers: &dyn Answers, [fd, level, name, value, length]: [u64; 5]) -> Option<i64> {
    let length = length as *mut i32;
    if value == 0 || length.is_null() {
        return Some(-i64::from(libc::EFAULT));
    }
    let call = OptionCall {
        fd: fd as i32,
        level: level as i32,
        name: name as i32,
        // SAFETY: the program named this place as its `socklen_t`.
        room: unsafe { length.read_unaligned() }.max(0) as usize,
    };
    Some(match answers.option(&call)? {
        Err(errno) => -i64::from(errno),
        Ok(mut octets) => {
            octets.truncate(call.room);
            // SAFETY: the program gave `room` octets at `value` to be written, and its `socklen_t`.
            unsafe {
                core::ptr::copy_nonoverlapping(octets.as_ptr(), value as *mut u8, octets.len());
                length.write_unaligned(octets.len() as i32);
            }
            0
        }
    })
}

/// `sendfile(out, in, *offset, count)`: reads from the file and hands over; the offset moves by what was taken.
fn answer_send(answers: &dyn Answers, [out, file, offset, count, _]: [u64; 5]) -> Option<i64> {
    /// Linux's `MAX_RW_COUNT` is two gigabytes; nobody needs more than this at once of us.
    const ROOM: usize = 1 << 20;
    let offset = offset as *mut i64;
    let mut octets = vec![0_u8; (count as usize).min(ROOM)];
    // SAFETY: the kernel writes at most the buffer's length; the program named `offset` as its `off_t`, if it named one.
    let read = unsafe {
        if offset.is_null() {
            libc::read(file as i32, octets.as_mut_ptr().cast(), octets.len())
        } else {
            libc::pread(
                file as i32,
                octets.as_mut_ptr().cast(),
                octets.len(),
                offset.read_unaligned(),
            )
        }
    };
    if read < 0 {
        return Some(-i64::from(crate::errno()));
    }
    octets.truncate(read as usize);
    Some(match answers.send(out as i32, octets)? {
        Err(errno) => -i64::from(errno),
        Ok(taken) => {
            if !offset.is_null() {
                // SAFETY: as above.
                unsafe { offset.write_unaligned(offset.read_unaligned() + taken as i64) };
            }
            taken as i64
        }
    })
}
