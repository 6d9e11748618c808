//! Checks a path before the kernel sees it: the second wall behind the parser of targets, and the
//! only one that knows about dot files.

use std::ffi::{CStr, CString};

use crate::error::OpenError;
use crate::root::Dotfiles;

/// path_resolution(7): PATH_MAX is 4096 bytes with the terminating NUL.
const LONGEST: usize = 4095;

/// The directory in which unfinished uploads lie. It is hidden whatever the policy says: what is in there is for those alone who know
/// its name.
pub(crate) const WORKSHOP: &CStr = c".uploads";

/// Turns a decoded request path (`""` is the root) into what `openat2` takes, or refuses it.
pub(crate) fn check(path: &[u8], dotfiles: Dotfiles) -> Result<CString, OpenError> {
    if path.is_empty() {
        return Ok(c".".to_owned());
    }
    if path.len() > LONGEST {
        return Err(OpenError::NameTooLong);
    }
    for (depth, segment) in path.split(|&byte| byte == b'/').enumerate() {
        match segment {
            b"" => return Err(forbidden("the path is absolute or has an empty segment")),
            b"." | b".." => return Err(forbidden("the path has a \".\" or \"..\" segment")),
            name if is_hidden(name, depth == 0, dotfiles) => return Err(OpenError::NotFound),
            _ => {}
        }
    }
    CString::new(path).map_err(|_| forbidden("the path contains a NUL byte"))
}

/// Whether the policy hides this name. `.well-known` (RFC 8615) at the top is meant to be public.
pub(crate) fn is_hidden(name: &[u8], at_top: bool, dotfiles: Dotfiles) -> bool {
    if name == WORKSHOP.to_bytes() {
        return true;
    }
    dotfiles == Dotfiles::Deny && name.first() == Some(&b'.') && !(at_top && name == b".well-known")
}

fn forbidden(why: &'static str) -> OpenError {
    OpenError::Forbidden { why }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // a failed unwrap is a failed test

    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_no_path_may_contain() {
        for path in [
            "/",
            "//",
            "/etc/passwd",
            "a//b",
            "a/",
            "/a",
            ".",
            "..",
            "../a",
            "a/..",
            "a/../b",
            "a/./b",
            "./a",
            "a\0b",
            "\0",
            "a/\0",
        ] {
            let refused = check(path.as_bytes(), Dotfiles::Serve);
            assert!(matches!(refused, Err(OpenError::Forbidden { .. })), "{path:?}: {refused:?}");
        }
    }

    #[test]
    fn what_looks_bad_and_is_only_a_name() {
        for path in ["...", "a..b", "..a", "a\\..\\b", "%2e%2e", "~root", "c:d", "a\nb"] {
            let taken = check(path.as_bytes(), Dotfiles::Serve).unwrap();
            assert_eq!(taken.as_bytes(), path.as_bytes());
        }
        assert_eq!(check(b"\xff\xfe", Dotfiles::Serve).unwrap().as_bytes(), b"\xff\xfe");
        assert_eq!(check(b"", Dotfiles::Deny).unwrap().as_bytes(), b".");
    }

    #[test]
    fn dot_files_are_as_if_absent() {
        for path in
            [".git", ".git/config", "a/.htpasswd", "a/.b/c", ".well-known/.x", "a/.well-known"]
        {
            let refused = check(path.as_bytes(), Dotfiles::Deny);
            assert!(matches!(refused, Err(OpenError::NotFound)), "{path}: {refused:?}");
            assert!(check(path.as_bytes(), Dotfiles::Serve).is_ok(), "{path}");
        }
        assert!(check(b".well-known/acme-challenge/x", Dotfiles::Deny).is_ok());
    }

    #[test]
    fn longer_than_path_max() {
        assert!(check(&[b'a'; LONGEST], Dotfiles::Deny).is_ok());
        let refused = check(&[b'a'; LONGEST + 1], Dotfiles::Deny);
        assert!(matches!(refused, Err(OpenError::NameTooLong)));
    }

    proptest! {
        /// Whatever passes has only real names in it, unchanged.
        #[test]
        fn what_passes_cannot_climb(path in "[a./\\x00-]{0,12}") {
            if let Ok(taken) = check(path.as_bytes(), Dotfiles::Serve) {
                prop_assert!(!taken.as_bytes().starts_with(b"/"));
                if !path.is_empty() {
                    prop_assert_eq!(taken.as_bytes(), path.as_bytes());
                    prop_assert!(path.split('/').all(|segment| !matches!(segment, "" | "." | "..")));
                }
            }
        }
    }
}
