#!/usr/bin/env bash
# What docs/deployment.md does to a state file, one function per snippet; test_deployment.py runs them: state.sh NAME.
set -euo pipefail

backup() {
    # snippet: backup
    durably server backup --db-filename state.db backup.db
    # end snippet
}

restore() {
    # snippet: restore
    rm -f state.db state.db-wal state.db-shm
    cp backup.db state.db
    # end snippet
}

delete() {
    # snippet: delete
    rm -f state.db state.db-wal state.db-shm state.db.lock state.db.sock
    # end snippet
}

"$1"
