//! Tests to come: methods.
