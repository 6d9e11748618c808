//! Ctrl-C and SIGTERM as a flag: everything that waits asks it, so that guards stop servers and remove files.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use signal_hook::consts::{SIGINT, SIGTERM};

/// Raised once, by a signal, for good.
#[derive(Clone, Debug, Default)]
pub(crate) struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Catches SIGINT and SIGTERM. A second one changes nothing: timeout(1) and sudo(8) send each twice, and servers would
    /// be left behind.
    pub(crate) fn catch() -> Result<Interrupt> {
        let interrupt = Interrupt::default();
        for signal in [SIGINT, SIGTERM] {
            signal_hook::flag::register(signal, Arc::clone(&interrupt.0))
                .with_context(|| format!("catching signal {signal}"))?;
        }
        Ok(interrupt)
    }

    pub(crate) fn raised(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// An error when a signal has come.
    pub(crate) fn check(&self) -> Result<()> {
        if self.raised() {
            bail!("interrupted");
        }
        Ok(())
    }

    /// Sleeps, unless and until a signal comes.
    pub(crate) fn sleep(&self, length: Duration) -> Result<()> {
        let until = Instant::now() + length;
        while let Some(left) = until.checked_duration_since(Instant::now()) {
            self.check()?;
            std::thread::sleep(left.min(Duration::from_millis(50)));
        }
        self.check()
    }
}

#[cfg(test)]
impl Interrupt {
    pub(crate) fn raised_from_the_start() -> Interrupt {
        Interrupt(Arc::new(AtomicBool::new(true)))
    }
}
