//! The engine: moves chains of bytes and file ranges to a socket, and keeps a true receipt.
