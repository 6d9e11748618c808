//! Tests of the confined root against real directories, by topic.
#![allow(clippy::unwrap_used)] // a failed unwrap is a failed test

mod at_once;
mod cache;
mod listing;
mod reflink;
mod snapshot;
mod special;
mod symlinks;
mod traversal;
mod tree;
mod variants;
