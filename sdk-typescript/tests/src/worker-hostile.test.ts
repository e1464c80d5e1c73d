/** Thrown values that can't be looked at: each attempt and each task is answered, and worker and process go on. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { WorkflowFailedError } from '@durably/client';
import { ActivityFailure } from '@durably/common';
import { type Env, withWorker } from './worker';
import { HOSTILE } from './workflows/hostile';

const make = (name: string): unknown => HOSTILE[name]![0]();

async function failureOf(env: Env, workflow: string, args: unknown[]): Promise<Error> {
  const error: unknown = await (await env.start(workflow, args)).result().then(
    () => assert.fail('it returned'),
    (thrown: unknown) => thrown,
  );
  assert.ok(error instanceof WorkflowFailedError && error.cause instanceof ActivityFailure);
  return error.cause.cause as Error;
}

test('an activity is answered whatever it throws', { timeout: 60_000 }, async () => {
  const activities = {
    rejects: async (name: string) => {
      throw make(name);
    },
    throws: (name: string) => {
      throw make(name);
    },
  };
  await withWorker(
    'calls',
    async (env) => {
      for (const [name, [, says]] of Object.entries(HOSTILE)) {
        for (const activity of Object.keys(activities)) {
          const failure = await failureOf(env, 'callsOnce', [activity, name]);
          assert.match(failure.message, says, `${activity} ${name}`);
        }
      }
    },
    { activities },
  );
});

test('a task fails wherever whatever is thrown, and the worker goes on', { timeout: 120_000 }, async () => {
  await withWorker('hostile', async (env) => {
    for (const name of Object.keys(HOSTILE)) {
      // Failures end the run; that is tested elsewhere.
      if (/^(type|message) of no text/.test(name)) continue;
      for (const where of ['main', 'condition', 'rejection', 'timer', 'signal']) {
        const handle = await env.start('throwsHostile', [where, name]);
        if (where === 'signal') await handle.signal('poke');
        assert.match(await env.taskFailure(handle), HOSTILE[name]![1], `${where} ${name}`);
        await handle.terminate();
      }
      const handle = await env.start('throwsHostile', ['nowhere', name]);
      await assert.rejects(handle.query('ask'), name);
      await handle.terminate();
      assert.equal(await env.execute('fine'), 'fine', name);
    }
  });
});

test('a long message holds nobody up', { timeout: 60_000 }, async () => {
  await withWorker('hostile', async (env) => {
    const handle = await env.start('throwsLong', [200_000]);
    assert.match(await env.taskFailure(handle), /throwsLong .*hostile\.ts:\d+/);
    await handle.terminate();
    // To look for positions in it took the square of its length: minutes.
    assert.equal(await env.execute('fine'), 'fine');
  });
});
