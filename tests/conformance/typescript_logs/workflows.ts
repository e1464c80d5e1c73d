/** The workflows of this behaviour, on their own because they are bundled. */

import { ApplicationFailure, log, proxyActivities, sleep } from '@temporalio/workflow';
import type { activities } from './behaviour';

const { notes, refuses } = proxyActivities<typeof activities>({ startToCloseTimeout: '1 minute', retry: { maximumAttempts: 1 } });

export async function logs(): Promise<void> {
  log.info('begins', { number: 1 });
  await sleep(10);
  log.warn('has slept');
  await notes();
  log.error('ends', { deep: { list: [1] } });
}

export async function fails(isBenign: boolean): Promise<void> {
  await refuses(isBenign).catch(() => undefined);
  throw ApplicationFailure.nonRetryable('of no use');
}
