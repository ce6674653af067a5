//! What the library does before main: it takes itself out of the program's sight.

use crate::chart;
use crate::chart::PATH_MAX;

/// `AT_IGNORE` (elf.h): the entry of the auxiliary vector that says nothing.
const IGNORE: usize = 1;

/// Called by the dynamic linker when the program has been loaded (ELF's `DT_INIT_ARRAY`; glibc passes what main gets).
#[used]
#[unsafe(link_section = ".init_array")]
static BEGIN: unsafe extern "C" fn(i32, *const *mut u8, *mut *mut u8) = begin;

/// Takes out of the program's sight what has led the dynamic linker here: the variable, which stands last.
///
/// Some look for the auxiliary vector behind the environment's end. Where that moves, by the variable and an empty one behind it, the two words left
/// over become an entry of the vector that says nothing.
///
/// # Safety
///
/// `variables` is the program's environment, a list of strings that ends with a null pointer.
unsafe extern "C" fn begin(_count: i32, _arguments: *const *mut u8, variables: *mut *mut u8) {
    // SAFETY: a field that nobody writes.
    let path = unsafe { &(*chart()).path };
    if path[0] == 0 || variables.is_null() {
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
            hide(*variables.add(at), path);
            if is_alone {
                *variables.add(at) = core::ptr::null_mut();
                *variables.add(at + 1).cast::<usize>() = IGNORE;
            }
        }
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
            *variable.add(at) = 0;
        }
    }
}
