//! Whether another thread of a process sleeps in a call on one of its descriptors (proc(5), `/proc/PID/task/TID/syscall`).
//!
//! Such a thread waits on the open file, whatever becomes of the number: an object may not be replaced then. Calls that are judged wait
//! for the supervisor, and look their descriptor up afterwards.

use crate::guest::Memory;

/// Descriptors of poll(2) and select(2) that are looked at; beyond it, it is as if the one were among them.
const WATCHED_MAX: u64 = 4096;

/// Whether a thread of `process` other than `caller` sleeps, or may sleep, on `fd`.
pub(crate) fn others_sleep_on(process: u32, caller: u32, fd: i32) -> bool {
    let Ok(tasks) = std::fs::read_dir(format!("/proc/{process}/task")) else {
        return true;
    };
    let numbers = tasks
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    numbers.filter(|&tid| tid != caller).any(|tid| {
        match std::fs::read_to_string(format!("/proc/{process}/task/{tid}/syscall")) {
            Ok(told) => call_of(&told).is_some_and(|(number, args)| waits_on(Memory::of(tid), number, args, fd)),
            // Gone meanwhile, or not to be seen.
            Err(error) => !matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ESRCH)),
        }
    })
}

/// The call that a task is in, with its arguments: `45 0x5 0x7f… …`; none if it runs.
fn call_of(told: &str) -> Option<(i64, [u64; 6])> {
    let mut words = told.split_ascii_whitespace();
    let number = words.next()?.parse().ok()?;
    let mut args = [0; 6];
    for arg in &mut args {
        *arg = u64::from_str_radix(words.next()?.strip_prefix("0x")?, 16).ok()?;
    }
    Some((number, args))
}

fn waits_on(memory: Memory, number: i64, args: [u64; 6], fd: i32) -> bool {
    match number {
        libc::SYS_read | libc::SYS_readv | libc::SYS_write | libc::SYS_writev => args[0] as i32 == fd,
        // With an address it is judged.
        libc::SYS_recvfrom | libc::SYS_sendto => args[0] as i32 == fd && args[4] == 0,
        libc::SYS_splice | libc::SYS_sendfile => [args[0], args[2]].contains(&(fd as u64)) || args[1] as i32 == fd,
        libc::SYS_poll | libc::SYS_ppoll => is_polled(memory, args[0], args[1], fd),
        libc::SYS_select | libc::SYS_pselect6 => (1..4).any(|set| is_selected(memory, args[set], args[0], fd)),
        _ => false,
    }
}

/// Whether an array of `struct pollfd` names the descriptor.
fn is_polled(memory: Memory, array: u64, count: u64, fd: i32) -> bool {
    const STRIDE: usize = 8;
    if count > WATCHED_MAX {
        return true;
    }
    let mut entries = vec![0; count as usize * STRIDE];
    memory.read(array, &mut entries).is_err() || entries.chunks(STRIDE).any(|entry| entry[..4] == fd.to_ne_bytes())
}

/// Whether a set of select(2) has the descriptor.
fn is_selected(memory: Memory, set: u64, count: u64, fd: i32) -> bool {
    if set == 0 || fd as u64 >= count {
        return false;
    }
    let mut octet = [0];
    let place = set.wrapping_add(fd as u64 / 8);
    memory.read(place, &mut octet).is_err() || octet[0] & 1 << (fd % 8) != 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsRawFd;
    use std::os::unix::net::UnixDatagram;

    #[test]
    fn a_thread_that_waits_in_recv_is_seen_until_it_has_returned() {
        let (one, other) = UnixDatagram::pair().unwrap();
        let (process, fd) = (std::process::id(), one.as_raw_fd());
        let caller = rustix::thread::gettid().as_raw_nonzero().get() as u32;
        assert!(!others_sleep_on(process, caller, other.as_raw_fd()));
        let reader = std::thread::spawn(move || one.recv(&mut [0; 8]).unwrap());
        let patience = std::time::Instant::now() + std::time::Duration::from_mins(1);
        while !others_sleep_on(process, caller, fd) {
            assert!(std::time::Instant::now() < patience, "it never waits");
            std::thread::yield_now();
        }
        other.send(b"x").unwrap();
        assert_eq!(reader.join().unwrap(), 1);
        assert!(!others_sleep_on(process, caller, fd));
    }

    #[test]
    fn calls_are_told_by_the_kernel_in_words() {
        let told = "45 0x5 0x7ffc0 0x64 0x0 0x0 0x0 0x7ffc1 0x7f2\n";
        assert_eq!(call_of(told), Some((45, [5, 0x7ffc0, 0x64, 0, 0, 0])));
        assert_eq!(call_of("running\n"), None);
        assert_eq!(call_of("-1 0x7ffc 0x7f2\n"), None);
    }

    #[test]
    fn a_descriptor_is_found_in_arrays_and_sets() {
        let memory = Memory::of(std::process::id());
        let polled = [3_i32, 0, 9, 0].map(i32::to_ne_bytes).concat();
        let array = polled.as_ptr() as u64;
        assert!(is_polled(memory, array, 2, 9));
        assert!(!is_polled(memory, array, 1, 9));
        assert!(is_polled(memory, 8, 1, 9), "where nothing can be read");
        let set = [0_u8, 0b10];
        let set = set.as_ptr() as u64;
        assert!(is_selected(memory, set, 10, 9) && !is_selected(memory, set, 9, 9) && !is_selected(memory, set, 10, 8));
        assert!(!is_selected(memory, 0, 10, 9));
    }
}
