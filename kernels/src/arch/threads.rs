//! A few threads that wait for work: what a processor with several cores has.
//!
//! A layer takes ten to a few hundred microseconds, so waking a thread for each, which takes the
//! operating system as long, would gain nothing. [`Threads`] wait awake for [`AWAKE`] before they
//! sleep: within a run they find the next layer's parts in less than a microsecond.
//!
//! Parts are taken in turn by whoever is free, the caller among them. If a thread does not come,
//! because it sleeps or another program has its core, the caller does all parts itself, and waits
//! for those alone that somebody has begun.

use core::hint;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Ordering};
use core::time::Duration;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Instant;
use std::vec::Vec;

/// How long a thread waits awake: longer than the layers between two that are divided, and not so
/// long that a program which runs a model now and then would notice.
const AWAKE: Duration = Duration::from_micros(200);

/// Looks at the state between two at the clock.
const LOOKS: u32 = 64;

/// Threads beside that of the caller.
#[derive(Debug)]
pub struct Threads {
    shared: Arc<Shared>,
    handles: Vec<JoinHandle<()>>,
}

/// What the threads see.
#[derive(Debug)]
struct Shared {
    /// Which parts are left: a [`State`].
    state: AtomicU64,
    /// The work that the state speaks of: valid while one of its parts is not done.
    work: AtomicPtr<Work<'static>>,
    /// Parts that are not done.
    left: AtomicUsize,
    /// Whether a part has panicked.
    failed: AtomicBool,
    /// Whether the threads are to end.
    end: AtomicBool,
    /// Threads that sleep, or are about to.
    sleeping: AtomicUsize,
    lock: Mutex<()>,
    wake: Condvar,
}

/// What there is to do for a part.
struct Work<'a>(&'a (dyn Fn(usize) + Sync));

/// A count of all work there ever was (48 bits), its parts (8 bits) and those that are taken (8 bits).
#[derive(Clone, Copy)]
struct State(u64);

impl State {
    fn new(count: u64, parts: usize) -> Self {
        Self(count << 16 | (parts as u64) << 8)
    }

    fn count(self) -> u64 {
        self.0 >> 16
    }

    fn parts(self) -> usize {
        (self.0 >> 8) as usize & Threads::MOST
    }

    fn taken(self) -> usize {
        self.0 as usize & Threads::MOST
    }

    fn is_left(self) -> bool {
        self.taken() < self.parts()
    }
}

impl Threads {
    /// The most parts that work may have: what [`State`] can count.
    pub(crate) const MOST: usize = u8::MAX as usize;

    /// So many threads, that of the caller counted; fewer where the system does not give them.
    pub fn new(threads: usize) -> Self {
        let shared = Arc::new(Shared {
            state: AtomicU64::new(0),
            work: AtomicPtr::default(),
            left: AtomicUsize::new(0),
            failed: AtomicBool::new(false),
            end: AtomicBool::new(false),
            sleeping: AtomicUsize::new(0),
            lock: Mutex::new(()),
            wake: Condvar::new(),
        });
        let handle = |_| {
            let shared = Arc::clone(&shared);
            thread::Builder::new().name("systole".into()).spawn(move || shared.serve()).ok()
        };
        let handles = (1..threads).map_while(handle).collect();
        Self { shared, handles }
    }

    /// How many there are, that of the caller counted.
    pub fn count(&self) -> usize {
        self.handles.len() + 1
    }

    /// Calls `work` once for each number below `parts`, of which there are at most [`Threads::MOST`], on
    /// any of the threads; returns when all calls have. `false` where there were more, or one has
    /// panicked.
    pub(crate) fn each(&mut self, parts: usize, work: &(dyn Fn(usize) + Sync)) -> bool {
        if parts > Self::MOST {
            return false;
        }
        let shared = &*self.shared;
        let job = Work(work);
        shared.failed.store(false, Ordering::Relaxed);
        shared.left.store(parts, Ordering::Relaxed);
        let erased = core::ptr::from_ref(&job).cast::<Work<'static>>().cast_mut();
        shared.work.store(erased, Ordering::Relaxed);
        // From here on others take parts; `job` stays where it is until all are done, whatever
        // happens.
        let done = Done(shared);
        let count = State(shared.state.load(Ordering::Relaxed)).count() + 1;
        // In one order with `sleeping`: either it is seen that a thread sleeps, or that thread sees
        // the work.
        shared.state.store(State::new(count, parts).0, Ordering::SeqCst);
        if shared.sleeping.load(Ordering::SeqCst) > 0 {
            drop(shared.lock());
            shared.wake.notify_all();
        }
        while shared.part() {}
        drop(done);
        !shared.failed.load(Ordering::Relaxed)
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.shared.end.store(true, Ordering::SeqCst);
        drop(self.shared.lock());
        self.shared.wake.notify_all();
        for handle in self.handles.drain(..) {
            // A thread that has ended otherwise has nothing left to do.
            let _ended = handle.join();
        }
    }
}

/// Waits, when it is dropped, until all parts are done.
struct Done<'a>(&'a Shared);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        while self.0.part() {}
        let mut looks = 0_u32;
        while self.0.left.load(Ordering::Acquire) > 0 {
            looks += 1;
            if looks.is_multiple_of(LOOKS) {
                // Whoever does the last part may need this core.
                thread::yield_now();
                looks = 0;
            } else {
                hint::spin_loop();
            }
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, ()> {
        // It guards nothing that could be half written.
        self.lock.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a part and does it, if one is left.
    fn part(&self) -> bool {
        let mut state = State(self.state.load(Ordering::Acquire));
        loop {
            if !state.is_left() {
                return false;
            }
            let (old, new) = (state.0, state.0 + 1);
            let order = (Ordering::AcqRel, Ordering::Acquire);
            match self.state.compare_exchange_weak(old, new, order.0, order.1) {
                Ok(_) => break,
                Err(found) => state = State(found),
            }
        }
        let work = self.work.load(Ordering::Relaxed);
        // SAFETY: `each` stored the pointer before the state that was found here, and neither stores
        // another nor returns, which would end what it points to, before `left` is 0, and so not
        // before the subtraction below. What it points to is `Sync`.
        let work = unsafe { &*work };
        if catch_unwind(AssertUnwindSafe(|| (work.0)(state.taken()))).is_err() {
            self.failed.store(true, Ordering::Relaxed);
        }
        self.left.fetch_sub(1, Ordering::Release);
        true
    }

    /// What a thread does until it is told to end.
    fn serve(&self) {
        let mut since = Instant::now();
        while !self.end.load(Ordering::Relaxed) {
            if self.part() {
                while self.part() {}
                since = Instant::now();
            }
            for _ in 0..LOOKS {
                if State(self.state.load(Ordering::Relaxed)).is_left() {
                    break;
                }
                hint::spin_loop();
            }
            if since.elapsed() > AWAKE {
                self.sleep();
                since = Instant::now();
            }
        }
    }

    /// Until there is work, or the end.
    fn sleep(&self) {
        let mut guard = self.lock();
        self.sleeping.fetch_add(1, Ordering::SeqCst);
        while !State(self.state.load(Ordering::SeqCst)).is_left()
            && !self.end.load(Ordering::SeqCst)
        {
            guard = self.wake.wait(guard).unwrap_or_else(PoisonError::into_inner);
        }
        self.sleeping.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_is_done_once() {
        for threads in 1..5 {
            let mut pool = Threads::new(threads);
            assert_eq!(pool.count(), threads);
            for parts in (0..40).chain([254, 255]) {
                let done: Vec<AtomicUsize> = (0..parts).map(|_| AtomicUsize::new(0)).collect();
                assert!(pool.each(parts, &|i| {
                    done[i].fetch_add(1, Ordering::Relaxed);
                }));
                assert!(done.iter().all(|done| done.load(Ordering::Relaxed) == 1));
            }
            assert!(!pool.each(256, &|_| {}));
        }
    }

    #[test]
    fn threads_that_sleep_come_back() {
        let mut pool = Threads::new(3);
        for _ in 0..20 {
            thread::sleep(AWAKE * 3);
            // Nobody can do two: each waits for the others.
            let here = AtomicUsize::new(0);
            assert!(pool.each(3, &|_| {
                here.fetch_add(1, Ordering::SeqCst);
                while here.load(Ordering::SeqCst) < 3 {
                    thread::yield_now();
                }
            }));
        }
    }

    #[test]
    fn work_that_borrows_is_over_when_each_returns() {
        let mut pool = Threads::new(2);
        let mut sum = 0;
        for round in 0..2000_usize {
            let values = [round; 8];
            let total = AtomicUsize::new(0);
            assert!(pool.each(8, &|i| {
                total.fetch_add(values[i], Ordering::Relaxed);
            }));
            sum += total.into_inner();
        }
        assert_eq!(sum, 8 * 2000 * 1999 / 2);
    }

    #[test]
    fn a_part_that_panics_is_told() {
        let mut pool = Threads::new(2);
        assert!(!pool.each(4, &|i| assert!(i != 2, "expected by the test")));
        assert!(pool.each(4, &|_| {}));
    }
}
