//! Files that are cut short, and disks that cannot be read: never more than what is true, and whose fault it is.

use crate::*;
use rustix::io::Errno;
use sendrail_transfer::{FileFault, Options};
use std::{
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    process::Command,
};

#[test]
fn cut_short_with_reads_in_flight() {
    both_ways(|way| {
        for cut in [0, 1, 511, 512, 100_000, 524_288, 1_000_001, LEN - 1] {
            let file = file_of(LEN);
            let Stalled { mut transfer, sender, mut reader } = stall(&file);
            file.set_len(cut).unwrap();
            let mut received = Vec::new();
            let end = drive(&mut transfer, &sender, &mut reader, 77_777, &mut received);
            let receipt = transfer.into_receipt();
            let context = (cut, &receipt, way);
            let End::Failed(FileFault::Truncated { offset, promised_end }) = end else {
                panic!("{end:?}, {context:?}")
            };
            assert_eq!((offset, promised_end), (receipt.bytes, LEN), "{context:?}");
            drop(sender);
            while read_some(&mut reader, 1 << 20, &mut received) > 0 {}
            assert_same(&received, &bytes_at(0, receipt.bytes), &context);
            assert!(receipt.bytes >= cut, "all that was left of it has been sent: {context:?}");
        }
    });
}

#[test]
fn a_file_that_grows_in_time_keeps_its_promise() {
    both_ways(|way| {
        for at_first in [5_000, 600_000, 524_288, 1_000_001] {
            let file = file_of(at_first);
            let (sender, mut reader) = pair(Kind::Tcp);
            let range = FileRange::new(Arc::clone(&file), 0, LEN);
            let options = Options { window: 4_000, ..by(Method::Direct) };
            let mut transfer = Transfer::new(chain_of(range), options);
            // What comes behind the end has been asked for by then, and was not there.
            let step = transfer.step(&sender, Disk::MayWait);
            assert!(matches!(step, Step::Yield), "{step:?}");
            file.write_all_at(&bytes_at(at_first, LEN - at_first), at_first).unwrap();
            let mut received = Vec::new();
            let end = drive(&mut transfer, &sender, &mut reader, 1 << 20, &mut received);
            assert!(matches!(end, End::Done), "{at_first} {way:?} {end:?}");
            read_rest(&sender, &mut reader, &mut received);
            assert_same(&received, &bytes_at(0, LEN), &(at_first, way));
        }
    });
}

#[test]
fn shorter_than_promised_from_the_start() {
    both_ways(|way| {
        for (len, offset) in
            [(0, 0), (10, 0), (10, 10), (10, 5_000), (524_288, 7), (524_288, 524_288), (600_000, 1)]
        {
            let (sender, mut reader) = pair(Kind::Tcp);
            let range = FileRange::new(file_of(len), offset, LEN);
            let mut transfer = Transfer::new(chain_of(range), by(Method::Direct));
            let mut received = Vec::new();
            let end = drive(&mut transfer, &sender, &mut reader, 1 << 20, &mut received);
            let receipt = transfer.into_receipt();
            let context = (len, offset, &receipt, way);
            let End::Failed(FileFault::Truncated { offset: at, .. }) = end else {
                panic!("{end:?} {context:?}")
            };
            assert_eq!(at, len.max(offset), "{context:?}");
            read_rest(&sender, &mut reader, &mut received);
            assert_same(&received, &bytes_at(offset, len.saturating_sub(offset)), &context);
            assert!(receipt.system_calls < 30, "a spin: {context:?}");
        }
    });
}

/// A block device over a file, which is cut short beneath it: what lies beyond is EIO.
struct Loop {
    device: PathBuf,
}

impl Loop {
    fn over(path: &Path) -> Result<Self, String> {
        let made = Command::new("losetup").args(["--find", "--show"]).arg(path).output();
        match made {
            Err(error) => Err(format!("losetup: {error}")),
            Ok(made) if !made.status.success() => {
                Err(format!("losetup: {}", String::from_utf8_lossy(&made.stderr)))
            }
            Ok(made) => Ok(Self { device: String::from_utf8(made.stdout).unwrap().trim().into() }),
        }
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let gone = Command::new("losetup").arg("--detach").arg(&self.device).status();
        assert!(gone.is_ok_and(|status| status.success()), "{} is left", self.device.display());
    }
}

#[test]
fn a_disk_that_cannot_be_read_is_the_files_fault() {
    let backing = tempfile::NamedTempFile::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let len = 8_u64 << 20;
    std::fs::write(backing.path(), bytes_at(0, len)).unwrap();
    let device = match Loop::over(backing.path()) {
        Ok(device) => device,
        Err(why) => {
            eprintln!("skipped: no loop device here: {why}");
            return;
        }
    };
    let good = 3_u64 << 20;
    backing.as_file().set_len(good).unwrap();
    both_ways(|way| {
        let file = Arc::new(File::open(&device.device).unwrap());
        let range = FileRange::new(file, 5, len - 5);
        let (sender, mut reader) = pair(Kind::Tcp);
        let options = Options { window: SMALL_WINDOW, ..by(Method::Direct) };
        let mut transfer = Transfer::new(chain_of(range), options);
        let mut received = Vec::new();
        let end = drive(&mut transfer, &sender, &mut reader, 1 << 20, &mut received);
        let receipt = transfer.into_receipt();
        let End::Failed(FileFault::Read { offset, error, .. }) = end else {
            panic!("{end:?} {receipt}")
        };
        assert_eq!(Errno::from_io_error(&error), Some(Errno::IO), "{receipt}");
        assert_eq!(offset, 5 + receipt.bytes, "{receipt}");
        assert!(receipt.bytes + 5 <= good && receipt.bytes + 5 > good - (512 << 10), "{receipt}");
        read_rest(&sender, &mut reader, &mut received);
        assert_same(&received, &bytes_at(5, receipt.bytes), &receipt);
        assert_eq!(receipt.refusals.iter().count(), 0, "it was no refusal: {receipt}");
        assert_eq!(receipt.methods.to_string(), name(way), "{receipt}");
    });
}
