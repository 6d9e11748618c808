//! The blocking front tells its caller how far it has come, and stops when it is told to.

use crate::common::*;
use sendrail_transfer::{Options, SendError, blocking};
use std::{io::Read, ops::ControlFlow, thread};

const LEN: u64 = 5 << 20;

#[test]
fn every_step_is_told_up_to_the_last() {
    let file = file_of(LEN);
    for method in usable_methods() {
        for limit in [None, Some(HANGS)] {
            let (sender, mut reader) = pair(Kind::Tcp);
            let reading = thread::spawn(move || {
                let mut received = Vec::new();
                reader.read_to_end(&mut received).map(|_| received)
            });
            let (mut last, mut times) = (0, 0);
            let options = Options { send_timeout: limit, window: SMALL_WINDOW, ..by(method) };
            let receipt = blocking::send_with_progress(
                &sender,
                chain_of(whole(&file)),
                options,
                &mut |bytes| {
                    assert!(bytes > last, "{method}");
                    (last, times) = (bytes, times + 1);
                    // The last one is done already.
                    if bytes < LEN { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
                },
            )
            .unwrap();
            assert_eq!((last, receipt.bytes), (LEN, LEN), "{method} {receipt}");
            assert!(times >= LEN / SMALL_WINDOW, "{method}: told {times} times");
            drop(sender);
            assert_same(&reading.join().unwrap().unwrap(), &bytes_at(0, LEN), &method);
        }
    }
}

#[test]
fn who_has_had_enough_is_obeyed() {
    let file = file_of(LEN);
    for method in usable_methods() {
        let (sender, mut reader) = pair(Kind::Unix);
        let options = Options { window: SMALL_WINDOW, ..by(method) };
        let stopped =
            blocking::send_with_progress(&sender, chain_of(whole(&file)), options, &mut |_| {
                ControlFlow::Break(())
            });
        let Err(SendError::Stopped { receipt }) = stopped else { panic!("{method} {stopped:?}") };
        assert!((1..=SMALL_WINDOW).contains(&receipt.bytes), "{method} {receipt}");
        drop(sender);
        let mut received = Vec::new();
        reader.read_to_end(&mut received).unwrap();
        assert_same(&received, &bytes_at(0, receipt.bytes), &method);
    }
}
