//! What one line of the audit says: the schema that docs/run.md describes.

use core::net::{IpAddr, SocketAddr};

use prise_gateway::Transport;
use serde::Serialize;

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Event {
    /// A connection was made, or the first datagram passed.
    Open,
    /// It has ended; the line has its totals.
    Close,
    /// An attempt that came to nothing: denied, or failed with an errno.
    Refused,
    /// Somebody was pinged: a line for each socket and address, not for each request.
    Ping,
    /// A name was asked for.
    Lookup,
    /// A port was opened.
    Listen,
    /// Facts came faster than they could be kept; so many have no line.
    Lost,
}

/// What is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Protocol {
    Tcp,
    Udp,
    Icmp,
    Dns,
    Unix,
}

impl From<Transport> for Protocol {
    fn from(transport: Transport) -> Self {
        match transport {
            Transport::Tcp => Self::Tcp,
            Transport::Udp => Self::Udp,
        }
    }
}

/// What the policy said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Verdict {
    Allowed,
    Denied,
}

/// Who began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Way {
    Out,
    In,
}

/// A process of the run, as it was when it made the call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Owner {
    pub(super) pid: u32,
    /// The file that it executes: a process can change its name, not this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) program: Option<String>,
}

/// Between whom.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Ends {
    pub(super) protocol: Protocol,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) direction: Option<Way>,
    #[serde(flatten)]
    pub(super) owner: Option<Owner>,
    /// The run's own endpoint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) local: Option<SocketAddr>,
    /// The name that was asked for and led to the address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) address: Option<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) port: Option<u16>,
}

/// What passed, once it is over.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Totals {
    /// Octets of payload from the program.
    pub(super) sent: u64,
    /// Octets of payload to the program.
    pub(super) received: u64,
    /// Seconds.
    pub(super) duration: f64,
    pub(super) end: &'static str,
}

/// What was answered to a lookup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Answered {
    /// A, AAAA, … or TYPE257 (RFC 3597 §5).
    #[serde(rename = "type")]
    pub(super) kind: String,
    /// NOERROR, NXDOMAIN, …; absent where it was passed through unread.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) answer: Option<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) addresses: Vec<IpAddr>,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Line {
    pub(super) time: String,
    pub(super) event: Event,
    /// Ties an open and a close together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) flow: Option<u64>,
    #[serde(flatten)]
    pub(super) ends: Option<Ends>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) verdict: Option<Verdict>,
    #[serde(flatten)]
    pub(super) totals: Option<Totals>,
    #[serde(flatten)]
    pub(super) answered: Option<Answered>,
    /// Why an attempt came to nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<String>,
    /// How many facts have no line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) lost: Option<u64>,
}

impl Line {
    pub(super) fn new(time: String, event: Event, ends: Option<Ends>) -> Self {
        Self {
            time,
            event,
            flow: None,
            ends,
            verdict: None,
            totals: None,
            answered: None,
            error: None,
            lost: None,
        }
    }
}

/// The name of a record type (RFC 1035 §3.2.2 and its successors), of those that programs ask for.
pub(super) fn record_type(kind: u16) -> String {
    let name = match kind {
        1 => "A",
        2 => "NS",
        5 => "CNAME",
        6 => "SOA",
        12 => "PTR",
        15 => "MX",
        16 => "TXT",
        28 => "AAAA",
        33 => "SRV",
        35 => "NAPTR",
        64 => "SVCB",
        65 => "HTTPS",
        255 => "ANY",
        other => return format!("TYPE{other}"),
    };
    name.to_owned()
}
