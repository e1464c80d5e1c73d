#!/usr/bin/env bash
# The same in a project of ES modules; test_install.py runs these lines in an empty folder.
set -euo pipefail
# snippet: install
npm init -y
npm pkg set type=module
npm install "$DURABLY"/target/package/typescript/*.tgz
npm install --save-dev typescript @types/node@20
# end snippet
# snippet: run
npx tsc --strict --sourceMap --module node20 --target es2022 --types node --outDir lib main.ts workflows.ts activities.ts workflows.test.ts
node --test lib/workflows.test.js
node lib/main.js
# end snippet
