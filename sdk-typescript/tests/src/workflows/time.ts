/** Workflows that take their time. */

import { CancellationScope, proxyActivities, sleep } from '@durably/workflow';

export interface Activities {
  late(): Promise<string>;
}

const { late } = proxyActivities<Activities>({ startToCloseTimeout: '30 days' });

/** How many days the workflow believes that it slept. */
export async function rest(days: number): Promise<number> {
  const began = Date.now();
  await sleep(`${days} days`);
  return Math.round((Date.now() - began) / (24 * 60 * 60 * 1000));
}

export async function race(): Promise<string> {
  return Promise.race([sleep('5 days').then(() => 'timer'), late()]);
}

export async function inTime(): Promise<string> {
  return await CancellationScope.withTimeout('1 hour', async () => 'in time');
}
