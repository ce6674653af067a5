//! What a program executes is loaded with the library too.
//!
//! The supervisor looks at the file, once, and says whether the library is for it. Where it is not – another C library, privileges of the file, a
//! program that makes none of the library's calls – nothing is different but that the new program's calls are judged. So it is for functions that execute
//! within the C library: execl(3), `posix_spawn(3)`, system(3).

use core::mem::MaybeUninit;
use core::ptr;

use crate::behind::pass_on;
use crate::chart::{INTERPRETERS_MAX, NEVER, PATH_MAX, SCRIPT_HEAD, answer, interpreter, place_of, question, version};
use crate::kernel::{
    AT_FDCWD, CAPGET, CLOSE, CONNECT, EXECVE, FACCESSAT, GETEGID, GETEUID, MADV_POPULATE_WRITE, NEWFSTATAT, OPENAT,
    PAGE, PRCTL, PREAD64, SIGALTSTACK, call, is_present, symbol, told,
};
use crate::present::Present;
use crate::{Told, chart, may_leave, may_open, may_take};

/// asm-generic/fcntl.h.
const O_NOCTTY: usize = 0o400;
const O_NONBLOCK: usize = 0o4_000;
const O_CLOEXEC: usize = 0o2_000_000;
const X_OK: usize = 1;
const AT_EMPTY_PATH: usize = 0x1000;

/// Words of the longest environment that has the library in it. They lie on the stack.
const VARIABLES_MAX: usize = 512;
/// Octets of the longest `LD_PRELOAD`, and of the longest file name that is looked for in `PATH`.
const LINE_MAX: usize = 512;

/// The same of most environments: a stack may be a coroutine's, a signal's, or one that clone(2) was told, with a page for a call of execve(2).
const VARIABLES_FEW: usize = 64;
/// The variable's name, the path and a zero.
const LINE_SHORT: usize = PRELOAD.len() + PATH_MAX + 1;

/// What a longer one needs of the stack, with what is called.
const ROOM: usize = 2 * PAGE;

const PRELOAD: &[u8] = b"LD_PRELOAD=";
const LIBRARY_PATH: &[u8] = b"LD_LIBRARY_PATH=";
const LINKERS: &[u8] = b"LD_";
const SEARCH: &[u8] = b"PATH=";

type Words = *const *const u8;
type Octets<const LEN: usize> = [MaybeUninit<u8>; LEN];
const NOTHING: Octets<LINE_MAX> = [const { MaybeUninit::uninit() }; LINE_MAX];

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

/// Executes, with an environment in which the new program finds the library; with the one that was given where it is not to have it or cannot.
///
/// # Safety
///
/// Nobody takes the memory of `variables` away meanwhile.
unsafe fn loaded<T>(is_wanted: bool, variables: Words, execute: &mut impl FnMut(Words) -> T) -> T {
    // SAFETY: as promised.
    unsafe {
        let mut result = None;
        if is_wanted {
            result = loaded_by::<VARIABLES_FEW, LINE_SHORT, T>(variables, execute);
        }
        if is_wanted && result.is_none() && has_room() {
            result = loaded_by::<VARIABLES_MAX, LINE_MAX, T>(variables, execute);
        }
        result.unwrap_or_else(|| execute(variables))
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

/// Whether a program is to have the library that execvp(3) executes.
///
/// # Safety
///
/// As [`find`].
#[inline(never)]
unsafe fn is_wanted_of(file: *const u8, variables: Words) -> bool {
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
fn is_wanted(path: *const u8) -> bool {
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

/// Whether the new program will find the library by its path, of which the dynamic linker would complain to standard error: this process does, as
/// the supervisor's user and group, whose the file is, and executing takes nothing away by which it does.
fn is_found() -> bool {
    // SAFETY: the chart's fields, which nobody writes; no memory is involved else.
    unsafe {
        let user = call(GETEUID, [0; 6]) as u32;
        let group = call(GETEGID, [0; 6]) as u32;
        // In another name space of processes its number may be another one's.
        let is_library = |it: Looked| it.file == (*chart()).library && (it.user, it.group) == (user, group);
        let library = open((&raw const (*chart()).path).cast(), O_CLOEXEC);
        let looked = library.and_then(|it| look(it.0, c"".as_ptr().cast(), AT_EMPTY_PATH));
        looked.is_some_and(is_library) && keeps_capabilities(user)
    }
}

/// Whether who executes keeps what capabilities have to do with finding the library: the supervisor's may be no more than a process's own, unless that
/// may trace everybody (`cap_ptrace_access_check`, security/commoncap.c).
fn keeps_capabilities(user: u32) -> bool {
    const ROOT: u32 = 0;
    const SYS_PTRACE: u32 = 19;
    const PR_CAPBSET_READ: usize = 23;
    const PR_GET_SECUREBITS: usize = 27;
    const SECBIT_NOROOT: isize = 1;
    /// `_LINUX_CAPABILITY_VERSION_3` (linux/capability.h), of two parts of 32.
    const VERSION: u32 = 0x2008_0522;
    let (header, mut parts) = ([VERSION, 0], [[0u32; 3]; 2]);
    // SAFETY: the kernel reads two integers and fills six.
    let asked = unsafe {
        call(
            CAPGET,
            [header.as_ptr() as usize, parts.as_mut_ptr() as usize, 0, 0, 0, 0],
        )
    };
    let [[low, ..], [high, ..]] = parts;
    let effective = u64::from(high) << 32 | u64::from(low);
    if asked != 0 || user != ROOT {
        return asked == 0 && effective == 0;
    }
    let needed = match effective & 1 << SYS_PTRACE {
        0 => effective,
        traces => traces,
    };
    // SAFETY: no memory is involved.
    let prctl = |option, value: u32| unsafe { call(PRCTL, [option, value as usize, 0, 0, 0, 0]) };
    let is_bound = |it: u32| needed & 1 << it == 0 || prctl(PR_CAPBSET_READ, it) == 1;
    prctl(PR_GET_SECUREBITS, 0) & SECBIT_NOROOT == 0 && (0..u64::BITS).all(is_bound)
}

/// Opens a file for reading, which nobody has to be asked about.
fn open(path: *const u8, flags: usize) -> Option<Descriptor> {
    // SAFETY: the kernel reads the path, if it is there.
    Descriptor::of(unsafe { call(OPENAT, [AT_FDCWD, path as usize, flags, 0, 0, Told::read().token]) })
}

/// A descriptor of this module's, closed at its end.
struct Descriptor(usize);

impl Descriptor {
    /// What a call has given; none if it failed.
    fn of(result: isize) -> Option<Self> {
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
fn look(directory: usize, path: *const u8, flags: usize) -> Option<Looked> {
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
struct Looked {
    is_regular: bool,
    file: u64,
    version: u64,
    user: u32,
    group: u32,
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

/// A string on the stack that grows.
struct Line<'a> {
    octets: &'a mut [MaybeUninit<u8>],
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
