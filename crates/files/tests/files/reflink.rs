//! Disks that can clone files: each test on such a disk runs in a process of its own, in mounts of its own.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

const FOLDER: &str = "SENDRAIL_TEST_CLONES_IN";

/// Makes a file system `$2` in folder `$1`, and becomes `$3` with the test `$4`. 77: it cannot be had.
const SCRIPT: &str = "
    exec 3>&1 >&2
    truncate -s 512M $1/image && mkfs.$2 -q -f $1/image && mkdir $1/at &&
    mount -o loop -t $2 $1/image $1/at || exit 77
    SENDRAIL_TEST_CLONES_IN=$1/at exec $3 --exact $4 --nocapture >&3";

/// Runs `body`, which is all there is to the test of this name (`module::test`), with an empty folder on XFS and then with one on
/// btrfs. Skips what cannot be had, and says so.
pub(crate) fn on_disks_that_clone(test: &str, body: impl FnOnce(&Path)) {
    if let Some(folder) = env::var_os(FOLDER) {
        return body(&PathBuf::from(folder));
    }
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: mounting needs root");
        return;
    }
    for file_system in ["xfs", "btrfs"] {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "sh", "-c", SCRIPT, "sh"]);
        command.arg(folder.path()).arg(file_system).arg(env::current_exe().unwrap()).arg(test);
        match command.output() {
            Err(error) => eprintln!("skipped: unshare: {error}"),
            Ok(output) => {
                let said = String::from_utf8_lossy(&output.stdout).into_owned()
                    + &String::from_utf8_lossy(&output.stderr);
                if output.status.code() == Some(77) {
                    eprintln!("skipped: {file_system} cannot be mounted here: {said}");
                } else {
                    assert!(output.status.success(), "on {file_system}: {said}");
                    assert!(said.contains("1 passed"), "{test} is not its name: {said}");
                }
            }
        }
    }
}
