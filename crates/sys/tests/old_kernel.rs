//! An old or sandboxed kernel, played by a seccomp filter on one thread: everything must degrade, by name.
#![allow(unsafe_code)] // installing the filter
#![allow(clippy::unwrap_used)] // a test stops at the first thing that fails

use std::fs::File;
use std::os::fd::AsFd;

use sendrail_sys::{OpenFlags, Probe, Resolve, State};

/// What the filter answers: system call number and errno.
const ANSWERS: [(i64, i32); 4] = [
    (libc::SYS_openat2, libc::ENOSYS),
    (451, libc::ENOSYS), // cachestat
    (libc::SYS_io_uring_setup, libc::EPERM),
    (libc::SYS_preadv2, libc::EOPNOTSUPP),
];

/// From now on this thread gets [`ANSWERS`] from the kernel.
fn install_filter() -> std::io::Result<()> {
    let statement = |code: u32, k: u32| libc::sock_filter { code: code as u16, jt: 0, jf: 0, k };
    // Offset 0 of `struct seccomp_data` is the system call's number.
    let mut program = vec![statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0)];
    for (number, errno) in ANSWERS {
        let equal = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
        program.push(libc::sock_filter { code: equal, jt: 0, jf: 1, k: number as u32 });
        let answer = libc::SECCOMP_RET_ERRNO | errno as u32;
        program.push(statement(libc::BPF_RET | libc::BPF_K, answer));
    }
    program.push(statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW));
    let filter = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    // SAFETY: passes no memory.
    if unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) } < 0 {
        return Err(std::io::Error::last_os_error());
    }
    // SAFETY: the program lives across the call, in which the kernel copies it.
    let returned = unsafe {
        libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const filter)
    };
    if returned < 0 { Err(std::io::Error::last_os_error()) } else { Ok(()) }
}

#[test]
fn what_is_missing_is_named_and_the_rest_goes_on() {
    let degraded = || {
        if let Err(error) = install_filter() {
            eprintln!("skipped: no seccomp filter here: {error}");
            return;
        }
        let probe = Probe::run();
        let why = |name: &str| match &probe.facility(name).unwrap().state {
            State::Unavailable { errno, why } => (*errno, why.clone()),
            State::Available => panic!("{name} works through the filter:\n{probe}"),
        };
        assert_eq!(why("openat2").0, libc::ENOSYS);
        assert_eq!(why("cachestat").0, libc::ENOSYS);
        assert_eq!(why("preadv2 RWF_NOWAIT").0, libc::EOPNOTSUPP);
        assert_eq!(why("preadv2 RWF_DONTCACHE").0, libc::EOPNOTSUPP);
        let (errno, reason) = why("io_uring");
        assert_eq!(errno, libc::EPERM);
        assert!(reason.contains("seccomp") || reason.contains("io_uring_disabled"), "{reason}");
        for name in ["sendfile", "splice", "mincore"] {
            assert!(probe.has(name), "{probe}");
        }

        let file = File::open(std::env::current_exe().unwrap()).unwrap();
        assert!(!Probe::of_file(file.as_fd()).cachestat.is_available());
        let errno = |error: std::io::Error| error.raw_os_error().unwrap();
        let refused = sendrail_sys::cachestat(file.as_fd(), 0, 0).unwrap_err();
        assert_eq!(errno(refused), libc::ENOSYS);
        assert!(sendrail_sys::resident_pages(file.as_fd(), 0, 4096).is_ok());
        let root = File::open("/").unwrap();
        let bounds = Resolve { beneath: true, ..Resolve::default() };
        let refused = sendrail_sys::openat2(root.as_fd(), c".", OpenFlags::READ, bounds);
        assert_eq!(errno(refused.unwrap_err()), libc::ENOSYS);
        assert!(sendrail_sys::openat(root.as_fd(), c".", OpenFlags::READ).is_ok());
    };
    // The filter belongs to the thread and ends with it.
    std::thread::spawn(degraded).join().unwrap();
}
