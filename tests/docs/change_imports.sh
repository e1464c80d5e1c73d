#!/usr/bin/env bash
# How docs/from-temporal.md changes a program's imports, one function per language; test_from_temporal.py runs them in a folder of programs.
set -euo pipefail

python() {
    # snippet: python
    grep -rlE --include='*.py' '\btemporalio\b' . | xargs sed -i.bak -E 's/\btemporalio\b/durably/g'
    # end snippet
}

typescript() {
    # snippet: typescript
    grep -rl --include='*.ts' '@temporalio/' . --exclude-dir node_modules | xargs sed -i.bak 's|@temporalio/|@durably/|g'
    # end snippet
}

go() {
    # snippet: go
    grep -rl --include='*.go' 'go.temporal.io/sdk/' . | xargs sed -i.bak 's|go.temporal.io/sdk/|durably.dev/sdk/|g'
    # end snippet
}

"$1"
