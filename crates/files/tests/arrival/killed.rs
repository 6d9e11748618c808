//! `kill -9` at any moment, a thousand times: nothing half written has a name, nothing acknowledged is lost, and uploads go on.
//!
//! The child is this test in a process of its own. It stores files and goes on with one upload after the other, and writes a line to a
//! journal for each thing that was acknowledged to it, right after. The parent kills it, and holds the directory against the journal.

use std::collections::HashMap;
use std::env;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use sendrail_files::{
    Landing, LandingOptions, ResumableTerms, Resumed, Root, RootOptions, Terms, UploadId,
};

use crate::{is_record, names, options, pattern};

const FOLDER: &str = "SENDRAIL_TEST_KILLED_IN";
const ROUND: &str = "SENDRAIL_TEST_KILLED_ROUND";
const KILLS: u64 = 1000;
/// What the child says when it begins.
const BEGUN: &str = "begun";

#[test]
fn nothing_acknowledged_is_lost_and_nothing_half_written_is_seen() {
    match (env::var_os(FOLDER), env::var(ROUND)) {
        (Some(folder), Ok(round)) => {
            store_until_killed(&PathBuf::from(folder), round.parse().unwrap())
        }
        _ => kill_a_thousand_times(),
    }
}

fn kill_a_thousand_times() {
    // In memory, if there is such a place: nothing waits for a disk, so that much is under way whenever the child is killed. What a
    // killed process has written is in the page cache on any file system; what a disk has of it is the business of `power`.
    let temp = tempfile::tempdir_in("/dev/shm").unwrap_or_else(|_| crate::temp());
    fs::create_dir(temp.path().join("landing")).unwrap();
    let mut seen = Seen::default();
    for round in 0..KILLS {
        let mut child = Command::new(env::current_exe().unwrap())
            .args([
                "--exact",
                "killed::nothing_acknowledged_is_lost_and_nothing_half_written_is_seen",
            ])
            .env(FOLDER, temp.path())
            .env(ROUND, round.to_string())
            .arg("--nocapture")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let said = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(said.map_while(Result::ok).any(|line| line.ends_with(BEGUN)), "it has not begun");
        // Any moment: opening the directory takes it less than one millisecond, and an upload some five.
        thread::sleep(Duration::from_micros(round.wrapping_mul(7_919) % 28_000));
        child.kill().unwrap();
        let status = child.wait().unwrap();
        assert_eq!(status.signal(), Some(9), "it ended by itself: {status}");
        seen.check(temp.path());
    }
    eprintln!("{KILLS} kills: {seen:?}");
    assert!(seen.stored > 100 && seen.completed > 20 && seen.resumed > 100, "too little: {seen:?}");
    let root = Root::open(&temp.path().join("landing"), RootOptions::default()).unwrap();
    let over = LandingOptions { keep: Duration::ZERO, ..options() };
    Landing::open(&root, b"", over).unwrap();
    assert!(names(&temp.path().join("landing/.uploads")).is_empty());
}

/// What has been acknowledged so far, as the parent knows it.
#[derive(Default, Debug)]
struct Seen {
    stored: u64,
    completed: u64,
    resumed: u64,
}

impl Seen {
    fn check(&mut self, folder: &Path) {
        *self = Self::default();
        let mut versions: HashMap<String, u64> = HashMap::new();
        // Killed after it was made and before anybody was told: nobody goes on with it, until its time has come.
        let mut interrupted = 0;
        for line in journal(folder) {
            match &line.split(' ').collect::<Vec<_>>()[..] {
                ["stored", name, version] => {
                    self.stored += 1;
                    versions.insert((*name).to_owned(), version.parse().unwrap());
                }
                ["completed", _, name, version] => {
                    self.completed += 1;
                    versions.insert((*name).to_owned(), version.parse().unwrap());
                }
                ["resumed", _, _] => self.resumed += 1,
                ["creating"] => interrupted += 1,
                ["created", _] => interrupted -= 1,
                ["arrived", ..] => {}
                _ => panic!("the child says: {line}"),
            }
        }
        let landing = folder.join("landing");
        for (name, acknowledged) in &versions {
            let bytes =
                fs::read(landing.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
            let version = version_of(&bytes);
            assert!(version >= *acknowledged, "{name} is older than what was acknowledged");
        }
        for name in names(&landing) {
            match name.as_str() {
                ".uploads" => {}
                _ => drop(version_of(&fs::read(landing.join(name)).unwrap())),
            }
        }
        // One upload that is under way, and those; a record of each, and of what is complete; and what was just being written.
        let left = names(&landing.join(".uploads"));
        let records = left.iter().filter(|name| is_record(name)).count() as u64;
        assert!(records <= self.completed + 1 + interrupted, "{self:?}, {interrupted}: {left:?}");
        assert!(
            left.len() as u64 - records <= 3 + interrupted,
            "{self:?}, {interrupted}: {left:?}"
        );
    }
}

/// What was acknowledged, line by line; the last one may have been cut off.
fn journal(folder: &Path) -> Vec<String> {
    let text = fs::read_to_string(folder.join("journal")).unwrap_or_default();
    text.split_inclusive('\n')
        .filter_map(|line| Some(line.strip_suffix('\n')?.to_owned()))
        .collect()
}

/// A file that says which one it is, and is no other from its first byte to its last.
fn content(version: u64) -> Vec<u8> {
    let len = version.wrapping_mul(2_654_435_761) % 150_000;
    let mut bytes = version.to_le_bytes().to_vec();
    bytes.extend(pattern(len as usize, version));
    bytes
}

fn version_of(bytes: &[u8]) -> u64 {
    let version = u64::from_le_bytes(bytes[..8].try_into().expect("it is empty, or cut"));
    assert!(
        bytes == content(version),
        "{} bytes that are not all of version {version}",
        bytes.len()
    );
    version
}

struct Child {
    landing: Landing,
    journal: File,
    version: u64,
}

fn store_until_killed(folder: &Path, round: u64) -> ! {
    println!("{BEGUN}");
    let root = Root::open(&folder.join("landing"), RootOptions::default()).unwrap();
    let options = LandingOptions { sync: round.is_multiple_of(16), ..options() };
    let landing = if round.is_multiple_of(2) {
        Landing::open(&root, b"", options)
    } else {
        Landing::open_by_names(&root, b"", options)
    };
    let journal = File::options().create(true).append(true).open(folder.join("journal")).unwrap();
    let mut child = Child { landing: landing.unwrap(), journal, version: round << 20 };
    let mut unfinished = unfinished(folder);
    loop {
        child.store();
        let upload = match unfinished.take() {
            Some((id, offset)) => child.resume(id, offset),
            None => Some((child.create(), 0)),
        };
        unfinished = upload;
    }
}

/// The upload that is to be gone on with, and how much of it was acknowledged.
fn unfinished(folder: &Path) -> Option<(UploadId, u64)> {
    let mut last = None;
    for line in journal(folder) {
        let words: Vec<_> = line.split(' ').collect();
        let id = || UploadId::parse(words[1].as_bytes()).unwrap();
        match words[0] {
            "created" => last = Some((id(), 0)),
            "arrived" | "resumed" => last = Some((id(), words[2].parse().unwrap())),
            "completed" => last = None,
            _ => {}
        }
    }
    last
}

impl Child {
    /// One call, so that a line is there or is not.
    fn acknowledge(&mut self, line: &str) {
        let line = line.to_owned() + "\n";
        assert_eq!(self.journal.write(line.as_bytes()).unwrap(), line.len());
    }

    fn next(&mut self) -> u64 {
        self.version += 1;
        self.version
    }

    fn store(&mut self) {
        let version = self.next();
        let (name, bytes) = (format!("stored-{}", version % 4), content(version));
        let len = Some(bytes.len() as u64).filter(|_| !version.is_multiple_of(3));
        let arrival =
            self.landing.begin(name.as_bytes(), Terms { len, ..Terms::default() }).unwrap();
        for piece in bytes.chunks(40_000) {
            arrival.file().write_all(piece).unwrap();
        }
        arrival.finish().unwrap();
        self.acknowledge(&format!("stored {name} {version}"));
    }

    fn create(&mut self) -> UploadId {
        let version = self.next();
        self.acknowledge("creating");
        let note = version.to_le_bytes().to_vec();
        let resumable = ResumableTerms { note, ..ResumableTerms::default() };
        let path = format!("uploaded-{}", version % 3);
        let upload = self.landing.create(path.as_bytes(), Terms::default(), resumable).unwrap();
        self.acknowledge(&format!("created {}", upload.id()));
        upload.id()
    }

    /// Sends some more of it, and perhaps the rest.
    fn resume(&mut self, id: UploadId, acknowledged: u64) -> Option<(UploadId, u64)> {
        let of = |note: &[u8]| u64::from_le_bytes(note.try_into().unwrap());
        let mut upload = match self.landing.resume(id, None) {
            Ok(Resumed::Open(upload)) => upload,
            Ok(Resumed::Completed(completed)) => {
                let name = String::from_utf8(completed.path).unwrap();
                let version = of(&completed.note);
                self.acknowledge(&format!("completed {id} {name} {version}"));
                return None;
            }
            Err(error) => {
                self.acknowledge(&format!("LOST {id}: {error}"));
                panic!();
            }
        };
        let (version, name) =
            (of(upload.note()), String::from_utf8(upload.path().to_vec()).unwrap());
        let (bytes, offset) = (content(version), upload.offset());
        if offset < acknowledged {
            self.acknowledge(&format!("LOST {id}: {offset} of {acknowledged} bytes"));
        }
        let mut there = Vec::new();
        upload.file().seek(SeekFrom::Start(0)).unwrap();
        upload.file().take(offset).read_to_end(&mut there).unwrap();
        if there != bytes[..offset as usize] {
            self.acknowledge(&format!("LOST {id}: {offset} bytes that were not sent"));
        }
        self.acknowledge(&format!("resumed {id} {offset}"));
        for piece in bytes[offset as usize..].chunks(17_000).take(3) {
            upload.file().write_all(piece).unwrap();
            let offset = upload.advanced(piece.len() as u64).unwrap();
            self.acknowledge(&format!("arrived {id} {offset}"));
        }
        if upload.offset() < bytes.len() as u64 {
            return Some((id, upload.offset()));
        }
        upload.complete(None).unwrap();
        self.acknowledge(&format!("completed {id} {name} {version}"));
        None
    }
}
