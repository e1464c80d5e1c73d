/** Objects of users are theirs: they override what they inherit from built-ins, and from the SDK. */

import { strict as assert } from 'node:assert';
import type { Env } from '../harness/harness';
import { override, thenable } from './workflows';

/** What only our SDK allows: its classes and built-ins are shared and can't be changed, but what inherits from them is free. */
const ONLY_OURS = ['statics', 'failure'];
const isOurs = '@temporalio/workflow'.startsWith('@durably/');

export async function check(env: Env): Promise<void> {
  const wrong = await env.execute(override);
  assert.deepEqual(Object.keys(wrong), isOurs ? [] : ONLY_OURS, JSON.stringify(wrong));
  assert.equal(await env.execute(thenable), 'mine');
}
