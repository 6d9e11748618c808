//! The tokio front: hot and cold files, several tasks, peers that go, the disk pool.

use crate::common::*;
use sendrail_transfer::{
    FileRange, Method, Options, Receipt, SendError,
    asynchronous::{self, Sending, Socket},
};
use std::{
    fs::File,
    future::poll_fn,
    io,
    os::fd::{AsFd, BorrowedFd},
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::AsyncReadExt,
    net::{TcpListener, TcpStream, UnixStream},
};

const LEN: u64 = 8 << 20;

fn on_one_thread<T>(future: impl Future<Output = T>) -> T {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let limited = async { tokio::time::timeout(HANGS, future).await.expect("hangs") };
    runtime.enable_all().build().unwrap().block_on(limited)
}

async fn tcp() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let reader = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (sender, _) = listener.accept().await.unwrap();
    sender.set_nodelay(true).unwrap();
    (sender, reader)
}

async fn deliver_async(file: &Arc<File>, options: Options) -> (Vec<u8>, Receipt) {
    let (sender, mut reader) = tcp().await;
    let reader = tokio::spawn(async move {
        let mut received = Vec::new();
        reader.read_to_end(&mut received).await.map(|_| received)
    });
    let receipt = asynchronous::send(&sender, chain_of(whole(file)), options).await.unwrap();
    drop(sender);
    (reader.await.unwrap().unwrap(), receipt)
}

#[test]
fn a_hot_file_never_sees_the_disk_pool() {
    let file = file_of(LEN);
    for method in usable_methods().filter(|method| CACHED.contains(method)) {
        let (received, receipt) = on_one_thread(deliver_async(&file, by(method)));
        assert_same(&received, &bytes_at(0, LEN), &method);
        assert_eq!((receipt.cold, receipt.disk_waits), (0, 0), "{method}");
        assert_eq!(receipt.methods.to_string(), method.name());
        assert_copied(&receipt, 0, LEN, method, &method);
    }
}

/// Hot and cold, polled: each time something has gone it is told how much, and in the end nothing.
#[test]
fn who_polls_is_told_how_much_has_gone() {
    for cold in [false, true] {
        let file = file_of(LEN);
        if cold && let Err(why) = evict(&file) {
            return eprintln!("skipped: {why}");
        }
        let (received, told) = on_one_thread(async {
            let (sender, mut reader) = tcp().await;
            let reader = tokio::spawn(async move {
                let mut received = Vec::new();
                reader.read_to_end(&mut received).await.map(|_| received)
            });
            let mut chain = chain_of(whole(&file));
            chain.push_bytes("and a trailer");
            let mut sending = Sending::new(chain, Options::default());
            let mut told = Vec::new();
            while sending.left() > 0 {
                let gone = poll_fn(|context| sending.poll_send(context, &sender)).await.unwrap();
                told.push(gone);
            }
            assert_eq!(poll_fn(|context| sending.poll_send(context, &sender)).await.unwrap(), 0);
            drop(sender);
            (reader.await.unwrap().unwrap(), told)
        });
        let mut expected = bytes_at(0, LEN);
        expected.extend(b"and a trailer");
        assert_same(&received, &expected, &cold);
        assert!(told.iter().all(|gone| *gone > 0), "{told:?}");
        assert_eq!(told.iter().sum::<u64>(), LEN + 13);
    }
}

/// Whatever is resident: the pool makes what the first reads need, and waits for some of them.
#[test]
fn direct_reads_arrive_whole() {
    let file = file_of(LEN);
    let (received, receipt) = on_one_thread(deliver_async(&file, by(Method::Direct)));
    assert_same(&received, &bytes_at(0, LEN), &receipt);
    assert_eq!((receipt.bytes, receipt.cold), (LEN, 0), "{receipt}");
    assert!(receipt.disk_waits > 0, "{receipt}");
}

#[test]
fn a_cold_file_goes_through_the_disk_pool() {
    for method in CACHED {
        let file = file_of(LEN);
        if let Err(why) = evict(&file) {
            eprintln!("skipped: {why}");
            return;
        }
        let (received, receipt) = on_one_thread(deliver_async(&file, by(method)));
        assert_same(&received, &bytes_at(0, LEN), &method);
        assert!(receipt.disk_waits > 0, "{method} {receipt}");
        assert!((1..=LEN).contains(&receipt.cold), "{method} {receipt}");
        assert_eq!(receipt.bytes, LEN);
    }
}

#[test]
fn unix_sockets_too() {
    let file = file_of(LEN);
    for method in Method::ALL {
        on_one_thread(async {
            let (sender, mut reader) = UnixStream::pair().unwrap();
            let reader = tokio::spawn(async move {
                let mut received = Vec::new();
                reader.read_to_end(&mut received).await.map(|_| received)
            });
            let chain = chain_of(whole(&file));
            let receipt = asynchronous::send(&sender, chain, by(method)).await.unwrap();
            drop(sender);
            assert_same(&reader.await.unwrap().unwrap(), &bytes_at(0, LEN), &receipt);
        });
    }
}

#[test]
fn a_peer_that_takes_nothing_times_out_and_one_that_goes_is_told() {
    let file = file_of(4 * LEN);
    for method in Method::ALL {
        on_one_thread(async {
            let (sender, reader) = tcp().await;
            let options = Options { send_timeout: Some(Duration::from_millis(60)), ..by(method) };
            let sent = asynchronous::send(&sender, chain_of(whole(&file)), options).await;
            let Err(SendError::TimedOut { receipt }) = sent else { panic!("{method} {sent:?}") };
            assert!(receipt.bytes > 0 && receipt.system_calls < 5_000, "{method} {receipt}");
            drop(reader);

            let (sender, mut reader) = tcp().await;
            let gone = tokio::spawn(async move {
                reader.read_exact(&mut [0; 10_000]).await.unwrap();
                drop(reader); // with bytes unread: a reset
            });
            let sent = asynchronous::send(&sender, chain_of(whole(&file)), by(method)).await;
            assert!(matches!(sent, Err(SendError::PeerGone { .. })), "{method} {sent:?}");
            gone.await.unwrap();

            let (sender, _reader) = tcp().await;
            let range = FileRange::new(Arc::clone(&file), 4 * LEN - 1, 2);
            let sent = asynchronous::send(&sender, chain_of(range), by(method)).await;
            assert!(matches!(sent, Err(SendError::File { .. })), "{method} {sent:?}");
        });
    }
}

/// A socket whose peer reads everything, and whose runtime learns of it, in the moment between the
/// step that found it full and the word to tokio.
struct Raced {
    socket: TcpStream,
    peer: Mutex<socket2::Socket>,
    received: Mutex<Vec<u8>>,
}

impl Socket for Raced {
    fn descriptor(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    fn writable(&self) -> impl Future<Output = io::Result<()>> {
        Socket::writable(&self.socket)
    }

    fn clear_writable(&self) -> u64 {
        let mut peer = self.peer.lock().unwrap();
        let mut received = self.received.lock().unwrap();
        // Everything that is in the socket has arrived when nothing more comes for a while.
        let quiet = Some(Duration::from_millis(50));
        while sendrail_sys::poll::wait_readable(peer.as_fd(), quiet).unwrap() {
            read_some(&mut peer, 1 << 20, &mut received);
        }
        Socket::clear_writable(&self.socket)
    }

    fn poll_writable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Socket::poll_writable(&self.socket, context)
    }

    fn try_send_more(&self, bytes: &[io::IoSlice<'_>]) -> io::Result<usize> {
        Socket::try_send_more(&self.socket, bytes)
    }
}

#[test]
fn a_peer_that_reads_just_before_the_wait_does_not_leave_the_task_asleep() {
    let file = file_of(LEN);
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(2).enable_all().build().unwrap();
    let task = runtime.spawn(async move {
        let (socket, peer) = tcp().await;
        let peer = peer.into_std().unwrap();
        peer.set_nonblocking(false).unwrap();
        // Something that keeps the other worker at epoll_wait(2).
        let ticking = tokio::spawn(async {
            loop {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        });
        let raced = Raced { socket, peer: Mutex::new(peer.into()), received: Mutex::default() };
        let chain = chain_of(whole(&file));
        let receipt = asynchronous::send(&raced, chain, Options::default()).await.unwrap();
        ticking.abort();
        assert!(receipt.socket_waits > 0, "{receipt}");
        drop(raced.socket);
        let mut received = raced.received.into_inner().unwrap();
        let mut peer = raced.peer.into_inner().unwrap();
        while read_some(&mut peer, 1 << 20, &mut received) > 0 {}
        assert_same(&received, &bytes_at(0, LEN), &receipt);
    });
    let finished = runtime.block_on(async { tokio::time::timeout(HANGS, task).await });
    runtime.shutdown_background();
    finished.expect("the wake-up was lost").unwrap();
}

#[test]
fn two_transfers_on_one_thread_take_turns() {
    let file = file_of(LEN);
    on_one_thread(async {
        let small_windows = Options { window: SMALL_WINDOW, ..Options::default() };
        let (first, second) = tokio::join!(
            deliver_async(&file, small_windows.clone()),
            deliver_async(&file, small_windows)
        );
        for (received, receipt) in [first, second] {
            assert_same(&received, &bytes_at(0, LEN), &receipt);
        }
    });
}
