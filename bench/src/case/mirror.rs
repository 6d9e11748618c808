//! `mirror`: a package mirror. 95 of 100 requests are for small metadata, 5 for large packages.

use std::net::SocketAddr;
use std::rc::Rc;

use anyhow::Result;

use super::Work;
use super::popularity::{REQUESTS, length, zipf};
use crate::load::workload::{Exchange, Workload};
use crate::report::Chapter;
use crate::root::{Document, Ground};
use crate::sample::CPU_PER_GIB;

const METADATA: usize = 1000;
const PACKAGES: usize = 60;
const PACKAGES_PERCENT: u8 = 5;

pub(super) struct Mirror;

impl Work for Mirror {
    fn name(&self) -> String {
        "mirror".into()
    }

    fn about(&self) -> String {
        format!(
            "a mirror: 95 % of requests for {METADATA} small files, 5 % for {PACKAGES} packages of up to 32 MiB, \
             over 64 connections"
        )
    }

    fn chapter(&self) -> Chapter {
        Chapter::Mix
    }

    fn lay_out(&self, ground: &Ground) -> Result<Vec<Rc<Document>>> {
        let mut random = fastrand::Rng::with_seed(5);
        let mut files = Vec::with_capacity(METADATA + PACKAGES);
        for number in 0..METADATA {
            files.push((format!("mirror/meta/{number}.json"), length(300, 40 << 10, &mut random)));
        }
        for number in 0..PACKAGES {
            let name = format!("mirror/pool/{number}.deb");
            files.push((name, length(256 << 10, 32 << 20, &mut random)));
        }
        ground.random_files(&files)
    }

    fn workload(&self, documents: &[Rc<Document>], _: SocketAddr) -> Result<Workload> {
        let mut random = fastrand::Rng::with_seed(6);
        let metadata = zipf(METADATA, REQUESTS, &mut random);
        let packages = zipf(PACKAGES, REQUESTS, &mut random);
        let choose = |(small, large): (&u32, &u32)| {
            let is_package = random.u8(..100) < PACKAGES_PERCENT;
            if is_package { METADATA as u32 + large } else { *small }
        };
        let order = metadata.iter().zip(&packages).map(choose).collect();
        let exchanges = documents.iter().map(|document| Exchange::whole(document, "")).collect();
        Ok(Workload::ordered(exchanges, order))
    }

    fn lead(&self) -> &'static str {
        CPU_PER_GIB
    }
}
