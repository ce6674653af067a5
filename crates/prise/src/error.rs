//! The error numbers of the socket layer as the standard library's errors.

use prise_socket::Errno;
use std::io;

/// The `io::Error` that the same call on a kernel socket returns: same number, same kind.
pub(crate) fn io_error(errno: Errno) -> io::Error {
    io::Error::from_raw_os_error(errno.raw())
}

/// Shortens results of the socket layer's verbs to `io::Result`.
pub(crate) trait OrIo<T> {
    /// Converts the error.
    fn or_io(self) -> io::Result<T>;
}

impl<T> OrIo<T> for Result<T, Errno> {
    fn or_io(self) -> io::Result<T> {
        self.map_err(io_error)
    }
}
