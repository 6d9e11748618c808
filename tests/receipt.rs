//! Tests to come: receipt.
