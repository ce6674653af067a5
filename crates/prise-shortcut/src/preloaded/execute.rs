//! What a program executes is loaded with the library too.
//!
//! The supervisor looks at the file and lends the library, as a descriptor of this process alone, which is most often a child between fork(2) and
//! execve(2). Where it does not – another C library, privileges of the file, no room – nothing is different but that the new program's calls are judged. So it is for
//! functions that make the call within the C library: execl(3), `posix_spawn(3)`, system(3).

use core::mem::MaybeUninit;
use core::ptr;

use crate::chart::{PATH_MAX, SCRIPT_HEAD, interpreter, loan, place_of, version};
use crate::kernel::{
    CLOSE, CONNECT, EXECVE, FACCESSAT, FCNTL, FSTAT, MADV_POPULATE_READ, OPENAT, PAGE, PREAD64, call, is_present,
    symbol, told,
};
use crate::{Told, chart, may_leave, may_take};

/// linux/fcntl.h.
const AT_FDCWD: usize = -100_isize as usize;
const O_NOCTTY: usize = 0o400;
const O_NONBLOCK: usize = 0o4_000;
const O_CLOEXEC: usize = 0o2_000_000;
const F_DUPFD: usize = 0;
const X_OK: usize = 1;

/// Scripts whose interpreters are scripts, as `start::linked` in `prise-run` follows them.
const INTERPRETERS_MAX: usize = 5;

/// Words of the longest environment that has the library in it. Like all of this they lie on the stack, which may be a coroutine's.
const VARIABLES_MAX: usize = 512;
/// Octets of the longest `LD_PRELOAD`, and of the longest file name that is looked for in `PATH`.
const LINE_MAX: usize = 512;

const PRELOAD: &[u8] = b"LD_PRELOAD=";
const LIBRARY_PATH: &[u8] = b"LD_LIBRARY_PATH=";
const LINKERS: &[u8] = b"LD_";
const SEARCH: &[u8] = b"PATH=";

type Words = *const *const u8;
type Octets = [MaybeUninit<u8>; LINE_MAX];
const NOTHING: Octets = [const { MaybeUninit::uninit() }; LINE_MAX];

/// execve(2).
///
/// # Safety
///
/// As execve(2), which may be told of any memory.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C-unwind" fn execve(path: *const u8, arguments: Words, variables: Words) -> i32 {
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
    let place = symbol!("execvpe");
    if place == 0 {
        return told(ENOSYS);
    }
    // SAFETY: the C library's function.
    unsafe {
        let execvpe = core::mem::transmute::<usize, unsafe extern "C" fn(*const u8, Words, Words) -> i32>(place);
        let variables = environment();
        let (mut place, mut more) = (NOTHING, MaybeUninit::uninit());
        let path = find(file, variables, &mut place).unwrap_or(ptr::null());
        let loaded = Loaded::new(path, variables, &mut more);
        let result = execvpe(file, arguments, loaded.as_ref().map_or(variables, |it| it.variables));
        if let Some(loaded) = loaded {
            loaded.give_back();
        }
        result
    }
}

/// # Safety
///
/// As execve(2).
unsafe fn execute(path: *const u8, arguments: Words, variables: Words) -> isize {
    let mut more = MaybeUninit::uninit();
    // SAFETY: as promised.
    unsafe {
        let loaded = Loaded::new(path, variables, &mut more);
        let variables = loaded.as_ref().map_or(variables, |it| it.variables);
        let result = call(EXECVE, [path as usize, arguments as usize, variables as usize, 0, 0, 0]);
        if let Some(loaded) = loaded {
            loaded.give_back();
        }
        result
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

/// The library as a new program will find it: a descriptor that stays open, and an environment that names it.
struct Loaded {
    descriptor: usize,
    variables: Words,
}

impl Loaded {
    /// None where the new program is not to have it or cannot.
    ///
    /// # Safety
    ///
    /// Nobody takes the environment's memory away meanwhile.
    unsafe fn new(path: *const u8, variables: Words, more: &mut MaybeUninit<Environment>) -> Option<Self> {
        if path.is_null() || !(may_leave() || may_take()) {
            return None;
        }
        // SAFETY: as promised; the path is for the kernel to read.
        unsafe {
            let program = program(path)?;
            let variables = Environment::write(more, variables)?;
            let library = borrow(&program)?;
            Some(Self {
                descriptor: library.leave_open(),
                variables,
            })
        }
    }

    /// The program was not executed.
    fn give_back(self) {
        drop(Descriptor(self.descriptor));
    }
}

/// The program in a file, or that interprets it, open for reading; none if it cannot be read, which is no reason not to execute it.
///
/// # Safety
///
/// None: the kernel reads the path.
unsafe fn program(path: *const u8) -> Option<Descriptor> {
    const ELF: &[u8] = b"\x7fELF";
    // Not zeros: memset(3) would fill it.
    let mut head = MaybeUninit::<[u8; SCRIPT_HEAD + 1]>::uninit();
    let place: *mut u8 = head.as_mut_ptr().cast();
    let mut path = path;
    for _ in 0..INTERPRETERS_MAX {
        let flags = O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
        // SAFETY: the kernel reads a path, and fills the place or less of it; a name within it has an octet behind its end.
        unsafe {
            let file = Descriptor::of(call(OPENAT, [AT_FDCWD, path as usize, flags, 0, 0, 0]))?;
            let len = call(PREAD64, [file.0, place as usize, SCRIPT_HEAD, 0, 0, 0]);
            let octets = core::slice::from_raw_parts(place, usize::try_from(len).ok()?);
            if octets.starts_with(ELF) {
                return (!is_declined(&file)).then_some(file);
            }
            let name = interpreter(octets)?;
            let end = name.as_ptr().add(name.len()).cast_mut();
            path = name.as_ptr();
            end.write(0);
        }
    }
    None
}

/// Whether the supervisor has already said that the library is not for a file.
fn is_declined(file: &Descriptor) -> bool {
    // struct stat (asm/stat.h), in words.
    const DEVICE: usize = 0;
    const NUMBER: usize = 1;
    const CHANGED: usize = 13;
    let mut place = MaybeUninit::<[u64; 18]>::uninit();
    // SAFETY: the kernel fills the place; the words are read where they may change.
    unsafe {
        if call(FSTAT, [file.0, place.as_mut_ptr() as usize, 0, 0, 0, 0]) != 0 {
            return true;
        }
        let words = place.assume_init();
        let version = version(words[DEVICE], words[NUMBER], (words[CHANGED], words[CHANGED + 1]));
        let declined: *const u64 = (&raw const (*chart()).declined).cast();
        declined.add(place_of(version)).read_volatile() == version
    }
}

/// The library's descriptor, of the number that its path has, for the program in `file`.
fn borrow(file: &Descriptor) -> Option<Descriptor> {
    // SAFETY: fields that nobody writes.
    let (number, path) = unsafe { ((*chart()).descriptor as usize, (&raw const (*chart()).path) as usize) };
    let loan = loan(Told::read().token as u64) as usize;
    // SAFETY: no memory is involved but the chart's.
    unsafe {
        let lent = Descriptor::of(call(CONNECT, [file.0, 0, 0, 0, 0, loan]))?;
        let library = Descriptor::of(call(FCNTL, [lent.0, F_DUPFD, number, 0, 0, 0]))?;
        // Without /proc the dynamic linker would complain to the program's standard error.
        let seen = Descriptor::of(call(OPENAT, [AT_FDCWD, path, O_CLOEXEC, 0, 0, 0]));
        (library.0 == number && seen.is_some()).then_some(library)
    }
}

/// A descriptor of this module's, closed at its end.
struct Descriptor(usize);

impl Descriptor {
    /// What a call has given; none if it failed.
    fn of(result: isize) -> Option<Self> {
        usize::try_from(result).ok().map(Self)
    }

    fn leave_open(self) -> usize {
        let number = self.0;
        core::mem::forget(self);
        number
    }
}

impl Drop for Descriptor {
    fn drop(&mut self) {
        // SAFETY: nobody else knows of it.
        unsafe { call(CLOSE, [self.0, 0, 0, 0, 0, 0]) };
    }
}

/// Memory of the program's that is there. Lists and strings lie in turn in few pages, each of which is asked for once.
struct Present {
    words: Page,
    octets: Page,
}

/// The page that was asked for last.
struct Page(usize);

impl Page {
    /// Where none begins.
    const NONE: Self = Self(usize::MAX);

    fn has(&mut self, start: usize, len: usize) -> bool {
        let (first, last) = (start & !(PAGE - 1), start.wrapping_add(len - 1) & !(PAGE - 1));
        if first == self.0 && last == first {
            return true;
        }
        self.0 = last;
        is_present(start, len, MADV_POPULATE_READ)
    }
}

impl Present {
    const NONE: Self = Self {
        words: Page::NONE,
        octets: Page::NONE,
    };

    /// What a list of strings has at a place; none if that is not there.
    ///
    /// # Safety
    ///
    /// Nobody takes the memory away meanwhile.
    unsafe fn word(&mut self, list: Words, at: usize) -> Option<*const u8> {
        let place = list.wrapping_add(at);
        let is_there = self.words.has(place as usize, size_of::<Words>());
        // SAFETY: just looked at, and it may lie anywhere.
        is_there.then(|| unsafe { place.read_unaligned() })
    }

    /// # Safety
    ///
    /// The same.
    unsafe fn octet(&mut self, string: *const u8, at: usize) -> Option<u8> {
        let place = string.wrapping_add(at);
        // SAFETY: just looked at.
        self.octets
            .has(place as usize, 1)
            .then(|| unsafe { place.read_volatile() })
    }

    /// Whether a string begins with `with`; none if it is not there.
    ///
    /// # Safety
    ///
    /// The same.
    unsafe fn begins(&mut self, string: *const u8, with: &[u8]) -> Option<bool> {
        for (at, wanted) in with.iter().enumerate() {
            // SAFETY: as promised; the string goes on while none of its octets is zero.
            if unsafe { self.octet(string, at) }? != *wanted {
                return Some(false);
            }
        }
        Some(true)
    }
}

/// A string on the stack that grows.
struct Line<'a> {
    octets: &'a mut Octets,
    len: usize,
}

impl Line<'_> {
    fn push(&mut self, octet: u8) -> Option<()> {
        self.octets.get_mut(self.len)?.write(octet);
        self.len += 1;
        Some(())
    }

    fn push_all(&mut self, octets: &[u8]) -> Option<()> {
        octets.iter().try_for_each(|octet| self.push(*octet))
    }

    /// A string that ends with a zero, which is left out.
    ///
    /// # Safety
    ///
    /// As [`Present::octet`].
    unsafe fn push_string(&mut self, present: &mut Present, string: *const u8) -> Option<()> {
        for at in 0.. {
            // SAFETY: as promised.
            match unsafe { present.octet(string, at) }? {
                0 => break,
                octet => self.push(octet)?,
            }
        }
        Some(())
    }
}

/// An environment with the library in it, which is named last: it hides the end of the list, as `start::shortcut` in `prise-run` says.
struct Environment {
    list: [MaybeUninit<*const u8>; VARIABLES_MAX],
    line: Octets,
}

impl Environment {
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

/// The file that execvp(3) executes; none if there is none, or if its name is longer than anybody has it.
///
/// # Safety
///
/// Nobody takes the memory of the name or of the environment away meanwhile.
unsafe fn find(file: *const u8, variables: Words, place: &mut Octets) -> Option<*const u8> {
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
