//! What is preloaded into a program: a connect(2) that makes connections which leave the run at once, and lets all others be judged as if it
//! were not there.
//!
//! The supervisor would do the same with a copy of the descriptor ([`prise-run`'s `handed::noted`]): name the endpoint as the host does, let the kernel
//! connect, and mark the object as one that leaves the run. Two changes of processes and most of fifteen system calls are saved. Whatever is not plainly so – another family,
//! a socket that was judged before, a network name space of the program's own, a bad pointer – goes the long way, by the same call without a token.
//!
//! It has no state but its chart, allocates nothing, and depends on no library: the C library's symbols are the program's, taken weakly.

#![cfg_attr(freestanding, no_std)]
// A loop that looks like strlen(3) must not become a call of it: a program may be without the C library.
#![cfg_attr(freestanding, no_builtins)]
#![allow(unsafe_code, reason = "it is a C interface and makes system calls")]

#[path = "chart.rs"]
#[allow(
    dead_code,
    unreachable_pub,
    reason = "the supervisor uses the rest of it, from the other crate"
)]
mod chart;

use chart::{Chart, Octets, PATH_MAX, V4_LEN, V6_LEN};
use core::arch::{asm, global_asm};

const FCNTL: usize = 72;
const CONNECT: usize = 42;
const GETSOCKOPT: usize = 55;
const CLOSE: usize = 3;
const MADVISE: usize = 28;

/// linux/fcntl.h.
const F_GET_RW_HINT: usize = 1035;
const F_SET_RW_HINT: usize = 1036;
const SOL_SOCKET: usize = 1;
const SO_NETNS_COOKIE: usize = 71;
const MADV_POPULATE_READ: usize = 22;
const PAGE: usize = 4096;

/// The mark of a connection that leaves the run (`handed::marked`), and that of an object whose connect(2) has failed here.
const OUTSIDE: u64 = 5;
const FAILED: u64 = 3;

const EINTR: isize = -4;
const EINVAL: isize = -22;
const EAFNOSUPPORT: isize = -97;
const EALREADY: isize = -114;
const EINPROGRESS: isize = -115;

/// Octets of `struct sockaddr_storage`: more are `EINVAL`.
const ADDRESS_MAX: usize = 128;

/// `AT_IGNORE` (elf.h): the entry of the auxiliary vector that says nothing.
const IGNORE: usize = 1;

/// So far above the stack's end lies nothing but the stack.
const NEAR: usize = 4 * PAGE;

/// Found and written by the supervisor, in the library's file.
#[used]
#[unsafe(link_section = ".prise")]
static CHART: Chart = Chart::NONE;

/// Called by the dynamic linker when the program has been loaded (ELF's `DT_INIT_ARRAY`; glibc passes what main gets).
#[used]
#[unsafe(link_section = ".init_array")]
static BEGIN: unsafe extern "C" fn(i32, *const *mut u8, *mut *mut u8) = begin;

// Weak, and without a version: the oldest that the program's C library has, or 0.
global_asm!(
    ".weak __errno_location",
    ".weak pthread_setcanceltype",
    ".weak __libc_single_threaded",
);

/// The address of a symbol of the program's; 0 if it has none.
macro_rules! symbol {
    ($name:literal) => {{
        let address: usize;
        // SAFETY: an entry of the global offset table is read, which the dynamic linker has filled.
        unsafe { asm!(concat!("mov {0}, [rip + ", $name, "@GOTPCREL]"), out(reg) address, options(nostack, readonly, preserves_flags)) };
        address
    }};
}

/// The chart as the supervisor has written it, of which the compiler knows nothing.
fn chart() -> &'static Chart {
    let chart: *const Chart;
    // SAFETY: the address of a static is taken.
    unsafe { asm!("lea {0}, [rip + {1}]", out(reg) chart, sym CHART, options(nostack, nomem, preserves_flags)) };
    // SAFETY: it is CHART's.
    unsafe { &*chart }
}

/// A system call, by whatever its arguments mean.
///
/// # Safety
///
/// That of the call.
unsafe fn call(number: usize, arguments: [usize; 6]) -> isize {
    let [one, two, three, four, five, six] = arguments;
    let result: isize;
    // SAFETY: the kernel changes rcx and r11 besides the result, and memory as the caller has promised.
    unsafe {
        asm!("syscall", inlateout("rax") number => result, in("rdi") one, in("rsi") two, in("rdx") three, in("r10") four, in("r8") five, in("r9") six,
            lateout("rcx") _, lateout("r11") _, options(nostack));
    }
    result
}

/// connect(2).
///
/// # Safety
///
/// As connect(2), which may be told of any memory.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn connect(socket: i32, address: *const u8, len: u32) -> i32 {
    // SAFETY: `leave` looks at the memory before it reads it; the kernel looks for itself.
    let result = unsafe {
        match leave(socket, address, len) {
            Some(result) => result,
            None => connect_cancellably(socket, address, len, 0),
        }
    };
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

/// Makes a connection that leaves the run; none if it is not for us to make.
///
/// # Safety
///
/// None but that of reading what is readable.
unsafe fn leave(socket: i32, address: *const u8, len: u32) -> Option<isize> {
    let chart = chart();
    // SAFETY: a live integer, which the supervisor may change in the file.
    if unsafe { core::ptr::read_volatile(&raw const chart.open) } == 0 {
        return None;
    }
    // SAFETY: as promised.
    let (to, to_len) = chart.way(&unsafe { read(address, len as usize) }?, len as usize)?;
    let socket_number = socket as usize;
    if hint(socket_number) != Some(0) || name_space(socket_number, chart.token) != Some(chart.home) {
        return None;
    }
    // Before the connection stands: nobody may take it for one from beyond the run. Another user's object cannot be marked.
    if !set_hint(socket_number, OUTSIDE) {
        return None;
    }
    // SAFETY: the address is ours.
    let result = unsafe { connect_cancellably(socket, to.as_ptr(), to_len as u32, chart.token as usize) };
    match result {
        0.. | EINPROGRESS | EALREADY | EINTR => Some(result),
        EINVAL | EAFNOSUPPORT => {
            set_hint(socket_number, 0);
            // Perhaps the object is no stream, or of another family: the supervisor says that as Linux does.
            None
        }
        _ => {
            set_hint(socket_number, FAILED);
            Some(result)
        }
    }
}

/// The address that connect(2) was told, if it can be read.
///
/// # Safety
///
/// Nobody takes the memory away meanwhile.
unsafe fn read(address: *const u8, len: usize) -> Option<Octets> {
    if !(V4_LEN..=ADDRESS_MAX).contains(&len) {
        return None;
    }
    let mut octets = [0; V6_LEN];
    let here = (&raw const octets) as usize;
    let start = address as usize;
    if start.wrapping_sub(here) >= NEAR && !is_readable(start, len) {
        return None;
    }
    // Of sizes that the compiler knows: a call of memcpy(3) might lead nowhere.
    // SAFETY: both are memory of so many octets, the one just looked at.
    unsafe {
        if len >= V6_LEN {
            octets = address.cast::<Octets>().read();
        } else {
            let v4 = address.cast::<[u8; V4_LEN]>().read();
            octets[..V4_LEN].copy_from_slice(&v4);
        }
    }
    Some(octets)
}

/// Whether memory can be read: who passes a bad pointer is told `EFAULT`, by the kernel.
fn is_readable(start: usize, len: usize) -> bool {
    let page = start & !(PAGE - 1);
    let Some(end) = start.checked_add(len) else {
        return false;
    };
    let pages = (end - page).next_multiple_of(PAGE);
    // SAFETY: pages are made present, as by reading them.
    unsafe { call(MADVISE, [page, pages, MADV_POPULATE_READ, 0, 0, 0]) == 0 }
}

fn hint(socket: usize) -> Option<u64> {
    let mut hint = 0u64;
    // SAFETY: the kernel writes one integer.
    let result = unsafe { call(FCNTL, [socket, F_GET_RW_HINT, (&raw mut hint) as usize, 0, 0, 0]) };
    (result == 0).then_some(hint)
}

fn set_hint(socket: usize, hint: u64) -> bool {
    // SAFETY: the kernel reads one integer.
    unsafe { call(FCNTL, [socket, F_SET_RW_HINT, (&raw const hint) as usize, 0, 0, 0]) == 0 }
}

fn name_space(socket: usize, token: u64) -> Option<u64> {
    let mut cookie = 0u64;
    let mut len = 8u32;
    let (value, value_len) = ((&raw mut cookie) as usize, (&raw mut len) as usize);
    // SAFETY: the kernel writes eight octets and their number.
    let result = unsafe {
        call(
            GETSOCKOPT,
            [socket, SOL_SOCKET, SO_NETNS_COOKIE, value, value_len, token as usize],
        )
    };
    (result == 0).then_some(cookie)
}

/// connect(2) at which `pthread_cancel(3)` ends a thread, as it does at the C library's.
///
/// # Safety
///
/// As connect(2).
unsafe fn connect_cancellably(socket: i32, address: *const u8, len: u32, token: usize) -> isize {
    const ASYNCHRONOUS: i32 = 1;
    let arguments = [socket as usize, address as usize, len as usize, 0, 0, token];
    let (single, set_type) = (symbol!("__libc_single_threaded"), symbol!("pthread_setcanceltype"));
    // SAFETY: a live octet of the C library's.
    let is_alone = single != 0 && unsafe { core::ptr::read_volatile(single as *const u8) } != 0;
    if is_alone || set_type == 0 {
        // SAFETY: as promised.
        return unsafe { call(CONNECT, arguments) };
    }
    let mut before = 0;
    // SAFETY: the C library's function; its second argument is a live integer.
    unsafe {
        let set_type = core::mem::transmute::<usize, extern "C" fn(i32, *mut i32) -> i32>(set_type);
        set_type(ASYNCHRONOUS, &raw mut before);
        let result = call(CONNECT, arguments);
        set_type(before, &raw mut before);
        result
    }
}

/// Takes out of the program's sight what has led the dynamic linker here: the variable, which stands last, and the descriptor.
///
/// Some look for the auxiliary vector behind the environment's end. Where that moves, by the variable and an empty one behind it, the two words left
/// over become an entry of the vector that says nothing.
///
/// # Safety
///
/// `variables` is the program's environment, a list of strings that ends with a null pointer.
unsafe extern "C" fn begin(_count: i32, _arguments: *const *mut u8, variables: *mut *mut u8) {
    let chart = chart();
    if chart.descriptor < 0 || variables.is_null() {
        return;
    }
    // SAFETY: as promised.
    unsafe {
        let mut count = 0;
        while !(*variables.add(count)).is_null() {
            count += 1;
        }
        let is_alone = count >= 2 && **variables.add(count - 1) == 0;
        if let Some(at) = count.checked_sub(1 + usize::from(is_alone)) {
            hide(*variables.add(at), &chart.path);
            if is_alone {
                *variables.add(at) = core::ptr::null_mut();
                *variables.add(at + 1).cast::<usize>() = IGNORE;
            }
        }
        call(CLOSE, [chart.descriptor as usize, 0, 0, 0, 0, 0]);
    }
}

/// Takes the library out of `LD_PRELOAD`.
///
/// # Safety
///
/// `variable` is a string that ends with a zero and may be changed.
unsafe fn hide(variable: *mut u8, path: &[u8; PATH_MAX]) {
    const NAME: &[u8] = b"LD_PRELOAD=";
    // SAFETY: as promised; no octet behind the string's end is looked at.
    unsafe {
        for (at, octet) in NAME.iter().enumerate() {
            if *variable.add(at) != *octet {
                return;
            }
        }
        let mut len = NAME.len();
        while *variable.add(len) != 0 {
            len += 1;
        }
        let path_len = path.iter().position(|it| *it == 0).unwrap_or(PATH_MAX);
        let Some(mut begin) = len.checked_sub(path_len).filter(|it| *it >= NAME.len()) else {
            return;
        };
        for (at, octet) in path[..path_len].iter().enumerate() {
            if *variable.add(begin + at) != *octet {
                return;
            }
        }
        // With the colon before it, or the whole variable.
        begin = if begin == NAME.len() { 0 } else { begin - 1 };
        for at in begin..len {
            // Octet by octet and volatile: a call of memset might not be bound yet.
            core::ptr::write_volatile(variable.add(at), 0);
        }
    }
}

/// Nothing here panics; the core library wants to know what would happen.
#[cfg(freestanding)]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {
        // SAFETY: ends the process.
        unsafe { asm!("ud2") }
    }
}
