//! Somebody else's table: the shared object loaded as packetdrill loads it, and its functions as safe calls.
//!
//! Each method hands over buffers of its own, so that whatever the library does within the interface is sound.

use std::ffi::{CString, c_char, c_int, c_uint, c_void};
use std::io;
use std::mem::MaybeUninit;
use std::path::Path;
use std::time::Duration;

use libc::{epoll_event, iovec, msghdr, pollfd, sockaddr, timeval};

use super::table::Interface;
use crate::stage::{Incoming, PollEntry};

/// Room for one packet.
const PACKET_MAX: usize = 1 << 16;
/// `sockaddr_storage`.
const NAME_MAX: usize = 128;
/// Room for control messages.
const CONTROL_MAX: usize = 1024;

/// What a call answers: its value, and errno if that is negative.
type Answer<T = i64> = Result<T, i32>;

/// A loaded stack.
#[derive(Debug)]
pub struct Library {
    table: Interface,
    /// `prise_drill_command`, which is ours alone.
    command: Option<CommandEntry>,
}

type CommandEntry = unsafe extern "C" fn(*mut c_void, *const c_char);

// SAFETY: packetdrill's interface is called from two threads; whoever exports it promises to stand that.
unsafe impl Send for Library {}
// SAFETY: as above.
unsafe impl Sync for Library {}

fn errno() -> i32 {
    io::Error::last_os_error().raw_os_error().unwrap_or(0)
}

fn answer(value: impl Into<i64>) -> Answer {
    let value = value.into();
    if value < 0 { Err(errno()) } else { Ok(value) }
}

impl Library {
    /// Loads a shared object and has it fill its table.
    pub fn load(path: &Path, flags: &str) -> io::Result<Self> {
        let name = CString::new(path.as_os_str().as_encoded_bytes()).map_err(io::Error::other)?;
        let flags = CString::new(flags).map_err(io::Error::other)?;
        let mode = libc::RTLD_NOW | libc::RTLD_LOCAL | libc::RTLD_NODELETE | libc::RTLD_DEEPBIND;
        let mut table = MaybeUninit::<Interface>::uninit();
        // SAFETY: the object is one that the user named to be loaded; its entry point has the type that the interface fixes, and fills
        // the whole table.
        unsafe {
            let handle = libc::dlopen(name.as_ptr(), mode);
            if handle.is_null() {
                return Err(loading_error());
            }
            let entry = libc::dlsym(handle, c"packetdrill_interface_init".as_ptr());
            if entry.is_null() {
                return Err(loading_error());
            }
            let entry: unsafe extern "C" fn(*const c_char, *mut Interface) = std::mem::transmute(entry);
            entry(flags.as_ptr(), table.as_mut_ptr());
            let command = libc::dlsym(handle, c"prise_drill_command".as_ptr());
            Ok(Self {
                table: table.assume_init(),
                command: (!command.is_null()).then(|| std::mem::transmute::<*mut c_void, CommandEntry>(command)),
            })
        }
    }

    /// The stack linked into this program, through the same table.
    pub fn own(flags: &str) -> Self {
        let flags = CString::new(flags).unwrap_or_default();
        let mut table = MaybeUninit::<Interface>::uninit();
        // SAFETY: a string and room for a table, which is filled.
        unsafe {
            super::packetdrill_interface_init(flags.as_ptr(), table.as_mut_ptr());
            Self {
                table: table.assume_init(),
                command: Some(super::prise_drill_command),
            }
        }
    }

    /// Tells of a command in the middle of a script. False: the library has no ear for it.
    pub fn command(&self, text: &str) -> bool {
        let (Some(entry), Ok(text)) = (self.command, CString::new(text)) else {
            return false;
        };
        // SAFETY: the table's own pointer, and a string that ends with a zero.
        unsafe { entry(self.user(), text.as_ptr()) };
        true
    }

    fn user(&self) -> *mut c_void {
        self.table.userdata
    }

    /// `socket(2)`.
    pub fn socket(&self, domain: i32, kind: i32, protocol: i32) -> Answer {
        // SAFETY: by value.
        answer(unsafe { (self.table.socket)(self.user(), domain, kind, protocol) })
    }

    /// `bind(2)`.
    pub fn bind(&self, fd: i32, address: &[u8]) -> Answer {
        let (at, len) = (
            address.as_ptr().cast::<c_void>().cast::<sockaddr>(),
            address.len() as u32,
        );
        // SAFETY: a live slice.
        answer(unsafe { (self.table.bind)(self.user(), fd, at, len) })
    }

    /// `connect(2)`.
    pub fn connect(&self, fd: i32, address: &[u8]) -> Answer {
        // packetdrill's address is a sockaddr_storage.
        let mut storage = [0_u8; NAME_MAX];
        storage[..address.len()].copy_from_slice(address);
        let at = storage.as_ptr().cast::<c_void>().cast::<sockaddr>();
        // SAFETY: a live buffer longer than the length.
        answer(unsafe { (self.table.connect)(self.user(), fd, at, address.len() as u32) })
    }

    /// `listen(2)`.
    pub fn listen(&self, fd: i32, backlog: i32) -> Answer {
        // SAFETY: by value.
        answer(unsafe { (self.table.listen)(self.user(), fd, backlog) })
    }

    /// `accept(2)`, with the peer's address.
    pub fn accept(&self, fd: i32) -> Answer<(i32, Vec<u8>)> {
        let mut name = vec![0_u8; NAME_MAX];
        let mut len = NAME_MAX as u32;
        let at = name.as_mut_ptr().cast::<c_void>().cast::<sockaddr>();
        // SAFETY: a live buffer of that length.
        let fd = answer(unsafe { (self.table.accept)(self.user(), fd, at, &raw mut len) })?;
        name.truncate(len as usize);
        Ok((fd as i32, name))
    }

    /// `read(2)` and `recv(2)`; the octets do not matter to anybody.
    pub fn recv(&self, fd: i32, room: usize, flags: Option<i32>) -> Answer {
        let mut buffer = vec![0_u8; room];
        let at = buffer.as_mut_ptr().cast();
        // SAFETY: a live buffer of that length.
        answer(unsafe {
            match flags {
                None => (self.table.read)(self.user(), fd, at, room),
                Some(flags) => (self.table.recv)(self.user(), fd, at, room, flags),
            }
        } as i64)
    }

    /// `readv(2)` into pieces of these sizes.
    pub fn readv(&self, fd: i32, sizes: &[usize]) -> Answer {
        let (mut buffers, vector) = pieces(sizes);
        // SAFETY: live pieces.
        let result =
            answer(unsafe { (self.table.readv)(self.user(), fd, vector.as_ptr(), vector.len() as c_int) } as i64);
        buffers.clear();
        result
    }

    /// `recvfrom(2)`.
    pub fn recvfrom(&self, fd: i32, room: usize, flags: i32) -> Answer {
        let mut buffer = vec![0_u8; room];
        let mut name = [0_u8; NAME_MAX];
        let mut len = NAME_MAX as u32;
        let (at, from) = (buffer.as_mut_ptr().cast(), name.as_mut_ptr().cast());
        // SAFETY: live buffers of those lengths.
        answer(unsafe { (self.table.recvfrom)(self.user(), fd, at, room, flags, from, &raw mut len) } as i64)
    }

    /// `recvmsg(2)` into pieces of these sizes, with all that it tells beside the octets.
    pub fn recvmsg(&self, fd: i32, sizes: &[usize], flags: i32) -> Answer<Incoming> {
        let (buffers, mut vector) = pieces(sizes);
        let mut name = vec![0_u8; NAME_MAX];
        let mut control = vec![0_u64; CONTROL_MAX / 8];
        // SAFETY: all zeros is a valid `msghdr`.
        let mut message: msghdr = unsafe { std::mem::zeroed() };
        message.msg_name = name.as_mut_ptr().cast();
        message.msg_namelen = NAME_MAX as u32;
        message.msg_iov = vector.as_mut_ptr();
        message.msg_iovlen = vector.len();
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = CONTROL_MAX;
        // SAFETY: everything in the header is live.
        let count = answer(unsafe { (self.table.recvmsg)(self.user(), fd, &raw mut message, flags) } as i64)?;
        drop(buffers);
        name.truncate(message.msg_namelen as usize);
        let mut said: Vec<u8> = control.iter().flat_map(|word| word.to_ne_bytes()).collect();
        said.truncate(message.msg_controllen);
        Ok(Incoming {
            octets: Vec::new(),
            count: count as usize,
            name,
            control: said,
            flags: message.msg_flags as u32,
        })
    }

    /// `write(2)` and `send(2)` of so many zeros.
    pub fn send(&self, fd: i32, octets: &[u8], flags: Option<i32>) -> Answer {
        let at = octets.as_ptr().cast();
        // SAFETY: a live slice.
        answer(unsafe {
            match flags {
                None => (self.table.write)(self.user(), fd, at, octets.len()),
                Some(flags) => (self.table.send)(self.user(), fd, at, octets.len(), flags),
            }
        } as i64)
    }

    /// The receiving or sending call with a null pointer for its buffer.
    pub fn with_null(&self, fd: i32, len: usize, flags: Option<i32>, sends: bool) -> Answer {
        let null = std::ptr::null_mut();
        // SAFETY: a null pointer is what the call is to refuse.
        answer(unsafe {
            match (sends, flags) {
                (true, None) => (self.table.write)(self.user(), fd, null, len),
                (true, Some(flags)) => (self.table.send)(self.user(), fd, null, len, flags),
                (false, None) => (self.table.read)(self.user(), fd, null, len),
                (false, Some(flags)) => (self.table.recv)(self.user(), fd, null, len, flags),
            }
        } as i64)
    }

    /// `writev(2)` of pieces of these sizes.
    pub fn writev(&self, fd: i32, sizes: &[usize]) -> Answer {
        let (mut buffers, vector) = pieces(sizes);
        // SAFETY: live pieces.
        let result =
            answer(unsafe { (self.table.writev)(self.user(), fd, vector.as_ptr(), vector.len() as c_int) } as i64);
        buffers.clear();
        result
    }

    /// `sendto(2)`.
    pub fn sendto(&self, fd: i32, octets: &[u8], flags: i32, to: &[u8]) -> Answer {
        let (at, name) = (octets.as_ptr().cast(), to.as_ptr().cast());
        // SAFETY: live slices.
        answer(unsafe { (self.table.sendto)(self.user(), fd, at, octets.len(), flags, name, to.len() as u32) } as i64)
    }

    /// `sendmsg(2)` of pieces of these sizes.
    pub fn sendmsg(&self, fd: i32, sizes: &[usize], flags: i32, to: &mut [u8]) -> Answer {
        let (mut buffers, mut vector) = pieces(sizes);
        // SAFETY: all zeros is a valid `msghdr`.
        let mut message: msghdr = unsafe { std::mem::zeroed() };
        if !to.is_empty() {
            message.msg_name = to.as_mut_ptr().cast();
            message.msg_namelen = to.len() as u32;
        }
        message.msg_iov = vector.as_mut_ptr();
        message.msg_iovlen = vector.len();
        // SAFETY: everything in the header is live.
        let result = answer(unsafe { (self.table.sendmsg)(self.user(), fd, &raw const message, flags) } as i64);
        buffers.clear();
        result
    }

    /// `fcntl(2)`.
    pub fn fcntl(&self, fd: i32, command: i32, argument: i64) -> Answer {
        // SAFETY: by value.
        answer(unsafe { (self.table.fcntl)(self.user(), fd, command, argument) })
    }

    /// `ioctl(2)`: its result, and the number it left.
    pub fn ioctl(&self, fd: i32, request: u64, argument: i32) -> Answer<(i64, i32)> {
        let mut number = argument;
        // SAFETY: a live integer.
        let result = answer(unsafe { (self.table.ioctl)(self.user(), fd, request, &raw mut number) })?;
        Ok((result, number))
    }

    /// `close(2)`.
    pub fn close(&self, fd: i32) -> Answer {
        // SAFETY: by value.
        answer(unsafe { (self.table.close)(self.user(), fd) })
    }

    /// `shutdown(2)`.
    pub fn shutdown(&self, fd: i32, how: i32) -> Answer {
        // SAFETY: by value.
        answer(unsafe { (self.table.shutdown)(self.user(), fd, how) })
    }

    /// `getsockopt(2)`.
    pub fn getsockopt(&self, fd: i32, level: i32, name: i32, room: usize) -> Answer<Vec<u8>> {
        let mut value = vec![0_u8; room];
        let mut len = room as u32;
        let at = value.as_mut_ptr().cast();
        // SAFETY: a live buffer of that length.
        answer(unsafe { (self.table.getsockopt)(self.user(), fd, level, name, at, &raw mut len) })?;
        value.truncate(len as usize);
        Ok(value)
    }

    /// `getsockopt(2)` made directly, without the library being asked: as packetdrill's code blocks do.
    pub fn getsockopt_directly(fd: i32, level: i32, name: i32, room: usize) -> Answer<Vec<u8>> {
        let mut value = vec![0_u8; room];
        let mut len = room as u32;
        // SAFETY: a live buffer of that length.
        answer(unsafe { libc::getsockopt(fd, level, name, value.as_mut_ptr().cast(), &raw mut len) })?;
        value.truncate(len as usize);
        Ok(value)
    }

    /// `sendfile(2)` made directly.
    pub fn sendfile_directly(out: i32, file: i32, offset: i64, count: usize) -> Answer {
        let mut offset = offset;
        // SAFETY: a live offset.
        answer(unsafe { libc::sendfile(out, file, &raw mut offset, count) } as i64)
    }

    /// `setsockopt(2)`.
    pub fn setsockopt(&self, fd: i32, level: i32, name: i32, value: &[u8], len: u32) -> Answer {
        // SAFETY: a live slice, or a length that the caller wants to be refused.
        answer(unsafe { (self.table.setsockopt)(self.user(), fd, level, name, value.as_ptr().cast(), len) })
    }

    /// `poll(2)`.
    pub fn poll(&self, entries: &mut [PollEntry], timeout: i32) -> Answer {
        let entry = |entry: &PollEntry| pollfd {
            fd: entry.fd,
            events: entry.events,
            revents: 0,
        };
        let mut fds: Vec<pollfd> = entries.iter().map(entry).collect();
        // SAFETY: live entries, so many.
        let ready = answer(unsafe { (self.table.poll)(self.user(), fds.as_mut_ptr(), fds.len() as u64, timeout) })?;
        for (entry, fd) in entries.iter_mut().zip(fds) {
            entry.revents = fd.revents;
        }
        Ok(ready)
    }

    /// A packet goes in.
    pub fn netdev_send(&self, packet: &[u8]) -> Answer {
        // SAFETY: a live slice.
        answer(unsafe { (self.table.netdev_send)(self.user(), packet.as_ptr().cast(), packet.len()) })
    }

    /// The next packet out, with its time in microseconds; none if there is none.
    pub fn netdev_receive(&self) -> Answer<Option<(i64, Vec<u8>)>> {
        let mut packet = vec![0_u8; PACKET_MAX];
        let (mut len, mut time) = (packet.len(), 0);
        let at = packet.as_mut_ptr().cast();
        // SAFETY: a live buffer of that length.
        answer(unsafe { (self.table.netdev_receive)(self.user(), at, &raw mut len, &raw mut time) })?;
        packet.truncate(len);
        Ok((len > 0).then_some((time, packet)))
    }

    /// `usleep(3)`.
    pub fn usleep(&self, microseconds: u32) {
        // SAFETY: by value.
        unsafe { (self.table.usleep)(self.user(), microseconds as c_uint) };
    }

    /// `gettimeofday(2)`, since the clock's epoch.
    pub fn time(&self) -> Duration {
        let mut time = timeval { tv_sec: 0, tv_usec: 0 };
        // SAFETY: a live structure.
        unsafe { (self.table.gettimeofday)(self.user(), &raw mut time, std::ptr::null_mut()) };
        Duration::from_secs(time.tv_sec as u64) + Duration::from_micros(time.tv_usec as u64)
    }

    /// `epoll_create(2)`.
    pub fn epoll_create(&self, size: i32) -> Answer {
        // SAFETY: by value.
        answer(unsafe { (self.table.epoll_create)(self.user(), size) })
    }

    /// `epoll_ctl(2)`.
    pub fn epoll_ctl(&self, epfd: i32, op: i32, fd: i32, events: u32, data: u64) -> Answer {
        let mut event = epoll_event { events, u64: data };
        // SAFETY: a live structure.
        answer(unsafe { (self.table.epoll_ctl)(self.user(), epfd, op, fd, &raw mut event) })
    }

    /// `epoll_wait(2)`: events and data.
    pub fn epoll_wait(&self, epfd: i32, max: usize, timeout: i32) -> Answer<Vec<(u32, u64)>> {
        let mut events = vec![epoll_event { events: 0, u64: 0 }; max];
        let at = events.as_mut_ptr();
        // SAFETY: room for so many.
        let count = answer(unsafe { (self.table.epoll_wait)(self.user(), epfd, at, max as c_int, timeout) })?;
        Ok(events
            .iter()
            .take(count as usize)
            .map(|it| (it.events, it.u64))
            .collect())
    }

    /// `pipe(2)`.
    pub fn pipe(&self) -> Answer<[i32; 2]> {
        let mut ends = [0; 2];
        // SAFETY: room for two.
        answer(unsafe { (self.table.pipe)(self.user(), ends.as_mut_ptr()) })?;
        Ok(ends)
    }

    /// `splice(2)`, with both offsets pointed to, as packetdrill does.
    pub fn splice(&self, from: i32, from_offset: i64, to: i32, to_offset: i64, len: usize, flags: u32) -> Answer {
        let (mut a, mut b) = (from_offset, to_offset);
        // SAFETY: live offsets.
        answer(unsafe { (self.table.splice)(self.user(), from, &raw mut a, to, &raw mut b, len, flags) })
    }
}

impl Drop for Library {
    fn drop(&mut self) {
        // SAFETY: the last call.
        unsafe { (self.table.free)(self.table.userdata) };
    }
}

fn pieces(sizes: &[usize]) -> (Vec<Vec<u8>>, Vec<iovec>) {
    let mut buffers: Vec<Vec<u8>> = sizes.iter().map(|&size| vec![0; size]).collect();
    let piece = |buffer: &mut Vec<u8>| iovec {
        iov_base: buffer.as_mut_ptr().cast(),
        iov_len: buffer.len(),
    };
    let vector = buffers.iter_mut().map(piece).collect();
    (buffers, vector)
}

fn loading_error() -> io::Error {
    // SAFETY: dlerror answers null or a string that lives until the next dl call of this thread.
    let text = unsafe {
        let text = libc::dlerror();
        if text.is_null() {
            String::from("unknown error")
        } else {
            std::ffi::CStr::from_ptr(text).to_string_lossy().into_owned()
        }
    };
    io::Error::other(text)
}
