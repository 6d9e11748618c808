//! Tests to come: confinement.
