#!/usr/bin/env bash
# The servers of docs/deployment.md; test_deployment.py runs each line with a port of its own.
set -euo pipefail
# snippet: serve
durably server start-dev --db-filename state.db
# end snippet
# snippet: others
durably server start-dev --db-filename state.db --ip 0.0.0.0 --port 7233
# end snippet
# snippet: move
durably server start-dev --db-filename greetings.db
# end snippet
