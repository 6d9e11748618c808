//! malloc_trim(3), mallopt(3): memory that was freed, back to the kernel.
#![allow(unsafe_code)] // the C library's function has no safe form

/// Gives the whole free pages of the heap back to the kernel; says whether there were any. Always `false` where the C
/// library is not glibc, which alone has it.
///
/// glibc gives back by itself only what is free at the end of an arena: one small block that lives there holds all that
/// was freed below it. This call looks at every free block of every arena, and holds up whoever allocates from the arena
/// that it is at. So the exception to "one system call": an madvise(2) with `MADV_DONTNEED` per run of free pages.
///
/// ```
/// drop((0..10_000).map(|size| vec![1_u8; size % 500]).collect::<Vec<_>>());
/// sendrail_sys::heap::trim();
/// ```
#[cfg(target_env = "gnu")]
pub fn trim() -> bool {
    // SAFETY: it takes no pointer and touches free blocks alone, under the locks of their arenas.
    unsafe { libc::malloc_trim(0) == 1 }
}

/// Has glibc give back what is free at the end of an arena as soon as it is `end` bytes or more, and take blocks of
/// `alone` bytes or more from the kernel one by one (`M_TRIM_THRESHOLD`, `M_MMAP_THRESHOLD`; at most 32 MiB). Says
/// whether that was accepted: never, where the C library is not glibc.
///
/// By itself glibc raises both as large blocks are freed, and [`trim`] spares the end of every arena but the first: there
/// as much may stay for ever as the largest block that was freed, twice.
#[cfg(target_env = "gnu")]
pub fn set_thresholds(end: u32, alone: u32) -> bool {
    let (Ok(end), Ok(alone)) = (i32::try_from(end), i32::try_from(alone)) else { return false };
    // SAFETY: it takes no pointer, and sets two numbers under the lock of the first arena.
    unsafe {
        libc::mallopt(libc::M_TRIM_THRESHOLD, end) == 1
            && libc::mallopt(libc::M_MMAP_THRESHOLD, alone) == 1
    }
}

/// Does nothing: the C library is not glibc.
#[cfg(not(target_env = "gnu"))]
pub fn set_thresholds(_end: u32, _alone: u32) -> bool {
    false
}

/// Does nothing: the C library is not glibc.
#[cfg(not(target_env = "gnu"))]
pub fn trim() -> bool {
    false
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // a test fails by panicking
    use super::*;
    use std::io::Read;

    /// Anonymous memory of the process in bytes. It must not allocate: a block that was freed a moment ago is kept for
    /// this thread, and would lie at the end of its arena.
    #[cfg(target_env = "gnu")]
    fn anonymous() -> usize {
        let mut status = [0; 4096];
        let len = std::fs::File::open("/proc/self/status").unwrap().read(&mut status).unwrap();
        let status = str::from_utf8(&status[..len]).unwrap();
        let line = status.lines().find(|line| line.starts_with("RssAnon:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() << 10
    }

    #[test]
    #[cfg(target_env = "gnu")]
    fn the_end_of_an_arena_is_given_back_beyond_its_threshold() {
        // Freed, it would raise both thresholds to its size, and twice.
        drop(vec![1_u8; 30 << 20]);
        assert!(set_thresholds(512 << 10, 1 << 20));
        assert!(!set_thresholds(u32::MAX, 1 << 20));
        // An arena other than the first has to be a thread's.
        let (full, left) = std::thread::spawn(|| {
            let blocks: Vec<Vec<u8>> = (0..20_000).map(|_| vec![1; 1000]).collect();
            let full = anonymous();
            drop(blocks);
            (full, anonymous())
        })
        .join()
        .unwrap();
        assert!(left + (15 << 20) < full, "of {full} bytes {left} are left");
    }

    #[test]
    #[cfg(target_env = "gnu")]
    fn what_is_held_down_by_a_block_above_is_given_back() {
        let below: Vec<Vec<u8>> = (0..10_000).map(|_| vec![1; 1000]).collect();
        let above = vec![1_u8; 1000];
        drop(below);
        assert!(trim(), "10 MB were free");
        assert_eq!(above.len(), 1000);
    }
}
