/** The workflow of the kill test in TypeScript: the same commands in the same order as in `orders.py`, which replays them. */

import { condition, defineSignal, proxyActivities, setHandler, sleep } from '@temporalio/workflow';

const add = defineSignal<[item: number]>('add');

const { double } = proxyActivities<{ double(number: number): Promise<number> }>({
  // An attempt whose completion never arrived is tried again after this.
  startToCloseTimeout: '5 seconds',
  // Nothing is lost, so nothing needs to time out.
  scheduleToCloseTimeout: '10 minutes',
});

/** Doubles its number three times and collects its items. */
export async function Order(number: number, count: number): Promise<[value: number, items: number[]]> {
  const items: number[] = [];
  setHandler(add, (item) => {
    items.push(item);
  });
  const once = await double(number);
  await sleep(50);
  const [twice] = await Promise.all([double(once), double(1), double(2)]);
  await condition(() => items.length >= count);
  await sleep(50);
  return [await double(twice), items.sort((a, b) => a - b)];
}
