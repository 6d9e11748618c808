//! Tests to come: limits.
