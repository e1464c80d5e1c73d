/** The workflows of this behaviour, on their own because they are bundled. */

import { CancellationScope, defineQuery, isCancellation, proxyActivities, setHandler, sleep } from '@temporalio/workflow';
import type { activities } from './behaviour';

export const seen = defineQuery<string[]>('seen');

const { tidyUp } = proxyActivities<typeof activities>({ startToCloseTimeout: '1 minute' });

export async function cancellable(decline: boolean): Promise<string[]> {
  const log = ['waiting'];
  setHandler(seen, () => log);
  try {
    await sleep('1 hour');
  } catch (error) {
    if (!isCancellation(error)) {
      throw error;
    }
    log.push('cancelled');
    log.push(await CancellationScope.nonCancellable(() => tidyUp()));
    if (!decline) {
      throw error;
    }
  }
  return log;
}
