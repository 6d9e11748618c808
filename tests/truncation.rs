//! Tests to come: truncation.
