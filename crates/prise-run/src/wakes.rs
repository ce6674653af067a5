//! On which processor a call wakes the supervisor, and the answer the caller.
//!
//! Where one or two threads call, each call and its answer are a conversation: who has spoken sleeps, and the other is best woken on the
//! very same processor, whose caches are warm and which need not be roused. Where several threads call at once, that ties all of
//! them to the processor on which the supervisor runs, beside another that is idle; then the kernel's scheduler chooses.

use prise_sys::seccomp::Listener;

/// Calls from which it is told who talks to the supervisor.
const CALLS: usize = 16;

/// As many threads at most make it a conversation: a client, and a server beside it.
const PARTNERS_MAX: usize = 2;

/// Chooses by who has called last.
#[derive(Debug)]
pub(crate) struct Wakes {
    callers: Vec<u32>,
    /// What the kernel was asked for; none where it cannot be asked (before Linux 6.6): calls cost more there.
    on_same_processor: Option<bool>,
}

impl Wakes {
    pub(crate) fn new(calls: &Listener) -> Self {
        Self {
            callers: Vec::with_capacity(CALLS),
            on_same_processor: calls.wake_on_same_processor(true).is_ok().then_some(true),
        }
    }

    /// A thread has called.
    pub(crate) fn note(&mut self, tid: u32, calls: &Listener) {
        let Some(before) = self.on_same_processor else { return };
        if let Some(conversation) = self.judge(tid)
            && conversation != before
            && calls.wake_on_same_processor(conversation).is_ok()
        {
            self.on_same_processor = Some(conversation);
        }
    }

    /// Whether the last calls were a conversation, at the end of each so many.
    fn judge(&mut self, tid: u32) -> Option<bool> {
        self.callers.push(tid);
        if self.callers.len() < CALLS {
            return None;
        }
        self.callers.sort_unstable();
        self.callers.dedup();
        let conversation = self.callers.len() <= PARTNERS_MAX;
        self.callers.clear();
        Some(conversation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(callers: &[u32]) -> Vec<bool> {
        let mut wakes = Wakes {
            callers: Vec::new(),
            on_same_processor: Some(true),
        };
        callers.iter().filter_map(|&tid| wakes.judge(tid)).collect()
    }

    #[test]
    fn one_or_two_callers_are_a_conversation_and_more_are_none() {
        assert_eq!(judged(&[7; 2 * CALLS]), [true, true]);
        assert_eq!(judged(&[7, 8].repeat(CALLS / 2)), [true]);
        assert_eq!(judged(&[7, 8, 9, 7].repeat(CALLS / 4)), [false]);
    }

    #[test]
    fn it_is_judged_anew_after_each_so_many_calls() {
        let several: Vec<u32> = (0..CALLS as u32).collect();
        assert_eq!(judged(&several[1..]), [] as [bool; 0]);
        assert_eq!(judged(&[&several[..], &[7; CALLS]].concat()), [false, true]);
    }
}
