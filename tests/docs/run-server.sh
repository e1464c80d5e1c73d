#!/usr/bin/env bash
# How README.md runs the server; test_server.py runs these lines with a port and a file of its own.
set -euo pipefail
# snippet: server
cargo build --release -p durably-cli
target/release/durably server start-dev --db-filename state.db
# end snippet
