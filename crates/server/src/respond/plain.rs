//! Answers that are not files: errors, redirects, OPTIONS, finished listings.

use super::{
    Site,
    listing::{ListingJob, NoPage, Page},
    reply::{Cost, Reply, Source},
};
use bytes::Bytes;
use sendrail_files::OpenError;
use sendrail_http::{
    head::{Head, Method, Version},
    render::{Envelope, error_page, write_simple},
    status::Status,
    target::{Target, resolve},
};
use sendrail_transfer::Chain;

/// Our own pages hold a style and nothing else; a name that found a way to be markup does nothing.
const POLICY: (&str, &str) =
    ("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'");

const HTML: Option<&str> = Some("text/html; charset=utf-8");

impl Site {
    pub(super) fn error(
        &mut self,
        status: Status,
        why: &str,
        extra: &[(&str, &str)],
        head: &Head<'_>,
        persist: bool,
    ) -> Reply {
        let no_body = head.method == Method::Head;
        self.error_page(status, why, extra, head.version, no_body, persist)
    }

    pub(super) fn error_page(
        &mut self,
        status: Status,
        why: &str,
        extra: &[(&str, &str)],
        version: Version,
        no_body: bool,
        persist: bool,
    ) -> Reply {
        let page = error_page(status, why);
        let extra: Vec<_> = extra.iter().copied().chain([POLICY]).collect();
        self.simple(status, HTML, page.into(), &extra, version, no_body, persist)
    }

    /// Says what kept a file from being sent. A fault on the side of the files is logged as one:
    /// it is never the client's.
    pub(super) fn open_error(
        &mut self,
        error: &OpenError,
        head: &Head<'_>,
        persist: bool,
    ) -> Reply {
        let target = String::from_utf8_lossy(head.target);
        let (status, why, extra): (_, &str, &[_]) = match error {
            OpenError::NotFound | OpenError::NameTooLong => {
                (Status::NOT_FOUND, "there is nothing at this address", &[])
            }
            OpenError::Forbidden { why } => (Status::FORBIDDEN, *why, &[]),
            OpenError::NotAFile { .. } => (Status::FORBIDDEN, "this is not a regular file", &[]),
            OpenError::TooManyOpenFiles(error) => {
                tracing::error!(%target, %error, "no descriptor left to open a file");
                (Status::SERVICE_UNAVAILABLE, "the server is busy", &[("Retry-After", "1")])
            }
            // Another program holds a lease on the file (fcntl(2), F_SETLEASE) and was asked for it.
            OpenError::Io { error, .. } if error.kind() == std::io::ErrorKind::WouldBlock => {
                (Status::SERVICE_UNAVAILABLE, "the file is in use", &[("Retry-After", "1")])
            }
            other => {
                tracing::error!(%target, error = %other, "a file could not be opened");
                (Status::INTERNAL_SERVER_ERROR, "the file could not be read", &[])
            }
        };
        self.error(status, why, extra, head, persist)
    }

    pub(super) fn redirect(&mut self, location: &str, head: &Head<'_>, persist: bool) -> Reply {
        let status = Status::MOVED_PERMANENTLY;
        let why = "this is a directory: its address ends with a slash";
        self.error(status, why, &[("Location", location)], head, persist)
    }

    pub(super) fn options(&mut self, target: &Target<'_>, head: &Head<'_>, persist: bool) -> Reply {
        let allowed = self.allowed(target);
        let extra: Vec<_> = allowed.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let none = Bytes::new();
        self.simple(Status::NO_CONTENT, None, none, &extra, head.version, true, persist)
    }

    /// The method is known, and nothing is done by it here.
    pub(super) fn not_allowed(&mut self, head: &Head<'_>, persist: bool) -> Reply {
        let allowed = match resolve(&head.method, head.target) {
            Ok(target) => self.allowed(&target),
            Err(_) => self.allowed(&Target::Server),
        };
        let extra: Vec<_> = allowed.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let why = "files are only read here";
        self.error(Status::METHOD_NOT_ALLOWED, why, &extra[..1], head, persist)
    }

    /// The reply that a finished listing makes. Its head is in memory of its own.
    pub(crate) fn listed(&mut self, job: &ListingJob, made: Result<Page, NoPage>) -> Reply {
        self.clock.tick(); // the disk may have taken its time
        let version = job.version;
        let mut reply = match made {
            Ok(page) => self.simple(
                Status::OK,
                Some(page.content_type),
                page.content,
                &[("Vary", "Accept"), ("Cache-Control", "no-cache"), POLICY],
                version,
                job.head_only,
                job.persist,
            ),
            Err(NoPage::Busy) => {
                let (status, why) = (Status::SERVICE_UNAVAILABLE, "too many listings at once");
                let extra = &[("Retry-After", "5")];
                self.error_page(status, why, extra, version, job.head_only, job.persist)
            }
            Err(NoPage::Unreadable(error)) => {
                tracing::error!(directory = job.shown_path, %error, "a directory could not be listed");
                let status = Status::INTERNAL_SERVER_ERROR;
                let why = "the directory could not be read";
                self.error_page(status, why, &[], version, job.head_only, job.persist)
            }
        };
        self.keep(&mut reply);
        reply
    }

    /// The reply to whoever asked for something that the disk did not give. Its head is in memory of
    /// its own.
    pub(crate) fn unprepared(
        &mut self,
        status: Status,
        why: &str,
        version: Version,
        no_body: bool,
        persist: bool,
    ) -> Reply {
        self.clock.tick();
        let extra = &[("Retry-After", "10")];
        let mut reply = self.error_page(status, why, extra, version, no_body, persist);
        self.keep(&mut reply);
        reply
    }

    #[allow(clippy::too_many_arguments)] // each is one independent property of the response
    fn simple(
        &mut self,
        status: Status,
        content_type: Option<&str>,
        body: Bytes,
        extra: &[(&str, &str)],
        version: Version,
        no_body: bool,
        keep_alive: bool,
    ) -> Reply {
        let date = self.clock.date();
        let envelope = Envelope { date, server: Some(super::file::SERVER), keep_alive, version };
        self.scratch.clear();
        let len = body.len() as u64;
        write_simple(&mut self.scratch, status, content_type, len, extra, &envelope);
        let mut chain = Chain::new();
        let head_len = self.scratch.len() as u64;
        if !no_body {
            // One contiguous send: error pages are small; listings are not, and are shared.
            if body.len() <= 4096 {
                self.scratch.extend_from_slice(&body);
            } else {
                chain.push_bytes(body);
            }
        }
        Reply {
            status,
            head_len,
            source: Source::Scratch(chain),
            cost: Cost::default(),
            device: 0,
            record: None,
        }
    }
}
