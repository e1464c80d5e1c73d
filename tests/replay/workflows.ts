/**
 * Workflows whose histories cross over: recorded with the official SDK (`record.ts`), replayed with ours.
 *
 * They touch whatever decides a history: numbering, the order in which waiting code goes on, timers of time-outs, random
 * numbers, scopes, the three types of cancellation.
 */

import {
  ActivityCancellationType,
  CancellationScope,
  condition,
  defineSignal,
  isCancellation,
  proxyActivities,
  setHandler,
  sleep,
  Trigger,
  uuid4,
} from '@temporalio/workflow';
import type * as activities from './activities';

const options = { startToCloseTimeout: '10 seconds', heartbeatTimeout: '2 seconds' } as const;
const { charge, refuse } = proxyActivities<typeof activities>(options);

export const approve = defineSignal<[boolean]>('approve');

/** Fan-out, a signal whose handler calls an activity, a condition with a time-out, an error, random decisions. */
export async function order(amount: number): Promise<string> {
  let approved: boolean | undefined;
  setHandler(approve, async (answer) => {
    await charge(99);
    approved = answer;
  });
  const first = await charge(amount);
  await Promise.all([charge(1), charge(2), sleep(200), condition(() => approved !== undefined, '1 ms')]);
  await condition(() => approved !== undefined, '30 seconds');
  await refuse(1000).catch(() => charge(5));
  if (Math.random() < 0.5) await sleep(100);
  else await charge(6);
  for (let i = Math.floor(Math.random() * 4); i >= 0; i--) await sleep(50);
  return `${first}, ${uuid4()}, ${approved}`;
}

/** Activities cancelled in each way, before and after they began; timers cancelled by code and by a time-out. */
export async function cancellations(amount: number): Promise<string[]> {
  const seen: string[] = [];
  for (const cancellationType of Object.values(ActivityCancellationType)) {
    const { deliver } = proxyActivities<typeof activities>({ ...options, cancellationType });
    for (const before of [0, 300]) {
      const scope = new CancellationScope();
      const delivered = scope.run(() => deliver(amount)).catch((error) => isCancellation(error));
      if (before) await sleep(before);
      scope.cancel();
      seen.push(`${cancellationType} ${before} ${await delivered}`);
    }
  }
  const timer = new CancellationScope();
  const slept = timer.run(() => sleep('1 hour')).catch(() => 'cancelled');
  timer.cancel();
  seen.push(String(await slept));
  const { deliver } = proxyActivities<typeof activities>(options);
  await CancellationScope.withTimeout(200, () => deliver(amount)).catch((error) => seen.push(String(isCancellation(error))));
  return seen;
}

/** Cancelled from outside: cleans up in a scope that goes on. */
export async function cleansUp(amount: number): Promise<void> {
  const { deliver } = proxyActivities<typeof activities>(options);
  try {
    await Promise.all([deliver(amount), sleep('1 hour'), condition(() => false, '1 hour')]);
  } catch (error) {
    if (!isCancellation(error)) throw error;
    await CancellationScope.nonCancellable(async () => {
      await charge(amount);
      await Promise.all([sleep(20), charge(7)]);
    });
    throw error;
  }
}

/** Coroutines that take turns: their commands come in the order in which promises settle. */
export async function turns(amount: number): Promise<string> {
  const order: string[] = [];
  const gate = new Trigger<string>();
  const worker = async (name: string, waits: number): Promise<void> => {
    for (let i = 0; i < waits; i++) await null;
    order.push(name);
    await charge(name.length + amount);
    await CancellationScope.cancellable(async () => {
      await gate;
      await sleep(name.length);
    });
    order.push(name);
  };
  setTimeout(() => gate.resolve('open'), 100);
  const all = [worker('a', 3), worker('bb', 0), worker('ccc', 1), condition(() => order.length > 3).then(() => charge(50))];
  const timeout = setTimeout(() => order.push('never'), 60_000);
  await Promise.all(all);
  clearTimeout(timeout);
  await Promise.race([sleep(10), condition(() => order.includes('never'), 5)]);
  return order.join(' ');
}
