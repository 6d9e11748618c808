//! malloc_trim(3): memory that was freed, back to the kernel.
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

/// Does nothing: the C library is not glibc.
#[cfg(not(target_env = "gnu"))]
pub fn trim() -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

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
