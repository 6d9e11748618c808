//! What the examples share: files with known bytes, real sockets, and a line for each row of docs/coming-from.md.

#![allow(dead_code, reason = "each example uses a part of it")]

use std::{
    error::Error,
    fs::File,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    sync::Arc,
    thread::{self, JoinHandle},
};

pub(crate) type Outcome<T = ()> = Result<T, Box<dyn Error>>;

/// Bytes of which no two stretches are alike.
pub(crate) fn bytes(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at % 251) as u8 ^ (at / 65_521) as u8).collect()
}

/// A file with these bytes.
pub(crate) fn file_of(bytes: &[u8]) -> Outcome<Arc<File>> {
    let mut file = tempfile::tempfile_in(".").or_else(|_| tempfile::tempfile())?;
    file.write_all(bytes)?;
    Ok(Arc::new(file))
}

/// All that is in a file.
pub(crate) fn contents(file: &File) -> Outcome<Vec<u8>> {
    use std::os::unix::fs::FileExt;
    let mut bytes = vec![0; file.metadata()?.len() as usize];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(bytes)
}

/// A TCP connection over loopback: the end that sends, and the end that receives.
pub(crate) fn connection() -> Outcome<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let receiver = TcpStream::connect(listener.local_addr()?)?;
    let (sender, _) = listener.accept()?;
    sender.set_nodelay(true)?;
    Ok((sender, receiver))
}

/// A peer that reads until the end.
pub(crate) fn reads_all(mut peer: TcpStream) -> JoinHandle<std::io::Result<Vec<u8>>> {
    thread::spawn(move || {
        let mut got = Vec::new();
        peer.read_to_end(&mut got).map(|_| got)
    })
}

/// What a peer gets while `send` sends.
pub(crate) fn sent<T>(send: impl FnOnce(&TcpStream) -> Outcome<T>) -> Outcome<(Vec<u8>, T)> {
    let (sender, peer) = connection()?;
    let reading = reads_all(peer);
    let said = send(&sender)?;
    drop(sender);
    let got = reading.join().map_err(|_| "the peer panicked")??;
    Ok((got, said))
}

/// A socket on which these bytes come.
pub(crate) fn comes(bytes: Vec<u8>) -> Outcome<TcpStream> {
    let (mut sender, receiver) = connection()?;
    thread::spawn(move || sender.write_all(&bytes));
    Ok(receiver)
}

/// Prints a row if what arrived is what was to, and is an error if it is not.
pub(crate) fn row(
    name: &str,
    got: &[u8],
    expected: &[u8],
    what: impl std::fmt::Display,
) -> Outcome {
    if got != expected {
        let at = got.iter().zip(expected).take_while(|(got, expected)| got == expected).count();
        let (len, wanted) = (got.len(), expected.len());
        return Err(format!("{name}: differs from byte {at} on ({len} of {wanted} bytes)").into());
    }
    println!("ok {name}: {what}");
    Ok(())
}
