//! Methods by name, and what happens where the kernel refuses one.

use crate::common::*;
use rustix::io::Errno;
use sendrail_transfer::{
    Chain, FileFault, FileRange, Medium, Method, Options, Receipt, receipt::Refusal,
};
use std::{fs::File, sync::Arc};

#[test]
fn every_method_can_be_forced_by_its_name() {
    let file = file_of(300_000);
    let names = ["copy", "uncached", "mapped", "direct", "sendfile", "splice"];
    assert_eq!(Method::ALL.map(Method::name), names);
    for method in usable_methods() {
        for kind in KINDS {
            let options = by(method.name().parse().unwrap());
            let (received, receipt) = deliver(pair(kind), chain_of(whole(&file)), options, 1 << 20);
            assert_same(&received, &bytes_at(0, 300_000), &method);
            let said = receipt.methods.to_string();
            let without_ring = method == Method::Direct && said == "direct(pread)";
            assert!(said == method.name() || without_ring, "{method} {kind:?}: {receipt}");
        }
    }
    let error = "teleport".parse::<Method>().unwrap_err().to_string();
    let expected =
        "no method is called \"teleport\"; there are copy uncached mapped direct sendfile splice";
    assert_eq!(error, expected);
}

#[test]
fn the_plan_takes_sendfile_for_disks_and_copy_for_remote_files() {
    let file = file_of(10_000);
    for (medium, method) in [
        (Medium::Disk, Method::Sendfile),
        (Medium::Memory, Method::Sendfile),
        (Medium::Remote, Method::Copy),
    ] {
        let chain = chain_of(whole(&file).on(medium));
        let (_, receipt) = deliver(pair(Kind::Tcp), chain, Options::default(), 1 << 20);
        assert_eq!(receipt.methods.to_string(), method.name(), "{medium:?}");
    }
}

fn refusals(receipt: &Receipt) -> Vec<Refusal> {
    receipt.refusals.iter().collect()
}

/// Sends a file that has no `splice_read`, with bytes before and behind it.
fn send_unspliceable(options: Options) -> Receipt {
    // fs/proc/base.c: auxv has a read function and nothing else. Its length is only known by reading.
    let path = "/proc/self/auxv";
    let contents = std::fs::read(path).unwrap();
    let file = Arc::new(File::open(path).unwrap());
    let mut chain = Chain::new();
    chain.push_bytes("before");
    chain.push_file(FileRange::new(Arc::clone(&file), 0, contents.len() as u64));
    let between = vec![b'-'; 20_000]; // more than is gathered: each range is left to its method
    chain.push_bytes(between.clone());
    chain.push_file(FileRange::new(file, 8, 8));
    let (received, receipt) = deliver(pair(Kind::Tcp), chain, options, 1 << 20);
    let expected = [b"before", &contents[..], &between, &contents[8..16]].concat();
    assert_same(&received, &expected, &receipt);
    receipt
}

#[test]
fn a_refused_method_makes_way_for_the_next_and_the_receipt_says_why() {
    let errno = Errno::INVAL.raw_os_error();
    let sendfile = Refusal::of(Method::Sendfile, errno);
    let splice = Refusal::of(Method::Splice, errno);
    let direct = Refusal::of(Method::Direct, errno);
    let uncached = Refusal::of(Method::Uncached, Errno::OPNOTSUPP.raw_os_error());
    for (options, expected) in [
        (Options::default(), &[sendfile, splice][..]),
        (by(Method::Sendfile), &[sendfile, splice]),
        (by(Method::Splice), &[splice]),
        (by(Method::Direct), &[direct, uncached]),
        (by(Method::Uncached), &[uncached]),
        (Options { direct_above: Some(1), ..Options::default() }, &[direct, uncached]),
        (by(Method::Copy), &[]),
    ] {
        let receipt = send_unspliceable(options);
        assert_eq!(receipt.methods.to_string(), "copy");
        // Once per transfer, not once per range.
        assert_eq!(refusals(&receipt), expected);
    }
    let line = send_unspliceable(Options::default()).to_string();
    assert!(line.ends_with(" refused=sendfile:EINVAL refused=splice:EINVAL"), "{line}");
}

#[test]
fn a_mapping_that_is_refused_makes_way_for_copy() {
    // sysfs attributes say they are a page long, and cannot be mapped.
    let path = "/sys/devices/system/cpu/online";
    let Ok(contents) = std::fs::read(path) else {
        eprintln!("skipped: no {path}, a file that cannot be mapped");
        return;
    };
    let range = FileRange::new(Arc::new(File::open(path).unwrap()), 0, contents.len() as u64);
    let (received, receipt) = deliver(pair(Kind::Tcp), chain_of(range), by(Method::Mapped), 4096);
    assert_eq!(received, contents);
    assert_eq!(receipt.methods.to_string(), "copy");
    let errno = Errno::NODEV.raw_os_error();
    assert_eq!(refusals(&receipt), [Refusal::of(Method::Mapped, errno)]);
}

#[test]
fn a_file_that_cannot_be_read_is_the_files_fault() {
    // A directory opens for reading and cannot be read: EISDIR, or EINVAL from the splicing methods.
    let directory = Arc::new(File::open("/").unwrap());
    for method in Method::ALL {
        let (sender, mut reader) = pair(Kind::Tcp);
        let range = FileRange::new(Arc::clone(&directory), 0, 10).on(Medium::Disk);
        let mut transfer = sendrail_transfer::Transfer::new(chain_of(range), by(method));
        let end = drive(&mut transfer, &sender, &mut reader, 1, &mut Vec::new());
        let End::Failed(FileFault::Read { offset: 0, error, .. }) = end else {
            panic!("{method}: {end:?}")
        };
        assert_eq!(Errno::from_io_error(&error), Some(Errno::ISDIR), "{method}");
        assert_eq!(transfer.receipt().bytes, 0);
    }
}
