#!/usr/bin/env bash
# How the READMEs install the Python package in a project of one's own; test_install.py runs these lines in an empty folder.
set -euo pipefail
# snippet: install
python3 -m venv .venv
.venv/bin/pip install "$DURABLY"/target/package/python/*.whl
# end snippet
# snippet: test
.venv/bin/pip install pytest
.venv/bin/python -m pytest
# end snippet
# snippet: run
.venv/bin/python quickstart.py
# end snippet
