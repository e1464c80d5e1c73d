/** The workflows of this behaviour, on their own because they are bundled. */

import { condition, defineSignal, setDefaultSignalHandler, setHandler, sleep } from '@temporalio/workflow';

export const add = defineSignal<[value: unknown]>('add');
export const addTwo = defineSignal<[first: unknown, second: unknown]>('add-two');

export async function collects(count: number): Promise<unknown[]> {
  const got: unknown[] = [];
  setHandler(add, (value) => {
    got.push(value);
  });
  setHandler(addTwo, async (first, second) => {
    await sleep(10);
    got.push([first, second]);
  });
  setDefaultSignalHandler((name) => {
    got.push(name);
  });
  await condition(() => got.length >= count);
  return got;
}
