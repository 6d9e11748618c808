//! Turns: who may use which disk next. Plain data: no threads, no clock, no lock.
//!
//! Every operation takes the same time however many wait: rings of hash-linked keys, nothing is
//! searched.

use hashlink::{LinkedHashMap, LinkedHashSet};
use std::collections::HashMap;

/// Who wants to use which disk.
///
/// ```
/// use sendrail_transfer::disk_pool::Whose;
/// use std::{fs::File, os::unix::fs::MetadataExt};
///
/// let file = File::open("Cargo.toml")?;
/// let whose = Whose { device: file.metadata()?.dev(), client: 17 }; // the number of a connection
/// # assert_ne!(whose.device, 0);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Whose {
    /// The device that may be slow: `st_dev` of the file (`stat(2)`).
    pub device: u64,
    /// The client that waits for it. Clients take turns; what one client asks for is done in order.
    pub client: u64,
}

/// How much of the machine disks may take.
///
/// ```
/// use sendrail_transfer::disk_pool::Limits;
/// let limits = Limits { per_device: 8, ..Limits::default() };
/// assert_eq!(limits.threads(), 128); // 64 for whoever asks, 64 for disks that have none yet
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Jobs that run at once on one device, at least 1: that many threads sleep on it if it stops
    /// answering.
    pub per_device: usize,
    /// Jobs that wait, over all devices. One more is refused.
    pub queue: usize,
}

impl Default for Limits {
    /// 16 on a device: small files from a disk with a long queue come a fifth faster than with 8, and at
    /// less cost. With more, who asks for one thing waits longer beside who asks for many. 100,000 that
    /// wait.
    fn default() -> Self {
        Self { per_device: 16, queue: 100_000 }
    }
}

impl Limits {
    /// Threads in all, at the most: 16 times [`per_device`](Self::per_device). Half of them only for
    /// the first job of a device, so that it takes very many dead disks to keep a good one waiting.
    pub fn threads(&self) -> usize {
        2 * self.shared()
    }

    /// From so many on, a device gets another thread only if it has none.
    fn shared(&self) -> usize {
        8 * self.per_device.max(1)
    }
}

/// How far a job has come. Of two that are equal, some time apart, the second says that the disk has
/// not answered in between.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stand {
    /// It waits for its turn on a device that has answered so many jobs while anybody used it.
    Waits {
        /// That number.
        answered: u64,
    },
    /// A thread is busy with it.
    Begun {
        /// The number of this turn, among all that have been taken.
        turn: u64,
    },
    /// It has ended.
    Over,
}

/// A job whose turn it is.
#[derive(Debug)]
pub(super) struct Started<J> {
    pub(super) id: u64,
    pub(super) whose: Whose,
    pub(super) job: J,
}

#[derive(Debug)]
pub(super) struct Turns<J> {
    limits: Limits,
    /// Those that somebody uses or wants to use.
    devices: HashMap<u64, Device<J>>,
    /// Devices that are waited for and have no thread. They go first.
    without: LinkedHashSet<u64>,
    /// Devices that are waited for and have some, but fewer than they may.
    with_some: LinkedHashSet<u64>,
    waiting: usize,
    /// The jobs that have begun, with the numbers of their turns.
    begun: HashMap<u64, u64>,
    next_id: u64,
    next_turn: u64,
}

#[derive(Debug)]
struct Device<J> {
    /// In the order of their turns, each with its jobs in the order of theirs.
    clients: LinkedHashMap<u64, LinkedHashMap<u64, J>>,
    waiting: usize,
    begun: usize,
    answered: u64,
}

impl<J> Turns<J> {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits: Limits { per_device: limits.per_device.max(1), ..limits },
            devices: HashMap::new(),
            without: LinkedHashSet::new(),
            with_some: LinkedHashSet::new(),
            waiting: 0,
            begun: HashMap::new(),
            next_id: 0,
            next_turn: 0,
        }
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// How many wait, and how many have begun.
    pub(super) fn counts(&self) -> (usize, usize) {
        (self.waiting, self.begun.len())
    }

    /// Queues a job, and gives it a number.
    ///
    /// # Errors
    ///
    /// The job, if the queue is full.
    pub(super) fn push(&mut self, whose: Whose, job: J) -> Result<u64, J> {
        if self.waiting >= self.limits.queue {
            return Err(job);
        }
        let id = self.next_id;
        self.next_id += 1;
        self.queue(id, whose, job);
        Ok(id)
    }

    /// The next job that may begin, if one may.
    pub(super) fn start(&mut self) -> Option<Started<J>> {
        let begun = self.begun.len();
        if begun >= self.limits.threads() {
            return None;
        }
        let device_key = match self.without.pop_front() {
            Some(key) => key,
            None if begun < self.limits.shared() => self.with_some.pop_front()?,
            None => return None,
        };
        let device = self.devices.get_mut(&device_key).expect("it is waited for");
        let (client, mut jobs) = device.clients.pop_front().expect("somebody waits for it");
        let (id, job) = jobs.pop_front().expect("a client is there for its jobs");
        if !jobs.is_empty() {
            device.clients.insert(client, jobs); // behind all others
        }
        device.waiting -= 1;
        device.begun += 1;
        self.waiting -= 1;
        self.begun.insert(id, self.next_turn);
        self.next_turn += 1;
        self.line_up(device_key);
        Some(Started { id, whose: Whose { device: device_key, client }, job })
    }

    /// A job that had begun has ended.
    pub(super) fn finish(&mut self, id: u64, whose: Whose) {
        if self.begun.remove(&id).is_none() {
            return;
        }
        if let Some(device) = self.devices.get_mut(&whose.device) {
            device.begun -= 1;
            device.answered += 1;
            self.line_up(whose.device);
        }
    }

    /// A job that had begun gives up its turn and waits for the next. It is not refused.
    pub(super) fn again(&mut self, started: Started<J>) {
        let Started { id, whose, job } = started;
        // Before its turn is over: a device that nobody waits for is forgotten.
        self.queue(id, whose, job);
        self.finish(id, whose);
    }

    /// Takes a job back that has not begun.
    pub(super) fn withdraw(&mut self, id: u64, whose: Whose) -> Option<J> {
        let device = self.devices.get_mut(&whose.device)?;
        let jobs = device.clients.get_mut(&whose.client)?;
        let job = jobs.remove(&id)?;
        if jobs.is_empty() {
            device.clients.remove(&whose.client);
        }
        device.waiting -= 1;
        self.waiting -= 1;
        self.line_up(whose.device);
        Some(job)
    }

    /// Whether somebody could begin if one of this device's jobs gave up its turn.
    pub(super) fn others_wait(&self, device: u64) -> bool {
        self.devices.get(&device).is_some_and(|device| device.waiting > 0)
            || (self.waiting > 0 && self.begun.len() >= self.limits.shared())
    }

    pub(super) fn stand(&self, id: u64, whose: Whose) -> Stand {
        if let Some(turn) = self.begun.get(&id) {
            return Stand::Begun { turn: *turn };
        }
        let Some(device) = self.devices.get(&whose.device) else { return Stand::Over };
        let waits = device.clients.get(&whose.client).is_some_and(|jobs| jobs.contains_key(&id));
        if waits { Stand::Waits { answered: device.answered } } else { Stand::Over }
    }

    fn queue(&mut self, id: u64, whose: Whose, job: J) {
        let device = self.devices.entry(whose.device).or_insert_with(|| Device {
            clients: LinkedHashMap::new(),
            waiting: 0,
            begun: 0,
            answered: 0,
        });
        // One that is there keeps its place (`entry` would move it to the end): asking for more does
        // not cost a client its turn.
        if let Some(jobs) = device.clients.get_mut(&whose.client) {
            jobs.insert(id, job);
        } else {
            let jobs = LinkedHashMap::from_iter([(id, job)]);
            device.clients.insert(whose.client, jobs);
        }
        device.waiting += 1;
        self.waiting += 1;
        self.line_up(whose.device);
    }

    /// Puts a device where it belongs now. One that is there already keeps its place.
    fn line_up(&mut self, key: u64) {
        let Some(device) = self.devices.get(&key) else { return };
        let (waiting, begun) = (device.waiting, device.begun);
        place(&mut self.without, key, waiting > 0 && begun == 0);
        let may = begun > 0 && begun < self.limits.per_device;
        place(&mut self.with_some, key, waiting > 0 && may);
        if waiting == 0 && begun == 0 {
            self.devices.remove(&key);
        }
    }
}

fn place(ring: &mut LinkedHashSet<u64>, key: u64, belongs: bool) {
    if !belongs {
        ring.remove(&key);
    } else if !ring.contains(&key) {
        ring.insert(key);
    }
}

#[cfg(test)]
mod tests;
