/** Clock, chance and timers in workflow code give the same on every replay. */

import { strict as assert } from 'node:assert';
import type { Env } from '../harness/harness';
import { chance, clock, order, outside, poke, timeouts } from './workflows';

const UUID4 = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

export async function check(env: Env): Promise<void> {
  const [still, waited, sinceStart] = await env.execute(clock);
  assert.equal(still, 0);
  assert(waited !== undefined && waited >= 200 && waited < 30_000, `${waited} ms`);
  assert(sinceStart !== undefined && sinceStart >= 0 && sinceStart < 30_000, `${sinceStart} ms`);

  const [one, two] = [await env.execute(chance), await env.execute(chance)];
  const numbers = [...one[0], ...two[0]];
  assert(numbers.every((number) => number >= 0 && number < 1));
  assert.equal(new Set(numbers).size, 6, 'each run has a seed of its own');
  const ids = [...one[1], ...two[1]];
  assert(ids.every((id) => UUID4.test(id)), String(ids));
  assert.equal(new Set(ids).size, 4);

  assert.deepEqual(await env.execute(timeouts), ['first', 'second']);

  const handle = await env.client.workflow.signalWithStart(order, {
    workflowId: env.newId(),
    taskQueue: env.taskQueue,
    signal: poke,
    signalArgs: ['one'],
  });
  env.started.push(handle);
  await handle.signal(poke, 'two');
  const seen = await handle.result();
  assert.deepEqual(seen.filter((word) => word.startsWith('one')), ['one arrives', 'one is handled']);
  assert.deepEqual(seen.filter((word) => word.startsWith('two ')).sort(), ['two arrives', 'two is handled', 'two seen']);

  const reachable = await env.execute(outside);
  for (const forbidden of ['process', 'require', 'setInterval', 'setImmediate', 'fetch', 'Buffer']) {
    assert(!reachable.includes(forbidden), `${forbidden} can be reached`);
  }
}
