//! The body of an answer: files, and bytes between them.

use crate::body::FileBody;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use std::{
    collections::VecDeque,
    error::Error,
    fmt, io,
    pin::Pin,
    task::{Context, Poll, ready},
};

/// The body of what [`ServeDir`](crate::ServeDir) and [`ServeFile`](crate::ServeFile) answer.
#[derive(Debug, Default)]
pub struct ResponseBody {
    /// Most have one part, and need no room for others.
    first: Option<Part>,
    others: VecDeque<Part>,
}

enum Part {
    Bytes(Bytes),
    File(Box<FileBody>),
    Other(Pin<Box<dyn Body<Data = Bytes, Error = io::Error> + Send>>),
}

impl fmt::Debug for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes(bytes) => write!(f, "{} bytes", bytes.len()),
            Self::File(file) => file.fmt(f),
            Self::Other(_) => f.write_str("another body"),
        }
    }
}

/// The body of somebody else, whose errors are ours then.
struct Other<B>(Pin<Box<B>>);

impl<B> Body for Other<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let frame = ready!(self.get_mut().0.as_mut().poll_frame(context));
        Poll::Ready(frame.map(|frame| frame.map_err(io::Error::other)))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}

impl ResponseBody {
    pub(crate) fn push_bytes(&mut self, bytes: impl Into<Bytes>) {
        let bytes = bytes.into();
        if !bytes.is_empty() {
            self.push(Part::Bytes(bytes));
        }
    }

    pub(crate) fn of_another<B>(body: B) -> Self
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        let other = Part::Other(Box::pin(Other(Box::pin(body))));
        Self { first: Some(other), others: VecDeque::new() }
    }

    pub(crate) fn push_file(&mut self, file: FileBody) {
        if !file.is_end_stream() {
            self.push(Part::File(Box::new(file)));
        }
    }

    fn push(&mut self, part: Part) {
        match &self.first {
            None => self.first = Some(part),
            Some(_) => self.others.push_back(part),
        }
    }

    fn parts(&self) -> impl Iterator<Item = &Part> {
        self.first.iter().chain(&self.others)
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let this = self.get_mut();
        loop {
            let frame = match &mut this.first {
                None => return Poll::Ready(None),
                Some(Part::File(file)) => ready!(Pin::new(file).poll_frame(context)),
                Some(Part::Other(other)) => ready!(other.as_mut().poll_frame(context)),
                Some(Part::Bytes(bytes)) => {
                    let bytes = std::mem::take(bytes);
                    this.first = this.others.pop_front();
                    return Poll::Ready(Some(Ok(Frame::data(bytes))));
                }
            };
            match frame {
                Some(Err(error)) => {
                    *this = Self::default(); // nothing may follow what was cut short
                    return Poll::Ready(Some(Err(error)));
                }
                Some(frame) => return Poll::Ready(Some(frame)),
                None => this.first = this.others.pop_front(),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.parts().all(|part| match part {
            Part::Bytes(_) => false,
            Part::File(file) => file.is_end_stream(),
            Part::Other(other) => other.is_end_stream(),
        })
    }

    fn size_hint(&self) -> SizeHint {
        if let (Some(Part::Other(other)), true) = (&self.first, self.others.is_empty()) {
            return other.size_hint();
        }
        let each = self.parts().map(|part| match part {
            Part::Bytes(bytes) => bytes.len() as u64,
            Part::File(file) => file.size_hint().lower(),
            Part::Other(other) => other.size_hint().lower(),
        });
        SizeHint::with_exact(each.sum())
    }
}
