/** The workflows of this behaviour, on their own because they are bundled. */

import { condition, defineQuery, defineSignal, setHandler } from '@temporalio/workflow';
import { bump, shared } from './shared';

export const leave = defineSignal('leave');
export const look = defineQuery<[count: number, items: string[], mark: unknown]>('look');

let count = 0;
const world = globalThis as { mark?: unknown };

/** Changes whatever module state it can reach, and tells what it finds there later. */
export async function marks(name: string): Promise<[count: number, items: string[], mark: unknown]> {
  count += 1;
  bump(name);
  world.mark ??= name;
  const found = (): [number, string[], unknown] => [count, [...shared.items], world.mark];
  let left = false;
  setHandler(look, found);
  setHandler(leave, () => {
    left = true;
  });
  await condition(() => left);
  return found();
}
