//! Messages as programs have them in memory: `struct msghdr` and its vectors and control data (recvmsg(2), sendmsg(2),
//! cmsg(3)), in Linux's layout for x86-64, and the two forms of receiving and sending calls made one.

use prise_socket::Errno;
use prise_sys::memory::Area;

use crate::guest::Memory;

/// `struct msghdr`.
const HEADER_LEN: usize = 56;
/// `struct mmsghdr`: a header, the length that was transferred, and padding.
pub(crate) const MANY_STRIDE: u64 = 64;
/// Where the length lies in it.
pub(crate) const MANY_LEN_OFFSET: u64 = 56;
/// `UIO_MAXIOV`: more pieces are refused, and more messages are not looked at.
pub(crate) const VECTOR_MAX: u64 = 1024;
/// `struct cmsghdr`.
pub(crate) const CONTROL_HEADER_LEN: usize = 16;
/// Control data to be sent may be as long as `net.core.optmem_max`.
const CONTROL_MAX: u64 = 128 << 10;

/// A `struct msghdr`, as it was read once.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Header {
    /// Where it lies.
    pub(crate) address: u64,
    pub(crate) name: u64,
    pub(crate) name_len: i32,
    vector: u64,
    vector_len: u64,
    pub(crate) control: u64,
    pub(crate) control_len: u64,
}

impl Header {
    pub(crate) fn read(memory: Memory, address: u64) -> Result<Self, Errno> {
        let mut octets = [0; HEADER_LEN];
        memory.read(address, &mut octets)?;
        let word = |at: usize| u64::from_ne_bytes(core::array::from_fn(|i| octets[at + i]));
        let header = Self {
            address,
            name: word(0),
            name_len: word(8) as i32,
            vector: word(16),
            vector_len: word(24),
            control: word(32),
            control_len: word(40),
        };
        if header.name != 0 && header.name_len < 0 {
            Err(Errno::EINVAL)
        } else {
            Ok(header)
        }
    }

    /// The pieces that the octets lie in or go to.
    pub(crate) fn areas(&self, memory: Memory) -> Result<Vec<Area>, Errno> {
        if self.vector_len > VECTOR_MAX {
            return Err(Errno::EMSGSIZE);
        }
        let mut octets = vec![0; self.vector_len as usize * 16];
        memory.read(self.vector, &mut octets)?;
        let mut total = 0usize;
        let mut areas = Vec::with_capacity(self.vector_len as usize);
        for piece in octets.chunks_exact(16) {
            let (address, len) = piece.split_at(8);
            let address = u64::from_ne_bytes(core::array::from_fn(|i| address[i]));
            let len = usize::from_ne_bytes(core::array::from_fn(|i| len[i]));
            total = total
                .checked_add(len)
                .filter(|&total| isize::try_from(total).is_ok())
                .ok_or(Errno::EINVAL)?;
            areas.push(Area { address, len });
        }
        Ok(areas)
    }

    /// Whether there is control data.
    pub(crate) fn has_control(&self) -> bool {
        self.control != 0 && self.control_len != 0
    }

    /// The control data to be sent.
    pub(crate) fn control(&self, memory: Memory) -> Result<Vec<u8>, Errno> {
        if !self.has_control() {
            return Ok(Vec::new());
        }
        if self.control_len > CONTROL_MAX {
            return Err(Errno::ENOBUFS);
        }
        let mut octets = vec![0; self.control_len as usize];
        memory.read(self.control, &mut octets)?;
        Ok(octets)
    }
}

/// Level, type, data.
pub(crate) type ControlPiece<'a> = (i32, i32, &'a [u8]);

/// The pieces of control data, each with its level and type; `EINVAL` where a length cannot be.
pub(crate) fn control_pieces(octets: &[u8]) -> Result<Vec<ControlPiece<'_>>, Errno> {
    let mut pieces = Vec::new();
    let mut rest = octets;
    while rest.len() >= CONTROL_HEADER_LEN {
        let word = |at: usize| -> [u8; 4] { core::array::from_fn(|i| rest[at + i]) };
        let len = usize::from_ne_bytes(core::array::from_fn(|i| rest[i]));
        if len < CONTROL_HEADER_LEN || len > rest.len() {
            return Err(Errno::EINVAL);
        }
        let (level, kind) = (i32::from_ne_bytes(word(8)), i32::from_ne_bytes(word(12)));
        pieces.push((level, kind, &rest[CONTROL_HEADER_LEN..len]));
        rest = &rest[len.next_multiple_of(8).min(rest.len())..];
    }
    Ok(pieces)
}

/// Control data that is received, as far as there is room.
#[derive(Debug)]
pub(crate) struct ControlBuffer {
    octets: Vec<u8>,
    room: usize,
    pub(crate) truncated: bool,
}

impl ControlBuffer {
    pub(crate) fn new(room: usize) -> Self {
        Self {
            octets: Vec::new(),
            room,
            truncated: false,
        }
    }

    /// Adds a piece as the kernel's `put_cmsg` does: what does not fit is cut, and said so.
    pub(crate) fn put(&mut self, level: i32, kind: i32, data: &[u8]) {
        let room = self.room - self.octets.len();
        if room < CONTROL_HEADER_LEN {
            self.truncated = true;
            return;
        }
        let mut len = CONTROL_HEADER_LEN + data.len();
        if len > room {
            self.truncated = true;
            len = room;
        }
        self.octets.extend_from_slice(&(len as u64).to_ne_bytes());
        self.octets.extend_from_slice(&level.to_ne_bytes());
        self.octets.extend_from_slice(&kind.to_ne_bytes());
        self.octets.extend_from_slice(&data[..len - CONTROL_HEADER_LEN]);
        let padded = self.octets.len().next_multiple_of(8).min(self.room);
        self.octets.resize(padded, 0);
    }

    pub(crate) fn as_slice(&self) -> &[u8] {
        &self.octets
    }
}

/// Where a received message goes.
#[derive(Debug, Clone)]
pub(crate) struct Destination {
    pub(crate) areas: Vec<Area>,
    form: Form,
}

#[derive(Debug, Clone, Copy)]
enum Form {
    /// recvfrom(2).
    From { name: u64, name_len: u64 },
    /// recvmsg(2).
    Message(Header),
}

/// What is said of a received message beside its octets.
#[derive(Debug)]
pub(crate) struct About<'a> {
    /// The source's address, empty on a stream.
    pub(crate) name: &'a [u8],
    pub(crate) control: ControlBuffer,
    /// `MSG_TRUNC` and others; `MSG_CTRUNC` is added here.
    pub(crate) flags: i32,
}

impl Destination {
    /// The arguments of recvfrom(2).
    pub(crate) fn of_recvfrom(args: &[u64; 6]) -> Self {
        // The kernel cuts what is longer (`MAX_RW_COUNT`).
        let area = Area {
            address: args[1],
            len: (args[2] as usize).min(0x7fff_f000),
        };
        Self {
            areas: vec![area],
            form: Form::From {
                name: args[4],
                name_len: args[5],
            },
        }
    }

    /// A header of recvmsg(2).
    pub(crate) fn of_message(memory: Memory, address: u64) -> Result<Self, Errno> {
        let header = Header::read(memory, address)?;
        Ok(Self {
            areas: header.areas(memory)?,
            form: Form::Message(header),
        })
    }

    /// How many octets find room.
    pub(crate) fn room(&self) -> usize {
        self.areas.iter().map(|area| area.len).sum()
    }

    /// How many octets of control data find room.
    pub(crate) fn control_room(&self) -> usize {
        match self.form {
            Form::From { .. } => 0,
            Form::Message(header) if header.control == 0 => 0,
            Form::Message(header) => header.control_len.min(CONTROL_MAX) as usize,
        }
    }

    /// Whether control data is told, or said to be cut.
    pub(crate) fn takes_control(&self) -> bool {
        matches!(self.form, Form::Message(_))
    }

    /// Whether the caller asks for the source's address.
    pub(crate) fn wants_name(&self) -> bool {
        match self.form {
            Form::From { name, .. } => name != 0,
            Form::Message(header) => header.name != 0,
        }
    }

    /// Writes a message and what is said of it.
    pub(crate) fn write(&self, memory: Memory, octets: &[u8], about: &About<'_>) -> Result<(), Errno> {
        memory.scatter(octets, &self.areas)?;
        match self.form {
            Form::From { name: 0, .. } => Ok(()),
            // Looked at now, as Linux does: before, there may be nothing to receive.
            Form::From { name, name_len } => {
                let name_room = usize::try_from(memory.read_i32(name_len)?).map_err(|_| Errno::EINVAL)?;
                let shown = &about.name[..about.name.len().min(name_room)];
                memory.write_pieces([(name, shown), (name_len, &(about.name.len() as u32).to_ne_bytes())])
            }
            Form::Message(header) => {
                let room = if header.name == 0 { 0 } else { header.name_len as usize };
                let shown = &about.name[..about.name.len().min(room)];
                let control = about.control.as_slice();
                let flags = about.flags | if about.control.truncated { libc::MSG_CTRUNC } else { 0 };
                let len = if header.name == 0 { 0 } else { about.name.len() as u32 };
                memory.write_pieces([
                    (header.name, shown),
                    (header.control, control),
                    (header.address + 8, &len.to_ne_bytes()),
                    (header.address + 40, &(control.len() as u64).to_ne_bytes()),
                    (header.address + 48, &flags.to_ne_bytes()),
                ])
            }
        }
    }
}

/// A call that receives.
#[derive(Debug, Clone)]
pub(crate) struct ReceiveRequest {
    pub(crate) form: ReceiveForm,
    /// `MSG_*`.
    pub(crate) flags: i32,
}

/// Its form.
#[derive(Debug, Clone)]
pub(crate) enum ReceiveForm {
    /// recvfrom(2) and recvmsg(2).
    One(Destination),
    /// recvmmsg(2): the headers, and how many of them were filled.
    Many { headers: u64, count: u64, filled: u64 },
}

/// A call that sends.
#[derive(Debug, Clone)]
pub(crate) struct SendRequest {
    pub(crate) form: SendForm,
    /// `MSG_*`.
    pub(crate) flags: i32,
}

/// Its form.
#[derive(Debug, Clone)]
pub(crate) enum SendForm {
    /// sendto(2) and sendmsg(2).
    One(Outgoing),
    /// sendmmsg(2): the headers, and how many of them were sent.
    Many { headers: u64, count: u64, sent: u64 },
}

/// A message to be sent, read once.
#[derive(Debug, Clone)]
pub(crate) struct Outgoing {
    pub(crate) octets: prise_wire::Payload,
    pub(crate) destination: Option<core::net::SocketAddr>,
    pub(crate) control: prise_socket::Control,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_data_survives_being_put_and_taken_apart() {
        let mut buffer = ControlBuffer::new(64);
        buffer.put(0, 2, &[1, 2, 3, 4]);
        buffer.put(41, 50, &[7; 20]);
        assert!(!buffer.truncated);
        let pieces = control_pieces(buffer.as_slice()).unwrap();
        assert_eq!(
            pieces,
            [(0, 2, [1u8, 2, 3, 4].as_slice()), (41, 50, [7u8; 20].as_slice())]
        );
    }

    #[test]
    fn control_data_that_does_not_fit_is_cut_and_said_so() {
        let mut buffer = ControlBuffer::new(20);
        buffer.put(0, 8, &[9; 12]);
        assert!(buffer.truncated);
        assert_eq!(buffer.as_slice().len(), 20);
        let mut none = ControlBuffer::new(8);
        none.put(0, 8, &[9; 12]);
        assert!(none.truncated && none.as_slice().is_empty());
    }

    #[test]
    fn control_lengths_that_cannot_be_are_refused() {
        let mut octets = [0; 24];
        octets[0] = 8;
        assert_eq!(control_pieces(&octets), Err(Errno::EINVAL));
        octets[0] = 25;
        assert_eq!(control_pieces(&octets), Err(Errno::EINVAL));
        assert_eq!(control_pieces(&octets[..8]), Ok(vec![]));
    }
}
