//! What a script consists of.

use super::expression::Value;
use super::packet::PacketSpec;

/// When an event is due, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct When {
    /// Counted from the last event, not from the start.
    pub(super) relative: bool,
    pub(super) from: i64,
    /// The end of a range, or when a blocking call returns.
    pub(super) to: Option<i64>,
    /// `*`: at any time.
    pub(super) any: bool,
    /// `...`: the call blocks until `to`.
    pub(super) blocks: bool,
}

/// A call with what it must answer.
#[derive(Clone, Debug)]
pub(super) struct CallSpec {
    pub(super) name: String,
    pub(super) arguments: Vec<Value>,
    pub(super) result: Option<i64>,
    pub(super) errno: Option<String>,
    /// Results beside the number: flags of `fcntl` in parentheses and the like are comments.
    pub(super) blocks: bool,
}

/// One event's substance.
#[derive(Clone, Debug)]
pub(super) enum Act {
    In(PacketSpec),
    Out(PacketSpec),
    Call(CallSpec),
    Command(String),
    Code(String),
}

/// One event.
#[derive(Clone, Debug)]
pub(super) struct Event {
    pub(super) line: usize,
    pub(super) when: When,
    pub(super) act: Act,
}

/// A whole script.
#[derive(Clone, Debug, Default)]
pub(super) struct Script {
    pub(super) options: Vec<(String, String)>,
    pub(super) events: Vec<Event>,
}
