/** The workflows of this behaviour, on their own because they are bundled. */

import { condition, defineQuery, defineSignal, setHandler } from '@temporalio/workflow';

export const where = defineQuery<string>('where');
export const withArgs = defineQuery<number, [a: number, b: number]>('with-args');
export const broken = defineQuery<string>('broken');
export const go = defineSignal('go');
export const finish = defineSignal('finish');

export async function answers(): Promise<string> {
  let stage = 'new';
  let end = false;
  setHandler(where, () => stage);
  setHandler(withArgs, (a, b) => a + b);
  setHandler(broken, () => {
    throw new Error('this query is broken');
  });
  setHandler(go, () => {
    stage = 'gone';
  });
  setHandler(finish, () => {
    end = true;
  });
  stage = 'running';
  await condition(() => end);
  stage = 'ended';
  return 'ended';
}
