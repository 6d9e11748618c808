//! A file system in a file, mounted for as long as it is needed.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
    process::Command,
};

/// An XFS of 512 MiB, of which next to nothing is written. Gone when this is dropped.
#[derive(Debug)]
pub(super) struct Image {
    /// Where it is mounted.
    mounted: PathBuf,
    /// Holds the image, and the place where it is mounted.
    _folder: tempfile::TempDir,
}

impl Image {
    /// Makes it beneath `scratch`, by mkfs.xfs(8) and mount(8).
    pub(super) fn make(scratch: &Path) -> io::Result<Self> {
        let folder = tempfile::Builder::new().prefix("sendrail-lab-").tempdir_in(scratch)?;
        let (image, mounted) = (folder.path().join("image"), folder.path().join("mounted"));
        File::create(&image)?.set_len(512 << 20)?;
        std::fs::create_dir(&mounted)?;
        // Unless told otherwise it sets 128 KiB aside for each page that is written to.
        let small_steps = ["-q", "-m", "reflink=1", "-d", "cowextsize=1"];
        run(Command::new("mkfs.xfs").args(small_steps).arg(&image))?;
        run(Command::new("mount").args(["-o", "loop"]).args([&image, &mounted]))?;
        Ok(Self { mounted, _folder: folder })
    }

    pub(super) fn path(&self) -> &Path {
        &self.mounted
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        let _ = run(Command::new("umount").arg(&self.mounted));
    }
}

fn run(command: &mut Command) -> io::Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command
        .output()
        .map_err(|error| io::Error::new(error.kind(), format!("{program}: {error}")))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(io::Error::other(format!("{program}: {}", said.trim())))
}
