//! A disk that takes long: a file system in a file, on a loop device whose reads are throttled for the server's control
//! group alone (see [`Group::slow_down`](crate::cgroup::Group::slow_down)).

use std::fs::{self, File, Permissions};
use std::io::Write;
use std::os::linux::fs::MetadataExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::root::{Document, Ground};

/// Beneath the document root, and in requests.
const PLACE: &str = "slow";
/// For the file system's own tables and journal.
const OVERHEAD: u64 = 64 << 20;
const UNMOUNTED_WITHIN: Duration = Duration::from_secs(5);

/// Mounted in the document root; unmounted, and with it the loop device given back, when dropped.
#[derive(Debug)]
pub(crate) struct SlowDisk {
    image: PathBuf,
    place: PathBuf,
    /// `major:minor`
    pub(crate) device: String,
    pub(crate) documents: Vec<Rc<Document>>,
}

impl SlowDisk {
    /// With `count` files of `len` bytes.
    pub(crate) fn mount(ground: &Ground, count: usize, len: u64) -> Result<SlowDisk> {
        let place = ground.root().join(PLACE);
        fs::create_dir(&place).with_context(|| format!("making {}", place.display()))?;
        let image = ground.state(PLACE)?.join("image");
        File::create(&image)
            .and_then(|file| file.set_len(count as u64 * len + OVERHEAD))
            .with_context(|| format!("making {}", image.display()))?;
        run(Command::new("mkfs.ext4").args(["-q", "-F"]).arg(&image))?;
        // The option has the loop device vanish with the mount, however that ends.
        run(Command::new("mount").args(["-o", "loop,noatime"]).arg(&image).arg(&place))?;
        let (device, documents) = (String::new(), Vec::new());
        let mut disk = SlowDisk { image, place, device, documents };
        disk.fill(count, len)?;
        Ok(disk)
    }

    fn fill(&mut self, count: usize, len: u64) -> Result<()> {
        let root = fs::metadata(&self.place).context("asking for the loop device")?.st_dev();
        self.device = format!("{}:{}", rustix::fs::major(root), rustix::fs::minor(root));
        // A loop device has a sixteenth of the read-ahead this disk may have been given; it is to be slow, not different.
        let queue =
            |device: &str| PathBuf::from(format!("/sys/dev/block/{device}/bdi/read_ahead_kb"));
        let beneath = fs::metadata(&self.image).context("asking for the disk")?.st_dev();
        let beneath = format!("{}:{}", rustix::fs::major(beneath), rustix::fs::minor(beneath));
        fs::read(queue(&beneath))
            .and_then(|read_ahead| fs::write(queue(&self.device), read_ahead))
            .context("giving the loop device the read-ahead of the disk beneath it")?;
        let mut random = fastrand::Rng::with_seed(10);
        let mut bytes = vec![0; len as usize];
        for number in 0..count {
            let path = self.place.join(format!("{number}.bin"));
            random.fill(&mut bytes);
            File::create(&path)
                .and_then(|mut file| {
                    file.write_all(&bytes)?;
                    file.set_permissions(Permissions::from_mode(0o644))?; // whatever the umask
                    file.sync_all()
                })
                .with_context(|| format!("writing {}", path.display()))?;
            let target = format!("/{PLACE}/{number}.bin");
            self.documents.push(Rc::new(Document { target, path, len }));
        }
        Ok(())
    }
}

impl Drop for SlowDisk {
    fn drop(&mut self) {
        let asked = Instant::now();
        while let Err(error) = run(Command::new("umount").arg(&self.place)) {
            if asked.elapsed() > UNMOUNTED_WITHIN {
                eprintln!("{} stays mounted: {error:#}", self.place.display());
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let _ = fs::remove_dir(&self.place);
        let _ = fs::remove_file(&self.image);
    }
}

fn run(command: &mut Command) -> Result<()> {
    let program = Path::new(command.get_program()).display().to_string();
    let output = command.output().with_context(|| format!("starting {program}"))?;
    if !output.status.success() {
        bail!("{program}: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // a failed unwrap is a failed test

    use super::*;

    #[test]
    fn it_is_a_disk_of_its_own_and_vanishes() {
        let Ok(ground) = Ground::prepare(None) else {
            eprintln!("skipped: no real file system for temporary files here");
            return;
        };
        let disk = match SlowDisk::mount(&ground, 2, 5000) {
            Ok(disk) => disk,
            Err(why) => {
                eprintln!("skipped: {why:#}");
                return;
            }
        };
        let device = |path: &Path| fs::metadata(path).unwrap().st_dev();
        let documents = disk.documents.clone();
        assert_ne!(device(&documents[0].path), device(&ground.root()));
        assert_eq!(fs::metadata(&documents[1].path).unwrap().len(), 5000);
        assert!(disk.device.starts_with("7:"), "{}", disk.device); // devices.txt of the kernel: loop
        drop(disk);
        assert!(!ground.root().join(PLACE).exists());
    }
}
