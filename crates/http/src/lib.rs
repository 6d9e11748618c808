//! The meaning of HTTP, without I/O: heads, targets, conditionals, ranges, negotiation, answers.
