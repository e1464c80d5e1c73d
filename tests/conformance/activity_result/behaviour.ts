/** An activity runs once per call; arguments and results of every JSON shape come through unchanged. */

import { strict as assert } from 'node:assert';
import { activityInfo } from '@temporalio/activity';
import type { Env } from '../harness/harness';
import { type Order, shapes, shipping } from './workflows';

export const activities = {
  /** Gives back what it gets. */
  async echo(value: unknown): Promise<unknown> {
    return value;
  },

  /** Takes two arguments and is called by a name of its own. */
  async 'ship-order'(order: Order, fast: boolean): Promise<Order> {
    const info = activityInfo();
    assert(info.attempt === 1 && info.activityType === 'ship-order');
    const note = info.workflowExecution?.workflowId ?? null;
    return { number: order.number + 1, items: [...order.items, fast ? 'fast' : 'slow'], note };
  },

  /** Returns undefined. */
  async nothing(): Promise<void> {},
};

export async function check(env: Env): Promise<void> {
  const values = [1, 2.5, 'ü', null, true, [1, [2]], { a: { b: null } }, ''];
  assert.deepEqual(await env.execute(shapes, values), values);
  const handle = await env.start(shipping, { number: 7, items: ['book'], note: null });
  assert.deepEqual(await handle.result(), { number: 8, items: ['book', 'fast'], note: handle.workflowId });
}
