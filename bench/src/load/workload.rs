//! What is asked for, and what the answers must be: the same work for every server.

use std::ops::Range;
use std::rc::Rc;

use crate::root::Document;

/// A request, and its answer.
#[derive(Clone, Debug)]
pub(crate) struct Exchange {
    /// Complete, with its empty line.
    pub(crate) request: Vec<u8>,
    pub(crate) status: u16,
    pub(crate) body: Body,
    /// The Content-Encoding that the answer must carry.
    pub(crate) coding: Option<&'static str>,
}

/// The body that must come.
#[derive(Clone, Debug)]
pub(crate) enum Body {
    /// None, as with 304.
    Empty,
    /// Just these bytes of the file.
    Bytes { document: Rc<Document>, range: Range<u64> },
    /// `multipart/byteranges` of these; how long the parts' heads are is the server's own affair.
    Parts { document: Rc<Document>, ranges: Vec<Range<u64>> },
}

/// More than the boundary and the head of one part ever are.
const PART_HEAD: u64 = 512;

impl Exchange {
    /// A GET for a whole file, with these further header lines (each with its line end).
    pub(crate) fn whole(document: &Rc<Document>, fields: &str) -> Exchange {
        let range = 0..document.len;
        Exchange {
            request: request(&document.target, fields),
            status: 200,
            body: Body::Bytes { document: Rc::clone(document), range },
            coding: None,
        }
    }

    /// A GET for parts of a file: one range, or several.
    pub(crate) fn ranges(document: &Rc<Document>, ranges: &[Range<u64>]) -> Exchange {
        let asked: Vec<String> =
            ranges.iter().map(|range| format!("{}-{}", range.start, range.end - 1)).collect();
        let document = Rc::clone(document);
        Exchange {
            request: request(&document.target, &format!("Range: bytes={}\r\n", asked.join(","))),
            status: 206,
            body: match ranges {
                [range] => Body::Bytes { document, range: range.clone() },
                several => Body::Parts { document, ranges: several.to_vec() },
            },
            coding: None,
        }
    }

    /// A GET with conditions that hold back the body.
    pub(crate) fn not_modified(document: &Document, conditions: &str) -> Exchange {
        Exchange {
            request: request(&document.target, conditions),
            status: 304,
            body: Body::Empty,
            coding: None,
        }
    }

    /// A GET that lets the server send the file's precompressed sibling.
    pub(crate) fn coded(
        original: &Document,
        sibling: &Rc<Document>,
        accept: &str,
        coding: &'static str,
    ) -> Exchange {
        let fields = format!("Accept-Encoding: {accept}\r\n");
        Exchange {
            request: request(&original.target, &fields),
            coding: Some(coding),
            ..Exchange::whole(sibling, "")
        }
    }

    /// Whether a body of `length` bytes can be right.
    pub(crate) fn allows(&self, length: u64) -> bool {
        match &self.body {
            Body::Empty => length == 0,
            Body::Bytes { range, .. } => length == range.end - range.start,
            Body::Parts { ranges, .. } => {
                let heads = PART_HEAD * (ranges.len() as u64 + 1);
                (self.payload()..=self.payload() + heads).contains(&length)
            }
        }
    }

    /// Bytes of files in the answer.
    pub(crate) fn payload(&self) -> u64 {
        match &self.body {
            Body::Empty => 0,
            Body::Bytes { range, .. } => range.end - range.start,
            Body::Parts { ranges, .. } => ranges.iter().map(|range| range.end - range.start).sum(),
        }
    }
}

/// What a browser or a command-line client sends at the least; a server that wants more than a Host is none.
fn request(target: &str, fields: &str) -> Vec<u8> {
    format!("GET {target} HTTP/1.1\r\nHost: arena.test\r\n{fields}\r\n").into_bytes()
}

/// Exchanges, and the order in which they are asked for, again and again.
#[derive(Clone, Debug)]
pub(crate) struct Workload {
    pub(crate) exchanges: Vec<Exchange>,
    order: Vec<u32>,
    next: usize,
}

impl Workload {
    /// The same every time.
    pub(crate) fn one(exchange: Exchange) -> Workload {
        Workload { exchanges: vec![exchange], order: vec![0], next: 0 }
    }

    /// In this order, by number; it should be long against the number of connections.
    pub(crate) fn ordered(exchanges: Vec<Exchange>, order: Vec<u32>) -> Workload {
        assert!(order.iter().all(|&number| (number as usize) < exchanges.len()));
        assert!(!order.is_empty());
        Workload { exchanges, order, next: 0 }
    }

    /// Requests before the order begins again.
    pub(crate) fn len(&self) -> usize {
        self.order.len()
    }

    /// The number of the exchange whose turn it is.
    pub(crate) fn next(&mut self) -> u32 {
        let number = self.order[self.next];
        self.next = (self.next + 1) % self.order.len();
        number
    }

    /// From the beginning, so that every server gets the same.
    pub(crate) fn rewind(&mut self) {
        self.next = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document() -> Rc<Document> {
        Rc::new(Document { target: "/d".into(), path: "/nowhere".into(), len: 1000 })
    }

    #[test]
    fn ranges_are_asked_for_as_rfc_9110_has_them() {
        let exchange = Exchange::ranges(&document(), &[0..10, 990..1000]);
        let text = String::from_utf8(exchange.request.clone()).expect("ASCII");
        assert!(text.contains("\r\nRange: bytes=0-9,990-999\r\n\r\n"), "{text}");
        assert_eq!((exchange.status, exchange.payload()), (206, 20));
        assert!(exchange.allows(20 + 300) && !exchange.allows(19) && !exchange.allows(20 + 5000));
        let single = Exchange::ranges(&document(), std::slice::from_ref(&(5..7)));
        assert!(single.allows(2) && !single.allows(3));
    }

    #[test]
    fn the_order_begins_again() {
        let whole = Exchange::whole(&document(), "");
        let mut workload = Workload::ordered(vec![whole.clone(), whole], vec![1, 0, 1]);
        let first: Vec<u32> = (0..5).map(|_| workload.next()).collect();
        assert_eq!(first, [1, 0, 1, 1, 0]);
        workload.rewind();
        assert_eq!(workload.next(), 1);
    }
}
