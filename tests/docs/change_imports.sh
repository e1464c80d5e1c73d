#!/usr/bin/env bash
# How docs/from-temporal.md changes a program's imports, one function per language; test_from_temporal.py runs them in a folder of programs.
set -euo pipefail

python() {
    # snippet: python
    grep -rl --include='*.py' --exclude-dir={.venv,venv,site-packages} temporalio . | xargs -r sed -i.bak 's/temporalio/durably/g'
    # end snippet
}

typescript() {
    # snippet: typescript
    grep -rl --include='*.ts' --exclude-dir=node_modules '@temporalio/' . | xargs -r sed -i.bak 's|@temporalio/|@durably/|g'
    # end snippet
}

go() {
    # snippet: go
    grep -rl --include='*.go' --exclude-dir=vendor 'go.temporal.io/sdk/' . | xargs -r sed -i.bak 's|go.temporal.io/sdk/|durably.dev/sdk/|g'
    # end snippet
}

"$1"
