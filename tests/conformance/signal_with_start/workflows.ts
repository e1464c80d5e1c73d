/** The workflows of this behaviour, on their own because they are bundled. */

import { condition, defineSignal, setHandler } from '@temporalio/workflow';

export const greet = defineSignal<[name: string]>('greet');

export async function greets(count: number): Promise<string[]> {
  const names: string[] = [];
  setHandler(greet, (name) => {
    names.push(name);
  });
  await condition(() => names.length >= count);
  return names;
}
