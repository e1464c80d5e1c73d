/** Workflows that never yield. */

import { condition, sleep } from '@durably/workflow';

export async function loops(count: number): Promise<void> {
  while (count > 0) count += 1;
}

/** In a later activation than its first one. */
export async function loopsLater(count: number): Promise<number> {
  await sleep('1 hour');
  await condition(() => {
    for (;;) count += 1;
  });
  return count;
}
