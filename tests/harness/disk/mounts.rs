//! Mounts that only a test sees: a mount namespace of its own, and the commands that mount.

use crate::harness::has;
use rustix::{
    mount::{MountPropagationFlags, mount_change},
    thread::UnshareFlags,
};
use std::{
    ffi::OsStr,
    fs::File,
    io,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
};

/// Runs `body` in a thread with a mount namespace of its own (`mount_namespaces(7)`). What is mounted
/// there is seen by that thread, by the threads that it starts and by its children, and by nobody
/// else. When the last of them has ended the kernel unmounts it all, also after a SIGKILL.
pub(crate) fn in_private_mounts<T: Send>(body: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| {
        let inside = scope.spawn(|| {
            unshare_mounts().unwrap();
            let _last = Last::start();
            body()
        });
        inside.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Takes the calling thread, and no other, into a new mount namespace.
fn unshare_mounts() -> io::Result<()> {
    #[expect(
        deprecated,
        reason = "what makes it unsafe is UnshareFlags::FILES, which is not used"
    )]
    rustix::thread::unshare(UnshareFlags::NEWNS)?;
    // Else what is mounted here would be mounted in the parent's namespace as well.
    Ok(mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?)
}

/// A child that is in the namespace and does nothing, until its standard input ends: by `drop`, or
/// because this process has died. So that is never the last one in there: the last one's exit is what
/// unmounts, and unmounting waits for reads that are under way, which a process that is a FUSE file
/// system itself, and has come to its own end, would wait for for ever.
struct Last(Child);

impl Last {
    fn start() -> Self {
        let mut cat = Command::new("cat");
        Self(cat.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Last {
    fn drop(&mut self) {
        let _ = self.0.wait(); // closes its standard input before
    }
}

/// Whether mounts can be made here, with these programs; says so if a test has to be skipped.
pub(super) fn can_mount(programs: &[&str], devices: &[&str]) -> bool {
    // In a thread that nobody else needs: where containers are, root may not do all that root may.
    if let Err(error) = thread::spawn(unshare_mounts).join().unwrap() {
        eprintln!("skipped: mounting needs root and CAP_SYS_ADMIN (unshare: {error})");
        return false;
    }
    for device in devices {
        if let Err(error) = File::options().read(true).write(true).open(device) {
            eprintln!("skipped: {device}: {error}");
            return false;
        }
    }
    ["mount", "umount"].iter().chain(programs).all(|program| has(program))
}

/// Runs a command of the system, and gives what it wrote. Mounting and unmounting is left to such
/// children: a call into a file system that waits for this very process, made by this very process,
/// could not be got rid of by killing it.
///
/// # Errors
///
/// What it said on standard error.
pub(super) fn run<A: AsRef<OsStr>>(
    program: &str,
    arguments: impl IntoIterator<Item = A>,
) -> Result<String, String> {
    let output = Command::new(program).args(arguments).output().map_err(|e| e.to_string())?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    } else {
        Err(format!("{program}: {}", String::from_utf8_lossy(&output.stderr).trim()))
    }
}

/// Gives a mount point back, now if nobody uses it, else as soon as nobody does.
pub(super) fn unmount(at: &Path) {
    if let Err(busy) = run("umount", [at]) {
        eprintln!("{busy}: later, then");
        let _ = run("umount", [OsStr::new("--lazy"), at.as_os_str()]);
    }
}
