//! Files, as the library looks at them: it asks nobody, and closes what it has opened.

use core::mem::MaybeUninit;

use crate::Told;
use crate::chart::{NEVER, version};
use crate::kernel::{AT_FDCWD, CLOSE, NEWFSTATAT, OPENAT, call};

/// asm-generic/fcntl.h.
pub(crate) const O_NOCTTY: usize = 0o400;
pub(crate) const O_NONBLOCK: usize = 0o4_000;
pub(crate) const O_CLOEXEC: usize = 0o2_000_000;
pub(crate) const AT_EMPTY_PATH: usize = 0x1000;

/// Opens a file for reading, which nobody has to be asked about.
pub(crate) fn open(path: *const u8, flags: usize) -> Option<Descriptor> {
    // SAFETY: the kernel reads the path, if it is there.
    Descriptor::of(unsafe { call(OPENAT, [AT_FDCWD, path as usize, flags, 0, 0, Told::read().token]) })
}

/// A descriptor of this module's, closed at its end.
pub(crate) struct Descriptor(pub(crate) usize);

impl Descriptor {
    /// What a call has given; none if it failed.
    pub(crate) fn of(result: isize) -> Option<Self> {
        usize::try_from(result).ok().map(Self)
    }
}

impl Drop for Descriptor {
    fn drop(&mut self) {
        // SAFETY: nobody else knows of it.
        unsafe { call(CLOSE, [self.0, 0, 0, 0, 0, 0]) };
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
