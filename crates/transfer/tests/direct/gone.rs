//! Clients that leave while reads are in flight: nothing of theirs reaches another, and no ring is lost.

use crate::*;
use sendrail_transfer::Options;

/// Sends so much that reads ahead have just been begun, and some are in flight.
fn begin(file: &Arc<File>) -> (Transfer, Socket, Socket) {
    let (sender, mut reader) = pair(Kind::Unix);
    let options = Options { window: 512 << 10, ..by(Method::Direct) };
    let mut transfer = Transfer::new(chain_of(whole(file)), options);
    while transfer.remaining() > LEN - (1 << 20) {
        let before = transfer.remaining();
        let step = transfer.step(&sender, Disk::MayWait);
        assert!(matches!(step, Step::Yield | Step::WaitSocket), "{step:?}");
        read_exactly(&mut reader, before - transfer.remaining(), &mut Vec::new());
    }
    (transfer, sender, reader)
}

#[test]
fn what_an_abandoned_transfer_asked_for_reaches_nobody() {
    let Some(_alone) = rings() else { return };
    let (file, others) =
        (file_of(LEN), tempfile::tempfile_in(env!("CARGO_TARGET_TMPDIR")).unwrap());
    let other = vec![b'x'; LEN as usize];
    std::os::unix::fs::FileExt::write_all_at(&others, &other, 0).unwrap();
    others.sync_all().unwrap();
    let others = Arc::new(others);
    for round in 0..30 {
        let (transfer, sender, reader) = begin(&file);
        match round % 3 {
            0 => drop(transfer),                // as when a connection's task is dropped
            1 => drop(transfer.into_receipt()), // as when a client is too slow
            _ => {
                // The client leaves, which the next step meets that has something to send.
                drop(reader);
                let mut transfer = transfer;
                loop {
                    match transfer.step(&sender, Disk::MayWait) {
                        Step::PeerGone(_) => break,
                        Step::Yield | Step::WaitSocket => {}
                        step => panic!("{step:?}"),
                    }
                }
            }
        }
        let (received, receipt) =
            deliver(pair(Kind::Tcp), chain_of(whole(&others)), by(Method::Direct), 1 << 20);
        assert_same(&received, &other, &(round, &receipt));
        assert_eq!(receipt.methods.to_string(), name(Way::Ring), "{receipt}");
    }
    assert!(open_rings() <= 3, "{} rings for one transfer at a time", open_rings());
}

#[test]
fn no_descriptor_is_left_behind() {
    let Some(_alone) = rings() else { return };
    let file = file_of(LEN);
    let finish = |dropped: bool| {
        let (transfer, ..) = begin(&file);
        if !dropped {
            let _ = transfer.into_receipt();
        }
    };
    // The first ones make what is kept.
    (0..4).for_each(|round| finish(round % 2 == 0));
    let before = open_descriptors();
    (0..50).for_each(|round| finish(round % 2 == 0));
    assert!(open_descriptors() <= before + 2, "{before} to {}", open_descriptors());
}
