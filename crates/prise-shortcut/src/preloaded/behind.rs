//! Libraries of the program's that have functions of the same names: one that it is linked with, and that is before the C library in the order in which
//! the dynamic linker looks (ld.so(8)), has its calls on the kernel. Wrappers do so that hook calls for coroutines, count or simulate them. What is
//! preloaded comes before all of these, and has to pass their calls on.
//!
//! Which it is would be told by `dlsym(3)` with `RTLD_NEXT`, which older C libraries do not have, others wrap, and which a signal's handler may not call.
//! The lists that it reads are public: the linker's `struct link_map` (link.h) and what ELF has of a library's names.

use core::arch::{asm, global_asm};
use core::ffi::CStr;
use core::iter::from_fn;
use core::sync::atomic::{AtomicUsize, Ordering};

use crate::kernel::symbol;

global_asm!(".weak _r_debug");

/// elf.h.
const DT_NULL: usize = 0;
const DT_STRTAB: usize = 5;
const DT_SYMTAB: usize = 6;
const DT_SONAME: usize = 14;
const DT_GNU_HASH: usize = 0x6fff_fef5;
const DT_VERSYM: usize = 0x6fff_fff0;
const STT_FUNC: u8 = 2;
/// A version that is only there for programs that were linked with it.
const VERSYM_HIDDEN: u16 = 0x8000;

/// Where the calls are found that nobody wraps. Before glibc 2.34 both parts have them.
const C_LIBRARY: &CStr = c"libc.so.6";
const ITS_THREADS: &CStr = c"libpthread.so.0";

/// A function of ours, and who has it behind us.
pub(crate) struct Behind {
    name: &'static CStr,
    found: AtomicUsize,
}

/// Leaves a call to the function that is behind ours. Its type is one that does not unwind, though a cancelled thread's may: else there would be a landing pad
/// here, which wants Rust's run time.
macro_rules! pass_on {
    ($name:literal as $function:ty: $($argument:expr),+) => {{
        static BEHIND: $crate::behind::Behind = $crate::behind::Behind::of($name);
        if let Some(function) = BEHIND.function() {
            // SAFETY: as promised to ours, which has the same arguments.
            return unsafe { core::mem::transmute::<usize, $function>(function)($($argument),+) };
        }
    }};
}
pub(crate) use pass_on;

/// What [`Behind::found`] says before anybody has looked, and where the C library is the next.
const UNKNOWN: usize = 0;
const NOBODY: usize = 1;

impl Behind {
    pub(crate) const fn of(name: &'static CStr) -> Self {
        Self {
            name,
            found: AtomicUsize::new(UNKNOWN),
        }
    }

    /// The function of the library whose it would be without ours; none where that is the C library. Libraries that are loaded later come behind that.
    pub(crate) fn function(&self) -> Option<usize> {
        let mut found = self.found.load(Ordering::Relaxed);
        if found == UNKNOWN {
            // SAFETY: what the program has begun with stays to its end.
            found = unsafe { look(self.name) }.unwrap_or(NOBODY);
            self.found.store(found, Ordering::Relaxed);
        }
        (found != NOBODY).then_some(found)
    }
}

/// `struct r_debug` and `struct link_map` (link.h), as far as they are public.
#[repr(C)]
struct Debugged {
    _version: i32,
    first: *const Object,
}

#[repr(C)]
struct Object {
    base: usize,
    _name: *const u8,
    dynamic: *const Entry,
    next: *const Object,
}

/// `Elf64_Dyn` (elf.h).
#[repr(C)]
struct Entry {
    tag: usize,
    value: usize,
}

/// `Elf64_Sym` (elf.h).
#[repr(C)]
struct Symbol {
    name: u32,
    info: u8,
    _other: u8,
    section: u16,
    value: usize,
    _size: usize,
}

/// The C library's own function of this name, which is behind ours; none if it has none.
pub(crate) fn in_the_c_library(name: &CStr) -> Option<usize> {
    // SAFETY: what the program has begun with stays to its end.
    unsafe { libraries().find(|it| it.is_called(C_LIBRARY))?.function(name) }
}

/// The function of this name in the objects between ours and the C library.
///
/// # Safety
///
/// The dynamic linker's list, which is there if its name is, is not changed there.
unsafe fn look(name: &CStr) -> Option<usize> {
    // SAFETY: as promised.
    unsafe {
        libraries()
            .take_while(|it| !it.is_called(C_LIBRARY))
            .filter(|it| !it.is_called(ITS_THREADS))
            .find_map(|it| it.function(name))
    }
}

/// The objects behind ours, in the linker's order.
///
/// # Safety
///
/// The same.
unsafe fn libraries() -> impl Iterator<Item = Names> {
    let debugged = symbol!("_r_debug") as *const Debugged;
    let ours: *const Entry;
    // SAFETY: the address of our own dynamic section is taken; the linker's lists are read as promised.
    let mut object = unsafe {
        asm!("lea {0}, [rip + _DYNAMIC]", out(reg) ours, options(nostack, nomem, preserves_flags));
        let mut object = debugged.as_ref().and_then(|it| it.first.as_ref());
        while object.is_some_and(|it| it.dynamic != ours) {
            object = object.and_then(|it| it.next.as_ref());
        }
        object
    };
    // SAFETY: the same.
    let next = move || unsafe {
        object = object?.next.as_ref();
        object.map(|it| Names::of(it))
    };
    from_fn(next).flatten()
}

/// What an object tells of its names.
struct Names {
    base: usize,
    strings: usize,
    symbols: usize,
    hashes: usize,
    versions: usize,
    own: Option<usize>,
}

impl Names {
    /// None where it has no table by which the linker finds them, as all have but those that were made for its oldest releases only.
    ///
    /// # Safety
    ///
    /// The object stays.
    unsafe fn of(object: &Object) -> Option<Self> {
        let mut names = Self {
            base: object.base,
            strings: 0,
            symbols: 0,
            hashes: 0,
            versions: 0,
            own: None,
        };
        let mut entry = object.dynamic;
        // SAFETY: the list ends with a null entry.
        unsafe {
            while let Some(Entry { tag, value }) = entry.as_ref()
                && *tag != DT_NULL
            {
                // The linker has added the base, but where it could not write.
                let place = if *value < object.base {
                    *value + object.base
                } else {
                    *value
                };
                match *tag {
                    DT_STRTAB => names.strings = place,
                    DT_SYMTAB => names.symbols = place,
                    DT_GNU_HASH => names.hashes = place,
                    DT_VERSYM => names.versions = place,
                    DT_SONAME => names.own = Some(*value),
                    _ => (),
                }
                entry = entry.add(1);
            }
        }
        (names.strings != 0 && names.symbols != 0 && names.hashes != 0).then_some(names)
    }

    /// # Safety
    ///
    /// As [`Self::of`].
    unsafe fn is_called(&self, name: &CStr) -> bool {
        // SAFETY: as promised.
        self.own.is_some_and(|at| unsafe { self.is(at, name) })
    }

    /// Whether the string at this place of the object's is `name`.
    ///
    /// # Safety
    ///
    /// The same.
    unsafe fn is(&self, at: usize, name: &CStr) -> bool {
        let string = (self.strings + at) as *const u8;
        let mut octets = name.to_bytes_with_nul().iter().enumerate();
        // SAFETY: as promised; none of its octets before was zero.
        octets.all(|(at, octet)| unsafe { string.add(at).read_volatile() } == *octet)
    }

    /// Whether a symbol is not for programs that are linked today.
    ///
    /// # Safety
    ///
    /// The same.
    unsafe fn is_old(&self, symbol: u32) -> bool {
        let place = (self.versions as *const u16).wrapping_add(symbol as usize);
        // SAFETY: each symbol has a version where any has.
        self.versions != 0 && unsafe { *place } & VERSYM_HIDDEN != 0
    }

    /// A function that the object has and shows, by its table of hashes: words of a filter, heads of chains, and the chains, of which the last link is odd.
    ///
    /// # Safety
    ///
    /// The same.
    unsafe fn function(&self, name: &CStr) -> Option<usize> {
        let hash = name.to_bytes().iter().fold(5381u32, |hash, octet| {
            hash.wrapping_mul(33).wrapping_add(u32::from(*octet))
        });
        let word = |at: usize| (self.hashes as *const u32).wrapping_add(at);
        // SAFETY: the table is as its head says, and so are the symbols.
        unsafe {
            let [heads, first, filter] = [0, 1, 2].map(|at| *word(at));
            let head = 4 + 2 * filter as usize;
            let chain = head + heads as usize;
            let mut at = match heads {
                0 => return None,
                _ => *word(head + (hash % heads) as usize),
            };
            while let Some(link) = at.checked_sub(first) {
                let told = *word(chain + link as usize);
                let symbol = &*(self.symbols as *const Symbol).add(at as usize);
                let is_function = symbol.section != 0 && symbol.info & 0xf == STT_FUNC;
                if told | 1 == hash | 1 && is_function && !self.is_old(at) && self.is(symbol.name as usize, name) {
                    return Some(self.base + symbol.value);
                }
                if told & 1 == 1 {
                    break;
                }
                at += 1;
            }
        }
        None
    }
}
