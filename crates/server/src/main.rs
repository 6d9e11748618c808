//! The `sendrail` binary.
fn main() {}
