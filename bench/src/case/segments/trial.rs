//! The trial of a server of segments: some fetches byte for byte, before anything is measured. Whoever sends other bytes for
//! them than the subject does other work.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use super::layout::Layout;
use super::wire::{HEAD, Head, fetch};
use crate::load::trial::OtherWork;

/// At random, besides the ends of the log and of a segment.
const FETCHES: usize = 200;
const PATIENCE: Duration = Duration::from_secs(20);

/// Offsets that were asked for, and what was answered.
#[derive(Debug, Default)]
pub(super) struct Agreed(Vec<(u64, Head)>);

impl Agreed {
    /// The first server to come here says how much is sent for a fetch.
    pub(super) fn with(
        &mut self,
        address: SocketAddr,
        max_bytes: u32,
        layout: &Layout,
    ) -> Result<()> {
        let mut random = fastrand::Rng::with_seed(12);
        let (edge, end) = (layout.per_segment, layout.end());
        let mut offsets = vec![0, 1, edge - 1, edge, edge + 1, end - 1];
        offsets.retain(|offset| *offset < end);
        offsets.extend((0..FETCHES).map(|_| random.u64(..end)));
        let answers = answers(address, max_bytes, &offsets, layout)?;
        if self.0.is_empty() {
            self.0 = answers;
            return Ok(());
        }
        for ((offset, wanted), (_, found)) in self.0.iter().zip(&answers) {
            if (wanted.first, wanted.next) != (found.first, found.next) {
                let why = format!("from {offset} on it sends {found:?}, the subject {wanted:?}");
                bail!(OtherWork::because(why));
            }
        }
        Ok(())
    }

    /// Bytes of records for one fetch, in the mean.
    pub(super) fn mean(&self) -> f64 {
        let sum: f64 = self.0.iter().map(|(_, head)| f64::from(head.bytes)).sum();
        sum / self.0.len().max(1) as f64
    }
}

fn answers(
    address: SocketAddr,
    max_bytes: u32,
    offsets: &[u64],
    layout: &Layout,
) -> Result<Vec<(u64, Head)>> {
    let mut stream = TcpStream::connect(address).context("connecting")?;
    stream.set_nodelay(true).context("setting TCP_NODELAY")?;
    stream.set_read_timeout(Some(PATIENCE)).context("setting a time limit")?;
    let mut answer = |offset: u64| {
        stream.write_all(&fetch(offset, max_bytes, 0)).context("sending a fetch")?;
        let mut bytes = [0; HEAD];
        stream.read_exact(&mut bytes).context("receiving the head of an answer")?;
        let head = Head::parse(&bytes)?.context("a head of its full length")?;
        let mut records = vec![0; head.bytes as usize];
        stream.read_exact(&mut records).context("receiving records")?;
        ensure!((head.first..head.next).contains(&offset), "the answer is {head:?}");
        layout.compare(head.first, head.next, &records)?;
        Ok((offset, head))
    };
    let asked = offsets.iter().map(|offset| {
        answer(*offset).with_context(|| format!("records from {offset} on, {max_bytes} bytes"))
    });
    asked.collect()
}
