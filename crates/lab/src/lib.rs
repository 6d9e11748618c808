//! The lab: measures on this machine what articles on zero copy assert.
//!
//! A transfer is made by a process of its own, the *subject*, and received by this one. What it costs is
//! seen from outside: by BPF in the kernel (which pages the packets carry, how many calls were made), by
//! `/proc`, and by clocks. The engine's receipts are held against that, never taken for it.
//!
//! | room | what is decided or done there |
//! |---|---|
//! | [`article`] | what the articles assert |
//! | [`way`] | the ways of sending that are compared |
//! | [`subject`] | the process that sends, and the wire to it |
//! | [`receiver`] | the other end of its socket |
//! | [`probe`] | what the kernel sees |
//! | [`self_test`] | whether it sees what is known to have happened |
//! | [`sample`] | what one transfer came to, from all who saw it |
//! | [`link`] | what the bytes go over |
//! | [`course`] | one transfer, with all who take part in it |
//! | [`overwrite`] | the proof of zero copy that needs no probe |
//! | [`copy_on_write`] | what is copied of private mappings and clones, and when |
//! | [`machine`] | what disturbs figures on this machine |
//! | [`table`] | the articles' table, measured |
//! | [`classic`] | the table of 2008 that is quoted everywhere, on this machine |
//! | [`java`] | the same in Java, where there is one |
//! | [`space`] | a loopback of one's own, with the congestion control that is wanted |
//! | [`cache`], [`group`] | what a cold file does to a hot set, in little memory |
//! | [`calibrate`] | up to which size memory is cheaper than sendfile here; the server asks at start-up |
//! | [`tune`] | the thresholds of this machine, for the server to read |
//! | [`nic`] | what the features of network interfaces mean for sending |
//! | [`report`] | what is shown of it, and written |
//! | [`cli`] | `sendrail lab` as it is typed |

#![forbid(unsafe_code)]

pub mod article;
pub mod cache;
pub mod calibrate;
pub mod classic;
pub mod cli;
pub mod copy_on_write;
pub mod course;
pub mod group;
pub mod java;
pub mod link;
pub mod machine;
pub mod nic;
pub mod overwrite;
pub mod probe;
pub mod receiver;
pub mod report;
pub mod sample;
pub mod self_test;
pub mod space;
pub mod subject;
pub mod table;
pub mod tune;
pub mod way;
