//! Tests to come: framing.
