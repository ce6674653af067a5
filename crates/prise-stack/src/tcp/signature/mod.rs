//! Signatures over the segments of a connection (RFC 2385, `TCP_MD5SIG` of tcp(7)): BGP's protection against forged segments.
//!
//! The keys are settings like others ([`TcpConfig::signature_keys`](super::TcpConfig)), a listener's for all its peers. A segment is judged before anything else looks
//! at it (`Tcp::check_signature`, from `Tcp::arrival`), and signed as the last thing before its checksum (`sign`, from `send::output::build`).

#[cfg(test)]
mod tests;

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::net::IpAddr;
use core::ops::ControlFlow;

use prise_wire::{Frame, IpCidr, TcpHeader, protocol, tcp};

use super::Tcp;
use super::arrival::Check;
use super::config::TcpConfig;
use super::connection::Connection;
use super::demux::Owner;
use super::half_open::Origin;
use super::tuple::FourTuple;
use crate::link::LinkId;
use crate::net::Discard;

/// The option with the two octets that align it, in every segment of a signed connection.
const OPTION_LEN: u32 = 20;
/// Where its digest begins in the header, for it is the first option.
const DIGEST_AT: usize = tcp::HEADER_LEN + 4;
/// Keys of one socket. Each segment's is looked for among all, so that a program must not be able to make that long.
const KEYS_MAX: usize = 1024;

/// One key and the peers that it is for.
#[derive(Clone, PartialEq, Eq)]
struct SignatureKey {
    peers: IpCidr,
    octets: Vec<u8>,
}

impl fmt::Debug for SignatureKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SignatureKey({:?}, ..)", self.peers)
    }
}

/// The keys of a socket.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SignatureKeys(Vec<SignatureKey>);

impl SignatureKeys {
    /// The longest key (`TCP_MD5SIG_MAXKEYLEN`).
    pub const KEY_MAX: usize = 80;

    /// Sets the key for these peers, in place of an earlier one for the same. False: there is no room for another, or the key is
    /// longer than [`KEY_MAX`](Self::KEY_MAX).
    pub fn set(&mut self, peers: IpCidr, key: &[u8]) -> bool {
        if key.len() > Self::KEY_MAX {
            return false;
        }
        let octets = key.to_vec();
        if let Some(known) = self.0.iter_mut().find(|known| known.peers == peers) {
            known.octets = octets;
            return true;
        }
        let fits = self.0.len() < KEYS_MAX;
        if fits {
            self.0.push(SignatureKey { peers, octets });
        }
        fits
    }

    /// Forgets the key for exactly these peers. False: there is none.
    pub fn remove(&mut self, peers: IpCidr) -> bool {
        let before = self.0.len();
        self.0.retain(|known| known.peers != peers);
        self.0.len() < before
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The key for a peer: that of the longest prefix.
    fn for_peer(&self, peer: IpAddr) -> Option<&SignatureKey> {
        let near = self.0.iter().filter(|known| known.peers.contains(peer));
        near.max_by_key(|known| known.peers.prefix_len())
    }
}

impl SignatureKey {
    fn digest<'a>(
        &self,
        ends: (IpAddr, IpAddr),
        header: &[u8; tcp::HEADER_LEN],
        len: usize,
        data: impl Iterator<Item = &'a [u8]>,
    ) -> [u8; 16] {
        digest(&self.octets, ends, header, len, data)
    }
}

/// The signature that a key gives a segment from the first address to the second; none if it is no whole segment.
///
/// ```
/// use prise_stack::segment_signature;
/// let ends = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
/// let segment = [0, 80, 0, 81, 0, 0, 0, 1, 0, 0, 0, 2, 0x50, 0x10, 255, 255, 0, 0, 0, 0];
/// assert!(segment_signature(b"key", ends, &segment).is_some());
/// assert_eq!(segment_signature(b"key", ends, &segment[1..]), None);
/// ```
pub fn segment_signature(key: &[u8], ends: (IpAddr, IpAddr), segment: &[u8]) -> Option<[u8; 16]> {
    let fixed = segment.first_chunk()?;
    let (_, header_len) = TcpHeader::parse(segment).ok()?;
    let data = segment.get(header_len..)?;
    Some(digest(key, ends, fixed, segment.len(), core::iter::once(data)))
}

/// RFC 2385 §2.0: over the pseudo-header, the header without options and with a checksum of zero, the data, and the key.
fn digest<'a>(
    key: &[u8],
    (src, dst): (IpAddr, IpAddr),
    header: &[u8; tcp::HEADER_LEN],
    len: usize,
    data: impl Iterator<Item = &'a [u8]>,
) -> [u8; 16] {
    let mut digest = md5::Context::new();
    match (src, dst) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => {
            digest.consume(src.octets());
            digest.consume(dst.octets());
            digest.consume([0, protocol::TCP]);
            digest.consume((len as u16).to_be_bytes());
        }
        (src, dst) => {
            for address in [src, dst] {
                digest.consume(match address {
                    IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
                    IpAddr::V6(v6) => v6.octets(),
                });
            }
            digest.consume((len as u32).to_be_bytes());
            digest.consume([0, 0, 0, protocol::TCP]);
        }
    }
    let checksum = usize::from(tcp::CHECKSUM_OFFSET);
    let mut header = *header;
    header[checksum..checksum + 2].fill(0);
    digest.consume(header);
    for piece in data {
        digest.consume(piece);
    }
    digest.consume(key);
    digest.finalize().0
}

/// Signs a segment whose header has room for it, if there is a key for its receiver.
pub(crate) fn sign(frame: &mut Frame, header_len: usize, (src, dst): (IpAddr, IpAddr), keys: Option<&SignatureKeys>) {
    let Some(key) = keys.and_then(|keys| keys.for_peer(dst)) else {
        return;
    };
    let len = frame.total_len();
    let Some(header) = frame.head().first_chunk() else {
        return;
    };
    let payload = frame.payload_from(header_len);
    let digest = key.digest((src, dst), header, len, payload.slices());
    if let Some(place) = frame.head_mut().get_mut(DIGEST_AT..DIGEST_AT + digest.len()) {
        place.copy_from_slice(&digest);
    }
}

/// The option of a segment for that peer, before it is known what is signed.
pub(crate) fn placeholder(keys: Option<&SignatureKeys>, peer: IpAddr) -> Option<[u8; 16]> {
    keys?.for_peer(peer).map(|_| [0; 16])
}

impl TcpConfig {
    /// Whether segments to and from that peer are signed.
    pub(crate) fn signs_for(&self, peer: IpAddr) -> bool {
        let keys = self.signature_keys.as_ref();
        keys.is_some_and(|keys| keys.for_peer(peer).is_some())
    }
}

impl Connection {
    /// Whether its segments are signed.
    pub(crate) fn is_signed(&self) -> bool {
        self.config.signs_for(self.tuple.remote_ip())
    }

    /// What the option takes of each segment.
    pub(crate) fn signature_room(&self) -> u32 {
        if self.is_signed() { OPTION_LEN } else { 0 }
    }
}

impl Tcp {
    /// The keys of whoever a segment of this four-tuple is for.
    pub(crate) fn signature_keys(&self, link: LinkId, tuple: &FourTuple) -> Option<Arc<SignatureKeys>> {
        let of_listener = |index| self.listeners.get(index)?.config.signature_keys.clone();
        match self.owner(tuple) {
            Some(Owner::Connection(index)) => self.connections.get(index)?.config.signature_keys.clone(),
            Some(Owner::HalfOpen(index)) => match self.half_open.get(index)?.origin() {
                Origin::Listener { index } => of_listener(index),
                Origin::Intercepted => None,
            },
            Some(Owner::TimeWait(index)) => self.marked_waits.get(&index)?.keys.clone(),
            None => of_listener(self.listener_of(link, tuple)?),
        }
    }

    /// RFC 2385 §2.0: what should be signed and is not, or wrongly, is dropped without an answer; so is, as on Linux, what is signed where
    /// no key was agreed on. `at` is where the segment begins in the frame, `len` how long its header is.
    pub(crate) fn check_signature(
        &self,
        link: LinkId,
        tuple: &FourTuple,
        header: &TcpHeader,
        frame: &Frame,
        (at, len): (usize, usize),
    ) -> Check {
        if !self.signs && header.options.signature.is_none() {
            return ControlFlow::Continue(());
        }
        let keys = self.signature_keys(link, tuple);
        let key = keys.as_ref().and_then(|keys| keys.for_peer(tuple.remote_ip()));
        match (key, header.options.signature) {
            (None, None) => ControlFlow::Continue(()),
            (None, Some(_)) => ControlFlow::Break(Discard::TcpSignatureUnexpected),
            (Some(_), None) => ControlFlow::Break(Discard::TcpSignatureMissing),
            (Some(key), Some(signature)) => {
                let Some(fixed) = frame.head().get(at..).and_then(<[u8]>::first_chunk) else {
                    return ControlFlow::Break(Discard::TcpMalformed);
                };
                let data = frame.payload_from(at + len);
                let ends = (tuple.remote_ip(), tuple.local_ip());
                let total = frame.total_len().saturating_sub(at);
                if key.digest(ends, fixed, total, data.slices()) == signature {
                    ControlFlow::Continue(())
                } else {
                    ControlFlow::Break(Discard::TcpSignatureWrong)
                }
            }
        }
    }
}
