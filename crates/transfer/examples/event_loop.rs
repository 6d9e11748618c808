//! The steps themselves, in a loop of one's own: one thread, many clients, poll(2).
//!
//! ```text
//! cargo run --example event_loop -- Cargo.toml    # in one terminal
//! nc 127.0.0.1 7002                               # in as many others as you like
//! ```

use rustix::event::{PollFd, PollFlags, poll};
use sendrail_transfer::{Chain, Disk, FileRange, Options, Step, Transfer};
use std::{
    env,
    fs::File,
    net::{TcpListener, TcpStream},
    sync::Arc,
};

struct Client {
    socket: TcpStream,
    transfer: Transfer,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = env::args().nth(1).ok_or("usage: event_loop FILE")?;
    let file = Arc::new(File::open(path)?);
    let len = file.metadata()?.len();
    let listener = TcpListener::bind("127.0.0.1:7002")?;
    let mut clients: Vec<Client> = Vec::new();

    loop {
        let listening = PollFd::new(&listener, PollFlags::IN);
        let waiting = clients.iter().map(|client| PollFd::new(&client.socket, PollFlags::OUT));
        let mut descriptors: Vec<_> = std::iter::once(listening).chain(waiting).collect();
        poll(&mut descriptors, None)?;
        let ready: Vec<bool> = descriptors.iter().map(|fd| !fd.revents().is_empty()).collect();

        let mut takes_more = ready[1..].iter();
        clients
            .retain_mut(|client| !takes_more.next().is_some_and(|ready| *ready) || goes_on(client));
        if ready[0] {
            let (socket, _) = listener.accept()?;
            socket.set_nonblocking(true)?;
            let mut chain = Chain::new();
            chain.push_file(FileRange::new(Arc::clone(&file), 0, len));
            let transfer = Transfer::new(chain, Options::default());
            clients.push(Client { socket, transfer });
        }
    }
}

/// One step for a client whose socket takes more; whether there is more to do for it.
fn goes_on(client: &mut Client) -> bool {
    // A server with many clients says MustNotWait, and takes WaitDisk to a pool of threads.
    match client.transfer.step(&client.socket, Disk::MayWait) {
        Step::Yield | Step::WaitSocket | Step::WaitDisk => return true,
        Step::Done => println!("done: {}", client.transfer.receipt()),
        Step::PeerGone(error) => println!("the peer is gone: {error}"),
        Step::Failed(fault) => println!("the file failed: {fault}"),
    }
    false
}
