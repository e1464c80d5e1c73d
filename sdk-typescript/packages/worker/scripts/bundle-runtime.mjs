// Bundles what runs inside the workflow context, from the built packages, into one file that workers evaluate there.

import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const here = dirname(fileURLToPath(import.meta.url));
await build({
  entryPoints: [join(here, '../../workflow/lib/runtime/index.js')],
  outfile: join(here, '../lib/workflow-runtime.js'),
  bundle: true,
  format: 'cjs',
  platform: 'neutral',
  mainFields: ['main'],
  target: 'node20',
  legalComments: 'none',
  logLevel: 'warning',
});
