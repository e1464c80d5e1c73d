/** What a bundle refuses. */

import { readFileSync } from 'node:fs';

export async function reads(): Promise<string> {
  return readFileSync('/etc/hostname', 'utf8');
}
