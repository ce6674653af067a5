//! The guests' tasks: their descriptors (pidfd_getfd(2)) and their memory, with the kernel's answers put into words.

pub(crate) mod asleep;
pub(crate) mod capabilities;
pub(crate) mod control;
pub(crate) mod epoll_sets;
pub(crate) mod kin;
pub(crate) mod message;
pub(crate) mod mounts;
pub(crate) mod notify;
pub(crate) mod pending;
pub(crate) mod sockaddr;

use core::cell::OnceCell;
use core::fmt::Display;
use std::collections::HashMap;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::rc::Rc;

use crate::complaints::AT_ONCE;
use crate::guest::kin::Kin;
use crate::socket::{Holder, unix};
use prise_socket::Errno;
use prise_sys::memory::{self, Area};
use rustix::event::{EventfdFlags, PollFlags, eventfd};
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, Resource, getrlimit, pidfd_getfd, pidfd_open};

/// `PIDFD_THREAD` (linux/pidfd.h, Linux 6.9): a descriptor for one thread, with that thread's own descriptor table.
const PIDFD_THREAD: u32 = 0o200;

/// Tasks remembered at once, one descriptor each. Beyond it all are forgotten; each costs a pidfd_open(2) to know again.
const TASKS_MAX: usize = 512;

/// So many further tasks, or as many as were alive the last time, and it is looked which of them have ended: each is a descriptor of no use.
const TASKS_MORE: usize = 64;

/// For a call on a socket that is there, where sockets have taken all other descriptors: its task's and the copy.
const RESERVE: usize = 2;

/// Why a guest's descriptor cannot be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LookupError {
    /// No such descriptor (`EBADF`).
    NotOpen,
    /// The guest does not let itself be looked at: not dumpable, or of another user.
    Forbidden,
    /// The task is gone; nobody waits for an answer.
    Gone,
    /// The supervisor itself is out of descriptors.
    Exhausted,
}

/// One task.
#[derive(Debug)]
struct Task {
    pidfd: Rc<OwnedFd>,
    /// Its process, found when somebody asks.
    process: OnceCell<u32>,
}

impl Task {
    /// A descriptor for a task is readable once that has ended (pidfd_open(2)).
    fn has_ended(&self) -> bool {
        unix::shows(&self.pidfd, PollFlags::IN)
    }

    /// The process that the task `tid` belongs to; the task itself when that can no longer be found out.
    fn process(&self, tid: u32) -> u32 {
        *self.process.get_or_init(|| thread_group(tid).unwrap_or(tid))
    }
}

/// The tasks that were seen lately.
#[derive(Debug)]
pub(crate) struct Guests {
    tasks: HashMap<u32, Task>,
    /// How many of them were alive when it was last looked.
    alive: usize,
    /// So many are remembered at once.
    most: usize,
    /// A descriptor of this number or a higher one is among the last that the supervisor may have.
    last_descriptors: RawFd,
    /// Given up when a descriptor is wanted and there is no other.
    reserve: Vec<OwnedFd>,
    /// Descriptors are not fetched (see [`crate::socket::keeping`]).
    fetches_nothing: bool,
}

impl Default for Guests {
    fn default() -> Self {
        let limit = getrlimit(Resource::Nofile)
            .current
            .and_then(|limit| RawFd::try_from(limit).ok());
        Self {
            tasks: HashMap::new(),
            alive: 0,
            most: TASKS_MAX,
            last_descriptors: limit.unwrap_or(RawFd::MAX) - AT_ONCE as RawFd,
            reserve: Vec::with_capacity(RESERVE),
            fetches_nothing: false,
        }
    }
}

impl Guests {
    /// Tasks whose descriptors cannot be fetched.
    pub(crate) fn without_descriptors() -> Self {
        Self {
            fetches_nothing: true,
            ..Self::default()
        }
    }

    /// Makes what was given up of the reserve anew, as far as there are descriptors.
    pub(crate) fn keep_reserve(&mut self) {
        while self.reserve.len() < RESERVE {
            let Ok(one) = eventfd(0, EventfdFlags::CLOEXEC) else {
                return;
            };
            self.reserve.push(one);
        }
    }

    /// A copy of the task's descriptor `fd`: the same open file.
    pub(crate) fn descriptor(&mut self, tid: u32, fd: i32) -> Result<OwnedFd, LookupError> {
        if fd < 0 {
            return Err(LookupError::NotOpen);
        }
        if self.fetches_nothing {
            return Err(LookupError::Forbidden);
        }
        let mut found = self.fetch(tid, fd);
        // What is there works on, though no socket can be made.
        if matches!(found, Err(LookupError::Exhausted)) {
            self.reserve.clear();
            self.forget_ended();
            found = self.fetch(tid, fd);
        }
        if matches!(found, Err(LookupError::Exhausted)) {
            self.forget_all();
            found = self.fetch(tid, fd);
        }
        found
    }

    fn fetch(&mut self, tid: u32, fd: i32) -> Result<OwnedFd, LookupError> {
        use rustix::io::Errno as E;
        // A task that has ended answers ESRCH for ever, also when its number was given to another.
        for _ in 0..2 {
            let task = self.task(tid)?;
            match pidfd_getfd(&task.pidfd, fd, PidfdGetfdFlags::empty()) {
                Ok(copy) => {
                    // Before the call fails that needs another one: numbers are given out from the lowest on.
                    if copy.as_raw_fd() >= self.last_descriptors && self.tasks.len() > self.alive {
                        self.forget_ended();
                    }
                    return Ok(copy);
                }
                Err(E::BADF) => return Err(LookupError::NotOpen),
                Err(E::SRCH) => self.forget(tid),
                Err(E::MFILE | E::NFILE) => return Err(LookupError::Exhausted),
                Err(_) => return Err(LookupError::Forbidden),
            }
        }
        Err(LookupError::Gone)
    }

    /// Whether the supervisor may look at the task at all: dumpable, and of a user that ours may trace.
    pub(crate) fn is_open(&mut self, tid: u32) -> bool {
        if self.fetches_nothing {
            return socket_number(tid, i32::MAX) != Err(LookupError::Forbidden);
        }
        // Any descriptor will do: the right is checked before the number.
        !matches!(self.descriptor(tid, i32::MAX), Err(LookupError::Forbidden))
    }

    /// The process that the task belongs to; the task itself when that can no longer be found out.
    pub(crate) fn process(&mut self, tid: u32) -> u32 {
        self.task(tid).map_or(tid, |task| task.process(tid))
    }

    /// What tells of the end of the task's process by becoming readable.
    pub(crate) fn pidfd(&mut self, tid: u32) -> Option<Rc<OwnedFd>> {
        self.task(tid).ok().map(|task| Rc::clone(&task.pidfd))
    }

    /// Looks through all descriptors of all tasks that are remembered for the one that `is_it`. Costs as much as they have.
    pub(crate) fn search(&mut self, is_it: impl Fn(&OwnedFd) -> bool) -> Option<(Holder, OwnedFd)> {
        if self.fetches_nothing {
            return None;
        }
        for tid in self.known().collect::<Vec<u32>>() {
            let Ok(entries) = std::fs::read_dir(format!("/proc/{tid}/fd")) else {
                continue;
            };
            for entry in entries.flatten() {
                let is_socket = std::fs::read_link(entry.path())
                    .is_ok_and(|target| target.as_os_str().as_encoded_bytes().starts_with(b"socket:"));
                let number = entry.file_name().to_str().and_then(|name| name.parse().ok());
                if let Some(fd) = number.filter(|_| is_socket)
                    && let Some(copy) = self.descriptor(tid, fd).ok().filter(&is_it)
                {
                    return Some((Holder { tid, fd }, copy));
                }
            }
        }
        None
    }

    /// The sockets that the tasks which are remembered have open, with their numbers. Costs as much as they have.
    pub(crate) fn open_sockets(&self) -> Vec<(Holder, u32)> {
        let mut open = Vec::new();
        for tid in self.known() {
            let entries = std::fs::read_dir(format!("/proc/{tid}/fd"))
                .into_iter()
                .flatten()
                .flatten();
            let numbers = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
            open.extend(numbers.filter_map(|fd| Some((Holder { tid, fd }, socket_number(tid, fd).ok()??))));
        }
        open
    }

    /// The other numbers of a socket in the table of the task that has it as `fd` (dup(2)).
    pub(crate) fn copies(tid: u32, fd: i32, inode: u64) -> Vec<i32> {
        let name = format!("socket:[{inode}]");
        // A task that hides its descriptors, or is gone, keeps what it has.
        let entries = std::fs::read_dir(format!("/proc/{tid}/fd"))
            .into_iter()
            .flatten()
            .flatten();
        entries
            .filter(|entry| std::fs::read_link(entry.path()).is_ok_and(|link| link.as_os_str() == name.as_str()))
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .filter(|&number| number != fd)
            .collect()
    }

    /// Remembers every process of the run, whether or not it has made a call.
    pub(crate) fn know_all(&mut self, kin: &Kin) {
        for process in kin.processes() {
            // Gone meanwhile, it has nothing open.
            let _ = self.task(process);
        }
    }

    /// The processes of the tasks that are remembered and have not ended.
    pub(crate) fn living(&self) -> Vec<u32> {
        let living = self.tasks.iter().filter(|(_, task)| !task.has_ended());
        living.map(|(&tid, task)| task.process(tid)).collect()
    }

    /// The tasks that are remembered.
    pub(crate) fn known(&self) -> impl Iterator<Item = u32> {
        self.tasks.keys().copied()
    }

    /// Forgets the tasks that have ended, each of which keeps a descriptor; how many those were.
    pub(crate) fn forget_ended(&mut self) -> usize {
        let before = self.tasks.len();
        self.tasks.retain(|_, task| !task.has_ended());
        self.alive = self.tasks.len();
        before - self.alive
    }

    fn forget_all(&mut self) {
        self.tasks.clear();
        self.alive = 0;
    }

    /// Forgets one that was found to have ended.
    fn forget(&mut self, tid: u32) {
        if self.tasks.remove(&tid).is_some() {
            // Perhaps it came after that look; the next one then comes earlier than it need.
            self.alive = self.alive.saturating_sub(1);
        }
    }

    fn task(&mut self, tid: u32) -> Result<&Task, LookupError> {
        if !self.tasks.contains_key(&tid) {
            if self.tasks.len() >= self.alive * 2 + TASKS_MORE {
                self.forget_ended();
            }
            if self.tasks.len() >= self.most {
                self.forget_all();
            }
            self.tasks.insert(tid, open(tid)?);
        }
        self.tasks.get(&tid).ok_or(LookupError::Gone)
    }
}

fn open(tid: u32) -> Result<Task, LookupError> {
    use rustix::io::Errno as E;
    let pid = i32::try_from(tid)
        .ok()
        .and_then(Pid::from_raw)
        .ok_or(LookupError::Gone)?;
    // The first thread of a process, by far the most frequent caller, needs no PIDFD_THREAD and tells that it is first.
    match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(pidfd) => {
            let process = OnceCell::from(tid);
            return Ok(Task {
                pidfd: Rc::new(pidfd),
                process,
            });
        }
        Err(E::MFILE | E::NFILE) => return Err(LookupError::Exhausted),
        Err(E::SRCH) => return Err(LookupError::Gone),
        Err(_) => (),
    }
    let process = OnceCell::new();
    match pidfd_open(pid, PidfdFlags::from_bits_retain(PIDFD_THREAD)) {
        Ok(pidfd) => Ok(Task {
            pidfd: Rc::new(pidfd),
            process,
        }),
        // Before Linux 6.9: the process's descriptor. Threads with a descriptor table of their own do not work there.
        Err(E::INVAL) => {
            let leader = thread_group(tid).ok_or(LookupError::Gone)?;
            let leader = Pid::from_raw(leader as i32).ok_or(LookupError::Gone)?;
            let pidfd = pidfd_open(leader, PidfdFlags::empty()).map_err(|_| LookupError::Gone)?;
            Ok(Task {
                pidfd: Rc::new(pidfd),
                process,
            })
        }
        Err(E::MFILE | E::NFILE) => Err(LookupError::Exhausted),
        Err(_) => Err(LookupError::Gone),
    }
}

/// What /proc/TASK/status (proc(5)) says behind `name`, which ends with a colon; none where the task is gone.
pub(crate) fn status_field(task: impl Display, name: &str) -> Option<String> {
    let status = std::fs::read_to_string(format!("/proc/{task}/status")).ok()?;
    let field = status.lines().find_map(|line| line.strip_prefix(name))?;
    Some(field.trim().to_owned())
}

/// `Tgid` of /proc/TID/status (proc(5)).
fn thread_group(tid: u32) -> Option<u32> {
    status_field(tid, "Tgid:")?.parse().ok()
}

/// The effective user of a task (`Uid`, proc(5)); nobody where it is gone.
pub(crate) fn effective_user(tid: u32) -> u32 {
    const NOBODY: u32 = 65_534;
    let users = status_field(tid, "Uid:");
    let effective = users.and_then(|users| users.split_ascii_whitespace().nth(1)?.parse().ok());
    effective.unwrap_or(NOBODY)
}

/// The number that the task's process has for itself: another one in a PID namespace of its own (`NStgid`, proc(5)).
pub(crate) fn own_number(tid: u32) -> Option<u32> {
    innermost(tid, "NStgid:")
}

/// The number that the task has for itself (`NSpid`, proc(5)).
pub(crate) fn own_thread_number(tid: u32) -> Option<u32> {
    innermost(tid, "NSpid:")
}

/// The last of the numbers that a task or its process has, one for each PID namespace that it is in.
fn innermost(tid: u32, name: &str) -> Option<u32> {
    status_field(tid, name)?.split_whitespace().next_back()?.parse().ok()
}

/// The number of the socket behind the task's descriptor `fd`, none if it is no socket: what /proc/TID/fd/N leads to (proc(5)).
pub(crate) fn socket_number(tid: u32, fd: i32) -> Result<Option<u32>, LookupError> {
    let target = match std::fs::read_link(format!("/proc/{tid}/fd/{fd}")) {
        Ok(target) => target,
        Err(error) => {
            return Err(match error.kind() {
                std::io::ErrorKind::PermissionDenied => LookupError::Forbidden,
                _ if std::fs::exists(format!("/proc/{tid}")).is_ok_and(|there| there) => LookupError::NotOpen,
                _ => LookupError::Gone,
            });
        }
    };
    let number = |name: &str| name.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok();
    Ok(target.to_str().and_then(number))
}

/// Whether calls on the task's descriptor `fd` do not wait.
pub(crate) fn is_nonblocking(tid: u32, fd: i32) -> bool {
    open_flags(tid, fd).is_some_and(|flags| flags & libc::O_NONBLOCK != 0)
}

/// Whether the task's descriptor `fd` has its close-on-exec flag.
pub(crate) fn closes_on_exec(tid: u32, fd: i32) -> bool {
    open_flags(tid, fd).is_some_and(|flags| flags & libc::O_CLOEXEC != 0)
}

/// The flags of an open file and of its descriptor (/proc/TID/fdinfo/N, proc(5)).
fn open_flags(tid: u32, fd: i32) -> Option<i32> {
    let text = std::fs::read_to_string(format!("/proc/{tid}/fdinfo/{fd}")).ok()?;
    let octal = text.lines().find_map(|line| line.strip_prefix("flags:"))?.trim();
    i32::from_str_radix(octal, 8).ok()
}

/// The memory of the task that made a call.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Memory {
    tid: u32,
}

impl Memory {
    pub(crate) fn of(tid: u32) -> Self {
        Self { tid }
    }

    /// Fills `buffer`, or `EFAULT`.
    pub(crate) fn read(self, address: u64, buffer: &mut [u8]) -> Result<(), Errno> {
        if buffer.is_empty() {
            return Ok(());
        }
        match memory::read(self.tid, address, buffer) {
            Ok(read) if read == buffer.len() => Ok(()),
            _ => Err(Errno::EFAULT),
        }
    }

    /// `len` octets, or as many as there are before memory that is not there; `EFAULT` where that is not one `int`. The
    /// kernel copies no more of an option than the option has, whatever its length says.
    pub(crate) fn read_front(self, address: u64, len: usize) -> Result<Vec<u8>, Errno> {
        const PAGE: u64 = 4096;
        let mut buffer = vec![0; len];
        if self.read(address, &mut buffer).is_ok() {
            return Ok(buffer);
        }
        let front = (PAGE - address % PAGE) as usize;
        if front >= len || front < size_of::<i32>() {
            return Err(Errno::EFAULT);
        }
        buffer.truncate(front);
        self.read(address, &mut buffer)?;
        Ok(buffer)
    }

    /// An integer as getsockopt(2) and accept(2) take their lengths.
    pub(crate) fn read_i32(self, address: u64) -> Result<i32, Errno> {
        let mut octets = [0; 4];
        self.read(address, &mut octets)?;
        Ok(i32::from_ne_bytes(octets))
    }

    /// Gathers all areas, or `EFAULT`.
    pub(crate) fn gather(self, areas: &[Area]) -> Result<Vec<u8>, Errno> {
        let total: usize = areas.iter().map(|area| area.len).sum();
        let mut octets = Vec::with_capacity(total);
        for areas in areas.chunks(memory::AREAS_MAX) {
            let wanted: usize = areas.iter().map(|area| area.len).sum();
            if wanted == 0 {
                continue;
            }
            match memory::read_areas(self.tid, areas, &mut octets) {
                Ok(read) if read == wanted => (),
                _ => return Err(Errno::EFAULT),
            }
        }
        Ok(octets)
    }

    /// Writes all of `data`, or `EFAULT`.
    pub(crate) fn write(self, address: u64, data: &[u8]) -> Result<(), Errno> {
        self.write_pieces([(address, data)])
    }

    /// Writes each piece to its address, or `EFAULT`.
    pub(crate) fn write_pieces<const N: usize>(self, pieces: [(u64, &[u8]); N]) -> Result<(), Errno> {
        let total: usize = pieces.iter().map(|(_, data)| data.len()).sum();
        if total == 0 {
            return Ok(());
        }
        match memory::write_pieces(self.tid, pieces) {
            Ok(written) if written == total => Ok(()),
            _ => Err(Errno::EFAULT),
        }
    }

    /// Spreads `data` over the areas, as far as they reach; gives how much found room. `EFAULT` where they are not writable.
    pub(crate) fn scatter(self, data: &[u8], areas: &[Area]) -> Result<usize, Errno> {
        let mut rest = data;
        for areas in areas.chunks(memory::AREAS_MAX) {
            let room: usize = areas.iter().map(|area| area.len).sum();
            let (now, later) = rest.split_at(room.min(rest.len()));
            if !now.is_empty() {
                match memory::write_areas(self.tid, now, &shortened(areas, now.len())) {
                    Ok(written) if written == now.len() => (),
                    _ => return Err(Errno::EFAULT),
                }
            }
            rest = later;
        }
        Ok(data.len() - rest.len())
    }
}

/// The front of `areas`, `len` octets in all: memory that receives nothing need not be writable.
fn shortened(areas: &[Area], mut len: usize) -> Vec<Area> {
    let mut front = Vec::with_capacity(areas.len());
    for area in areas {
        let taken = area.len.min(len);
        if taken > 0 {
            front.push(Area {
                address: area.address,
                len: taken,
            });
        }
        len -= taken;
    }
    front
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn areas_are_cut_where_the_data_ends() {
        let areas = [
            Area { address: 10, len: 4 },
            Area { address: 20, len: 0 },
            Area { address: 30, len: 9 },
        ];
        let front = shortened(&areas, 6);
        assert_eq!(front, [Area { address: 10, len: 4 }, Area { address: 30, len: 2 }]);
    }

    /// A process of ours that ends when this does, and its number.
    struct Sleeper(std::process::Child);

    impl Sleeper {
        fn new() -> (Self, u32) {
            let child = std::process::Command::new("sleep").arg("100").spawn().unwrap();
            let number = child.id();
            (Self(child), number)
        }
    }

    impl Drop for Sleeper {
        fn drop(&mut self) {
            self.0.kill().unwrap();
            self.0.wait().unwrap();
        }
    }

    #[test]
    fn tasks_that_have_ended_keep_no_descriptors() {
        let mut guests = Guests::default();
        let (child, childs) = Sleeper::new();
        let own = std::process::id();
        assert_eq!((guests.process(own), guests.process(childs)), (own, childs));
        assert_eq!(guests.forget_ended(), 0);
        drop(child);
        assert_eq!(guests.forget_ended(), 1);
        assert_eq!(guests.known().collect::<Vec<u32>>(), [own]);
    }

    /// Remembers `most` tasks, and has hardly any descriptors.
    fn guests_of(most: usize) -> Guests {
        Guests {
            most,
            last_descriptors: 0,
            ..Guests::default()
        }
    }

    /// The tasks that are left where a descriptor was fetched of ours.
    fn left_by_a_fetch(guests: &mut Guests) -> Vec<u32> {
        assert!(guests.descriptor(std::process::id(), 0).is_ok());
        guests.known().collect()
    }

    #[test]
    fn who_has_ended_is_found_also_after_all_were_forgotten() {
        let mut guests = guests_of(3);
        let others = [Sleeper::new(), Sleeper::new()];
        for (_, number) in &others {
            guests.process(*number);
        }
        assert_eq!((guests.forget_ended(), guests.known().count()), (0, 2));
        guests.process(std::process::id());
        let (last, number) = Sleeper::new();
        guests.process(number);
        assert_eq!(guests.known().collect::<Vec<u32>>(), [number]);
        drop(last);
        assert_eq!(left_by_a_fetch(&mut guests), [std::process::id()]);
    }

    #[test]
    fn who_has_ended_is_found_also_after_another_was_met() {
        let mut guests = guests_of(TASKS_MAX);
        let (first, gone) = Sleeper::new();
        guests.process(std::process::id());
        guests.process(gone);
        assert_eq!((guests.forget_ended(), guests.known().count()), (0, 2));
        drop(first);
        assert_eq!(guests.descriptor(gone, 0).unwrap_err(), LookupError::Gone);
        let (second, number) = Sleeper::new();
        guests.process(number);
        drop(second);
        assert_eq!(left_by_a_fetch(&mut guests), [std::process::id()]);
    }

    #[test]
    fn own_descriptors_are_copied_and_closed_ones_are_not_open() {
        let mut guests = Guests::default();
        let tid = std::process::id();
        assert!(guests.descriptor(tid, 0).is_ok());
        assert_eq!(guests.descriptor(tid, 999_999).unwrap_err(), LookupError::NotOpen);
        assert_eq!(guests.descriptor(tid, -1).unwrap_err(), LookupError::NotOpen);
        assert!(guests.is_open(tid));
        assert_eq!(guests.process(tid), tid);
    }
}
