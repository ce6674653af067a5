//! open(2) for reading, of files that are nobody's but the host's.
//!
//! Some files of /proc and /sys are the run's own, and a filter cannot see paths: every open for reading is judged (`calls::open` in `prise-run`), which
//! costs two changes of processes. Here the path can be seen. What the C library opens by itself – fopen(3), the dynamic linker – is judged as ever.

use crate::behind::pass_on;
use crate::kernel::{AT_FDCWD, OPENAT, call_cancellably, symbol, told};
use crate::present::Present;
use crate::{Told, may_open};

/// asm-generic/fcntl.h.
const O_ACCMODE: i32 = 0o3;
const O_CREAT: i32 = 0o100;
const O_TMPFILE: i32 = 0o20_200_000;

type Open = unsafe extern "C" fn(*const u8, i32, ...) -> i32;
type OpenAt = unsafe extern "C" fn(i32, *const u8, i32, ...) -> i32;

/// Longer paths are of no file of the run's, as `calls::open` says.
const PATH_MAX: usize = 64;

/// open(2).
///
/// # Safety
///
/// As open(2), which may be told of any memory. So it is with all others here.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C-unwind" fn open(path: *const u8, flags: i32, mode: u32) -> i32 {
    pass_on!(c"open" as Open: path, flags, mode);
    // SAFETY: as promised.
    unsafe { open_at(AT_FDCWD, path, flags, mode) }
}

/// The same with another name, from times when files were small.
///
/// # Safety
///
/// The same.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C-unwind" fn open64(path: *const u8, flags: i32, mode: u32) -> i32 {
    pass_on!(c"open64" as Open: path, flags, mode);
    // SAFETY: as promised.
    unsafe { open_at(AT_FDCWD, path, flags, mode) }
}

/// openat(2).
///
/// # Safety
///
/// The same.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C-unwind" fn openat(directory: i32, path: *const u8, flags: i32, mode: u32) -> i32 {
    pass_on!(c"openat" as OpenAt: directory, path, flags, mode);
    // SAFETY: as promised.
    unsafe { open_at(directory as usize, path, flags, mode) }
}

/// The same with another name.
///
/// # Safety
///
/// The same.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C-unwind" fn openat64(directory: i32, path: *const u8, flags: i32, mode: u32) -> i32 {
    pass_on!(c"openat64" as OpenAt: directory, path, flags, mode);
    // SAFETY: as promised.
    unsafe { open_at(directory as usize, path, flags, mode) }
}

/// What a program calls that is compiled with `_FORTIFY_SOURCE`, where it names no mode; one that forgot it is ended.
///
/// # Safety
///
/// The same.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C-unwind" fn __open_2(path: *const u8, flags: i32) -> i32 {
    pass_on!(c"__open_2" as Open: path, flags);
    // SAFETY: as promised.
    unsafe { open_without_mode(AT_FDCWD, path, flags) }
}

/// The same with another name.
///
/// # Safety
///
/// The same.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C-unwind" fn __open64_2(path: *const u8, flags: i32) -> i32 {
    pass_on!(c"__open64_2" as Open: path, flags);
    // SAFETY: as promised.
    unsafe { open_without_mode(AT_FDCWD, path, flags) }
}

/// The same with another name.
///
/// # Safety
///
/// The same.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C-unwind" fn __openat_2(directory: i32, path: *const u8, flags: i32) -> i32 {
    pass_on!(c"__openat_2" as OpenAt: directory, path, flags);
    // SAFETY: as promised.
    unsafe { open_without_mode(directory as usize, path, flags) }
}

/// The same with another name.
///
/// # Safety
///
/// The same.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C-unwind" fn __openat64_2(directory: i32, path: *const u8, flags: i32) -> i32 {
    pass_on!(c"__openat64_2" as OpenAt: directory, path, flags);
    // SAFETY: as promised.
    unsafe { open_without_mode(directory as usize, path, flags) }
}

/// # Safety
///
/// As openat(2).
unsafe fn open_without_mode(directory: usize, path: *const u8, flags: i32) -> i32 {
    let abort = symbol!("abort");
    // SAFETY: the C library's function.
    unsafe {
        if creates(flags) && abort != 0 {
            core::mem::transmute::<usize, extern "C" fn() -> !>(abort)();
        }
        open_at(directory, path, flags, 0)
    }
}

/// Whether a call makes a file, which has a mode then.
fn creates(flags: i32) -> bool {
    flags & O_CREAT != 0 || flags & O_TMPFILE == O_TMPFILE
}

/// # Safety
///
/// As openat(2).
unsafe fn open_at(directory: usize, path: *const u8, flags: i32, mode: u32) -> i32 {
    // Else it is whatever the register held.
    let mode = if creates(flags) { mode } else { 0 };
    let reads = flags & O_ACCMODE == 0 && !creates(flags);
    // SAFETY: the path is looked at before it is read.
    unsafe {
        let is_judged = !reads || !may_open() || may_be_the_runs(path) != Some(false);
        let token = if is_judged { 0 } else { Told::read().token };
        told(call_cancellably(
            OPENAT,
            [directory, path as usize, flags as usize, mode as usize, 0, token],
        ))
    }
}

/// Whether a file may be one of the run's; none if its path is not there. Those have names of small letters, in directories below two of the root's,
/// to which `..` may lead from anywhere.
///
/// # Safety
///
/// Nobody takes the memory away meanwhile.
unsafe fn may_be_the_runs(path: *const u8) -> Option<bool> {
    let mut present = Present::NONE;
    let (mut begin, mut is_plain, mut is_elsewhere) = (0, true, false);
    // SAFETY: as promised.
    unsafe {
        let is_absolute = present.octet(path, 0)? == b'/';
        for at in 0..PATH_MAX {
            let octet = present.octet(path, at)?;
            if octet != 0 && octet != b'/' {
                is_plain &= matches!(octet, b'a'..=b'z' | b'0'..=b'9' | b'_');
                continue;
            }
            let mut is = |name: &[u8]| {
                let begins = present.begins(path.wrapping_add(begin), name);
                begins.map(|begins| begins && name.len() == at - begin)
            };
            if is_absolute && at > begin && !is(b".")? {
                let leads_there = !is_elsewhere && (is(b"proc")? || is(b"sys")?);
                if leads_there || is(b"..")? {
                    return Some(true);
                }
                is_elsewhere = true;
            }
            if octet == 0 {
                return Some(!is_absolute && is_plain);
            }
            (begin, is_plain) = (at + 1, true);
        }
    }
    Some(false)
}
