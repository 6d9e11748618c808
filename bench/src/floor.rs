//! The floor: the system calls of a static answer and nothing else, to tell a server's own cost from the kernel's.
//!
//! A conditional request is answered 304 without a look at its conditions. No parsing beyond the path, no checks, no
//! limits: one thread, epoll, `recv`, and then one `send` from memory (up to 128 KiB) or `send` with MSG_MORE and
//! `sendfile`, corked above 256 KiB. Nobody should serve anything with it.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io::Write;
use std::net::TcpListener;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::rc::Rc;

use anyhow::{Context, Result};
use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::fs::sendfile;
use rustix::io::Errno;
use rustix::net::sockopt::{set_tcp_cork, set_tcp_nodelay};
use rustix::net::{RecvFlags, SendFlags, SocketFlags, accept_with, recv, send};

const FROM_MEMORY: u64 = 128 << 10;
const CORK_ABOVE: u64 = 256 << 10;
const CALL: u64 = 2 << 20;

/// A file, and the head (and body, if small) that answers for it.
struct Answer {
    file: File,
    len: u64,
    bytes: Vec<u8>,
    not_modified: Vec<u8>,
}

/// A connection, and how far its answer has come.
struct Connection {
    socket: OwnedFd,
    sending: Option<(Rc<Answer>, u64)>,
    /// The same for an answer from memory.
    copying: Option<(Rc<Answer>, usize)>,
}

/// Serves the files of `root` on a free port of loopback until it is killed.
pub(crate) fn serve(root: &Path) -> Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).context("listening")?;
    listener.set_nonblocking(true).context("listening")?;
    println!("listening on http://{}/", listener.local_addr().context("listening")?);
    std::io::stdout().flush().context("saying where")?;
    let poll = epoll::create(epoll::CreateFlags::CLOEXEC).context("epoll_create1")?;
    epoll::add(&poll, &listener, EventData::new_u64(u64::MAX), EventFlags::IN)?;

    let mut answers: HashMap<Vec<u8>, Rc<Answer>> = HashMap::new();
    let mut connections: HashMap<u64, Connection> = HashMap::new();
    let mut events = Vec::with_capacity(1024);
    let mut request = vec![0; 16 << 10];
    loop {
        events.clear();
        match epoll::wait(&poll, spare_capacity(&mut events), None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error).context("epoll_wait"),
        }
        for event in &events {
            let key = event.data.u64();
            if key == u64::MAX {
                while let Ok(socket) = accept_with(&listener, SocketFlags::NONBLOCK) {
                    set_tcp_nodelay(&socket, true)?;
                    let key = socket.as_raw_fd() as u64;
                    let flags = EventFlags::IN | EventFlags::OUT | EventFlags::ET;
                    epoll::add(&poll, &socket, EventData::new_u64(key), flags)?;
                    connections.insert(key, Connection { socket, sending: None, copying: None });
                }
            } else if let Some(connection) = connections.get_mut(&key)
                && turn(connection, event.flags, root, &mut answers, &mut request).is_none()
            {
                connections.remove(&key);
            }
        }
    }
}

/// One turn of a connection; `None` when it is over.
fn turn(
    connection: &mut Connection,
    flags: EventFlags,
    root: &Path,
    answers: &mut HashMap<Vec<u8>, Rc<Answer>>,
    request: &mut [u8],
) -> Option<()> {
    if let Some((answer, from)) = connection.copying.take() {
        let rest = &answer.bytes[from..];
        let sent = match send(&connection.socket, rest, SendFlags::NOSIGNAL) {
            Ok(sent) => sent,
            Err(Errno::AGAIN) => 0,
            Err(_) => return None,
        };
        if sent < rest.len() {
            connection.copying = Some((answer, from + sent));
            return Some(());
        }
    }
    if connection.sending.is_none() && flags.contains(EventFlags::IN) {
        let (read, _) = match recv(&connection.socket, &mut *request, RecvFlags::empty()) {
            Ok(read) => read,
            Err(Errno::AGAIN) => return Some(()),
            Err(_) => return None,
        };
        // `GET /name HTTP/1.1`: what the generator sends, in one piece.
        let path = request[..read].strip_prefix(b"GET /")?.split(|byte| *byte == b' ').next()?;
        if !answers.contains_key(path) {
            answers.insert(path.to_vec(), Rc::new(answer(&root.join(OsStr::from_bytes(path)))?));
        }
        let answer = answers.get(path)?;
        if memchr::memmem::find(&request[..read], b"If-None-Match").is_some() {
            // As if the validators had been compared.
            let sent = send(&connection.socket, &answer.not_modified, SendFlags::NOSIGNAL).ok()?;
            return (sent == answer.not_modified.len()).then_some(());
        }
        if answer.len > CORK_ABOVE {
            set_tcp_cork(&connection.socket, true).ok()?;
        }
        let more = if answer.len > FROM_MEMORY { SendFlags::MORE } else { SendFlags::empty() };
        let sent = send(&connection.socket, &answer.bytes, SendFlags::NOSIGNAL | more).ok()?;
        if sent < answer.bytes.len() {
            connection.copying = Some((Rc::clone(answer), sent));
        } else if answer.len > FROM_MEMORY {
            connection.sending = Some((Rc::clone(answer), 0));
        }
    }
    let Some((answer, mut offset)) = connection.sending.take() else { return Some(()) };
    while offset < answer.len {
        let want = (answer.len - offset).min(CALL) as usize;
        let taken = match sendfile(&connection.socket, answer.file.as_fd(), Some(&mut offset), want)
        {
            Ok(taken) => taken,
            Err(Errno::AGAIN) => 0,
            Err(_) => return None,
        };
        if taken < want {
            connection.sending = Some((answer, offset));
            return Some(());
        }
    }
    if answer.len > CORK_ABOVE {
        set_tcp_cork(&connection.socket, false).ok()?;
    }
    Some(())
}

fn answer(path: &Path) -> Option<Answer> {
    let file = File::open(path).ok()?;
    let len = file.metadata().ok()?.len();
    // As many bytes as a real head has.
    let mut bytes = format!(
        "HTTP/1.1 200 OK\r\nDate: Sat, 21 Nov 2026 12:00:00 GMT\r\nServer: floor\r\n\
         Content-Type: application/octet-stream\r\nContent-Length: {len}\r\n\
         Last-Modified: Sat, 21 Nov 2026 12:00:00 GMT\r\nETag: \"6b01a28f.1ecf6aa5-{len:x}\"\r\n\
         Accept-Ranges: bytes\r\nX-Content-Type-Options: nosniff\r\n\r\n"
    )
    .into_bytes();
    if len <= FROM_MEMORY {
        bytes.extend(std::fs::read(path).ok()?);
    }
    let not_modified = format!(
        "HTTP/1.1 304 Not Modified\r\nDate: Sat, 21 Nov 2026 12:00:00 GMT\r\nServer: floor\r\n\
         Last-Modified: Sat, 21 Nov 2026 12:00:00 GMT\r\nETag: \"6b01a28f.1ecf6aa5-{len:x}\"\r\n\r\n"
    )
    .into_bytes();
    Some(Answer { file, len, bytes, not_modified })
}
