//! A broker in memory for tests of the load: it keeps every record by itself, so that a fetch begins where it is asked to.

#![allow(clippy::unwrap_used)] // a failed unwrap is a failed test

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use super::wire::write_record;

#[derive(Default)]
struct Log {
    records: Mutex<Vec<Vec<u8>>>,
    more: Condvar,
}

/// Serves these payloads, and those that are appended, until the test ends.
pub(super) fn serve(payloads: impl Iterator<Item = Vec<u8>>) -> SocketAddr {
    let log = Arc::new(Log::default());
    payloads.for_each(|payload| log.append(&payload));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let log = Arc::clone(&log);
            thread::spawn(move || log.answer(stream.unwrap()));
        }
    });
    address
}

impl Log {
    fn append(&self, payload: &[u8]) {
        let mut records = self.records.lock().unwrap();
        let mut record = Vec::new();
        write_record(records.len() as u64, payload, &mut record);
        records.push(record);
        self.more.notify_all();
    }

    fn answer(&self, mut stream: TcpStream) {
        let mut length = [0; 4];
        while stream.read_exact(&mut length).is_ok() {
            let mut request = vec![0; u32::from_be_bytes(length) as usize];
            stream.read_exact(&mut request).unwrap();
            let u32_at = |at: usize| u32::from_be_bytes(*request[at..].first_chunk().unwrap());
            let mut answer = vec![0];
            if request[0] == 2 {
                self.append(&request[5..]);
                answer.extend([0; 16]); // nobody looks at it
            } else {
                let offset = u64::from_be_bytes(*request[1..].first_chunk().unwrap());
                let wait = Duration::from_millis(u32_at(13).into());
                let records = self.records.lock().unwrap();
                let there = |records: &mut Vec<Vec<u8>>| records.len() as u64 <= offset;
                let (records, _) = self.more.wait_timeout_while(records, wait, there).unwrap();
                let (mut next, mut bytes) = (offset, Vec::<u8>::new());
                while let Some(record) = records.get(next as usize)
                    && (next == offset || bytes.len() + record.len() <= u32_at(9) as usize)
                {
                    bytes.extend(record);
                    next += 1;
                }
                answer.extend([offset, next, records.len() as u64].map(u64::to_be_bytes).concat());
                answer.extend(bytes);
            }
            let mut whole = (answer.len() as u32).to_be_bytes().to_vec();
            whole.extend(answer);
            if stream.write_all(&whole).is_err() {
                return;
            }
        }
    }
}
