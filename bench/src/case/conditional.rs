//! `not-modified`: a client that has the file already and asks whether it is still current.

use std::net::SocketAddr;
use std::rc::Rc;

use anyhow::Result;

use super::Work;
use crate::load::trial::Trial;
use crate::load::workload::{Exchange, Workload};
use crate::report::{Against, Bound, Chapter};
use crate::root::{Document, Ground};
use crate::sample::CPU_PER_REQUEST;

pub(super) struct NotModified;

impl Work for NotModified {
    fn name(&self) -> String {
        "not-modified".into()
    }

    fn about(&self) -> String {
        "If-None-Match and If-Modified-Since of a hot 10 KiB file, answered by 304, over 64 connections".into()
    }

    fn chapter(&self) -> Chapter {
        Chapter::Requests
    }

    fn lay_out(&self, ground: &Ground) -> Result<Vec<Rc<Document>>> {
        Ok(vec![ground.random("10k.bin", 10 << 10)?])
    }

    fn workload(&self, documents: &[Rc<Document>], server: SocketAddr) -> Result<Workload> {
        let document = &documents[0];
        let conditions = Trial::connect(server)?.conditions(document)?;
        Ok(Workload::one(Exchange::not_modified(document, &conditions)))
    }

    fn bounds(&self) -> Vec<(&'static str, Bound)> {
        vec![(CPU_PER_REQUEST, Bound::at_most(Against::Best, 0.65))]
    }
}
