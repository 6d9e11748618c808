//! Who may upload: the file of `--upload-auth`, and the tokens that `sendrail token` makes.
//!
//! A token is 256 random bits, so its plain SHA-256 is as good as any slow hash: nobody can guess through it. The file
//! holds hashes alone; who reads it learns names, and cannot log in.

use crate::config::Problem;
use base64::{Engine, engine::general_purpose};
use constant_time_eq::constant_time_eq_32;
use sha2::{Digest, Sha256};
use std::{
    fmt::Write as _,
    fs::File,
    io::{self, Read, Write as _},
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
};

/// A token file is no longer than this, in bytes: what is was not meant. 10,000 lines or so.
const LONGEST: u64 = 1 << 20;

/// How long a name may be, in bytes.
const LONGEST_NAME: usize = 64;

type Hash = [u8; 32];
type Known = Arc<[(Arc<str>, Hash)]>;

/// Who may upload. Can be read anew while it is in use.
#[derive(Debug)]
pub struct Tokens {
    path: PathBuf,
    known: RwLock<Known>,
}

impl Tokens {
    /// Reads the file.
    ///
    /// # Errors
    ///
    /// It cannot be read, others may write to it, or a line of it makes no sense: which, and why.
    pub fn read(path: &Path) -> Result<Self, Problem> {
        let known = RwLock::new(read(path)?);
        Ok(Self { path: path.to_owned(), known })
    }

    /// Reads it again. If that fails, what was known stays so.
    ///
    /// # Errors
    ///
    /// As for [`read`](Self::read).
    pub fn read_again(&self) -> Result<usize, Problem> {
        let known = read(&self.path)?;
        let count = known.len();
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = known;
        Ok(count)
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.known().len()
    }

    /// Where they came from.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whose the value of an Authorization field is: `Bearer TOKEN` (RFC 6750 §2.1), or `Basic` with NAME:TOKEN in base64
    /// (RFC 7617 §2).
    pub(crate) fn who(&self, authorization: &[u8]) -> Option<Arc<str>> {
        let authorization = std::str::from_utf8(authorization).ok()?;
        let (scheme, credentials) = authorization.split_once(' ')?;
        let credentials = credentials.trim_matches(' ');
        if scheme.eq_ignore_ascii_case("bearer") {
            return self.find(None, credentials.as_bytes());
        }
        if !scheme.eq_ignore_ascii_case("basic") {
            return None;
        }
        let pair = general_purpose::STANDARD.decode(credentials).ok()?;
        let colon = pair.iter().position(|&byte| byte == b':')?;
        self.find(Some(&pair[..colon]), &pair[colon + 1..])
    }

    /// Takes as long whoever it is: hashes are compared, each of them, without leaving early.
    fn find(&self, name: Option<&[u8]>, token: &[u8]) -> Option<Arc<str>> {
        let hash: Hash = Sha256::digest(token).into();
        let known = self.known();
        let mut found = None;
        for (who, expected) in known.iter() {
            let is_named = name.is_none_or(|name| name == who.as_bytes());
            if constant_time_eq_32(&hash, expected) & is_named {
                found = Some(who);
            }
        }
        found.cloned()
    }

    fn known(&self) -> Known {
        Arc::clone(&self.known.read().unwrap_or_else(PoisonError::into_inner))
    }
}

fn read(path: &Path) -> Result<Known, Problem> {
    let shown = path.display();
    let problem = |why: String| Problem::new(format!("--upload-auth {shown}: {why}"));
    let file = File::open(path).map_err(|error| problem(format!("cannot be read: {error}")))?;
    let facts = file.metadata().map_err(|error| problem(format!("cannot be read: {error}")))?;
    let mode = facts.permissions().mode();
    if facts.is_file() && mode & 0o002 != 0 {
        return Err(problem("anybody may write to it (chmod o-w)".to_owned()));
    }
    if facts.is_file() && mode & 0o004 != 0 && facts.size() > 0 {
        tracing::warn!("--upload-auth {shown}: anybody may read it, and learn who may upload");
    }
    let mut text = String::new();
    file.take(LONGEST + 1)
        .read_to_string(&mut text)
        .map_err(|error| problem(format!("cannot be read: {error}")))?;
    if text.len() as u64 > LONGEST {
        return Err(problem("is no file of tokens: over 1 MiB".to_owned()));
    }
    let mut known: Vec<(Arc<str>, Hash)> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let wrong =
            |why: &str| Problem::new(format!("{shown}:{}: {why} (--upload-auth)", number + 1));
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let mut words = line.split_ascii_whitespace();
        let (Some(name), Some(hash), None) = (words.next(), words.next(), words.next()) else {
            return Err(wrong("must be NAME HASH, as sendrail token NAME makes it"));
        };
        if !is_name(name) {
            return Err(wrong("the name may have letters, digits, '.', '_' and '-', 64 at most"));
        }
        let hash = parse_hex(hash)
            .ok_or_else(|| wrong("the hash must be a SHA-256 in 64 hexadecimal digits"))?;
        known.push((name.into(), hash));
    }
    if known.is_empty() {
        return Err(problem("nobody is in it; sendrail token NAME makes a line".to_owned()));
    }
    Ok(known.into())
}

fn is_name(name: &str) -> bool {
    (1..=LONGEST_NAME).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

fn parse_hex(text: &str) -> Option<Hash> {
    let digits = text.as_bytes();
    let mut hash = [0; 32];
    if digits.len() != 2 * hash.len() {
        return None;
    }
    for (byte, pair) in hash.iter_mut().zip(digits.chunks_exact(2)) {
        let high = (pair[0] as char).to_digit(16)?;
        let low = (pair[1] as char).to_digit(16)?;
        *byte = (high << 4 | low) as u8;
    }
    Some(hash)
}

/// `sendrail token NAME`: makes one.
///
/// # Errors
///
/// The name makes no sense, the kernel gives no random bits, or nobody takes the line.
pub fn make(name: &str) -> Result<(), Problem> {
    if !is_name(name) {
        return Err(Problem::new(format!(
            "token {name:?}: the name may have letters, digits, '.', '_' and '-', 64 at most"
        )));
    }
    let token =
        random_token().map_err(|error| Problem::new(format!("getrandom(2) failed: {error}")))?;
    let mut line = format!("{name} ");
    for byte in Sha256::digest(&token) {
        let _ = write!(line, "{byte:02x}"); // memory takes it
    }
    let written = writeln!(io::stdout(), "{line}");
    written.map_err(|error| Problem::new(format!("cannot write the line: {error}")))?;
    eprintln!("the token of {name}, which nobody can show again:");
    eprintln!("{token}");
    Ok(())
}

/// 256 bits as base64url without padding: 43 characters that need no quoting in a shell, a URL or a field.
fn random_token() -> io::Result<String> {
    let mut bits = [0; 32];
    let mut filled = 0;
    while filled < bits.len() {
        filled +=
            rustix::rand::getrandom(&mut bits[filled..], rustix::rand::GetRandomFlags::empty())?;
    }
    Ok(general_purpose::URL_SAFE_NO_PAD.encode(bits))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // a panic is how a test fails

    use super::*;

    fn tokens(text: &str) -> Result<Tokens, String> {
        let file = tempfile::NamedTempFile::new().unwrap(); // mode 0600
        std::fs::write(file.path(), text).unwrap();
        let shown = file.path().display().to_string();
        Tokens::read(file.path()).map_err(|why| why.to_string().replace(&shown, "FILE"))
    }

    fn line(name: &str, token: &str) -> String {
        let mut line = format!("{name} ");
        Sha256::digest(token).iter().for_each(|byte| write!(line, "{byte:02x}").unwrap());
        line
    }

    fn basic(pair: &str) -> Vec<u8> {
        format!("Basic {}", general_purpose::STANDARD.encode(pair)).into_bytes()
    }

    #[test]
    fn a_bearer_or_a_name_and_a_token() {
        let text = format!("# who\n\n{}\n  {}\r\n", line("alice", "s3"), line("bob", "t4"));
        let tokens = tokens(&text).unwrap();
        assert_eq!(tokens.count(), 2);
        for (field, who) in [
            (b"Bearer s3".to_vec(), Some("alice")),
            (b"bearer  t4 ".to_vec(), Some("bob")),
            (basic("alice:s3"), Some("alice")),
            (basic("bob:t4"), Some("bob")),
            (basic("bob:s3"), None),
            (basic("s3"), None),
            (basic(":s3"), None),
            (b"Basic !!!".to_vec(), None),
            (b"Bearer ".to_vec(), None),
            (b"Bearer s3x".to_vec(), None),
            (b"Bearer S3".to_vec(), None),
            (b"Digest s3".to_vec(), None),
            (b"s3".to_vec(), None),
            (b"Bearer \xff".to_vec(), None),
            (Vec::new(), None),
        ] {
            let shown = String::from_utf8_lossy(&field).into_owned();
            assert_eq!(tokens.who(&field).as_deref(), who, "{shown}");
        }
        // The hash itself opens nothing.
        let hash = line("alice", "s3").split(' ').nth(1).unwrap().to_owned();
        assert_eq!(tokens.who(format!("Bearer {hash}").as_bytes()), None);
    }

    #[test]
    fn what_is_wrong_with_a_file_is_said_of_its_line() {
        let good = line("alice", "s3");
        for (text, why) in [
            (String::new(), "--upload-auth FILE: nobody is in it"),
            ("# alice\n".to_owned(), "nobody is in it"),
            (format!("{good}\nbob\n"), "FILE:2: must be NAME HASH"),
            (format!("{good} x\n"), "FILE:1: must be NAME HASH"),
            (format!("{good}0\n"), "FILE:1: the hash must be"),
            (good.replace("alice ", "alice x"), "FILE:1: the hash must be"),
            (good.replace("alice", "al:ice"), "FILE:1: the name may have"),
        ] {
            let said = tokens(&text).unwrap_err();
            assert!(said.contains(why), "{text:?}: {said}");
        }
    }

    #[test]
    fn a_file_that_anybody_may_write_to_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), line("alice", "s3")).unwrap();
        for (mode, may) in [(0o600, true), (0o644, true), (0o660, true), (0o602, false)] {
            std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(Tokens::read(file.path()).is_ok(), may, "{mode:o}");
        }
    }

    #[test]
    fn tokens_are_long_and_never_the_same() {
        let (one, other) = (random_token().unwrap(), random_token().unwrap());
        assert_eq!((one.len(), other.len()), (43, 43));
        assert_ne!(one, other);
    }

    #[test]
    fn read_again_it_knows_others_and_a_bad_file_changes_nothing() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), line("alice", "s3")).unwrap();
        let tokens = Tokens::read(file.path()).unwrap();
        std::fs::write(file.path(), line("bob", "t4")).unwrap();
        assert_eq!(tokens.read_again().unwrap(), 1);
        assert_eq!(tokens.who(b"Bearer s3"), None);
        std::fs::write(file.path(), "bob").unwrap();
        tokens.read_again().unwrap_err();
        assert_eq!(tokens.who(b"Bearer t4").as_deref(), Some("bob"));
    }
}
