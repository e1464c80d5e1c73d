#!/usr/bin/env bash
# How the README of the Go SDK installs it in a module of one's own; test_install.py runs these lines in an empty folder.
set -euo pipefail
# snippet: install
go mod init example.com/greetings
go mod edit -replace durably.dev/sdk="$DURABLY"/target/package/go
go mod tidy
# end snippet
# snippet: test
go test .
# end snippet
# snippet: run
go run .
# end snippet
