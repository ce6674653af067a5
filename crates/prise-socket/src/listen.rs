//! `listen(2)` and `accept(2)`: `__inet_listen_sk`, `inet_csk_accept`.

use core::net::SocketAddr;

use prise_stack::{ListenConfig, Local, QuickAck, State};
use prise_wire::Instant;

use crate::option::Opt;
use crate::socket::{Flag, Phase, Socket, Transport};
use crate::{Errno, Host, Kind, SocketId};

/// What a backlog may be at most (`net.core.somaxconn`).
pub const SOMAXCONN: u32 = 4096;

impl Host {
    /// `listen(2)`; again to change the backlog. A negative backlog is the largest possible.
    pub fn listen(&mut self, now: Instant, s: SocketId, backlog: i32) -> Result<(), Errno> {
        let socket = self.socket_ref(s)?;
        if socket.kind != Kind::Stream {
            return Err(Errno::EOPNOTSUPP);
        }
        if socket.phase != Phase::Unconnected {
            return Err(Errno::EINVAL);
        }
        let backlog = (backlog as u32).min(SOMAXCONN);
        match socket.transport {
            Transport::Listener(id) => {
                self.stack.tcp_set_backlog(id, backlog);
                Ok(())
            }
            Transport::None => self.listen_start(now, s, backlog),
            _ => Err(Errno::EINVAL),
        }
    }

    /// `inet_csk_listen_start`: the port is judged anew, for a listener shares less than a bound socket.
    fn listen_start(&mut self, now: Instant, s: SocketId, backlog: u32) -> Result<(), Errno> {
        self.autobind(now, s)?;
        self.look_for_free_ports();
        let socket = self.socket_ref(s)?;
        let (port, before) = (socket.port, socket.claim(self.owner));
        let after = crate::ports::Claim {
            listening: true,
            ..before
        };
        self.tcp_ports.release(port, before);
        if !self.tcp_ports.may_hold(port, &after) {
            self.tcp_ports.hold(port, before);
            return Err(Errno::EADDRINUSE);
        }
        let socket = self.socket_ref(s)?;
        let listen = ListenConfig {
            local: Local {
                addr: socket.stack_local(),
                family: socket.stack_family(),
                port,
                device: socket.device(),
            },
            backlog,
            reuse_port: socket.has(Flag::ReusePort),
            config: self.tcp_config(socket),
            token: s.index(),
        };
        match self.stack.tcp_listen(listen) {
            Ok(id) => {
                self.tcp_ports.hold(port, after);
                let socket = self.socket_mut(s)?;
                socket.transport = Transport::Listener(id);
                // inet_csk_delack_init
                socket.unset_value(Opt::QuickAck);
                self.wake(s);
                Ok(())
            }
            Err(error) => {
                self.tcp_ports.hold(port, before);
                Err(error.into())
            }
        }
    }

    /// `accept(2)`: the oldest connection that waits, and its peer. `EAGAIN` if none does.
    ///
    /// The new socket has the listener's options, as on Linux.
    pub fn accept(&mut self, now: Instant, s: SocketId) -> Result<(SocketId, SocketAddr), Errno> {
        let listener = self.socket_ref(s)?;
        if listener.kind != Kind::Stream {
            return Err(Errno::EOPNOTSUPP);
        }
        let Transport::Listener(id) = listener.transport else {
            return Err(Errno::EINVAL);
        };
        if self.stack.tcp_backlog(id).is_none_or(|(waiting, _)| waiting == 0) {
            return Err(Errno::EAGAIN);
        }
        let socket = listener.accepted();
        let new = self.sockets.insert(socket);
        let accepted = self.stack.tcp_accept(id, new.index());
        let Some((connection, (local, remote))) =
            accepted.and_then(|it| self.stack.tcp_endpoints(it).map(|endpoints| (it, endpoints)))
        else {
            self.sockets.remove(new);
            return Err(Errno::EAGAIN);
        };
        if self.socket_ref(new)?.value_set(Opt::QuickAck) == Some(0) {
            self.stack.tcp_set_quick_ack(now, connection, QuickAck::Off);
        }
        let config = self.stack.tcp_config(connection);
        let ip_options = config.and_then(|config| config.ip_options.as_deref().copied());
        let socket = self.socket_mut(new)?;
        socket.set_ip_options(ip_options);
        let (local, remote) = (socket.present(local), socket.present(remote));
        socket.transport = Transport::Connection(connection);
        socket.local = local.ip();
        socket.port = local.port();
        socket.shown_port = local.port();
        let socket = self.socket_ref(new)?;
        let remote = self.scoped(socket, remote);
        if let SocketAddr::V6(v6) = remote
            && v6.ip().is_unicast_link_local()
        {
            // tcp_conn_request: it speaks by the link that it came by.
            self.socket_mut(new)?.set_value(Opt::Device, v6.scope_id().into());
        }
        let claim = self.socket_ref(new)?.claim(self.owner);
        self.tcp_ports.hold(local.port(), claim);
        Ok((new, remote))
    }

    /// How many connections wait to be accepted.
    pub fn pending(&self, s: SocketId) -> usize {
        match self.sockets.get(s).map(|socket| socket.transport) {
            Some(Transport::Listener(id)) => self.stack.tcp_backlog(id).map_or(0, |(waiting, _)| waiting as usize),
            _ => 0,
        }
    }

    /// Where a stream stands, as Linux sees it: a socket whose connection went on to TIME-WAIT is closed.
    pub(crate) fn state(&self, s: SocketId) -> State {
        match self.sockets.get(s).map(|socket| socket.transport) {
            Some(Transport::Listener(_)) => State::Listen,
            Some(Transport::Connection(id)) => match self.stack.tcp_state(id) {
                State::TimeWait => State::Closed,
                state => state,
            },
            Some(Transport::Elsewhere) if !self.is_over(s) => State::Established,
            _ => State::Closed,
        }
    }
}

impl Socket {
    /// What a connection accepted from this listener starts with (`sk_clone`).
    pub(crate) fn accepted(&self) -> Self {
        let mut socket = Self::new(self.family, self.kind, self.protocol);
        socket.flags = self.flags;
        socket.flags.set(Flag::PortLocked, false);
        socket.options.clone_from(&self.options);
        // What is not cloned with it, or is the queue's.
        for own in [Opt::PeekOffset, Opt::Priority, Opt::DeferAccept, Opt::FastOpenQueue] {
            socket.unset_value(own);
        }
        if let Some(keys) = self.extra.as_ref().and_then(|extra| extra.signature_keys.as_ref()) {
            socket.extra_mut().signature_keys = Some(keys.clone());
        }
        socket.phase = Phase::Connected;
        socket
    }
}
