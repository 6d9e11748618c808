//! The kernel, safely: every unsafe block of Sendrail, one kernel facility per file.
