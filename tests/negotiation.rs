//! Tests to come: negotiation.
