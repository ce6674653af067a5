//! open(2) and openat(2) of files of `/proc/net` and `/proc/sys/net/ipv4`, where the run was asked to answer them (`--proc-net`).
//!
//! Every open for reading is judged then, because a filter cannot see paths. What is read of the path only chooses between
//! two harmless ways: a program that changes it meanwhile opens with its own rights what it could open anyway.

use std::os::fd::AsFd;

use prise_view::proc_net;
use rustix::fs::{MemfdFlags, SeekFrom, memfd_create, seek};
use rustix::io::write;

use crate::guest::Memory;
use crate::notify::{Answer, Call, Judged, errno, errno_of};
use crate::supervisor::Supervisor;

/// No path that is looked for is longer, its zero included.
const PATH_MAX: usize = 64;
const PAGE: u64 = 4096;

impl Supervisor {
    pub(super) fn open_file(&mut self, call: &Call) -> Judged {
        let (path, flags) = if call.number == libc::SYS_open {
            (call.args[0], call.int(1))
        } else {
            (call.args[1], call.int(2))
        };
        let Some(path) = read_path(call.memory(), path) else {
            return Ok(Answer::Native);
        };
        let Some((name, text)) = self.file_of(&path) else {
            return Ok(Answer::Native);
        };
        let file = memfd_create(name, MemfdFlags::CLOEXEC).map_err(errno)?;
        let mut rest = text.as_bytes();
        while !rest.is_empty() {
            let written = write(&file, rest).map_err(errno)?;
            rest = &rest[written..];
        }
        seek(&file, SeekFrom::Start(0)).map_err(errno)?;
        let closes = flags & libc::O_CLOEXEC != 0;
        self.calls
            .install(call.id, file.as_fd(), closes)
            .map_err(|error| errno_of(&error))?;
        Ok(Answer::Settled)
    }
}

impl Supervisor {
    /// What a file of ours says, with its name.
    fn file_of<'a>(&mut self, path: &'a [u8]) -> Option<(&'a str, String)> {
        if let Some(setting) = path.strip_prefix(b"/proc/sys/") {
            let name = core::str::from_utf8(setting).ok()?;
            let value = self.host.sysctls().get(name)?;
            return Some((name, value + "\n"));
        }
        let name = proc_net::name(path)?;
        // Some sockets may be closed that did not tell.
        self.sweep();
        let text = self.with_view(|_, view| proc_net::text(view, name))?;
        Some((name, text))
    }
}

/// A short path; none if it is longer or cannot be read. No page is read beyond the one where it ends.
fn read_path(memory: Memory, address: u64) -> Option<Vec<u8>> {
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
