//! open(2), openat(2) and openat2(2) of files of `/proc/net`, `/proc/sys/net/ipv4` and `/sys/class/net`, unless the run was told to leave them (`--no-proc-net`).
//!
//! Every open for reading is judged then, because a filter cannot see paths. What is read of the path only chooses between
//! two harmless ways: a program that changes it meanwhile opens with its own rights what it could open anyway.

use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;

use prise_view::{proc_net, sys_net};
use rustix::fs::{MemfdFlags, OFlags, SeekFrom, fcntl_setfl, memfd_create, seek};
use rustix::io::write;

use crate::guest::Memory;
use crate::guest::mounts::Mounts;
use crate::guest::notify::{Answer, Call, Judged, errno, errno_of};
use crate::start::filter::READING;
use crate::supervisor::Supervisor;

/// No path that is looked for is longer, its zero included.
const PATH_MAX: usize = 64;
const PAGE: u64 = 4096;

impl Supervisor {
    pub(super) fn open_file(&mut self, call: &Call) -> Judged {
        let (path, flags) = match call.number {
            libc::SYS_open => (call.args[0], call.int(1)),
            libc::SYS_openat2 => match how_to_open(call) {
                Some(flags) => (call.args[1], flags),
                None => return Ok(Answer::Native),
            },
            _ => (call.args[1], call.int(2)),
        };
        let Some(path) = read_path(call.memory(), path) else {
            return Ok(Answer::Native);
        };
        let Some(path) = self.absolute(call, &path) else {
            return Ok(Answer::Native);
        };
        let Some((name, text)) = self.file_of(call, &path) else {
            return Ok(Answer::Native);
        };
        let file = memfd_create(name, MemfdFlags::CLOEXEC).map_err(errno)?;
        let mut rest = &text[..];
        while !rest.is_empty() {
            let written = write(&file, rest).map_err(errno)?;
            rest = &rest[written..];
        }
        seek(&file, SeekFrom::Start(0)).map_err(errno)?;
        if flags & libc::O_NONBLOCK != 0 {
            // Only fcntl(2) tells.
            fcntl_setfl(&file, OFlags::RDWR | OFlags::NONBLOCK).map_err(errno)?;
        }
        let closes = flags & libc::O_CLOEXEC != 0;
        self.calls
            .install(call.id, file.as_fd(), closes)
            .map_err(|error| errno_of(&error))?;
        Ok(Answer::Settled)
    }
}

impl Supervisor {
    /// The path from the root, if it may be of a file of ours. Only where its last part is such a file's name it is asked where it begins.
    fn absolute(&self, call: &Call, path: &[u8]) -> Option<Vec<u8>> {
        let name = path.rsplit(|&octet| octet == b'/').next()?;
        if name.is_empty() || name == b"." {
            // A directory, which none of ours is.
            return None;
        }
        if path.starts_with(b"/") {
            return place_of_ours(call.tid, path);
        }
        let is_setting = || {
            let name = core::str::from_utf8(name).ok();
            name.is_some_and(|name| self.host.sysctls().get(&format!("net/ipv4/{name}")).is_some())
        };
        if name != b"unix" && !proc_net::has(name) && !is_setting() {
            return None;
        }
        let directory = match call.int(0) {
            _ if call.number == libc::SYS_open => "cwd".to_owned(),
            libc::AT_FDCWD => "cwd".to_owned(),
            fd => format!("fd/{fd}"),
        };
        let directory = std::fs::read_link(format!("/proc/{}/{directory}", call.tid)).ok()?;
        let whole = [directory.as_os_str().as_bytes(), path].join(&b'/');
        place_of_ours(call.tid, &whole)
    }

    /// What a file of ours says, with its name.
    fn file_of<'a>(&mut self, call: &Call, path: &'a [u8]) -> Option<(&'a str, Vec<u8>)> {
        if let Some(setting) = path.strip_prefix(b"/proc/sys/") {
            let name = core::str::from_utf8(setting).ok()?;
            let value = self.host.sysctls().get(name)?;
            return Some((name, (value + "\n").into_bytes()));
        }
        if path.starts_with(sys_net::PLACE) {
            let text = self.with_view(|_, view| sys_net::text(view, path))?;
            return Some(("sysfs", text.into_bytes()));
        }
        let name = proc_net::below(path)?;
        if name == "unix" {
            return Some((name, self.unix_table(call.tid)?));
        }
        let name = proc_net::name(path)?;
        // Some sockets may be closed that did not tell.
        self.sweep();
        self.enter_all_noted();
        let mut text = self.with_view(|_, view| proc_net::text(view, name))?;
        if name == "packet" {
            text.push_str(&self.packet_rows());
        }
        Some((name, text.into_bytes()))
    }
}

/// A path without what leads nowhere, if it is of a place where files of ours are. Only then it is looked whether the way back begins at directories:
/// most paths with `..` are a compiler's or a linker's own.
fn place_of_ours(tid: u32, path: &[u8]) -> Option<Vec<u8>> {
    let is_there = |plain: &Vec<u8>| plain.starts_with(b"/proc/") || plain.starts_with(sys_net::PLACE);
    plainly(path, |_| true).filter(is_there)?;
    plainly(path, |directory| is_directory(tid, directory)).filter(is_there)
}

/// A path without what leads nowhere (`//`, `/./`) or back (`..`). None where the way back begins at what is no directory: behind a link
/// it is another directory's parent.
fn plainly(path: &[u8], is_directory: impl Fn(&[u8]) -> bool) -> Option<Vec<u8>> {
    let mut plain = Vec::with_capacity(path.len());
    let parts = path.split(|&octet| octet == b'/');
    for part in parts.filter(|part| !part.is_empty() && *part != b".") {
        if part == b".." {
            // The root's parent is the root.
            let Some(end) = plain.iter().rposition(|&octet| octet == b'/') else {
                continue;
            };
            if plain == b"/proc/net" {
                // A link to `self/net`.
                plain.truncate(b"/proc".len());
                plain.extend_from_slice(b"/self");
            } else if plain == b"/proc/self" || is_directory(&plain) {
                plain.truncate(end);
            } else {
                return None;
            }
            continue;
        }
        plain.push(b'/');
        plain.extend_from_slice(part);
    }
    Some(plain)
}

/// Whether a path from the root is a directory to a task, and neither it nor what it lies in is a link. Where a program serves the file system, it is
/// none: that program may wait for us.
fn is_directory(tid: u32, path: &[u8]) -> bool {
    let own = path.strip_prefix(b"/proc/self/");
    let own = own.map(|rest| [format!("/proc/{tid}/").as_bytes(), rest].concat());
    let Ok(path) = core::str::from_utf8(own.as_deref().unwrap_or(path)) else {
        return false;
    };
    let Ok(mounts) = Mounts::of(&tid.to_string()) else {
        return false;
    };
    let ends = path.match_indices('/').map(|(at, _)| at).skip(1).chain([path.len()]);
    ends.map(|end| &path[..end]).all(|part| {
        mounts.is_local_at(part)
            && std::fs::symlink_metadata(format!("/proc/{tid}/root{part}")).is_ok_and(|found| found.is_dir())
    })
}

/// The flags of an openat2(2) that reads and asks nothing of the way there (`struct open_how`).
fn how_to_open(call: &Call) -> Option<i32> {
    const OPEN_HOW: usize = 24;
    let octets = call.memory().read_front(call.args[2], OPEN_HOW).ok()?;
    let number = |at: usize| Some(u64::from_ne_bytes(*octets.get(at..)?.first_chunk()?));
    let (flags, resolve) = (number(0)?, number(16)?);
    let reads = flags & !u64::from(READING) == 0;
    (reads && resolve == 0).then_some(flags as i32)
}

/// A short path; none if it is longer or cannot be read. No page is read beyond the one where it ends.
pub(super) fn read_path(memory: Memory, address: u64) -> Option<Vec<u8>> {
    let mut path = Vec::new();
    while path.len() < PATH_MAX {
        let at = address.checked_add(path.len() as u64)?;
        let to_page_end = (PAGE - at % PAGE) as usize;
        let mut piece = vec![0; to_page_end.min(PATH_MAX - path.len())];
        memory.read(at, &mut piece).ok()?;
        if let Some(end) = piece.iter().position(|&octet| octet == 0) {
            path.extend_from_slice(&piece[..end]);
            return Some(path);
        }
        path.extend_from_slice(&piece);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_way_back_is_followed_from_directories_and_not_from_links() {
        let plain = |path: &str| {
            let is_directory = |path: &[u8]| !path.ends_with(b"link");
            plainly(path.as_bytes(), is_directory).map(|plain| String::from_utf8(plain).unwrap())
        };
        for (path, expected) in [
            ("//proc/./net/tcp", Some("/proc/net/tcp")),
            ("/proc/net/../net/tcp", Some("/proc/self/net/tcp")),
            ("/proc/net/../../net/tcp", Some("/proc/net/tcp")),
            ("/proc/self/../net/tcp", Some("/proc/net/tcp")),
            ("/proc/7/fd/../net/tcp", Some("/proc/7/net/tcp")),
            ("/../etc/../proc/net/tcp", Some("/proc/net/tcp")),
            ("/a/link/../net/tcp", None),
            ("/..", Some("")),
        ] {
            assert_eq!(plain(path).as_deref(), expected, "{path}");
        }
    }
}
