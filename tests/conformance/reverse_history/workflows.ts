/** The workflows of this behaviour, on their own because they are bundled. */

import { sleep } from '@temporalio/workflow';

export async function ticks(count: number): Promise<number> {
  for (let i = 0; i < count; i++) {
    await sleep(10);
  }
  return count;
}
