//! What is preloaded into a program: a connect(2) that makes connections which leave the run at once, an accept(2) that gives out clients of a published
//! port at once, and both let all others be judged as if they were not there.
//!
//! The supervisor would do the same with a copy of the descriptor (`handed::noted` in `prise-run`): name the endpoint as the host does, let the kernel
//! connect, and mark the object as one that leaves the run. Two changes of processes and most of fifteen system calls are saved. Whatever is not plainly so – another family,
//! a socket that was judged before, a network name space of the program's own, a bad pointer – goes the long way, by the same call without a token.
//!
//! accept(2) says with each judged call that it is there; the supervisor then marks listeners where whoever comes is a client from the host's loopback
//! (`handed::unasked` in `prise-run`). Once others may come to one of these, the leave is taken back, and who has been accepted meanwhile is asked about.
//!
//! What the program executes is loaded so in its turn ([`execute`]), and what it reads that is the host's is opened without asking ([`open`]).
//!
//! A library that the program is linked with may have functions of these names, too, which get all calls that are theirs without this one ([`behind`]).
//!
//! It has no state but its chart, what it has found behind itself, what system(3) has to put back, and the marks that it leaves on sockets, allocates nothing, and depends on no library: the C library's symbols are the program's, taken weakly.
//! A thread may be cancelled in its calls (`pthread_cancel(3)`), by a signal that unwinds through these functions: nothing in them has a destructor, and
//! without landing pads (`panic=abort`) all that this needs of them are their frames' descriptions, which the target always has.

#![cfg_attr(freestanding, no_std)]
// A loop that looks like strlen(3) must not become a call of it: a program may be without the C library.
#![cfg_attr(freestanding, no_builtins)]
#![allow(unsafe_code, reason = "it is a C interface and makes system calls")]

mod behind;
#[path = "../chart.rs"]
#[allow(
    dead_code,
    unreachable_pub,
    reason = "the supervisor uses the rest of it, from the other crate"
)]
mod chart;
mod execute;
mod file;
mod kernel;
mod line;
mod open;
mod present;
mod start;

use behind::pass_on;
use chart::{Chart, Mark, Octets, V4_LEN, V6_LEN, wish};
use core::arch::asm;
use kernel::{
    ACCEPT, ACCEPT4, CLOSE, CONNECT, EAFNOSUPPORT, EALREADY, EINPROGRESS, EINTR, EINVAL, EISCONN, FCNTL, GETPEERNAME,
    GETSOCKOPT, MADV_POPULATE_READ, MADV_POPULATE_WRITE, call, call_cancellably, copy, is_near, is_present, told,
};

/// linux/fcntl.h.
const F_GET_RW_HINT: usize = 1035;
const F_SET_RW_HINT: usize = 1036;
const SOL_SOCKET: usize = 1;
const SO_NETNS_COOKIE: usize = 71;

/// Found and written by the supervisor, in the library's file.
#[used]
#[unsafe(link_section = ".prise")]
static CHART: Chart = Chart::NONE;

/// The chart as the supervisor has written it, of which the compiler knows nothing. Its leaves may be taken back at any time.
fn chart() -> *const Chart {
    let chart: *const Chart;
    // SAFETY: the address of a static is taken.
    unsafe { asm!("lea {0}, [rip + {1}]", out(reg) chart, sym CHART, options(nostack, nomem, preserves_flags)) };
    chart
}

/// What never changes of it.
struct Told {
    token: usize,
    home: u64,
    edges: &'static chart::Edges,
}

impl Told {
    fn read() -> Self {
        // SAFETY: nobody writes these fields while the program runs.
        unsafe {
            Self {
                token: (*chart()).token as usize,
                home: (*chart()).home,
                edges: &(*chart()).edges,
            }
        }
    }
}

/// Whether connections that leave may be made.
fn may_leave() -> bool {
    // SAFETY: an integer of the chart, which the supervisor may change in the file.
    unsafe { (&raw const (*chart()).open).read_volatile() != 0 }
}

/// Whether clients may be given out.
fn may_take() -> bool {
    // SAFETY: the same.
    unsafe { (&raw const (*chart()).accepts).read_volatile() != 0 }
}

/// Whether files may be opened that are the host's.
fn may_open() -> bool {
    // SAFETY: the same.
    unsafe { (&raw const (*chart()).opens).read_volatile() != 0 }
}

/// connect(2).
///
/// # Safety
///
/// As connect(2), which may be told of any memory.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn connect(socket: i32, address: *const u8, len: u32) -> i32 {
    pass_on!(c"connect" as unsafe extern "C" fn(i32, *const u8, u32) -> i32: socket, address, len);
    // SAFETY: `leave` looks at the memory before it reads it; the kernel looks for itself.
    told(unsafe {
        match leave(socket, address, len) {
            Some(result) => result,
            None => call_cancellably(CONNECT, [socket as usize, address as usize, len as usize, 0, 0, 0]),
        }
    })
}

/// accept(2).
///
/// # Safety
///
/// As accept(2), which may be told of any memory.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn accept(socket: i32, address: *mut u8, len: *mut u32) -> i32 {
    pass_on!(c"accept" as unsafe extern "C" fn(i32, *mut u8, *mut u32) -> i32: socket, address, len);
    // SAFETY: as promised.
    told(unsafe { take(ACCEPT, [socket as usize, address as usize, len as usize, 0]) })
}

/// accept4(2).
///
/// # Safety
///
/// As accept4(2), which may be told of any memory.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn accept4(socket: i32, address: *mut u8, len: *mut u32, flags: i32) -> i32 {
    pass_on!(c"accept4" as unsafe extern "C" fn(i32, *mut u8, *mut u32, i32) -> i32: socket, address, len, flags);
    // SAFETY: as promised.
    told(unsafe {
        take(
            ACCEPT4,
            [socket as usize, address as usize, len as usize, flags as usize],
        )
    })
}

/// Makes a connection that leaves the run; none if it is not for us to make.
///
/// # Safety
///
/// None but that of reading what is readable.
unsafe fn leave(socket: i32, address: *const u8, len: u32) -> Option<isize> {
    if !may_leave() {
        return None;
    }
    let told = Told::read();
    // SAFETY: as promised.
    let (to, to_len) = told.edges.way(&unsafe { read(address, len as usize) }?, len as usize)?;
    let number = socket as usize;
    if hint(number) != Some(0) || name_space(number, told.token) != Some(told.home) {
        return None;
    }
    // Before the connection stands: nobody may take it for one from beyond the run. Another user's object cannot be marked.
    if !set_hint(number, Mark::Outside.hint()) {
        return None;
    }
    // SAFETY: the address is ours.
    let result = unsafe { call_cancellably(CONNECT, [number, to.as_ptr() as usize, to_len, 0, 0, told.token]) };
    match result {
        0.. | EINPROGRESS | EALREADY | EINTR => (),
        // By another thread, a moment ago; or by accept(2).
        EISCONN if leads_to(number, told.token, &to) => (),
        EISCONN | EINVAL | EAFNOSUPPORT => {
            set_hint(number, 0);
            // Perhaps the object is no stream, or of another family: the supervisor says that as Linux does.
            return None;
        }
        _ => {
            set_hint(number, Mark::Failed.hint());
        }
    }
    Some(result)
}

/// Whether a stream is connected to `address`, of which the family is left out.
fn leads_to(socket: usize, token: usize, address: &Octets) -> bool {
    let mut name: Octets = [0; V6_LEN];
    let mut len = V6_LEN as u32;
    let (place, place_len) = ((&raw mut name) as usize, (&raw mut len) as usize);
    // SAFETY: the kernel writes the name and its length to places of ours.
    let result = unsafe { call(GETPEERNAME, [socket, place, place_len, 0, 0, token]) };
    result == 0 && name[2..24] == address[2..24]
}

/// accept(2), without asking where that may be, else with the wish to.
///
/// # Safety
///
/// As accept(2).
unsafe fn take(number: usize, arguments: [usize; 4]) -> isize {
    // SAFETY: as promised.
    unsafe {
        take_unasked(number, arguments).unwrap_or_else(|| {
            let [socket, address, len, flags] = arguments;
            let wish = wish(Told::read().token as u64) as usize;
            call_cancellably(number, [socket, address, len, flags, 0, wish])
        })
    }
}

/// Gives out a client of a published port; none if that is not for us to do.
///
/// # Safety
///
/// None but that of reading and writing what is there.
unsafe fn take_unasked(number: usize, [socket, address, len, flags]: [usize; 4]) -> Option<isize> {
    if !may_take() || hint(socket) != Some(Mark::Published.hint()) {
        return None;
    }
    let told = Told::read();
    let mut name: Octets = [0; V6_LEN];
    let here = (&raw const name) as usize;
    let is_there = |start, octets| is_near(start, here) || is_present(start, octets, MADV_POPULATE_WRITE);
    // SAFETY: it has just been looked at, and may lie anywhere.
    let room = || unsafe { (len as *const i32).read_unaligned() };
    if address != 0 && !(is_there(len, size_of::<i32>()) && room() >= 0 && is_there(address, V6_LEN)) {
        return None;
    }
    let mut name_len = V6_LEN as u32;
    let place = [(&raw mut name) as usize, (&raw mut name_len) as usize];
    // SAFETY: the kernel writes the name and its length to places of ours.
    let accepted = unsafe { call_cancellably(number, [socket, place[0], place[1], flags, 0, told.token]) };
    if accepted < 0 {
        return Some(accepted);
    }
    if may_take() {
        told.edges.rename_client(&mut name);
    } else {
        name_len = V6_LEN as u32;
        // SAFETY: the same places.
        let asked = unsafe { call(GETPEERNAME, [accepted as usize, place[0], place[1], 0, 0, 0]) };
        if asked < 0 {
            // The supervisor's sign that somebody waits with it, or a client that has gone.
            // SAFETY: nobody has been told of the descriptor.
            unsafe { call(CLOSE, [accepted as usize, 0, 0, 0, 0, 0]) };
            return None;
        }
    }
    if address != 0 {
        let octets = (name_len as usize).min(V6_LEN).min(room() as usize);
        // SAFETY: so many octets are there, and were looked at.
        unsafe {
            copy(name.as_ptr(), address as *mut u8, octets);
            (len as *mut u32).write_unaligned(name_len);
        }
    }
    Some(accepted)
}

/// The address that connect(2) was told, if it can be read.
///
/// # Safety
///
/// Nobody takes the memory away meanwhile.
unsafe fn read(address: *const u8, len: usize) -> Option<Octets> {
    let len = match len {
        V6_LEN.. => V6_LEN,
        V4_LEN.. => V4_LEN,
        _ => return None,
    };
    let mut octets = [0; V6_LEN];
    let here = (&raw const octets) as usize;
    let start = address as usize;
    if !is_near(start, here) && !is_present(start, len, MADV_POPULATE_READ) {
        return None;
    }
    // SAFETY: both are memory of so many octets, the one just looked at.
    unsafe { copy(address, octets.as_mut_ptr(), len) };
    Some(octets)
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

fn name_space(socket: usize, token: usize) -> Option<u64> {
    let mut cookie = 0u64;
    let mut len = 8u32;
    let (value, value_len) = ((&raw mut cookie) as usize, (&raw mut len) as usize);
    // SAFETY: the kernel writes eight octets and their number.
    let result = unsafe {
        call(
            GETSOCKOPT,
            [socket, SOL_SOCKET, SO_NETNS_COOKIE, value, value_len, token],
        )
    };
    (result == 0).then_some(cookie)
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
