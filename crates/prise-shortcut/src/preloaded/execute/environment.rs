//! The environment in which a new program finds the library.

use core::mem::MaybeUninit;
use core::ptr;

use super::Words;
use crate::chart;
use crate::chart::PATH_MAX;
use crate::kernel::{MADV_POPULATE_WRITE, PAGE, SIGALTSTACK, call, is_present, symbol};
use crate::line::{LINE_MAX, Line, Octets};
use crate::present::Present;

/// Words of the longest environment that has the library in it. They lie on the stack.
const VARIABLES_MAX: usize = 512;

/// The same of most environments: a stack may be a coroutine's, a signal's, or one that clone(2) was told, with a page for a call of execve(2).
const VARIABLES_FEW: usize = 64;
/// The variable's name, the path and a zero.
const LINE_SHORT: usize = PRELOAD.len() + PATH_MAX + 1;

/// What a longer one needs of the stack, with what is called.
const ROOM: usize = 2 * PAGE;

const PRELOAD: &[u8] = b"LD_PRELOAD=";
const LIBRARY_PATH: &[u8] = b"LD_LIBRARY_PATH=";
const LINKERS: &[u8] = b"LD_";

/// The program's environment, as its C library has it (environ(7)).
pub(super) fn own() -> Words {
    let place = symbol!("environ") as *const Words;
    if place.is_null() {
        return ptr::null();
    }
    // SAFETY: the C library's variable.
    unsafe { place.read_volatile() }
}

/// Executes, with an environment in which the new program finds the library; with the one that was given where it is not to have it or cannot,
/// or where what that said does not stand: the longer one may be too long.
///
/// # Safety
///
/// Nobody takes the memory of `variables` away meanwhile.
pub(super) unsafe fn loaded<T>(
    is_wanted: bool,
    variables: Words,
    stands: impl Fn(&T) -> bool,
    execute: &mut impl FnMut(Words) -> T,
) -> T {
    // SAFETY: as promised.
    unsafe {
        let mut result = None;
        if is_wanted {
            result = loaded_by::<VARIABLES_FEW, LINE_SHORT, T>(variables, execute);
        }
        if is_wanted && result.is_none() && has_room() {
            result = loaded_by::<VARIABLES_MAX, LINE_MAX, T>(variables, execute);
        }
        result.filter(stands).unwrap_or_else(|| execute(variables))
    }
}

/// The same with so much of the stack, which is taken by nothing else.
///
/// # Safety
///
/// The same.
#[inline(never)]
unsafe fn loaded_by<const WORDS: usize, const OCTETS: usize, T>(
    variables: Words,
    execute: &mut impl FnMut(Words) -> T,
) -> Option<T> {
    let mut place = MaybeUninit::<Environment<WORDS, OCTETS>>::uninit();
    // SAFETY: as promised.
    unsafe { Environment::write(&mut place, variables) }.map(execute)
}

/// Whether the stack has room for a long environment: a signal's ends where the kernel was told, others most often where nothing can be written.
#[inline(never)]
fn has_room() -> bool {
    /// `struct sigaltstack` (asm/signal.h).
    #[repr(C)]
    struct Stack {
        start: usize,
        flags: i32,
        len: usize,
    }
    const SS_ONSTACK: i32 = 1;
    let mut stack = Stack {
        start: 0,
        flags: 0,
        len: 0,
    };
    let place = (&raw mut stack) as usize;
    // SAFETY: the kernel fills the place.
    unsafe { call(SIGALTSTACK, [0, place, 0, 0, 0, 0]) };
    let is_short = stack.flags & SS_ONSTACK != 0 && place.wrapping_sub(stack.start) < ROOM;
    !is_short && is_present(place.wrapping_sub(ROOM), ROOM, MADV_POPULATE_WRITE)
}

/// An environment with the library in it, which is named last: it hides the end of the list, as `start::shortcut` in `prise-run` says.
struct Environment<const WORDS: usize, const OCTETS: usize> {
    list: [MaybeUninit<*const u8>; WORDS],
    line: Octets<OCTETS>,
}

impl<const WORDS: usize, const OCTETS: usize> Environment<WORDS, OCTETS> {
    /// None if there is no room, if a part of it is not there, or if the dynamic linker is asked for something that shows its libraries.
    ///
    /// # Safety
    ///
    /// Nobody takes the memory of `variables` away meanwhile.
    unsafe fn write(place: &mut MaybeUninit<Self>, variables: Words) -> Option<Words> {
        let place = place.as_mut_ptr();
        // SAFETY: fields that may be uninitialised.
        let (list, octets) = unsafe { (&mut (*place).list, &mut (*place).line) };
        let mut words = list.iter_mut();
        let mut push = |word: *const u8| words.next().map(|place| _ = place.write(word));
        let mut line = Line { octets, len: 0 };
        let mut present = Present::NONE;
        let mut is_alone = true;
        for at in 0.. {
            // SAFETY: as promised.
            unsafe {
                let variable = present.word(variables, at)?;
                if variable.is_null() {
                    break;
                }
                if !present.begins(variable, LINKERS)? || present.begins(variable, LIBRARY_PATH)? {
                    push(variable)?;
                } else if is_alone && present.begins(variable, PRELOAD)? {
                    is_alone = false;
                    line.push_string(&mut present, variable)?;
                    line.push(b':')?;
                } else {
                    return None;
                }
            }
        }
        if is_alone {
            line.push_all(PRELOAD)?;
        }
        // SAFETY: a field that nobody writes.
        let path: &[u8; PATH_MAX] = unsafe { &(*chart()).path };
        path.iter()
            .take_while(|it| **it != 0)
            .try_for_each(|it| line.push(*it))?;
        line.push(0)?;
        push(line.octets.as_ptr().cast())?;
        if is_alone {
            push(c"".as_ptr().cast())?;
        }
        push(ptr::null())?;
        Some(list.as_ptr().cast())
    }
}
