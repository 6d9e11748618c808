# Every task a person repeats. Each is one plain command, so that `just` is a convenience, not a need.

# Lists the tasks.
default:
    @just --list

# Serves a directory.
serve DIR='.' *ARGS:
    cargo run --release -- serve {{DIR}} {{ARGS}}

# Runs every test: the command of the README.
test:
    cargo test --workspace --all-features

# Formats, lints and documents as CI does.
lint:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets --all-features -- -D warnings
    RUSTDOCFLAGS='-D warnings' cargo doc --workspace --all-features --no-deps

# Measures Sendrail beside every peer that is installed, in less than half an hour; --quick in less than five minutes
# (needs root, for a network namespace).
arena *ARGS:
    cargo build --release --workspace
    target/release/sendrail-bench {{ARGS}}

# Builds the arena's peers that are Rust crates, once. The others are packages: nginx, h2o, lighttpd
# with lighttpd-mod-webdav, caddy, apache2, a JDK.
peers:
    cargo install --locked --root target/peers static-web-server@2.44.1
    cargo install --locked --root target/peers miniserve@0.35.0
    cargo install --locked --root target/peers --path bench/peers/rust-web

# Builds nginx with its own asynchronous I/O, for the arena's cold cases, from an archive of its source.
peer-nginx ARCHIVE:
    bench/peers/build-nginx {{ARCHIVE}}

# Builds Caddy with a handler for PUT, for the arena's uploads, from Debian's source package of it.
peer-caddy SOURCE:
    bench/peers/build-caddy {{SOURCE}}

# Checks licences, advisories and sources of the dependencies (needs cargo-deny).
deny:
    cargo deny check

# Opens the documentation of the crates.
docs:
    cargo doc --workspace --all-features --no-deps --open
