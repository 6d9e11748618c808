//! Who takes part in a cold case. A server is started anew for each of its turns, and nobody else runs meanwhile.

use anyhow::Result;

use crate::arena::{Arena, Entrant};
use crate::case::contest::leave_out;
use crate::cgroup::KilledForMemory;
use crate::report::{Against, Bound, Figure, LeftOut, Measure};

const KILLED: Measure = Measure::less("killed_for_memory", "killed for memory", "", 0);

pub(in crate::case) struct Field<'a> {
    entrants: Vec<&'a Entrant>,
    left_out: Vec<LeftOut>,
    killed: Vec<String>,
}

impl<'a> Field<'a> {
    pub(in crate::case) fn of(arena: &Arena<'a>) -> Field<'a> {
        Field { entrants: arena.entrants().to_vec(), left_out: Vec::new(), killed: Vec::new() }
    }

    /// A turn for each, in order; who fails is left out.
    pub(in crate::case) fn each(
        &mut self,
        arena: &Arena<'_>,
        mut turn: impl FnMut(&Entrant) -> Result<()>,
    ) -> Result<()> {
        let mut at = 0;
        while at < self.entrants.len() {
            let entrant = self.entrants[at];
            match turn(entrant) {
                Ok(()) => at += 1,
                Err(error) => {
                    arena.interrupt.check()?; // a signal is nobody's failure
                    self.entrants.remove(at);
                    if error.downcast_ref::<KilledForMemory>().is_some() {
                        self.killed.push(entrant.name().to_owned());
                    }
                    self.left_out.push(leave_out(entrant.name(), entrant.role, error)?);
                }
            }
        }
        Ok(())
    }

    /// A B, then B A: a machine that slowly gets slower (or faster) favours neither.
    pub(in crate::case) fn turn_around(&mut self) {
        self.entrants.reverse();
    }

    pub(in crate::case) fn left_out(self) -> Vec<LeftOut> {
        self.left_out
    }

    /// Of all that took part, who did not survive it. The subject must.
    pub(in crate::case) fn killed(&self, arena: &Arena<'_>) -> Figure {
        let servers = arena.servers();
        let took_part = |name: &str| {
            self.killed.iter().any(|killed| killed == name)
                || self.left_out.iter().all(|left| left.server != name)
        };
        let count = |name: &str| f64::from(u8::from(self.killed.iter().any(|one| one == name)));
        let values = servers
            .iter()
            .map(|(name, _)| if took_part(name) { vec![count(name)] } else { Vec::new() });
        let survives = [Bound::at_most(Against::Value, 0.0)];
        let bounds = if arena.plan.self_check { &[][..] } else { &survives };
        Figure::of(KILLED, &servers, values.collect(), bounds)
    }
}
