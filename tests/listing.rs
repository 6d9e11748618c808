//! Tests to come: listing.
