/** The workflows of this behaviour, on their own because they are bundled. */

import { condition, defineSignal, setHandler, sleep, uuid4, workflowInfo } from '@temporalio/workflow';

export const poke = defineSignal<[string]>('poke');

/** The clock stands still while code runs, and is the server's when it goes on. */
export async function clock(): Promise<number[]> {
  const before = Date.now();
  for (let i = 0, x = 0; i < 1e6; i++) {
    x += i;
  }
  const still = Date.now() - before;
  await sleep(200);
  const waited = new Date().getTime() - before;
  return [still, waited, before - workflowInfo().startTime.getTime()];
}

/** Chance is drawn from a seed of the run. */
export async function chance(): Promise<[numbers: number[], ids: string[]]> {
  const numbers = [Math.random(), Math.random()];
  const ids = [uuid4()];
  await sleep(1);
  return [[...numbers, Math.random()], [...ids, uuid4()]];
}

/** `setTimeout` is a durable timer. */
export async function timeouts(): Promise<string[]> {
  const seen: string[] = [];
  const never = setTimeout(() => seen.push('never'), 10);
  clearTimeout(never);
  setTimeout((word: string) => seen.push(word), 100, 'second');
  setTimeout(() => seen.push('first'), 20);
  await condition(() => seen.length === 2);
  return seen;
}

/** Promises settle in the order in which their events stand in the history, and continuations run before the next one. */
export async function order(): Promise<string[]> {
  const seen: string[] = [];
  setHandler(poke, async (word) => {
    seen.push(`${word} arrives`);
    await Promise.resolve();
    seen.push(`${word} is handled`);
  });
  void condition(() => seen.length >= 2).then(() => seen.push('two seen'));
  await condition(() => seen.length >= 5);
  return seen;
}

/** What lies outside the workflow is not there. */
export async function outside(): Promise<string[]> {
  const here = globalThis as Record<string, unknown>;
  return ['process', 'require', 'setInterval', 'setImmediate', 'fetch', 'Buffer', 'queueMicrotask', 'structuredClone'].filter(
    (name) => name in here,
  );
}
