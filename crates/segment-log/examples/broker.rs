//! A broker: one log, served over TCP. `cargo run --release -p sendrail-segment-log --all-features --example broker -- DIR`

use bytesize::ByteSize;
use clap::{Parser, ValueEnum};
use sendrail_segment_log::{
    Log, Options, Retention, SyncPolicy,
    broker::{ServeOptions, Stats, serve_counted},
};
use sendrail_transfer::DropBehind;
use std::{error::Error, path::PathBuf, process::ExitCode, sync::Arc, time::Duration};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};

/// Serves a log of segment files to producers and consumers.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// The directory of the log; made if it is missing
    directory: PathBuf,
    /// Where to listen
    #[arg(long, default_value = "127.0.0.1:9092")]
    listen: String,
    /// With this length a segment is closed, and a new one begun
    #[arg(long, default_value = "1GiB")]
    segment_bytes: ByteSize,
    /// An entry of the index for so many bytes: less makes small fetches exact, and takes memory (8 bytes each)
    #[arg(long, default_value = "16KiB")]
    index_interval: ByteSize,
    /// When an append is acknowledged
    #[arg(long, value_enum, default_value_t = Sync::Never)]
    sync: Sync,
    /// Drop the oldest segments as long as so much remains
    #[arg(long)]
    retain_bytes: Option<ByteSize>,
    /// Drop segments whose last record is older than this, such as 7d
    #[arg(long, value_parser = humantime::parse_duration)]
    retain_age: Option<Duration>,
    /// If records in the middle are damaged, cut the log there; what is cut off is kept beside
    #[arg(long)]
    repair: bool,
    /// Check every record when opening, not only those of the last segment
    #[arg(long)]
    check_all: bool,
    /// What becomes of pages that consumers bring into the page cache
    #[arg(long, value_enum, default_value_t = Behind::Auto)]
    drop_behind: Behind,
    /// Say each so many seconds what has been done
    #[arg(long, value_name = "SECONDS")]
    stats: Option<u64>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Sync {
    /// When it is in the page cache: it survives the death of the broker
    Never,
    /// When it is on the disk: it survives the death of the machine
    EveryAppend,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Behind {
    /// They are given back, unless memory is free or they are asked for often
    Auto,
    /// They are given back, unless they are asked for often
    On,
    /// They stay
    Off,
}

fn main() -> ExitCode {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("broker: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let options = Options {
        segment_bytes: arguments.segment_bytes.as_u64(),
        index_interval: arguments.index_interval.as_u64(),
        sync: match arguments.sync {
            Sync::Never => SyncPolicy::Never,
            Sync::EveryAppend => SyncPolicy::EveryAppend,
        },
        retention: Retention {
            bytes: arguments.retain_bytes.map(|bytes| bytes.as_u64()),
            age: arguments.retain_age,
        },
        repair: arguments.repair,
        check_all: arguments.check_all,
        ..Options::default()
    };
    let log = Arc::new(Log::open(&arguments.directory, options)?);
    println!("{}: {}", arguments.directory.display(), log.recovery());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(serve(arguments, &log))?;
    drop(runtime);
    log.sync()?;
    println!("stopped at offset {}", log.end());
    Ok(())
}

/// Until it is told to stop, by SIGINT or SIGTERM.
async fn serve(arguments: &Arguments, log: &Arc<Log>) -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind(&arguments.listen)
        .await
        .map_err(|error| format!("cannot listen on {}: {error}", arguments.listen))?;
    // Before anybody is told that it is there, and may tell it to stop.
    let (mut interrupt, mut terminate) =
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    println!("listening on {}", listener.local_addr()?);
    let mut options = ServeOptions::default();
    options.send.drop_behind = match arguments.drop_behind {
        Behind::Auto => DropBehind::Auto,
        Behind::On => DropBehind::On,
        Behind::Off => DropBehind::Off,
    };
    let stats = Arc::new(Stats::default());
    let serving = serve_counted(listener, Arc::clone(log), options, Arc::clone(&stats));
    let telling = async {
        let Some(every) = arguments.stats else { return std::future::pending().await };
        loop {
            tokio::time::sleep(Duration::from_secs(every.max(1))).await;
            println!("{stats}");
        }
    };
    tokio::select! {
        ended = serving => match ended? {},
        () = telling => {}
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    Ok(())
}
