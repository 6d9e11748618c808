//! The directory that files arrive in is removed and made anew.

use super::put;
use crate::harness::{Server, Tree, eventually};
use std::fs;

#[test]
fn what_arrives_is_in_the_directory_that_is_there_now() {
    let tree = Tree::new();
    fs::create_dir_all(tree.path().join("site/in")).unwrap();
    let mut command = Server::command();
    command.args(["serve", "--listen", "127.0.0.1:0", "--workers", "2", "--uploads", "in"]);
    command.args(["--upload-auth", "none", "--upload-reserve", "0"]).arg(tree.path().join("site"));
    let server = Server::spawn(command);
    let mut connection = server.connect();
    assert_eq!(put(&mut connection, "/in/a", "", b"first").status, 201);
    // The directory of uploads alone is seen with the next one.
    fs::remove_dir_all(tree.path().join("site/in")).unwrap();
    assert!(put(&mut connection, "/in/a", "", b"lost").status >= 400, "there is none");
    fs::create_dir(tree.path().join("site/in")).unwrap();
    assert_eq!(put(&mut connection, "/in/a", "", b"second").status, 201);
    assert_eq!(fs::read(tree.path().join("site/in/a")).unwrap(), b"second");
    // And the one that is served.
    fs::rename(tree.path().join("site"), tree.path().join("old")).unwrap();
    fs::create_dir_all(tree.path().join("site/in")).unwrap();
    let there = tree.path().join("site/in/b");
    eventually("it arrives in the new one", || {
        put(&mut connection, "/in/b", "", b"third");
        there.exists()
    });
    assert_eq!(fs::read(there).unwrap(), b"third");
    eventually("and is served", || connection.get("/in/b", "").body == b"third");
}
