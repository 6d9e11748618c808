//! A producer: appends lines, or records of its own making. `cargo run --release -p sendrail-segment-log --example producer -- --help`

use bytesize::ByteSize;
use clap::Parser;
use sendrail_segment_log::Client;
use std::{
    error::Error,
    io::{self, BufRead},
    process::ExitCode,
    time::{Duration, Instant},
};

/// Appends each line of standard input, or with --count records of its own making.
#[derive(Debug, Parser)]
struct Arguments {
    /// The broker
    #[arg(default_value = "127.0.0.1:9092")]
    broker: String,
    /// Append so many records instead of lines
    #[arg(long)]
    count: Option<u64>,
    /// Their length
    #[arg(long, default_value = "100B", requires = "count")]
    size: ByteSize,
    /// At most so many a second
    #[arg(long)]
    rate: Option<f64>,
    /// So many records in one append
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    batch: u64,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("producer: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    if arguments.rate.is_some_and(|rate| rate <= 0.0 || rate.is_nan()) {
        return Err("--rate must be more than 0".into());
    }
    let mut client = Client::connect(&arguments.broker)
        .map_err(|error| format!("cannot connect to {}: {error}", arguments.broker))?;
    let size = usize::try_from(arguments.size.as_u64())?;
    let mut records: Box<dyn Iterator<Item = io::Result<Vec<u8>>>> = match arguments.count {
        Some(count) => Box::new((0..count).map(move |number| Ok(made(number, size)))),
        None => Box::new(io::stdin().lock().split(b'\n')),
    };
    let began = Instant::now();
    let (mut appended, mut bytes, mut first) = (0_u64, 0_u64, None);
    loop {
        let batch: Vec<_> =
            records.by_ref().take(arguments.batch as usize).collect::<Result<_, _>>()?;
        if batch.is_empty() {
            break;
        }
        let acknowledged = client.append(batch.iter().map(Vec::as_slice))?;
        first.get_or_insert(acknowledged.first);
        appended += batch.len() as u64;
        bytes += batch.iter().map(|record| record.len() as u64).sum::<u64>();
        if let Some(rate) = arguments.rate {
            let due = Duration::from_secs_f64(appended as f64 / rate);
            std::thread::sleep(due.saturating_sub(began.elapsed()));
        }
    }
    let seconds = began.elapsed().as_secs_f64();
    let first = first.unwrap_or_default();
    println!(
        "{appended} records, {} appended from offset {first} on, in {seconds:.3} s",
        ByteSize::b(bytes).display().iec()
    );
    Ok(())
}

/// A record that says which it is.
fn made(number: u64, size: usize) -> Vec<u8> {
    let mut record = format!("record {number} ").into_bytes();
    record.resize(size.max(record.len()), b'.');
    record.truncate(size);
    record
}
