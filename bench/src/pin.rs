//! Which core the servers run on, and which the load generator; and the control groups a server is put into.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// The first core this process may use is for the servers, the second for the load generator.
#[derive(Clone, Copy, Debug, serde::Serialize)]
pub(crate) struct Cores {
    pub(crate) server: usize,
    pub(crate) generator: usize,
}

impl Cores {
    /// Chooses the cores and pins the calling thread (the load generator) to its own.
    pub(crate) fn claim() -> Result<Cores> {
        let allowed = sched_getaffinity(None).context("asking which cores may be used")?;
        let mut cores = (0..CpuSet::MAX_CPU).filter(|&core| allowed.is_set(core));
        let server = cores.next().context("no core may be used")?;
        let cores = Cores { server, generator: cores.next().unwrap_or(server) };
        let mut own = CpuSet::new();
        own.set(cores.generator);
        sched_setaffinity(None, &own)
            .with_context(|| format!("pinning the generator to core {}", cores.generator))?;
        Ok(cores)
    }

    /// Why figures taken on these cores may not be published.
    pub(crate) fn reservation(self) -> Option<String> {
        (self.server == self.generator).then(|| "server and generator share the only core".into())
    }
}

/// Where a server is started.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'a> {
    pub(crate) cores: Cores,
    /// Directories of control groups it is put into before it runs: what it touches is charged to them from the first
    /// page on.
    pub(crate) groups: &'a [PathBuf],
}

/// Becomes the rest of the command line, once it is in every group named before `--`.
const JOIN: &str =
    r#"while [ "$1" != -- ]; do echo $$ >"$1/cgroup.procs" || exit; shift; done; shift; exec "$@""#;

impl Place<'_> {
    /// A command that runs `program` on the server's core: taskset(1) sets the affinity and then becomes the program,
    /// so the process id is the server's own and all it starts inherits the core. setpriv(1) has it end when the harness
    /// does, however that ends (PR_SET_PDEATHSIG, prctl(2)).
    pub(crate) fn server_command(self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "TERM", "--"]);
        if !self.groups.is_empty() {
            command.args(["sh", "-c", JOIN, "join"]).args(self.groups).arg("--");
        }
        command.args(["taskset", "--cpu-list"]).arg(self.cores.server.to_string()).arg(program);
        command
    }
}

#[cfg(test)]
impl Place<'_> {
    /// On the server's core, in no group of its own.
    pub(crate) fn on_its_core() -> Place<'static> {
        Place { cores: Cores::claim().expect("a core to run on"), groups: &[] }
    }
}
