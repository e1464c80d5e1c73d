/** The workflows of this behaviour, on their own because they are bundled. */

import {
  condition,
  defineQuery,
  defineSignal,
  setDefaultQueryHandler,
  setDefaultSignalHandler,
  setHandler,
  sleep,
} from '@temporalio/workflow';

export const add = defineSignal<[word: string]>('add');
export const words = defineQuery<string[]>('words');
export const join = defineQuery<string, [separator: string]>('join');

/** Signals that have no handler yet wait for one, each for its own. */
export async function late(): Promise<string[]> {
  const seen: string[] = [];
  await sleep(300);
  setHandler(add, (word) => {
    seen.push(`add ${word}`);
  });
  await condition(() => seen.length >= 2);
  setDefaultSignalHandler((name, ...args) => {
    seen.push(`${name} ${JSON.stringify(args)}`);
  });
  await condition(() => seen.length >= 3);
  return seen;
}

/** A handler can be replaced and taken away. */
export async function replaced(): Promise<string[]> {
  const seen: string[] = [];
  setHandler(words, () => seen);
  setHandler(join, (separator) => seen.join(separator), { description: 'the words in one' });
  setDefaultQueryHandler((name, ...args) => `no ${name}(${args.join()})`);
  setHandler(add, (word) => {
    seen.push(`first ${word}`);
  });
  await condition(() => seen.length >= 1);
  setHandler(add, async (word) => {
    await sleep(1);
    seen.push(`second ${word}`);
  });
  await condition(() => seen.length >= 2);
  setHandler(add, undefined);
  await condition(() => false, 300);
  return seen;
}

/** Knows one query. */
export async function knowsOne(): Promise<void> {
  setHandler(words, () => []);
}
