/** Signal-with-start: starts a run with its signal in one step, or signals the run that is open. */

import { strict as assert } from 'node:assert';
import type { Env } from '../harness/harness';
import { greet, greets } from './workflows';

const STARTED = 1;
const SIGNALED = 26;

export async function check(env: Env): Promise<void> {
  const options = { workflowId: env.newId(), taskQueue: env.taskQueue, args: [2] as [number], signal: greet };
  const first = await env.client.workflow.signalWithStart(greets, { ...options, signalArgs: ['Ann'] });
  const second = await env.client.workflow.signalWithStart(greets, { ...options, signalArgs: ['Bob'] });
  env.started.push(first);
  assert.deepEqual(await first.result(), ['Ann', 'Bob']);
  assert.deepEqual(await second.result(), ['Ann', 'Bob']);
  const kinds = (await first.fetchHistory()).events?.map((event) => event.eventType) ?? [];
  assert.deepEqual(kinds.slice(0, 2), [STARTED, SIGNALED], 'the start is followed by its signal');
}
