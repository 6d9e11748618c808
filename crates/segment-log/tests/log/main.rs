//! The log on real files: what was appended is there, whatever has become of the files in between.

#![allow(clippy::unwrap_used)] // a test that cannot go on should say where

mod common;

mod appends;
mod damage;
mod disks;
mod fetches;
mod indexes;
mod kills;
mod retains;
mod syncs;
mod torn;
