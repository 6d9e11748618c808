//! `precompressed`: a script that lies there compressed as well, asked for by a client that takes gzip.
//!
//! gzip, since every server that looks for precompressed siblings knows it; a server that sends the file as it is, or
//! compresses it itself, does other work.

use std::net::SocketAddr;
use std::rc::Rc;

use anyhow::Result;

use super::Work;
use crate::load::workload::{Exchange, Workload};
use crate::report::Chapter;
use crate::root::{Document, Ground};

const AS_BROWSERS: &str = "gzip, deflate, br, zstd";

pub(super) struct Precompressed;

impl Work for Precompressed {
    fn name(&self) -> String {
        "precompressed".into()
    }

    fn about(&self) -> String {
        "the gzip sibling of a hot 100 KiB script, by Accept-Encoding, over 64 connections".into()
    }

    fn chapter(&self) -> Chapter {
        Chapter::Requests
    }

    fn lay_out(&self, ground: &Ground) -> Result<Vec<Rc<Document>>> {
        let (script, zipped) = ground.text_and_gzip("script.js", 100 << 10)?;
        Ok(vec![script, zipped])
    }

    fn workload(&self, documents: &[Rc<Document>], _: SocketAddr) -> Result<Workload> {
        let (script, zipped) = (&documents[0], &documents[1]);
        Ok(Workload::one(Exchange::coded(script, zipped, AS_BROWSERS, "gzip")))
    }
}
