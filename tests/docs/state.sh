#!/usr/bin/env bash
# What docs/deployment.md does to a state file, one function per snippet; test_deployment.py runs them: state.sh NAME.
set -euo pipefail

backup() {
    # snippet: backup
    umask 077
    python3 -c 'import sqlite3; sqlite3.connect("state.db").backup(sqlite3.connect("backup.db"))'
    # end snippet
}

restore() {
    # snippet: restore
    rm -f state.db state.db-wal state.db-shm
    cp backup.db state.db
    touch state.db-wal
    # end snippet
}

delete() {
    # snippet: delete
    rm -f state.db state.db-wal state.db-shm state.db.lock state.db.sock
    # end snippet
}

"$1"
