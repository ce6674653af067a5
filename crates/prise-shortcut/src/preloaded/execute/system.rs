//! system(3), as the C library has it (sysdeps/posix/system.c), but that the shell has the library: what system(3) calls there nobody can come between.
//!
//! popen(3) stays the C library's: who closes its stream waits for the shell, by fclose(3), too, within the C library.

use core::cell::UnsafeCell;
use core::ptr;
use core::sync::atomic::{AtomicU32, Ordering};

use super::environment::own;
use super::program::is_wanted;
use super::spawn::{Attributes, Spawn};
use crate::behind::pass_on;
use crate::kernel::{EINTR, FUTEX, KILL, RT_SIGACTION, RT_SIGPROCMASK, WAIT4, call, call_cancellably, symbol, told};

const SHELL: *const u8 = c"/bin/sh".as_ptr().cast();

/// asm-generic/signal.h.
const SIGINT: usize = 2;
const SIGQUIT: usize = 3;
const SIGKILL: usize = 9;
const SIGCHLD: usize = 17;
const SIG_IGN: usize = 1;

/// A set of signals as the kernel has it, and its octets.
type Set = u64;
const SET_LEN: usize = size_of::<Set>();

/// system(3).
///
/// # Safety
///
/// As system(3).
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C-unwind" fn system(line: *const u8) -> i32 {
    pass_on!(c"system" as unsafe extern "C" fn(*const u8) -> i32: line);
    // SAFETY: as promised.
    unsafe {
        if line.is_null() {
            // Whether there is a shell.
            return i32::from(run(c"exit 0".as_ptr().cast()) == 0);
        }
        run(line)
    }
}

/// # Safety
///
/// `line` is a string.
unsafe fn run(line: *const u8) -> i32 {
    /// What a shell says that could not be executed.
    const LOST: i32 = 127 << 8;
    const SIG_BLOCK: usize = 0;
    const SIG_SETMASK: usize = 2;
    INTERRUPTS.ignore();
    let mask = change_mask(SIG_BLOCK, member(SIGCHLD));
    // SAFETY: as promised.
    let (error, status) = match unsafe { spawn(line, mask) } {
        Ok(process) => wait(process),
        Err(error) => (-(error as isize), LOST),
    };
    INTERRUPTS.restore();
    if error != 0 {
        told(error);
    }
    change_mask(SIG_SETMASK, mask);
    status
}

/// Starts the shell, with the signals as they were.
///
/// # Safety
///
/// `line` is a string.
unsafe fn spawn(line: *const u8, mask: Set) -> Result<i32, i32> {
    let attributes = Attributes::of_signals(INTERRUPTS.not_ignored(), mask);
    let name = c"sh".as_ptr().cast();
    let flag = c"-c".as_ptr().cast();
    let words = if has_separator() {
        [name, flag, c"--".as_ptr().cast(), line, ptr::null()]
    } else {
        [name, flag, line, ptr::null(), ptr::null()]
    };
    let mut process = 0;
    let call = Spawn {
        process: &raw mut process,
        file: SHELL,
        actions: ptr::null(),
        attributes: &raw const attributes,
        arguments: words.as_ptr(),
    };
    // SAFETY: as promised.
    match unsafe { call.make(c"posix_spawn", own(), || is_wanted(SHELL)) } {
        0 => Ok(process),
        error => Err(error),
    }
}

/// Whether the C library's system(3) puts `--` before the line, as it does since 2.38 (its bug 28519): who lists processes sees it.
fn has_separator() -> bool {
    const SINCE: u32 = 38;
    let version = symbol!("gnu_get_libc_version");
    if version == 0 {
        return false;
    }
    // SAFETY: the C library's function, whose answer is a string as "2.36".
    unsafe {
        let version = core::mem::transmute::<usize, extern "C" fn() -> *const u8>(version)();
        let mut minor = 0;
        for at in 2.. {
            match *version.add(at) {
                digit @ b'0'..=b'9' => minor = minor * 10 + u32::from(digit - b'0'),
                _ => break,
            }
        }
        minor >= SINCE
    }
}

/// Waits for the shell, with the error and the status that system(3) tells. A thread that is cancelled meanwhile ends it.
fn wait(process: i32) -> (isize, i32) {
    let mut status = 0;
    let arguments = [process as usize, (&raw mut status) as usize, 0, 0, 0, 0];
    let result = Cancelled::meanwhile(process, || {
        loop {
            // SAFETY: the kernel writes one integer.
            match unsafe { call_cancellably(WAIT4, arguments) } {
                // waitpid(3) has told so, and its caller goes on.
                EINTR => _ = told(EINTR),
                result => break result,
            }
        }
    });
    match result {
        0.. => (0, status),
        error => (error, -1),
    }
}

/// What `pthread_cancel(3)` is to do on the way (`struct _pthread_cleanup_buffer`, pthread.h).
#[repr(C)]
struct Cancelled {
    routine: usize,
    argument: usize,
    kind: i32,
    before: *mut Self,
}

impl Cancelled {
    fn meanwhile<T>(process: i32, wait: impl FnOnce() -> T) -> T {
        let (push, pop) = (symbol!("_pthread_cleanup_push"), symbol!("_pthread_cleanup_pop"));
        if push == 0 || pop == 0 {
            return wait();
        }
        let mut buffer = Self {
            routine: 0,
            argument: 0,
            kind: 0,
            before: ptr::null_mut(),
        };
        let place = &raw mut buffer;
        // SAFETY: the C library's functions, with a place that lives until the second has been called.
        unsafe {
            let push = core::mem::transmute::<usize, extern "C" fn(*mut Self, extern "C" fn(usize), usize)>(push);
            let pop = core::mem::transmute::<usize, extern "C" fn(*mut Self, i32)>(pop);
            push(place, end, process as usize);
            let result = wait();
            pop(place, 0);
            result
        }
    }
}

/// Ends the shell of a thread that is cancelled.
extern "C" fn end(process: usize) {
    // SAFETY: no memory is involved.
    unsafe {
        call(KILL, [process, SIGKILL, 0, 0, 0, 0]);
        while call(WAIT4, [process, 0, 0, 0, 0, 0]) == EINTR {}
    }
    INTERRUPTS.restore();
}

/// What interrupts a program from its terminal is ignored while it waits for a shell; the last that waits puts back what was.
struct Interrupts {
    lock: Lock,
    inside: UnsafeCell<Waiting>,
}

struct Waiting {
    count: u32,
    interrupt: Action,
    quit: Action,
}

/// `struct sigaction` as the kernel has it (asm/signal.h).
#[repr(C)]
struct Action {
    does: usize,
    flags: usize,
    restorer: usize,
    mask: Set,
}

impl Action {
    const IGNORE: Self = Self {
        does: SIG_IGN,
        flags: 0,
        restorer: 0,
        mask: 0,
    };
}

static INTERRUPTS: Interrupts = Interrupts {
    lock: Lock(AtomicU32::new(Lock::FREE)),
    inside: UnsafeCell::new(Waiting {
        count: 0,
        interrupt: Action::IGNORE,
        quit: Action::IGNORE,
    }),
};

// SAFETY: what is inside is only touched with the lock, or read while nobody may change it.
unsafe impl Sync for Interrupts {}

impl Interrupts {
    fn ignore(&self) {
        self.lock.take();
        // SAFETY: with the lock.
        let inside = unsafe { &mut *self.inside.get() };
        if inside.count == 0 {
            set_action(SIGINT, &Action::IGNORE, &raw mut inside.interrupt);
            set_action(SIGQUIT, &Action::IGNORE, &raw mut inside.quit);
        }
        inside.count += 1;
        self.lock.release();
    }

    fn restore(&self) {
        self.lock.take();
        // SAFETY: with the lock.
        let inside = unsafe { &mut *self.inside.get() };
        inside.count -= 1;
        if inside.count == 0 {
            set_action(SIGINT, &raw const inside.interrupt, ptr::null_mut());
            set_action(SIGQUIT, &raw const inside.quit, ptr::null_mut());
        }
        self.lock.release();
    }

    /// Those that were not ignored before.
    fn not_ignored(&self) -> Set {
        // SAFETY: while somebody waits, as the caller does, nobody writes these.
        let (interrupt, quit) = unsafe { ((*self.inside.get()).interrupt.does, (*self.inside.get()).quit.does) };
        let of = |signal, does| if does == SIG_IGN { 0 } else { member(signal) };
        of(SIGINT, interrupt) | of(SIGQUIT, quit)
    }
}

/// The set of one signal.
fn member(signal: usize) -> Set {
    1 << (signal - 1)
}

fn set_action(signal: usize, action: *const Action, before: *mut Action) {
    // SAFETY: the kernel reads one and writes the other, or neither.
    unsafe { call(RT_SIGACTION, [signal, action as usize, before as usize, SET_LEN, 0, 0]) };
}

/// Changes the thread's mask of signals, and answers what it was.
fn change_mask(how: usize, set: Set) -> Set {
    let mut before = 0;
    let (new, old) = ((&raw const set) as usize, (&raw mut before) as usize);
    // SAFETY: the kernel reads one and writes the other.
    unsafe { call(RT_SIGPROCMASK, [how, new, old, SET_LEN, 0, 0]) };
    before
}

/// A lock of threads (futex(2)).
struct Lock(AtomicU32);

impl Lock {
    const FREE: u32 = 0;
    const TAKEN: u32 = 1;
    const AWAITED: u32 = 2;

    fn take(&self) {
        const FUTEX_WAIT_PRIVATE: usize = 128;
        let free = self
            .0
            .compare_exchange(Self::FREE, Self::TAKEN, Ordering::Acquire, Ordering::Relaxed);
        if free.is_ok() {
            return;
        }
        while self.0.swap(Self::AWAITED, Ordering::Acquire) != Self::FREE {
            self.call(FUTEX_WAIT_PRIVATE, Self::AWAITED);
        }
    }

    fn release(&self) {
        const FUTEX_WAKE_PRIVATE: usize = 129;
        if self.0.swap(Self::FREE, Ordering::Release) == Self::AWAITED {
            self.call(FUTEX_WAKE_PRIVATE, 1);
        }
    }

    fn call(&self, operation: usize, value: u32) {
        // SAFETY: the word is there as long as the program is.
        unsafe { call(FUTEX, [self.0.as_ptr() as usize, operation, value as usize, 0, 0, 0]) };
    }
}
