/** The workflows of this behaviour, on their own because they are bundled. */

import { log, proxyActivities, sleep } from '@temporalio/workflow';
import type { activities } from './behaviour';

const { notes } = proxyActivities<typeof activities>({ startToCloseTimeout: '1 minute' });

export async function logs(): Promise<void> {
  log.info('begins', { number: 1 });
  await sleep(10);
  log.warn('has slept');
  await notes();
  log.error('ends', { deep: { list: [1] } });
}
