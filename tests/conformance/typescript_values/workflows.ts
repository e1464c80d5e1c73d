/** The workflows of this behaviour, on their own because they are bundled. */

import { proxyActivities } from '@temporalio/workflow';
import type { activities } from './behaviour';

const { echo, count, reverse, kind } = proxyActivities<typeof activities>({ startToCloseTimeout: '1 minute' });

/** Passes a value through an activity and says what it came back as. */
export async function throughActivity(value: unknown): Promise<[kind: string, value: unknown]> {
  const back = await echo(value);
  return [typeof back, back];
}

export async function bytes(value: Uint8Array): Promise<Uint8Array> {
  return await reverse(value);
}

/** How values that JSON doesn't know arrive in an activity. */
export async function kinds(): Promise<string[]> {
  const values: unknown[] = [undefined, null, new Date(0), { a: undefined, b: 1 }, [undefined], Number.NaN, new Uint8Array(2)];
  return await Promise.all(values.map((value) => kind(value)));
}

/** How many arguments arrive in the workflow and in an activity. */
export async function counts(...args: unknown[]): Promise<number[]> {
  return [args.length, await count(), await count('a'), await count('a', undefined), await count(undefined, 'b')];
}
