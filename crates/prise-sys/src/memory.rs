//! Another process's memory: process_vm_readv(2), process_vm_writev(2).
//!
//! Needs the right to trace the target (ptrace(2), `PTRACE_MODE_ATTACH_REALCREDS`): same user and dumpable, or
//! `CAP_SYS_PTRACE` over its user namespace; else `EPERM`. What is read may change at any time: read once, then judge.
//!
//! Some containers' seccomp profiles refuse these calls (podman's does) and leave /proc/PID/mem (proc(5)), which takes the
//! same right and does the same, more slowly: [`use_files`] says so once.

use core::mem::MaybeUninit;
use core::sync::atomic::{AtomicBool, Ordering};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// A stretch of another process's memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Area {
    /// Where it begins, in the target's address space.
    pub address: u64,
    /// Its length in octets.
    pub len: usize,
}

/// More pieces than this in one call are refused by the kernel (`UIO_MAXIOV`).
pub const AREAS_MAX: usize = 1024;

/// Whether memory is reached through /proc/PID/mem.
static FILES: AtomicBool = AtomicBool::new(false);

/// From now on, and for the whole process, memory is reached through /proc/PID/mem.
pub fn use_files() {
    FILES.store(true, Ordering::Relaxed);
}

fn uses_files() -> bool {
    FILES.load(Ordering::Relaxed)
}

/// Goes through areas by one file, octets of `local` for octets of theirs, as the system calls do: as far as it goes. An
/// error is one only where nothing went.
fn through_file(
    tid: u32,
    areas: &[Area],
    total: usize,
    write: bool,
    mut step: impl FnMut(&File, u64, core::ops::Range<usize>) -> io::Result<usize>,
) -> io::Result<usize> {
    let file = File::options()
        .read(true)
        .write(write)
        .open(format!("/proc/{tid}/mem"))?;
    let mut done = 0;
    for area in areas {
        let mut at = 0;
        while at < area.len && done < total {
            let end = done + (area.len - at).min(total - done);
            let address = area.address.wrapping_add(at as u64);
            match step(&file, address, done..end) {
                Ok(moved) if moved > 0 => {
                    at += moved;
                    done += moved;
                }
                // Where nothing is mapped the file says EIO, the calls EFAULT.
                _ if done == 0 => return Err(io::Error::from_raw_os_error(libc::EFAULT)),
                _ => return Ok(done),
            }
        }
    }
    Ok(done)
}

/// Whether the system calls are let through, tried on this process.
pub(crate) fn probe_vm() -> io::Result<()> {
    let source = [1u8];
    let mut copy = [0u8];
    let local = libc::iovec {
        iov_base: copy.as_mut_ptr().cast(),
        iov_len: 1,
    };
    let remote = remote(Area {
        address: source.as_ptr() as u64,
        len: 1,
    });
    // SAFETY: the local area is a live array; the remote one is checked by the kernel.
    let result =
        unsafe { libc::process_vm_readv(std::process::id() as i32, &raw const local, 1, &raw const remote, 1, 0) };
    transfer(result).map(drop)
}

/// Whether /proc/PID/mem can be opened, tried on this process.
pub(crate) fn probe_file() -> io::Result<()> {
    File::options().read(true).write(true).open("/proc/self/mem").map(drop)
}

/// Reads `buffer.len()` octets at `address`. Fewer than asked for means that the rest is not mapped.
pub fn read(tid: u32, address: u64, buffer: &mut [u8]) -> io::Result<usize> {
    if uses_files() {
        let area = Area {
            address,
            len: buffer.len(),
        };
        return through_file(tid, &[area], area.len, false, |file, address, range| {
            file.read_at(&mut buffer[range], address)
        });
    }
    let local = libc::iovec {
        iov_base: buffer.as_mut_ptr().cast(),
        iov_len: buffer.len(),
    };
    let remote = remote(Area {
        address,
        len: buffer.len(),
    });
    // SAFETY: the local area is the exclusively borrowed buffer; the remote one is checked by the kernel.
    transfer(unsafe { libc::process_vm_readv(tid as i32, &raw const local, 1, &raw const remote, 1, 0) })
}

/// Reads the areas one after the other, appending to `buffer`. Fewer than asked for means that the rest is not mapped.
///
/// # Panics
/// With more than [`AREAS_MAX`] areas.
pub fn read_areas(tid: u32, areas: &[Area], buffer: &mut Vec<u8>) -> io::Result<usize> {
    assert!(areas.len() <= AREAS_MAX);
    let total = areas.iter().map(|area| area.len).sum();
    if uses_files() {
        let begin = buffer.len();
        buffer.resize(begin + total, 0);
        let read = through_file(tid, areas, total, false, |file, address, range| {
            file.read_at(&mut buffer[begin..][range], address)
        });
        buffer.truncate(begin + *read.as_ref().unwrap_or(&0));
        return read;
    }
    buffer.reserve(total);
    let spare: &mut [MaybeUninit<u8>] = buffer.spare_capacity_mut();
    let local = libc::iovec {
        iov_base: spare.as_mut_ptr().cast(),
        iov_len: total,
    };
    let remote: Vec<libc::iovec> = areas.iter().copied().map(remote).collect();
    // SAFETY: the local area is the vector's spare capacity, at least `total` octets; the kernel checks the remote ones.
    let read = transfer(unsafe {
        libc::process_vm_readv(
            tid as i32,
            &raw const local,
            1,
            remote.as_ptr(),
            remote.len() as libc::c_ulong,
            0,
        )
    })?;
    // SAFETY: the kernel has written `read` octets, from the start of the spare capacity on.
    unsafe { buffer.set_len(buffer.len() + read) };
    Ok(read)
}

/// Writes `data` over the areas one after the other. Fewer than given means that the rest is not mapped or not writable.
///
/// # Panics
/// With more than [`AREAS_MAX`] areas.
pub fn write_areas(tid: u32, data: &[u8], areas: &[Area]) -> io::Result<usize> {
    assert!(areas.len() <= AREAS_MAX);
    if uses_files() {
        return through_file(tid, areas, data.len(), true, |file, address, range| {
            file.write_at(&data[range], address)
        });
    }
    let local = local(data);
    let remote: Vec<libc::iovec> = areas.iter().copied().map(remote).collect();
    // SAFETY: the kernel only reads the local area, which is borrowed; it checks the remote ones.
    transfer(unsafe {
        libc::process_vm_writev(
            tid as i32,
            &raw const local,
            1,
            remote.as_ptr(),
            remote.len() as libc::c_ulong,
            0,
        )
    })
}

/// Writes each piece to its address, in one call.
pub fn write_pieces<const N: usize>(tid: u32, pieces: [(u64, &[u8]); N]) -> io::Result<usize> {
    if uses_files() {
        let mut written = 0;
        for (address, data) in pieces {
            let area = Area {
                address,
                len: data.len(),
            };
            written += through_file(tid, &[area], area.len, true, |file, address, range| {
                file.write_at(&data[range], address)
            })?;
        }
        return Ok(written);
    }
    let local = pieces.map(|(_, data)| local(data));
    let remote = pieces.map(|(address, data)| {
        remote(Area {
            address,
            len: data.len(),
        })
    });
    // SAFETY: the kernel only reads the local areas, which are borrowed; it checks the remote ones.
    transfer(unsafe {
        libc::process_vm_writev(
            tid as i32,
            local.as_ptr(),
            N as libc::c_ulong,
            remote.as_ptr(),
            N as libc::c_ulong,
            0,
        )
    })
}

fn local(data: &[u8]) -> libc::iovec {
    libc::iovec {
        iov_base: data.as_ptr().cast_mut().cast(),
        iov_len: data.len(),
    }
}

fn remote(area: Area) -> libc::iovec {
    libc::iovec {
        iov_base: area.address as *mut libc::c_void,
        iov_len: area.len,
    }
}

fn transfer(result: isize) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_memory_is_read_and_written() {
        let tid = std::process::id();
        let source = *b"hello, memory";
        let mut copy = [0; 13];
        assert_eq!(read(tid, source.as_ptr() as u64, &mut copy).unwrap(), 13);
        assert_eq!(copy, source);

        let mut joined = Vec::new();
        let areas = [0, 7].map(|at| Area {
            address: source.as_ptr() as u64 + at,
            len: 5,
        });
        assert_eq!(read_areas(tid, &areas, &mut joined).unwrap(), 10);
        assert_eq!(joined, b"hellomemor");

        let target = [0u8; 4];
        write_pieces(
            tid,
            [
                (target.as_ptr() as u64, b"ab".as_slice()),
                (target.as_ptr() as u64 + 2, b"cd"),
            ],
        )
        .unwrap();
        // SAFETY: `target` is alive; the read is volatile because the kernel changed it behind the compiler's back.
        assert_eq!(unsafe { (&raw const target).read_volatile() }, *b"abcd");
    }

    #[test]
    fn files_do_what_the_calls_do() {
        let tid = std::process::id();
        let source = *b"hello, memory";
        let area = |at: u64, len: usize| Area {
            address: source.as_ptr() as u64 + at,
            len,
        };
        let mut joined = vec![0; 10];
        let read = through_file(tid, &[area(0, 5), area(7, 5)], 10, false, |file, address, range| {
            file.read_at(&mut joined[range], address)
        });
        assert_eq!((read.unwrap(), joined.as_slice()), (10, b"hellomemor".as_slice()));
        let nowhere = Area { address: 8, len: 4 };
        let mut buffer = [0; 9];
        let mut read = |areas: &[Area]| {
            through_file(tid, areas, 9, false, |file, address, range| {
                file.read_at(&mut buffer[range], address)
            })
        };
        assert_eq!(read(&[area(0, 5), nowhere]).unwrap(), 5);
        assert_eq!(read(&[nowhere]).unwrap_err().raw_os_error(), Some(libc::EFAULT));
    }

    #[test]
    fn unmapped_memory_is_a_fault() {
        let error = read(std::process::id(), 8, &mut [0; 4]).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EFAULT));
    }
}
