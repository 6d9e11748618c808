//! Tests to come: pipelining.
