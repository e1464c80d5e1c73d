/** The workflows of this behaviour, on their own because they are bundled. */

import { ApplicationFailure, condition, proxyActivities, sleep } from '@temporalio/workflow';
import type { activities } from './behaviour';

/** What a mistake in workflow code is answered with. */
export async function mistakes(): Promise<string[]> {
  const seen: string[] = [];
  async function attempt(what: () => unknown): Promise<void> {
    try {
      await what();
      seen.push('accepted');
    } catch (error) {
      seen.push(error instanceof Error ? error.name : String(error));
    }
  }
  await attempt(() => proxyActivities({}));
  await attempt(() => proxyActivities<typeof activities>({ startToCloseTimeout: 'soon' as '1s' }).nothing());
  await attempt(() => sleep('a while' as '1s'));
  await attempt(() => proxyActivities<typeof activities>({ startToCloseTimeout: '1s', retry: { maximumAttempts: -1 } }).nothing());
  return seen;
}

/** The ways to write a length of time. */
export async function durations(): Promise<number[]> {
  const took: number[] = [];
  for (const wait of ['100 ms', '0.1s', 100, '0.1 seconds', 0] as const) {
    const began = Date.now();
    await sleep(wait);
    took.push(Date.now() - began);
  }
  return took;
}

/** `condition` gives true when it holds, at once if it does already, and false after its time-out. */
export async function conditions(): Promise<unknown[]> {
  let ready = false;
  setTimeout(() => {
    ready = true;
  }, 20);
  return [await condition(() => ready), await condition(() => ready, '1 hour'), await condition(() => !ready, '10 ms')];
}

/** An options object of its own for each proxy, and names that a proxy makes up. */
export async function proxies(): Promise<unknown[]> {
  const proxy = proxyActivities<typeof activities>({ startToCloseTimeout: '1 minute' });
  const { nothing } = proxy;
  const none: unknown = await nothing();
  if (none !== undefined) {
    throw ApplicationFailure.nonRetryable(`nothing is ${none}`);
  }
  return [typeof proxy.nothing, await proxy.name(), await proxy['with-dash']()];
}
