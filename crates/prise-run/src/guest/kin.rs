//! Which of the processes below prise are the run's. Others can be there: whoever executed prise may have started them in the same process before, as
//! `server & exec prise run …` does, and a prise that reaps orphans gets those of such processes, or of a whole PID namespace.
//!
//! The program and all its descendants have the run's filter, which nobody can take off (seccomp(2)): who has no more filters than prise is none of them. Who
//! has filters of its own is told by prise's children of before the start, below whom nobody is the run's.

use std::collections::HashSet;

use super::status_field;

/// Times that processes are listed while some are new: one that forks on and on ends no listing.
const PASSES_MAX: usize = 8;

/// What tells the run's processes from others.
#[derive(Debug)]
pub(crate) struct Kin {
    /// How many filters prise has, which its children start with.
    filters: u32,
    /// The children that prise had before.
    strangers: HashSet<u32>,
}

impl Kin {
    /// As it is before the program is started.
    pub(crate) fn before_start() -> Self {
        let own = std::process::id();
        Self {
            filters: filters(own).unwrap_or(0),
            strangers: children(own).into_iter().collect(),
        }
    }

    /// A child's status was taken: its number may become another's.
    pub(crate) fn forget(&mut self, child: u32) {
        self.strangers.remove(&child);
    }

    /// Whether a process that was found to be the run's still has the run's filter; not if its number is another's by now.
    pub(crate) fn is_filtered(&self, process: u32) -> bool {
        filters(process).is_some_and(|filters| filters > self.filters)
    }

    /// All processes of the run, nearer ones first.
    pub(crate) fn processes(&self) -> Vec<u32> {
        let (mut found, mut seen) = (Vec::new(), HashSet::new());
        // Who loses its parent meanwhile is prise's child when that was listed already, and not its parent's when that is.
        for _ in 0..PASSES_MAX {
            let before = found.len();
            found.extend(self.listed().into_iter().filter(|&process| seen.insert(process)));
            if found.len() == before {
                break;
            }
        }
        found
    }

    fn listed(&self) -> Vec<u32> {
        let mut found = children(std::process::id());
        found.retain(|child| !self.strangers.contains(child) && self.is_filtered(*child));
        let mut next = 0;
        while let Some(&process) = found.get(next) {
            next += 1;
            found.extend(children(process));
        }
        found
    }
}

/// The children of all threads of a process (proc(5), `children`); none where the kernel does not list them (`CONFIG_PROC_CHILDREN`).
fn children(process: u32) -> Vec<u32> {
    let threads = std::fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten();
    let listed = threads
        .flatten()
        .filter_map(|thread| std::fs::read_to_string(thread.path().join("children")).ok());
    let numbers = |text: String| {
        text.split_ascii_whitespace()
            .filter_map(|number| number.parse().ok())
            .collect()
    };
    listed.flat_map::<Vec<u32>, _>(numbers).collect()
}

/// `Seccomp_filters` of /proc/PID/status (proc(5)); none where the process is gone.
fn filters(process: u32) -> Option<u32> {
    status_field(process, "Seccomp_filters:")?.parse().ok()
}
