//! The pool with real threads, and jobs that wait at a gate.

#![allow(clippy::unwrap_used)] // a panic is how a test fails

use super::*;
use std::{
    ops::ControlFlow,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
        mpsc::{Receiver, Sender, channel},
    },
    time::{Duration, Instant},
};

/// Bounds a hang; far above anything a working pool takes.
const PATIENCE: Duration = Duration::from_mins(1);

fn whose(device: u64, client: u64) -> Whose {
    Whose { device, client }
}

fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < PATIENCE, "never happened: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Jobs that say when they begin, and end when they are let go.
struct Gate {
    arrivals: Receiver<&'static str>,
    arrive: Sender<&'static str>,
    open: Vec<Sender<()>>,
}

impl Gate {
    fn new() -> Self {
        let (arrive, arrivals) = channel();
        Self { arrivals, arrive, open: Vec::new() }
    }

    fn job(&mut self, whose: Whose, name: &'static str) -> Job {
        let (open, closed) = channel::<()>();
        self.open.push(open);
        let arrive = self.arrive.clone();
        let wait = move || {
            arrive.send(name).unwrap();
            let _ = closed.recv();
        };
        Job::once(whose, wait, drop)
    }

    fn next(&self) -> &'static str {
        self.arrivals.recv_timeout(PATIENCE).unwrap()
    }
}

#[test]
fn a_disk_that_does_not_answer_holds_only_its_own_threads() {
    let pool = DiskPool::new(Limits { per_device: 2, ..Limits::default() });
    let mut gate = Gate::new();
    let dead: Vec<Ticket> =
        (0..10).map(|client| pool.submit(gate.job(whose(1, client), "dead")).unwrap()).collect();
    for _ in 0..2 {
        assert_eq!(gate.next(), "dead");
    }
    let alive = pool.submit(gate.job(whose(2, 0), "alive")).unwrap();
    assert_eq!(gate.next(), "alive");
    assert_eq!(pool.counts(), Counts { threads: 3, waiting: 8, begun: 3 });
    gate.open.pop();
    eventually("it is over", || alive.stand() == Stand::Over);
    assert_eq!(
        dead.iter().filter(|ticket| matches!(ticket.stand(), Stand::Begun { .. })).count(),
        2
    );
    gate.open.remove(0);
    assert_eq!(gate.next(), "dead", "when one answers, the next one's turn has come");
    assert!(pool.counts().threads <= 3);
}

#[test]
fn a_job_whose_ticket_is_dropped_is_not_done() {
    let pool = DiskPool::new(Limits { per_device: 1, ..Limits::default() });
    let mut gate = Gate::new();
    let first = pool.submit(gate.job(whose(1, 1), "first")).unwrap();
    gate.next();
    let held = Arc::new(());
    let kept = Arc::clone(&held);
    let second = Job::once(whose(1, 2), move || drop(kept), |_| panic!("it was taken back"));
    let second = pool.submit(second).unwrap();
    let third = pool.submit(gate.job(whose(1, 3), "third")).unwrap();
    assert!(matches!(second.stand(), Stand::Waits { .. }));
    drop(second);
    assert_eq!(Arc::strong_count(&held), 1, "nothing of it is left");
    assert_eq!(pool.counts().waiting, 1);
    assert!(!first.withdraw(), "too late");
    gate.open.remove(0);
    assert_eq!(gate.next(), "third");
    drop(gate);
    eventually("it is over", || third.stand() == Stand::Over);
}

#[test]
fn a_full_queue_refuses_and_gives_the_job_back() {
    let pool = DiskPool::new(Limits { per_device: 1, queue: 1 });
    let mut gate = Gate::new();
    let _first = pool.submit(gate.job(whose(1, 1), "first")).unwrap();
    gate.next();
    let second = pool.submit(gate.job(whose(1, 1), "second")).unwrap();
    let third = pool.submit(gate.job(whose(1, 1), "third")).unwrap_err();
    drop(second);
    let _third = pool.submit(third).unwrap();
    gate.open.clear();
    assert_eq!(gate.next(), "third");
}

#[test]
fn a_job_that_panics_is_told_of_and_the_pool_lives_on() {
    let pool = DiskPool::new(Limits { per_device: 1, ..Limits::default() });
    let (told, tell) = channel();
    let panics = || -> u32 { panic!("number {}; the test wants it", 7) };
    let job = Job::once(whose(1, 1), panics, move |outcome| told.send(outcome).unwrap());
    let _ticket = pool.submit(job).unwrap();
    let outcome = tell.recv_timeout(PATIENCE).unwrap();
    assert!(outcome.unwrap_err().to_string().contains("number 7"));
    let worse = Job::once(whose(1, 1), || (), |_| panic!("nobody may; the test wants it"));
    let worse = pool.submit(worse).unwrap();
    eventually("it is over", || worse.stand() == Stand::Over);
    let (told, tell) = channel();
    let _ticket =
        pool.submit(Job::once(whose(1, 1), || 3, move |outcome| told.send(outcome).unwrap()));
    assert_eq!(tell.recv_timeout(PATIENCE).unwrap(), Ok(3));
    let idle = Counts { threads: 1, waiting: 0, begun: 0 };
    eventually("the same thread did all of it, and rests", || pool.counts() == idle);
}

#[test]
fn whoever_wants_another_turn_goes_behind_the_others() {
    let pool = DiskPool::new(Limits { per_device: 1, ..Limits::default() });
    let order = Arc::new(Mutex::new(Vec::new()));
    let mut gate = Gate::new();
    let _gate = pool.submit(gate.job(whose(1, 0), "gate")).unwrap();
    gate.next();
    let (told, tell) = channel();
    let mut tickets = Vec::new();
    for (client, name) in [(1, "a"), (2, "b"), (3, "c")] {
        let (order, told, mut left) = (Arc::clone(&order), told.clone(), 3);
        let work = move |turn: &Turn<'_>| {
            order.lock().unwrap().push((name, turn.others_wait()));
            left -= 1;
            if left == 0 { ControlFlow::Break(name) } else { ControlFlow::Continue(()) }
        };
        let job = Job::in_turns(whose(1, client), work, move |outcome| told.send(outcome).unwrap());
        tickets.push(pool.submit(job).unwrap());
    }
    gate.open.clear();
    let ended: Vec<_> = (0..3).map(|_| tell.recv_timeout(PATIENCE).unwrap().unwrap()).collect();
    assert_eq!(ended, ["a", "b", "c"]);
    let order = order.lock().unwrap();
    assert_eq!(order.iter().map(|(name, _)| *name).collect::<String>(), "abcabcabc");
    assert!(order[..8].iter().all(|(_, others)| *others) && !order[8].1, "{order:?}");
}

#[test]
fn many_jobs_from_many_threads_are_all_done_within_the_limits() {
    const EACH: usize = 300;
    let limits = Limits { per_device: 3, ..Limits::default() };
    let pool = DiskPool::new(limits);
    let running: Arc<[AtomicUsize; 5]> = Arc::default();
    let (told, tell) = channel();
    std::thread::scope(|scope| {
        for submitter in 0..4 {
            let (pool, running, told) = (pool.clone(), Arc::clone(&running), told.clone());
            scope.spawn(move || {
                for number in 0..EACH {
                    let device = number % 5;
                    let (running, told) = (Arc::clone(&running), told.clone());
                    let mut turns = number % 3;
                    let work = move |_: &Turn<'_>| {
                        let here = running[device].fetch_add(1, Ordering::SeqCst);
                        assert!(here < 3, "more than a device may have");
                        std::thread::yield_now();
                        running[device].fetch_sub(1, Ordering::SeqCst);
                        if turns == 0 {
                            return ControlFlow::Break(());
                        }
                        turns -= 1;
                        ControlFlow::Continue(())
                    };
                    let done = move |outcome| told.send(outcome).unwrap();
                    let ticket =
                        pool.submit(Job::in_turns(whose(device as u64, submitter), work, done));
                    std::mem::forget(ticket.unwrap()); // not to take it back
                }
            });
        }
    });
    for _ in 0..4 * EACH {
        tell.recv_timeout(PATIENCE).unwrap().unwrap();
    }
    eventually("nothing is left", || pool.counts().begun == 0);
    assert!(pool.counts().threads <= limits.threads());
}

#[test]
fn its_threads_give_way_to_others() {
    let nice = || rustix::process::getpriority_process(None).unwrap();
    let pool = DiskPool::new(Limits { per_device: 1, queue: 1 });
    let (tell, told) = channel();
    let job = Job::once(whose(1, 1), nice, move |outcome| tell.send(outcome.unwrap()).unwrap());
    let _ticket = pool.submit(job).unwrap();
    assert_eq!(told.recv_timeout(PATIENCE).unwrap(), (nice() + 15).min(19));
}
