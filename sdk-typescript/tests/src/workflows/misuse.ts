/** Workflows with the mistakes that users make, for tests that read what they are told. */

import { condition, defineQuery, proxyActivities, setHandler, sleep } from '@durably/workflow';

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

export class OutOfStock extends Error {}

export async function throwsOutOfStock(): Promise<void> {
  throw new OutOfStock('none left');
}
