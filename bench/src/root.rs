//! The document root: files of random bytes on a real file system, in the page cache, and gone afterwards.

mod cold;

use std::fs::{self, File, Permissions};
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::rc::Rc;

use anyhow::{Context, Result, bail};
use rustix::fs::Advice;
use tempfile::TempDir;

pub(crate) use cold::{ColdSet, require_room};

/// What the names of grounds begin with, and how many letters and digits of chance follow.
pub(crate) const PREFIX: &str = "sendrail-bench-";
pub(crate) const RANDOM: usize = 6;

/// Memory, or a layer over something else: neither is what files are served from.
const NOT_REAL: [&str; 4] = ["tmpfs", "ramfs", "overlay", "fuseblk"];

const CHUNK: usize = 1 << 20;

/// A served file.
#[derive(Clone, Debug)]
pub(crate) struct Document {
    /// The path in a request, `/1k.bin`.
    pub(crate) target: String,
    pub(crate) path: PathBuf,
    pub(crate) len: u64,
}

impl Document {
    /// Reads it into the page cache.
    pub(crate) fn heat(&self) -> std::io::Result<()> {
        heat(&self.path)
    }
}

/// A temporary directory with the documents in `root/` and the servers' files in `state/`; removed when dropped.
#[derive(Debug)]
pub(crate) struct Ground {
    directory: TempDir,
}

impl Ground {
    /// Makes the directory beneath `parent`, by default the system's temporary directory, or /var/tmp where that lives
    /// in memory.
    pub(crate) fn prepare(parent: Option<&Path>) -> Result<Ground> {
        let parents: Vec<PathBuf> = match parent {
            Some(parent) => vec![parent.to_owned()],
            None => vec![std::env::temp_dir(), "/var/tmp".into()],
        };
        let Some(parent) =
            parents.iter().find(|path| !NOT_REAL.contains(&file_system(path).as_str()))
        else {
            bail!(
                "{parents:?}: not on a real file system; name a directory that is with --scratch"
            );
        };
        let directory = tempfile::Builder::new()
            .prefix(PREFIX)
            .rand_bytes(RANDOM)
            // nginx's worker gives up root and must still find the files.
            .permissions(Permissions::from_mode(0o755))
            .tempdir_in(parent)
            .with_context(|| format!("making a temporary directory in {}", parent.display()))?;
        let ground = Ground { directory };
        for path in [ground.root(), ground.path().join("state")] {
            make_directory(&path)?;
        }
        Ok(ground)
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    /// The directory to be served.
    pub(crate) fn root(&self) -> PathBuf {
        self.path().join("root")
    }

    /// A new, empty directory for one server.
    pub(crate) fn state(&self, server: &str) -> Result<PathBuf> {
        let path = (0..1_000_000)
            .map(|number| self.path().join("state").join(format!("{server}-{number}")))
            .find(|path| !path.exists());
        let path = path.context("no free name for a server's directory")?;
        make_directory(&path)?;
        Ok(path)
    }

    /// A file of random bytes, on disk and in the page cache.
    pub(crate) fn random(&self, name: &str, len: u64) -> Result<Rc<Document>> {
        let documents = self.random_files(&[(name.to_owned(), len)])?;
        Ok(Rc::clone(&documents[0]))
    }

    /// Many of them, by name (which may have directories) and length. What an earlier case has laid out stays.
    pub(crate) fn random_files(&self, files: &[(String, u64)]) -> Result<Vec<Rc<Document>>> {
        if let Some(there) = self.there(files)? {
            return Ok(there);
        }
        let mut random = fastrand::Rng::with_seed(files.len() as u64);
        let mut chunk = vec![0; CHUNK];
        self.files(files.iter().map(|(name, _)| name), |number, file| {
            let mut left = files[number].1 as usize;
            while left > 0 {
                let now = left.min(CHUNK);
                random.fill(&mut chunk[..now]);
                file.write_all(&chunk[..now])?;
                left -= now;
            }
            Ok(())
        })
    }

    /// These documents, if all of them lie there already, read into the page cache again.
    fn there(&self, files: &[(String, u64)]) -> Result<Option<Vec<Rc<Document>>>> {
        let mut documents = Vec::with_capacity(files.len());
        for &(ref name, len) in files {
            let (path, target) = (self.root().join(name), format!("/{name}"));
            if !fs::metadata(&path).is_ok_and(|found| found.len() == len) {
                return Ok(None);
            }
            heat(&path)
                .with_context(|| format!("reading {} into the page cache", path.display()))?;
            documents.push(Rc::new(Document { target, path, len }));
        }
        Ok(Some(documents))
    }

    /// A file of text, as a program's source is, and beside it the same compressed by gzip(1).
    pub(crate) fn text_and_gzip(
        &self,
        name: &str,
        len: u64,
    ) -> Result<(Rc<Document>, Rc<Document>)> {
        const WORDS: [&str; 8] =
            ["const ", "value", " = ", "function", "(event) ", "return ", ";\n", "{ }\n"];
        let mut random = fastrand::Rng::with_seed(len);
        let mut text = String::new();
        while (text.len() as u64) < len {
            text.push_str(WORDS[random.usize(..WORDS.len())]);
            text.push_str(&random.u16(..).to_string());
        }
        text.truncate(len as usize);
        let zipped = format!("{name}.gz");
        let mut packed = Command::new("gzip");
        packed.args(["-9", "-n", "-c"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut packed = packed.spawn().context("starting gzip(1)")?;
        let mut input = packed.stdin.take().context("a pipe to gzip(1)")?;
        let writing = std::thread::spawn({
            let text = text.clone();
            move || input.write_all(text.as_bytes())
        });
        let packed = packed.wait_with_output().context("waiting for gzip(1)")?.stdout;
        writing.join().ok().and_then(Result::ok).context("writing to gzip(1)")?;
        let contents = [text.into_bytes(), packed];
        let names = [name.to_owned(), zipped];
        let documents =
            self.files(names.iter(), |number, file| file.write_all(&contents[number]))?;
        Ok((Rc::clone(&documents[0]), Rc::clone(&documents[1])))
    }

    /// Makes files, has them written to the disk, and reads them back into the page cache: pages left by writing
    /// differ in size from those the kernel's read-ahead builds, and served files were mostly read.
    fn files<'n>(
        &self,
        names: impl Iterator<Item = &'n String>,
        mut fill: impl FnMut(usize, &mut File) -> std::io::Result<()>,
    ) -> Result<Vec<Rc<Document>>> {
        let mut documents = Vec::new();
        for (number, name) in names.enumerate() {
            let path = self.root().join(name);
            for parent in path.ancestors().skip(1).take_while(|parent| *parent != self.root()) {
                if !parent.exists() {
                    fs::create_dir_all(parent)
                        .with_context(|| format!("making {}", parent.display()))?;
                }
            }
            let made = File::create(&path).and_then(|mut file| {
                fill(number, &mut file)?;
                file.set_permissions(Permissions::from_mode(0o644))?;
                file.metadata()
            });
            let len = made.with_context(|| format!("writing {}", path.display()))?.len();
            documents.push(Rc::new(Document { target: format!("/{name}"), path, len }));
        }
        let root = File::open(self.root()).context("opening the document root")?;
        rustix::fs::syncfs(&root).context("writing the documents to the disk")?;
        for document in &documents {
            let path = &document.path;
            drop_and_heat(path)
                .with_context(|| format!("reading {} into the page cache", path.display()))?;
        }
        Ok(documents)
    }

    /// A file of `len` bytes that takes no room on the disk.
    pub(crate) fn sparse(&self, name: &str, len: u64) -> Result<Rc<Document>> {
        let path = self.root().join(name);
        File::create(&path)
            .and_then(|file| file.set_len(len))
            .with_context(|| format!("making {} {len} bytes long", path.display()))?;
        heat(&path).with_context(|| format!("reading {} into the page cache", path.display()))?;
        Ok(Rc::new(Document { target: format!("/{name}"), path, len }))
    }
}

fn make_directory(path: &Path) -> Result<()> {
    fs::create_dir(path)
        .and_then(|()| fs::set_permissions(path, Permissions::from_mode(0o755))) // whatever the umask
        .with_context(|| format!("making the directory {}", path.display()))
}

/// The type of the file system that holds `path`, as mounted: `ext4`, where stat(1) only knows `ext2/ext3`. Empty where
/// findmnt of util-linux does not say.
pub(crate) fn file_system(path: &Path) -> String {
    let output = Command::new("findmnt").args(["-n", "-o", "FSTYPE", "-T"]).arg(path).output();
    let said = output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    said.unwrap_or_default()
}

fn drop_and_heat(path: &Path) -> std::io::Result<()> {
    rustix::fs::fadvise(&File::open(path)?, 0, None, Advice::DontNeed)?;
    heat(path)
}

fn heat(path: &Path) -> std::io::Result<()> {
    let mut file = File::open(path)?;
    let mut buffer = vec![0; CHUNK];
    while file.read(&mut buffer)? > 0 {}
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // a failed unwrap is a failed test

    use super::*;

    #[test]
    fn documents_are_what_they_say_and_vanish() {
        let Ok(ground) = Ground::prepare(None) else {
            eprintln!("skipped: no real file system for temporary files here");
            return;
        };
        let random = ground.random("a.bin", 5000).unwrap();
        assert_eq!(fs::metadata(&random.path).unwrap().len(), 5000);
        assert_eq!(ground.sparse("b.bin", 1 << 20).unwrap().len, 1 << 20);
        let deep = ground.random_files(&[("a/b/c".into(), 1), ("a/d".into(), 0)]).unwrap();
        assert_eq!((deep[0].target.as_str(), deep[1].len), ("/a/b/c", 0));
        let (text, zipped) = ground.text_and_gzip("t.js", 30_000).unwrap();
        assert!(text.len == 30_000 && zipped.len < 15_000 && zipped.target == "/t.js.gz");
        assert_ne!(ground.state("x").unwrap(), ground.state("x").unwrap());
        let path = ground.path().to_owned();
        drop(ground);
        assert!(!path.exists());
    }

    #[test]
    fn memory_is_not_a_disk() {
        if file_system(Path::new("/dev/shm")) != "tmpfs" {
            eprintln!("skipped: /dev/shm is not a tmpfs here");
            return;
        }
        assert!(Ground::prepare(Some(Path::new("/dev/shm"))).is_err());
    }
}
