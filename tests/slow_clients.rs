//! Tests to come: slow_clients.
