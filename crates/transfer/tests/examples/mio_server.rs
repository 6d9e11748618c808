//! The server under mio with clients that hurry, dawdle and go away, and with a file that is or is not in the page cache.

use crate::{common::*, example};
use std::{
    fs,
    io::{BufRead, BufReader, Read},
    net::{Shutdown, TcpStream},
    process::{Child, ChildStdout, Command, Stdio},
    thread,
    time::Duration,
};

const LEN: u64 = (6 << 20) + 4567;

struct Server {
    child: Child,
    says: BufReader<ChildStdout>,
    address: String,
    _file: tempfile::NamedTempFile,
}

fn start(clients: usize, cold: bool) -> Option<Server> {
    let file = tempfile::NamedTempFile::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    fs::write(file.path(), bytes_at(0, LEN)).unwrap();
    if cold && let Err(why) = evict(file.as_file()) {
        eprintln!("skipped: {why}");
        return None;
    }
    let mut command = Command::new(example("mio_server"));
    command.arg(file.path()).arg(clients.to_string());
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut says = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    says.read_line(&mut line).unwrap();
    let address = line.trim_end().rsplit(' ').next().unwrap().to_owned();
    Some(Server { child, says, address, _file: file })
}

impl Server {
    /// The receipts, when all have been served.
    fn finish(mut self) -> Vec<String> {
        let said = self.says.lines().map(Result::unwrap).collect();
        assert!(self.child.wait().unwrap().success());
        said
    }
}

fn expected() -> Vec<u8> {
    [format!("{LEN} bytes follow\n").as_bytes(), &bytes_at(0, LEN)].concat()
}

/// Reads all, `bite` bytes at a time, with a rest before each.
fn read_in_bites(address: &str, bite: usize, rest: Duration) -> Vec<u8> {
    let socket = socket2::Socket::from(TcpStream::connect(address).unwrap());
    socket.set_read_timeout(Some(HANGS)).unwrap();
    let (mut got, mut buffer) = (Vec::new(), vec![0; bite]);
    loop {
        let count = (&socket).read(&mut buffer).unwrap();
        if count == 0 {
            return got;
        }
        got.extend_from_slice(&buffer[..count]);
        thread::sleep(rest);
    }
}

#[test]
fn many_clients_at_once_from_the_page_cache_and_from_the_disk() {
    let expected = expected();
    for cold in [false, true] {
        let Some(server) = start(8, cold) else { return };
        let clients: Vec<_> = (0..8_u64)
            .map(|number| {
                let address = server.address.clone();
                // The last ones let the socket run full again and again.
                let (bite, rest) = if number < 4 { (1 << 20, 0) } else { (200_000, 4) };
                thread::spawn(move || read_in_bites(&address, bite, Duration::from_millis(rest)))
            })
            .collect();
        for client in clients {
            assert_same(&client.join().unwrap(), &expected, &cold);
        }
        let receipts = server.finish();
        let whole = format!(": done: bytes={} ", expected.len());
        assert_eq!(receipts.len(), 8, "{receipts:#?}");
        assert!(receipts.iter().all(|receipt| receipt.contains(&whole)), "{receipts:#?}");
        let waits = |receipt: &String| {
            let waits = receipt.split(" waits=").nth(1).unwrap().split([' ', '/']);
            waits.take(2).map(|number| number.parse::<u64>().unwrap()).collect::<Vec<_>>()
        };
        let waits: Vec<_> = receipts.iter().map(waits).collect();
        assert!(waits.iter().any(|waits| waits[0] > 0), "no socket was full: {receipts:#?}");
        assert_eq!(waits.iter().any(|waits| waits[1] > 0), cold, "{receipts:#?}");
    }
}

#[test]
fn a_client_that_goes_away_is_said_to_and_the_others_are_served() {
    let Some(server) = start(2, false) else { return };
    let mut leaves = TcpStream::connect(&server.address).unwrap();
    leaves.read_exact(&mut [0; 1000]).unwrap();
    socket2::SockRef::from(&leaves).set_linger(Some(Duration::ZERO)).unwrap();
    leaves.shutdown(Shutdown::Read).unwrap();
    drop(leaves); // with a reset
    let got = read_in_bites(&server.address, 1 << 20, Duration::ZERO);
    assert_same(&got, &expected(), &"the one that stayed");
    let receipts = server.finish();
    let gone = receipts.iter().filter(|receipt| receipt.contains(": the peer is gone: "));
    assert_eq!((receipts.len(), gone.count()), (2, 1), "{receipts:#?}");
}
