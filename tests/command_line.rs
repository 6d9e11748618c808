//! Tests to come: command_line.
