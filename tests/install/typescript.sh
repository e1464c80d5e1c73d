#!/usr/bin/env bash
# How the README of the TypeScript SDK installs it in a project of one's own; test_install.py runs these lines in an empty folder.
set -euo pipefail
# snippet: install
npm init -y
npm install "$DURABLY"/target/package/typescript/*.tgz
npm install --save-dev typescript @types/node@20
# end snippet
# snippet: test
npx tsc --strict --sourceMap --module node20 --target es2022 --types node --outDir lib workflows.ts activities.ts workflows.test.ts
node --test lib/workflows.test.js
# end snippet
# snippet: run
npx tsc --strict --sourceMap --module node20 --target es2022 --types node --outDir lib main.ts workflows.ts activities.ts
node lib/main.js
# end snippet
