/** The workflows of this behaviour, on their own because they are bundled. */

import { condition, continueAsNew, defineSignal, setHandler, sleep } from '@temporalio/workflow';

export const end = defineSignal<[word: string]>('end');

export async function waits(greeting = 'no greeting'): Promise<string> {
  let word: string | undefined;
  setHandler(end, (given) => {
    word = given;
  });
  await condition(() => word !== undefined);
  return `${greeting}, ${word}`;
}

export async function twice(again: boolean): Promise<string> {
  await sleep(1);
  if (again) {
    await continueAsNew<typeof twice>(false);
  }
  return 'second run';
}
