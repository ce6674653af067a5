//! Files, as the library looks at them: it asks nobody, and closes what it has opened.

use core::mem::MaybeUninit;

use crate::Told;
use crate::chart::{NEVER, version};
use crate::kernel::{CLOSE, NEWFSTATAT, OPENAT, call};
use crate::present::Present;

/// linux/fcntl.h.
pub(crate) const AT_SYMLINK_NOFOLLOW: usize = 0x100;
pub(crate) const AT_EMPTY_PATH: usize = 0x1000;

/// A file that can be read, closed at its end if it was opened here.
pub(crate) struct File {
    number: usize,
    is_ours: bool,
}

impl File {
    /// Opens a file for reading, which nobody has to be asked about; with `AT_EMPTY_PATH` it may be the one that the program has open as `directory`.
    pub(crate) fn open(directory: usize, path: *const u8, flags: usize) -> Option<Self> {
        /// asm-generic/fcntl.h.
        const O_NOCTTY: usize = 0o400;
        const O_NONBLOCK: usize = 0o4_000;
        const O_CLOEXEC: usize = 0o2_000_000;
        let mut present = Present::NONE;
        // SAFETY: the path is looked at before it is read.
        if flags & AT_EMPTY_PATH != 0 && unsafe { present.octet(path, 0) }? == 0 {
            return Some(Self {
                number: directory,
                is_ours: false,
            });
        }
        let flags = O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
        // SAFETY: the kernel reads the path, if it is there.
        let opened = unsafe { call(OPENAT, [directory, path as usize, flags, 0, 0, Told::read().token]) };
        usize::try_from(opened)
            .ok()
            .map(|number| Self { number, is_ours: true })
    }

    /// Its descriptor.
    pub(crate) fn number(&self) -> usize {
        self.number
    }
}

impl Drop for File {
    fn drop(&mut self) {
        if self.is_ours {
            // SAFETY: nobody else knows of it.
            unsafe { call(CLOSE, [self.number, 0, 0, 0, 0, 0]) };
        }
    }
}

/// What there is to know of the file that a path leads to.
pub(crate) fn look(directory: usize, path: *const u8, flags: usize) -> Option<Looked> {
    const S_IFMT: u32 = 0o170_000;
    const S_IFREG: u32 = 0o100_000;
    let mut place = MaybeUninit::<Stat>::uninit();
    // SAFETY: the kernel reads the path, if it is there, and fills the place.
    let stat = unsafe {
        let result = call(
            NEWFSTATAT,
            [directory, path as usize, place.as_mut_ptr() as usize, flags, 0, 0],
        );
        (result == 0).then(|| &*place.as_ptr())?
    };
    Some(Looked {
        is_regular: stat.mode & S_IFMT == S_IFREG,
        file: version(stat.device, stat.number, NEVER),
        version: version(stat.device, stat.number, stat.changed),
        user: stat.user,
        group: stat.group,
    })
}

/// What there is to know of a file.
pub(crate) struct Looked {
    pub(crate) is_regular: bool,
    pub(crate) file: u64,
    pub(crate) version: u64,
    pub(crate) user: u32,
    pub(crate) group: u32,
}

/// `struct stat` (asm/stat.h).
#[repr(C)]
struct Stat {
    device: u64,
    number: u64,
    _links: u64,
    mode: u32,
    user: u32,
    group: u32,
    _between: [u32; 17],
    changed: (u64, u64),
    _reserved: [u64; 3],
}

const _: () = assert!(core::mem::offset_of!(Stat, changed) == 104 && size_of::<Stat>() == 144);
