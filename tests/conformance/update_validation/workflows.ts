/** The workflows of this behaviour, on their own because they are bundled. */

import { ApplicationFailure, condition, defineQuery, defineSignal, defineUpdate, setHandler } from '@temporalio/workflow';

export const finish = defineSignal('finish');
export const letGo = defineSignal<[name: string]>('let_go');
export const leftOver = defineQuery<number>('left_over');
export const take = defineUpdate<number, [name: string, count: number]>('take');
export const giveBack = defineUpdate<number, [count: number]>('give back');

/** Holds a number of things; nobody can take more than there are. */
export async function stock(): Promise<string[]> {
  let left = 10;
  let end = false;
  const sold: string[] = [];
  const open = new Set<string>();
  setHandler(finish, () => void (end = true));
  setHandler(letGo, (name) => void open.add(name));
  setHandler(leftOver, () => left);
  setHandler(
    take,
    async (name, count) => {
      left -= count;
      await condition(() => open.has(name) || name === 'now');
      sold.push(`${count} to ${name}`);
      return left;
    },
    {
      validator: (_name, count) => {
        if (count <= left) return;
        throw ApplicationFailure.create({ message: `only ${left} left`, type: 'TooMany', details: [left] });
      },
    },
  );
  setHandler(giveBack, (count) => (left += count), {
    validator: (count) => {
      if (count < 0) throw new RangeError('nobody gives less than nothing');
    },
  });
  await condition(() => end);
  return sold;
}
