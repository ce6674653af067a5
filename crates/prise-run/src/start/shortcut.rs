//! The leave for a program to make connections which leave the run without asking: the library that it is loaded with ([`prise_shortcut`]).
//!
//! A connection that leaves is nothing but a stream of the host kernel's own with a mark ([`crate::handed::marked`]), where nobody wants its packets or has to know of it.
//! A program that is linked with glibc makes one by itself, for which the filter lets connect(2) pass that shows a number of this run's: not a
//! secret, because what it opens is open to everybody. Its file is a descriptor that is gone, with the variable that named it, when the program's own
//! code begins. Only the program of the run is loaded so, and what it forks: what it executes is not, nor are static programs; they are judged as ever.

use std::env;
use std::ffi::{CString, OsStr, OsString};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};

use object::elf::{EM_X86_64, FileHeader64};
use object::read::ReadCache;
use object::read::elf::{ElfFile, FileHeader, ProgramHeader};
use object::{Endianness, Object, ObjectSymbol};
use prise_shortcut::chart::{Chart, Edge, PATH_MAX};
use prise_sys::launch::Preload;
use prise_sys::write_hint;
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::net::SocketFlags;

use crate::handed::adopted::name_space;
use crate::start::config::RunConfig;
use crate::supervisor::Supervisor;
use crate::world::gate::Gate;

/// The variable by which the dynamic linker is told (ld.so(8)).
const VARIABLE: &str = "LD_PRELOAD";

/// Whose programs are loaded so: others pass nothing to a library's constructors, or have another C library.
const LINKER: &[u8] = b"/lib64/ld-linux-x86-64.so.2\0";

/// Scripts whose interpreters are scripts: as many as the kernel follows (`exec_binprm`, fs/exec.c).
const INTERPRETERS_MAX: usize = 5;

/// What a sanitizer's run time is known by, each of which wants to be loaded first, or has its own idea of memory.
const SANITIZERS: [&[u8]; 4] = [b"__asan_", b"__hwasan_", b"__msan_", b"__tsan_"];

/// The library, told what it may do.
#[derive(Debug)]
pub(crate) struct Shortcut {
    preload: Preload,
    token: u64,
    /// Where in the file it is told whether it may do anything.
    open_at: u64,
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
        let stream = Supervisor::hosts_object(prise_socket::Family::Inet, SocketFlags::empty())?;
        let Some(home) = name_space(&stream) else {
            return Ok(None);
        };
        // Where objects cannot be marked, connections are noted.
        write_hint::set(std::os::fd::AsFd::as_fd(&stream), write_hint::EXTREME)?;
        let file = File::from(memfd_create(c"prise-shortcut", MemfdFlags::CLOEXEC)?);
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        let mut token = [0; 8];
        rustix::rand::getrandom(&mut token, rustix::rand::GetRandomFlags::empty())?;
        let addresses = gate.addresses();
        let mut chart = Chart {
            open: 1,
            descriptor: file.as_raw_fd(),
            token: u64::from_ne_bytes(token),
            home: u64::from_ne_bytes(home),
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
            ..Chart::NONE
        };
        let Some(place) = chart.path.get_mut(..path.len()).filter(|it| it.len() < PATH_MAX) else {
            return Ok(None);
        };
        place.copy_from_slice(path.as_bytes());
        let Some(image) = prise_shortcut::image(&chart) else {
            return Ok(None);
        };
        file.write_all_at(&image.octets, 0)?;
        // Without /proc the dynamic linker would complain to the program's standard error.
        File::open(&path)?;
        let preload = Preload {
            file: file.into(),
            environment: environment(&path),
        };
        Ok(preload.is_executable().then_some(Self {
            preload,
            token: chart.token,
            open_at: image.open_at as u64,
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

    /// Takes the leave back: whoever has the library reads it from the same file.
    fn close(self) {
        let file = File::from(self.preload.file);
        if let Err(error) = file.write_all_at(&0u32.to_ne_bytes(), self.open_at) {
            tracing::debug!(%error, "connections that leave the run go on unasked");
        }
    }
}

impl Supervisor {
    /// Somebody wants to know of connections that leave the run, or to see their packets; or has a filter of its own, which knows nothing of the
    /// library's calls.
    pub(crate) fn close_shortcut(&mut self) {
        if let Some(shortcut) = self.shortcut.take() {
            shortcut.close();
        }
    }
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
    let mut preloaded = OsString::new();
    let mut all = Vec::new();
    for (name, value) in env::vars_os() {
        if name == VARIABLE {
            preloaded = value;
            continue;
        }
        all.push(variable(&name, &value));
    }
    let is_alone = preloaded.is_empty();
    if !is_alone {
        preloaded.push(":");
    }
    preloaded.push(path);
    all.push(variable(OsStr::new(VARIABLE), &preloaded));
    all.push(is_alone.then(CString::default));
    all.into_iter().flatten().collect()
}

/// A line of the environment; none if it holds a zero, which nothing that was read from one does.
fn variable(name: &OsStr, value: &OsStr) -> Option<CString> {
    let mut line = name.to_owned();
    line.push("=");
    line.push(value);
    CString::new(line.into_vec()).ok()
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
    let headers = elf.elf_program_headers().iter();
    let linker = headers.filter_map(|header| header.interpreter(endian, &data).ok().flatten());
    let is_glibc = linker.into_iter().any(|it| it == &LINKER[..LINKER.len() - 1]);
    let is_sanitized = elf.dynamic_symbols().any(|symbol| {
        let name = symbol.name_bytes().unwrap_or_default();
        SANITIZERS.iter().any(|it| name.starts_with(it))
    });
    Ok(is_glibc && !is_sanitized)
}
