//! What the tests put on a disk: hot files of each kind, and more cold ones than there are threads.

use super::{SlowDisk, content};
use crate::harness::{Connection, Server, Tree};
use std::{process::Command, time::Duration};

/// More than a worker has threads for its disks.
pub(crate) const MANY: u32 = 72;

/// Asked for while the disk is stopped, having been asked for before: they leave from memory, by
/// sendfile(2), and by splice(2).
const HOT: [(&str, usize); 3] = [("small", 700), ("page", 100 << 10), ("film", 8 << 20)];

/// A tree that is to be put on a disk, and what is in it.
pub(crate) struct Files {
    pub(crate) source: Tree,
    /// `/slow/cold/N.bin` by number. Their lengths go up to where another method is chosen, 1 MiB, and
    /// none is like another.
    pub(crate) cold: Vec<Vec<u8>>,
    hot: Vec<Vec<u8>>,
    numbers: u32,
}

impl Files {
    /// The hot ones alone.
    pub(crate) fn hot() -> Self {
        let mut files =
            Self { source: Tree::new(), cold: Vec::new(), hot: Vec::new(), numbers: 1000 };
        for (name, len) in HOT {
            let content = files.put(&format!("hot/{name}.bin"), len);
            files.hot.push(content);
        }
        files
    }

    /// The hot ones, and so many cold ones.
    pub(crate) fn with_cold(count: u32) -> Self {
        let mut files = Self::hot();
        for number in 0..count {
            let len = 170_000 + 12_703 * number as usize;
            let content = files.put(&format!("cold/{number}.bin"), len);
            files.cold.push(content);
        }
        files
    }

    /// One more, with content of its own.
    pub(crate) fn put(&mut self, path: &str, len: usize) -> Vec<u8> {
        self.numbers += 1;
        let content = content(self.numbers, len);
        self.source.file(path, &content);
        content
    }

    /// Makes the hot files hot, and has them in the server's memory where it keeps such files there.
    pub(crate) fn warm(&self, disk: &SlowDisk, connection: &mut Connection) {
        let names = HOT.map(|(name, _)| format!("hot/{name}.bin"));
        disk.keep_in(&names.each_ref().map(String::as_str));
        for _ in 0..4 {
            self.assert_hot(connection);
        }
    }

    /// Asks for the hot files on a connection, one after another.
    pub(crate) fn assert_hot(&self, connection: &mut Connection) {
        for ((name, _), content) in HOT.iter().zip(&self.hot) {
            let response = connection.get(&format!("/slow/hot/{name}.bin"), "");
            assert!(response.body == *content, "{name}: the bytes differ");
        }
    }

    /// The same, again and again, on that connection and on new ones.
    pub(crate) fn assert_stay_hot(&self, server: &Server, connection: &mut Connection) {
        for _ in 0..2 {
            self.assert_hot(connection);
            self.assert_hot(&mut impatient(server));
        }
    }

    /// Asks for what the server has to know of the cold files, so that the names are not cold.
    pub(crate) fn name_cold(&self, connection: &mut Connection) {
        for number in 0..self.cold.len() {
            assert_eq!(connection.ask("HEAD", &format!("/slow/cold/{number}.bin"), "").status, 200);
        }
    }

    /// Asks for all of the cold files, each on a connection of its own, and waits for none.
    pub(crate) fn ask_cold(&self, server: &Server) -> Vec<Connection> {
        (0..self.cold.len())
            .map(|number| ask(server, &format!("/slow/cold/{number}.bin")))
            .collect()
    }

    /// What had been asked for comes in the end.
    pub(crate) fn assert_cold(&self, asked: Vec<Connection>) {
        for (mut connection, content) in asked.into_iter().zip(&self.cold) {
            assert!(connection.response(false).body == *content, "the bytes differ");
        }
    }

    /// Runs `body` with these files on a disk. Skips it where such a disk cannot be had.
    pub(crate) fn on_a_slow_disk(&self, body: impl FnOnce(&SlowDisk) + Send) {
        SlowDisk::with(&self.source, body);
    }
}

/// A connection that does not wait as long for an answer as the disk may be stopped.
pub(crate) fn impatient(server: &Server) -> Connection {
    let connection = server.connect();
    connection.stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    connection
}

/// Asks for a file on a connection of its own, and does not wait for the answer.
pub(crate) fn ask(server: &Server, target: &str) -> Connection {
    let mut connection = server.connect();
    connection.send(format!("GET {target} HTTP/1.1\r\nHost: test\r\n\r\n"));
    connection
}

/// The methods that `--method` knows, as its help lists them: `auto` and those that can be forced.
pub(crate) fn methods() -> Vec<String> {
    let help = Command::new(env!("CARGO_BIN_EXE_sendrail")).args(["serve", "--help"]).output();
    let help = String::from_utf8(help.unwrap().stdout).unwrap();
    let (_, after) = help.split_once("--method ").expect("it has that option");
    let (_, list) = after.split_once("Possible values:").expect("it lists them");
    let values = list.lines().skip(1).map_while(|line| line.trim().strip_prefix("- "));
    let methods: Vec<String> =
        values.map(|line| line.split(':').next().unwrap().to_owned()).collect();
    assert!(methods.iter().any(|method| method == "auto") && methods.len() >= 5, "{methods:?}");
    methods
}
