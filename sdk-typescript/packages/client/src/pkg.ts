/** This package's name and version, as servers and histories show them. */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';

const text = readFileSync(join(__dirname, '..', 'package.json'), 'utf8');
const pkg = JSON.parse(text) as { readonly name: string; readonly version: string };

export default pkg;
