//! Ranges of files that are read in place, while somebody truncates them.

use crate::common::*;
use sendrail_transfer::{
    FileFault, FileRange,
    mapped_read::{LONGEST, read_mapped},
};
use std::sync::Arc;

#[test]
fn the_bytes_are_those_of_the_range() {
    let file = file_of(300_000);
    for (offset, len) in [(0, 300_000), (1, 4095), (4095, 2), (4096, 4096), (299_999, 1)] {
        let mapped = read_mapped(&FileRange::new(Arc::clone(&file), offset, len)).unwrap();
        let seen = mapped.with(<[u8]>::to_vec).unwrap();
        assert_same(&seen, &bytes_at(offset, len), &(offset, len));
    }
    for len in [0, LONGEST as u64 + 1] {
        let refused = read_mapped(&FileRange::new(Arc::clone(&file), 0, len));
        assert_eq!(refused.unwrap_err().raw_os_error(), Some(22), "{len}");
    }
}

#[test]
fn what_is_truncated_is_an_error_whichever_page_it_ends_on() {
    for end in [0, 1, PAGE, PAGE + 1, 2 * PAGE + 100, 3 * PAGE - 1] {
        let file = file_of(4 * PAGE);
        let mapped = read_mapped(&FileRange::new(Arc::clone(&file), 10, 3 * PAGE - 10)).unwrap();
        assert_eq!(mapped.with(<[u8]>::len).unwrap() as u64, 3 * PAGE - 10);
        file.set_len(end).unwrap();
        let fault = mapped.with(<[u8]>::to_vec).unwrap_err();
        let FileFault::Truncated { offset, promised_end } = fault else { panic!("{fault}") };
        assert_eq!((offset, promised_end), (end.max(10), 3 * PAGE));
    }
}

#[test]
fn what_was_gone_for_a_while_is_not_believed() {
    let file = file_of(4 * PAGE);
    let mapped = read_mapped(&whole(&file)).unwrap();
    file.set_len(PAGE).unwrap();
    let seen = mapped.with(|bytes| {
        let sum: u64 = bytes.iter().map(|byte| u64::from(*byte)).sum();
        file.set_len(4 * PAGE).unwrap();
        sum
    });
    assert!(matches!(seen, Err(FileFault::Read { .. })), "{seen:?}");
}
