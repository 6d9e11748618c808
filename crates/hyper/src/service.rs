//! Directories and files as tower services, by the names that tower-http gave them.

use crate::{
    ground::Ground,
    kept::{Keep, Shelf},
    response::ResponseBody,
    site::{Outcome, Site, page},
};
use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use sendrail_files::{RootError, RootOptions};
use sendrail_http::{
    head::{Fields, Framing, Head, Method, Version},
    negotiate::{Coding, CodingSet},
    status::Status,
};
use std::{
    convert::Infallible,
    error::Error,
    fmt,
    future::Future,
    path::Path,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};
use tower_service::Service;

/// What a service here answers with: at once, if it has what it takes, else some day.
#[must_use = "nothing is answered before it is polled"]
pub struct Answering(State);

enum State {
    /// Here it is; nothing, once it is given out.
    Ready(Option<Response<ResponseBody>>),
    Later(Pin<Box<dyn Future<Output = Response<ResponseBody>> + Send>>),
}

impl Answering {
    fn later(future: impl Future<Output = Response<ResponseBody>> + Send + 'static) -> Self {
        Self(State::Later(Box::pin(future)))
    }
}

impl fmt::Debug for Answering {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            State::Ready(_) => "Answering(ready)",
            State::Later(_) => "Answering(later)",
        })
    }
}

impl Future for Answering {
    type Output = Result<Response<ResponseBody>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            State::Ready(response) => {
                Poll::Ready(Ok(response.take().expect("it is not polled again when it is ready")))
            }
            State::Later(future) => future.as_mut().poll(context).map(Ok),
        }
    }
}

/// A directory, whatever lies in it and nothing beside it.
///
/// Ranges (several, too), conditional requests with strong validators where they can be, HEAD, and precompressed variants
/// where they are asked for. Nothing outside the directory is ever opened (`openat2(2)`, RESOLVE_BENEATH): no `..`, no symbolic
/// link that leads out. Names that begin with a dot are not served, but for `.well-known`.
///
/// What is different from tower-http's: the directory is opened when this is made, so that it must be there; that it has been removed and
/// made anew, or is a link that was switched, is seen within a second, or when a file is missing; a directory without an index file is not found; bodies are
/// [`ResponseBody`], which [`ZeroCopy`](crate::ZeroCopy) sockets send without a copy.
///
/// ```
/// use http::{Request, StatusCode};
/// use sendrail_hyper::ServeDir;
/// use tower_service::Service;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let assets = tempfile::tempdir()?;
/// # std::fs::write(assets.path().join("style.css"), "a{}")?;
/// let mut service = ServeDir::new(assets.path())?.precompressed_gzip();
/// let response = service.call(Request::get("/style.css").body(())?).await?;
/// assert_eq!(response.status(), StatusCode::OK);
/// assert_eq!(response.headers()["content-type"], "text/css; charset=utf-8");
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct ServeDir<F = NoFallback> {
    site: Arc<Site>,
    fallback: F,
}

/// Nobody else is asked.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoFallback;

/// Who is asked where there is no such file.
#[derive(Debug, Clone)]
pub struct Fallback<F> {
    service: F,
    /// What its answers are made to say.
    as_status: Option<StatusCode>,
    /// Whether it is asked for what is neither GET nor HEAD, too.
    other_methods: bool,
}

impl ServeDir {
    /// What lies in `path`, with `index.html` for a directory.
    ///
    /// # Errors
    ///
    /// It is no directory, or may not be entered.
    pub fn new(path: impl AsRef<Path>) -> Result<Self, RootError> {
        Self::with_options(path, RootOptions::default())
    }

    /// The same with another mind about symbolic links and names that begin with a dot.
    ///
    /// # Errors
    ///
    /// It is no directory, or may not be entered.
    pub fn with_options(path: impl AsRef<Path>, options: RootOptions) -> Result<Self, RootError> {
        let site = Site {
            root: Ground::open(path.as_ref(), options)?,
            shelf: Shelf::new(Keep::default()),
            index: Some("index.html".to_owned()),
            only: None,
            variants: CodingSet::default(),
            cache_control: None,
            copied: false,
        };
        Ok(Self { site: Arc::new(site), fallback: NoFallback })
    }
}

impl<F> ServeDir<F> {
    fn change(mut self, how: impl FnOnce(&mut Site)) -> Self {
        // What was made for the old one is not right for the new one.
        let mut site = self.site.emptied();
        how(&mut site);
        self.site = Arc::new(site);
        self
    }

    /// Whether `index.html` answers for its directory. It does, unless this says no.
    #[must_use]
    pub fn append_index_html_on_directories(self, append: bool) -> Self {
        self.change(|site| site.index = append.then(|| "index.html".to_owned()))
    }

    /// Another name for the file that answers for its directory: a plain one, without a slash.
    #[must_use]
    pub fn index(self, name: impl Into<String>) -> Self {
        self.change(|site| site.index = Some(name.into()))
    }

    /// `FILE.gz` is sent where the client takes it and it is not older than `FILE`.
    #[must_use]
    pub fn precompressed_gzip(self) -> Self {
        self.change(|site| site.variants = site.variants.with(Coding::Gzip))
    }

    /// The same for `FILE.br`.
    #[must_use]
    pub fn precompressed_br(self) -> Self {
        self.change(|site| site.variants = site.variants.with(Coding::Brotli))
    }

    /// The same for `FILE.zst`.
    #[must_use]
    pub fn precompressed_zstd(self) -> Self {
        self.change(|site| site.variants = site.variants.with(Coding::Zstd))
    }

    /// Says that bodies will be copied: behind TLS, or over sockets that are no [`ZeroCopy`](crate::ZeroCopy). See
    /// [`FileBody::to_be_copied`](crate::FileBody::to_be_copied); for HTTP/2 it is known.
    #[must_use]
    pub fn to_be_copied(self) -> Self {
        self.change(|site| site.copied = true)
    }

    /// A Cache-Control for every file.
    #[must_use]
    pub fn cache_control(self, value: HeaderValue) -> Self {
        self.change(|site| site.cache_control = Some(value))
    }

    /// How much is kept between requests: open files, and the contents of short ones. Nothing of it is ever out of date: each
    /// request asks the kernel whether the path still leads to that very version. Only who writes through a shared mapping (`mmap(2)`) may
    /// change what is in a file and none of its time stamps: where that is done, `memory` should be 0.
    ///
    /// ```
    /// use sendrail_hyper::{Keep, ServeDir};
    ///
    /// # let assets = tempfile::tempdir()?;
    /// let service = ServeDir::new(assets.path())?.keep(Keep { files: 100, ..Keep::default() });
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn keep(self, keep: Keep) -> Self {
        self.change(|site| site.shelf = Shelf::new(keep))
    }

    /// Who is asked where there is no such file, with the request as it came. Its status stands.
    pub fn fallback<G>(self, service: G) -> ServeDir<Fallback<G>> {
        ServeDir {
            site: self.site,
            fallback: Fallback { service, as_status: None, other_methods: false },
        }
    }

    /// The same, but whatever it answers is said to be 404 (Not Found).
    pub fn not_found_service<G>(self, service: G) -> ServeDir<Fallback<G>> {
        let as_status = Some(StatusCode::NOT_FOUND);
        ServeDir {
            site: self.site,
            fallback: Fallback { service, as_status, other_methods: false },
        }
    }
}

impl<F> ServeDir<Fallback<F>> {
    /// Whether the fallback is asked, too, where the method is neither GET nor HEAD, instead of a 405 (Method Not Allowed).
    /// It is not, unless this says so.
    #[must_use]
    pub fn call_fallback_on_method_not_allowed(mut self, call: bool) -> Self {
        self.fallback.other_methods = call;
        self
    }
}

/// One file, whatever path is asked for. As [`ServeDir`] in all else.
#[derive(Debug, Clone)]
pub struct ServeFile(ServeDir);

impl ServeFile {
    /// The file at `path`, which is opened anew for each request; the directory that it lies in must be there.
    ///
    /// # Errors
    ///
    /// There is no such directory, it may not be entered, or the path names no file.
    pub fn new(path: impl AsRef<Path>) -> Result<Self, RootError> {
        use std::os::unix::ffi::OsStrExt;

        let path = path.as_ref();
        let name = path.file_name();
        let name = name.ok_or_else(|| RootError::DoesNotExist { path: path.to_owned() })?;
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let options =
            RootOptions { dotfiles: sendrail_files::Dotfiles::Serve, ..RootOptions::default() };
        let directory = ServeDir::with_options(parent.unwrap_or(Path::new(".")), options)?;
        Ok(Self(directory.change(|site| site.only = Some(name.as_bytes().to_vec()))))
    }

    /// As [`ServeDir::precompressed_gzip`].
    #[must_use]
    pub fn precompressed_gzip(self) -> Self {
        Self(self.0.precompressed_gzip())
    }

    /// As [`ServeDir::precompressed_br`].
    #[must_use]
    pub fn precompressed_br(self) -> Self {
        Self(self.0.precompressed_br())
    }

    /// As [`ServeDir::precompressed_zstd`].
    #[must_use]
    pub fn precompressed_zstd(self) -> Self {
        Self(self.0.precompressed_zstd())
    }
}

impl<B: Send + 'static> Service<Request<B>> for ServeFile {
    type Response = Response<ResponseBody>;
    type Error = Infallible;
    type Future = Answering;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Answering {
        self.0.call(request)
    }
}

impl<B: Send + 'static> Service<Request<B>> for ServeDir {
    type Response = Response<ResponseBody>;
    type Error = Infallible;
    type Future = Answering;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Answering {
        let (parts, _body) = request.into_parts();
        if let Some(response) = self.site.respond_at_once(&parts) {
            return Answering(State::Ready(Some(response)));
        }
        let site = Arc::clone(&self.site);
        Answering::later(async move {
            let is_head = parts.method == http::Method::HEAD;
            match site.respond(&parts).await {
                Outcome::Answer(response) => response,
                Outcome::NotFound => {
                    page(&plain(is_head), Status::NOT_FOUND, "There is no such file.")
                }
                Outcome::Method => not_allowed(is_head),
            }
        })
    }
}

impl<B, F, R> Service<Request<B>> for ServeDir<Fallback<F>>
where
    B: Send + 'static,
    F: Service<Request<B>, Response = Response<R>, Error = Infallible> + Clone + Send + 'static,
    F::Future: Send,
    R: http_body::Body<Data = Bytes> + Send + 'static,
    R::Error: Into<Box<dyn Error + Send + Sync>>,
{
    type Response = Response<ResponseBody>;
    type Error = Infallible;
    type Future = Answering;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.fallback.service.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Answering {
        let (parts, body) = request.into_parts();
        if let Some(response) = self.site.respond_at_once(&parts) {
            return Answering(State::Ready(Some(response)));
        }
        let site = Arc::clone(&self.site);
        let Fallback { as_status, other_methods, .. } = self.fallback;
        // The one that was ready is the one to be called.
        let ready = self.fallback.service.clone();
        let mut fallback = std::mem::replace(&mut self.fallback.service, ready);
        Answering::later(async move {
            let is_head = parts.method == http::Method::HEAD;
            match site.respond(&parts).await {
                Outcome::Answer(response) => response,
                Outcome::Method if !other_methods => not_allowed(is_head),
                Outcome::Method | Outcome::NotFound => {
                    let Ok(answered) = fallback.call(Request::from_parts(parts, body)).await;
                    let mut response = answered.map(ResponseBody::of_another);
                    if let Some(status) = as_status {
                        *response.status_mut() = status;
                    }
                    response
                }
            }
        })
    }
}

/// As much of a head as a page takes.
fn plain(is_head: bool) -> Head<'static> {
    Head {
        method: if is_head { Method::Head } else { Method::Get },
        target: b"/",
        version: Version::Http11,
        framing: Framing::None,
        keep_alive: true,
        expect_continue: false,
        fields: Fields::default(),
        raw: &[],
    }
}

fn not_allowed(is_head: bool) -> Response<ResponseBody> {
    let why = "This can be read, and nothing else.";
    let mut response = page(&plain(is_head), Status::METHOD_NOT_ALLOWED, why);
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
    response
}
