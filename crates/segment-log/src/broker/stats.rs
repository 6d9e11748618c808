//! What a broker has done so far.

use sendrail_transfer::Receipt;
use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

macro_rules! stats {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        /// Counts of what a broker has done, since it began; read at any time, from any thread.
        #[derive(Debug, Default)]
        pub struct Stats { $($name: AtomicU64),* }

        impl Stats {
            $($(#[$doc])* pub fn $name(&self) -> u64 {
                self.$name.load(Relaxed)
            })*
        }
    };
}

stats! {
    /// Fetches that were answered with records.
    fetches,
    /// Fetches that waited at the end of the log.
    waited,
    /// Bytes of records that were sent.
    bytes,
    /// Fetches whose records came from the memory of the tail: no page was looked up.
    from_memory,
    /// Fetches whose records were read from the page cache, and left with their head by one call.
    copied,
    /// Fetches whose records went by `sendfile(2)` or whatever else the engine chose.
    by_engine,
    /// System calls of those.
    system_calls,
    /// Bytes of those that were not in the page cache.
    cold,
    /// How often those waited for the disk, in the engine's pool.
    disk_waits,
    /// Appends that were acknowledged.
    appends,
}

impl Stats {
    pub(super) fn fetched(&self, bytes: u64, how: &AtomicU64) {
        self.fetches.fetch_add(1, Relaxed);
        self.bytes.fetch_add(bytes, Relaxed);
        how.fetch_add(1, Relaxed);
    }

    pub(super) fn of_memory(&self) -> &AtomicU64 {
        &self.from_memory
    }

    pub(super) fn of_page_cache(&self) -> &AtomicU64 {
        &self.copied
    }

    pub(super) fn sent(&self, receipt: &Receipt) {
        self.fetched(receipt.file_bytes, &self.by_engine);
        self.system_calls.fetch_add(receipt.system_calls, Relaxed);
        self.cold.fetch_add(receipt.cold, Relaxed);
        self.disk_waits.fetch_add(u64::from(receipt.disk_waits), Relaxed);
    }

    pub(super) fn has_waited(&self) {
        self.waited.fetch_add(1, Relaxed);
    }

    pub(super) fn appended(&self) {
        self.appends.fetch_add(1, Relaxed);
    }
}

impl fmt::Display for Stats {
    /// `fetches=10 bytes=5000 memory=7 copied=2 engine=1 calls=4 cold=0 disk_waits=0 waited=3 appends=9`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = [
            ("fetches", &self.fetches),
            ("bytes", &self.bytes),
            ("memory", &self.from_memory),
            ("copied", &self.copied),
            ("engine", &self.by_engine),
            ("calls", &self.system_calls),
            ("cold", &self.cold),
            ("disk_waits", &self.disk_waits),
            ("waited", &self.waited),
            ("appends", &self.appends),
        ];
        for (place, (name, count)) in all.iter().enumerate() {
            let space = if place == 0 { "" } else { " " };
            write!(f, "{space}{name}={}", count.load(Relaxed))?;
        }
        Ok(())
    }
}
