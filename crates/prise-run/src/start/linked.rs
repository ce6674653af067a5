//! Which programs the library is for: those that are linked with glibc, keep their privileges, and make calls, or execute others, that it makes
//! better. All others it would only make slower to start.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::Path;

use object::elf::{DT_NEEDED, DT_RPATH, DT_RUNPATH, EM_X86_64, FileHeader64, SHT_DYNAMIC, SectionHeader64};
use object::read::ReadCache;
use object::read::elf::{ElfFile, FileHeader, ProgramHeader, SectionHeader};
use object::{Endianness, Object, ObjectSection};
use prise_shortcut::chart::{INTERPRETERS_MAX, NEVER, SCRIPT_HEAD, interpreter, version};
use rustix::fs::{AtFlags, Statx, StatxFlags, makedev, statx};

use crate::guest::mounts::Mounts;

/// Whose programs are loaded so: others pass nothing to a library's constructors, or have another C library.
const LINKER: &[u8] = b"/lib64/ld-linux-x86-64.so.2";

/// What a program with a C library is started by: others may name the same linker.
const START: &[u8] = b"__libc_start_main";

/// What a sanitizer's run time is known by, each of which wants to be loaded first, or has its own idea of memory.
const SANITIZERS: [&[u8]; 4] = [b"__asan_", b"__hwasan_", b"__msan_", b"__tsan_"];

/// What the library makes better, and what may bring code that calls it. Who reads directories opens many files.
const CALLS: [&[u8]; 18] = [
    b"connect",
    b"accept",
    b"accept4",
    b"execve",
    b"execveat",
    b"execv",
    b"execvp",
    b"execvpe",
    b"execl",
    b"execle",
    b"execlp",
    b"posix_spawn",
    b"posix_spawnp",
    b"system",
    b"opendir",
    b"fdopendir",
    b"dlopen",
    b"dlmopen",
];

/// Libraries that call none of these where it matters: glibc's own, and SELinux's, which has a daemon at an AF_UNIX socket.
const QUIET: [&[u8]; 6] = [
    b"libc.so.6",
    b"libm.so.6",
    b"libpthread.so.0",
    b"libdl.so.2",
    b"librt.so.1",
    b"libselinux.so.1",
];

/// Where libraries lie for which a program names no place of its own.
const FOLDERS: [&str; 4] = [
    "/lib/x86_64-linux-gnu",
    "/usr/lib/x86_64-linux-gnu",
    "/lib64",
    "/usr/lib64",
];

/// Libraries of a program that are looked into. One with more has some that call.
const LIBRARIES_MAX: usize = 32;

/// What is read of a file at once, and kept while it is looked into: whatever it says that it has. Linkers make some dozens of sections and a dozen segments;
/// node, which exports 75,000 names, has 5 MiB of them.
const SECTIONS_MAX: u16 = 4096;
const SEGMENTS_MAX: u16 = 64;
const TABLE_MAX: u64 = 16 << 20;

type Elf<'a> = ElfFile<'a, FileHeader64<Endianness>, &'a ReadCache<File>>;

/// The program that a file is, or that its interpreter is, by our names of files.
pub(super) fn program(path: &Path) -> Option<File> {
    let mut file = File::open(path).ok()?;
    for _ in 0..INTERPRETERS_MAX {
        let mut head = [0; SCRIPT_HEAD];
        let len = file.read_at(&mut head, 0).ok()?;
        let Some(interpreter) = interpreter(&head[..len]) else {
            return Some(file);
        };
        file = File::open(OsStr::from_bytes(interpreter)).ok()?;
    }
    None
}

/// Whether a program can be loaded with the library.
pub(super) fn can_have_library(program: File) -> bool {
    looked_into(program, |_, _| Ok(true)).unwrap_or(false)
}

/// The version of a file, and whether the library is for the program in it; none where nothing can be said of it.
pub(super) fn judge(program: File) -> Option<(u64, bool)> {
    // What the kernel knows, without asking who serves the file.
    let asked = StatxFlags::INO | StatxFlags::CTIME | StatxFlags::MNT_ID;
    let found = statx(&program, c"", AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC, asked).ok()?;
    let changed = (found.stx_ctime.tv_sec as u64, u64::from(found.stx_ctime.tv_nsec));
    let device = makedev(found.stx_dev_major, found.stx_dev_minor);
    // The same file may be reached by a mount of ours, too: nothing is known of it then.
    is_local(&found).then(|| (version(device, found.stx_ino, changed), wants(program).unwrap_or(false)))
}

/// A file's number, whatever happens to it.
pub(super) fn number(file: &File) -> io::Result<u64> {
    let metadata = file.metadata()?;
    Ok(version(metadata.dev(), metadata.ino(), NEVER))
}

/// Whether a file can be read without anybody's help. What a program has mounted in a name space of its own is not known to us.
fn is_local(found: &Statx) -> bool {
    Mounts::of("self").is_ok_and(|mounts| mounts.is_local(found.stx_mnt_id))
}

/// Whether a program can be loaded with the library, and makes calls that are worth it.
fn wants(file: File) -> io::Result<bool> {
    looked_into(file, |elf, names| Ok(names.calls || libraries_call(elf)?))
}

/// Whether a program can be loaded with the library, and what is asked besides holds.
fn looked_into(file: File, besides: impl FnOnce(&Elf<'_>, &Names) -> io::Result<bool>) -> io::Result<bool> {
    const SET_ID: u32 = 0o6000;
    let has_capabilities = rustix::fs::fgetxattr(&file, c"security.capability", &mut [0; 64][..]).is_ok();
    if file.metadata()?.permissions().mode() & SET_ID != 0 || has_capabilities {
        return Ok(false);
    }
    let data = ReadCache::new(file);
    let elf = parse(&data)?;
    let endian = elf.endian();
    if elf.elf_header().e_machine(endian) != EM_X86_64 {
        return Ok(false);
    }
    let mut headers = elf.elf_program_headers().iter();
    let named = LINKER.len() as u64 + 1;
    if !headers.any(|it| it.p_filesz(endian) == named && it.interpreter(endian, &data) == Ok(Some(LINKER))) {
        return Ok(false);
    }
    let names = Names::of(&elf)?;
    Ok(names.starts && !names.sanitized && besides(&elf, &names)?)
}

/// The file's headers, if it has no more of them than files have.
fn parse(data: &ReadCache<File>) -> io::Result<Elf<'_>> {
    let header = FileHeader64::<Endianness>::parse(data).map_err(invalid)?;
    let endian = header.endian().map_err(invalid)?;
    // 0 is for more than the field can say.
    if !(1..=SECTIONS_MAX).contains(&header.e_shnum(endian)) || header.e_phnum(endian) > SEGMENTS_MAX {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    let elf = Elf::parse(data).map_err(invalid)?;
    let names = elf.section_by_name(".dynstr").map_or(0, |it| it.size());
    let is_large =
        |it: &SectionHeader64<Endianness>| it.sh_type(endian) == SHT_DYNAMIC && it.sh_size(endian) > TABLE_MAX;
    if names > TABLE_MAX || elf.elf_section_table().iter().any(is_large) {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(elf)
}

/// What the names of a file's symbols tell.
struct Names {
    starts: bool,
    sanitized: bool,
    calls: bool,
}

impl Names {
    /// All at once: one by one each is a read(2), and programs that others link with have tens of thousands. A name that another one ends with is not there twice.
    fn of(elf: &Elf<'_>) -> io::Result<Self> {
        let mut told = Self {
            starts: false,
            sanitized: false,
            calls: false,
        };
        let Some(names) = elf.section_by_name(".dynstr") else {
            return Ok(told);
        };
        for name in names.data().map_err(invalid)?.split(|octet| *octet == 0) {
            told.sanitized |= SANITIZERS.iter().any(|it| name.starts_with(it));
            told.starts |= name.ends_with(START);
            told.calls |= CALLS.iter().any(|it| name.ends_with(it));
        }
        Ok(told)
    }
}

/// Whether a library calls, that the program is linked with; also where that cannot be told.
fn libraries_call(program: &Elf<'_>) -> io::Result<bool> {
    let mut seen = HashSet::new();
    let Some(mut left) = needed(program)? else {
        return Ok(true);
    };
    while let Some(name) = left.pop() {
        if QUIET.contains(&name.as_slice()) || !seen.insert(name.clone()) {
            continue;
        }
        if name.contains(&b'/') {
            // It lies where a process of the run may serve it, or where a pipe has been put.
            return Ok(true);
        }
        let Some(file) = FOLDERS
            .iter()
            .find_map(|it| File::open(Path::new(it).join(OsStr::from_bytes(&name))).ok())
        else {
            return Ok(true);
        };
        let data = ReadCache::new(file);
        let elf = parse(&data)?;
        let Some(more) = needed(&elf)? else {
            return Ok(true);
        };
        if seen.len() > LIBRARIES_MAX || Names::of(&elf)?.calls {
            return Ok(true);
        }
        left.extend(more);
    }
    Ok(false)
}

/// The libraries that a file is linked with; none where it names places of its own.
fn needed(elf: &Elf<'_>) -> io::Result<Option<Vec<Vec<u8>>>> {
    let table = elf
        .elf_section_table()
        .dynamic_table(elf.endian(), elf.data())
        .map_err(invalid)?;
    let mut names = Vec::new();
    for entry in &table {
        match entry.tag {
            DT_RPATH | DT_RUNPATH => return Ok(None),
            DT_NEEDED => names.push(table.string(entry).map_err(invalid)?.to_vec()),
            _ => (),
        }
    }
    Ok(Some(names))
}

fn invalid(error: object::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_of_glibc_are_known_and_others_are_left_alone() {
        let wants = |path: &OsStr| wants(File::open(path).unwrap());
        assert!(wants(OsStr::new("/proc/self/exe")).unwrap());
        // The dynamic linker names none, and is no program of a C library's.
        assert!(!wants(OsStr::from_bytes(LINKER)).unwrap());
        assert!(wants(OsStr::new("/proc/self/stat")).is_err());
        // They call nobody; a shell executes others.
        assert!(!wants(OsStr::new("/bin/cat")).unwrap());
        assert!(wants(OsStr::new("/bin/sh")).unwrap());
    }

    /// /bin/sh with `len` octets of names, by its section headers, in a file that has so many.
    fn huge(path: &Path, len: u64) -> io::Result<bool> {
        const HEADER: usize = 64;
        const SIZE: core::ops::Range<usize> = 32..40;
        let mut octets = std::fs::read("/bin/sh").unwrap();
        let elf = ElfFile::<FileHeader64<Endianness>>::parse(&*octets).unwrap();
        let names = elf.section_by_name(".dynstr").unwrap().index().0;
        let at = elf.elf_header().e_shoff(elf.endian()) as usize + HEADER * names;
        octets[at..][SIZE].copy_from_slice(&len.to_le_bytes());
        std::fs::write(path, &octets).unwrap();
        File::options()
            .write(true)
            .open(path)
            .unwrap()
            .set_len(len + octets.len() as u64)
            .unwrap();
        wants(File::open(path).unwrap())
    }

    #[test]
    fn of_a_file_that_has_too_much_nothing_is_read() {
        let path = std::env::temp_dir().join(format!("prise-huge-{}", std::process::id()));
        let told = [TABLE_MAX, TABLE_MAX + 1, 1 << 40].map(|len| huge(&path, len).map_err(|error| error.kind()));
        std::fs::remove_file(&path).unwrap();
        assert_eq!(
            told,
            [
                Ok(true),
                Err(io::ErrorKind::FileTooLarge),
                Err(io::ErrorKind::FileTooLarge)
            ]
        );
    }

    #[test]
    fn files_that_a_process_may_serve_are_not_read() {
        let judge = |path: &str| judge(File::open(path).unwrap()).map(|it| it.1);
        assert_eq!(judge("/bin/sh"), Some(true));
        assert_eq!(judge("/proc/self/status"), None);
    }
}
