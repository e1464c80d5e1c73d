/** The workflows of this behaviour, on their own because they are bundled. */

import {
  ApplicationFailure,
  allHandlersFinished,
  condition,
  defineSignal,
  defineUpdate,
  setHandler,
} from '@temporalio/workflow';

export const put = defineUpdate<number, [thing: string]>('put');
export const putWhenPaid = defineUpdate<string, [thing: string]>('put_when_paid');
export const pay = defineSignal('pay');

/** Collects what is put into it. */
export async function cart(owner: string): Promise<string[]> {
  const things: string[] = [];
  let paid = false;
  setHandler(put, (thing) => things.push(thing), {
    validator: (thing) => {
      if (thing === '') throw ApplicationFailure.create({ message: 'nothing to put', type: 'Nothing' });
    },
  });
  setHandler(putWhenPaid, async (thing) => {
    await condition(() => paid);
    things.push(thing);
    return thing;
  });
  setHandler(pay, () => void (paid = true));
  await condition(() => paid);
  await condition(allHandlersFinished);
  return [owner, ...things];
}
