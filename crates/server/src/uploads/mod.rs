//! Uploads: who may, what they may, and the bytes on their way into a file.
//!
//! 1. `respond::upload` looks at the head of a request, without I/O: is it an upload, whose, and to what?
//! 2. `work` does it, in threads that may sleep: asks `sendrail_files` for a place, receives the `body`, makes the file visible.
//! 3. `connection::upload` waits for the socket in between.

pub(crate) mod answer;
pub(crate) mod arriving;
mod body;
mod few;
pub(crate) mod news;
pub(crate) mod place;
mod target;
pub mod tokens;
pub(crate) mod work;

use crate::config::Limits;
use news::News;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use place::Place;
use sendrail_files::{Swept, UploadId};
use sendrail_http::upload;
use std::{fmt, io, path::PathBuf, sync::Arc, thread, time::Duration};
use tokens::Tokens;

/// Where files may arrive, from whom, and under which rules.
#[derive(Debug)]
pub struct Uploads {
    /// As it was named: a path beneath the served directory.
    pub(crate) shown: PathBuf,
    /// Its path in targets: no slash at either end, empty for all of the served directory.
    pub(crate) prefix: Vec<u8>,
    pub(crate) place: Place,
    pub(crate) who: Who,
    /// How slow a sender may be.
    pub(crate) patience: Limits,
    pub(crate) news: News,
}

/// Who may upload.
#[derive(Debug)]
pub(crate) enum Who {
    Anybody,
    Holders(Tokens),
}

/// What is escaped in a path of the answer's Location.
const PATH: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'/').remove(b'.').remove(b'-').remove(b'_').remove(b'~');

/// The name of the directory that unfinished uploads are in, below the one that files arrive in, and of what they are called in targets.
pub(crate) const UNFINISHED: &[u8] = b".uploads";

impl Uploads {
    /// The path that a target's has below the directory of uploads; none if it is not in there.
    pub(crate) fn below<'a>(&self, path: &'a [u8]) -> Option<&'a [u8]> {
        if self.prefix.is_empty() {
            return Some(path);
        }
        match path.strip_prefix(&*self.prefix)? {
            [] => Some(&[]),
            [b'/', rest @ ..] => Some(rest),
            _ => None,
        }
    }

    /// The path from the served directory.
    pub(crate) fn whole_path(&self, below: &[u8]) -> Vec<u8> {
        if self.prefix.is_empty() {
            return below.to_vec();
        }
        [&*self.prefix, below].join(&b'/')
    }

    /// Where an upload is that can be gone on with.
    pub(crate) fn location(&self, id: UploadId) -> String {
        let below = [UNFINISHED, id.to_string().as_bytes()].join(&b'/');
        let path = self.whole_path(&below);
        format!("/{}", percent_encode(&path, PATH))
    }

    /// Bytes that a file may have.
    pub(crate) fn most(&self) -> u64 {
        self.place.options().most.unwrap_or(u64::MAX)
    }

    /// What clients are told of.
    pub(crate) fn limits(&self) -> upload::Limits {
        let options = self.place.options();
        upload::Limits {
            most: options.most,
            most_at_once: None,
            max_age: Some(options.keep.as_secs()),
        }
    }

    pub(crate) fn device(&self) -> u64 {
        self.place.device()
    }

    /// Whose a request is: `Err` if that is nobody's who may upload.
    pub(crate) fn who(&self, authorization: Option<&[u8]>) -> Result<Option<Arc<str>>, ()> {
        match &self.who {
            Who::Anybody => Ok(None),
            Who::Holders(tokens) => {
                authorization.and_then(|value| tokens.who(value)).map(Some).ok_or(())
            }
        }
    }
}

impl Uploads {
    /// From now on takes away, now and then, what nobody has gone on with for too long.
    ///
    /// # Errors
    ///
    /// The kernel refuses a thread (`pthread_create(3)`).
    pub(crate) fn sweep_now_and_then(self: &Arc<Self>) -> io::Result<()> {
        let uploads = Arc::downgrade(self);
        let keep = self.place.options().keep;
        let pause = (keep / 4).clamp(Duration::from_secs(10), Duration::from_mins(10));
        let sweep = move || {
            loop {
                thread::sleep(pause);
                let Some(uploads) = uploads.upgrade() else { return };
                match uploads.place.landing().sweep() {
                    Ok(swept) if swept.removed > 0 => {
                        let Swept { removed, bytes, unfinished, .. } = swept;
                        tracing::info!(
                            removed,
                            bytes,
                            unfinished,
                            "uploads that nobody went on with"
                        );
                    }
                    Ok(_) => {}
                    Err(error) => tracing::error!(%error, "unfinished uploads cannot be looked at"),
                }
            }
        };
        thread::Builder::new().name("uploads".to_owned()).spawn(sweep).map(drop)
    }

    /// Takes the file of tokens as it is now. If it cannot be, those that are known stay so.
    pub(crate) fn read_tokens_again(&self) {
        let Who::Holders(tokens) = &self.who else { return };
        match tokens.read_again() {
            Ok(count) => tracing::info!("{count} tokens from {}", tokens.path().display()),
            Err(problem) => tracing::error!("{problem}; who could upload still can"),
        }
    }
}

/// As it is said at start-up.
impl fmt::Display for Uploads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let options = self.place.options();
        let most = options.most.unwrap_or(u64::MAX);
        write!(f, "into {}, {most} bytes each (--upload-max)", self.shown.display())?;
        if let Some(quota) = options.quota {
            write!(f, ", {quota} together (--upload-quota)")?;
        }
        match &self.who {
            Who::Anybody => f.write_str(", from everybody who can connect (--upload-auth none)")?,
            Who::Holders(tokens) => write!(
                f,
                ", from those who hold one of {} tokens (--upload-auth {})",
                tokens.count(),
                tokens.path().display()
            )?,
        }
        f.write_str(if options.sync {
            ", on the disk when acknowledged"
        } else {
            ", not synced to the disk (--upload-sync off)"
        })
    }
}
