//! What the kernel says of a process: memory, processor time, descriptors, children.

use std::{fs, os::fd::AsFd, path::Path};

/// Anonymous memory that is resident, in bytes (`RssAnon` of `proc_pid_status(5)`).
pub(crate) fn anonymous_memory(pid: u32) -> u64 {
    memory(pid, "RssAnon:")
}

/// Memory that is pinned for devices, in bytes (`VmPin` of `proc_pid_status(5)`): the buffers of io_uring.
pub(crate) fn pinned_memory(pid: u32) -> u64 {
    memory(pid, "VmPin:")
}

fn memory(pid: u32, field: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with(field)).expect("since Linux 4.5");
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() << 10
}

/// Processor time it has used, user and system, in clock ticks (`proc_pid_stat(5)`, 100 a second).
pub(crate) fn ticks(pid: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields = &stat[stat.rfind(')').unwrap() + 2..]; // the name before may hold anything
    fields.split(' ').skip(11).take(2).map(|field| field.parse::<u64>().unwrap()).sum()
}

/// What its descriptors refer to.
pub(crate) fn descriptors(pid: u32) -> Vec<String> {
    let links = fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    links
        .filter_map(|link| fs::read_link(link.unwrap().path()).ok())
        .map(|target| target.display().to_string())
        .collect()
}

/// The number of the descriptor that refers to `target`.
pub(crate) fn descriptor_of(pid: u32, target: &Path) -> u64 {
    let links = fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    let found = links
        .map(|link| link.unwrap())
        .find(|link| fs::read_link(link.path()).is_ok_and(|there| there == target))
        .expect("it is open");
    found.file_name().to_str().unwrap().parse().unwrap()
}

/// How many sockets it has open.
pub(crate) fn sockets(pid: u32) -> usize {
    descriptors(pid).iter().filter(|name| name.starts_with("socket:")).count()
}

/// How many of its connections are parked. Those stand in an epoll instance that is level-triggered
/// (`fdinfo` of `proc_pid_fdinfo(5)` lists what is in it); tokio's are edge-triggered.
pub(crate) fn parked(pid: u32) -> usize {
    const EDGE_TRIGGERED: u32 = 1 << 31; // EPOLLET
    let infos = fs::read_dir(format!("/proc/{pid}/fdinfo")).unwrap();
    let infos = infos.filter_map(|info| fs::read_to_string(info.unwrap().path()).ok());
    let parked = |line: &str| {
        let events =
            line.strip_prefix("tfd:")?.split_once("events:")?.1.split_whitespace().next()?;
        let events = u32::from_str_radix(events, 16).unwrap();
        (events & EDGE_TRIGGERED == 0).then_some(())
    };
    infos.map(|info| info.lines().filter_map(parked).count()).sum()
}

/// Has the page cache forget a file: from now on its bytes come from the disk.
pub(crate) fn evict(path: &Path) {
    use sendrail_sys::fadvise::{Advice, fadvise};
    let file = fs::File::open(path).unwrap();
    file.sync_all().unwrap(); // what is dirty stays
    fadvise(file.as_fd(), 0, 0, Advice::DontNeed).unwrap();
}

/// The process that it started first.
pub(crate) fn child(pid: u32) -> u32 {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    children.split_whitespace().next().expect("a child").parse().unwrap()
}
