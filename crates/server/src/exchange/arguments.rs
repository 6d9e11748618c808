//! `sendrail send` and `sendrail recv`, as typed.

use super::address::Address;
use crate::cli::{DropBehindChoice, MethodChoice};
use crate::trace::Remains;
use clap::Args;
use std::{ffi::OsString, path::PathBuf};

const NO_ENCRYPTION: &str = "\
NOT ENCRYPTED, and nobody is asked who they are: whoever can reach the port can send, or take, and \
whoever is on the way can read and change. Where the wire is not yours use a tunnel: ssh -L, ssh -R, \
a VPN.";

const EXIT_STATUS: &str = "\
Exit status:
  0    all has arrived
  1    a wrong command line, or something could not be read or written, on either side
  2    the connection could not be made or broke: start both again, and only the rest is sent
  3    a checksum differs
  130  interrupted";

/// `sendrail send`, as typed.
#[derive(Debug, Args)]
#[command(
    override_usage = "sendrail send [OPTIONS] <ADDR> <PATH>...\n       sendrail send [OPTIONS] --listen <ADDR> <PATH>...",
    after_help = format!("{NO_ENCRYPTION}\n
Examples:
  sendrail recv /srv/in                       on the one machine; then on the other:
  sendrail send 192.0.2.7 film.mp4 photos/    a file and a directory
  sendrail send [2001:db8::7]:7700 .          what is in the current directory
  tar c photos | sendrail send host -         what a program writes; recv - gives it to another
  sendrail send --listen [::]:7700 film.mp4   recv --connect fetches it
  sendrail send --raw host:9000 film.mp4      to nc -l 9000 >film.mp4
\n{EXIT_STATUS}")
)]
pub struct SendArguments {
    /// Where to send to, then what.
    #[arg(
        value_name = "ADDR> <PATH",
        required = true,
        num_args = 1..,
        help = "HOST, HOST:PORT or [IPv6]:PORT to send to (port 7700 if none is named), then files \
                and directories to send; - is standard input"
    )]
    pub operands: Vec<OsString>,

    /// Wait on this address for one who fetches, instead of connecting
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<Address>,

    /// The name that standard input has for who receives it into a directory
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,

    /// How files leave: auto looks at each file; the others force one method
    #[arg(long, value_enum, default_value_t)]
    pub method: MethodChoice,

    /// Whether pages that the sending brought into the page cache are given back behind it. auto: unless memory is
    /// free, or they are asked for often; on: unless they are asked for often; off: never
    #[arg(long, value_enum, default_value_t)]
    pub drop_behind: DropBehindChoice,

    /// Do without the checksum of each file. What is there of an interrupted one is compared all the same
    #[arg(long)]
    pub no_checksum: bool,

    /// Plain bytes, as nc sends them: no names, no checksum, no way on after a break. The other side is nc, socat, or
    /// recv --raw. Files only, one after the other
    #[arg(long, conflicts_with = "name")]
    pub raw: bool,

    /// No progress, and no receipt at the end; only what goes wrong
    #[arg(long, short)]
    pub quiet: bool,
}

/// `sendrail recv`, as typed.
#[derive(Debug, Args)]
#[command(after_help = format!("{NO_ENCRYPTION}\n
A file is called NAME.part until it is whole. Then it takes its name, and the place of what had it before.

Examples:
  sendrail recv /srv/in                        from one sender, into a directory
  sendrail recv --keep /srv/in                 from one after the other
  sendrail recv --listen 192.0.2.7:9000 x.iso  one file, under that name, by one interface
  sendrail recv - | tar x                      to a program
  sendrail recv --connect host .               from sendrail send --listen
  sendrail recv --raw --listen [::]:9000 x     from nc host 9000 <x
\n{EXIT_STATUS}"))]
pub struct RecvArguments {
    /// A directory that exists, a file, or - for standard output
    #[arg(value_name = "DIR|FILE|-", default_value = ".")]
    pub target: PathBuf,

    /// Address to wait on.
    #[arg(
        long,
        value_name = "ADDR",
        default_value = "[::]:7700",
        help = "Address to wait on; [::] is every address of this machine, IPv4 too. Port 0 takes \
                a free one"
    )]
    pub listen: Address,

    /// Connect to one who sends (send --listen), instead of waiting
    #[arg(long, value_name = "ADDR", conflicts_with = "listen")]
    pub connect: Option<Address>,

    /// When one sender is done, wait for the next
    #[arg(long, conflicts_with = "connect")]
    pub keep: bool,

    /// How long a sender may say nothing before it is given up; one that is busy says so every 10 seconds. 0 is for ever
    #[arg(
        long,
        value_name = "SECONDS",
        default_value_if("raw", "true", "0"),
        default_value = "120",
        value_parser = clap::value_parser!(u32)
    )]
    pub timeout: u32,

    /// What stays in the page cache of what arrives
    #[arg(long, value_name = "WHAT", value_enum, default_value_t)]
    pub cached: Remains,

    /// Plain bytes, as nc sends them, into a file or to standard output: whether all came cannot be told
    #[arg(long, conflicts_with = "keep")]
    pub raw: bool,

    /// No progress, and no receipt at the end; only what goes wrong
    #[arg(long, short)]
    pub quiet: bool,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // a panic is how a test fails
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Recv {
        #[command(flatten)]
        arguments: RecvArguments,
    }

    #[test]
    fn plain_bytes_are_waited_for_without_a_limit_unless_there_is_one() {
        for (line, timeout) in [
            (&["recv", "x"][..], 120),
            (&["recv", "--timeout", "7", "x"], 7),
            (&["recv", "--raw", "x"], 0),
            (&["recv", "--raw", "--timeout", "7", "x"], 7),
        ] {
            let typed = Recv::try_parse_from(line).unwrap().arguments;
            assert_eq!(typed.timeout, timeout, "{line:?}");
        }
    }
}
