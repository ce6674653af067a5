//! A socket as listings show it: `sock_diag(7)` and the files of `/proc/net` have the same columns.

use crate::View;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;
use prise_socket::{Family, Kind, SocketId, State};

/// One line.
#[derive(Clone, Debug)]
pub struct Row {
    /// Its name in the host; none for what no program holds: half-open connections, orphans, TIME-WAIT.
    pub id: Option<SocketId>,
    /// Its family.
    pub family: Family,
    /// Its type.
    pub kind: Kind,
    /// Its protocol.
    pub protocol: u8,
    /// Its state.
    pub state: State,
    /// Its own end.
    pub local: SocketAddr,
    /// The other end; the unspecified address if there is none.
    pub remote: SocketAddr,
    /// Octets received and not read; of a listener, connections that wait.
    pub receive_queue: u32,
    /// Octets written and not acknowledged; of a listener, the backlog.
    pub send_queue: u32,
    /// Its owner.
    pub uid: u32,
    /// The open file that programs hold for it; 0 if none does.
    pub inode: u32,
    /// An IPv6 socket that does not speak IPv4.
    pub v6_only: bool,
    /// How long TIME-WAIT lasts yet.
    pub waits: Option<Duration>,
}

/// A connection that is carried elsewhere, and that no program holds any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Left {
    /// Its own end. Of a socket of IPv6 that is connected by IPv4 it is mapped (RFC 4291 §2.5.5.2), and so is the other.
    pub local: SocketAddr,
    /// The other end.
    pub remote: SocketAddr,
    /// Its state.
    pub state: State,
    /// How long TIME-WAIT lasts yet.
    pub waits: Option<Duration>,
}

/// The protocol number of TCP.
pub(crate) const TCP: u8 = 6;

/// The line of one socket.
pub(crate) fn row(view: &mut View<'_>, id: SocketId) -> Option<Row> {
    let info = view.host.info(id)?;
    // What has no port is in none of the kernel's tables.
    let held = view.driver.held(id);
    let state = held.state.unwrap_or(info.state);
    if info.kind != Kind::Raw && (info.local.port() == 0 || info.kind == Kind::Stream && state == State::Closed) {
        return None;
    }
    let (unread, unsent) = match state {
        // Of a listener that is carried elsewhere: who waits there.
        State::Listen => (held.unread, 0),
        _ => (held.unread, held.unsent),
    };
    let octets = |queue: usize, more: u32| u32::try_from(queue).unwrap_or(u32::MAX).saturating_add(more);
    let nobody = match info.family {
        Family::Inet => SocketAddr::from(([0; 4], 0)),
        Family::Inet6 => SocketAddr::from(([0_u16; 8], 0)),
    };
    Some(Row {
        id: Some(id),
        family: info.family,
        kind: info.kind,
        protocol: info.protocol,
        state,
        local: info.local,
        remote: info.remote.unwrap_or(nobody),
        receive_queue: octets(info.receive_queue, unread),
        send_queue: octets(info.send_queue, unsent),
        uid: info.uid,
        inode: held.inode,
        v6_only: info.v6_only,
        waits: None,
    })
}

/// The lines of connections that no program holds: those of the host's own TCP, then those that are carried elsewhere. For the latter
/// the driver may go through more connections than it tells of.
pub(crate) fn unowned(view: &mut View<'_>) -> Vec<Row> {
    let mut rows = unowned_by_stack(view);
    rows.extend(view.driver.left().into_iter().map(|it| Row {
        waits: it.waits,
        ..unowned_line(it.local, it.remote, it.state)
    }));
    rows
}

/// The lines of the host's own TCP for connections that no program holds.
pub(crate) fn unowned_by_stack(view: &View<'_>) -> Vec<Row> {
    let own = view.host.stack().tcp_unowned().map(|it| Row {
        send_queue: it.send_queue,
        waits: it.expires.map(|expires| expires.saturating_since(view.now)),
        ..unowned_line(it.local, it.remote, it.state.into())
    });
    own.collect()
}

fn unowned_line(local: SocketAddr, remote: SocketAddr, state: State) -> Row {
    Row {
        id: None,
        family: if local.is_ipv4() { Family::Inet } else { Family::Inet6 },
        kind: Kind::Stream,
        protocol: TCP,
        state,
        local,
        remote,
        receive_queue: 0,
        send_queue: 0,
        uid: 0,
        inode: 0,
        v6_only: false,
        waits: None,
    }
}
