//! Tests to come: log.
