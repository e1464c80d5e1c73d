/** The workflows of this behaviour, on their own because they are bundled. */

import type { ActivityCancellationType } from '@temporalio/common';
import { CancellationScope, condition, defineSignal, isCancellation, proxyActivities, setHandler } from '@temporalio/workflow';
import type { activities } from './behaviour';

export const enough = defineSignal('enough');

export async function cancels(name: keyof typeof activities, how: ActivityCancellationType, queue: string): Promise<string> {
  let stop = false;
  setHandler(enough, () => {
    stop = true;
  });
  const steps = proxyActivities<typeof activities>({
    taskQueue: queue || undefined,
    startToCloseTimeout: '1 minute',
    heartbeatTimeout: '1 second',
    cancellationType: how,
  });
  const scope = new CancellationScope();
  const result = scope.run(() => steps[name]());
  await condition(() => stop);
  scope.cancel();
  try {
    return await result;
  } catch (error) {
    if (isCancellation(error)) {
      return 'cancelled';
    }
    throw error;
  }
}
