//! The leave for a program to make connections which leave the run, and to accept clients of a published port, without asking: the library that it is loaded with ([`prise_shortcut`]).
//!
//! A connection that leaves is nothing but a stream of the host kernel's own with a mark ([`crate::handed::marked`]), where nobody wants its packets or has to know of it.
//! A program that is linked with glibc makes one by itself, for which the filter lets connect(2) pass that shows a number of this run's: not a
//! secret, because what it opens is open to everybody. Its file is a descriptor that is gone, with the variable that named it, when
//! main begins. Only the program of the run is loaded so, and what it forks: what it executes is not, nor are static programs; they are judged as ever.

use std::cell::Cell;
use std::env;
use std::ffi::{CString, OsStr};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use object::elf::{EM_X86_64, FileHeader64};
use object::read::ReadCache;
use object::read::elf::{ElfFile, FileHeader, ProgramHeader};
use object::{Endianness, Object, ObjectSection};
use prise_gateway::Addresses;
use prise_shortcut::chart::{Chart, Edge, Edges, Mark, PATH_MAX, wish};
use prise_sys::launch::Preload;
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::io::fcntl_dupfd_cloexec;
use rustix::net::SocketFlags;

use crate::guest::notify::Call;
use crate::handed::adopted::name_space;
use crate::handed::marked;
use crate::start::config::RunConfig;
use crate::supervisor::Supervisor;
use crate::world::gate::Gate;

/// The variable by which the dynamic linker is told (ld.so(8)).
const VARIABLE: &[u8] = b"LD_PRELOAD=";

/// Descriptors begin here among which the library's is: the dynamic linker knows it by its number, which a file of the program's own had better not
/// have. Below it where so many are not allowed.
const FAR: i32 = 700;

/// Whose programs are loaded so: others pass nothing to a library's constructors, or have another C library.
const LINKER: &[u8] = b"/lib64/ld-linux-x86-64.so.2";

/// What a program with a C library is started by: others may name the same linker.
const START: &[u8] = b"__libc_start_main";

/// Scripts whose interpreters are scripts: as many as the kernel follows (`exec_binprm`, fs/exec.c).
const INTERPRETERS_MAX: usize = 5;

/// What a sanitizer's run time is known by, each of which wants to be loaded first, or has its own idea of memory.
const SANITIZERS: [&[u8]; 4] = [b"__asan_", b"__hwasan_", b"__msan_", b"__tsan_"];

/// The library, told what it may do.
#[derive(Debug)]
pub(crate) struct Shortcut {
    preload: Preload,
    token: u64,
    connects: Leave,
    accepts: Leave,
}

/// A leave that the library has, a number in its file, which it reads there again and again.
#[derive(Debug, Clone)]
pub(crate) struct Leave(Rc<Given>);

#[derive(Debug)]
struct Given {
    file: Rc<File>,
    at: u64,
    ended: Cell<bool>,
}

impl Leave {
    fn new(file: &Rc<File>, at: usize) -> Self {
        Self(Rc::new(Given {
            file: Rc::clone(file),
            at: at as u64,
            ended: Cell::new(false),
        }))
    }

    /// Whether it holds.
    fn holds(&self) -> bool {
        !self.0.ended.get()
    }

    /// Takes it back, for good.
    pub(crate) fn end(&self) {
        if self.0.ended.replace(true) {
            return;
        }
        if let Err(error) = self.0.file.write_all_at(&0u32.to_ne_bytes(), self.0.at) {
            tracing::debug!(%error, "connections go on unasked");
        }
    }
}

impl Shortcut {
    /// The library for the program of `config`; none if that is not to have it or could not.
    pub(crate) fn new(config: &RunConfig, gate: &Gate) -> Option<Self> {
        if !config.preload || !find(&config.program).is_some_and(|it| can_be_loaded_with(&it)) {
            return None;
        }
        Self::prepare(gate).unwrap_or_else(|error| {
            tracing::debug!(%error, "connections that leave the run are judged");
            None
        })
    }

    fn prepare(gate: &Gate) -> io::Result<Option<Self>> {
        let Some(home) = home_of_marked()? else {
            return Ok(None);
        };
        let library = memfd_create(c"prise-shortcut", MemfdFlags::CLOEXEC)?;
        let library = File::from(fcntl_dupfd_cloexec(&library, FAR).unwrap_or(library));
        let path = format!("/proc/self/fd/{}", library.as_raw_fd());
        let chart = Chart {
            open: 1,
            accepts: 1,
            descriptor: library.as_raw_fd(),
            token: draw_token()?,
            home,
            edges: edges(&gate.addresses()),
            ..Chart::NONE
        };
        let Some(image) = with_path(chart, &path).and_then(|chart| prise_shortcut::image(&chart)) else {
            return Ok(None);
        };
        library.write_all_at(&image.octets, 0)?;
        // Without /proc the dynamic linker would complain to the program's standard error.
        File::open(&path)?;
        let file = Rc::new(library.try_clone()?);
        let preload = Preload {
            file: library.into(),
            environment: environment(&path),
        };
        Ok(preload.is_executable().then_some(Self {
            preload,
            token: chart.token,
            connects: Leave::new(&file, image.open_at),
            accepts: Leave::new(&file, image.accepts_at),
        }))
    }

    /// What a call shows that comes from the library.
    pub(crate) fn token(&self) -> u64 {
        self.token
    }

    /// What the program starts with.
    pub(crate) fn preload(&self) -> &Preload {
        &self.preload
    }

    /// The leave to accept without asking, while it holds, if a call is the library's, which wishes for it.
    pub(crate) fn leave_for(&self, call: &Call) -> Option<Leave> {
        (call.args[5] == wish(self.token) && self.accepts.holds()).then(|| self.accepts.clone())
    }
}

impl Supervisor {
    /// Somebody wants to know of connections that leave the run, or to see their packets.
    pub(crate) fn close_shortcut(&mut self) {
        if let Some(shortcut) = &self.shortcut {
            shortcut.connects.end();
        }
    }

    /// Somebody has a filter of its own, which knows nothing of the library's calls.
    pub(crate) fn close_library(&mut self) {
        if let Some(shortcut) = self.shortcut.take() {
            shortcut.connects.end();
            shortcut.accepts.end();
        }
    }
}

/// The host's network name space, as sockets tell it (`SO_NETNS_COOKIE`), if they do and the run's can be marked; where they cannot, connections are noted.
fn home_of_marked() -> io::Result<Option<u64>> {
    let stream = Supervisor::hosts_object(prise_socket::Family::Inet, SocketFlags::empty())?;
    let is_marked = marked::mark(&stream, Mark::Outside);
    Ok(name_space(&stream).filter(|_| is_marked).map(u64::from_ne_bytes))
}

fn draw_token() -> io::Result<u64> {
    let mut token = [0; 8];
    rustix::rand::getrandom(&mut token, rustix::rand::GetRandomFlags::empty())?;
    Ok(u64::from_ne_bytes(token))
}

fn edges(addresses: &Addresses) -> Edges {
    Edges {
        v4: Edge {
            own: addresses.guest_v4.octets(),
            mask: mask(u32::MAX, 32, addresses.prefix_len_v4).to_be_bytes(),
            gateway: addresses.gateway_v4.octets(),
        },
        v6: Edge {
            own: addresses.guest_v6.octets(),
            mask: mask(u128::MAX, 128, addresses.prefix_len_v6).to_be_bytes(),
            gateway: addresses.gateway_v6.octets(),
        },
    }
}

/// The chart with the library's path in it, and a zero at least behind that; none if there is no room.
fn with_path(mut chart: Chart, path: &str) -> Option<Chart> {
    let place = chart.path.get_mut(..path.len()).filter(|it| it.len() < PATH_MAX)?;
    place.copy_from_slice(path.as_bytes());
    Some(chart)
}

/// The mask of a prefix's length.
fn mask<T: core::ops::Shl<u32, Output = T> + Default>(ones: T, bits: u32, len: u8) -> T {
    match u32::from(len) {
        0 => T::default(),
        len => ones << (bits - len.min(bits)),
    }
}

/// The environment with the library in it, which is named last: it hides the end of the list. A variable that goes altogether leaves an even number of
/// words, with an empty one behind it.
fn environment(path: &str) -> Vec<CString> {
    let (preloaded, mut all): (Vec<CString>, Vec<CString>) = prise_sys::launch::environment()
        .into_iter()
        .partition(|line| line.to_bytes().starts_with(VARIABLE));
    // Of several the C library takes the first. An empty one stays empty.
    let mut line = match preloaded.first() {
        Some(first) => [first.to_bytes(), b":"].concat(),
        None => VARIABLE.to_vec(),
    };
    line.extend_from_slice(path.as_bytes());
    all.extend(CString::new(line));
    if preloaded.is_empty() {
        all.push(CString::default());
    }
    all
}

/// The file that execvp(3) executes.
fn find(program: &OsStr) -> Option<PathBuf> {
    if program.as_bytes().contains(&b'/') {
        return Some(program.into());
    }
    let is_executable = |path: &PathBuf| {
        let metadata = path.metadata();
        metadata.is_ok_and(|it| it.is_file() && it.permissions().mode() & 0o111 != 0)
    };
    env::split_paths(&env::var_os("PATH")?)
        .map(|directory| directory.join(program))
        .find(is_executable)
}

/// Whether what is executed is linked dynamically with glibc, keeps its privileges, and would not mind.
fn can_be_loaded_with(program: &Path) -> bool {
    let mut program = program.to_owned();
    for _ in 0..INTERPRETERS_MAX {
        match interpreter(&program) {
            Some(interpreter) => program = interpreter,
            None => return is_of_glibc(&program).unwrap_or(false),
        }
    }
    false
}

/// The interpreter of a script.
fn interpreter(program: &Path) -> Option<PathBuf> {
    // As much as the kernel looks at (BINPRM_BUF_SIZE).
    let mut head = [0; 256];
    let len = File::open(program).ok()?.read(&mut head).ok()?;
    let line = head[..len].strip_prefix(b"#!")?.split(|it| *it == b'\n').next()?;
    let name = line.trim_ascii_start().split(u8::is_ascii_whitespace).next()?;
    Some(Path::new(OsStr::from_bytes(name)).to_owned())
}

fn is_of_glibc(program: &Path) -> io::Result<bool> {
    const SET_ID: u32 = 0o6000;
    let invalid = |error| io::Error::new(io::ErrorKind::InvalidData, error);
    let file = File::open(program)?;
    let has_capabilities = rustix::fs::fgetxattr(&file, c"security.capability", &mut [0; 64][..]).is_ok();
    if file.metadata()?.permissions().mode() & SET_ID != 0 || has_capabilities {
        return Ok(false);
    }
    let data = ReadCache::new(file);
    let elf = ElfFile::<FileHeader64<Endianness>, _>::parse(&data).map_err(invalid)?;
    let endian = elf.elf_header().endian().map_err(invalid)?;
    if elf.elf_header().e_machine(endian) != EM_X86_64 {
        return Ok(false);
    }
    let mut headers = elf.elf_program_headers().iter();
    if !headers.any(|header| header.interpreter(endian, &data) == Ok(Some(LINKER))) {
        return Ok(false);
    }
    // The names of all symbols at once: one by one each is a read(2), and programs that others link with have tens of thousands.
    let Some(names) = elf.section_by_name(".dynstr") else {
        return Ok(false);
    };
    let mut has_c_library = false;
    for name in names.data().map_err(invalid)?.split(|octet| *octet == 0) {
        if SANITIZERS.iter().any(|it| name.starts_with(it)) {
            return Ok(false);
        }
        // A name that another one ends with is not there twice.
        has_c_library |= name.ends_with(START);
    }
    Ok(has_c_library)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_of_glibc_are_known_and_others_are_left_alone() {
        assert!(is_of_glibc(Path::new("/proc/self/exe")).unwrap());
        // The dynamic linker names none, and is no program of a C library's.
        let linker = Path::new(OsStr::from_bytes(LINKER));
        assert!(!is_of_glibc(linker).unwrap());
        assert!(is_of_glibc(Path::new("/proc/self/stat")).is_err());
    }
}
