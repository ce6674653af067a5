//! What a program executes is loaded with the library too.
//!
//! The supervisor looks at the file, once, and says whether the library is for it ([`program`]). Where it is not – another C library, privileges of the
//! file, a program that makes none of the library's calls – nothing is different but that the new program's calls are judged. So it is for what executes
//! within the C library: system(3), popen(3), wordexp(3).

mod environment;
mod program;
mod reach;
mod spawn;
mod system;
mod words;

use crate::behind::{in_the_c_library, pass_on};
use crate::file::{AT_EMPTY_PATH, AT_SYMLINK_NOFOLLOW};
use crate::kernel::{EINVAL, ENOSYS, EXECVE, EXECVEAT, call, told};
use environment::{loaded, own};
use program::{Named, is_wanted, is_wanted_by_name, is_wanted_of};

/// A list of strings that ends with a null pointer.
type Words = *const *const u8;

/// execve(2) and execvpe(3), as others have them.
type Function = unsafe extern "C" fn(*const u8, Words, Words) -> i32;

/// execve(2).
///
/// # Safety
///
/// As execve(2), which may be told of any memory.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C-unwind" fn execve(path: *const u8, arguments: Words, variables: Words) -> i32 {
    pass_on!(c"execve" as Function: path, arguments, variables);
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
    told(unsafe { execute(path, arguments, own()) })
}

/// execvp(3).
///
/// # Safety
///
/// As execvp(3).
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C-unwind" fn execvp(file: *const u8, arguments: Words) -> i32 {
    pass_on!(c"execvp" as unsafe extern "C" fn(*const u8, Words) -> i32: file, arguments);
    // SAFETY: as promised.
    unsafe { execute_by_name(file, arguments, own()) }
}

/// execvpe(3).
///
/// # Safety
///
/// As execvpe(3).
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C-unwind" fn execvpe(file: *const u8, arguments: Words, variables: Words) -> i32 {
    pass_on!(c"execvpe" as Function: file, arguments, variables);
    // SAFETY: as promised.
    unsafe { execute_by_name(file, arguments, variables) }
}

/// fexecve(3).
///
/// # Safety
///
/// As fexecve(3), which may be told of any memory.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C-unwind" fn fexecve(file: i32, arguments: Words, variables: Words) -> i32 {
    pass_on!(c"fexecve" as unsafe extern "C" fn(i32, Words, Words) -> i32: file, arguments, variables);
    if file < 0 || arguments.is_null() || variables.is_null() {
        return told(EINVAL);
    }
    // SAFETY: as promised.
    told(unsafe { execute_at(file, c"".as_ptr().cast(), arguments, variables, AT_EMPTY_PATH) })
}

/// execveat(2).
///
/// # Safety
///
/// As execveat(2), which may be told of any memory.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C-unwind" fn execveat(
    directory: i32,
    path: *const u8,
    arguments: Words,
    variables: Words,
    flags: i32,
) -> i32 {
    pass_on!(c"execveat" as unsafe extern "C" fn(i32, *const u8, Words, Words, i32) -> i32: directory, path, arguments, variables, flags);
    // SAFETY: as promised.
    told(unsafe { execute_at(directory, path, arguments, variables, flags as usize) })
}

/// A call that executes and returns has failed: why, it is to say with the environment that was given.
fn in_vain<T>(_: &T) -> bool {
    false
}

/// # Safety
///
/// As execve(2).
unsafe fn execute(path: *const u8, arguments: Words, variables: Words) -> isize {
    // SAFETY: as promised.
    unsafe {
        loaded(is_wanted(path), variables, in_vain, &mut |variables| {
            call(EXECVE, [path as usize, arguments as usize, variables as usize, 0, 0, 0])
        })
    }
}

/// What execvpe(3) does: the C library's, with another environment.
///
/// # Safety
///
/// As execvpe(3).
unsafe fn execute_by_name(file: *const u8, arguments: Words, variables: Words) -> i32 {
    let Some(place) = in_the_c_library(c"execvpe") else {
        return told(ENOSYS);
    };
    // SAFETY: the C library's function, and as promised.
    unsafe {
        let execvpe = core::mem::transmute::<usize, Function>(place);
        let is_wanted = is_wanted_by_name(file, true);
        loaded(is_wanted, variables, in_vain, &mut |variables| {
            execvpe(file, arguments, variables)
        })
    }
}

/// # Safety
///
/// As execveat(2).
unsafe fn execute_at(directory: i32, path: *const u8, arguments: Words, variables: Words, flags: usize) -> isize {
    let directory = directory as usize;
    let program = Named {
        directory,
        path,
        flags,
        is_here: true,
    };
    let is_known = flags & !(AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW) == 0;
    // SAFETY: as promised.
    unsafe {
        loaded(
            is_known && is_wanted_of(&program),
            variables,
            in_vain,
            &mut |variables| {
                let (path, arguments, variables) = (path as usize, arguments as usize, variables as usize);
                call(EXECVEAT, [directory, path, arguments, variables, flags, 0])
            },
        )
    }
}
