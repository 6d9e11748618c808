//! Hot requests at a fixed rate, and beside them, in the same thread, connections that download cold files one after
//! another: what do the first notice of the second?

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::open::{Offered, Offering};
use super::{LONGEST, Load, Work};

/// Bytes of one cold connection that are taken before the hot ones are looked at again. A receive that drops megabytes
/// takes milliseconds: they would be counted as the server's.
const BITE: usize = 128 << 10;

/// When the cold streams end.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Until {
    /// Everything has been asked for once and has arrived.
    Done,
    /// After so long; what is under way is abandoned.
    After(Duration),
}

/// A stretch of both.
#[derive(Clone, Debug)]
pub(crate) struct Together {
    pub(crate) hot: Offered,
    /// `wall` ends with the last byte of the streams.
    pub(crate) cold: Work,
    /// Cold bytes of each second.
    pub(crate) by_second: Vec<u64>,
}

impl Load<'_> {
    /// Every request of the workload `times`, over all connections, as fast as it goes.
    pub(crate) fn work_through(&mut self, times: u64) -> Result<Work> {
        self.workload.rewind();
        let mut downloads = Downloads::start(self, self.workload.len() as u64 * times)?;
        while downloads.busy() {
            downloads.turn(self)?;
        }
        Ok(downloads.work)
    }

    /// Offers `rate` requests a second while `other` says, a little of its own work done, that there is more of it; then
    /// waits for the answers.
    pub(crate) fn offer_while(
        &mut self,
        rate: f64,
        mut other: impl FnMut() -> Result<bool>,
    ) -> Result<Offered> {
        self.sleeps = false;
        self.acknowledge_at_once();
        let mut hot = Offering::start(self, rate);
        while other()? {
            if hot.started.elapsed() > LONGEST * 2 {
                bail!("it has not ended after {:?}", LONGEST * 2);
            }
            hot.turn(self, |_| true).context("the hot requests")?;
        }
        let end = hot.started.elapsed();
        while hot.turn(self, |due| due < end).context("the hot requests")? {
            if hot.started.elapsed() > end + LONGEST {
                bail!("hot requests are still waiting {LONGEST:?} after all else");
            }
        }
        Ok(hot.finish())
    }

    /// Offers `rate` requests a second while `cold` works through its workload; then waits for the answers. What is hot
    /// goes on where it was, so that it is not the same few documents again.
    pub(crate) fn offer_beside(
        &mut self,
        rate: f64,
        mut cold: Load<'_>,
        until: Until,
    ) -> Result<Together> {
        (self.sleeps, cold.sleeps) = (false, false);
        self.acknowledge_at_once();
        cold.acknowledge_at_once();
        cold.take_bites(BITE)?;
        let requests = match until {
            Until::Done => cold.workload.len() as u64,
            Until::After(_) => u64::MAX,
        };
        let mut hot = Offering::start(self, rate);
        let mut downloads = Downloads::start(&mut cold, requests)?;
        let end = loop {
            let elapsed = hot.started.elapsed();
            let over = match until {
                Until::Done => !downloads.busy(),
                Until::After(length) => elapsed >= length,
            };
            if over {
                break elapsed;
            }
            if elapsed > LONGEST * 2 {
                bail!("the cold streams have not ended after {elapsed:?}");
            }
            downloads.turn(&mut cold).context("the cold streams")?;
            hot.turn(self, |_| true).context("the hot requests")?;
        };
        drop(cold);
        while hot.turn(self, |due| due < end).context("the hot requests")? {
            if hot.started.elapsed() > end + LONGEST {
                bail!("hot requests are still waiting {LONGEST:?} after the cold streams");
            }
        }
        let Downloads { work, by_second, .. } = downloads;
        Ok(Together { hot: hot.finish(), cold: work, by_second })
    }
}

/// All connections of a load downloading in a closed loop.
struct Downloads {
    work: Work,
    left: u64,
    /// Connections with an answer under way.
    busy: usize,
    by_second: Vec<u64>,
    started: Instant,
    last_event: Instant,
}

impl Downloads {
    fn start(load: &mut Load<'_>, requests: u64) -> Result<Downloads> {
        let busy = requests.min(load.connections.len() as u64);
        load.ask_all(0..busy as usize)?;
        let started = Instant::now();
        Ok(Downloads {
            work: Work::nothing(),
            left: requests - busy,
            busy: busy as usize,
            by_second: Vec::new(),
            started,
            last_event: started,
        })
    }

    fn busy(&self) -> bool {
        self.busy > 0
    }

    fn turn(&mut self, load: &mut Load<'_>) -> Result<()> {
        let mut free = VecDeque::new();
        let before = self.work.body_bytes;
        load.turn(&mut self.left, &mut self.work, &mut free, &mut self.last_event)?;
        self.busy -= free.len();
        let arrived = self.work.body_bytes - before;
        if arrived > 0 {
            self.work.wall = self.started.elapsed();
            let second = self.work.wall.as_secs() as usize;
            if self.by_second.len() <= second {
                self.by_second.resize(second + 1, 0);
            }
            self.by_second[second] += arrived;
        }
        Ok(())
    }
}
