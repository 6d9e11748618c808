//! `web`: a web site. Pages, styles, scripts and pictures, a few of them asked for again and again.

use std::net::SocketAddr;
use std::rc::Rc;

use anyhow::Result;

use super::Work;
use super::popularity::{REQUESTS, length, zipf};
use crate::load::workload::{Exchange, Workload};
use crate::report::Chapter;
use crate::root::{Document, Ground};

const FILES: usize = 2000;

/// Of a hundred files so many have this directory and extension, and lengths from here to there.
const KINDS: [(usize, &str, &str, u64, u64); 5] = [
    (30, "pages", "html", 2 << 10, 60 << 10),
    (5, "style", "css", 1 << 10, 100 << 10),
    (15, "script", "js", 1 << 10, 300 << 10),
    (30, "images", "jpg", 5 << 10, 400 << 10),
    (20, "icons", "svg", 300, 8 << 10),
];

pub(super) struct Web;

impl Work for Web {
    fn name(&self) -> String {
        "web".into()
    }

    fn about(&self) -> String {
        format!("a web site of {FILES} files, popular by Zipf's law, over 64 connections")
    }

    fn chapter(&self) -> Chapter {
        Chapter::Mix
    }

    fn lay_out(&self, ground: &Ground) -> Result<Vec<Rc<Document>>> {
        let mut random = fastrand::Rng::with_seed(3);
        let mut files = Vec::with_capacity(FILES);
        for (percent, directory, extension, least, most) in KINDS {
            for number in 0..FILES * percent / 100 {
                let name = format!("site/{directory}/{number}.{extension}");
                files.push((name, length(least, most, &mut random)));
            }
        }
        ground.random_files(&files)
    }

    fn workload(&self, documents: &[Rc<Document>], _: SocketAddr) -> Result<Workload> {
        let exchanges = documents.iter().map(|document| Exchange::whole(document, "")).collect();
        let order = zipf(documents.len(), REQUESTS, &mut fastrand::Rng::with_seed(4));
        Ok(Workload::ordered(exchanges, order))
    }
}
