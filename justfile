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

# Measures against nginx (needs nginx and root, for a network namespace): about 10 minutes.
bench *ARGS:
    cargo build --release
    cargo run --release -p sendrail-bench -- {{ARGS}}

# Checks licences, advisories and sources of the dependencies (needs cargo-deny).
deny:
    cargo deny check

# Opens the documentation of the crates.
docs:
    cargo doc --workspace --all-features --no-deps --open
