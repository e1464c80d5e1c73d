/** Workflows with the mistakes that users make, for tests that read what they are told. */

import { condition, defineQuery, log, proxyActivities, setHandler, sleep, workflowInfo } from '@durably/workflow';

const { echo, refuse, misspelt } = proxyActivities<{
  echo(value: unknown): Promise<unknown>;
  refuse(): Promise<void>;
  misspelt(): Promise<void>;
}>({ startToCloseTimeout: '10s', retry: { maximumAttempts: 1 } });

export async function passesBigInt(): Promise<void> {
  await echo({ amount: 10n });
}

export async function returnsCircular(): Promise<unknown> {
  const circle: Record<string, unknown> = {};
  circle['self'] = circle;
  return circle;
}

export async function sleepsForNaN(): Promise<void> {
  await sleep(Number.NaN);
}

export async function sleepsInGerman(): Promise<void> {
  await sleep('10 sekunden' as never);
}

export async function waitsForTruth(): Promise<void> {
  await condition(true as never);
}

export async function forgetsAwait(): Promise<void> {
  void refuse();
  await condition(() => false);
}

export async function callsMisspelt(): Promise<void> {
  await misspelt();
}

export async function rethrows(): Promise<string> {
  try {
    await refuse();
  } catch (error) {
    return (error as Error).stack ?? '';
  }
  return '';
}

export const asks = defineQuery<number | Promise<number>>('asks');
export const tells = defineQuery<unknown>('tells');

export async function answersLater(): Promise<void> {
  setHandler(asks, async () => 1);
  setHandler(tells, () => 1n);
  await condition(() => false);
}

export async function collectsGarbage(): Promise<void> {
  new WeakRef({});
}

export class OutOfStock extends Error {}

export async function throwsOutOfStock(): Promise<void> {
  throw new OutOfStock('none left');
}

class Point {
  constructor(readonly x: number) {}
}

export async function logsThings(): Promise<void> {
  const error = new TypeError('inner', { cause: new RangeError('cause') });
  const circle: Record<string, unknown> = { point: new Point(1), call: function named() {}, big: 1n };
  circle['self'] = circle;
  log.info('things', { circle, error, when: new Date(0), names: new Map([[1, { a: 2 }]]) });
}

/** Does something else when it is replayed. */
export async function looksAtReplay(): Promise<void> {
  if (workflowInfo().unsafe.isReplaying) await sleep('1 hour');
  await echo(1);
}

export async function passesTooMuch(): Promise<void> {
  await echo('x'.repeat(3_000_000));
}
