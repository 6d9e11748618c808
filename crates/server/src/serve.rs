//! `sendrail serve`: brings the rooms together, starts the workers, and obeys signals.

use crate::{
    announce,
    config::{Config, Problem},
    listen, log,
    shutdown::{Commander, Order},
    worker::{Shared, Worker},
};
use sendrail_lab::calibrate;
use std::{
    io::{self, IsTerminal},
    sync::Arc,
    thread::JoinHandle,
    time::Duration,
};
use tokio::{
    runtime::Runtime,
    signal::unix::{Signal, SignalKind, signal},
    sync::oneshot,
    task::JoinSet,
};

/// Bytes of freed memory that each worker may keep at the end of its heap. Where connections come and go, they need not
/// ask the kernel for it again.
const KEPT_FREE: u32 = 512 << 10;

/// Larger blocks are the kernel's to give, one by one. Files that are answered from memory are smaller.
const ALONE: u32 = 1 << 20;

/// Serves until a signal says to stop.
///
/// # Errors
///
/// What keeps the server from starting, or the first worker that failed.
pub fn run(mut config: Config) -> Result<(), Problem> {
    // With another C library there is nothing to be set.
    let _ = sendrail_sys::heap::set_thresholds(KEPT_FREE, ALONE);
    // By a thread of its own, which drops what cannot be written: a standard error that nobody reads
    // must not hold up a worker.
    let (stderr, _flushed_at_the_end) = tracing_appender::non_blocking(io::stderr());
    tracing_subscriber::fmt()
        .with_writer(stderr)
        .with_ansi(io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none())
        .with_target(false)
        // It would be reported on the same standard error, by a macro that panics when that is
        // closed: a log reader that has gone must not take a worker with it.
        .log_internal_errors(false)
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into()),
        )
        .init();
    let measured = settle_small_files(&mut config);
    let config = Arc::new(config);
    if let Some(uploads) = &config.uploads {
        uploads
            .sweep_now_and_then()
            .map_err(|error| Problem::new(format!("cannot start a thread for uploads: {error}")))?;
    }
    let (bound, per_worker) = listen::bind(&config.listen, config.workers)?;
    let (log, writer) = log::start(&config.access_log)?.unzip();
    // Before anybody can know that the server is there: from then on a signal means what it says.
    let (runtime, signals) = await_signals()
        .map_err(|error| Problem::new(format!("cannot wait for signals: {error}")))?;
    let commander = Commander::new();
    let shared = Arc::new(Shared::new(&config));
    let (mut workers, mut readiness) = (Vec::new(), Vec::new());
    for (number, listeners) in per_worker.into_iter().enumerate() {
        let (config, shared, log) = (Arc::clone(&config), Arc::clone(&shared), log.clone());
        let orders = commander.orders();
        let (ready, is_ready) = oneshot::channel::<()>();
        let (ended, end) = oneshot::channel::<()>();
        let thread = std::thread::Builder::new()
            .name(format!("worker-{number}"))
            .spawn(move || {
                let _ended = ended; // dropped when the worker returns or panics
                Worker::run(config, shared, log, listeners, orders, ready)
            })
            .map_err(|error| Problem::new(format!("cannot start a worker's thread: {error}")))?;
        readiness.push(is_ready);
        workers.push((thread, end));
    }
    let (threads, ends): (Vec<_>, Vec<_>) = workers.into_iter().unzip();
    // Whoever reads that the server is there finds it whole: each worker has all the descriptors that it will not do without.
    if readiness.into_iter().all(|worker| worker.blocking_recv().is_ok()) {
        announce::announce(&config, &bound, &measured);
    }
    let commanding = command(&config, &commander, &shared, log.as_ref(), signals, ends);
    let ended = runtime.block_on(commanding);
    drop(log);
    if ended == Ended::NotAll {
        tracing::warn!("a worker still sleeps on its disk: leaving it behind");
        return Ok(());
    }
    let failed = threads.into_iter().find_map(failure);
    if let Some(writer) = writer {
        writer.finish();
    }
    failed.map_or(Ok(()), Err)
}

/// Finds out up to which size files are better answered from memory, unless that was said. Says how.
fn settle_small_files(config: &mut Config) -> String {
    let (limit, how) = match (config.transfer.method, config.files.small) {
        (Some(_), _) => (0, "a forced method is used for every file".to_owned()),
        (None, Some(limit)) => (limit, "as --small-files says".to_owned()),
        (None, None) => match calibrate::measure(config.files.small_memory as usize) {
            Ok(calibration) => (calibration.limit, calibration.to_string()),
            Err(error) => (calibrate::FALLBACK, format!("could not be measured: {error}")),
        },
    };
    config.files.small = Some(limit);
    how
}

/// The main thread's event loop, with the signals that it obeys caught from now on.
fn await_signals() -> io::Result<(Runtime, Signals)> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let signals = {
        let _inside = runtime.enter();
        Signals::new()?
    };
    Ok((runtime, signals))
}

/// Waits for signals, and for the workers to end.
async fn command(
    config: &Config,
    commander: &Commander,
    shared: &Shared,
    log: Option<&log::LogHandle>,
    mut signals: Signals,
    ends: Vec<oneshot::Receiver<()>>,
) -> Ended {
    let mut running = JoinSet::new();
    for end in ends {
        running.spawn(async { drop(end.await) });
    }
    loop {
        tokio::select! {
            // A worker that ends without being told has failed: half a server is worse than none,
            // for whoever watches over it would not start it again.
            _ = running.join_next() => {
                tracing::error!("a worker has failed");
                break;
            }
            told = signals.next() => match (told, log) {
                (Told::Stop, _) => break,
                (Told::Reopen, log) => {
                    log.inspect(|log| log.reopen());
                    config.uploads.as_ref().inspect(|uploads| uploads.read_tokens_again());
                }
            },
        }
    }
    let open = shared.connections();
    tracing::info!(
        connections = open,
        "stopping: finishing what is being sent, within {:?}",
        config.drain_timeout
    );
    commander.give(Order::Drain);
    let mut all_ended = std::pin::pin!(async { while running.join_next().await.is_some() {} });
    tokio::select! {
        () = &mut all_ended => return Ended::All,
        () = tokio::time::sleep(config.drain_timeout) => {}
        () = signals.stop() => {}
    }
    commander.give(Order::Stop);
    // Stopping takes no time of its own; a worker that sleeps on a dead disk is not waited for.
    let in_time = tokio::time::timeout(Duration::from_secs(5), &mut all_ended).await;
    if in_time.is_ok() { Ended::All } else { Ended::NotAll }
}

/// How the workers ended.
#[derive(Debug, PartialEq, Eq)]
enum Ended {
    All,
    NotAll,
}

/// What a signal means.
#[derive(Debug, PartialEq, Eq)]
enum Told {
    Stop,
    Reopen,
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Told {
        tokio::select! {
            _ = self.terminate.recv() => Told::Stop,
            _ = self.interrupt.recv() => Told::Stop,
            _ = self.hangup.recv() => Told::Reopen,
        }
    }

    async fn stop(&mut self) {
        while self.next().await != Told::Stop {}
    }
}

fn failure(thread: JoinHandle<io::Result<()>>) -> Option<Problem> {
    match thread.join() {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(Problem::new(format!("a worker failed: {error}"))),
        Err(_) => Some(Problem::new("a worker panicked: please report this with the lines above")),
    }
}
