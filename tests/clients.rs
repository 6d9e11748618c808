//! Tests to come: clients.
