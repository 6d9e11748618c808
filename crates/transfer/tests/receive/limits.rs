//! A limit for the length of files (RLIMIT_FSIZE): an error, and no signal that ends the process. In a process of its own, since the
//! limit is the process's: this very test, started again by a shell that has set it.

use crate::{common::*, *};
use sendrail_transfer::{
    FileRange,
    copy::{CopyFault, CopyMethod, CopyOptions, copy_file},
    receive::{RangeInto, ReceiveFault, recv_file},
};
use std::{env, path::Path, process::Command, sync::Arc};

const LIMIT: u64 = 1 << 20;
const LEN: u64 = (2 << 20) + 77;
/// Where the process with the limit finds the source, which is longer.
const SOURCE: &str = "SENDRAIL_TEST_SOURCE";

#[test]
fn a_limit_for_the_length_of_files_is_kept_to_and_ends_no_process() {
    if let Some(source) = env::var_os(SOURCE) {
        let source = Arc::new(File::open(Path::new(&source)).unwrap());
        received_up_to_the_limit();
        copied_up_to_the_limit(&source);
        holes_up_to_the_limit();
        return;
    }
    let mut source = tempfile::NamedTempFile::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    source.write_all(&bytes_at(0, LEN)).unwrap();
    // In blocks of 512 bytes (sh(1)).
    let script = format!("ulimit -f {} && exec \"$@\"", LIMIT / 512);
    let name = "limits::a_limit_for_the_length_of_files_is_kept_to_and_ends_no_process";
    let output = Command::new("sh")
        .args(["-c", &script, "sh"])
        .arg(env::current_exe().unwrap())
        .args(["--exact", name])
        .env(SOURCE, source.path())
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(output.status.success() && said.contains("1 passed"), "{}: {said}", output.status);
}

fn received_up_to_the_limit() {
    for method in usable() {
        for kind in STREAMS {
            for offset in [0, 5000, LIMIT, LIMIT + 1, 1 << 40] {
                let context = (method, kind, offset);
                let (sender, reader) = stream(kind);
                let sending = send_all(sender, bytes_at(0, LEN), 1 << 20);
                let file = empty_file();
                let range = RangeInto::until_end(offset);
                let error = recv_file(&reader, &file, range, &by_method(method)).unwrap_err();
                let ReceiveFault::File { error: said, offset: at } = &error.fault else {
                    panic!("{context:?}: {error}")
                };
                assert_eq!(said.raw_os_error(), Some(27), "{context:?}: EFBIG");
                assert_eq!(*at, LIMIT.max(offset), "{context:?}");
                assert_eq!(error.receipt.bytes, at - offset, "{context:?}");
                let mut all = contents(&file);
                assert_eq!(all.len() as u64, if offset < LIMIT { LIMIT } else { 0 }, "{context:?}");
                all.drain(..all.len().min(offset as usize));
                all.extend_from_slice(&error.unwritten);
                File::from(reader).read_to_end(&mut all).unwrap();
                sending.join().unwrap();
                assert_same(&all, &bytes_at(0, LEN), &context);
            }
            // Up to the limit there is nothing wrong.
            let (sender, reader) = stream(kind);
            let sending = send_all(sender, bytes_at(0, LIMIT), 1 << 20);
            let file = empty_file();
            recv_file(&reader, &file, RangeInto::until_end(0), &by_method(method)).unwrap();
            sending.join().unwrap();
            assert_same(&contents(&file), &bytes_at(0, LIMIT), &(method, kind));
        }
    }
}

fn copied_up_to_the_limit(source: &Arc<File>) {
    for method in CopyMethod::ALL {
        for to in [0, 4096, 5000, LIMIT, 1 << 40] {
            let target = empty_file();
            let options = CopyOptions { method: Some(method) };
            let range = FileRange::new(Arc::clone(source), 0, LEN);
            let error = copy_file(&range, &target, to, &options).unwrap_err();
            let CopyFault::Target { error: said, offset } = &error.fault else {
                panic!("{method} {to}: {error}")
            };
            assert_eq!(said.raw_os_error(), Some(27), "{method} {to}: EFBIG");
            assert_eq!(*offset, LIMIT.max(to), "{method} {to}");
            assert_eq!(error.receipt.bytes, offset - to, "{method} {to}: {error}");
            let got = contents(&target);
            let expected = bytes_at(0, error.receipt.bytes);
            assert_same(&got[got.len().min(to as usize)..], &expected, &(method, to));
        }
    }
}

/// Nothing is written for holes at the end, but the target must become so long.
fn holes_up_to_the_limit() {
    let source = sparse_file(LIMIT, &[(0, 4096)]);
    let target = empty_file();
    let options = CopyOptions { method: Some(CopyMethod::Buffered) };
    let error = copy_file(&whole(&source), &target, 8192, &options).unwrap_err();
    let CopyFault::Target { error: said, offset } = &error.fault else { panic!("{error}") };
    assert_eq!(said.raw_os_error(), Some(27), "EFBIG");
    let len = target.metadata().unwrap().len();
    assert_eq!((*offset, error.receipt.bytes), (len, len - 8192), "{error}");
    assert_same(&contents(&target)[8192..], &bytes_at(0, 4096), &"holes");
}
