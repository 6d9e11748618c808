//! A network namespace with nothing in it but loopback, whose sockets use the lab's congestion control
//! unless they say otherwise: for programs that cannot say (Java has no TCP_CONGESTION).

use crate::{
    link::{enter, run},
    receiver::CONGESTION,
};
use std::{fs, io};

/// Of the namespace of whoever reads or writes it (`tcp(7)`).
const DEFAULT: &str = "/proc/sys/net/ipv4/tcp_congestion_control";

/// The congestion control of sockets that do not say which, where this thread is. `None` if the kernel does
/// not say.
pub fn congestion() -> Option<String> {
    Some(fs::read_to_string(DEFAULT).ok()?.trim().to_owned())
}

/// Whether figures of bulk over loopback are comparable with the lab's own: it does not pace its packets,
/// and nothing is lost there.
pub fn is_fair(congestion: &str) -> bool {
    ["reno", "cubic"].contains(&congestion)
}

/// The namespace; gone when this is dropped, and all who are in it have ended.
#[derive(Debug)]
pub struct Space {
    name: String,
}

impl Space {
    /// Makes it, by ip(8).
    ///
    /// # Errors
    ///
    /// It is not installed, or this process may not (it takes root).
    pub fn make() -> io::Result<Self> {
        let space = Self { name: format!("sendrail-lab-{}-c", std::process::id()) };
        run("ip", &["netns", "add", &space.name])?;
        run("ip", &["-n", &space.name, "link", "set", "lo", "up"])?;
        Ok(space)
    }

    /// Moves this thread into it, for good, and all that it starts from then on.
    ///
    /// # Errors
    ///
    /// This process may not (`setns(2)`).
    pub fn enter(&self) -> io::Result<()> {
        enter(&self.name)?;
        fs::write(DEFAULT, CONGESTION)
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        let _ = run("ip", &["netns", "delete", &self.name]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    #[test]
    fn what_paces_is_not_fair() {
        assert!(is_fair("reno") && is_fair("cubic") && !is_fair("bbr") && !is_fair(""));
    }

    #[test]
    fn inside_it_is_the_lab_s_and_outside_it_is_as_it_was() {
        let before = congestion();
        let inside = thread::spawn(|| {
            let space = Space::make()?;
            space.enter()?;
            Ok::<_, io::Error>(congestion())
        });
        match inside.join().unwrap() {
            Ok(inside) => assert_eq!(inside.unwrap().as_bytes(), CONGESTION),
            Err(error) => eprintln!("skipped: no network namespace: {error}"),
        }
        assert_eq!(congestion(), before);
    }
}
