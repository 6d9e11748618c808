//! Many clients that take their time, in a control group with little memory: what their transfers hold is bounded,
//! and who finds that taken goes past the page cache.

use crate::harness::{Connection, Journal, Server, Tree, bytes, evict};
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// More than sockets hold, and no less than a transfer's share.
const LEN: usize = 8 << 20;
/// An eighth of the group's memory is shared out, 4 MiB to each.
const MEMORY: u64 = 192 << 20;
const SHARES: usize = 6;
const CLIENTS: usize = 10;

/// A control group with a limit on memory; gone when this is dropped.
struct Group(PathBuf);

impl Group {
    fn new() -> io::Result<Self> {
        let name = format!("sendrail-brake-{}", std::process::id());
        let group = |parent: &str| Self(Path::new("/sys/fs/cgroup").join(parent).join(&name));
        let (group, limit) = if Path::new("/sys/fs/cgroup/memory/memory.limit_in_bytes").exists() {
            (group("memory"), "memory.limit_in_bytes")
        } else {
            (group(""), "memory.max")
        };
        fs::create_dir(&group.0)?;
        fs::write(group.0.join(limit), MEMORY.to_string())?;
        Ok(group)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // It can be removed as soon as its last process is gone.
        let _ = fs::remove_dir(&self.0);
    }
}

#[test]
fn what_slow_clients_hold_is_bounded_and_others_go_past_the_page_cache() {
    let group = match Group::new() {
        Ok(group) => group,
        Err(error) => return eprintln!("skipped: no control group for memory: {error}"),
    };
    let tree = Tree::new();
    let content = bytes(1 << 20).repeat(LEN >> 20);
    for number in 0..CLIENTS {
        tree.file(&format!("{number}.bin"), &content);
        evict(&tree.path().join(format!("{number}.bin")));
    }
    let journal = Journal::new();
    let mut command = std::process::Command::new("sh");
    let serve = "echo $$ > \"$1/cgroup.procs\" && exec \"$0\" serve \"$2\" --listen 127.0.0.1:0 --drop-behind on --log-format json --access-log \"$3\"";
    command.args(["-c", serve, env!("CARGO_BIN_EXE_sendrail")]);
    command.args([group.0.as_path(), tree.path(), &journal.path()]).env("NO_COLOR", "1");
    let server = Server::spawn(command);

    let mut clients: Vec<Connection> =
        (0..CLIENTS).map(|_| Connection::narrow(server.address)).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        assert_eq!(client.begin(&format!("/{number}.bin")).status, 200);
        assert!(client.take(1) == content[..1]); // it has begun, and goes no further
    }
    for client in &mut clients {
        assert!(client.take(LEN - 1) == content[1..], "the bytes differ");
    }
    let entries = journal.wait_for(CLIENTS);
    let by =
        |method: &str| entries.iter().filter(|entry| entry["receipt"]["method"] == method).count();
    if entries.iter().any(|entry| entry["receipt"]["refused"].to_string().contains("direct")) {
        return eprintln!("skipped: no direct I/O where the tests' files are");
    }
    assert_eq!((by("splice"), by("direct")), (SHARES, CLIENTS - SHARES), "{entries:?}");
    // When they have been given back there is room again.
    let (again, path) = ("0.bin", tree.path().join("0.bin"));
    crate::harness::eventually("it goes through the page cache again", || {
        evict(&path);
        let target = format!("/{again}?{}", journal.entries().len());
        assert!(server.connect().get(&target, "").body == content, "the bytes differ");
        journal.of(&target)["receipt"]["method"] == "splice"
    });
}
