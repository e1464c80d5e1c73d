#!/usr/bin/env bash
# The same in a project of ES modules; test_install.py runs these lines in an empty folder.
set -euo pipefail
npm init -y
npm pkg set type=module
npm install "$DURABLY"/target/package/typescript/*.tgz
npm install --save-dev typescript @types/node@20
npx tsc --strict --sourceMap --module node20 --target es2022 --types node --outDir lib main.ts workflows.ts activities.ts
node lib/main.js
