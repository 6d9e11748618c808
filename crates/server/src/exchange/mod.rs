//! `sendrail send` and `sendrail recv`: files from one machine to another, by the engine.
//!
//! | room | what is decided or done there |
//! |---|---|
//! | `arguments`, `address` | what was typed; connecting and listening |
//! | `protocol` | what the two sides say: pure |
//! | `names` | which names are taken: pure |
//! | `wire` | messages and bytes over a socket |
//! | `source`, `sender`, `steps` | what there is to send; sending it; one transfer of it |
//! | `receiver`, `store`, `receive` | taking it; where it goes; from the socket into the file |
//! | `trace` | what that leaves in the page cache |
//! | `raw` | plain bytes, for nc and its like |
//! | `sum` | checksums that leave no trace |
//! | `progress`, `account`, `failure` | what people and scripts are told |

mod account;
pub mod address;
pub mod arguments;
mod failure;
mod names;
mod progress;
mod protocol;
mod raw;
mod receive;
mod receiver;
mod sender;
mod source;
mod steps;
mod store;
mod sum;
mod wire;

use crate::page_cache::{interrupt::Stop, text::printable};
use address::{Address, accept};
use arguments::{RecvArguments, SendArguments};
use failure::{Failure, Tally};
use receiver::Target;
use sendrail_transfer::Options;
use source::{DASH, Sources};
use std::{
    ffi::CString,
    io,
    net::TcpStream,
    os::{fd::AsFd, unix::ffi::OsStrExt},
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};
use store::Store;
use wire::Wire;

/// How long one who connects may take to greet: longer, and others wait for nothing.
const GREETING: Duration = Duration::from_secs(10);
/// The same of one who was connected to, and who may have another before us.
const TURN: Duration = Duration::from_mins(1);

/// Does what `sendrail send` was asked to.
pub fn send(arguments: SendArguments) -> ExitCode {
    ended(try_send(arguments))
}

/// Does what `sendrail recv` was asked to.
pub fn recv(arguments: &RecvArguments) -> ExitCode {
    ended(try_recv(arguments))
}

fn ended(done: Result<Tally, Failure>) -> ExitCode {
    match done {
        Ok(tally) => tally.exit_code(),
        Err(failure) => {
            eprintln!("sendrail: {failure}");
            failure.exit_code()
        }
    }
}

fn try_send(arguments: SendArguments) -> Result<Tally, Failure> {
    let SendArguments { operands, listen, name, method, drop_behind, no_checksum, raw, quiet } =
        arguments;
    let mut operands = operands.into_iter();
    let connect = match &listen {
        Some(_) => None,
        None => operands.next().map(|typed| typed.to_string_lossy().parse::<Address>()),
    };
    let connect = connect.transpose().map_err(Failure::Local)?;
    let paths: Vec<PathBuf> = operands.map(PathBuf::from).collect();
    check_paths(&paths, raw)?;
    let stop = catch_signals()?;
    let sources = Sources { paths, stdin_name: name.unwrap_or_default() };
    let mut task = sender::Task {
        // Before anybody connects, who would wait for it.
        total: sources.total(&stop),
        sources,
        options: Options {
            method: method.forced(),
            drop_behind: drop_behind.mode(),
            ..Options::default()
        },
        checksum: !no_checksum,
        quiet,
        patience: TURN,
    };
    let stream = match (listen, connect) {
        (Some(address), _) => {
            task.patience = GREETING;
            wait_for_one(&address, &stop)?
        }
        (None, Some(address)) => address.connect(&stop)?,
        (None, None) => return Err(Failure::Local("no address to send to".into())),
    };
    // A receiver may need long to look what it has, and to write it to its disk.
    let wire = wire(stream, &stop, None)?;
    if raw { raw::send(&wire, &task) } else { sender::run(&wire, &task) }
}

/// What was typed and is not there is a mistake, and better said before anybody connects.
fn check_paths(paths: &[PathBuf], raw: bool) -> Result<(), Failure> {
    if paths.is_empty() {
        return Err(Failure::Local("nothing to send: name files, directories, or -".into()));
    }
    let dash = Path::new(DASH);
    if paths.iter().filter(|path| *path == dash).count() > 1 {
        return Err(Failure::Local("standard input can be sent once".into()));
    }
    for path in paths.iter().filter(|path| *path != dash) {
        let found = path.metadata();
        let found = found.map_err(|error| Failure::of_file("cannot send", path, &error))?;
        if raw && found.is_dir() {
            let path = printable(path, false);
            let instead = "tar c DIR | sendrail send --raw ADDR -";
            return Err(Failure::Local(format!("{path} is a directory: {instead}")));
        }
    }
    Ok(())
}

fn try_recv(arguments: &RecvArguments) -> Result<Tally, Failure> {
    let RecvArguments { cached, quiet, raw, timeout, .. } = *arguments;
    let mut target = target(&arguments.target)?;
    if raw && matches!(target, Target::Folder(_)) {
        return Err(Failure::Local(
            "plain bytes have no name: receive them into a FILE or -".into(),
        ));
    }
    let stop = catch_signals()?;
    let idle = (timeout > 0).then(|| Duration::from_secs(timeout.into()));
    let mut task = receiver::Task { remains: cached, quiet, patience: GREETING };
    if arguments.connect.is_some() || !arguments.keep {
        let stream = match &arguments.connect {
            Some(address) => {
                task.patience = TURN;
                address.connect(&stop)?
            }
            None => wait_for_one(&arguments.listen, &stop)?,
        };
        let wire = wire(stream, &stop, idle)?;
        let run = if raw { raw::recv } else { receiver::run };
        return run(&wire, &mut target, task);
    }
    let listener = arguments.listen.listen()?;
    say_listening(&listener)?;
    loop {
        let (stream, from) = accept(&listener, &stop)?;
        // One that fails is no reason not to hear the next.
        let done =
            wire(stream, &stop, idle).and_then(|wire| receiver::run(&wire, &mut target, task));
        match done {
            Ok(_) => {}
            Err(Failure::Interrupted) => return Err(Failure::Interrupted),
            Err(failure) => eprintln!("sendrail: from {from}: {failure}"),
        }
    }
}

fn target(path: &Path) -> Result<Target, Failure> {
    if path.as_os_str() == DASH {
        let stdout = io::stdout().as_fd().try_clone_to_owned();
        let stdout =
            stdout.map_err(|error| Failure::Local(format!("no standard output: {error}")))?;
        return Ok(Target::Stdout(stdout.into()));
    }
    let open = |path: &Path| {
        Store::open(path).map_err(|error| Failure::of_file("cannot receive into", path, &error))
    };
    if path.is_dir() {
        return Ok(Target::Folder(open(path)?));
    }
    let name = path.file_name().filter(|_| !path.as_os_str().as_bytes().ends_with(b"/"));
    let Some(name) = name else {
        open(path)?; // which says what is wrong
        return Err(Failure::Local("there is no such directory to receive into".into()));
    };
    names::check(name.as_bytes(), false)
        .map_err(|why| Failure::Local(format!("cannot receive into a file whose name {why}")))?;
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let name = CString::new(name.as_bytes()).expect("a name that was checked has no NUL");
    Ok(Target::File(open(parent.unwrap_or(Path::new(".")))?, name))
}

fn wait_for_one(address: &Address, stop: &Stop) -> Result<TcpStream, Failure> {
    let listener = address.listen()?;
    say_listening(&listener)?;
    Ok(accept(&listener, stop)?.0)
}

/// Also for those who want quiet: with port 0, nobody could know otherwise.
fn say_listening(listener: &std::net::TcpListener) -> Result<(), Failure> {
    let address = listener
        .local_addr()
        .map_err(|error| Failure::Local(format!("cannot tell the address: {error}")))?;
    eprintln!("listening on {address}, without encryption");
    Ok(())
}

fn wire(stream: TcpStream, stop: &Stop, idle: Option<Duration>) -> Result<Wire, Failure> {
    Wire::new(stream, stop.clone(), idle).map_err(|error| Failure::broke(&error))
}

fn catch_signals() -> Result<Stop, Failure> {
    Stop::on_signals().map_err(|error| Failure::Local(format!("cannot catch signals: {error}")))
}
