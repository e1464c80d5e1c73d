/** The workflows of this behaviour, on their own because they are bundled. */

import { proxyActivities } from '@temporalio/workflow';
import type { activities } from './behaviour';

/** What a program of a user passes around. */
export interface Order {
  number: number;
  items: string[];
  note: string | null;
}

const { echo, nothing, 'ship-order': ship } = proxyActivities<typeof activities>({ startToCloseTimeout: '1 minute' });

export async function shapes(values: unknown[]): Promise<unknown[]> {
  const results = await Promise.all(values.map((value) => echo(value)));
  const none: unknown = await nothing();
  if (none !== undefined) {
    throw new Error(`an activity without a result has returned ${none}`);
  }
  return results;
}

export async function shipping(order: Order): Promise<Order> {
  return await ship(order, true);
}
