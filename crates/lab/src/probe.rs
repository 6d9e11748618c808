//! What the kernel sees: BPF programs on raw tracepoints, which count copies by the pages that packets
//! carry. `bpf/copies.bpf.c` is their source, and says why it is these tracepoints.

use aya::{
    Btf, Ebpf,
    maps::{Array, MapData},
    programs::{BtfTracePoint, ProgramError},
};
use serde::{Deserialize, Serialize};
use std::{
    fmt, fs,
    os::fd::{AsFd, AsRawFd},
};

static OBJECT: &[u8] = aya::include_bytes_aligned!("../bpf/copies.bpf.o");

/// The programs in the object, and the tracepoints that they are for.
const PROGRAMS: [(&str, &str); 7] = [
    ("entering", "sys_enter"),
    ("leaving", "sys_exit"),
    ("faulting", "page_fault_user"),
    ("faulting_inside", "page_fault_kernel"),
    ("transmitting", "net_dev_start_xmit"),
    ("delivering", "tcp_probe"),
    ("completing", "block_rq_complete"),
];

/// One that is done without where it is refused: its tracepoint has had three forms.
const RING: (&str, &str) = ("ring_completing", "io_uring_complete");

// The numbers of settings and counters, as in the source of the object.
const SENDER: u32 = 0;
const RECEIVER: u32 = 1;
const PORT: u32 = 2;
const COUNTERS: u32 = 17;

/// Why there is no probe here.
#[derive(Debug)]
pub struct Unavailable(String);

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The programs, loaded and attached until this is dropped.
pub struct Probe {
    settings: Array<MapData, u64>,
    counters: Array<MapData, u64>,
    programs: Ebpf,
    sees_rings: bool,
    missed_before: u64,
}

impl fmt::Debug for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Probe")
    }
}

/// What was counted between the subject's marks, and in packets from its port.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// System calls of the sender.
    pub calls: u64,
    /// Page faults of the sender in user space.
    pub faults: u64,
    /// Bytes that its reads copied out of the page cache.
    pub read: u64,
    /// Bytes in its packets that had been copied there.
    pub sent_copied: u64,
    /// Bytes in its packets that are on pages of a process.
    pub sent_user: u64,
    /// Bytes in its packets that are on pages of the page cache.
    pub sent_cache: u64,
    /// Bytes in its packets on memory of which nobody can say.
    pub sent_other: u64,
    /// Its packets, before they are cut to the size that the device takes.
    pub packets: u64,
    /// Bytes that were copied to the receiver.
    pub received: u64,
    /// System calls of the receiver meanwhile.
    pub receiver_calls: u64,
    /// Bytes that disks read meanwhile, for whomever.
    pub disk: u64,
    /// Page faults of the sender within its calls: a copy from a mapping meets a page for the first time.
    pub faults_inside: u64,
    /// Its calls that gave bytes to a socket.
    pub passes: u64,
    /// Bytes that its reads through io_uring(7) copied out of the page cache. Nothing, if that cannot be seen.
    pub ring_read: Option<u64>,
    /// Bytes in packets as they come to the receiver's socket, on pages of the kernel's own.
    pub delivered: u64,
    /// The same on other pages.
    pub delivered_else: u64,
    /// Events that a program was not told, because another was at work in its place.
    pub lost: Option<u64>,
}

impl Counts {
    /// Bytes that were passed on by reference, and copied on the way to the receiver's socket all the same.
    pub fn forced(&self) -> u64 {
        (self.sent_user + self.sent_cache).saturating_sub(self.delivered_else)
    }

    /// Payload in packets. Small packets are sent without fragments, and are not in here.
    pub fn sent(&self) -> u64 {
        self.sent_copied + self.sent_user + self.sent_cache + self.sent_other
    }
}

fn because(what: &str, error: &dyn std::error::Error) -> Unavailable {
    let mut text = format!("{what}: {error}");
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    Unavailable(text)
}

fn attach(
    programs: &mut Ebpf,
    (name, tracepoint): (&str, &str),
    btf: &Btf,
) -> Result<(), Unavailable> {
    let program = programs.program_mut(name).expect("it is in the object");
    let program: &mut BtfTracePoint = program.try_into().expect("it is for a raw tracepoint");
    let loaded = program.load(tracepoint, btf);
    loaded.map_err(|error| match error {
        // Without the verifier's log, which is a book.
        ProgramError::LoadError { io_error, .. } => {
            Unavailable(format!("the program for {tracepoint} is refused: {io_error}"))
        }
        error => because(&format!("the program for {tracepoint}"), &error),
    })?;
    let attached = program.attach();
    attached.map_err(|error| because(&format!("the tracepoint {tracepoint}"), &error))?;
    Ok(())
}

impl Probe {
    /// Loads and attaches.
    ///
    /// # Errors
    ///
    /// Why that cannot be done here: the kernel has no BTF or no such tracepoint (before 5.11, or built
    /// without), or this process may not (CAP_BPF and CAP_PERFMON, `capabilities(7)`).
    pub fn load() -> Result<Self, Unavailable> {
        if !cfg!(target_arch = "x86_64") {
            return Err(Unavailable("the programs know the registers of x86-64 alone".to_owned()));
        }
        let btf = Btf::from_sys_fs().map_err(|error| because("no BTF of this kernel", &error))?;
        let mut programs =
            Ebpf::load(OBJECT).map_err(|error| because("BPF is not to be had", &error))?;
        for program in PROGRAMS {
            attach(&mut programs, program, &btf)?;
        }
        let sees_rings = attach(&mut programs, RING, &btf).is_ok();
        let mut array = |name: &str| {
            let map = programs.take_map(name).expect("it is in the object");
            Array::try_from(map).expect("it is an array of numbers")
        };
        let (settings, counters) = (array("settings"), array("counters"));
        Ok(Self { settings, counters, programs, sees_rings, missed_before: 0 })
    }

    /// From now on counts for these, from nothing.
    ///
    /// # Errors
    ///
    /// The kernel does not let the numbers be written (`bpf(2)`).
    pub fn watch(&mut self, sender: u32, receiver: u32, port: u16) -> Result<(), Unavailable> {
        let failed =
            |error| Unavailable(format!("the probe cannot be told whom to watch: {error}"));
        for counter in 0..COUNTERS {
            self.counters.set(counter, 0, 0).map_err(failed)?;
        }
        let settings =
            [(SENDER, u64::from(sender)), (RECEIVER, u64::from(receiver)), (PORT, u64::from(port))];
        for (setting, value) in settings {
            self.settings.set(setting, value, 0).map_err(failed)?;
        }
        self.missed_before = self.missed().unwrap_or(0);
        Ok(())
    }

    /// What has been counted.
    ///
    /// # Errors
    ///
    /// The kernel does not let the numbers be read (`bpf(2)`).
    pub fn counts(&self) -> Result<Counts, Unavailable> {
        let mut all = [0; COUNTERS as usize];
        for (counter, value) in (0..).zip(&mut all) {
            let read = self.counters.get(&counter, 0);
            *value =
                read.map_err(|error| Unavailable(format!("the probe cannot be read: {error}")))?;
        }
        let [
            _counting,
            calls,
            faults,
            read,
            sent_copied,
            sent_user,
            sent_cache,
            sent_other,
            packets,
            received,
            receiver_calls,
            disk,
            faults_inside,
            passes,
            ring_read,
            delivered,
            delivered_else,
        ] = all;
        Ok(Counts {
            calls,
            faults,
            read,
            sent_copied,
            sent_user,
            sent_cache,
            sent_other,
            packets,
            received,
            receiver_calls,
            disk,
            faults_inside,
            passes,
            ring_read: self.sees_rings.then_some(ring_read),
            delivered,
            delivered_else,
            lost: self.missed().map(|missed| missed.saturating_sub(self.missed_before)),
        })
    }

    /// Times that a program was not run since it was loaded, because it was at work on that processor already
    /// (`recursion_misses`, Linux 5.12). Nothing where the kernel does not say.
    fn missed(&self) -> Option<u64> {
        let mut all = 0;
        for (name, program) in self.programs.programs() {
            if name == RING.0 && !self.sees_rings {
                continue;
            }
            let descriptor = program.fd().ok()?.as_fd().as_raw_fd();
            let about = fs::read_to_string(format!("/proc/self/fdinfo/{descriptor}")).ok()?;
            let missed = about.lines().find_map(|line| line.strip_prefix("recursion_misses:"))?;
            all += missed.trim().parse::<u64>().ok()?;
        }
        Some(all)
    }
}
