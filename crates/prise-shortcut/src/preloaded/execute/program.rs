//! Which programs are to have the library: the supervisor says so of files, and leaves its answers in the chart.

use core::mem::MaybeUninit;

use super::Words;
use super::environment::own;
use super::reach::is_found;
use crate::chart::{INTERPRETERS_MAX, SCRIPT_HEAD, answer, interpreter, place_of, question};
use crate::file::{File, look};
use crate::kernel::{AT_FDCWD, CONNECT, FACCESSAT, PREAD64, call};
use crate::line::{LINE_MAX, Line, NOTHING, Octets};
use crate::present::Present;
use crate::{Told, chart, may_leave, may_open, may_take};

const X_OK: usize = 1;
const SEARCH: &[u8] = b"PATH=";

/// Whether a program is to have the library that a path leads to.
pub(super) fn is_wanted(path: *const u8) -> bool {
    is_wanted_of(&Named { path, ..Named::HERE })
}

/// Whether a program is to have the library that is looked for in `PATH`, as execvp(3) does; `is_here` as of [`Named`].
///
/// # Safety
///
/// As [`find`].
#[inline(never)]
pub(super) unsafe fn is_wanted_by_name(file: *const u8, is_here: bool) -> bool {
    if !has_leave() {
        return false;
    }
    let mut place = NOTHING;
    // SAFETY: as promised.
    let path = unsafe { find(file, own(), is_here, &mut place) };
    path.is_some_and(|path| {
        is_wanted_of(&Named {
            path,
            is_here,
            ..Named::HERE
        })
    })
}

/// Whether a program is to have the library, and can.
#[inline(never)]
pub(super) fn is_wanted_of(program: &Named) -> bool {
    has_leave() && !program.path.is_null() && program.is_for() == Some(true) && is_found()
}

/// Whether the library may do anything at all, for which a program would have it.
fn has_leave() -> bool {
    may_leave() || may_take() || may_open()
}

/// A program's file, as a call names it.
pub(super) struct Named {
    /// Where a relative path begins.
    pub(super) directory: usize,
    pub(super) path: *const u8,
    /// What newfstatat(2) takes: `AT_EMPTY_PATH` if it may be the directory itself, `AT_SYMLINK_NOFOLLOW`.
    pub(super) flags: usize,
    /// Whether who executes it finds the same by relative paths and among its descriptors.
    pub(super) is_here: bool,
}

impl Named {
    /// By a path of this process's.
    pub(super) const HERE: Self = Self {
        directory: AT_FDCWD,
        path: core::ptr::null(),
        flags: 0,
        is_here: true,
    };

    /// Whether the library is for the program, or for what interprets it, as the supervisor says, or has said before; none if the file cannot be
    /// read, which is no reason not to execute it.
    fn is_for(&self) -> Option<bool> {
        const ELF: &[u8] = b"\x7fELF";
        // Not zeros: memset(3) would fill it.
        let mut head = MaybeUninit::<[u8; SCRIPT_HEAD + 1]>::uninit();
        let place: *mut u8 = head.as_mut_ptr().cast();
        let Self {
            mut directory,
            mut path,
            mut flags,
            is_here,
        } = *self;
        for _ in 0..INTERPRETERS_MAX {
            let looked = look(directory, path, flags)?;
            // Who opens a pipe or a device does something to it, which execve(2) does not.
            if !looked.is_regular || !is_here && may_be_another(path)? {
                return None;
            }
            let known = known(looked.version);
            if known.is_some() {
                return known;
            }
            let file = File::open(directory, path, flags)?;
            // SAFETY: the kernel fills the place or less of it; a name within it has an octet behind its end.
            unsafe {
                let len = call(PREAD64, [file.number(), place as usize, SCRIPT_HEAD, 0, 0, 0]);
                let octets = core::slice::from_raw_parts(place, usize::try_from(len).ok()?);
                if octets.starts_with(ELF) {
                    return Some(ask(&file));
                }
                let name = interpreter(octets)?;
                let end = name.as_ptr().add(name.len()).cast_mut();
                (directory, path, flags) = (AT_FDCWD, name.as_ptr(), 0);
                end.write(0);
            }
        }
        None
    }
}

/// Whether a path leads to another file in another directory, or where other descriptors are open; none if it is not there.
fn may_be_another(path: *const u8) -> Option<bool> {
    let mut present = Present::NONE;
    // SAFETY: the path has just been read.
    unsafe {
        let is_relative = !present.begins(path, b"/")?;
        Some(is_relative || present.begins(path, b"/proc/")? || present.begins(path, b"/dev/")?)
    }
}

/// What the supervisor has said of a program.
fn known(version: u64) -> Option<bool> {
    // SAFETY: the answer is read where it may change.
    let known = unsafe {
        let all: *const u64 = (&raw const (*chart()).known).cast();
        all.add(place_of(version)).read_volatile()
    };
    let answers = [true, false];
    answers
        .into_iter()
        .find(|is_wanted| known == answer(version, *is_wanted))
}

/// What it says of one.
fn ask(program: &File) -> bool {
    let question = question(Told::read().token as u64) as usize;
    // SAFETY: no memory is involved.
    unsafe { call(CONNECT, [program.number(), 0, 0, 0, 0, question]) == 0 }
}

/// The file that execvp(3) executes; none if there is none, or if its name is longer than anybody has it.
///
/// # Safety
///
/// Nobody takes the memory of the name or of the environment away meanwhile.
unsafe fn find(file: *const u8, variables: Words, is_here: bool, place: &mut Octets<LINE_MAX>) -> Option<*const u8> {
    let mut present = Present::NONE;
    // SAFETY: as promised.
    unsafe {
        for at in 0.. {
            match present.octet(file, at)? {
                b'/' => return Some(file),
                0 => break,
                _ => (),
            }
        }
        let mut search = search_path(&mut present, variables)?;
        loop {
            let mut path = Line { octets: place, len: 0 };
            let mut len = 0;
            let end = loop {
                match present.octet(search, len)? {
                    end @ (0 | b':') => break end,
                    octet => path.push(octet)?,
                }
                len += 1;
            };
            if len > 0 {
                path.push(b'/')?;
            }
            path.push_string(&mut present, file)?;
            path.push(0)?;
            let path = path.octets.as_ptr().cast();
            if !is_here && may_be_another(path)? {
                return None;
            }
            if call(FACCESSAT, [AT_FDCWD, path as usize, X_OK, 0, 0, 0]) == 0 {
                return Some(path);
            }
            if end == 0 {
                return None;
            }
            search = search.wrapping_add(len + 1);
        }
    }
}

/// Where programs are looked for.
///
/// # Safety
///
/// As [`find`].
unsafe fn search_path(present: &mut Present, variables: Words) -> Option<*const u8> {
    for at in 0.. {
        // SAFETY: as promised.
        unsafe {
            let variable = present.word(variables, at)?;
            if variable.is_null() {
                break;
            }
            if present.begins(variable, SEARCH)? {
                return Some(variable.wrapping_add(SEARCH.len()));
            }
        }
    }
    None
}
