#!/usr/bin/env bash
# The first terminal of docs/sidecar.md; test_sidecar.py runs these lines in an empty folder.
set -euo pipefail
# snippet: start
(umask 077; openssl rand -hex 32 >sidecar.token)
durably sidecar --config sidecar.toml
# end snippet
