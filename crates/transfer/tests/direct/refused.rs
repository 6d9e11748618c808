//! Kernels that refuse a ring, at once or later, or direct I/O itself: played by strace(1), which answers in the kernel's
//! place. The bytes must be the same, and the receipt must say what happened.

use crate::*;
use std::{
    fs,
    net::TcpListener,
    path::PathBuf,
    process::{Command, Stdio},
};

/// Where cargo has put the example beside this test.
fn send_once() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let target = test.parent().and_then(|deps| deps.parent()).unwrap();
    let path = target.join("examples/send_once");
    assert!(path.exists(), "cargo build --example send_once first: no {}", path.display());
    path
}

/// Sends a file by `method` while strace answers as `injections` say. What arrived, and the last line that was said; `None`
/// where strace cannot do that.
fn send_with(method: &str, injections: &[&str]) -> Option<(Vec<u8>, String)> {
    let file = tempfile::NamedTempFile::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    fs::write(file.path(), bytes_at(0, LEN)).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-o", "/dev/null", "-e", "trace=all"]);
    for injection in injections {
        command.arg("-e").arg(format!("inject={injection}"));
    }
    command.arg(send_once()).arg(listener.local_addr().unwrap().to_string()).arg(file.path());
    command.args([method, "non-blocking"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => {
            eprintln!("skipped: strace: {error}");
            return None;
        }
    };
    listener.set_nonblocking(true).unwrap();
    let mut reader = loop {
        match listener.accept() {
            Ok((reader, _)) => break Socket::from(reader),
            Err(_) if child.try_wait().unwrap().is_some() => {
                let said = child.wait_with_output().unwrap().stderr;
                eprintln!("skipped: strace cannot trace here: {}", String::from_utf8_lossy(&said));
                return None;
            }
            Err(_) => std::thread::yield_now(),
        }
    };
    reader.set_nonblocking(false).unwrap();
    let mut received = Vec::new();
    while read_some(&mut reader, 100_000, &mut received) > 0 {}
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    Some((received, String::from_utf8(said).unwrap()))
}

/// All of it arrived, by these methods and with these refusals.
fn check(method: &str, injections: &[&str], went: &str, refusals: &[&str]) {
    let Some((received, said)) = send_with(method, injections) else { return };
    assert_same(&received, &[b"a head, ", &bytes_at(0, LEN)[..]].concat(), &(injections, &said));
    let words: Vec<&str> = said.split_whitespace().collect();
    assert_eq!(words[1], went, "{injections:?}: {said}");
    let refused: Vec<&str> =
        words.iter().filter_map(|word| word.strip_prefix("refused=")).collect();
    assert_eq!(refused, refusals, "{injections:?}: {said}");
}

#[test]
fn without_a_ring_threads_read() {
    let Some(_alone) = rings() else { return };
    for (injection, refusal) in [
        ("io_uring_setup:error=EPERM", "io_uring:EPERM"),
        ("io_uring_setup:error=ENOSYS", "io_uring:ENOSYS"),
        ("io_uring_setup:error=EMFILE", "io_uring:EMFILE"),
        ("io_uring_register:error=ENOMEM", "io_uring:ENOMEM"), // RLIMIT_MEMLOCK
    ] {
        check("direct", &[injection], "direct(pread)", &[refusal]);
    }
}

#[test]
fn a_ring_that_breaks_later_loses_and_repeats_nothing() {
    let Some(_alone) = rings() else { return };
    for (when, went) in [
        (1, "direct(pread)"),
        (3, "direct+direct(pread)"),
        (4, "direct+direct(pread)"),
        (6, "direct+direct(pread)"),
    ] {
        for errno in ["EAGAIN", "EBADF", "EPERM"] {
            let injection = format!("io_uring_enter:error={errno}:when={when}+");
            let Some((received, said)) = send_with("direct", &[&injection]) else { return };
            let expected = [b"a head, ", &bytes_at(0, LEN)[..]].concat();
            assert_same(&received, &expected, &(&injection, &said));
            assert!(said.contains(&format!(" {went} ")), "{injection}: {said}");
            assert!(said.contains(" refused=io_uring:"), "{injection}: {said}");
        }
    }
}

/// The disk may be slow, or the thread be stuck that the completion is handed to: one read by a thread of our own, and then a
/// ring again.
#[test]
fn a_wait_that_takes_too_long_is_no_reason_to_do_without_a_ring_for_ever() {
    let Some(_alone) = rings() else { return };
    let injections = ["io_uring_enter:error=ETIME:when=2"];
    check("direct", &injections, "direct+direct(pread)", &["io_uring:ETIME"]);
}

#[test]
fn interrupted_waits_are_waited_again() {
    let Some(_alone) = rings() else { return };
    let Some((received, said)) = send_with("direct", &["io_uring_enter:error=EINTR:when=2..3"])
    else {
        return;
    };
    assert_same(&received, &[b"a head, ", &bytes_at(0, LEN)[..]].concat(), &said);
}

#[test]
fn an_old_kernel_that_does_not_say_the_alignment_is_read_by_pages() {
    let Some(_alone) = rings() else { return };
    check("direct", &["statx:error=ENOSYS"], "direct", &[]);
}

#[test]
fn without_direct_io_the_next_best_is_uncached_and_then_copy() {
    let Some(_alone) = rings() else { return };
    let direct_is_refused = "pread64:error=EINVAL";
    let no_ring = "io_uring_setup:error=EPERM";
    let uncached_is_refused = "preadv2:error=EOPNOTSUPP";
    if usable_methods().any(|method| method == Method::Uncached) {
        let refusals = ["io_uring:EPERM", "direct:EINVAL"];
        check("direct", &[no_ring, direct_is_refused], "uncached", &refusals);
    }
    check("uncached", &[uncached_is_refused], "copy", &["uncached:EOPNOTSUPP"]);
}

#[test]
fn a_read_error_is_the_files_fault_without_a_ring_too() {
    let Some(_alone) = rings() else { return };
    let injections = ["io_uring_setup:error=EPERM", "pread64:error=EIO:when=9+"];
    let Some((received, said)) = send_with("direct", &injections) else { return };
    assert_same(&received[8..], &bytes_at(0, received.len() as u64 - 8), &said);
    assert!((8..LEN as usize).contains(&received.len()), "{}", received.len());
    assert!(said.contains("pread(2)") && said.contains("code: 5"), "{said}");
}
