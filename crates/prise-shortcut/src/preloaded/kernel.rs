//! System calls, and memory that may not be there: what there is without a C library.

use core::arch::{asm, global_asm};

pub(crate) const CLOSE: usize = 3;
pub(crate) const RT_SIGACTION: usize = 13;
pub(crate) const RT_SIGPROCMASK: usize = 14;
pub(crate) const PREAD64: usize = 17;
const MADVISE: usize = 28;
pub(crate) const CONNECT: usize = 42;
pub(crate) const ACCEPT: usize = 43;
pub(crate) const GETPEERNAME: usize = 52;
pub(crate) const GETSOCKOPT: usize = 55;
pub(crate) const EXECVE: usize = 59;
pub(crate) const WAIT4: usize = 61;
pub(crate) const KILL: usize = 62;
pub(crate) const FCNTL: usize = 72;
pub(crate) const GETUID: usize = 102;
pub(crate) const GETGID: usize = 104;
pub(crate) const GETEUID: usize = 107;
pub(crate) const GETEGID: usize = 108;
pub(crate) const CAPGET: usize = 125;
pub(crate) const SIGALTSTACK: usize = 131;
pub(crate) const PRCTL: usize = 157;
pub(crate) const FUTEX: usize = 202;
pub(crate) const OPENAT: usize = 257;
pub(crate) const NEWFSTATAT: usize = 262;
pub(crate) const FACCESSAT: usize = 269;
pub(crate) const ACCEPT4: usize = 288;
pub(crate) const EXECVEAT: usize = 322;

/// linux/fcntl.h.
pub(crate) const AT_FDCWD: usize = -100_isize as usize;

pub(crate) const EINTR: isize = -4;
pub(crate) const E2BIG: isize = -7;
pub(crate) const EINVAL: isize = -22;
pub(crate) const ENOSYS: isize = -38;
pub(crate) const EAFNOSUPPORT: isize = -97;
pub(crate) const EISCONN: isize = -106;
pub(crate) const EALREADY: isize = -114;
pub(crate) const EINPROGRESS: isize = -115;

/// asm-generic/mman-common.h.
pub(crate) const MADV_POPULATE_READ: usize = 22;
pub(crate) const MADV_POPULATE_WRITE: usize = 23;
pub(crate) const PAGE: usize = 4096;

/// So far above the stack's end lies nothing but the stack.
const NEAR: usize = 4 * PAGE;

// Weak, and without a version: the oldest that the program's C library has, or 0.
global_asm!(
    ".weak __errno_location",
    ".weak pthread_setcanceltype",
    ".weak __libc_single_threaded",
    ".weak environ",
    ".weak abort",
    ".weak gnu_get_libc_version",
    ".weak _pthread_cleanup_push",
    ".weak _pthread_cleanup_pop",
);

/// The address of a symbol of the program's; 0 if it has none.
macro_rules! symbol {
    ($name:literal) => {{
        let address: usize;
        // SAFETY: an entry of the global offset table is read, which the dynamic linker has filled.
        unsafe { core::arch::asm!(concat!("mov {0}, [rip + ", $name, "@GOTPCREL]"), out(reg) address, options(nostack, readonly, preserves_flags)) };
        address
    }};
}
pub(crate) use symbol;

/// A system call, by whatever its arguments mean.
///
/// # Safety
///
/// That of the call.
pub(crate) unsafe fn call(number: usize, arguments: [usize; 6]) -> isize {
    let [one, two, three, four, five, six] = arguments;
    let result: isize;
    // SAFETY: the kernel changes rcx and r11 besides the result, and memory as the caller has promised.
    unsafe {
        asm!("syscall", inlateout("rax") number => result, in("rdi") one, in("rsi") two, in("rdx") three, in("r10") four, in("r8") five, in("r9") six,
            lateout("rcx") _, lateout("r11") _, options(nostack));
    }
    result
}

/// A call at which `pthread_cancel(3)` ends a thread, as it does at the C library's.
///
/// # Safety
///
/// As the call.
pub(crate) unsafe fn call_cancellably(number: usize, arguments: [usize; 6]) -> isize {
    const ASYNCHRONOUS: i32 = 1;
    let (single, set_type) = (symbol!("__libc_single_threaded"), symbol!("pthread_setcanceltype"));
    // SAFETY: a live octet of the C library's.
    let is_alone = single != 0 && unsafe { core::ptr::read_volatile(single as *const u8) } != 0;
    if is_alone || set_type == 0 {
        // SAFETY: as promised.
        return unsafe { call(number, arguments) };
    }
    let mut before = 0;
    // SAFETY: the C library's function; its second argument is a live integer.
    unsafe {
        let set_type = core::mem::transmute::<usize, extern "C" fn(i32, *mut i32) -> i32>(set_type);
        set_type(ASYNCHRONOUS, &raw mut before);
        let result = call(number, arguments);
        set_type(before, &raw mut before);
        result
    }
}

/// What a function of the C library's says for a system call's result.
pub(crate) fn told(result: isize) -> i32 {
    if result >= 0 {
        return result as i32;
    }
    let place = symbol!("__errno_location");
    if place != 0 {
        // SAFETY: the C library's function, which gives the place of the thread's errno.
        unsafe { *core::mem::transmute::<usize, extern "C" fn() -> *mut i32>(place)() = -result as i32 };
    }
    -1
}

/// Copies octets one by one: not even memcpy(3) is there in every program.
///
/// # Safety
///
/// As `core::ptr::copy_nonoverlapping`.
pub(crate) unsafe fn copy(from: *const u8, to: *mut u8, octets: usize) {
    for at in 0..octets {
        // SAFETY: as promised.
        unsafe { to.add(at).write_volatile(from.add(at).read_volatile()) };
    }
}

/// Whether something lies on the stack, above a variable of ours.
pub(crate) fn is_near(start: usize, here: usize) -> bool {
    start.wrapping_sub(here) < NEAR
}

/// Whether memory can be read or written, as `advice` says: who passes a bad pointer is told `EFAULT`, by the kernel.
pub(crate) fn is_present(start: usize, len: usize, advice: usize) -> bool {
    let page = start & !(PAGE - 1);
    let Some(end) = start.checked_add(len).filter(|end| *end < usize::MAX - PAGE) else {
        return false;
    };
    let pages = (end - page).next_multiple_of(PAGE);
    // SAFETY: pages are made present, as by reading or writing them.
    unsafe { call(MADVISE, [page, pages, advice, 0, 0, 0]) == 0 }
}
