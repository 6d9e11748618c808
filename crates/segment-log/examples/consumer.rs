//! A consumer: writes each record as a line, or checks what comes. `cargo run --release -p sendrail-segment-log --example consumer -- --help`

use bytesize::ByteSize;
use clap::Parser;
use sendrail_segment_log::{Client, ClientError};
use std::{
    error::Error,
    io::{self, Write},
    process::ExitCode,
    str::FromStr,
    time::{Duration, Instant},
};

/// Writes the records of a log to standard output, each as a line.
#[derive(Debug, Parser)]
struct Arguments {
    /// The broker
    #[arg(default_value = "127.0.0.1:9092")]
    broker: String,
    /// Where to begin: start, end, or an offset
    #[arg(long, default_value = "start")]
    from: From,
    /// Wait for more at the end of the log
    #[arg(long)]
    follow: bool,
    /// Write nothing; check that nothing is missing and every checksum is right, and say so
    #[arg(long)]
    verify: bool,
    /// Say at the end, on standard error, what it took
    #[arg(long)]
    stats: bool,
    /// How much is asked for at a time
    #[arg(long, default_value = "1MiB")]
    max_bytes: ByteSize,
}

#[derive(Debug, Clone, Copy)]
enum From {
    Start,
    End,
    Offset(u64),
}

impl FromStr for From {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "start" => Ok(Self::Start),
            "end" => Ok(Self::End),
            _ => text.parse().map(Self::Offset).map_err(|_| "start, end, or a number".into()),
        }
    }
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("consumer: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let mut client = Client::connect(&arguments.broker)
        .map_err(|error| format!("cannot connect to {}: {error}", arguments.broker))?;
    let (start, end) = client.info()?;
    let mut offset = match arguments.from {
        From::Start => start,
        From::End => end,
        From::Offset(offset) => offset,
    };
    let max_bytes = u32::try_from(arguments.max_bytes.as_u64())?;
    let max_wait = if arguments.follow { Duration::from_secs(30) } else { Duration::ZERO };
    let began = Instant::now();
    let (mut records, mut bytes, mut fetches) = (0_u64, 0_u64, 0_u64);
    let mut out = io::BufWriter::new(io::stdout().lock());
    loop {
        let batch = match client.fetch(offset, max_bytes, max_wait) {
            Ok(batch) => batch,
            Err(ClientError::OutOfRange(bounds)) if offset < bounds.start => {
                let (from, start) = (offset, bounds.start);
                return Err(format!(
                    "offsets {from} to {start} have been dropped before they were read: --from start goes on at {start}"
                )
                .into());
            }
            Err(error) => return Err(error.into()),
        };
        fetches += 1;
        bytes += batch.bytes.len() as u64;
        for record in batch.records() {
            let record = record.map_err(|fault| format!("at offset {offset}: {fault}"))?;
            if record.offset != offset {
                return Err(format!("offset {} came where {offset} was next", record.offset).into());
            }
            offset += 1;
            records += 1;
            if !arguments.verify {
                out.write_all(record.payload)?;
                out.write_all(b"\n")?;
            }
        }
        out.flush()?;
        if offset != batch.next.max(offset) {
            return Err(format!("{} was promised, and {offset} reached", batch.next).into());
        }
        if offset >= batch.end && !arguments.follow {
            break;
        }
    }
    if arguments.verify {
        writeln!(out, "{records} records are as they were written; the next one is {offset}")?;
        out.flush()?;
    }
    if arguments.stats {
        let seconds = began.elapsed().as_secs_f64();
        eprintln!(
            "{records} records in {fetches} fetches, {} in {seconds:.3} s",
            ByteSize::b(bytes).display().iec()
        );
    }
    Ok(())
}
