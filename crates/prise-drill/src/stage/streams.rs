//! bind, listen, accept and connect.

use prise_socket::sockaddr::{Given, decode};
use prise_socket::{Errno, Flags};
use std::net::SocketAddr;

use super::advance::{Look, Stage};

impl Stage {
    /// `bind(2)`. The address becomes the host's: packetdrill picks it and tells nobody else.
    pub fn bind(&self, fd: i32, address: &[u8]) -> Result<(), Errno> {
        self.at_once(|world| {
            let id = world.target(fd)?.id;
            let local: SocketAddr = match decode(address)? {
                Given::Internet(local) => local,
                Given::Unspecified(v4) => v4.ok_or(Errno::EINVAL)?.into(),
            };
            world.own(local.ip().to_canonical());
            world.host.bind(world.now, id, local)
        })
    }

    /// `listen(2)`.
    pub fn listen(&self, fd: i32, backlog: i32) -> Result<(), Errno> {
        self.at_once(|world| {
            let id = world.target(fd)?.id;
            world.host.listen(world.now, id, backlog)
        })
    }

    /// `accept(2)`: the new descriptor and the peer.
    pub fn accept(&self, fd: i32) -> Result<(i32, SocketAddr), Errno> {
        let target = self.enter().target(fd)?;
        let patience = self.patience(target, false, Flags::EMPTY);
        let accepted = self.wait_for(patience.timeout(), |world| {
            match world.host.accept(world.now, target.id) {
                Err(Errno::EAGAIN) if patience.waits() => Look::Wait { progress: false },
                Err(errno) => Look::Done(Err(errno)),
                Ok((id, peer)) => Look::Done(world.open(id, true, false).map(|fd| (fd, peer))),
            }
        });
        accepted.unwrap_or(Err(Errno::EAGAIN))
    }

    /// `connect(2)`.
    pub fn connect(&self, fd: i32, address: &[u8]) -> Result<(), Errno> {
        let target = self.enter().target(fd)?;
        let remote = match decode(address)? {
            Given::Internet(remote) => remote,
            Given::Unspecified(_) => {
                return self.at_once(|world| world.host.disconnect(world.now, target.id));
            }
        };
        let patience = self.patience(target, true, Flags::EMPTY);
        let connected = self.wait_for(patience.timeout(), |world| {
            world.own_some(remote);
            match world.host.connect(world.now, target.id, remote) {
                Err(Errno::EINPROGRESS) if patience.waits() => Look::Wait { progress: true },
                Err(Errno::EALREADY) if patience.waits() => Look::Wait { progress: false },
                result => Look::Done(result),
            }
        });
        connected.unwrap_or(Err(Errno::EINPROGRESS))
    }
}
