//! The host's resolver on a few threads: getaddrinfo(3) blocks, the gateway must not.
//!
//! Threads are started when there is work and nobody idle, up to [`THREADS_MAX`], and stay. Findings come back through a
//! queue; an eventfd(2) in the gateway's epoll says that there are some.

use core::fmt;
use core::net::IpAddr;
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use prise_sys::resolve;
pub use prise_sys::resolve::ResolveError;
use rustix::event::{EventfdFlags, eventfd};

/// Lookups that run at the same time. A dead name server holds a thread for its whole timeout (10 s by default), so a
/// few more than there are processors.
const THREADS_MAX: usize = 8;

/// A resolver that may block. The host's own is [`HostResolver`]; tests bring their own.
pub trait Resolve: Send + Sync {
    /// All addresses of a name, both families.
    fn addresses(&self, name: &str) -> Result<Vec<IpAddr>, ResolveError>;
    /// The name of an address.
    fn name(&self, address: IpAddr) -> Result<String, ResolveError>;
}

/// getaddrinfo(3) and getnameinfo(3): whatever the host is configured to ask, its hosts file included.
#[derive(Debug, Clone, Copy, Default)]
pub struct HostResolver;

impl Resolve for HostResolver {
    fn addresses(&self, name: &str) -> Result<Vec<IpAddr>, ResolveError> {
        resolve::addresses(name)
    }

    fn name(&self, address: IpAddr) -> Result<String, ResolveError> {
        resolve::name(address)
    }
}

/// What a thread is to find out.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Ask {
    /// Both families at once: programs ask for A and AAAA in the same moment, and only both answers together tell
    /// "no such name" from "no address of that family".
    Addresses(String),
    Name(IpAddr),
}

/// What a thread found.
#[derive(Debug)]
pub(super) enum Finding {
    Addresses(Result<Vec<IpAddr>, ResolveError>),
    Name(Result<String, ResolveError>),
}

/// What the threads and the gateway share.
struct Shared {
    resolver: Arc<dyn Resolve>,
    work: Mutex<Work>,
    wake: Condvar,
    /// Written when findings were added.
    notice: OwnedFd,
}

#[derive(Default)]
struct Work {
    asked: VecDeque<Ask>,
    found: Vec<(Ask, Finding)>,
    threads: usize,
    idle: usize,
    closing: bool,
}

impl Shared {
    /// A thread that panicked inside a resolver leaves the queues as they are: valid.
    fn work(&self) -> MutexGuard<'_, Work> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A thread's life: ask, tell, until the gateway is gone.
    fn serve(&self) {
        let mut work = self.work();
        loop {
            if work.closing {
                return;
            }
            let Some(ask) = work.asked.pop_front() else {
                work.idle += 1;
                work = self.wake.wait(work).unwrap_or_else(PoisonError::into_inner);
                work.idle -= 1;
                continue;
            };
            drop(work);
            let finding = match &ask {
                Ask::Addresses(name) => Finding::Addresses(self.resolver.addresses(name)),
                Ask::Name(address) => Finding::Name(self.resolver.name(*address)),
            };
            work = self.work();
            work.found.push((ask, finding));
            // It can only fail when the counter would overflow, and then it is readable anyway.
            let _ = rustix::io::write(&self.notice, &1u64.to_ne_bytes());
        }
    }
}

/// The threads, as the gateway holds them. Dropping it lets them end as soon as their lookups return.
pub(super) struct Pool {
    shared: Arc<Shared>,
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let work = self.shared.work();
        f.debug_struct("Pool")
            .field("threads", &work.threads)
            .field("idle", &work.idle)
            .field("asked", &work.asked.len())
            .finish_non_exhaustive()
    }
}

impl Pool {
    pub(super) fn new(resolver: Arc<dyn Resolve>) -> io::Result<Self> {
        let notice = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let shared = Shared {
            resolver,
            work: Mutex::default(),
            wake: Condvar::new(),
            notice,
        };
        Ok(Self {
            shared: Arc::new(shared),
        })
    }

    /// Readable while there are findings.
    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.shared.notice.as_fd()
    }

    /// Has a thread find something out. `false` if no thread could be started and none runs.
    pub(super) fn ask(&self, ask: Ask) -> bool {
        let mut work = self.shared.work();
        if work.idle <= work.asked.len() && work.threads < THREADS_MAX {
            let shared = Arc::clone(&self.shared);
            let started = thread::Builder::new()
                .name("prise-resolve".into())
                .spawn(move || shared.serve());
            work.threads += usize::from(started.is_ok());
        }
        if work.threads == 0 {
            return false;
        }
        work.asked.push_back(ask);
        drop(work);
        self.shared.wake.notify_one();
        true
    }

    /// What was found since the last call.
    pub(super) fn findings(&self) -> Vec<(Ask, Finding)> {
        let mut count = [0; 8];
        // EAGAIN when a thread has pushed but not written yet, or somebody asked needlessly.
        let _ = rustix::io::read(&self.shared.notice, &mut count);
        core::mem::take(&mut self.shared.work().found)
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.work().closing = true;
        self.shared.wake.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::event::{PollFd, PollFlags, Timespec, poll};

    struct Fixed;

    impl Resolve for Fixed {
        fn addresses(&self, name: &str) -> Result<Vec<IpAddr>, ResolveError> {
            name.strip_prefix("host-").map_or(Err(ResolveError::NoName), |last| {
                Ok(vec![IpAddr::from([192, 0, 2, last.parse().unwrap()])])
            })
        }

        fn name(&self, address: IpAddr) -> Result<String, ResolveError> {
            Ok(address.to_string())
        }
    }

    fn wait(pool: &Pool) {
        let mut fds = [PollFd::new(&pool.shared.notice, PollFlags::IN)];
        let limit = Timespec { tv_sec: 5, tv_nsec: 0 };
        assert_eq!(poll(&mut fds, Some(&limit)).unwrap(), 1, "no finding in time");
    }

    #[test]
    fn every_ask_comes_back_with_its_finding() {
        let pool = Pool::new(Arc::new(Fixed)).unwrap();
        for last in 0..100 {
            assert!(pool.ask(Ask::Addresses(format!("host-{last}"))));
        }
        let mut seen = Vec::new();
        while seen.len() < 100 {
            wait(&pool);
            for (ask, finding) in pool.findings() {
                let (Ask::Addresses(name), Finding::Addresses(Ok(found))) = (ask, finding) else {
                    panic!("a finding of another kind");
                };
                assert_eq!(
                    name,
                    format!("host-{}", found[0].to_string().rsplit('.').next().unwrap())
                );
                seen.push(name);
            }
        }
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), 100);
        assert!(pool.shared.work().threads <= THREADS_MAX);
    }
}
