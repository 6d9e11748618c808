//! The arena: Sendrail beside other file servers on the same work in one run.
fn main() {}
