//! What a program executes is loaded with the library too.
//!
//! The supervisor looks at the file, once, and says whether the library is for it ([`program`]). Where it is not – another C library, privileges of the
//! file, a program that makes none of the library's calls – nothing is different but that the new program's calls are judged. So it is for functions that
//! execute within the C library: execl(3), `posix_spawn(3)`, system(3).

mod environment;
mod program;
mod reach;

use core::ptr;

use crate::behind::pass_on;
use crate::kernel::{EXECVE, call, symbol, told};
use environment::loaded;
use program::{is_wanted, is_wanted_of};

/// A list of strings that ends with a null pointer.
type Words = *const *const u8;

/// execve(2).
///
/// # Safety
///
/// As execve(2), which may be told of any memory.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C-unwind" fn execve(path: *const u8, arguments: Words, variables: Words) -> i32 {
    pass_on!(c"execve" as unsafe extern "C" fn(*const u8, Words, Words) -> i32: path, arguments, variables);
    // SAFETY: as promised.
    told(unsafe { execute(path, arguments, variables) })
}

/// execv(3).
///
/// # Safety
///
/// As execv(3), which may be told of any memory.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C-unwind" fn execv(path: *const u8, arguments: Words) -> i32 {
    pass_on!(c"execv" as unsafe extern "C" fn(*const u8, Words) -> i32: path, arguments);
    // SAFETY: as promised.
    told(unsafe { execute(path, arguments, environment()) })
}

/// execvp(3): the C library's, with another environment.
///
/// # Safety
///
/// As execvp(3).
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C-unwind" fn execvp(file: *const u8, arguments: Words) -> i32 {
    const ENOSYS: isize = -38;
    pass_on!(c"execvp" as unsafe extern "C" fn(*const u8, Words) -> i32: file, arguments);
    let place = symbol!("execvpe");
    if place == 0 {
        return told(ENOSYS);
    }
    // SAFETY: the C library's function.
    unsafe {
        let execvpe = core::mem::transmute::<usize, unsafe extern "C" fn(*const u8, Words, Words) -> i32>(place);
        let variables = environment();
        let is_wanted = is_wanted_of(file, variables);
        loaded(is_wanted, variables, &mut |variables| {
            execvpe(file, arguments, variables)
        })
    }
}

/// # Safety
///
/// As execve(2).
unsafe fn execute(path: *const u8, arguments: Words, variables: Words) -> isize {
    // SAFETY: as promised.
    unsafe {
        loaded(is_wanted(path), variables, &mut |variables| {
            call(EXECVE, [path as usize, arguments as usize, variables as usize, 0, 0, 0])
        })
    }
}

/// The program's environment, as its C library has it (environ(7)).
fn environment() -> Words {
    let place = symbol!("environ") as *const Words;
    if place.is_null() {
        return ptr::null();
    }
    // SAFETY: the C library's variable.
    unsafe { place.read_volatile() }
}
