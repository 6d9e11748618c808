//! Tests to come: semantics.
