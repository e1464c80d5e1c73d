/** The workflows of this behaviour, on their own because they are bundled. */

import { proxyActivities } from '@temporalio/workflow';
import type { activities } from './behaviour';

const { countTo } = proxyActivities<typeof activities>({
  startToCloseTimeout: '1 minute',
  heartbeatTimeout: '10 seconds',
  retry: { initialInterval: '10 ms' },
});

export async function counting(goal: number): Promise<[position: number, attempt: number]> {
  return await countTo(goal);
}
