//! ioctl(2) on sockets: queues (tcp(7), udp(7)) and interfaces (netdevice(7)).

use std::os::fd::{AsFd, OwnedFd};

use prise_socket::{Errno, Family};
use prise_view::ioctl::{self, Asked, Kind, On};
use rustix::net::{AddressFamily, sockopt};

use super::Target;
use crate::guest::capabilities::is_network_admin;
use crate::guest::control;
use crate::guest::notify::{Answer, Call, DONE, Judged, errno_of};
use crate::socket::{Role, Slot};
use crate::supervisor::Supervisor;

const TIOCOUTQ: u32 = libc::TIOCOUTQ as u32;
const SIOCATMARK: u32 = 0x8905;
const SIOCGSTAMP: u32 = 0x8906;
const SIOCGSTAMPNS: u32 = 0x8907;
const SIOCOUTQNSD: u32 = 0x894b;
/// The same two as programs name them whose time has 64 bits whatever their words have (`SIOCGSTAMP_NEW`, `SIOCGSTAMPNS_NEW`).
pub(crate) const SIOCGSTAMP_NEW: u32 = 0x8010_8906;
pub(crate) const SIOCGSTAMPNS_NEW: u32 = 0x8010_8907;
/// What protocols have of their own from here on; AF_UNIX the file of a name (`SIOCUNIXFILE`).
const SIOCPROTOPRIVATE: u32 = 0x89e0;

impl Supervisor {
    pub(super) fn ioctl(&mut self, call: &Call, target: &Target) -> Judged {
        let request = call.args[1] as u32;
        let socket = self.entry(target.slot)?;
        let (id, family, is_stream) = (socket.id, socket.family, socket.kind == prise_socket::Kind::Stream);
        let listens = matches!(socket.role, Role::Listener(_));
        let queue = match request {
            // An AF_UNIX listener shows whether somebody waits.
            SIOCATMARK if listens => {
                call.memory().write(call.args[2], &0i32.to_ne_bytes())?;
                return DONE;
            }
            // An AF_UNIX stream knows its mark as TCP does.
            SIOCATMARK if is_stream => return Ok(Answer::Native),
            SIOCGSTAMP | SIOCGSTAMP_NEW => return self.last_stamp(call, target.slot, false),
            SIOCGSTAMPNS | SIOCGSTAMPNS_NEW => return self.last_stamp(call, target.slot, true),
            // ping(8)'s have no queues to tell of.
            TIOCOUTQ if self.is_ping(target.slot) => return Err(Errno::ENOTTY),
            // An unknown request, for which dev_ioctl reads one of its own.
            SIOCOUTQNSD if !is_stream => {
                call.memory().read(call.args[2], &mut [0; ioctl::REQUEST_LEN])?;
                return Err(Errno::ENOTTY);
            }
            SIOCOUTQNSD => Some(self.host.unsent_queue(id)?),
            TIOCOUTQ => Some(self.outgoing_queue(target)?),
            _ => None,
        };
        if let Some(octets) = queue {
            call.memory().write(call.args[2], &(octets as i32).to_ne_bytes())?;
            return DONE;
        }
        let on = match family {
            Family::Inet => On::Inet,
            Family::Inet6 => On::Inet6,
        };
        self.interface_request(call, on)
    }

    /// `SIOCGSTAMP`, `SIOCGSTAMPNS`: when the last datagram came that the program has received. Streams have none.
    fn last_stamp(&mut self, call: &Call, slot: Slot, nanos: bool) -> Judged {
        let stamp = match &mut self.entry(slot)?.role {
            Role::Datagram(datagram) => datagram.last_stamp(),
            _ => None,
        };
        let (seconds, fraction) = control::wall_clock(stamp.ok_or(Errno::ENOENT)?);
        let mut value = seconds.to_ne_bytes().to_vec();
        value.extend_from_slice(&(if nanos { fraction } else { fraction / 1000 }).to_ne_bytes());
        call.memory().write(call.args[2], &value)?;
        DONE
    }

    /// What the program wrote and the peer has not acknowledged: in the kernel's object and in the host.
    fn outgoing_queue(&mut self, target: &Target) -> Result<usize, Errno> {
        self.attend(target.slot);
        let id = self.entry(target.slot)?.id;
        self.host.send_queue(id)
    }

    /// On a socket that is not the run's the kernel answers what is about the descriptor itself; what is about links and queues of
    /// AF_UNIX sockets begins later.
    pub(super) fn foreign_ioctl(&self, call: &Call, object: Option<&OwnedFd>) -> Judged {
        /// The first request about the network rather than the socket (`SIOCADDRT`, linux/sockios.h).
        const NETWORK: u32 = 0x890b;
        let request = call.args[1] as u32;
        let domain = object.and_then(|object| sockopt::socket_domain(object).ok());
        let is_kernels = match request {
            SIOCGSTAMP_NEW | SIOCGSTAMPNS_NEW => true,
            SIOCPROTOPRIVATE => domain == Some(AddressFamily::UNIX),
            _ => request < NETWORK,
        };
        if is_kernels {
            return Ok(Answer::Native);
        }
        let is_packet = domain == Some(AddressFamily::PACKET);
        self.interface_request(call, if is_packet { On::Packet } else { On::Other })
    }

    /// On a netlink socket, whose AF_UNIX object has queues and marks where netlink has none.
    pub(super) fn netlink_ioctl(&self, call: &Call) -> Judged {
        match call.args[1] as u32 {
            TIOCOUTQ => Err(Errno::ENOTTY),
            SIOCGSTAMP | SIOCGSTAMPNS | SIOCGSTAMP_NEW | SIOCGSTAMPNS_NEW => Ok(Answer::Native),
            _ => self.interface_request(call, On::Other),
        }
    }

    /// A request on a socket of whatever family about what every socket tells of: links.
    pub(super) fn interface_request(&self, call: &Call, on: On) -> Judged {
        let (request, address, memory) = (call.args[1] as u32, call.args[2], call.memory());
        match ioctl::kind(on, request) {
            Kind::Refused(errno) => {
                memory.read(address, &mut [0; ioctl::REQUEST_LEN])?;
                Err(errno)
            }
            Kind::Unread(errno) => Err(errno),
            Kind::List => self.interfaces(call),
            Kind::Ethtool => {
                let mut given = [0; ioctl::REQUEST_LEN];
                memory.read(address, &mut given)?;
                // The command, behind the pointer that follows the name.
                let command = u64::from_ne_bytes(core::array::from_fn(|i| given[16 + i]));
                let asked = Asked {
                    command: memory.read_i32(command)?.cast_unsigned(),
                    word: &|| Ok(memory.read_i32(command.wrapping_add(4))?.cast_unsigned()),
                    is_admin: &|| is_network_admin(call.tid),
                };
                let told = ioctl::ethtool(self.host.stack(), &given, &asked)?;
                memory.write(command.wrapping_add(4), &told)?;
                DONE
            }
            Kind::Interface => {
                let mut given = [0; ioctl::REQUEST_LEN];
                memory.read(address, &mut given)?;
                memory.write(address, &ioctl::answer(self.host.stack(), request, &given)?)?;
                DONE
            }
            Kind::NameSpace | Kind::Change { read_first: false, .. } if !is_network_admin(call.tid) => {
                Err(Errno::EPERM)
            }
            Kind::Change { len, read_first } => {
                let mut given = vec![0; len];
                memory.read(address, &mut given)?;
                if read_first && !is_network_admin(call.tid) {
                    return Err(Errno::EPERM);
                }
                ioctl::change(self.host.stack(), on, request, &given)?;
                DONE
            }
            Kind::NameSpace => self.name_space(call),
            Kind::Neighbor => {
                let mut given = [0; ioctl::ARP_LEN];
                memory.read(address, &mut given)?;
                memory.write(address, &ioctl::neighbor(self.host.stack(), &given)?)?;
                DONE
            }
        }
    }

    /// `SIOCGSKNS`: a descriptor of the caller's network name space, whose sockets all are.
    fn name_space(&self, call: &Call) -> Judged {
        let opened = std::fs::File::open(format!("/proc/{}/ns/net", call.tid)).map_err(|error| errno_of(&error))?;
        self.calls
            .install(call.id, opened.as_fd(), true)
            .map_err(|error| errno_of(&error))?;
        Ok(Answer::Settled)
    }

    /// `SIOCGIFCONF`: as many whole entries as there is room for, or without a buffer how long they are.
    fn interfaces(&self, call: &Call) -> Judged {
        let mut header = [0; 16];
        call.memory().read(call.args[2], &mut header)?;
        let room = i32::from_ne_bytes(core::array::from_fn(|i| header[i]));
        let buffer = u64::from_ne_bytes(core::array::from_fn(|i| header[8 + i]));
        let mut octets = ioctl::addresses(self.host.stack());
        if buffer != 0 {
            let room = usize::try_from(room).map_err(|_| Errno::EINVAL)?;
            octets.truncate(room / ioctl::REQUEST_LEN * ioctl::REQUEST_LEN);
            call.memory().write(buffer, &octets)?;
        }
        call.memory()
            .write(call.args[2], &(octets.len() as i32).to_ne_bytes())?;
        DONE
    }
}
