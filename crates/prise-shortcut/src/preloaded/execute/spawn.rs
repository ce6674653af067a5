//! `posix_spawn(3)` and `posix_spawnp(3)`: the C library's, with another environment.
//!
//! What is executed is the same for the new process as for this one but for what the call changes on the way: its directory, its descriptors, its user.
//! Where it may do so the environment stays as it is.

use core::ffi::CStr;
use core::mem::MaybeUninit;

use super::Words;
use super::environment::loaded;
use super::program::{Named, is_wanted_by_name, is_wanted_of};
use crate::behind::{in_the_c_library, pass_on};
use crate::kernel::{E2BIG, ENOSYS, GETEGID, GETEUID, GETGID, GETUID, call};

/// Both, as others have them.
type Function = unsafe extern "C" fn(*mut i32, *const u8, *const Actions, *const Attributes, Words, Words) -> i32;

/// `posix_spawn_file_actions_t` (spawn.h), as far as it matters.
#[repr(C)]
pub(crate) struct Actions {
    _room: i32,
    count: i32,
}

/// `posix_spawnattr_t` (spawn.h), as far as it matters: of the rest nothing is read which the flags do not name.
#[repr(C)]
pub(crate) struct Attributes {
    flags: i16,
    _group: MaybeUninit<i32>,
    default: Signals,
    mask: Signals,
    _rest: MaybeUninit<[u32; 18]>,
}

const _: () = assert!(size_of::<Attributes>() == 336);

/// `sigset_t` (signal.h), of which Linux has the first word.
#[repr(C)]
struct Signals {
    first: u64,
    _rest: MaybeUninit<[u64; 15]>,
}

impl Attributes {
    /// `POSIX_SPAWN_RESETIDS`.
    const RESETIDS: i16 = 0x01;
    /// `POSIX_SPAWN_SETSIGDEF`.
    const SETSIGDEF: i16 = 0x04;
    /// `POSIX_SPAWN_SETSIGMASK`.
    const SETSIGMASK: i16 = 0x08;

    /// Those of a process for which these signals are not caught and those blocked.
    pub(super) fn of_signals(default: u64, mask: u64) -> Self {
        let set = |first| Signals {
            first,
            _rest: MaybeUninit::uninit(),
        };
        Self {
            flags: Self::SETSIGDEF | Self::SETSIGMASK,
            _group: MaybeUninit::uninit(),
            default: set(default),
            mask: set(mask),
            _rest: MaybeUninit::uninit(),
        }
    }
}

/// `posix_spawn(3)`.
///
/// # Safety
///
/// As `posix_spawn(3)`.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C-unwind" fn posix_spawn(
    process: *mut i32,
    path: *const u8,
    actions: *const Actions,
    attributes: *const Attributes,
    arguments: Words,
    variables: Words,
) -> i32 {
    pass_on!(c"posix_spawn" as Function: process, path, actions, attributes, arguments, variables);
    let spawn = Spawn {
        process,
        file: path,
        actions,
        attributes,
        arguments,
    };
    // SAFETY: as promised.
    unsafe {
        let program = Named {
            path,
            is_here: spawn.keeps_files(),
            ..Named::HERE
        };
        spawn.make(c"posix_spawn", variables, || is_wanted_of(&program))
    }
}

/// `posix_spawnp(3)`.
///
/// # Safety
///
/// As `posix_spawnp(3)`.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C-unwind" fn posix_spawnp(
    process: *mut i32,
    file: *const u8,
    actions: *const Actions,
    attributes: *const Attributes,
    arguments: Words,
    variables: Words,
) -> i32 {
    pass_on!(c"posix_spawnp" as Function: process, file, actions, attributes, arguments, variables);
    let spawn = Spawn {
        process,
        file,
        actions,
        attributes,
        arguments,
    };
    // SAFETY: as promised.
    unsafe {
        let is_here = spawn.keeps_files();
        spawn.make(c"posix_spawnp", variables, || is_wanted_by_name(file, is_here))
    }
}

/// What a call is told, but for the environment.
pub(super) struct Spawn {
    pub(super) process: *mut i32,
    pub(super) file: *const u8,
    pub(super) actions: *const Actions,
    pub(super) attributes: *const Attributes,
    pub(super) arguments: Words,
}

impl Spawn {
    /// Makes the call by the C library's function of that name, in an environment with the library if the program is to have it.
    ///
    /// # Safety
    ///
    /// As the function.
    pub(super) unsafe fn make(&self, name: &CStr, variables: Words, is_wanted: impl FnOnce() -> bool) -> i32 {
        let Some(place) = in_the_c_library(name) else {
            return -ENOSYS as i32;
        };
        let Self {
            process,
            file,
            actions,
            attributes,
            arguments,
        } = *self;
        // SAFETY: the C library's function, and as promised.
        unsafe {
            let spawn = core::mem::transmute::<usize, Function>(place);
            let is_wanted = self.keeps_user() && is_wanted();
            // What file actions do, they do once.
            let stands = |error: &i32| *error != -E2BIG as i32 || !self.keeps_files();
            loaded(is_wanted, variables, stands, &mut |variables| {
                spawn(process, file, actions, attributes, arguments, variables)
            })
        }
    }

    /// Whether the new process is the same user and group.
    ///
    /// # Safety
    ///
    /// As [`Self::make`].
    unsafe fn keeps_user(&self) -> bool {
        // SAFETY: as promised; no memory is involved else.
        unsafe {
            let own = |number| call(number, [0; 6]);
            self.attributes.is_null()
                || (*self.attributes).flags & Attributes::RESETIDS == 0
                || own(GETUID) == own(GETEUID) && own(GETGID) == own(GETEGID)
        }
    }

    /// Whether the new process has the same directory and descriptors.
    ///
    /// # Safety
    ///
    /// As [`Self::make`].
    unsafe fn keeps_files(&self) -> bool {
        // SAFETY: as promised.
        unsafe { self.actions.is_null() || (*self.actions).count == 0 }
    }
}
