//! From a request to an answer: what is found beneath the root, and what HTTP says to it.

use crate::{body::FileBody, request::head, response::ResponseBody};
use http::{HeaderName, HeaderValue, Response, StatusCode, header, request::Parts};
use sendrail_files::{Found, OpenError, OpenFile, Root, Siblings, Timestamp};
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
#[derive(Debug, Clone)]
pub(crate) struct Site {
    pub(crate) root: Root,
    /// Answers for its directory, if it is there.
    pub(crate) index: Option<String>,
    /// The one file that is served, whatever is asked for.
    pub(crate) only: Option<Vec<u8>>,
    /// Which precompressed variants are looked for.
    pub(crate) variants: CodingSet,
    pub(crate) cache_control: Option<String>,
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
    pub(crate) async fn respond(self: Arc<Self>, parts: &Parts) -> Outcome {
        let Some(head) = head(parts) else { return Outcome::Method };
        // Frames are copied.
        let copied = parts.version == http::Version::HTTP_2;
        let target = match resolve(&head.method, head.target) {
            Ok(Target::Path(target)) => target,
            Ok(Target::Server) => return Outcome::Method,
            Err(refusal) if refusal.status == Status::NOT_FOUND => return Outcome::NotFound,
            Err(refusal) => return Outcome::Answer(page(&head, refusal.status, refusal.why)),
        };
        let wanted = self.only.as_deref().unwrap_or(&target.path);
        let found = match self.find(wanted).await {
            Ok(found) => found,
            Err(error) => return refused(&head, &error),
        };
        match found {
            Found::File(_) if target.directory && self.only.is_none() => Outcome::NotFound,
            Found::File(file) => self.file(&head, wanted, file, copied).await,
            Found::Directory(_) if self.only.is_some() => Outcome::NotFound,
            Found::Directory(_) => {
                let Some(index) = &self.index else { return Outcome::NotFound };
                let slash: &[u8] = if wanted.is_empty() { b"" } else { b"/" };
                let name = [wanted, slash, index.as_bytes()].concat();
                match self.find(&name).await {
                    Ok(Found::File(_)) if !target.directory => {
                        let whole = directory_redirect(target.raw_path, target.query);
                        Outcome::Answer(redirect(&relative(&whole)))
                    }
                    Ok(Found::File(file)) => self.file(&head, &name, file, copied).await,
                    Ok(_) => Outcome::NotFound,
                    Err(error) => refused(&head, &error),
                }
            }
        }
    }

    /// Here if it can be known at once, else by a thread that may wait for the disk.
    async fn find(&self, path: &[u8]) -> Result<Found, OpenError> {
        if let Some(found) = self.root.find_at_once(path)? {
            return Ok(found);
        }
        let (root, path) = (self.root.clone(), path.to_vec());
        off_the_loop(move || root.find(&path)).await
    }

    /// Which variants of a file there are that somebody wants.
    async fn variants(&self, path: &[u8], file: &OpenFile) -> Result<CodingSet, OpenError> {
        let at_once = Siblings::inspect_at_once(&self.root, path, file.facts());
        let siblings = if let Some(siblings) = at_once {
            siblings
        } else {
            let (root, path, facts) = (self.root.clone(), path.to_vec(), *file.facts());
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

    async fn file(&self, head: &Head<'_>, path: &[u8], file: OpenFile, copied: bool) -> Outcome {
        let media_type = file.media_type();
        let (mut file, mut coding, mut vary) = (file, Coding::Identity, false);
        if self.variants != CodingSet::default() {
            let there = match self.variants(path, &file).await {
                Ok(there) => there,
                Err(error) => return refused(head, &error),
            };
            vary = there != CodingSet::default();
            let chosen = choose_coding(&head.fields.accept_encoding, there);
            if let Some(chosen) = chosen.filter(|chosen| *chosen != Coding::Identity) {
                let sibling = [path, chosen.extension().as_bytes()].concat();
                // It may have gone since it was seen: then the file itself is sent.
                if let Ok(Found::File(variant)) = self.find(&sibling).await {
                    (file, coding) = (variant, chosen);
                }
            }
        }
        Outcome::Answer(self.represent(head, &file, media_type, (coding, vary), copied))
    }

    fn represent(
        &self,
        head: &Head<'_>,
        file: &OpenFile,
        media_type: &str,
        (coding, vary): (Coding, bool),
        copied: bool,
    ) -> Response<ResponseBody> {
        let facts = file.facts();
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
            cache_control: self.cache_control.as_deref(),
        };
        let answer = answer(head, &representation, boundary());
        let mut body = ResponseBody::default();
        let copied = self.copied || copied;
        let range = |first, len| {
            let body = FileBody::new(Arc::clone(file.file()), first, len);
            if copied { body.to_be_copied() } else { body }
        };
        if answer.sends_body(head) {
            match &answer.body {
                Body::Empty => {}
                Body::Whole => body.push_file(range(0, facts.len)),
                Body::Range(part) => body.push_file(range(part.first, part.len)),
                Body::Multipart(multipart) => {
                    for part in &multipart.parts {
                        body.push_bytes(part.head.clone());
                        body.push_file(range(part.range.first, part.range.len));
                    }
                    body.push_bytes(multipart.closing.clone());
                }
            }
        }
        let mut response = Response::new(body);
        *response.status_mut() = status(answer.status);
        each_field(&answer, &representation, |name, value| {
            // What is in a value came from here, or was refused where it was set.
            if let Ok(value) = HeaderValue::from_str(value) {
                response.headers_mut().insert(HeaderName::from_static(name), value);
            }
        });
        response
    }
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
