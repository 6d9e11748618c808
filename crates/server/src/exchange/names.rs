//! Which names of a sender are taken: those that can mean nothing outside the directory they are for. Pure.

use std::ffi::CString;

/// What a file is called until it is whole.
pub(super) const PART: &str = ".part";
/// The longest component of a path in bytes (NAME_MAX).
const MAX_COMPONENT: usize = 255;
/// The deepest that a name may lead.
const MAX_DEPTH: usize = 128;

/// A name that was checked: directories, and what is in the last of them. None is empty, `.` or `..`, none has a slash
/// or a NUL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Checked {
    /// From the top down.
    pub(super) folders: Vec<CString>,
    /// The last component.
    pub(super) last: CString,
}

impl Checked {
    /// All components.
    pub(super) fn whole(&self) -> Vec<CString> {
        self.folders.iter().chain([&self.last]).cloned().collect()
    }

    /// What the file is called until it is whole.
    pub(super) fn part(&self) -> CString {
        let mut bytes = self.last.as_bytes().to_vec();
        bytes.extend_from_slice(PART.as_bytes());
        CString::new(bytes).expect("a name that was checked has no NUL")
    }
}

/// Checks a name.
///
/// # Errors
///
/// Why it is not taken, as the end of a sentence about the name.
pub(super) fn check(name: &[u8], is_directory: bool) -> Result<Checked, &'static str> {
    if name.is_empty() {
        return Err("is empty");
    }
    if name.starts_with(b"/") {
        return Err("is absolute");
    }
    let mut folders = Vec::new();
    for component in name.split(|byte| *byte == b'/') {
        match component {
            b"" => return Err("has an empty component"),
            b"." | b".." => return Err("has . or .. in it"),
            _ if component.len() > MAX_COMPONENT => return Err("has too long a component"),
            _ => {}
        }
        folders.push(CString::new(component).map_err(|_| "has a NUL in it")?);
    }
    if folders.len() > MAX_DEPTH {
        return Err("leads too deep");
    }
    let last = folders.pop().expect("split always gives at least one component");
    if !is_directory {
        // It could be another file's that is on its way: "a.part" is what "a" is called until it is whole.
        if last.as_bytes().ends_with(PART.as_bytes()) {
            return Err("ends in .part, as only files do that are not whole");
        }
        if last.as_bytes().len() + PART.len() > MAX_COMPONENT {
            return Err("is too long to have .part put behind it");
        }
    }
    Ok(Checked { folders, last })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // a panic is how a test fails
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_leads_out_is_refused() {
        for name in [
            &b""[..],
            b"/",
            b"/etc/passwd",
            b"..",
            b"../x",
            b"a/../../x",
            b"a/..",
            b".",
            b"./a",
            b"a/./b",
            b"a//b",
            b"a/",
            b"a\0b",
            b"a/\0",
            b"a.part",
            b"a/b.part",
            b".part",
        ] {
            assert!(check(name, false).is_err(), "{:?}", String::from_utf8_lossy(name));
        }
        for name in [&b"a"[..], b"a/b/c", b"...", b"..a", b"a..", b".hidden", b"\xff", b"a\\b"] {
            assert!(check(name, false).is_ok(), "{:?}", String::from_utf8_lossy(name));
        }
    }

    #[test]
    fn long_and_deep_names_are_refused() {
        assert!(check(&[b'x'; 250], false).is_ok());
        assert!(check(&[b'x'; 251], false).is_err());
        assert!(check(&[b'x'; 255], true).is_ok());
        assert!(check(&[b'x'; 256], true).is_err());
        assert!(check(&b"a/".repeat(MAX_DEPTH), true).is_err());
        assert!(check(b"a.part", true).is_ok(), "a directory is never partial");
    }

    proptest! {
        #[test]
        fn what_is_taken_is_one_step_down_at_a_time(
            name in prop_oneof![
                prop::collection::vec(any::<u8>(), 0..30),
                "[a./\\x00]{0,12}".prop_map(String::into_bytes),
            ],
        ) {
            if let Ok(checked) = check(&name, true) {
                let mut all: Vec<&[u8]> = checked.folders.iter().map(CString::as_bytes).collect();
                all.push(checked.last.as_bytes());
                prop_assert!(all.iter().all(|c| !c.is_empty() && *c != b"." && *c != b".."));
                prop_assert!(all.iter().all(|c| !c.contains(&b'/') && !c.contains(&0)));
                prop_assert_eq!(all.join(&b'/'), name);
            }
        }
    }
}
