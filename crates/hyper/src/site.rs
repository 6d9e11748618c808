//! From a request to an answer: what is found beneath the root, and what HTTP says to it.

use crate::{
    body::FileBody,
    ground::Ground,
    kept::{Held, Plain, Shelf},
    request::head,
    response::ResponseBody,
};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header, request::Parts};
use sendrail_files::{Found, OpenError, OpenFile, Siblings, Timestamp};
use sendrail_http::{
    answer::{Body, Representation, answer},
    date::UnixTime,
    head::{Head, Method},
    negotiate::{Coding, CodingSet, choose_coding},
    redirect::directory_redirect,
    render::{each_field, error_page},
    status::Status,
    target::{Target, resolve},
    validator::{EntityTag, date_is_strong, last_modified_seconds, strength},
};
use std::{
    hash::{BuildHasher, RandomState},
    io,
    sync::Arc,
};

/// What is served, and how.
#[derive(Debug)]
pub(crate) struct Site {
    pub(crate) root: Ground,
    pub(crate) shelf: Shelf,
    /// Answers for its directory, if it is there.
    pub(crate) index: Option<String>,
    /// The one file that is served, whatever is asked for.
    pub(crate) only: Option<Vec<u8>>,
    /// Which precompressed variants are looked for.
    pub(crate) variants: CodingSet,
    pub(crate) cache_control: Option<HeaderValue>,
    /// Whether bodies will be copied, whatever they are asked for by.
    pub(crate) copied: bool,
}

/// What came of a request.
pub(crate) enum Outcome {
    /// This.
    Answer(Response<ResponseBody>),
    /// There is no such file: somebody else may know one.
    NotFound,
    /// Neither GET nor HEAD.
    Method,
}

impl Site {
    /// The same with nothing kept.
    pub(crate) fn emptied(&self) -> Self {
        Self {
            root: self.root.clone(),
            shelf: self.shelf.emptied(),
            index: self.index.clone(),
            only: self.only.clone(),
            cache_control: self.cache_control.clone(),
            ..*self
        }
    }

    /// The answer, if all that it takes is kept: most of the time, and without a future.
    pub(crate) fn respond_at_once(&self, parts: &Parts) -> Option<Response<ResponseBody>> {
        let head = head(parts)?;
        let Ok(Target::Path(target)) = resolve(&head.method, head.target) else { return None };
        self.root.look_now_and_then();
        let root = self.root.root();
        let kept = if target.directory && self.only.is_none() {
            let index = self.index.as_ref()?;
            self.shelf.find(&root, &beneath(&target.path, index))?
        } else {
            let path = self.only.as_deref().unwrap_or(&target.path);
            self.shelf.find(&root, path)?
        };
        if !self.variants.is_identity_only() && !kept.variants()?.is_identity_only() {
            return None;
        }
        let named = (kept.file().media_type(), Coding::Identity, false);
        Some(self.answer(&head, &Held::Kept(kept), named, is_copied(parts)))
    }

    pub(crate) async fn respond(self: Arc<Self>, parts: &Parts) -> Outcome {
        let Some(head) = head(parts) else { return Outcome::Method };
        let copied = is_copied(parts);
        let target = match resolve(&head.method, head.target) {
            Ok(Target::Path(target)) => target,
            Ok(Target::Server) => return Outcome::Method,
            Err(refusal) if refusal.status == Status::NOT_FOUND => return Outcome::NotFound,
            Err(refusal) => return Outcome::Answer(page(&head, refusal.status, refusal.why)),
        };
        let wanted = self.only.as_deref().unwrap_or(&target.path);
        let wants_directory = target.directory && self.only.is_none();
        let index = self.index.as_ref().map(|index| beneath(wanted, index));
        // What lies beneath it says that it is a directory.
        let likely = if wants_directory { index.as_deref() } else { Some(wanted) };
        if let Some(path) = likely
            && let Some(kept) = self.shelf.find(&self.root.root(), path)
        {
            return self.file(&head, path, Held::Kept(kept), copied).await;
        }
        let found = match self.find(wanted).await {
            Ok(found) => found,
            Err(error) => return refused(&head, &error),
        };
        match found {
            Found::File(_) if wants_directory => Outcome::NotFound,
            Found::File(file) => {
                let source = self.shelf.keep(&self.root.root(), wanted, file);
                self.file(&head, wanted, source, copied).await
            }
            Found::Directory(_) if self.only.is_some() => Outcome::NotFound,
            Found::Directory(_) => {
                let Some(name) = index else { return Outcome::NotFound };
                match self.find(&name).await {
                    Ok(Found::File(_)) if !target.directory => {
                        let whole = directory_redirect(target.raw_path, target.query);
                        Outcome::Answer(redirect(&relative(&whole)))
                    }
                    Ok(Found::File(file)) => {
                        let source = self.shelf.keep(&self.root.root(), &name, file);
                        self.file(&head, &name, source, copied).await
                    }
                    Ok(_) => Outcome::NotFound,
                    Err(error) => refused(&head, &error),
                }
            }
        }
    }

    /// What a path leads to. If there are no descriptors, what is kept is given up for it; if there is nothing, the directory may
    /// have been made anew.
    async fn find(&self, path: &[u8]) -> Result<Found, OpenError> {
        match self.open(path).await {
            Err(OpenError::TooManyOpenFiles(_)) => {
                self.shelf.clear();
                self.open(path).await
            }
            Err(OpenError::NotFound) if self.root.is_another().await => self.open(path).await,
            outcome => outcome,
        }
    }

    /// Here if it can be known at once, else by a thread that may wait for the disk.
    async fn open(&self, path: &[u8]) -> Result<Found, OpenError> {
        if let Some(found) = self.root.root().find_at_once(path)? {
            return Ok(found);
        }
        let (root, path) = (self.root.root(), path.to_vec());
        off_the_loop(move || root.find(&path)).await
    }

    /// Which variants of a file there are that somebody wants.
    async fn variants(&self, path: &[u8], file: &OpenFile) -> Result<CodingSet, OpenError> {
        let at_once = Siblings::inspect_at_once(&self.root.root(), path, file.facts());
        let siblings = if let Some(siblings) = at_once {
            siblings
        } else {
            let (root, path, facts) = (self.root.root(), path.to_vec(), *file.facts());
            off_the_loop(move || Ok(Siblings::inspect(&root, &path, &facts))).await?
        };
        let flags = siblings.flags();
        let there = [
            (Coding::Zstd, flags.zstd),
            (Coding::Brotli, flags.brotli),
            (Coding::Gzip, flags.gzip),
        ];
        Ok(there
            .into_iter()
            .filter(|(coding, there)| *there && self.variants.contains(*coding))
            .fold(CodingSet::default(), |set, (coding, _)| set.with(coding)))
    }

    async fn file(&self, head: &Head<'_>, path: &[u8], source: Held, copied: bool) -> Outcome {
        let media_type = source.file().media_type();
        let (mut source, mut coding, mut vary) = (source, Coding::Identity, false);
        if !self.variants.is_identity_only() {
            let known = source.kept().and_then(|kept| kept.variants());
            let there = match known {
                Some(there) => there,
                None => match self.variants(path, source.file()).await {
                    Ok(there) => there,
                    Err(error) => return refused(head, &error),
                },
            };
            if known.is_none()
                && let Some(kept) = source.kept()
            {
                kept.know_variants(there);
            }
            vary = !there.is_identity_only();
            let chosen = choose_coding(&head.fields.accept_encoding, there);
            if let Some(chosen) = chosen.filter(|chosen| *chosen != Coding::Identity)
                && let Some(variant) = self.variant(path, chosen).await
            {
                (source, coding) = (variant, chosen);
            }
        }
        Outcome::Answer(self.answer(head, &source, (media_type, coding, vary), copied))
    }

    fn answer(
        &self,
        head: &Head<'_>,
        source: &Held,
        named: (&'static str, Coding, bool),
        copied: bool,
    ) -> Response<ResponseBody> {
        // Who asks for all of it and knows nothing gets what the last one got.
        match source.plain(named).filter(|_| !head.fields.conditional_or_range) {
            Some(fields) => self.again(head, source, fields, copied),
            None => self.represent(head, source, named, copied),
        }
    }

    /// The variant of a file. It may have gone since it was seen: then the file itself is sent.
    async fn variant(&self, path: &[u8], coding: Coding) -> Option<Held> {
        let sibling = [path, coding.extension().as_bytes()].concat();
        if let Some(kept) = self.shelf.find(&self.root.root(), &sibling) {
            return Some(Held::Kept(kept));
        }
        match self.find(&sibling).await {
            Ok(Found::File(variant)) => Some(self.shelf.keep(&self.root.root(), &sibling, variant)),
            _ => None,
        }
    }

    /// Puts a part of a file into a body.
    fn push(&self, body: &mut ResponseBody, source: &Held, (first, len): (u64, u64), copied: bool) {
        let whole = (first, len) == (0, source.file().facts().len);
        if whole && let Some(bytes) = source.bytes() {
            return body.push_bytes(bytes);
        }
        let file = FileBody::of(source, first, len);
        body.push_file(if self.copied || copied { file.to_be_copied() } else { file });
    }

    /// All of a file, with fields that were made before.
    fn again(
        &self,
        head: &Head<'_>,
        source: &Held,
        fields: &HeaderMap,
        copied: bool,
    ) -> Response<ResponseBody> {
        let mut body = ResponseBody::default();
        if head.method != Method::Head {
            self.push(&mut body, source, (0, source.file().facts().len), copied);
        }
        let mut response = Response::new(body);
        *response.headers_mut() = fields.clone();
        response
    }

    fn represent(
        &self,
        head: &Head<'_>,
        source: &Held,
        (media_type, coding, vary): (&'static str, Coding, bool),
        copied: bool,
    ) -> Response<ResponseBody> {
        let facts = source.file().facts();
        let unix =
            |time: Timestamp| UnixTime { seconds: time.seconds, nanoseconds: time.nanoseconds };
        let (modified, observed) = (unix(facts.modified), unix(facts.observed));
        let representation = Representation {
            len: facts.len,
            modified_seconds: last_modified_seconds(modified, observed),
            modified_is_strong: date_is_strong(modified, observed),
            etag: EntityTag::new(
                modified.seconds,
                modified.nanoseconds,
                facts.len,
                coding,
                strength(modified, observed),
            ),
            content_type: media_type,
            coding,
            vary,
            cache_control: None, // put in below, as it is
        };
        let boundary = if head.fields.conditional_or_range { boundary() } else { 0 };
        let answer = answer(head, &representation, boundary);
        let mut body = ResponseBody::default();
        if answer.sends_body(head) {
            match &answer.body {
                Body::Empty => {}
                Body::Whole => self.push(&mut body, source, (0, facts.len), copied),
                Body::Range(part) => self.push(&mut body, source, (part.first, part.len), copied),
                Body::Multipart(multipart) => {
                    for part in &multipart.parts {
                        body.push_bytes(part.head.clone());
                        self.push(&mut body, source, (part.range.first, part.range.len), copied);
                    }
                    body.push_bytes(multipart.closing.clone());
                }
            }
        }
        let mut response = Response::new(body);
        *response.status_mut() = status(answer.status);
        let fields = response.headers_mut();
        each_field(&answer, &representation, |name, value| {
            // What is in a value came from here, or was refused where it was set.
            let value = match (name, value) {
                ("content-type", _) if answer.body == Body::Whole => {
                    Ok(HeaderValue::from_static(media_type))
                }
                ("accept-ranges", "bytes") => Ok(HeaderValue::from_static("bytes")),
                ("x-content-type-options", "nosniff") => Ok(HeaderValue::from_static("nosniff")),
                _ => HeaderValue::from_str(value),
            };
            if let Ok(value) = value {
                fields.insert(HeaderName::from_static(name), value);
            }
        });
        if let Some(value) = &self.cache_control
            && !answer.status.is_error()
        {
            fields.insert(header::CACHE_CONTROL, value.clone());
        }
        if !head.fields.conditional_or_range {
            let fields = fields.clone();
            source.know_plain(Plain { media_type, coding, vary, fields });
        }
        response
    }
}

/// Frames of HTTP/2 are.
fn is_copied(parts: &Parts) -> bool {
    parts.version == http::Version::HTTP_2
}

fn beneath(directory: &[u8], name: &str) -> Vec<u8> {
    let slash: &[u8] = if directory.is_empty() { b"" } else { b"/" };
    [directory, slash, name.as_bytes()].concat()
}

async fn off_the_loop<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, OpenError> + Send + 'static,
) -> Result<T, OpenError> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|gone| {
        Err(OpenError::Io { doing: "looking up", error: io::Error::other(gone) })
    })
}

/// Absent from what it separates by chance, and another one each time; it need not be secret.
fn boundary() -> u128 {
    let half = || u128::from(RandomState::new().hash_one(0));
    half() << 64 | half()
}

fn status(status: Status) -> StatusCode {
    StatusCode::from_u16(status.code()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

fn refused(head: &Head<'_>, error: &OpenError) -> Outcome {
    let (status, why) = match error {
        OpenError::NotFound | OpenError::NameTooLong => return Outcome::NotFound,
        OpenError::Forbidden { why } => (Status::FORBIDDEN, *why),
        OpenError::NotAFile { .. } => (Status::FORBIDDEN, "this is not a regular file"),
        OpenError::TooManyOpenFiles(_) => {
            (Status::SERVICE_UNAVAILABLE, "there are too many open files")
        }
        _ => (Status::INTERNAL_SERVER_ERROR, "the file cannot be read"),
    };
    Outcome::Answer(page(head, status, why))
}

/// A page for a person.
pub(crate) fn page(head: &Head<'_>, with: Status, why: &str) -> Response<ResponseBody> {
    let text = error_page(with, why);
    let length = HeaderValue::from(text.len());
    let mut body = ResponseBody::default();
    if head.method != Method::Head {
        body.push_bytes(text);
    }
    let mut response = Response::new(body);
    *response.status_mut() = status(with);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_LENGTH, length);
    let html = HeaderValue::from_static("text/html; charset=utf-8");
    headers.insert(header::CONTENT_TYPE, html);
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// From where the client is, for a router may have taken the beginning of the path away: `/static/photos/?a` from
/// `/photos/?a` is `./photos/?a`.
fn relative(location: &str) -> String {
    let (path, query) = location.find('?').map_or((location, ""), |at| location.split_at(at));
    let last = path.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    format!("./{last}/{query}")
}

fn redirect(location: &str) -> Response<ResponseBody> {
    let mut response = Response::new(ResponseBody::default());
    // For now: a file may take the directory's place.
    *response.status_mut() = StatusCode::TEMPORARY_REDIRECT;
    if let Ok(location) = HeaderValue::from_str(location) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirect_is_from_where_the_client_is() {
        for (whole, from_there) in
            [("/photos/?a=/b", "./photos/?a=/b"), ("/a/b/", "./b/"), ("/a:b/", "./a:b/")]
        {
            assert_eq!(relative(whole), from_there);
        }
    }

    #[test]
    fn boundaries_differ() {
        assert_ne!(boundary(), boundary());
    }
}
