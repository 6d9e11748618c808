//! Images of file systems: made from a tree, and searched for where a file's bytes lie.

use super::mounts::run;
use crate::harness::{Tree, bytes};
use std::{fs::File, os::unix::fs::FileExt, path::Path};
use tempfile::NamedTempFile;

/// Blocks of the file system, and of what tells files apart.
const BLOCK: usize = 4096;

/// Content of a file in which no block of 4 KiB is like another one, nor like one of a file with
/// another `number`.
pub(crate) fn content(number: u32, len: usize) -> Vec<u8> {
    let mut content = bytes(BLOCK).repeat(len.div_ceil(BLOCK));
    content.truncate(len);
    for (index, block) in (0_u32..).zip(content.chunks_exact_mut(BLOCK)) {
        block[..4].copy_from_slice(&number.to_le_bytes());
        block[4..8].copy_from_slice(&index.to_le_bytes());
    }
    content
}

/// An image of ext4 with the files of a tree.
pub(super) struct Image {
    pub(super) file: File,
    pub(super) len: u64,
}

impl Image {
    /// Makes it, in a file without a name; needs no mount (`-d` of `mkfs.ext4(8)`).
    pub(super) fn of(tree: &Tree) -> Result<Self, String> {
        // Room for what the file system itself takes.
        let len = (size_of(tree.path()) * 5 / 4 + (16 << 20)).next_multiple_of(1 << 20);
        let named = NamedTempFile::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        named.as_file().set_len(len).unwrap();
        let (root, path) = (tree.path().to_str().unwrap(), named.path().to_str().unwrap());
        // It is never written to: a journal would be of no use.
        let options = ["-q", "-F", "-b", "4096", "-m", "0", "-O", "^has_journal", "-d", root];
        run("mkfs.ext4", options.into_iter().chain([path]))?;
        Ok(Self { file: named.into_file(), len })
    }

    /// Where in the image a whole block of a file lies.
    pub(super) fn find(&self, block: &[u8]) -> u64 {
        assert_eq!(block.len(), BLOCK);
        let mut chunk = vec![0; 256 * BLOCK];
        for start in (0..self.len).step_by(chunk.len()) {
            self.file.read_exact_at(&mut chunk, start).unwrap();
            if let Some(at) = chunk.chunks_exact(BLOCK).position(|each| each == block) {
                return start + (at * BLOCK) as u64;
            }
        }
        panic!("the image does not hold such a block");
    }
}

/// Bytes that the files below a folder take, in whole blocks.
fn size_of(folder: &Path) -> u64 {
    let mut sum = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let own = entry.metadata().unwrap();
        let below = if own.is_dir() { size_of(&entry.path()) } else { 0 };
        sum += own.len().next_multiple_of(BLOCK as u64) + below;
    }
    sum
}
