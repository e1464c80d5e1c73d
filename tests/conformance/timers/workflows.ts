/** The workflows of this behaviour, on their own because they are bundled. */

import { CancellationScope, condition, isCancellation, sleep } from '@temporalio/workflow';

/** Returns what happened in which order, and the seconds that it took by the workflow's clock. */
export async function timers(): Promise<[order: string[], seconds: number]> {
  const order: string[] = [];
  async function after(ms: number, name: string): Promise<void> {
    await sleep(ms);
    order.push(name);
  }
  const start = Date.now();
  const scope = new CancellationScope();
  const never = scope.run(() => after(3_600_000, 'never'));
  await Promise.all([after(600, 'late'), after(200, 'early'), after(0, 'now')]);
  scope.cancel();
  try {
    await never;
  } catch (error) {
    if (!isCancellation(error)) {
      throw error;
    }
    order.push('cancelled');
  }
  if (!(await condition(() => false, 100))) {
    order.push('timed out');
  }
  await sleep('100 ms');
  return [order, (Date.now() - start) / 1000];
}
