/**
 * A workflow with updates whose history crosses over, as those of `workflows.ts`: which answer comes where among the commands, and
 * who goes on when several are under way.
 */

import {
  ApplicationFailure,
  allHandlersFinished,
  condition,
  currentUpdateInfo,
  defineSignal,
  defineUpdate,
  executeChild,
  proxyActivities,
  setDefaultUpdateHandler,
  setHandler,
  sleep,
  uuid4,
} from '@temporalio/workflow';
import type * as activities from './activities';

const { charge } = proxyActivities<typeof activities>({ startToCloseTimeout: '10 seconds' });

export const change = defineUpdate<string, [how: string, number: number]>('change');
export const tell = defineSignal<[text: string]>('tell');

/** A child that ends at once. */
export async function echoes(number: number): Promise<number> {
  return number;
}

/** Updates that end at once or wait for everything there is, beside signals, from the first task on. */
export async function changes(amount: number): Promise<string[]> {
  const told: string[] = [];
  let ended = false;
  const first = charge(amount);
  setHandler(tell, async (text) => {
    told.push(text, await charge(told.length));
    ended ||= text === 'end';
  });
  const ways: Record<string, (number: number) => unknown> = {
    'at once': (number) => number + amount,
    'a turn later': async (number) => (await null, number),
    fails: () => {
      throw ApplicationFailure.create({ message: 'no more' });
    },
    charges: (number) => charge(number),
    sleeps: async (number) => {
      await Promise.all([sleep(number), charge(number), condition(() => told.length > 3, '1 ms')]);
      return uuid4();
    },
    'asks a child': (number) => executeChild(echoes, { args: [number] }),
    waits: async (number) => {
      await condition(() => told.includes(`go ${number}`));
      await charge(number);
      throw new ApplicationFailure(`${number} has gone`);
    },
  };
  const handle = async (how: string, number: number): Promise<string> => {
    told.push(`${how} ${number} ${currentUpdateInfo()?.id}`);
    const result = await ways[how]?.(number);
    told.push(`${how} is done`, await charge(told.length));
    return `${result}`;
  };
  setHandler(change, handle, {
    validator: (_how, number) => {
      if (number < 0) throw new RangeError(`${number} is too little`);
    },
  });
  told.push(await first);
  setDefaultUpdateHandler((name) => void told.push(name));
  await Promise.race([condition(() => ended), sleep('1 minute')]);
  await charge(told.length);
  await condition(allHandlersFinished);
  return told;
}
