//! Digests of what arrives: SHA-256 and SHA-512, the two that RFC 9530 has for where it matters.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;

use sendrail_sys::{self as sys, Advice, OpenFlags, fadvise, limits::page_size, pread::ReadFlags};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256, Sha512};

use super::error::ArrivalError;

/// What is read at once, in bytes: it stays in the second cache of the processor.
const WINDOW: usize = 256 << 10;

/// What all bytes of a file together must come to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Digest {
    /// `sha-256` (FIPS 180-4).
    Sha256([u8; 32]),
    /// `sha-512` (FIPS 180-4).
    Sha512(Vec<u8>),
}

impl Digest {
    /// A digest by the name that the registry of RFC 9530 gives its algorithm; `None` if that is none of the two, or the length is not its.
    pub fn new(algorithm: &str, value: &[u8]) -> Option<Self> {
        match algorithm {
            "sha-256" => value.try_into().ok().map(Self::Sha256),
            "sha-512" if value.len() == 64 => Some(Self::Sha512(value.to_vec())),
            _ => None,
        }
    }

    /// The algorithm's name.
    pub fn algorithm(&self) -> &'static str {
        match self {
            Self::Sha256(_) => "sha-256",
            Self::Sha512(_) => "sha-512",
        }
    }

    fn value(&self) -> &[u8] {
        match self {
            Self::Sha256(value) => value,
            Self::Sha512(value) => value,
        }
    }
}

/// Digests that are made while the bytes pass by.
///
/// ```
/// use sendrail_files::{Digest, Digesting};
/// // printf hello | sha256sum
/// let sum = b"\x2c\xf2\x4d\xba\x5f\xb0\xa3\x0e\x26\xe8\x3b\x2a\xc5\xb9\xe2\x9e\
///             \x1b\x16\x1e\x5c\x1f\xa7\x42\x5e\x73\x04\x33\x62\x93\x8b\x98\x24";
/// let mut digesting = Digesting::new(vec![Digest::new("sha-256", sum).ok_or("a digest")?]);
/// digesting.update(b"hel");
/// digesting.update(b"lo");
/// assert!(digesting.finish().is_ok());
/// # Ok::<(), &str>(())
/// ```
#[derive(Clone, Debug)]
pub struct Digesting {
    expected: Vec<Digest>,
    sha256: Option<Sha256>,
    sha512: Option<Sha512>,
}

impl Digesting {
    /// Makes what is needed to compare with these.
    pub fn new(expected: Vec<Digest>) -> Self {
        let any = |algorithm| expected.iter().any(|digest| digest.algorithm() == algorithm);
        Self {
            sha256: any("sha-256").then(Sha256::new),
            sha512: any("sha-512").then(Sha512::new),
            expected,
        }
    }

    /// The next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        if let Some(sha256) = &mut self.sha256 {
            sha256.update(bytes);
        }
        if let Some(sha512) = &mut self.sha512 {
            sha512.update(bytes);
        }
    }

    /// Whether all of them are what was expected; [`ArrivalError::Digest`] if one is not.
    pub fn finish(self) -> Result<(), ArrivalError> {
        let sha256 = self.sha256.map(|made| made.finalize().to_vec());
        let sha512 = self.sha512.map(|made| made.finalize().to_vec());
        for digest in &self.expected {
            let made = match digest {
                Digest::Sha256(_) => &sha256,
                Digest::Sha512(_) => &sha512,
            };
            if made.as_deref() != Some(digest.value()) {
                return Err(ArrivalError::Digest { algorithm: digest.algorithm() });
            }
        }
        Ok(())
    }
}

/// Reads the whole file and compares.
pub(super) fn verify(file: &File, digests: &[Digest]) -> Result<(), ArrivalError> {
    if digests.is_empty() {
        return Ok(());
    }
    let reading = "reading it for its digest";
    let mut digesting = Digesting::new(digests.to_vec());
    let quiet = Quiet::new(file).map_err(ArrivalError::doing(reading))?;
    let (mut buffer, mut at) = (vec![0; WINDOW], 0);
    loop {
        let count = quiet.read(&mut buffer, at).map_err(ArrivalError::doing(reading))?;
        if count == 0 {
            return digesting.finish();
        }
        digesting.update(&buffer[..count]);
        at += count as u64;
    }
}

/// Reads so that what was not in the page cache is not there afterwards either.
struct Quiet {
    file: File,
}

impl Quiet {
    fn new(file: &File) -> io::Result<Self> {
        // With a description of its own, so that no read-ahead does not hold for whoever writes.
        let own = match sys::reopen(file.as_fd(), OpenFlags::READ) {
            Ok(own) => own.into(),
            Err(_) => file.try_clone()?, // no /proc
        };
        let _ = fadvise(own.as_fd(), 0, 0, Advice::Random);
        Ok(Self { file: own })
    }

    fn read(&self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        let file = self.file.as_fd();
        let resident = sys::preadv2(file, buffer, at, ReadFlags { nowait: true, dontcache: false });
        match resident {
            Ok(count) => return Ok(count),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            // Nobody can say what is resident: then nothing is given back that may be somebody's.
            Err(_) => return sys::pread(file, buffer, at),
        }
        let count = sys::pread(file, buffer, at)?;
        let page = page_size() as u64;
        let (start, end) = (at / page * page, (at + count as u64).next_multiple_of(page));
        let _ = fadvise(file, start, end - start, Advice::DontNeed);
        Ok(count)
    }
}
