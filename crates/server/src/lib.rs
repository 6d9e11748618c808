//! The file server: command line, listener, connections, log.
