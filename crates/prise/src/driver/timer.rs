//! The one thread of the driver: it sleeps until the next deadline of all hosts and wires, and rings.

use super::{clock, lock};
use hashbrown::HashMap;
use prise_wire::Instant;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, OnceLock, PoisonError, Weak};

/// Something with deadlines.
pub(super) trait Alarm: Send + Sync {
    /// A deadline has come. It is no longer armed.
    fn ring(&self);
}

/// Names an alarm; each has at most one deadline at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct AlarmId(u64);

impl AlarmId {
    /// A name not given out before.
    pub(super) fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// All deadlines, and the bell of the thread that sleeps until the first of them.
#[derive(Default)]
struct Timer {
    deadlines: Mutex<Deadlines>,
    bell: Condvar,
}

#[derive(Default)]
struct Deadlines {
    in_order: BTreeMap<(Instant, AlarmId), Weak<dyn Alarm>>,
    by_alarm: HashMap<AlarmId, Instant>,
}

impl Deadlines {
    fn remove(&mut self, alarm: AlarmId) {
        if let Some(at) = self.by_alarm.remove(&alarm) {
            self.in_order.remove(&(at, alarm));
        }
    }

    fn first(&self) -> Instant {
        self.in_order
            .first_key_value()
            .map_or(Instant::FAR_FUTURE, |((at, _), _)| *at)
    }

    /// Takes out an alarm whose deadline has come.
    fn due(&mut self, now: Instant) -> Option<Weak<dyn Alarm>> {
        let first = self.in_order.first_entry()?;
        let (at, alarm) = *first.key();
        if at > now {
            return None;
        }
        self.by_alarm.remove(&alarm);
        Some(first.remove())
    }
}

fn timer() -> &'static Timer {
    static TIMER: OnceLock<Timer> = OnceLock::new();
    static THREAD: OnceLock<()> = OnceLock::new();
    let timer = TIMER.get_or_init(Timer::default);
    THREAD.get_or_init(|| {
        std::thread::Builder::new()
            .name("prise-timer".to_owned())
            .spawn(|| timer.serve())
            .expect("a process that may have no second thread cannot have timers");
    });
    timer
}

/// Rings for `alarm` at `at`, unless it is armed for an earlier moment; a later one is forgotten.
pub(super) fn arm(alarm: AlarmId, at: Instant, whom: Weak<dyn Alarm>) {
    let timer = timer();
    let mut deadlines = lock(&timer.deadlines);
    if deadlines.by_alarm.get(&alarm).is_some_and(|armed| *armed <= at) {
        return;
    }
    deadlines.remove(alarm);
    let first = deadlines.first();
    deadlines.by_alarm.insert(alarm, at);
    deadlines.in_order.insert((at, alarm), whom);
    drop(deadlines);
    if at < first {
        timer.bell.notify_one();
    }
}

/// Forgets an alarm.
pub(super) fn disarm(alarm: AlarmId) {
    lock(&timer().deadlines).remove(alarm);
}

impl Timer {
    fn serve(&self) {
        let mut deadlines = lock(&self.deadlines);
        loop {
            let now = clock::now();
            if let Some(alarm) = deadlines.due(now) {
                drop(deadlines);
                if let Some(alarm) = alarm.upgrade() {
                    alarm.ring();
                }
                deadlines = lock(&self.deadlines);
                continue;
            }
            let first = deadlines.first();
            deadlines = if first == Instant::FAR_FUTURE {
                self.bell.wait(deadlines).unwrap_or_else(PoisonError::into_inner)
            } else {
                let waited = self.bell.wait_timeout(deadlines, first - now);
                waited.unwrap_or_else(PoisonError::into_inner).0
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, mpsc};
    use std::time::Duration;

    struct Bell(mpsc::Sender<Instant>);

    impl Alarm for Bell {
        fn ring(&self) {
            let _ = self.0.send(clock::now());
        }
    }

    #[test]
    fn an_alarm_rings_at_its_earliest_deadline_and_once() {
        let (sender, rings) = mpsc::channel();
        let bell: Arc<dyn Alarm> = Arc::new(Bell(sender));
        let (alarm, other) = (AlarmId::new(), AlarmId::new());
        let now = clock::now();
        let soon = now + Duration::from_millis(20);
        arm(other, now + Duration::from_hours(1), Arc::downgrade(&bell));
        arm(alarm, now + Duration::from_millis(300), Arc::downgrade(&bell));
        arm(alarm, soon, Arc::downgrade(&bell));
        let rang = rings.recv_timeout(Duration::from_secs(10)).expect("the alarm rings");
        assert!(rang >= soon);
        disarm(other);
        drop(bell);
        assert_eq!(
            rings.recv_timeout(Duration::from_secs(10)),
            Err(mpsc::RecvTimeoutError::Disconnected)
        );
    }
}
