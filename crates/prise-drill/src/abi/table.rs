//! `struct packetdrill_interface`, member by member, and our functions for it.

use std::ffi::{c_int, c_long, c_longlong, c_uint, c_ulong, c_void};
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::Duration;

use libc::{epoll_event, iovec, loff_t, msghdr, nfds_t, pollfd, size_t, sockaddr, socklen_t, ssize_t, timeval};
use prise_socket::Errno;
use prise_socket::sockaddr::encode;

use super::vectors::{copy_in, copy_out, gather, message_out, name_out, room, scatter, sizes};
use crate::stage::{Outgoing, PollEntry, Stage};

type User = *mut c_void;

/// The table, in the header's order. Functions that C declares with `...` take their one further argument here; on the System V ABI
/// that is the same call.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "the calls of the same names, each with userdata in front")]
pub struct Interface {
    /// Handed to every function.
    pub userdata: User,
    pub free: unsafe extern "C" fn(User),
    pub socket: unsafe extern "C" fn(User, c_int, c_int, c_int) -> c_int,
    pub bind: unsafe extern "C" fn(User, c_int, *const sockaddr, socklen_t) -> c_int,
    pub listen: unsafe extern "C" fn(User, c_int, c_int) -> c_int,
    pub accept: unsafe extern "C" fn(User, c_int, *mut sockaddr, *mut socklen_t) -> c_int,
    pub connect: unsafe extern "C" fn(User, c_int, *const sockaddr, socklen_t) -> c_int,
    pub read: unsafe extern "C" fn(User, c_int, *mut c_void, size_t) -> ssize_t,
    pub readv: unsafe extern "C" fn(User, c_int, *const iovec, c_int) -> ssize_t,
    pub recv: unsafe extern "C" fn(User, c_int, *mut c_void, size_t, c_int) -> ssize_t,
    pub recvfrom:
        unsafe extern "C" fn(User, c_int, *mut c_void, size_t, c_int, *mut sockaddr, *mut socklen_t) -> ssize_t,
    pub recvmsg: unsafe extern "C" fn(User, c_int, *mut msghdr, c_int) -> ssize_t,
    pub write: unsafe extern "C" fn(User, c_int, *const c_void, size_t) -> ssize_t,
    pub writev: unsafe extern "C" fn(User, c_int, *const iovec, c_int) -> ssize_t,
    pub send: unsafe extern "C" fn(User, c_int, *const c_void, size_t, c_int) -> ssize_t,
    pub sendto: unsafe extern "C" fn(User, c_int, *const c_void, size_t, c_int, *const sockaddr, socklen_t) -> ssize_t,
    pub sendmsg: unsafe extern "C" fn(User, c_int, *const msghdr, c_int) -> ssize_t,
    pub fcntl: unsafe extern "C" fn(User, c_int, c_int, c_long) -> c_int,
    pub ioctl: unsafe extern "C" fn(User, c_int, c_ulong, *mut c_int) -> c_int,
    pub close: unsafe extern "C" fn(User, c_int) -> c_int,
    pub shutdown: unsafe extern "C" fn(User, c_int, c_int) -> c_int,
    pub getsockopt: unsafe extern "C" fn(User, c_int, c_int, c_int, *mut c_void, *mut socklen_t) -> c_int,
    pub setsockopt: unsafe extern "C" fn(User, c_int, c_int, c_int, *const c_void, socklen_t) -> c_int,
    pub poll: unsafe extern "C" fn(User, *mut pollfd, nfds_t, c_int) -> c_int,
    /// A packet goes into the stack; 0 or -1.
    pub netdev_send: unsafe extern "C" fn(User, *const c_void, size_t) -> c_int,
    /// The next packet out of the stack, with its length (0: there is none) and its time in microseconds; 0 or -1.
    pub netdev_receive: unsafe extern "C" fn(User, *mut c_void, *mut size_t, *mut c_longlong) -> c_int,
    pub usleep: unsafe extern "C" fn(User, c_uint) -> c_int,
    pub gettimeofday: unsafe extern "C" fn(User, *mut timeval, *mut c_void) -> c_int,
    pub epoll_create: unsafe extern "C" fn(User, c_int) -> c_int,
    pub epoll_ctl: unsafe extern "C" fn(User, c_int, c_int, c_int, *mut epoll_event) -> c_int,
    pub epoll_wait: unsafe extern "C" fn(User, c_int, *mut epoll_event, c_int, c_int) -> c_int,
    pub pipe: unsafe extern "C" fn(User, *mut c_int) -> c_int,
    pub splice: unsafe extern "C" fn(User, c_int, *mut loff_t, c_int, *mut loff_t, size_t, c_uint) -> c_int,
}

// The header has 32 functions after the pointer; each is one word.
const _: () = assert!(size_of::<Interface>() == 33 * size_of::<usize>());

impl Interface {
    pub(super) fn of(userdata: User) -> Self {
        Self {
            userdata,
            free,
            socket,
            bind,
            listen,
            accept,
            connect,
            read,
            readv,
            recv,
            recvfrom,
            recvmsg,
            write,
            writev,
            send,
            sendto,
            sendmsg,
            fcntl,
            ioctl,
            close,
            shutdown,
            getsockopt,
            setsockopt,
            poll,
            netdev_send,
            netdev_receive,
            usleep,
            gettimeofday,
            epoll_create,
            epoll_ctl,
            epoll_wait,
            pipe,
            splice,
        }
    }
}

/// # Safety
/// `user` is what `packetdrill_interface_init` put into the table, and `free` has not been called.
unsafe fn stage<'a>(user: User) -> &'a Stage {
    // SAFETY: the caller promises the live stage of the table.
    unsafe { &*user.cast::<Stage>() }
}

fn set_errno(number: i32) {
    // SAFETY: errno's location is always valid for the calling thread.
    unsafe { *libc::__errno_location() = number };
}

/// A result in C's way: -1 and errno. A panic of ours becomes `EIO`, for it must not run through C.
fn answer<T: TryInto<i64>>(call: impl FnOnce() -> Result<T, Errno>) -> i64 {
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(call)).unwrap_or(Err(Errno::EIO));
    match result.map(TryInto::try_into) {
        Ok(Ok(value)) => value,
        Ok(Err(_)) => i64::MAX,
        Err(errno) => {
            set_errno(errno.raw());
            -1
        }
    }
}

fn done(call: impl FnOnce() -> Result<(), Errno>) -> c_int {
    answer(|| call().map(|()| 0_i32)) as c_int
}

// In all functions below the pointers are the program's, valid as their man pages ask, and `user` is the table's.

unsafe extern "C" fn free(user: User) {
    // SAFETY: the last use of the reference that `packetdrill_interface_init` gave away.
    let stage = unsafe { Arc::from_raw(user.cast::<Stage>().cast_const()) };
    stage.shut();
}

unsafe extern "C" fn socket(user: User, domain: c_int, kind: c_int, protocol: c_int) -> c_int {
    // SAFETY: see above.
    answer(|| unsafe { stage(user) }.socket(domain, kind, protocol)) as c_int
}

unsafe extern "C" fn bind(user: User, fd: c_int, addr: *const sockaddr, len: socklen_t) -> c_int {
    // SAFETY: see above.
    done(|| unsafe { stage(user).bind(fd, &copy_in(addr.cast(), len as usize)) })
}

unsafe extern "C" fn listen(user: User, fd: c_int, backlog: c_int) -> c_int {
    // SAFETY: see above.
    done(|| unsafe { stage(user) }.listen(fd, backlog))
}

unsafe extern "C" fn accept(user: User, fd: c_int, addr: *mut sockaddr, len: *mut socklen_t) -> c_int {
    answer(|| {
        // SAFETY: see above.
        unsafe {
            let (fd, peer) = stage(user).accept(fd)?;
            name_out(&encode(peer), addr, len);
            Ok(fd)
        }
    }) as c_int
}

unsafe extern "C" fn connect(user: User, fd: c_int, addr: *const sockaddr, len: socklen_t) -> c_int {
    // packetdrill gives no length with AF_UNSPEC, of which two octets matter.
    let len = (len as usize).clamp(2, 128);
    // SAFETY: see above; packetdrill's address is a sockaddr_storage.
    done(|| unsafe { stage(user).connect(fd, &copy_in(addr.cast(), len)) })
}

unsafe extern "C" fn read(user: User, fd: c_int, buffer: *mut c_void, len: size_t) -> ssize_t {
    // SAFETY: the same call.
    unsafe { recv(user, fd, buffer, len, 0) }
}

unsafe extern "C" fn recv(user: User, fd: c_int, buffer: *mut c_void, len: size_t, flags: c_int) -> ssize_t {
    // SAFETY: the same call.
    unsafe { recvfrom(user, fd, buffer, len, flags, std::ptr::null_mut(), std::ptr::null_mut()) }
}

unsafe extern "C" fn recvfrom(
    user: User,
    fd: c_int,
    buffer: *mut c_void,
    len: size_t,
    flags: c_int,
    addr: *mut sockaddr,
    addr_len: *mut socklen_t,
) -> ssize_t {
    answer(|| {
        // SAFETY: see above.
        unsafe {
            let stage = stage(user);
            if !stage.has(fd) {
                let got = libc::read(fd, buffer, len);
                return if got < 0 { Err(last_error()) } else { Ok(got) };
            }
            // What has nowhere to go stays in the queue.
            let keep = if buffer.is_null() { libc::MSG_PEEK } else { 0 };
            let incoming = stage.receive(fd, len, (flags | keep) as u32)?;
            if buffer.is_null() && !incoming.octets.is_empty() {
                return Err(Errno::EFAULT);
            }
            copy_out(&incoming.octets, buffer, len);
            name_out(&incoming.name, addr, addr_len);
            Ok(incoming.count as isize)
        }
    }) as ssize_t
}

unsafe extern "C" fn readv(user: User, fd: c_int, vector: *const iovec, count: c_int) -> ssize_t {
    answer(|| {
        // SAFETY: see above.
        unsafe {
            let count = usize::try_from(count).map_err(|_| Errno::EINVAL)?;
            let incoming = stage(user).receive(fd, room(vector, count), 0)?;
            scatter(&incoming.octets, vector, count);
            Ok(incoming.count)
        }
    }) as ssize_t
}

unsafe extern "C" fn recvmsg(user: User, fd: c_int, message: *mut msghdr, flags: c_int) -> ssize_t {
    answer(|| {
        // SAFETY: see above.
        unsafe {
            let message = message.as_mut().ok_or(Errno::EFAULT)?;
            let incoming = stage(user).receive(fd, room(message.msg_iov, message.msg_iovlen), flags as u32)?;
            message_out(&incoming, message);
            Ok(incoming.count)
        }
    }) as ssize_t
}

unsafe extern "C" fn write(user: User, fd: c_int, octets: *const c_void, len: size_t) -> ssize_t {
    // SAFETY: the same call.
    unsafe { sendto(user, fd, octets, len, 0, std::ptr::null(), 0) }
}

unsafe extern "C" fn send(user: User, fd: c_int, octets: *const c_void, len: size_t, flags: c_int) -> ssize_t {
    // SAFETY: the same call.
    unsafe { sendto(user, fd, octets, len, flags, std::ptr::null(), 0) }
}

unsafe extern "C" fn sendto(
    user: User,
    fd: c_int,
    octets: *const c_void,
    len: size_t,
    flags: c_int,
    addr: *const sockaddr,
    addr_len: socklen_t,
) -> ssize_t {
    answer(|| {
        // SAFETY: see above.
        unsafe {
            let stage = stage(user);
            if !stage.has(fd) {
                let sent = libc::write(fd, octets, len);
                return if sent < 0 { Err(last_error()) } else { Ok(sent) };
            }
            if octets.is_null() && len > 0 {
                return Err(Errno::EFAULT);
            }
            let sent = stage.send(
                fd,
                Outgoing {
                    octets: copy_in(octets, len),
                    pieces: Vec::new(),
                    flags: flags as u32,
                    to: (!addr.is_null() && addr_len > 0).then(|| copy_in(addr.cast(), addr_len as usize)),
                },
            )?;
            Ok(sent as isize)
        }
    }) as ssize_t
}

unsafe extern "C" fn writev(user: User, fd: c_int, vector: *const iovec, count: c_int) -> ssize_t {
    answer(|| {
        // SAFETY: see above.
        unsafe {
            let count = usize::try_from(count).map_err(|_| Errno::EINVAL)?;
            stage(user).send(
                fd,
                Outgoing {
                    octets: gather(vector, count),
                    ..Outgoing::default()
                },
            )
        }
    }) as ssize_t
}

unsafe extern "C" fn sendmsg(user: User, fd: c_int, message: *const msghdr, flags: c_int) -> ssize_t {
    answer(|| {
        // SAFETY: see above.
        unsafe {
            let message = message.as_ref().ok_or(Errno::EFAULT)?;
            let name = copy_in(message.msg_name, message.msg_namelen as usize);
            stage(user).send(
                fd,
                Outgoing {
                    octets: gather(message.msg_iov, message.msg_iovlen),
                    pieces: sizes(message.msg_iov, message.msg_iovlen),
                    flags: flags as u32,
                    to: (!name.is_empty()).then_some(name),
                },
            )
        }
    }) as ssize_t
}

unsafe extern "C" fn fcntl(user: User, fd: c_int, command: c_int, argument: c_long) -> c_int {
    answer(|| {
        // SAFETY: see above.
        let stage = unsafe { stage(user) };
        if stage.has(fd) {
            return stage.fcntl(fd, command, argument);
        }
        // SAFETY: the program's own call on a descriptor of its own.
        let result = unsafe { libc::fcntl(fd, command, argument) };
        if result < 0 { Err(last_error()) } else { Ok(result) }
    }) as c_int
}

unsafe extern "C" fn ioctl(user: User, fd: c_int, request: c_ulong, argument: *mut c_int) -> c_int {
    done(|| {
        // SAFETY: see above; all requests that are known take one `int`.
        unsafe {
            let given = argument.as_ref().copied().unwrap_or(0);
            let answered = stage(user).ioctl(fd, request, given)?;
            argument.as_mut().map(|place| *place = answered).ok_or(Errno::EFAULT)
        }
    })
}

unsafe extern "C" fn close(user: User, fd: c_int) -> c_int {
    done(|| {
        // SAFETY: see above.
        let stage = unsafe { stage(user) };
        if stage.has(fd) {
            return stage.close(fd);
        }
        // SAFETY: a descriptor of the program's (a pipe, a file), which it wants closed.
        if unsafe { libc::close(fd) } < 0 {
            Err(last_error())
        } else {
            Ok(())
        }
    })
}

unsafe extern "C" fn shutdown(user: User, fd: c_int, how: c_int) -> c_int {
    // SAFETY: see above.
    done(|| unsafe { stage(user) }.shutdown(fd, how))
}

unsafe extern "C" fn getsockopt(
    user: User,
    fd: c_int,
    level: c_int,
    name: c_int,
    value: *mut c_void,
    len: *mut socklen_t,
) -> c_int {
    done(|| {
        // SAFETY: see above.
        unsafe {
            let len = len.as_mut().ok_or(Errno::EFAULT)?;
            let room = i32::try_from(*len).map_err(|_| Errno::EINVAL)? as usize;
            let octets = stage(user).option(fd, level, name, room)?;
            copy_out(&octets, value, room);
            *len = octets.len() as socklen_t;
            Ok(())
        }
    })
}

unsafe extern "C" fn setsockopt(
    user: User,
    fd: c_int,
    level: c_int,
    name: c_int,
    value: *const c_void,
    len: socklen_t,
) -> c_int {
    done(|| {
        let len = i32::try_from(len).map_err(|_| Errno::EINVAL)? as usize;
        if value.is_null() && len > 0 {
            return Err(Errno::EFAULT);
        }
        // SAFETY: see above.
        unsafe { stage(user).set_option(fd, level, name, &copy_in(value, len)) }
    })
}

unsafe extern "C" fn poll(user: User, fds: *mut pollfd, count: nfds_t, timeout: c_int) -> c_int {
    answer(|| {
        // SAFETY: see above.
        let fds = unsafe {
            if count == 0 || fds.is_null() {
                &mut []
            } else {
                std::slice::from_raw_parts_mut(fds, count as usize)
            }
        };
        let entry = |fd: &pollfd| PollEntry {
            fd: fd.fd,
            events: fd.events,
            revents: 0,
        };
        let mut entries: Vec<PollEntry> = fds.iter().map(entry).collect();
        // SAFETY: see above.
        let ready = unsafe { stage(user) }.poll(&mut entries, timeout)?;
        for (fd, entry) in fds.iter_mut().zip(entries) {
            fd.revents = entry.revents;
        }
        Ok(ready)
    }) as c_int
}

unsafe extern "C" fn netdev_send(user: User, packet: *const c_void, len: size_t) -> c_int {
    // SAFETY: see above.
    done(|| unsafe { stage(user).inject(&copy_in(packet, len)) })
}

unsafe extern "C" fn netdev_receive(user: User, buffer: *mut c_void, len: *mut size_t, time: *mut c_longlong) -> c_int {
    done(|| {
        // SAFETY: see above.
        unsafe {
            let (len, time) = (len.as_mut().ok_or(Errno::EFAULT)?, time.as_mut().ok_or(Errno::EFAULT)?);
            let room = core::mem::replace(len, 0);
            if let Some((at, packet)) = stage(user).sniff() {
                copy_out(&packet, buffer, room);
                *len = packet.len().min(room);
                *time = at.as_micros() as c_longlong;
            }
            Ok(())
        }
    })
}

unsafe extern "C" fn usleep(user: User, microseconds: c_uint) -> c_int {
    done(|| {
        // SAFETY: see above.
        unsafe { stage(user) }.sleep(Duration::from_micros(microseconds.into()));
        Ok(())
    })
}

unsafe extern "C" fn gettimeofday(user: User, time: *mut timeval, _zone: *mut c_void) -> c_int {
    done(|| {
        // SAFETY: see above.
        unsafe {
            let now = stage(user).time();
            if let Some(time) = time.as_mut() {
                time.tv_sec = now.as_secs() as i64;
                time.tv_usec = i64::from(now.subsec_micros());
            }
            Ok(())
        }
    })
}

unsafe extern "C" fn epoll_create(user: User, size: c_int) -> c_int {
    // SAFETY: see above.
    answer(|| unsafe { stage(user) }.epoll_create(size)) as c_int
}

unsafe extern "C" fn epoll_ctl(user: User, epfd: c_int, op: c_int, fd: c_int, event: *mut epoll_event) -> c_int {
    done(|| {
        // SAFETY: see above; the structure is packed and copied as a whole.
        unsafe {
            let event = if event.is_null() {
                epoll_event { events: 0, u64: 0 }
            } else {
                event.read_unaligned()
            };
            stage(user).epoll_control(epfd, op, fd, event.events, event.u64)
        }
    })
}

unsafe extern "C" fn epoll_wait(
    user: User,
    epfd: c_int,
    events: *mut epoll_event,
    max: c_int,
    timeout: c_int,
) -> c_int {
    answer(|| {
        // SAFETY: see above; there is room for `max` events, and there are no more.
        unsafe {
            let found = stage(user).epoll_wait(epfd, max, timeout)?;
            for (at, &(bits, data)) in found.iter().enumerate() {
                let event = epoll_event {
                    events: bits,
                    u64: data,
                };
                events.add(at).write_unaligned(event);
            }
            Ok(found.len())
        }
    }) as c_int
}

unsafe extern "C" fn pipe(_user: User, ends: *mut c_int) -> c_int {
    // SAFETY: room for two descriptors, as pipe(2) asks.
    unsafe { libc::pipe(ends) }
}

unsafe extern "C" fn splice(
    user: User,
    from: c_int,
    from_offset: *mut loff_t,
    to: c_int,
    to_offset: *mut loff_t,
    len: size_t,
    flags: c_uint,
) -> c_int {
    answer(|| {
        // SAFETY: see above; a descriptor that is not ours is the program's and stays open during the call.
        unsafe {
            let stage = stage(user);
            if stage.has(from) {
                return stage.splice_in(from, BorrowedFd::borrow_raw(to), len, flags);
            }
            if stage.has(to) {
                return stage.splice_out(BorrowedFd::borrow_raw(from), to, len, flags);
            }
            // packetdrill always points to an offset, of 0 where the script says none; a pipe has none.
            let offset = |fd: c_int, given: *mut loff_t| {
                let is_pipe = libc::fcntl(fd, libc::F_GETPIPE_SZ) >= 0;
                if is_pipe { std::ptr::null_mut() } else { given }
            };
            let (from_offset, to_offset) = (offset(from, from_offset), offset(to, to_offset));
            let moved = libc::splice(from, from_offset, to, to_offset, len, flags);
            if moved < 0 {
                Err(last_error())
            } else {
                Ok(moved as usize)
            }
        }
    }) as c_int
}

fn last_error() -> Errno {
    let number = std::io::Error::last_os_error().raw_os_error().unwrap_or(0);
    Errno::from_raw(number).unwrap_or(Errno::EIO)
}
