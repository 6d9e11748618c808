//! A directory as a confined root: open beneath it, facts, MIME types, variants, listings.
