//! A terminal of a test's own: a pseudo terminal, whose other end the test reads.

use rustix::{
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{Winsize, tcsetwinsize},
};
use std::{
    fs::File,
    io::{ErrorKind, Read},
    process::{Command, ExitStatus, Stdio},
};

/// Runs a command on a terminal of that size to its end, and returns what a person would have been sent.
pub(crate) fn on_terminal(mut command: Command, columns: u16, rows: u16) -> (ExitStatus, String) {
    let mut ours = File::from(openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap());
    grantpt(&ours).unwrap();
    unlockpt(&ours).unwrap();
    let name = ptsname(&ours, Vec::new()).unwrap().into_string().unwrap();
    tcsetwinsize(&ours, Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 })
        .unwrap();
    let theirs = || Stdio::from(File::options().read(true).write(true).open(&name).unwrap());
    let mut child = command.stdin(theirs()).stdout(theirs()).stderr(theirs()).spawn().unwrap();
    drop(command); // it keeps their end open
    let mut said = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        match ours.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => said.extend_from_slice(&buffer[..read]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            // EIO: nobody has the other end open any more (pty(7) on Linux).
            Err(_) => break,
        }
    }
    (child.wait().unwrap(), String::from_utf8(said).unwrap().replace("\r\n", "\n"))
}
