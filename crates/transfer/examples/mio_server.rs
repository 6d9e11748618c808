//! The steps under mio: one thread, many clients, an edge-triggered epoll(7), and a disk that nobody waits for.
//!
//! ```text
//! cargo run --example mio_server -- Cargo.lock    # in one terminal; says where it listens
//! nc 127.0.0.1 PORT                               # in as many others as you like
//! ```
//!
//! Behind the file may stand how many clients it is to serve before it ends: the tests say so.
//!
//! Three rules make it right, and each is marked below. (1) Who is told once that a socket takes more goes on until it does not.
//! (2) Whoever gives a transfer to the disk pool gives a descriptor of its own with it, and is woken when it comes back. (3) What comes
//! back is stepped again, whatever it says: an edge that came meanwhile has been seen and is gone.

use mio::{
    Events, Interest, Poll, Token, Waker,
    net::{TcpListener, TcpStream},
};
use sendrail_transfer::{
    Chain, Disk, FileRange, Options, Step, Transfer,
    disk_pool::{DiskPool, Job, Ticket, Turn, Whose, Windows},
};
use std::{
    collections::HashMap,
    env,
    fs::File,
    io,
    net::SocketAddr,
    ops::ControlFlow,
    os::{
        fd::{AsFd, OwnedFd},
        unix::fs::MetadataExt,
    },
    sync::{
        Arc,
        mpsc::{Receiver, Sender, channel},
    },
    time::Duration,
};

const LISTENER: Token = Token(0);
const DISK: Token = Token(1);
const FIRST_CLIENT: usize = 2;

struct Client {
    peer: SocketAddr,
    socket: TcpStream,
    at: At,
}

enum At {
    Here(Box<Transfer>),
    /// A thread that may sleep has it. Dropped with the client, a job that has not begun is not done.
    Pool {
        _place: Ticket,
    },
}

/// What comes back from the disk pool.
type Back = (Token, Transfer, Step);

struct Server {
    file: Arc<File>,
    len: u64,
    device: u64,
    poll: Poll,
    clients: HashMap<Token, Client>,
    next: usize,
    /// Those who may go on at once.
    ready: Vec<Token>,
    /// An eventfd(2), which the threads of the pool write to.
    waker: Arc<Waker>,
    to_loop: Sender<Back>,
    from_pool: Receiver<Back>,
    done: usize,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = env::args().skip(1);
    let path = arguments.next().ok_or("usage: mio_server FILE [CLIENTS]")?;
    let clients = arguments.next().map_or(Ok(usize::MAX), |count| count.parse())?;
    let file = File::open(path)?;
    let facts = file.metadata()?;
    let mut listener = TcpListener::bind("127.0.0.1:0".parse()?)?;
    println!("listening on {}", listener.local_addr()?);

    let poll = Poll::new()?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let waker = Arc::new(Waker::new(poll.registry(), DISK)?);
    let (to_loop, from_pool) = channel();
    let mut server = Server {
        file: Arc::new(file),
        len: facts.len(),
        device: facts.dev(),
        poll,
        clients: HashMap::new(),
        next: FIRST_CLIENT,
        ready: Vec::new(),
        waker,
        to_loop,
        from_pool,
        done: 0,
    };
    let mut events = Events::with_capacity(256);
    while server.done < clients {
        // Who yielded goes on when everybody else has been looked after.
        let timeout = (!server.ready.is_empty()).then_some(Duration::ZERO);
        match server.poll.poll(&mut events, timeout) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            outcome => outcome?,
        }
        for event in &events {
            match event.token() {
                LISTENER => server.accept(&listener)?,
                DISK => server.take_back(),
                client => server.ready.push(client),
            }
        }
        for token in std::mem::take(&mut server.ready) {
            server.go_on(token)?;
        }
    }
    Ok(())
}

impl Server {
    /// (1) The listener is told of once, too: all who have come.
    fn accept(&mut self, listener: &TcpListener) -> io::Result<()> {
        loop {
            let (mut socket, peer) = match listener.accept() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                accepted => accepted?,
            };
            socket.set_nodelay(true)?;
            let token = Token(self.next);
            self.next += 1;
            self.poll.registry().register(&mut socket, token, Interest::WRITABLE)?;
            let mut chain = Chain::new();
            chain.push_bytes(format!("{} bytes follow\n", self.len));
            chain.push_file(FileRange::new(Arc::clone(&self.file), 0, self.len));
            let at = At::Here(Box::new(Transfer::new(chain, Options::default())));
            self.clients.insert(token, Client { peer, socket, at });
        }
    }

    /// One step for a client that may go on.
    fn go_on(&mut self, token: Token) -> io::Result<()> {
        // An edge may be told of late, or to one whose transfer is in the pool: (3) takes care of that.
        let Some(client) = self.clients.get_mut(&token) else { return Ok(()) };
        let At::Here(transfer) = &mut client.at else { return Ok(()) };
        match transfer.step(&client.socket, Disk::MustNotWait) {
            Step::WaitSocket => {} // (1) full: epoll tells when that has changed
            Step::Yield => self.ready.push(token), // (1) not full: nobody will tell
            Step::WaitDisk => self.hand_over(token)?,
            Step::Done => self.end(token, "done"),
            Step::PeerGone(error) => self.end(token, &format!("the peer is gone: {error}")),
            Step::Failed(fault) => self.end(token, &format!("the file failed: {fault}")),
        }
        Ok(())
    }

    fn hand_over(&mut self, token: Token) -> io::Result<()> {
        let Some(client) = self.clients.remove(&token) else { return Ok(()) };
        let Client { peer, socket, at: At::Here(transfer) } = client else { return Ok(()) };
        // (2) A thread may be busy with the descriptor when the client has long been closed here.
        let descriptor: OwnedFd = socket.as_fd().try_clone_to_owned()?;
        let mut inside = Some(Windows::of(*transfer));
        let work = move |turn: &Turn<'_>| {
            let windows = inside.as_mut().expect("it has ended when this is gone");
            match windows.advance(&descriptor, turn) {
                ControlFlow::Continue(()) => ControlFlow::Continue(()), // the disk's move again
                ControlFlow::Break(step) => ControlFlow::Break((inside.take(), step)),
            }
        };
        let (to_loop, waker) = (self.to_loop.clone(), Arc::clone(&self.waker));
        let done = move |outcome| {
            if let Ok((Some(windows), step)) = outcome {
                let transfer = Windows::into_transfer(windows);
                let _ = to_loop.send((token, transfer, step)).map(|()| waker.wake());
            }
        };
        let whose = Whose { device: self.device, client: token.0 as u64 };
        let job = Job::in_turns(whose, work, done);
        if let Ok(place) = DiskPool::of_the_process().submit(job) {
            let at = At::Pool { _place: place };
            self.clients.insert(token, Client { peer, socket, at });
        } else {
            self.done += 1;
            println!("{peer}: the disk pool takes no more"); // and the socket is closed
        }
        Ok(())
    }

    fn take_back(&mut self) {
        while let Ok((token, transfer, step)) = self.from_pool.try_recv() {
            let Some(client) = self.clients.get_mut(&token) else { continue };
            client.at = At::Here(Box::new(transfer));
            match step {
                Step::Done => self.end(token, "done"),
                Step::PeerGone(error) => self.end(token, &format!("the peer is gone: {error}")),
                Step::Failed(fault) => self.end(token, &format!("the file failed: {fault}")),
                // (3) Even if it says that the socket was full.
                Step::Yield | Step::WaitSocket | Step::WaitDisk => self.ready.push(token),
            }
        }
    }

    /// Prints the receipt, and closes.
    fn end(&mut self, token: Token, how: &str) {
        self.done += 1;
        if let Some(Client { peer, at: At::Here(transfer), .. }) = self.clients.remove(&token) {
            let receipt = transfer.into_receipt();
            println!("{peer}: {how}: bytes={} {receipt}", receipt.bytes);
        }
    }
}
