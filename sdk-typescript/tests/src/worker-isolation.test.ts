/** No run sees what another leaves in modules, globals, built-ins or the library. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Env, withWorker } from './worker';

/** How many changes went through. If one was to what could only be put back, the task fails for it. */
async function spoil(env: Env, seed: number): Promise<number> {
  const handle = await env.start('spoil', [seed]);
  for (;;) {
    const { events } = await handle.fetchHistory();
    const failed = events?.find((event) => event.workflowTaskFailedEventAttributes)?.workflowTaskFailedEventAttributes;
    if (failed) {
      assert.match(failed.failure?.message ?? '', /was assigned, and was put back: what the runs of a worker share/);
      await handle.terminate();
      return 0;
    }
    if (events?.some((event) => event.workflowExecutionCompletedEventAttributes)) return await handle.result();
  }
}

test('whatever runs change, the next finds everything as the first did', async () => {
  await withWorker('isolation', async (env) => {
    const clean = (await env.execute('look')) as string[];
    assert.ok(clean.length > 500, `the look reaches ${clean.length} objects only`);
    assert.equal(clean[0], '0 0');
    let changes = 0;
    for (let seed = 1; seed <= 20; seed++) changes += await spoil(env, seed);
    assert.ok(changes > 0, 'a run may change what is its own');
    assert.deepEqual(await env.execute('look'), clean);
  });
  // What belongs to this process is out of reach.
  for (const object of [Object.prototype, Function.prototype, URL.prototype, TextDecoder.prototype, console]) {
    assert.ok(!Object.isFrozen(object));
    assert.deepEqual(Reflect.ownKeys(object).filter((key) => String(key).startsWith('mark')), []);
  }
});

test('nothing leads from a workflow to objects of the worker', async () => {
  await withWorker('isolation', async (env) => assert.deepEqual(await env.execute('foreign'), []));
});

test('what programs customarily assign, they can', async () => {
  await withWorker('isolation', async (env) => {
    const expected = ['Named', 'm!', true, 'Failed', 'old', [1, 2, 3], [[1, [2]]]];
    const when = new Date(0).toISOString();
    assert.deepEqual(await env.execute('assign'), [...expected, { copy: 'json', when }]);
  });
});

test('code made of strings is refused', async () => {
  await withWorker('isolation', async (env) => {
    for (const answer of await env.execute('evaluate')) assert.match(answer, /EvalError: Code generation from strings/);
  });
});
