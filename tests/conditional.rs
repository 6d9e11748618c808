//! Tests to come: conditional.
