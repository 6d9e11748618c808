//! Tests to come: replaced.
