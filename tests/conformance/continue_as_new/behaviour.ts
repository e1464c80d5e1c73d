/** A run that continues as new: the result of the last run of the chain is the result; each run links to the next. */

import { strict as assert } from 'node:assert';
import { type Env, eventually } from '../harness/harness';
import { carry, chain } from './workflows';

export async function check(env: Env): Promise<void> {
  const handle = await env.start(chain, 2, []);
  await handle.signal(carry, 'a');
  const first = env.client.workflow.getHandle(handle.workflowId, handle.firstExecutionRunId);
  await eventually(
    'the first run has continued as new',
    async () => (await first.describe()).status.name === 'CONTINUED_AS_NEW',
  );
  // Without a run id, a signal goes to whichever run is open.
  await env.client.workflow.getHandle(handle.workflowId).signal(carry, 'b');
  assert.deepEqual(await handle.result(), [['a', 'b'], true]);
  const last = (await first.fetchHistory()).events?.at(-1);
  assert(last?.workflowExecutionContinuedAsNewEventAttributes?.newExecutionRunId);
}
