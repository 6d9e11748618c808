//! The servers of one case, running and tried out: whoever does other work, or fails, is left out by name. Only the
//! subject may not fail, but for want of memory, which is a result.

use anyhow::{Context, Error, Result};

use super::Work;
use crate::arena::{Arena, Entrant};
use crate::cgroup::KilledForMemory;
use crate::load::trial::{OtherWork, Trial};
use crate::load::workload::Workload;
use crate::peer::Running;
use crate::report::{LeftOut, Role};

/// A server that takes part.
pub(super) struct Contender<'a, W = Workload> {
    pub(super) name: String,
    role: Role,
    entrant: &'a Entrant,
    pub(super) server: Running,
    /// What it is asked for.
    pub(super) workload: W,
    /// Per request, where it was counted.
    pub(super) system_calls: Option<f64>,
}

pub(super) struct Contest<'a, W = Workload> {
    contenders: Vec<Contender<'a, W>>,
    left_out: Vec<LeftOut>,
}

impl<'a> Contest<'a> {
    /// Lays out the documents, starts the servers, and asks each of them for everything once.
    pub(super) fn prepare(arena: &'a Arena<'_>, work: &dyn Work) -> Result<Contest<'a>> {
        let documents = work.lay_out(&arena.ground)?;
        Contest::of(arena, |_, server| {
            let workload = work.workload(&documents, server.address)?;
            Trial::of(server.address, &workload, arena.interrupt)?;
            Ok(workload)
        })
    }
}

impl<'a, W> Contest<'a, W> {
    /// Starts the servers, and has each of them tried out.
    pub(super) fn of(
        arena: &'a Arena<'_>,
        mut enter: impl FnMut(&Entrant, &Running) -> Result<W>,
    ) -> Result<Contest<'a, W>> {
        let mut contest = Contest { contenders: Vec::new(), left_out: Vec::new() };
        for &entrant in arena.entrants() {
            if entrant.peer.for_cold_files() {
                continue; // a setting that touches nothing else
            }
            let entered = arena.start(entrant).and_then(|server| {
                let workload = enter(entrant, &server)?;
                let (name, role) = (entrant.name().to_owned(), entrant.role);
                Ok(Contender { name, role, entrant, server, workload, system_calls: None })
            });
            match entered {
                Ok(contender) => contest.contenders.push(contender),
                Err(error) => contest.leave_out(entrant.name(), entrant.role, error)?,
            }
        }
        arena.interrupt.check()?;
        Ok(contest)
    }

    /// A turn for each, in order.
    pub(super) fn each(
        &mut self,
        arena: &Arena<'_>,
        mut turn: impl FnMut(&mut Contender<'a, W>) -> Result<()>,
    ) -> Result<()> {
        let mut at = 0;
        while at < self.contenders.len() {
            let contender = &mut self.contenders[at];
            match turn(contender) {
                Ok(()) => at += 1,
                Err(error) => {
                    arena.interrupt.check()?; // a signal is nobody's failure
                    let gone = self.contenders.remove(at);
                    self.leave_out(&gone.name, gone.role, error)?;
                }
            }
        }
        Ok(())
    }

    /// A B, then B A: a machine that slowly gets slower (or faster) favours neither.
    pub(super) fn turn_around(&mut self) {
        self.contenders.reverse();
    }

    fn leave_out(&mut self, server: &str, role: Role, error: Error) -> Result<()> {
        self.left_out.push(leave_out(server, role, error)?);
        Ok(())
    }

    pub(super) fn left_out(&self) -> Vec<LeftOut> {
        self.left_out.clone()
    }

    /// By server, per request.
    pub(super) fn system_calls(&self) -> Vec<(String, f64)> {
        let counted =
            |contender: &Contender<'_, W>| Some((contender.name.clone(), contender.system_calls?));
        self.contenders.iter().filter_map(counted).collect()
    }

    /// The one of this name, or else the last.
    pub(super) fn find(&self, name: &str) -> Option<&Contender<'a, W>> {
        self.contenders.iter().find(|contender| contender.name == name).or(self.contenders.last())
    }
}

/// Why a server takes part no longer; the error itself where that is not allowed.
pub(super) fn leave_out(server: &str, role: Role, error: Error) -> Result<LeftOut> {
    let why = if let Some(killed) = error.downcast_ref::<KilledForMemory>() {
        killed.to_string()
    } else if role == Role::Subject {
        return Err(error).with_context(|| server.to_owned());
    } else if error.downcast_ref::<OtherWork>().is_some() {
        format!("does other work: {error:#}")
    } else {
        format!("failed: {error:#}")
    };
    eprintln!("    {server} is left out: {why}");
    Ok(LeftOut { server: server.to_owned(), why })
}

impl<W> Contender<'_, W> {
    /// Stops the server and starts it again: the same workload, fresh memory.
    pub(super) fn restart(&mut self, arena: &Arena<'_>) -> Result<()> {
        self.server = arena.start(self.entrant)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    #[test]
    fn only_the_subject_may_not_fail_but_anybody_may_want_for_memory() {
        let why = |role, error| leave_out("a", role, error).map(|left| left.why);
        let killed = || Error::from(KilledForMemory { limit: 512 << 20 }).context("a turn");
        for role in [Role::Subject, Role::Peer] {
            assert!(why(role, killed()).is_ok_and(|why| why.contains("killed for memory")));
        }
        assert!(why(Role::Subject, anyhow!("fell over")).is_err());
        assert!(why(Role::Peer, anyhow!("fell over")).is_ok_and(|why| why == "failed: fell over"));
    }
}
