/** The workflows of this behaviour, on their own because they are bundled. */

import { condition, defineQuery, defineSignal, proxyActivities, setHandler, sleep, uuid4 } from '@temporalio/workflow';
import type { activities } from './behaviour';

export const step = defineSignal('step');
export const current = defineQuery<number>('current');

const { double } = proxyActivities<typeof activities>({ startToCloseTimeout: '1 minute' });

export async function steps(count: number): Promise<[value: number, drawn: number[], name: string]> {
  let allowed = 0;
  let value = 1;
  setHandler(step, () => {
    allowed += 1;
  });
  setHandler(current, () => value);
  const drawn = [];
  for (let i = 0; i < count; i++) {
    await condition(() => allowed > i);
    drawn.push(Math.random());
    await sleep(10);
    value = await double(value);
  }
  return [value, drawn, uuid4()];
}
