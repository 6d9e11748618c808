//! Disks of a test's own: one that answers late, not at all or wrongly, and plain ones with the file
//! systems that a server meets.
//!
//! All mounts are made in a mount namespace of the test's own thread, so that they end with it,
//! whatever it dies of.

mod arm;
mod files;
mod holder;
mod image;
mod mounts;
mod pin;
mod plain;
mod slow;

pub(crate) use files::{Files, MANY, ask, impatient, methods};
pub(crate) use image::content;
pub(crate) use pin::Pinned;
pub(crate) use plain::{FileSystem, on};
pub(crate) use slow::SlowDisk;
