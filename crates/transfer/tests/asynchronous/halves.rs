//! Halves of sockets are as good as whole ones, in both directions at once.

use crate::{common::*, *};
use sendrail_transfer::{
    Options,
    asynchronous::{self, RecvSocket, Socket},
    receive::RangeInto,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Sends a file by one half and receives another by the other, while the peer does the opposite by hand.
async fn both_ways<W, R, P>(writes: W, reads: R, peer: P)
where
    W: Socket,
    R: RecvSocket,
    P: AsyncReadExt + AsyncWriteExt + Send + Unpin + 'static,
{
    let (file, target) = (file_of(LEN), empty_file());
    let (mut its_reads, mut its_writes) = tokio::io::split(peer);
    let peer_gets = tokio::spawn(async move {
        let mut got = vec![0; LEN as usize];
        its_reads.read_exact(&mut got).await.map(|_| got)
    });
    let peer_gives = tokio::spawn(async move {
        its_writes.write_all(&bytes_at(99, LEN)).await.unwrap();
        its_writes // dropped later: it would close its half
    });
    let options = by_method(ReceiveMethod::Splice);
    let (sent, received) = tokio::join!(
        asynchronous::send(&writes, chain_of(whole(&file)), Options::default()),
        asynchronous::recv_file(&reads, &target, RangeInto::new(0, LEN), &options)
    );
    let (sent, received) = (sent.unwrap(), received.unwrap());
    assert_eq!((sent.bytes, sent.copied), (LEN, 0), "{sent}");
    assert_eq!((received.bytes, received.copied), (LEN, 0), "{received}");
    assert_same(&peer_gets.await.unwrap().unwrap(), &bytes_at(0, LEN), &sent);
    assert_same(&contents(&target), &bytes_at(99, LEN), &received);
    drop(peer_gives.await.unwrap());
}

#[test]
fn owned_halves() {
    on_one_thread(async {
        let (socket, peer) = tcp().await;
        let (reads, writes) = socket.into_split();
        both_ways(writes, reads, peer).await;
        let (socket, peer) = unix();
        let (reads, writes) = socket.into_split();
        both_ways(writes, reads, peer).await;
    });
}

#[test]
fn borrowed_halves() {
    on_one_thread(async {
        let (mut socket, peer) = tcp().await;
        let (reads, writes) = socket.split();
        both_ways(writes, reads, peer).await;
        let (mut socket, peer) = unix();
        let (reads, writes) = socket.split();
        both_ways(writes, reads, peer).await;
    });
}

/// What the adapters for HTTP do with a socket, by half.
#[test]
fn a_half_takes_bytes_with_more_to_follow_and_tells_who_polls() {
    on_one_thread(async {
        let (socket, mut peer) = tcp().await;
        let (_reads, writes) = socket.into_split();
        std::future::poll_fn(|context| writes.poll_writable(context)).await.unwrap();
        let parts = [std::io::IoSlice::new(b"one, "), std::io::IoSlice::new(b"two")];
        assert_eq!(writes.try_send_more(&parts).unwrap(), 8);
        drop(writes);
        let mut got = [0; 8];
        peer.read_exact(&mut got).await.unwrap();
        assert_eq!(&got, b"one, two");
    });
}
