//! Which programs are to have the library: the supervisor says so of files, and leaves its answers in the chart.

use core::mem::MaybeUninit;

use super::Words;
use super::reach::is_found;
use crate::chart::{INTERPRETERS_MAX, SCRIPT_HEAD, answer, interpreter, place_of, question};
use crate::file::{Descriptor, O_CLOEXEC, O_NOCTTY, O_NONBLOCK, look, open};
use crate::kernel::{AT_FDCWD, CONNECT, FACCESSAT, PREAD64, call};
use crate::line::{LINE_MAX, Line, NOTHING, Octets};
use crate::present::Present;
use crate::{Told, chart, may_leave, may_open, may_take};

const X_OK: usize = 1;
const SEARCH: &[u8] = b"PATH=";

/// Whether a program is to have the library that execvp(3) executes.
///
/// # Safety
///
/// As [`find`].
#[inline(never)]
pub(super) unsafe fn is_wanted_of(file: *const u8, variables: Words) -> bool {
    if !has_leave() {
        return false;
    }
    let mut place = NOTHING;
    // SAFETY: as promised.
    unsafe { find(file, variables, &mut place) }.is_some_and(is_wanted)
}

/// Whether the library may do anything at all, for which a program would have it.
fn has_leave() -> bool {
    may_leave() || may_take() || may_open()
}

/// Whether a program is to have the library, and can.
#[inline(never)]
pub(super) fn is_wanted(path: *const u8) -> bool {
    has_leave() && !path.is_null() && is_for(path) == Some(true) && is_found()
}

/// Whether the library is for the program in a file, or that interprets it, as the supervisor says, or has said before; none if the file cannot be
/// read, which is no reason not to execute it.
fn is_for(path: *const u8) -> Option<bool> {
    const ELF: &[u8] = b"\x7fELF";
    // Not zeros: memset(3) would fill it.
    let mut head = MaybeUninit::<[u8; SCRIPT_HEAD + 1]>::uninit();
    let place: *mut u8 = head.as_mut_ptr().cast();
    let mut path = path;
    for _ in 0..INTERPRETERS_MAX {
        let looked = look(AT_FDCWD, path, 0)?;
        if !looked.is_regular {
            // Who opens a pipe or a device does something to it, which execve(2) does not.
            return None;
        }
        let known = known(looked.version);
        if known.is_some() {
            return known;
        }
        let file = open(path, O_CLOEXEC | O_NONBLOCK | O_NOCTTY)?;
        // SAFETY: the kernel fills the place or less of it; a name within it has an octet behind its end.
        unsafe {
            let len = call(PREAD64, [file.0, place as usize, SCRIPT_HEAD, 0, 0, 0]);
            let octets = core::slice::from_raw_parts(place, usize::try_from(len).ok()?);
            if octets.starts_with(ELF) {
                return Some(ask(&file));
            }
            let name = interpreter(octets)?;
            let end = name.as_ptr().add(name.len()).cast_mut();
            path = name.as_ptr();
            end.write(0);
        }
    }
    None
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
fn ask(program: &Descriptor) -> bool {
    let question = question(Told::read().token as u64) as usize;
    // SAFETY: no memory is involved.
    unsafe { call(CONNECT, [program.0, 0, 0, 0, 0, question]) == 0 }
}

/// The file that execvp(3) executes; none if there is none, or if its name is longer than anybody has it.
///
/// # Safety
///
/// Nobody takes the memory of the name or of the environment away meanwhile.
unsafe fn find(file: *const u8, variables: Words, place: &mut Octets<LINE_MAX>) -> Option<*const u8> {
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
            let path = path.octets.as_ptr();
            if call(FACCESSAT, [AT_FDCWD, path as usize, X_OK, 0, 0, 0]) == 0 {
                return Some(path.cast());
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
